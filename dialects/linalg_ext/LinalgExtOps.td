// The linalg_ext dialect: tensor ops that depend on their elements, or on their order, and which
// linalg therefore has not.

#ifndef MOEC_DIALECTS_LINALGEXT_LINALGEXTOPS_TD
#define MOEC_DIALECTS_LINALGEXT_LINALGEXTOPS_TD

include "dialects/DestinationStyle.td"
include "mlir/IR/EnumAttr.td"

def LinalgExt_Dialect : Dialect {
  let name = "linalg_ext";
  let cppNamespace = "::moec::linalg_ext";
  let summary = "choosing, finding, scattering and adding up";
  let description = [{
    What graphs of tensors need besides `linalg`, whose ops read and write at places that are known
    beforehand and in any order. Every op is in destination style and takes tensors or memrefs of
    any shape. Integers are signless; `unsigned` says how those are compared.
  }];
  let useDefaultAttributePrinterParser = 1;
}

// Reading is by index, so any element type and layout will do.
class ShapedOf<list<Type> elements>
    : AnyTypeOf<[RankedTensorOf<elements>, MemRefOf<elements>]>;
def Numbers : ShapedOf<[AnySignlessInteger, AnyFloat]>;
def Places : ShapedOf<[I32, I64]>;

def LinalgExt_Combining : I32EnumAttr<"Combining", "what becomes of two elements in one place", [
    I32EnumAttrCase<"None", 0, "none">, I32EnumAttrCase<"Add", 1, "add">,
    I32EnumAttrCase<"Mul", 2, "mul">, I32EnumAttrCase<"Min", 3, "min">,
    I32EnumAttrCase<"Max", 4, "max">]> {
  let cppNamespace = "::moec::linalg_ext";
  let genSpecializedAttr = 0;
}
def LinalgExt_CombiningAttr : EnumAttr<LinalgExt_Dialect, LinalgExt_Combining, "combining">;

class LinalgExt_Op<string mnemonic, int destinations>
    : DestinationOp<LinalgExt_Dialect, mnemonic, destinations>;

def LinalgExt_TopKOp : LinalgExt_Op<"top_k", 2> {
  let summary = "the largest elements of each row";
  let description = [{
    Rows are along the last dimension. Each row of `values` holds the largest elements of the same
    row of `input`, as many as it has room for, in descending order; with `smallest` the smallest,
    ascending. `indices` are their places in the row, from 0. Equal elements are in the order of
    their places; a NaN counts as largest, and zeros of both signs are equal. Where a row of `input`
    is shorter than one of `values`, what follows its elements is undefined.

    ```mlir
    %v, %i = linalg_ext.top_k ins(%x : tensor<?x8xf32>)
        outs(%a, %b : tensor<?x2xf32>, tensor<?x2xi64>) -> tensor<?x2xf32>, tensor<?x2xi64>
    ```
  }];
  let arguments = (ins UnitAttr:$smallest, UnitAttr:$is_unsigned, Numbers:$input, Numbers:$values,
                       Places:$indices);
  let assemblyFormat = [{
    (`smallest` $smallest^)? (`unsigned` $is_unsigned^)? `ins` `(` $input `:` type($input) `)`
    `outs` `(` $values `,` $indices `:` type($values) `,` type($indices) `)` attr-dict
    (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites;
}

def LinalgExt_NonzeroOp : LinalgExt_Op<"nonzero", 2> {
  let summary = "the places of elements that are not zero";
  let description = [{
    `count`, of rank 0, is how many elements of `input`, of rank r, are not zero (a NaN is not).
    Column c of `indices`, r x n, is the place of number c of them in row-major order, one row for
    each dimension; of what follows the first `count` columns nothing is written. There are no more
    than n.

    ```mlir
    %i, %c = linalg_ext.nonzero ins(%m : tensor<?x8xi1>)
        outs(%a, %b : tensor<2x?xi64>, tensor<i64>) -> tensor<2x?xi64>, tensor<i64>
    ```
  }];
  let arguments = (ins Numbers:$input, Places:$indices, Places:$count);
  let assemblyFormat = [{
    `ins` `(` $input `:` type($input) `)`
    `outs` `(` $indices `,` $count `:` type($indices) `,` type($count) `)` attr-dict
    (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites;
}

def LinalgExt_ScatterOp : LinalgExt_Op<"scatter", 1> {
  let summary = "put slices where indices say";
  let description = [{
    `indices` is n x d, `updates` has n slices, each of the shape of `out` without its first d
    dimensions. For n in ascending order, slice n goes to the place in `out` that row n of `indices`
    names: with `none` in place of what is there, else combined with it: `add`, `mul`, `min` or
    `max`; of floats, a NaN stays one. A negative index counts from the end of its dimension. A
    slice whose place is outside of `out` is left out.

    ```mlir
    %y = linalg_ext.scatter add ins(%i, %u : tensor<?x1xi64>, tensor<?x40xf32>)
        outs(%x : tensor<?x40xf32>) -> tensor<?x40xf32>
    ```
  }];
  let arguments = (ins LinalgExt_CombiningAttr:$combining, UnitAttr:$is_unsigned, Places:$indices,
                       Numbers:$updates, Numbers:$out);
  let assemblyFormat = [{
    $combining (`unsigned` $is_unsigned^)?
    `ins` `(` $indices `,` $updates `:` type($indices) `,` type($updates) `)`
    `outs` `(` $out `:` type($out) `)` attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # [{
    static bool readsDestinations() { return true; }
  }];
}

def LinalgExt_ScanOp : LinalgExt_Op<"scan", 1> {
  let summary = "sums of all elements up to each";
  let description = [{
    Along `dimension`, an element of `out` is the combination of the elements of `input` up to its
    place and including it: their sum, with `mul` their product, with `min` or `max` the smallest or
    largest. With `exclusive` its own is not included; the first is then 0, or 1, or the largest or
    smallest number there is. With `reverse` the elements are those from its place on. Floats of 16
    bits are combined in f32 and rounded once for each element of `out`.

    ```mlir
    %y = linalg_ext.scan add dimension 1 ins(%x : tensor<?x8xf32>) outs(%i : tensor<?x8xf32>)
        -> tensor<?x8xf32>
    ```
  }];
  let arguments = (ins LinalgExt_CombiningAttr:$combining,
                       ConfinedAttr<I64Attr, [IntNonNegative]>:$dimension, UnitAttr:$exclusive,
                       UnitAttr:$reverse, UnitAttr:$is_unsigned, Numbers:$input, Numbers:$out);
  let assemblyFormat = [{
    $combining `dimension` $dimension (`exclusive` $exclusive^)? (`reverse` $reverse^)?
    (`unsigned` $is_unsigned^)? `ins` `(` $input `:` type($input) `)`
    `outs` `(` $out `:` type($out) `)` attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites;
}

#endif // MOEC_DIALECTS_LINALGEXT_LINALGEXTOPS_TD
