// What an emulated kernel and the emulator know of each other: registers, descriptors, codes and
// functions.

#ifndef MOEC_RUNTIME_EMULATOR_KERNELABI_H
#define MOEC_RUNTIME_EMULATOR_KERNELABI_H

#include <cstdint>

namespace moec::emulator {

/// Special registers; indices into moec_emulated_thread::registers. Those of three dimensions
/// follow one another.
enum Register : uint32_t {
  ThreadX,
  BlockDimX = 3,
  BlockX = 6,
  GridDimX = 9,
  Lane = 12,
  Warp,
  WarpCount,
  LaneMaskEqual,
  LaneMaskLess,
  LaneMaskLessEqual,
  LaneMaskGreater,
  LaneMaskGreaterEqual,
  SharedBytes,
  DynamicSharedBytes,
  Clock, ///< counts a thread's accesses
  RegisterCount,
};

/// Of a plain access.
enum class AccessKind : uint32_t { Read, Write };

/// Bits of what an atomic or volatile access orders, and of what it leaves undone.
enum Order : uint32_t {
  Relaxed = 0,
  Acquire = 1,
  Release = 2,
  ReadOnly = 4,
  WriteOnly = 8,
};

enum class BarrierReduction : uint32_t { None, Count, And, Or };
enum class ShuffleMode : uint32_t { Butterfly, Up, Down, Index };
enum class VoteMode : uint32_t { Any, All, Ballot, Uniform };
enum class MatchMode : uint32_t { Any, All };
enum class Reduction : uint32_t {
  Add,
  And,
  Max,
  Min,
  Or,
  UnsignedMax,
  UnsignedMin,
  Xor,
  FloatMin,
  FloatMax
};
enum class MatrixType : uint32_t { F16, BF16, TF32, S8, U8, E4M3, E5M2, F32, S32 };

/// The types of a product's operands and sums in one word; `saturate` for sums of integers.
constexpr uint32_t matrixTypes(MatrixType a, MatrixType b, MatrixType c, MatrixType d,
                               bool saturate) {
  return uint32_t(a) | uint32_t(b) << 4 | uint32_t(c) << 8 | uint32_t(d) << 12 |
         uint32_t(saturate) << 16;
}

} // namespace moec::emulator

extern "C" {

/// What a kernel may read of the thread that runs it.
struct moec_emulated_thread {
  uint32_t registers[moec::emulator::RegisterCount];
  /// Of each of the module's shared objects its address in this block; null for one that the kernel
  /// does not use.
  void *const *objects;
};

/// A variable in shared memory. 0 bytes: it starts where dynamic shared memory does.
struct moec_emulated_object {
  uint64_t bytes;
  uint64_t alignment;
};

/// A variable of the module in global or constant memory.
struct moec_emulated_global {
  void *address;
  uint64_t bytes;
  uint64_t constant; ///< 1: never written
};

struct moec_emulated_kernel {
  const char *name;
  /// Runs one thread; `arguments` points to each argument's value.
  void (*run)(moec_emulated_thread *thread, void *const *arguments);
  const uint64_t *argumentBytes;
  const uint64_t *objects; ///< of those it uses, indices into the module's
  uint64_t argumentCount;
  uint64_t objectCount;
  uint64_t blockDim[3]; ///< what a launch must ask for; 0: any
  uint64_t maxThreads;  ///< of a block; 0: the hardware's limit
};

/// What the compiler makes of a gpu.module, under its name.
struct moec_emulated_module {
  const moec_emulated_kernel *kernels;
  const moec_emulated_object *objects;
  const moec_emulated_global *globals;
  const char *locationText;        ///< names of places, each ended by a zero byte
  const uint64_t *locationOffsets; ///< of each location's name in that text
  uint64_t kernelCount;
  uint64_t objectCount;
  uint64_t globalCount;
  uint64_t locationCount;
};

#define MOEC_EMULATOR(name, result, parameters) result name parameters;
#include "runtime/emulator/emulator.def"
#undef MOEC_EMULATOR

} // extern "C"

#endif // MOEC_RUNTIME_EMULATOR_KERNELABI_H
