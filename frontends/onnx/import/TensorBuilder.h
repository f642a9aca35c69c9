// What imports of operators are built of: tensors out of tensors, with their sizes.

#ifndef MOEC_FRONTENDS_ONNX_IMPORT_TENSORBUILDER_H
#define MOEC_FRONTENDS_ONNX_IMPORT_TENSORBUILDER_H

#include "frontends/onnx/import/ElementBuilder.h"
#include "frontends/onnx/import/GraphValue.h"
#include "frontends/onnx/import/SizeTable.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/STLFunctionalExtras.h"

#include <functional>
#include <limits>

namespace moec {

/// Arguments suit each other; that is for the caller to see to.
class TensorBuilder {
public:
  using Values = llvm::ArrayRef<GraphValue>;
  using Dims = llvm::ArrayRef<int64_t>;
  using MapBody = llvm::function_ref<mlir::Value(ElementBuilder &, mlir::ValueRange)>;
  using PlaceBody = llvm::function_ref<mlir::Value(ElementBuilder &, llvm::ArrayRef<mlir::Value>)>;
  using FoldBody = llvm::function_ref<mlir::Value(ElementBuilder &, mlir::Value, mlir::Value)>;
  /// Makes the IR of a stored tensor.
  using LoadConstant = std::function<mlir::Value(const OnnxTensor &)>;

  TensorBuilder(mlir::MLIRContext *context, LoadConstant loadConstant)
      : builder(context), location(mlir::UnknownLoc::get(context)),
        loadConstant(std::move(loadConstant)) {}

  mlir::OpBuilder &ops() { return builder; }
  mlir::Location where() const { return location; }
  void setLocation(mlir::Location where) { location = where; }
  SizeTable &sizeTable() { return sizes; }

  // Types and sizes.

  /// Null for strings and complex numbers.
  mlir::Type typeOf(ElementType element);
  mlir::RankedTensorType typeOf(ElementType element, llvm::ArrayRef<Size> shape);
  mlir::Value indexOf(const Size &size) { return sizes.indexOf(builder, location, size); }
  Size compute(SizeTable::Operation operation, llvm::ArrayRef<Size> operands) {
    return sizes.compute(builder, location, operation, operands);
  }
  Size maxOf(const Size &a, const Size &b) { return compute(SizeTable::Operation::Max, {a, b}); }
  Size minOf(const Size &a, const Size &b) { return compute(SizeTable::Operation::Min, {a, b}); }
  /// Rounded up; of sizes that are not negative.
  Size quotientUp(const Size &a, const Size &b) {
    return compute(SizeTable::Operation::Quotient, {a + b - Size(1), b});
  }
  /// The shape that tensors of these shapes broadcast to; none where some sizes are known and do
  /// not suit.
  std::optional<Sizes> broadcastShape(llvm::ArrayRef<llvm::ArrayRef<Size>> shapes);
  /// Fails the step with that message where the sizes turn out to differ; nothing if they are
  /// known to be equal.
  void requireEqual(const Size &a, const Size &b, const std::string &message);
  void require(mlir::Value condition, const std::string &message);

  // Values.

  mlir::Value tensorOf(const GraphValue &value);
  /// The IR, with what is known forgotten.
  GraphValue ofTensor(mlir::Value tensor, ElementType element, Sizes shape) {
    return {element, std::move(shape), tensor, std::nullopt, nullptr, std::nullopt};
  }
  GraphValue ofElements(ElementType element, llvm::SmallVector<Size, 1> elements, bool isScalar);
  GraphValue scalar(ElementType element, double number);
  /// The only element of a tensor of known numbers, as an attribute; null if it is no such.
  mlir::TypedAttr scalarConstant(const GraphValue &value);
  std::optional<double> knownNumber(const GraphValue &value);
  /// Element by element, read out of the tensor where needs be; none where it is not of rank 0 or
  /// 1, not whole numbers, or long or of unknown length.
  std::optional<llvm::SmallVector<Size, 1>> numbersOf(const GraphValue &value);
  /// What follows from data is a part of as much as there may be at most.
  mlir::Value empty(ElementType element, llvm::ArrayRef<Size> shape);
  GraphValue filled(ElementType element, llvm::ArrayRef<Size> shape, double number);

