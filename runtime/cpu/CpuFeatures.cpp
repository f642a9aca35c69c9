// cpuid bits, or the kernel's hardware capabilities, under the names of /proc/cpuinfo.

#include "runtime/cpu/CpuFeatures.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace moec {

#if defined(__x86_64__)

namespace {

enum Register { EAX, EBX, ECX, EDX };

/// Registers that the operating system must save before a feature may be used.
enum State : uint64_t { Plain = 0, Avx = 0x6, Avx512 = 0xe6, Amx = 0x60000 };

struct Feature {
  std::string_view name;
  uint32_t leaf, subleaf;
  Register where;
  int bit;
  State state;
};

constexpr uint32_t extended = 0x80000001;

constexpr Feature table[] = {
    {"sse", 1, 0, EDX, 25, Plain},
    {"sse2", 1, 0, EDX, 26, Plain},
    {"pni", 1, 0, ECX, 0, Plain},
    {"pclmulqdq", 1, 0, ECX, 1, Plain},
    {"ssse3", 1, 0, ECX, 9, Plain},
    {"fma", 1, 0, ECX, 12, Avx},
    {"cx16", 1, 0, ECX, 13, Plain},
    {"sse4_1", 1, 0, ECX, 19, Plain},
    {"sse4_2", 1, 0, ECX, 20, Plain},
    {"movbe", 1, 0, ECX, 22, Plain},
    {"popcnt", 1, 0, ECX, 23, Plain},
    {"aes", 1, 0, ECX, 25, Plain},
    {"xsave", 1, 0, ECX, 26, Plain},
    {"avx", 1, 0, ECX, 28, Avx},
    {"f16c", 1, 0, ECX, 29, Avx},
    {"rdrand", 1, 0, ECX, 30, Plain},
    {"fsgsbase", 7, 0, EBX, 0, Plain},
    {"bmi1", 7, 0, EBX, 3, Plain},
    {"avx2", 7, 0, EBX, 5, Avx},
    {"bmi2", 7, 0, EBX, 8, Plain},
    {"avx512f", 7, 0, EBX, 16, Avx512},
    {"avx512dq", 7, 0, EBX, 17, Avx512},
    {"rdseed", 7, 0, EBX, 18, Plain},
    {"adx", 7, 0, EBX, 19, Plain},
    {"avx512ifma", 7, 0, EBX, 21, Avx512},
    {"clflushopt", 7, 0, EBX, 23, Plain},
    {"clwb", 7, 0, EBX, 24, Plain},
    {"avx512cd", 7, 0, EBX, 28, Avx512},
    {"sha_ni", 7, 0, EBX, 29, Plain},
    {"avx512bw", 7, 0, EBX, 30, Avx512},
    {"avx512vl", 7, 0, EBX, 31, Avx512},
    {"avx512vbmi", 7, 0, ECX, 1, Avx512},
    {"avx512_vbmi2", 7, 0, ECX, 6, Avx512},
    {"gfni", 7, 0, ECX, 8, Plain},
    {"vaes", 7, 0, ECX, 9, Avx},
    {"vpclmulqdq", 7, 0, ECX, 10, Avx},
    {"avx512_vnni", 7, 0, ECX, 11, Avx512},
    {"avx512_bitalg", 7, 0, ECX, 12, Avx512},
    {"avx512_vpopcntdq", 7, 0, ECX, 14, Avx512},
    {"rdpid", 7, 0, ECX, 22, Plain},
    {"avx512_vp2intersect", 7, 0, EDX, 8, Avx512},
    {"amx_bf16", 7, 0, EDX, 22, Amx},
    {"avx512_fp16", 7, 0, EDX, 23, Avx512},
    {"amx_tile", 7, 0, EDX, 24, Amx},
    {"amx_int8", 7, 0, EDX, 25, Amx},
    {"avx_vnni", 7, 1, EAX, 4, Avx},
    {"avx512_bf16", 7, 1, EAX, 5, Avx512},
    {"amx_fp16", 7, 1, EAX, 21, Amx},
    {"avx_ifma", 7, 1, EAX, 23, Avx},
    {"avx_vnni_int8", 7, 1, EDX, 4, Avx},
    {"avx_ne_convert", 7, 1, EDX, 5, Avx},
    {"lahf_lm", extended, 0, ECX, 0, Plain},
    {"abm", extended, 0, ECX, 5, Plain},
    {"sse4a", extended, 0, ECX, 6, Plain},
    {"3dnowprefetch", extended, 0, ECX, 8, Plain},
    {"xop", extended, 0, ECX, 11, Avx},
    {"fma4", extended, 0, ECX, 16, Avx},
};

} // namespace

