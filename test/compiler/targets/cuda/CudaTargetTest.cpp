// The table of architectures: what is found in it, and how much of a multiprocessor kernels fill.

#include "compiler/targets/cuda/CudaTarget.h"

#include <gtest/gtest.h>

using namespace moec;

TEST(CudaTarget, NamesAreFoundOnceEachTheOldestFirst) {
  Result<std::vector<const CudaTarget *>> found = findCudaTargets("sm_90a,sm_80,sm_90a");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(architectureNames(*found), "sm_80,sm_90a");
}

TEST(CudaTarget, AnUnknownNameIsAUsageErrorThatListsTheTable) {
  for (const char *name : {"sm_90", "", "sm_80,,sm_86"}) {
    Result<std::vector<const CudaTarget *>> found = findCudaTargets(name);
    ASSERT_FALSE(found.ok()) << name;
    EXPECT_EQ(found.status().code, Code::Usage);
    for (const CudaTarget &target : cudaTargets())
      EXPECT_NE(found.status().message.find(target.name.str()), std::string::npos);
  }
}

// Worked out with the figures of compute capability 8.0: 64 warps, 65536 registers, 164 KiB.
TEST(CudaTarget, WhatIsScarceLimitsTheBlocks) {
  const CudaTarget &target = **findCudaTarget("sm_80");
  EXPECT_EQ(target.residentBlocks(8, 32, 0), 8);        // 64 warps
  EXPECT_EQ(target.residentBlocks(8, 64, 0), 4);        // 64 * 32 registers a warp: 32 warps
  EXPECT_EQ(target.residentBlocks(8, 65, 0), 3);        // in pieces of 256: 2304 a warp, 28 of them
  EXPECT_EQ(target.residentBlocks(8, 32, 48 << 10), 3); // 49 KiB a block
  EXPECT_EQ(target.residentBlocks(1, 32, 0), 32);       // that is the most of any size
}
