// A tensor of a graph while it is imported: its IR, and what is known of its numbers.

#ifndef MOEC_FRONTENDS_ONNX_IMPORT_GRAPHVALUE_H
#define MOEC_FRONTENDS_ONNX_IMPORT_GRAPHVALUE_H

#include "frontends/onnx/OnnxModel.h"
#include "frontends/onnx/import/Size.h"
#include "mlir/IR/Value.h"

#include <optional>

namespace moec {

using Sizes = llvm::SmallVector<Size, 4>;

/// Whole numbers and truth values of rank 0 or 1 are known element by element where they are few
/// and come from sizes or constants, and then have no IR before somebody wants it.
struct GraphValue {
  ElementType element = ElementType::Undefined;
  Sizes shape;
  mlir::Value tensor; ///< null: made of `elements` or `constant` when it is wanted
  std::optional<llvm::SmallVector<Size, 1>> elements;
  const OnnxTensor *constant = nullptr; ///< what it is a copy of, if of a stored tensor
  /// All elements are from 0 to below it, so that they are indices without further care.
  std::optional<Size> below;

  int64_t rank() const { return static_cast<int64_t>(shape.size()); }
  /// Whether all elements are known numbers.
  bool isKnown() const {
    return elements &&
           llvm::all_of(*elements, [](const Size &element) { return element.isKnown(); });
  }
};

bool isFloat(ElementType type);
/// Whole numbers; not truth values.
bool isInteger(ElementType type);
bool isUnsigned(ElementType type);
bool isBool(ElementType type);

} // namespace moec

#endif // MOEC_FRONTENDS_ONNX_IMPORT_GRAPHVALUE_H