  // Loops over all elements.

  /// Every element of what inputs broadcast to is `body` of theirs.
  GraphValue map(ElementType element, Values inputs, MapBody body);
  /// Every element is `body` of its place; bodies read tensors by extract().
  GraphValue build(ElementType element, llvm::ArrayRef<Size> shape, PlaceBody body);
  /// Reduces `dims`, which are left out of the result; floats of less than 32 bits in f32, which
  /// is then the element type of the result.
  GraphValue reduce(const GraphValue &input, Dims dims, mlir::TypedAttr start, FoldBody body);
  GraphValue sum(const GraphValue &input, Dims dims);
  GraphValue greatest(const GraphValue &input, Dims dims);
  GraphValue least(const GraphValue &input, Dims dims);
  /// Sums of products. Dimensions of the operands and of the result are numbers of loops, of sizes
  /// `loops`; -1 is one of size 1 for all. Floats of less than 32 bits are summed in f32.
  GraphValue contract(const GraphValue &a, Dims aLoops, const GraphValue &b, Dims bLoops,
                      Dims resultLoops, llvm::ArrayRef<Size> loops);

  // Elements at other places.

  GraphValue reshape(const GraphValue &value, llvm::ArrayRef<Size> shape);
  GraphValue transpose(const GraphValue &value, Dims order);
  GraphValue broadcast(const GraphValue &value, llvm::ArrayRef<Size> shape);
  /// Steps are positive.
  GraphValue slice(const GraphValue &value, llvm::ArrayRef<Size> offsets,
                   llvm::ArrayRef<Size> shape, Dims steps = {});
  /// Part of one dimension.
  GraphValue slice(const GraphValue &value, int64_t dim, const Size &offset, const Size &size);
  GraphValue concat(Values values, int64_t dim);
  /// Size 1 at `dims`, which are places in the result, ascending.
  GraphValue unsqueeze(const GraphValue &value, Dims dims);
  GraphValue squeeze(const GraphValue &value, Dims dims);
  /// 0, 1, ... along a dimension of size `size`.
  GraphValue iota(ElementType element, const Size &size);

  // Arithmetic, by element.

  GraphValue convert(const GraphValue &value, ElementType to);
  GraphValue add(const GraphValue &a, const GraphValue &b);
  GraphValue sub(const GraphValue &a, const GraphValue &b);
  GraphValue mul(const GraphValue &a, const GraphValue &b);
  GraphValue div(const GraphValue &a, const GraphValue &b);
  GraphValue softmax(const GraphValue &value, int64_t dim);

  /// An element as its tensor stores it.
  static mlir::Value extract(ElementBuilder &make, mlir::Value tensor,
                             llvm::ArrayRef<mlir::Value> place);

  mlir::TypedAttr zeroOf(ElementType element);

private:
  mlir::Type computedType(mlir::Type stored);
  mlir::Value stored(ElementBuilder &make, mlir::Value computed, mlir::Type type, bool isUnsigned);
  GraphValue reshapeScalar(const GraphValue &value, llvm::ArrayRef<Size> shape);
  mlir::Value constantTensor(const GraphValue &value);

  mlir::OpBuilder builder;
  mlir::Location location;
  SizeTable sizes;
  LoadConstant loadConstant;
};

/// `dim` counted from the end where it is negative; none where there is no such.
std::optional<int64_t> normalizedDim(int64_t dim, int64_t rank);

} // namespace moec

#endif // MOEC_FRONTENDS_ONNX_IMPORT_TENSORBUILDER_H