namespace {
/// One answer of the cpuid instruction.
struct Leaf {
  uint32_t leaf, subleaf;
  unsigned registers[4] = {};
};

/// All that the table asks for. Read once: in a virtual machine each instruction is a trap.
struct Answers {
  Answers();

  std::array<Leaf, 4> leaves = {{{1, 0}, {7, 0}, {7, 1}, {extended, 0}}};
  uint64_t saved = 0; ///< State bits
};
} // namespace

static uint64_t savedState(const Leaf &first) {
  if (!(first.registers[ECX] & (1u << 27)))
    return 0;
  uint32_t low, high;
  asm("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

Answers::Answers() {
  for (Leaf &leaf : leaves)
    if (!__get_cpuid_count(leaf.leaf, leaf.subleaf, &leaf.registers[EAX], &leaf.registers[EBX],
                           &leaf.registers[ECX], &leaf.registers[EDX]))
      std::fill(std::begin(leaf.registers), std::end(leaf.registers), 0); // the CPU has it not
  saved = savedState(leaves.front());
}

bool cpuHas(std::string_view name) {
  static const Answers answers;
  for (const Feature &feature : table) {
    if (feature.name != name)
      continue;
    for (const Leaf &leaf : answers.leaves)
      if (leaf.leaf == feature.leaf && leaf.subleaf == feature.subleaf)
        return ((leaf.registers[feature.where] >> feature.bit) & 1) &&
               (answers.saved & feature.state) == feature.state;
  }
  return false;
}

static bool askForMatrixRegisters() {
  constexpr long requestPermission = 0x1023, tileData = 18; // ARCH_REQ_XCOMP_PERM, XTILEDATA
  return syscall(SYS_arch_prctl, requestPermission, tileData) == 0;
}

#elif defined(__aarch64__)

bool cpuHas(std::string_view name) {
  struct Feature {
    std::string_view name;
    unsigned long where, mask;
  };
  static const Feature table[] = {
      {"fp", AT_HWCAP, HWCAP_FP},           {"asimd", AT_HWCAP, HWCAP_ASIMD},
      {"fphp", AT_HWCAP, HWCAP_FPHP},       {"asimdhp", AT_HWCAP, HWCAP_ASIMDHP},
      {"atomics", AT_HWCAP, HWCAP_ATOMICS}, {"asimddp", AT_HWCAP, HWCAP_ASIMDDP},
      {"sve", AT_HWCAP, HWCAP_SVE},         {"bf16", AT_HWCAP2, HWCAP2_BF16},
      {"i8mm", AT_HWCAP2, HWCAP2_I8MM},     {"sve2", AT_HWCAP2, HWCAP2_SVE2},
  };
  for (const Feature &feature : table)
    if (feature.name == name)
      return (getauxval(feature.where) & feature.mask) != 0;
  return false;
}

static bool askForMatrixRegisters() { return false; }

#endif

std::string missingCpuFeatures(const std::vector<std::string> &features) {
  std::string missing;
  bool matrix = false;
  for (const std::string &feature : features) {
    if (!cpuHas(feature))
      missing += (missing.empty() ? "" : ", ") + feature;
    matrix |= feature == "amx_tile";
  }
  if (missing.empty() && matrix && !askForMatrixRegisters())
    missing = "amx_tile (the kernel does not grant it)";
  return missing;
}

} // namespace moec
