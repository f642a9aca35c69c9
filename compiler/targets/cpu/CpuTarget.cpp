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

static constexpr CpuFeature avx2Adds[] = {
    {"avx", "avx"}, {"avx2", "avx2"}, {"bmi", "bmi1"},    {"bmi2", "bmi2"},    {"f16c", "f16c"},
    {"fma", "fma"}, {"lzcnt", "abm"}, {"movbe", "movbe"}, {"popcnt", "popcnt"}};
static constexpr CpuFeature avx512Adds[] = {{"avx512f", "avx512f"},
                                            {"avx512bw", "avx512bw"},
                                            {"avx512cd", "avx512cd"},
                                            {"avx512dq", "avx512dq"},
                                            {"avx512vl", "avx512vl"}};
static constexpr CpuFeature vnniAdds[] = {{"avx512vnni", "avx512_vnni"}};
// Every CPU with bf16 dot products has those of bytes.
static constexpr CpuFeature bf16Adds[] = {{"avx512bf16", "avx512_bf16"}};
static constexpr CpuFeature amxAdds[] = {
    {"amx-tile", "amx_tile"}, {"amx-bf16", "amx_bf16"}, {"amx-int8", "amx_int8"}};
static constexpr CpuFeature neonAdds[] = {{"neon", "asimd"}};
static constexpr CpuFeature neonBf16Adds[] = {
    {"dotprod", "asimddp"}, {"bf16", "bf16"}, {"i8mm", "i8mm"}};

// Tiles: 32 registers of 512 bits hold 8 x 48 sums, three weights and an activation; 16 of 256 bits
// hold 6 x 16 sums; 32 of 128 bits hold 6 x 16 sums. A bf16 product that widens in registers keeps
// the same tile. How far ahead to ask was measured on Zen 3 and, with 512 bits, on Emerald Rapids.
static constexpr CpuTarget avx2{.level = "avx2",
                                .arch = "x86_64",
                                .processor = "x86-64-v3",
                                .features = "",
                                .adds = avx2Adds,
                                .vectorBytes = 32,
                                .tileRows = 6,
                                .tileLanes = 96,
                                .storedTileRows = 2,
                                .storedTileColumns = 2,
                                .quantRows = 4,
                                .quantLanes = 64,
                                .ahead = {.bytes = 1024, .cache = 1},
                                .floatAhead = {.bytes = 1024, .cache = 1},
                                .bf16Dot = {},
                                .integerDot = IntegerDot::Words};

static constexpr CpuTarget avx512{.level = "avx512",
                                  .arch = "x86_64",
                                  .processor = "x86-64-v4",
                                  .features = "",
                                  .adds = avx512Adds,
                                  .vectorBytes = 64,
                                  .tileRows = 8,
                                  .tileLanes = 384,
                                  .storedTileRows = 6,
                                  .storedTileColumns = 4,
                                  .quantRows = 6,
                                  .quantLanes = 192,
                                  .ahead = {.bytes = 6144, .cache = 2},
                                  .floatAhead = {.bytes = 3072, .cache = 1},
                                  .bf16Dot = {},
                                  .integerDot = IntegerDot::Words};

static constexpr CpuTarget avx512vnni = [] {
  CpuTarget level = avx512;
  level.level = "avx512vnni";
  level.features = "+avx512vnni";
  level.adds = vnniAdds;
  level.integerDot = IntegerDot::Bytes;
  return level;
}();

static constexpr CpuTarget avx512bf16 = [] {
  CpuTarget level = avx512vnni;
  level.level = "avx512bf16";
  level.features = "+avx512vnni,+avx512bf16";
  level.adds = bf16Adds;
  level.bf16Dot = {"llvm.x86.avx512bf16.dpbf16ps.512", 16};
  return level;
}();

static constexpr CpuTarget amx = [] {
  CpuTarget level = avx512bf16;
  level.level = "amx";
  level.features = "+avx512vnni,+avx512bf16,+amx-tile,+amx-bf16,+amx-int8";
  level.adds = amxAdds;
  level.matrixRows = 2 * kMatrixRows;
  return level;
}();

static constexpr CpuTarget neon{.level = "neon",
                                .arch = "aarch64",
                                .processor = "generic",
                                .features = "+neon",
                                .adds = neonAdds,
                                .vectorBytes = 16,
                                .tileRows = 6,
                                .tileLanes = 96,
                                .storedTileRows = 2,
                                .storedTileColumns = 2,
                                .quantRows = 4,
                                .quantLanes = 64,
                                .ahead = {.bytes = 1024, .cache = 1},
                                .floatAhead = {.bytes = 1024, .cache = 1},
                                .bf16Dot = {},
                                .integerDot = IntegerDot::None};

static constexpr CpuTarget neonbf16 = [] {
  CpuTarget level = neon;
  level.level = "neonbf16";
  level.features = "+neon,+dotprod,+bf16,+i8mm";
  level.adds = neonBf16Adds;
  level.bf16Dot = {"llvm.aarch64.neon.bfdot.v4f32.v8bf16", 4};
  return level;
}();

static constexpr CpuTarget targets[] = {avx2, avx512, avx512vnni, avx512bf16, amx, neon, neonbf16};

llvm::ArrayRef<CpuTarget> moec::cpuTargets() { return targets; }

llvm::SmallVector<CpuFeature> CpuTarget::needed() const {
  llvm::SmallVector<CpuFeature> all;
  for (const CpuTarget &target : targets) {
    if (target.arch == arch)
      llvm::append_range(all, target.adds);
    if (target.level == level)
      break;
  }
  return all;
}

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
    for (const CpuFeature &feature : target.needed())
      if (!cpu.features.lookup(feature.name))
        missing += " " + feature.name.str();
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
