// What all rewrites of a kernel's ops share: calls of the emulator, registers of the thread, the
// table of locations.

#ifndef MOEC_COMPILER_TARGETS_EMULATOR_EMULATEDCODE_H
#define MOEC_COMPILER_TARGETS_EMULATOR_EMULATEDCODE_H

#include "runtime/emulator/KernelAbi.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringMap.h"

namespace moec {

/// Of one gpu.module the places that reports may name.
class LocationTable {
public:
  uint32_t add(mlir::Location location);
  /// Names one after another, each ended by a zero byte; and where each starts.
  const std::string &text() const { return names; }
  llvm::ArrayRef<int64_t> offsets() const { return begins; }

private:
  llvm::DenseMap<mlir::Location, uint32_t> known;
  llvm::StringMap<uint32_t> byName;
  std::string names;
  llvm::SmallVector<int64_t> begins;
};

/// Declarations of the emulator's functions in a module.
class EmulatorFunctions {
public:
  explicit EmulatorFunctions(mlir::ModuleOp module) : module(module) {}
  mlir::LLVM::LLVMFuncOp get(llvm::StringRef name);

private:
  mlir::ModuleOp module;
  llvm::StringMap<mlir::LLVM::LLVMFuncOp> declared;
};

/// Builds code in place of one op.
class EmulatedCode {
public:
  EmulatedCode(mlir::Operation *op, LocationTable &locations, EmulatorFunctions &functions);

  mlir::OpBuilder builder;
  mlir::Location loc;
  mlir::Value thread; ///< the first argument of the function

  mlir::Type i32() { return builder.getI32Type(); }
  mlir::Type i64() { return builder.getI64Type(); }
  mlir::Type pointer() { return mlir::LLVM::LLVMPointerType::get(builder.getContext()); }
  mlir::Value constant(mlir::Type type, int64_t value);
  mlir::Value constant(uint32_t value) { return constant(i32(), value); }
  template <typename Enum>
    requires std::is_enum_v<Enum>
  mlir::Value code(Enum value) {
    return constant(uint32_t(value));
  }
  /// The index of the op's place in the table.
  mlir::Value location() { return constant(locations.add(loc)); }

  /// Calls a function of emulator.def with the thread and `arguments`; null where it returns
  /// nothing.
  mlir::Value call(llvm::StringRef name, mlir::ValueRange arguments);
  mlir::Value readRegister(uint32_t index);

  mlir::Value extend(mlir::Value value, mlir::Type type);
  mlir::Value truncate(mlir::Value value, mlir::Type type);
  /// The low or high half of 64 bits.
  mlir::Value half(mlir::Value value, bool isHigh);
  /// An integer of 1 bit: whether `value` is not zero.
  mlir::Value isSet(mlir::Value value);
  /// 32 bits as an integer, and as `type`.
  mlir::Value toBits(mlir::Value value);
  mlir::Value fromBits(mlir::Value bits, mlir::Type type);
  /// Room for registers on the thread's stack; with these values, each of 32 bits.
  mlir::Value room(uint32_t registers);
  mlir::Value stored(mlir::ValueRange values);
  mlir::Value load(mlir::Value room, uint32_t index);
  /// A struct of that type of the registers in `room`.
  mlir::Value loadStruct(mlir::Value room, mlir::Type type);
  /// A struct, or for one value just that, of these.
  mlir::Value makeStruct(mlir::Type type, mlir::ValueRange values);

private:
  mlir::Operation *op;
  LocationTable &locations;
  EmulatorFunctions &functions;
};

/// Replaces an op of NVVM. Fails, having said so, where it has no emulation.
mlir::LogicalResult emulateInstruction(mlir::Operation *op, LocationTable &locations,
                                       EmulatorFunctions &functions);
/// Replaces inline PTX that the table has.
mlir::LogicalResult emulateInlinePtx(mlir::Operation *op, LocationTable &locations,
                                     EmulatorFunctions &functions);
/// Replaces a product of bf16 by plain code: LLVM would call a library, where the host has no
/// instruction that rounds so.
void emulateBf16Product(mlir::LLVM::FMulOp product);
/// Replaces a call of CUDA's device library by what computes the same on the host.
mlir::LogicalResult emulateDeviceLibrary(mlir::LLVM::CallOp call);

/// A kernel as its descriptor has it.
struct EmulatedKernel {
  std::string name;     ///< as in the gpu.module
  std::string function; ///< of the host, that runs a thread
  llvm::SmallVector<int64_t> argumentBytes, objects;
  int64_t blockDim[3] = {0, 0, 0};
  int64_t maxThreads = 0;
};

struct EmulatedObject {
  int64_t bytes = 0, alignment = 1;
};

/// A variable of the host that stands for one in global or constant memory.
struct EmulatedGlobal {
  std::string symbol;
  int64_t bytes = 0;
  bool isConstant = false;
};

/// Adds the symbol `moec_emulated_NAME` with all that the emulator wants to know.
void addDescriptor(mlir::ModuleOp module, llvm::StringRef name,
                   llvm::ArrayRef<EmulatedKernel> kernels, llvm::ArrayRef<EmulatedObject> objects,
                   llvm::ArrayRef<EmulatedGlobal> globals, const LocationTable &locations);

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_EMULATOR_EMULATEDCODE_H
