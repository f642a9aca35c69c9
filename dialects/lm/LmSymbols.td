// The lm dialect, its attributes and types, and the symbols of a model: its weights and caches.

#ifndef MOEC_DIALECTS_LM_LMSYMBOLS_TD
#define MOEC_DIALECTS_LM_LMSYMBOLS_TD

include "dialects/DestinationStyle.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/BuiltinTypeInterfaces.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/SymbolInterfaces.td"

def Lm_Dialect : Dialect {
  let name = "lm";
  let cppNamespace = "::moec::lm";
  let summary = "what surrounds the experts of a language model";
  let description = [{
    Weights and caches are symbols, never constants: a program says where they are stored and how,
    and its text is as long for 61 layers of 256 experts as for 4 of 4. A function takes the batch
    of one step as a value of type `!lm.batch`. Letters: T tokens (rows of the step), H hidden, V
    vocabulary, R rows whose logits are wanted.

    Computing ops are in destination style, as those of `moe`. Sums are in f32.
  }];
  let useDefaultAttributePrinterParser = 1;
  let useDefaultTypePrinterParser = 1;
  // What folds becomes an arith.constant.
  let hasConstantMaterializer = 1;
  let dependentDialects = ["::mlir::arith::ArithDialect"];
}

// Attributes and types

def Lm_Layout : I32EnumAttr<"Layout", "how a packed matrix lies in memory", [
    I32EnumAttrCase<"Rows", 0, "rows">, I32EnumAttrCase<"Panels", 1, "panels">]> {
  let cppNamespace = "::moec::lm";
  let genSpecializedAttr = 0;
}
def Lm_LayoutParameter : EnumParameter<Lm_Layout>;

def Lm_QuantFormat : I32EnumAttr<"QuantFormat",
                                 "how the codes of a quantised weight are made and stored", [
    I32EnumAttrCase<"Int8", 0, "int8">, I32EnumAttrCase<"Int8Channel", 1, "int8_channel">,
    I32EnumAttrCase<"Int6", 2, "int6">, I32EnumAttrCase<"Int5", 3, "int5">,
    I32EnumAttrCase<"Int4", 4, "int4">,
    I32EnumAttrCase<"Int4Asymmetric", 5, "int4_asymmetric">, I32EnumAttrCase<"Mxfp4", 6, "mxfp4">,
    I32EnumAttrCase<"Fp8", 7, "fp8">, I32EnumAttrCase<"Fp8Block", 8, "fp8_block">]> {
  let cppNamespace = "::moec::lm";
  let genSpecializedAttr = 0;
}
def Lm_QuantFormatAttr : EnumAttr<Lm_Dialect, Lm_QuantFormat, "quant_format">;
def Lm_QuantFormatParameter : EnumParameter<Lm_QuantFormat>;

def Lm_QuantizedType : TypeDef<Lm_Dialect, "Quantized"> {
  let mnemonic = "quantized";
  let summary = "the elements of a quantised weight";
  let description = [{
    Small integers or floats with a scale for each group of them, see `runtime/core/Quantization.h`.
  }];
  let parameters = (ins Lm_QuantFormatParameter:$format);
  let assemblyFormat = "`<` $format `>`";
}

def Lm_ScalesAttr : AttrDef<Lm_Dialect, "Scales"> {
  let mnemonic = "scales";
  let summary = "what the codes of a stored tensor are multiplied by";
  let description = [{
    `pattern` names a tensor of the checkpoint with one number for each block of `rows` x `columns`
    codes (0: as many as there are) of the matrix, or of each expert's, as it is stored; the last
    block of a row or a column may be smaller.
  }];
  let parameters = (ins StringRefParameter<>:$pattern, DefaultValuedParameter<"int64_t", "0">:$rows,
                        DefaultValuedParameter<"int64_t", "0">:$columns);
  let assemblyFormat = "`<` struct($pattern, $rows, $columns) `>`";
}

