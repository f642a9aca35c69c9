// Tests that run for every CPU level.

#ifndef MOEC_TEST_COMPILER_TARGETS_CPU_KERNELTEST_H
#define MOEC_TEST_COMPILER_TARGETS_CPU_KERNELTEST_H

#include "test/compiler/targets/cpu/KernelJit.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace moec {

/// A test with a level, which is skipped where nothing runs that.
class KernelTest : public testing::TestWithParam<const CpuTarget *> {
protected:
  void SetUp() override {
    if (!runsHere(*GetParam()))
      GTEST_SKIP() << "nothing here runs level " << GetParam()->level.str();
  }
};

inline std::vector<const CpuTarget *> allTargets() {
  std::vector<const CpuTarget *> all;
  for (const CpuTarget &target : cpuTargets())
    all.push_back(&target);
  return all;
}

/// What a test of a level is called.
inline std::string levelName(const testing::TestParamInfo<const CpuTarget *> &info) {
  return info.param->level.str();
}

} // namespace moec

#endif // MOEC_TEST_COMPILER_TARGETS_CPU_KERNELTEST_H
