// Standard output and standard error that cannot be written.

#include "test/runtime/program/RunProgram.h"

#include <gtest/gtest.h>

using namespace moec;

TEST(Output, AFullDiskIsAMatterOfResources) {
  Ran ran = runFakeOnto("/dev/full", {"inspect"});
  EXPECT_EQ(ran.status, 6);
  EXPECT_NE(ran.errors.find("cannot write to standard output: No space left on device"),
            std::string::npos)
      << ran.errors;
}
