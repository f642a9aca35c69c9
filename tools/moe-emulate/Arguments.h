// A kernel's arguments as users give them: a tensor for each.

#ifndef MOEC_TOOLS_MOEEMULATE_ARGUMENTS_H
#define MOEC_TOOLS_MOEEMULATE_ARGUMENTS_H

#include "runtime/core/Result.h"
#include "runtime/core/Safetensors.h"
#include "runtime/emulator/Emulator.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace moec {

/// A kernel's signature before it is lowered, which its tensors have to fit.
struct KernelSignature {
  std::string module, name;
  llvm::SmallVector<mlir::Type> types;
  llvm::SmallVector<mlir::Type>
      byValue; ///< of a pointer the type that is passed through it; else null
};

bool isKernel(mlir::FunctionOpInterface function);

/// The kernel of that name, or the only one where `name` is empty.
Result<KernelSignature> findSignature(mlir::ModuleOp module, const std::string &name);

/// Tensors in memory, and the values that the lowered kernel takes.
class KernelArguments {
public:
  /// Reads `file`, empty for a kernel without arguments.
  static Result<std::unique_ptr<KernelArguments>> read(const KernelSignature &signature,
                                                       const std::string &file);

  /// A pointer to each value.
  std::span<void *const> pointers() const { return values; }
  /// Lets kernels use the tensors.
  void addTo(emulator::Gpu &gpu) const;
  Status write(const std::string &file) const;

private:
  struct Tensor {
    std::string name;
    DataType type;
    std::vector<int64_t> shape;
    std::unique_ptr<uint8_t[]> room = {}; // the data start at a multiple of 256 in it
    std::span<uint8_t> data = {};
    bool isBuffer = false; // not a number
  };

  Status addMemRef(const Tensor &tensor, mlir::MemRefType type);
  void addNumber(int64_t number) { addValue(&numbers.emplace_back(number)); }
  void addValue(void *value) { values.push_back(value); }

  std::vector<Tensor> tensors;
  std::deque<int64_t> numbers; // a deque: values point into it
  std::vector<void *> values;
};

} // namespace moec

#endif // MOEC_TOOLS_MOEEMULATE_ARGUMENTS_H
