// The numbers of each GPU architecture: what code generation may use, and how kernels are cut.

#ifndef MOEC_COMPILER_TARGETS_CUDA_CUDATARGET_H
#define MOEC_COMPILER_TARGETS_CUDA_CUDATARGET_H

#include "runtime/core/Result.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <string>
#include <utility>
#include <vector>

namespace moec {

/// What kernel builders and code generation need to know of an architecture, and what a
/// multiprocessor of it has.
struct CudaTarget {
  llvm::StringRef name;     ///< The name users type: --gpu=NAME; also LLVM's and ptxas'.
  llvm::StringRef features; ///< LLVM's: the oldest PTX that has the architecture, for old drivers.
  int driverVersion;        ///< least that reads such PTX, as CUDA counts: 12080 is 12.8
  int64_t registers;        ///< of 32 bits
  int64_t sharedBytes;      ///< of shared memory
  int64_t blockSharedBytes; ///< that one block may have of it
  int64_t warps, blocks;    ///< at work at a time
  int64_t warpsPerBlock;    ///< Most of kernels whose tiles are for a warp each.
  // A GPU that has it, and what that does in a second at most.
  llvm::StringRef gpu;
  double gigabytes;     ///< read and written
  double tensorTeraOps; ///< of products of bf16 by tensor cores, sums in f32, zeros not left out
  double floatTeraOps;  ///< of f32 by other units

  /// Major and minor number: 9 and 0.
  std::pair<int, int> capability() const;
  /// Whether code for it runs on no later GPU.
  bool isSpecific() const { return name.ends_with("a"); }

  /// Blocks of so many warps that a multiprocessor has at work at a time, with so many registers of
  /// each thread and so many bytes of shared memory of each block.
  int64_t residentBlocks(int64_t blockWarps, int64_t threadRegisters,
                         int64_t blockSharedBytes) const;
};

inline constexpr int64_t kWarpLanes = 32;

/// Shared memory that a block may have without asking for more.
inline constexpr int64_t kStaticSharedBytes = 48 << 10;

/// Of a phase that is lowered, and of its kernel: bytes of shared memory (i64) that a launch is to
/// give its blocks.
inline constexpr llvm::StringLiteral kBlockMemoryAttr = "moec.block_memory";

/// Of a phase that is lowered: how many blocks (i64) a multiprocessor has to have registers for, at
/// most.
inline constexpr llvm::StringLiteral kMostBlocksAttr = "moec.most_blocks";

/// All architectures, the oldest first.
llvm::ArrayRef<CudaTarget> cudaTargets();

/// The architecture called `name`. An unknown one is a usage error that lists those there are.
Result<const CudaTarget *> findCudaTarget(llvm::StringRef name);

/// Those of `names`, separated by commas, each once, the oldest first.
Result<std::vector<const CudaTarget *>> findCudaTargets(llvm::StringRef names);

/// The names of `targets`, separated by commas.
std::string architectureNames(llvm::ArrayRef<const CudaTarget *> targets);

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_CUDA_CUDATARGET_H
