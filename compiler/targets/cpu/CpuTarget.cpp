// The table of CPU levels, and which of them a CPU has.

#include "compiler/targets/cpu/CpuTarget.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/TargetParser/AArch64TargetParser.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"
#include "llvm/TargetParser/X86TargetParser.h"

#include <optional>

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
static constexpr StringRef amxNeeded[] = {
    "avx2",     "bmi2",     "f16c",       "fma",        "avx512f",  "avx512bw", "avx512cd",
    "avx512dq", "avx512vl", "avx512vnni", "avx512bf16", "amx-tile", "amx-bf16", "amx-int8"};
static constexpr StringRef amxCpuinfo[] = {
    "avx2",     "bmi2",     "f16c",        "fma",         "avx512f",  "avx512bw", "avx512cd",
    "avx512dq", "avx512vl", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8"};
static constexpr StringRef neonNeeded[] = {"neon"};
static constexpr StringRef neonCpuinfo[] = {"asimd"};
static constexpr StringRef neonBf16Needed[] = {"neon", "dotprod", "bf16", "i8mm"};
static constexpr StringRef neonBf16Cpuinfo[] = {"asimd", "asimddp", "bf16", "i8mm"};

// Tiles: 32 registers of 512 bits hold 8 x 48 sums, three weights and an activation; 16 of 256 bits
// hold 6 x 16 sums; 32 of 128 bits hold 6 x 16 sums. A bf16 product that widens in registers keeps
// the same tile. What aheadBytes is was measured on Zen 3.
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
     .aheadBytes = 1024,
     .bf16Dot = {},
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
     .aheadBytes = 1024,
     .bf16Dot = {},
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
     .aheadBytes = 1024,
     .bf16Dot = {},
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
     .aheadBytes = 1024,
     .bf16Dot = {"llvm.x86.avx512bf16.dpbf16ps.512", 16},
     .integerDot = IntegerDot::Bytes},
    {.level = "amx",
     .arch = "x86_64",
     .processor = "x86-64-v4",
     .features = "+avx512vnni,+avx512bf16,+amx-tile,+amx-bf16,+amx-int8",
     .needed = amxNeeded,
     .cpuinfo = amxCpuinfo,
     .vectorBytes = 64,
     .tileRows = 8,
     .tileLanes = 384,
     .storedTileRows = 6,
     .storedTileColumns = 4,
     .quantRows = 6,
     .quantLanes = 192,
     .aheadBytes = 1024,
     .bf16Dot = {"llvm.x86.avx512bf16.dpbf16ps.512", 16},
     .integerDot = IntegerDot::Bytes,
     .matrixRows = 2 * kMatrixRows},
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
     .aheadBytes = 1024,
     .bf16Dot = {},
     .integerDot = IntegerDot::None},
    {.level = "neonbf16",
     .arch = "aarch64",
     .processor = "generic",
     .features = "+neon,+dotprod,+bf16,+i8mm",
     .needed = neonBf16Needed,
     .cpuinfo = neonBf16Cpuinfo,
     .vectorBytes = 16,
     .tileRows = 6,
     .tileLanes = 96,
     .storedTileRows = 2,
     .storedTileColumns = 2,
     .quantRows = 4,
     .quantLanes = 64,
     .aheadBytes = 1024,
     .bf16Dot = {"llvm.aarch64.neon.bfdot.v4f32.v8bf16", 4},
     .integerDot = IntegerDot::None},
};

llvm::ArrayRef<CpuTarget> moec::cpuTargets() { return targets; }

namespace {
/// A CPU in LLVM's words.
struct CpuFeatures {
  StringRef arch;
  llvm::StringMap<bool> features;
};
} // namespace

/// What LLVM knows of the CPU that it calls `name`, if it knows one that runs 64-bit code.
static std::optional<CpuFeatures> featuresOf(StringRef name) {
  llvm::StringMap<bool> features;
  if (llvm::X86::parseArchX86(name, /*Only64Bit=*/true) != llvm::X86::CK_None) {
    llvm::SmallVector<StringRef> listed;
    llvm::X86::getFeaturesForCPU(name, listed);
    for (StringRef feature : listed) {
      features[feature] = true;
      llvm::X86::updateImpliedFeatures(feature, /*Enabled=*/true, features);
    }
    return CpuFeatures{"x86_64", std::move(features)};
  }
  if (std::optional<llvm::AArch64::CpuInfo> cpu = llvm::AArch64::parseCpu(name)) {
    llvm::AArch64::ExtensionSet extensions;
    extensions.addCPUDefaults(*cpu);
    std::vector<StringRef> listed;
    extensions.toLLVMFeatureList(listed);
    for (StringRef feature : listed)
      features[feature.drop_front()] = feature.front() == '+';
    return CpuFeatures{"aarch64", std::move(features)};
  }
  return std::nullopt;
}

/// The best level of `cpu`, which messages call `what`.
static Result<const CpuTarget *> findBest(const CpuFeatures &cpu, StringRef what, Code failure) {
  const CpuTarget *best = nullptr;
  std::string lacking;
  for (const CpuTarget &target : targets) {
    if (target.arch != cpu.arch)
      continue;
    std::string missing;
    for (StringRef feature : target.needed)
      if (!cpu.features.lookup(feature))
        missing += " " + feature.str();
    if (missing.empty())
      best = &target;
    else if (lacking.empty())
      lacking = (what + " lacks what level '" + target.level + "' needs:" + missing).str();
  }
  if (best)
    return best;
  if (lacking.empty())
    lacking = "no CPU level for " + cpu.arch.str();
  return Status{failure, lacking + "; name the level to compile for with --cpu"};
}

Result<const CpuTarget *> moec::findCpuTarget(StringRef name) {
  if (name == "native") {
    const llvm::Triple host(llvm::sys::getProcessTriple());
    return findBest({host.getArchName(), llvm::sys::getHostCPUFeatures()}, "this CPU",
                    Code::Mismatch);
  }
  std::string known;
  for (const CpuTarget &target : targets) {
    if (target.level == name)
      return &target;
    known += (known.empty() ? "" : ", ") + target.level.str();
  }
  if (std::optional<CpuFeatures> cpu = featuresOf(name))
    return findBest(*cpu, ("the CPU '" + name + "'").str(), Code::Unsupported);
  return Status{Code::Usage, "unknown CPU '" + name.str() + "'; wanted native, a level (" + known +
                                 "), or the name that LLVM has for a CPU, such as znver4, "
                                 "sapphirerapids or neoverse-n1, for the best level of that CPU"};
}

Result<std::vector<const CpuTarget *>> moec::findCpuTargets(StringRef names) {
  llvm::SmallVector<StringRef> words;
  names.split(words, ',');
  std::vector<const CpuTarget *> found;
  for (StringRef word : words) {
    Result<const CpuTarget *> target = findCpuTarget(word);
    if (!target.ok())
      return target.status();
    found.push_back(*target);
  }
  for (const CpuTarget *target : found)
    if (target->arch != found.front()->arch)
      return Status{Code::Usage, ("a program is for one architecture: level '" +
                                  found.front()->level + "' is for " + found.front()->arch +
                                  ", level '" + target->level + "' for " + target->arch)
                                     .str()};
  llvm::sort(found); // the table's order
  found.erase(llvm::unique(found), found.end());
  return found;
}

std::string moec::levelNames(llvm::ArrayRef<const CpuTarget *> targets) {
  std::string names;
  for (const CpuTarget *target : targets)
    names += (names.empty() ? "" : ",") + target->level.str();
  return names;
}
