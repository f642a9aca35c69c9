// The report of ptxas, as it writes it.

#include "compiler/emit/Ptxas.h"

#include <gtest/gtest.h>

using namespace moec;

TEST(Ptxas, EachKernelsResourcesAreRead) {
  const std::vector<KernelResources> kernels = parseResources(
      "ptxas info    : 4 bytes gmem\n"
      "ptxas info    : Compiling entry function 'phase_1_rms_norm' for 'sm_80'\n"
      "ptxas info    : Function properties for phase_1_rms_norm\n"
      "    16 bytes stack frame, 12 bytes spill stores, 20 bytes spill loads\n"
      "ptxas info    : Used 24 registers, used 0 barriers, 16 bytes cumulative stack size, 1024 "
      "bytes smem, 384 bytes cmem[0]\n"
      "ptxas info    : Compile time = 3.251 ms\n"
      "ptxas info    : Compiling entry function 'phase_0_embedding' for 'sm_80'\n"
      "ptxas info    : Function properties for phase_0_embedding\n"
      "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
      "ptxas info    : Used 10 registers, used 0 barriers, 376 bytes cmem[0]\n");
  ASSERT_EQ(kernels.size(), 2U);
  EXPECT_EQ(kernels[0].name, "phase_1_rms_norm");
  EXPECT_EQ(kernels[0].registers, 24);
  EXPECT_EQ(kernels[0].sharedBytes, 1024);
  EXPECT_EQ(kernels[0].stackBytes, 16);
  EXPECT_EQ(kernels[0].spillBytes, 32);
  EXPECT_EQ(kernels[1].name, "phase_0_embedding");
  EXPECT_EQ(kernels[1].registers, 10);
  EXPECT_EQ(kernels[1].sharedBytes + kernels[1].stackBytes + kernels[1].spillBytes, 0);
}
