// Versions compare by their numbers, and this test knows how it was linked.

#include "runtime/program/Linkage.h"

#include <gtest/gtest.h>

#include <algorithm>

using namespace moec;

TEST(Linkage, VersionsCompareByNumbers) {
  EXPECT_TRUE(olderVersion("GLIBC_2.4", "GLIBC_2.34"));
  EXPECT_FALSE(olderVersion("GLIBC_2.34", "GLIBC_2.4"));
  EXPECT_TRUE(olderVersion("GLIBC_2.2", "GLIBC_2.2.5"));
  EXPECT_FALSE(olderVersion("GLIBC_2.34", "GLIBC_2.34"));
  EXPECT_FALSE(olderVersion("GLIBC_PRIVATE", "GLIBC_PRIVATE"));
}

TEST(Linkage, ReadsThisProgram) {
  Linkage linkage = programLinkage();
  EXPECT_TRUE(linkage.dynamic);
  EXPECT_NE(std::find(linkage.libraries.begin(), linkage.libraries.end(), "libc.so.6"),
            linkage.libraries.end());
  EXPECT_EQ(linkage.newestGlibc.rfind("GLIBC_2.", 0), 0u) << linkage.newestGlibc;
}
