// The numbers of each CPU level: what code generation may use, and the register tiles of the
// kernels.

#ifndef MOEC_COMPILER_TARGETS_CPU_CPUTARGET_H
#define MOEC_COMPILER_TARGETS_CPU_CPUTARGET_H

#include "runtime/core/Result.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <string>
#include <vector>

namespace moec {

/// The instruction that sums products of small integers into i32.
enum class IntegerDot {
  None,  ///< multiplies and adds
  Words, ///< pairs of i16
  Bytes, ///< four unsigned by signed i8
};

/// An instruction that multiplies small elements and sums them in wider lanes.
struct DotInstruction {
  llvm::StringRef intrinsic; ///< LLVM's: (sums, elements, elements) to sums
  int64_t lanes = 0;         ///< of the sums
};

/// An extension of an instruction set.
struct CpuFeature {
  llvm::StringRef name;    ///< LLVM's
  llvm::StringRef cpuinfo; ///< as in /proc/cpuinfo
};

/// Asking for memory before it is needed: so many bytes ahead, into the caches from this number (1
/// to 3) on.
struct ReadAhead {
  int64_t bytes, cache;
};

/// What kernel builders and code generation need to know of a CPU. A level is a set of
/// instructions; all CPUs of a level compute the same bits.
struct CpuTarget {
  llvm::StringRef level;           ///< The name users type: --cpu=LEVEL.
  llvm::StringRef arch;            ///< As in a triple.
  llvm::StringRef processor;       ///< LLVM's -mcpu.
  llvm::StringRef features;        ///< LLVM's -mattr, beyond what `processor` has.
  llvm::ArrayRef<CpuFeature> adds; ///< To what the level below needs of a machine.
  int64_t vectorBytes;             ///< Of a register.
  int64_t tileRows;                ///< Rows (tokens) of the tallest register tile, layout `panels`.
  int64_t tileLanes;               ///< f32 sums of such a tile that fit beside its operands.
  int64_t storedTileRows;          ///< Rows of the register tile, layout `rows`.
  int64_t storedTileColumns;       ///< Weight rows of it; divides 16.
  int64_t quantRows;               ///< Rows of the tallest register tile with quantised weights.
  int64_t quantLanes;              ///< i32 sums of such a tile.
  /// How few rows ask for packed weights: codes, and all that matrix registers multiply.
  ReadAhead ahead;
  /// The same for floats that vectors multiply, in each of two streams of reads.
  ReadAhead floatAhead;
  DotInstruction bf16Dot; ///< Two bf16 products a lane; none where there is no intrinsic.
  IntegerDot integerDot;
  int64_t matrixRows = 0; ///< Rows of the tallest tile by matrix registers; 0 where there are none.

  /// What a machine must have: each level of an architecture needs all that those below it do.
  llvm::SmallVector<CpuFeature> needed() const;

  bool hasBf16Dot() const { return !bf16Dot.intrinsic.empty(); }
  bool hasMatrices() const { return matrixRows > 0; }
};

/// f32 values in every vector that the kernels build; LLVM splits them where registers are
/// narrower.
inline constexpr int64_t kLanes = 16;

/// Rows of a matrix register.
inline constexpr int64_t kMatrixRows = 16;

/// All levels; those of one architecture with the least demanding first.
llvm::ArrayRef<CpuTarget> cpuTargets();

/// The level called `name`. "native" stands for the best level of this machine, and what LLVM calls
/// a CPU (znver4, neoverse-n1) for the best level of that CPU. An unknown name is a usage error
/// that lists the levels; a machine below the lowest level is a mismatch that names what it lacks,
/// a named CPU below it is unsupported.
Result<const CpuTarget *> findCpuTarget(llvm::StringRef name);

/// The levels of `names`, separated by commas, each as above: each level once, the least demanding
/// first. Levels of several architectures, or no name where one should be, are a usage error.
Result<std::vector<const CpuTarget *>> findCpuTargets(llvm::StringRef names);

/// The names of `targets`, separated by commas.
std::string levelNames(llvm::ArrayRef<const CpuTarget *> targets);

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_CPU_CPUTARGET_H
