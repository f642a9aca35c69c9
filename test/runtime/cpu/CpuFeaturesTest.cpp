// Checks feature names against what the kernel prints, and the refusal of a CPU.

#include "runtime/cpu/CpuFeatures.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

using namespace moec;

/// The words after "flags" or "Features" of the first processor.
static std::string kernelFlags() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.rfind("flags", 0) == 0 || line.rfind("Features", 0) == 0)
      return line.substr(line.find(':') + 1) + " ";
  return "";
}

TEST(CpuFeatures, AgreeWithTheKernel) {
  std::string flags = kernelFlags();
  if (flags.empty())
    GTEST_SKIP() << "no /proc/cpuinfo";
  for (const char *name :
       {"sse2",       "pni",        "ssse3",        "fma",         "cx16",        "sse4_1",
        "sse4_2",     "movbe",      "popcnt",       "avx",         "f16c",        "avx2",
        "bmi1",       "bmi2",       "avx512f",      "avx512dq",    "avx512cd",    "avx512bw",
        "avx512vl",   "avx512vbmi", "avx512_vbmi2", "avx512_vnni", "avx512_bf16", "avx512_fp16",
        "avx_vnni",   "amx_tile",   "amx_bf16",     "abm",         "gfni",        "vaes",
        "vpclmulqdq", "sse4a",      "asimd",        "bf16",        "i8mm"}) {
    bool listed = flags.find(" " + std::string(name) + " ") != std::string::npos;
    EXPECT_EQ(cpuHas(name), listed) << name;
  }
}

TEST(CpuFeatures, NamesWhatIsMissing) {
  EXPECT_EQ(missingCpuFeatures({"avx9000", "amx_from_the_future"}), "avx9000, amx_from_the_future");
  EXPECT_EQ(missingCpuFeatures({}), "");
}
