// Arithmetic on single elements, in the bodies of loops over tensors.

#ifndef MOEC_FRONTENDS_ONNX_IMPORT_ELEMENTBUILDER_H
#define MOEC_FRONTENDS_ONNX_IMPORT_ELEMENTBUILDER_H

#include "frontends/onnx/ElementType.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"

namespace moec {

/// Operands are of one type: floats, or integers whose signs are read as `isUnsigned` says. Floats
/// narrower than 32 bits are computed as f32, which is what bodies see of them.
class ElementBuilder {
public:
  ElementBuilder(mlir::OpBuilder &builder, mlir::Location location, bool isUnsigned = false)
      : builder(builder), location(location), isUnsigned(isUnsigned) {}

  mlir::OpBuilder &ops() { return builder; }
  mlir::Location where() const { return location; }
  template <typename Op, typename... Operands> mlir::Value make(Operands &&...operands) {
    return Op::create(builder, location, std::forward<Operands>(operands)...);
  }

  /// A constant of the type of `like`; a whole number for integers.
  mlir::Value number(mlir::Type type, double value);
  mlir::Value number(mlir::Value like, double value) { return number(like.getType(), value); }
  mlir::Value integer(mlir::Type type, int64_t value);
  mlir::Value index(int64_t value);

  mlir::Value add(mlir::Value a, mlir::Value b);
  mlir::Value sub(mlir::Value a, mlir::Value b);
  mlir::Value mul(mlir::Value a, mlir::Value b);
  /// Of integers towards zero; by 0 it is 0.
  mlir::Value div(mlir::Value a, mlir::Value b);
  /// NaN where one is.
  mlir::Value max(mlir::Value a, mlir::Value b);
  mlir::Value min(mlir::Value a, mlir::Value b);
  mlir::Value neg(mlir::Value a);
  mlir::Value abs(mlir::Value a);
  /// 1 divided by it.
  mlir::Value reciprocal(mlir::Value a);
  mlir::Value sigmoid(mlir::Value a);
  mlir::Value exp(mlir::Value a);
  mlir::Value log(mlir::Value a);
  mlir::Value sqrt(mlir::Value a);
  mlir::Value tanh(mlir::Value a);
  mlir::Value erf(mlir::Value a);
  mlir::Value floor(mlir::Value a);

  mlir::Value equal(mlir::Value a, mlir::Value b);
  mlir::Value less(mlir::Value a, mlir::Value b);
  mlir::Value lessOrEqual(mlir::Value a, mlir::Value b);
  mlir::Value select(mlir::Value condition, mlir::Value yes, mlir::Value no);
  mlir::Value both(mlir::Value a, mlir::Value b);
  mlir::Value either(mlir::Value a, mlir::Value b);
  mlir::Value negation(mlir::Value a);

  /// The nearest number of another type: of floats the part before the point, within the type's
  /// bounds (of NaN the least); of truth values 0 or 1; a truth value says whether it was not 0.
  mlir::Value convert(mlir::Value a, mlir::Type to, bool toUnsigned);
  /// `a` as an index.
  mlir::Value toIndex(mlir::Value a);
  mlir::Value fromIndex(mlir::Value index, mlir::Type to);

private:
  bool isFloat(mlir::Value a) const { return llvm::isa<mlir::FloatType>(a.getType()); }
  mlir::Value floatToInteger(mlir::Value a, mlir::IntegerType to, bool toUnsigned);

  mlir::OpBuilder &builder;
  mlir::Location location;
  bool isUnsigned;
};

} // namespace moec

#endif // MOEC_FRONTENDS_ONNX_IMPORT_ELEMENTBUILDER_H
