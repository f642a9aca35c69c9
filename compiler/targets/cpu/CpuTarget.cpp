// The table of CPU levels, and which of them this machine is.

#include "compiler/targets/cpu/CpuTarget.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"

using namespace moec;
using llvm::StringRef;

static constexpr StringRef avx2Needed[] = {"avx", "avx2",  "bmi",   "bmi2",  "f16c",
                                           "fma", "lzcnt", "movbe", "popcnt"};
static constexpr StringRef avx2Cpuinfo[] = {"avx", "avx2", "bmi1",  "bmi2",  "f16c",
                                            "fma", "abm",  "movbe", "popcnt"};
static constexpr StringRef avx512Needed[] = {
    "avx2", "bmi2", "f16c", "fma", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"};
static constexpr StringRef vnniNeeded[] = {"avx2",     "bmi2",      "f16c",     "fma",
                                           "avx512f",  "avx512bw",  "avx512cd", "avx512dq",
                                           "avx512vl", "avx512vnni"};
static constexpr StringRef vnniCpuinfo[] = {"avx2",     "bmi2",       "f16c",     "fma",
                                            "avx512f",  "avx512bw",   "avx512cd", "avx512dq",
                                            "avx512vl", "avx512_vnni"};
// Every CPU with bf16 dot products has those of bytes.
static constexpr StringRef bf16Needed[] = {"avx2",     "bmi2",       "f16c",      "fma",
                                           "avx512f",  "avx512bw",   "avx512cd",  "avx512dq",
                                           "avx512vl", "avx512vnni", "avx512bf16"};
static constexpr StringRef bf16Cpuinfo[] = {"avx2",     "bmi2",        "f16c",       "fma",
                                            "avx512f",  "avx512bw",    "avx512cd",   "avx512dq",
                                            "avx512vl", "avx512_vnni", "avx512_bf16"};
static constexpr StringRef neonNeeded[] = {"neon"};
static constexpr StringRef neonCpuinfo[] = {"asimd"};

// Tiles: 32 registers of 512 bits hold 8 x 48 sums, three weights and an activation; 16 of 256 bits
// hold 6 x 16 sums; 32 of 128 bits hold 6 x 16 sums. A bf16 product that widens in registers keeps
// the same tile.
static constexpr CpuTarget targets[] = {
    {.level = "avx2",
     .arch = "x86_64",
     .processor = "x86-64-v3",
     .features = "",
     .needed = avx2Needed,
     .cpuinfo = avx2Cpuinfo,
     .vectorBytes = 32,
     .tileRows = 6,
     .tileLanes = 96,
     .storedTileRows = 2,
     .storedTileColumns = 2,
     .quantRows = 4,
     .quantLanes = 64,
     .hasBf16Dot = false,
     .integerDot = IntegerDot::Words},
    {.level = "avx512",
     .arch = "x86_64",
     .processor = "x86-64-v4",
     .features = "",
     .needed = avx512Needed,
     .cpuinfo = avx512Needed, // spelled alike
     .vectorBytes = 64,
     .tileRows = 8,
     .tileLanes = 384,
     .storedTileRows = 6,
     .storedTileColumns = 4,
     .quantRows = 6,
     .quantLanes = 192,
     .hasBf16Dot = false,
     .integerDot = IntegerDot::Words},
    {.level = "avx512vnni",
     .arch = "x86_64",
     .processor = "x86-64-v4",
     .features = "+avx512vnni",
     .needed = vnniNeeded,
     .cpuinfo = vnniCpuinfo,
     .vectorBytes = 64,
     .tileRows = 8,
     .tileLanes = 384,
     .storedTileRows = 6,
     .storedTileColumns = 4,
     .quantRows = 6,
     .quantLanes = 192,
     .hasBf16Dot = false,
     .integerDot = IntegerDot::Bytes},
    {.level = "avx512bf16",
     .arch = "x86_64",
     .processor = "x86-64-v4",
     .features = "+avx512vnni,+avx512bf16",
     .needed = bf16Needed,
     .cpuinfo = bf16Cpuinfo,
     .vectorBytes = 64,
     .tileRows = 8,
     .tileLanes = 384,
     .storedTileRows = 6,
     .storedTileColumns = 4,
     .quantRows = 6,
     .quantLanes = 192,
     .hasBf16Dot = true,
     .integerDot = IntegerDot::Bytes},
    {.level = "neon",
     .arch = "aarch64",
     .processor = "generic",
     .features = "+neon",
     .needed = neonNeeded,
     .cpuinfo = neonCpuinfo,
     .vectorBytes = 16,
     .tileRows = 6,
     .tileLanes = 96,
     .storedTileRows = 2,
     .storedTileColumns = 2,
     .quantRows = 4,
     .quantLanes = 64,
     .hasBf16Dot = false,
     .integerDot = IntegerDot::None},
};

llvm::ArrayRef<CpuTarget> moec::cpuTargets() { return targets; }

static Result<const CpuTarget *> findNative() {
  const llvm::Triple host(llvm::sys::getProcessTriple());
  const llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  const CpuTarget *best = nullptr;
  std::string lacking;
  for (const CpuTarget &target : targets) {
    if (target.arch != host.getArchName())
      continue;
    std::string missing;
    for (StringRef feature : target.needed)
      if (!features.lookup(feature))
        missing += " " + feature.str();
    if (missing.empty())
      best = &target;
    else if (lacking.empty())
      lacking = "this CPU lacks what level '" + target.level.str() + "' needs:" + missing;
  }
  if (best)
    return best;
  if (lacking.empty())
    lacking = "no CPU level for " + host.getArchName().str();
  return Status{Code::Mismatch, lacking + "; name the level to compile for with --cpu"};
}

Result<const CpuTarget *> moec::findCpuTarget(StringRef name) {
  if (name == "native")
    return findNative();
  std::string known = "native";
  for (const CpuTarget &target : targets) {
    if (target.level == name)
      return &target;
    known += ", " + target.level.str();
  }
  return Status{Code::Usage, "unknown CPU level '" + name.str() + "'; one of " + known};
}
