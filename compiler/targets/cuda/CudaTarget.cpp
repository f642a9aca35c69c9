// The table of GPU architectures.

#include "compiler/targets/cuda/CudaTarget.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>

using namespace moec;
using llvm::StringRef;

// What a multiprocessor has is from the table of compute capabilities in NVIDIA's programming
// guide, which driver reads which PTX from the release notes of the PTX manual, what a GPU does in
// a second from its data sheet (without sparsity), or, of GeForce cards, from the white paper of
// their architecture.
static constexpr CudaTarget targets[] = {
    {.name = "sm_80",
     .features = "+ptx70",
     .driverVersion = 11000,
     .registers = 65536,
     .sharedBytes = 164 << 10,
     .blockSharedBytes = 163 << 10,
     .warps = 64,
     .blocks = 32,
     .warpsPerBlock = 8,
     .gpu = "A100 80GB SXM",
     .gigabytes = 2039,
     .tensorTeraOps = 312,
     .floatTeraOps = 19.5},
    {.name = "sm_86",
     .features = "+ptx71",
     .driverVersion = 11010,
     .registers = 65536,
     .sharedBytes = 100 << 10,
     .blockSharedBytes = 99 << 10,
     .warps = 48,
     .blocks = 16,
     .warpsPerBlock = 8,
     .gpu = "RTX A6000",
     .gigabytes = 768,
     .tensorTeraOps = 154.8,
     .floatTeraOps = 38.7},
    {.name = "sm_89",
     .features = "+ptx78",
     .driverVersion = 11080,
     .registers = 65536,
     .sharedBytes = 100 << 10,
     .blockSharedBytes = 99 << 10,
     .warps = 48,
     .blocks = 24,
     .warpsPerBlock = 8,
     .gpu = "L40S",
     .gigabytes = 864,
     .tensorTeraOps = 362,
     .floatTeraOps = 91.6},
    {.name = "sm_90a",
     .features = "+ptx80",
     .driverVersion = 12000,
     .registers = 65536,
     .sharedBytes = 228 << 10,
     .blockSharedBytes = 227 << 10,
     .warps = 64,
     .blocks = 32,
     .warpsPerBlock = 8,
     .gpu = "H100 SXM",
     .gigabytes = 3350,
     .tensorTeraOps = 989,
     .floatTeraOps = 67},
    {.name = "sm_100a",
     .features = "+ptx86",
     .driverVersion = 12070,
     .registers = 65536,
     .sharedBytes = 228 << 10,
     .blockSharedBytes = 227 << 10,
     .warps = 64,
     .blocks = 32,
     .warpsPerBlock = 8,
     .gpu = "B200",
     .gigabytes = 8000,
     .tensorTeraOps = 2250,
     .floatTeraOps = 80},
    {.name = "sm_120a",
     .features = "+ptx87",
     .driverVersion = 12080,
     .registers = 65536,
     .sharedBytes = 100 << 10,
     .blockSharedBytes = 99 << 10,
     .warps = 48,
     .blocks = 24,
     .warpsPerBlock = 8,
     .gpu = "GeForce RTX 5090",
     .gigabytes = 1792,
     .tensorTeraOps = 209.5,
     .floatTeraOps = 104.8},
};

llvm::ArrayRef<CudaTarget> moec::cudaTargets() { return targets; }

std::pair<int, int> CudaTarget::capability() const {
  int number = 0; // the minor one is its last digit
  StringRef digits = name;
  digits.consume_front("sm_");
  digits.consumeInteger(10, number);
  return {number / 10, number % 10};
}

int64_t CudaTarget::residentBlocks(int64_t blockWarps, int64_t threadRegisters,
                                   int64_t blockSharedBytes) const {
  // A warp's registers are handed out in pieces of 256; the system keeps 1 KiB of each block's
  // shared memory for itself.
  const int64_t warpRegisters =
      llvm::alignTo(static_cast<uint64_t>(threadRegisters * kWarpLanes), 256);
  int64_t resident = std::min(blocks, warps / blockWarps);
  if (warpRegisters > 0)
    resident = std::min(resident, registers / warpRegisters / blockWarps);
  return std::min(resident, sharedBytes / (blockSharedBytes + 1024));
}

Result<const CudaTarget *> moec::findCudaTarget(StringRef name) {
  std::string known;
  for (const CudaTarget &target : targets) {
    if (target.name == name)
      return &target;
    known += (known.empty() ? "" : ", ") + target.name.str();
  }
  return Status{Code::Usage, "unknown GPU architecture '" + name.str() + "'; wanted one of " +
                                 known + ", or several, separated by commas"};
}

Result<std::vector<const CudaTarget *>> moec::findCudaTargets(StringRef names) {
  llvm::SmallVector<StringRef> words;
  names.split(words, ',');
  std::vector<const CudaTarget *> found;
  for (StringRef word : words) {
    Result<const CudaTarget *> target = findCudaTarget(word);
    if (!target.ok())
      return target.status();
    found.push_back(*target);
  }
  llvm::sort(found); // the table's order
  found.erase(llvm::unique(found), found.end());
  return found;
}

std::string moec::architectureNames(llvm::ArrayRef<const CudaTarget *> targets) {
  std::string names;
  for (const CudaTarget *target : targets)
    names += (names.empty() ? "" : ",") + target->name.str();
  return names;
}
