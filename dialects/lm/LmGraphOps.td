// The ops of the lm dialect that a graph has besides: its dimensions, inputs and outputs, and the
// tensors of its model.

#ifndef MOEC_DIALECTS_LM_LMGRAPHOPS_TD
#define MOEC_DIALECTS_LM_LMGRAPHOPS_TD

include "dialects/lm/LmBatchOps.td"

// What a buffer holds: numbers of whole bytes, or booleans, which take a byte each.
def StoredNumber : Type<CPred<"::moec::isStoredNumber($_self)">,
                        "a boolean, or an integer or float of whole bytes">;

def Lm_DimensionOp : Lm_Op<"dimension", [Pure]> {
  let summary = "a symbolic size of a graph";
  let description = [{
    The size that the shapes of the inputs give the dimension `name`.

    ```mlir
    %n = lm.dimension %batch "batch_size"
    ```
  }];
  let arguments = (ins Lm_BatchType:$batch, StrAttr:$name);
  let results = (outs Index:$size);
  let assemblyFormat = "$batch $name attr-dict";
}

class Lm_GraphBufferOp<string mnemonic> : Lm_Op<mnemonic, [Pure]> {
  let assemblyFormat = "$batch $name `(` $sizes `)` `:` type($value) attr-dict";
  let hasVerifier = 1;
  let hasCanonicalizer = 1;
  let extraClassDeclaration = [{
    /// The size of the result along one of its open dimensions.
    ::mlir::Value sizeOf(int64_t dimension) {
      auto type = ::llvm::cast<::mlir::ShapedType>(getValue().getType());
      return getSizes()[type.getDynamicDimIndex(dimension)];
    }
  }];
}

def Lm_GraphInputOp : Lm_GraphBufferOp<"graph_input"> {
  let summary = "what the caller gives a graph";
  let description = [{
    The input `name`. `sizes` are those that its type leaves open, in order; they follow from the
    dimensions of the graph. Nobody writes to it.

    ```mlir
    %x = lm.graph_input %batch "x"(%n) : tensor<?x40xf32>
    ```
  }];
  let arguments = (ins Lm_BatchType:$batch, StrAttr:$name, Variadic<Index>:$sizes);
  let results = (outs AnyTypeOf<[RankedTensorOf<[StoredNumber]>, MemRefOf<[StoredNumber]>]>:$value);
}

def Lm_GraphOutputOp : Lm_GraphBufferOp<"graph_output"> {
  let summary = "where a result of a graph goes";
  let description = [{
    The caller's buffer for the output `name`, as large as `sizes`, those that its type leaves open;
    they follow from the dimensions of the graph. See `lm.set_output_size` for a result that may be
    smaller.

    ```mlir
    %y = lm.graph_output %batch "y"(%n) : memref<?x40xf32>
    ```
  }];
  let arguments = (ins Lm_BatchType:$batch, StrAttr:$name, Variadic<Index>:$sizes);
  let results = (outs MemRefOf<[StoredNumber]>:$value);
}

def Lm_SetOutputSizeOp : Lm_Op<"set_output_size",
                               [DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "how much of a graph's output there is";
  let description = [{
    Tells the caller that of the buffer of the output `name` only the first `size` entries along
    `dimension` are the result. For sizes that follow from data.

    ```mlir
    lm.set_output_size %batch "y" dimension 1 to %n
    ```
  }];
  let arguments = (ins Lm_BatchType:$batch, StrAttr:$name,
                       ConfinedAttr<I64Attr, [IntNonNegative]>:$dimension, Index:$size);
  let assemblyFormat = "$batch $name `dimension` $dimension `to` $size attr-dict";
}

// Tensors of the model

def Lm_TensorOp : Lm_Op<"tensor", [Symbol]> {
  let summary = "a tensor of the model";
  let description = [{
    The tensor that the model calls `source`, held as it is stored, row by row; a boolean takes a
    byte. Of a product's matrix an `lm.weight` can be made instead. `offset` are the bytes from the
    base of the packed weights, once they are known.

    ```mlir
    lm.tensor @bias : tensor<3x40xi64> from "layers.0.bias"
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<RankedTensorOf<[StoredNumber]>>:$type,
                       StrAttr:$source, OptionalAttr<I64Attr>:$offset);
  let assemblyFormat = "$sym_name `:` $type `from` $source (`offset` $offset^)? attr-dict";
  let hasVerifier = 1;
}

def Lm_LoadTensorOp : Lm_Op<"load_tensor",
                            [Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "the elements of a tensor of the model";
  let description = [{
    The whole of `tensor`. Nobody writes to it.

    ```mlir
    %b = lm.load_tensor @bias : tensor<3x40xi64>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$tensor);
  let results = (outs AnyTypeOf<[StaticShapeTensorOf<[StoredNumber]>,
                                 StaticShapeMemRefOf<[StoredNumber]>]>:$value);
  let assemblyFormat = "$tensor `:` type($value) attr-dict";
}

#endif // MOEC_DIALECTS_LM_LMGRAPHOPS_TD
