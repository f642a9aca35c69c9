// The shape that all our computing ops share: inputs, then destinations, on tensors or on memrefs.

#ifndef MOEC_DIALECTS_DESTINATIONSTYLE_TD
#define MOEC_DIALECTS_DESTINATIONSTYLE_TD

include "dialects/RowWise.td"
include "mlir/IR/OpBase.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

// A tensor or a memref of the given element types and rank: adjacent elements and, where it has
// rows, a fixed number of columns.
class BufferOf<list<Type> elements, int rank>
    : Type<And<[AnyTypeOf<[TensorRankOf<elements, [rank]>,
                           MemRefRankOf<elements, [rank]>]>.predicate,
                CPred<"::moec::hasPlainRows(::llvm::cast<::mlir::ShapedType>($_self))">]>,
           "tensor or memref of " # !interleave(!foreach(element, elements, element.summary),
                                                " or ") # " and rank " # rank #
               !if(!eq(rank, 2), ", with a fixed number of adjacent columns", "")>;
// What is rounded to be an operand of a product, or summed.
class Rows : BufferOf<[F32, BF16], 2>;
def Rows : Rows;
// What a product takes: rounded, or in blocks of integers for a quantised weight.
def OperandRows : BufferOf<[F32, BF16, I8], 2>;
def ByteRows : BufferOf<[I8], 2>;
def FloatRows : BufferOf<[F32], 2>;
def Ids : BufferOf<[I32], 1>;
def IdRows : BufferOf<[I32], 2>;

// A weight as its users see it: anything shaped, so that the ops work on tensors and memrefs (rows
// as written) as well as on handles to stored weights, whose layout only the lowering knows, and
// which may be of codes that have scales elsewhere.
class Weight<int rank>
    : Type<And<[CPred<"::llvm::isa<::mlir::ShapedType>($_self)">,
                CPred<"::llvm::cast<::mlir::ShapedType>($_self).hasRank()">,
                CPred<"::llvm::cast<::mlir::ShapedType>($_self).getRank() == " # rank>,
                Or<[CPred<"::llvm::isa<::mlir::Float32Type, ::mlir::BFloat16Type, "
                          "::mlir::Float16Type>("
                          "::llvm::cast<::mlir::ShapedType>($_self).getElementType())">,
                    And<[CPred<"!::llvm::isa<::mlir::TensorType, ::mlir::BaseMemRefType>($_self)">,
                         CPred<"::llvm::isa<::mlir::Float8E4M3FNType, ::mlir::Float4E2M1FNType>("
                               "::llvm::cast<::mlir::ShapedType>($_self).getElementType())">]>]>]>,
           "weight of rank " # rank #
               " of f32, bf16 or f16, or a handle to one of f8E4M3FN or f4E2M1FN">;

// An op whose last `destinations` operands are where its results go: tensors in and out, or memrefs
// written in place.
class DestinationOp<Dialect dialect, string mnemonic, int destinations, list<Trait> traits = []>
    : Op<dialect, mnemonic,
         traits # [DestinationStyleOpInterface,
                   DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let hasVerifier = 1;
  code destinationDeclarations = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() {
      ::mlir::Operation *op = getOperation();
      return ::mlir::MutableOperandRange(op, op->getNumOperands() - }] # destinations # [{, }] #
          destinations # [{);
    }
  }];
  code overwrites = "static bool readsDestinations() { return false; }";
  code accumulates = "bool readsDestinations() { return getAccumulate(); }";
  let extraClassDeclaration = destinationDeclarations;
}

#endif // MOEC_DIALECTS_DESTINATIONSTYLE_TD
