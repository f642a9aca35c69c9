// A shared library finds its own path, not that of the program that loads it.

#include "runtime/api/LibraryPath.h"

#include <gtest/gtest.h>

extern "C" const char *pathOfLibrary();

TEST(LibraryPath, IsTheLibrarysOwn) { EXPECT_STREQ(pathOfLibrary(), PATH_OF_LIBRARY); }

TEST(LibraryPath, IsEmptyInAProgram) { EXPECT_EQ(moec::libraryPath(), ""); }
