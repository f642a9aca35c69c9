// Which rows an op works on: what tiling and the merging of phases ask.

#ifndef MOEC_DIALECTS_ROWWISE_TD
#define MOEC_DIALECTS_ROWWISE_TD

include "mlir/IR/OpBase.td"

def RowWiseOpInterface : OpInterface<"RowWiseOpInterface"> {
  let cppNamespace = "::moec";
  let description = [{
    Row t of all that the op writes depends on row t of its operands, and on the whole of those that
    `readsWhole` names; and no other row of these is read or written for it. Destinations have one
    row per row of work.
  }];
  let methods = [InterfaceMethod<[{
        Whether a row of work needs more of this operand than the row of the same number: a weight,
        or what rows are gathered from.
      }],
                                 "bool", "readsWhole", (ins "::mlir::OpOperand &":$operand),
                                 /*methodBody=*/"", /*defaultImplementation=*/"return false;">];
}

// The `readsWhole` of an op, for its extraClassDeclaration: true for the operands of these names,
// as accessors spell them.
class ReadsWhole<list<string> operands> {
  code declaration = "bool readsWhole(::mlir::OpOperand &operand) { return "#!interleave(
      !foreach(name, operands, "::moec::isAmong(operand, get"#name#"Mutable())"), " || ")#"; }\n";
}

#endif // MOEC_DIALECTS_ROWWISE_TD