def Lm_PieceAttr : AttrDef<Lm_Dialect, "Piece"> {
  let mnemonic = "piece";
  let summary = "rows of a stored tensor";
  let description = [{
    `pattern` names a tensor of the checkpoint; `{l}` stands for the layer, `{e}` for the expert or
    head. The piece is `rows` rows from `first_row` of that tensor, `row_step` apart; where one
    tensor holds several experts (no `{e}`), expert e's rows start `rows_per_expert * e` later, or,
    `side_by_side`, each stored row holds that row of one expert after the other. Of a `transposed`
    tensor the piece is columns instead, which `first_row` and `row_step` count, each as long as the
    weight has columns; expert e's begin at row `rows_per_expert * e`. `stored` is the element type
    in the file: a float, or, with `scales`, f8E4M3FN, a byte each, or f4E2M1FN, two in a byte, the
    first in its low half.

    The piece is for `experts` experts of the weight (0: for all that are left) from `first_expert`
    on, which is the piece's expert 0.
  }];
  let parameters = (ins StringRefParameter<>:$pattern, "int64_t":$rows,
                        DefaultValuedParameter<"int64_t", "0">:$first_row,
                        DefaultValuedParameter<"int64_t", "1">:$row_step,
                        DefaultValuedParameter<"int64_t", "0">:$rows_per_expert,
                        DefaultValuedParameter<"bool", "false">:$transposed,
                        DefaultValuedParameter<"bool", "false">:$side_by_side,
                        DefaultValuedParameter<"int64_t", "0">:$first_expert,
                        DefaultValuedParameter<"int64_t", "0">:$experts, "::mlir::Type":$stored,
                        OptionalParameter<"::moec::lm::ScalesAttr">:$scales);
  let assemblyFormat = [{
    `<` struct($pattern, $rows, $first_row, $row_step, $rows_per_expert, $transposed, $side_by_side,
               $first_expert, $experts, $stored, $scales) `>`
  }];
}
def Lm_PieceArrayAttr : TypedArrayAttrBase<Lm_PieceAttr, "pieces">;

def Lm_PackedAttr : AttrDef<Lm_Dialect, "Packed"> {
  let mnemonic = "packed";
  let summary = "how a program holds a weight";
  let description = [{
    `element` is the element type in memory, `layout` how each matrix lies (see the packed file's
    format), `offset` the bytes from the base of the packed weights, or, where weights are mapped,
    the weight's first entry in the table of pieces.
  }];
  let parameters = (ins Lm_LayoutParameter:$layout, "::mlir::Type":$element, "int64_t":$offset,
                        DefaultValuedParameter<"bool", "false">:$mapped);
  let assemblyFormat = "`<` struct($layout, $element, $offset, $mapped) `>`";
}

def Lm_BatchType : TypeDef<Lm_Dialect, "Batch"> {
  let mnemonic = "batch";
  let summary = "the rows of one step, their sequences and where their results go";
}

def Lm_WeightType : TypeDef<Lm_Dialect, "Weight", [ShapedTypeInterface]> {
  let mnemonic = "weight";
  let summary = "a weight, by reference";
  let description = [{
    A weight of the given shape; its layout in memory is that of its symbol. Element type: what is
    stored in the checkpoint.
  }];
  let parameters = (ins ArrayRefParameter<"int64_t">:$shape, "::mlir::Type":$elementType);
  let assemblyFormat = "`<` custom<WeightShape>($shape, $elementType) `>`";
  let extraClassDeclaration = [{
    bool hasRank() const { return true; }
    WeightType cloneWith(std::optional<::llvm::ArrayRef<int64_t>> shape,
                         ::mlir::Type elementType) const {
      return get(getContext(), shape.value_or(getShape()), elementType);
    }
  }];
}

// Symbols

class Lm_Op<string mnemonic, list<Trait> traits = []> : Op<Lm_Dialect, mnemonic, traits>;

def Lm_WeightOp : Lm_Op<"weight", [Symbol]> {
  let summary = "a weight of the model";
  let description = [{
    A stack of tensors of type `type`, one per entry of `layers` (one in all where it is empty). The
    first of three extents counts experts, of which a token uses those it picks, or `heads`, of
    which it uses all; what each has is a matrix, or one of `vectors`, as columns. `pieces` say
    which rows of which stored tensors they are, in order; those for other experts follow once the
    rows of the former are complete. `quantized` is the format that the weight is to have if not the
    stored one; `packed` is set once it is known how the program holds them.

    ```mlir
    lm.weight @up : !lm.weight<8x28x40xf32> layers [0, 1]
        from [#lm.piece<pattern = "model.layers.{l}.mlp.experts.{e}.up_proj.weight", rows = 28,
                        stored = f32>]
    lm.weight @down : !lm.weight<320x200xf8E4M3FN> layers [0, 1]
        from [#lm.piece<pattern = "model.layers.{l}.mlp.down_proj.weight", rows = 320,
                        stored = f8E4M3FN,
                        scales = <pattern = "model.layers.{l}.mlp.down_proj.weight_scale_inv",
                                  rows = 128, columns = 128>>]
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<Lm_WeightType>:$type, UnitAttr:$heads,
                       UnitAttr:$vectors, DenseI64ArrayAttr:$layers, Lm_PieceArrayAttr:$pieces,
                       OptionalAttr<Lm_QuantFormatAttr>:$quantized,
                       OptionalAttr<Lm_PackedAttr>:$packed);
  let assemblyFormat = [{
    $sym_name `:` $type (`heads` $heads^)? (`vectors` $vectors^)? `layers` $layers `from` $pieces
    (`quantized` $quantized^)? (`packed` $packed^)? attr-dict
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Whether it is a vector, or one for each expert or head.
    bool holdsVectors() { return getType().getShape().size() == 1 || getVectors(); }
    /// Whether it has one for each expert or head of a layer.
    bool isStack() { return getType().getShape().size() == 3; }
    /// How many of them a layer has: the experts or heads, or 1.
    int64_t getNumMatrices() { return isStack() ? getType().getShape()[0] : 1; }
    /// Experts in a layer; 0 for a weight without experts.
    int64_t getNumExperts() { return isStack() && !getHeads() ? getNumMatrices() : 0; }
    /// Experts or heads that one of the pieces is for; 1 for a weight without.
    int64_t getNumMatrices(PieceAttr piece) {
      return piece.getExperts() ? piece.getExperts() : getNumMatrices() - piece.getFirstExpert();
    }
    /// What its stored tensors are called at the end: "q_proj, k_proj, v_proj".
    std::string getSourceNames();
    /// Tensors in the stack: the layers, or 1.
    int64_t getNumOrdinals() { return getLayers().empty() ? 1 : getLayers().size(); }
  }];
}

def Lm_CacheOp : Lm_Op<"cache", [Symbol]> {
  let summary = "a group of layers whose keys and values live equally long";
  let description = [{
    Keys of `heads` heads of `size` elements, and values of as many or of `values`, for each of
    `layers`, in blocks of `block` positions, a multiple of 16. Of a `latent` cache the values are
    the first `values` elements of the keys, which are held once. Of an `indexed` one single
    positions are read. Where it lies in `rows`, which lm-pack-weights chooses, the elements of a
    position are adjacent. A `window` of W lets a row see the W latest positions including its own,
    a `chunk` of C those from the last multiple of C on; 0: all.

    ```mlir
    lm.cache @attention layers [0, 1] heads 2 size 12 block 32 : f32
    lm.cache @latent layers [0, 1] heads 1 size 48 values 32 latent block 32 : f32
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, DenseI64ArrayAttr:$layers,
                       ConfinedAttr<I64Attr, [IntPositive]>:$heads,
                       ConfinedAttr<I64Attr, [IntPositive]>:$size,
                       OptionalAttr<ConfinedAttr<I64Attr, [IntPositive]>>:$values, UnitAttr:$latent,
                       UnitAttr:$indexed, UnitAttr:$rows,
                       ConfinedAttr<I64Attr, [IntPositive]>:$block,
                       DefaultValuedAttr<ConfinedAttr<I64Attr, [IntNonNegative]>, "0">:$window,
                       DefaultValuedAttr<ConfinedAttr<I64Attr, [IntNonNegative]>, "0">:$chunk,
                       TypeAttrOf<AnyTypeOf<[F32, BF16]>>:$element);
  let assemblyFormat = [{
    $sym_name `layers` $layers `heads` $heads `size` $size (`values` $values^)? (`latent` $latent^)?
    (`indexed` $indexed^)? (`rows` $rows^)? `block` $block (`window` $window^)?
    (`chunk` $chunk^)? `:` $element attr-dict
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Elements of a head's value.
    int64_t getValueSize() { return getValues().value_or(getSize()); }
  }];
}

#endif // MOEC_DIALECTS_LM_LMSYMBOLS_TD
