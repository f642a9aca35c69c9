// The ops of the lm dialect, in the order in which a model runs them.

#ifndef MOEC_DIALECTS_LM_LMOPS_TD
#define MOEC_DIALECTS_LM_LMOPS_TD

include "dialects/lm/LmGraphOps.td"

def Lm_LoadWeightOp : Lm_Op<"load_weight",
                            [Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "the weight of a layer";
  let description = [{
    The tensor of `weight` for `layer`, or the only one where no layer is given.

    ```mlir
    %w = lm.load_weight @up[%layer] : !lm.weight<8x28x40xf32>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$weight, Optional<Index>:$layer);
  let results = (outs Lm_WeightType:$result);
  let assemblyFormat = "$weight (`[` $layer^ `]`)? `:` type($result) attr-dict";
}

def Lm_LayerKindOp : Lm_Op<"layer_kind", [Pure]> {
  let summary = "the kind of a layer";
  let description = [{
    Entry `layer` of `kinds`.

    ```mlir
    %kind = lm.layer_kind %layer of [0, 1, 0, 0]
    ```
  }];
  let arguments = (ins Index:$layer, DenseI64ArrayAttr:$kinds);
  let results = (outs Index:$kind);
  let assemblyFormat = "$layer `of` $kinds attr-dict";
  let hasFolder = 1;
}

// Computing ops

class Lm_DestinationOp<string mnemonic, int destinations, list<Trait> traits = []>
    : DestinationOp<Lm_Dialect, mnemonic, destinations, traits>;

def Lm_EmbeddingOp : Lm_DestinationOp<"embedding", 1, [RowWiseOpInterface]> {
  let summary = "the embedding of each token";
  let description = [{
    Row t of `out` (T x H) is row `ids[t]` of `table` (V x H), of a quantised one what its codes
    stand for, rounded once to the element type of `out`.

    ```mlir
    %h = lm.embedding ins(%ids, %w : tensor<?xi32>, !lm.weight<341x40xf32>)
        outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
    ```
  }];
  let arguments = (ins Ids:$ids, Weight<2>:$table, FloatRows:$out);
  let assemblyFormat = [{
    `ins` `(` $ids `,` $table `:` type($ids) `,` type($table) `)` `outs` `(` $out `:` type($out) `)`
    attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # ReadsWhole<["Table"]>.declaration
      # overwrites;
}

def Lm_RmsNormOp : Lm_DestinationOp<"rms_norm", 1, [RowWiseOpInterface]> {
  let summary = "root mean square norm";
  let description = [{
    Each row is cut into `heads` equal parts (1 unless given); each part x becomes `x / sqrt(mean(x
    * x) + epsilon) * weight`, in f32, rounded once to the element type of `out`. `weight` is as
    long as a part; without one the product ends before it.

    ```mlir
    %y = lm.rms_norm epsilon 1.0e-5 ins(%x, %w : tensor<?x40xf32>, !lm.weight<40xf32>)
        outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
    ```
  }];
  let arguments = (ins F32Attr:$epsilon,
                       DefaultValuedAttr<ConfinedAttr<I64Attr, [IntPositive]>, "1">:$heads,
                       FloatRows:$input, Optional<Weight<1>>:$weight, Rows:$out);
  let assemblyFormat = [{
    `epsilon` $epsilon (`heads` $heads^)? `ins` `(` $input (`,` $weight^)? `:` type($input)
    (`,` type($weight)^)? `)`
    `outs` `(` $out `:` type($out) `)` attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # ReadsWhole<["Weight"]>.declaration
      # overwrites;
}

def Lm_LayerNormOp : Lm_DestinationOp<"layer_norm", 1, [RowWiseOpInterface]> {
  let summary = "norm by mean and variance";
  let description = [{
    With m the mean of a row x and v that of the squares of x - m, row t of `out` is `(x - m) /
    sqrt(v + epsilon) * weight + bias`, in f32, rounded once to the element type of `out`.

    ```mlir
    %y = lm.layer_norm epsilon 1.0e-6
        ins(%x, %w, %b : tensor<?x40xf32>, !lm.weight<40xf32>, !lm.weight<40xf32>)
        outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
    ```
  }];
  let arguments = (ins F32Attr:$epsilon, FloatRows:$input, Weight<1>:$weight, Weight<1>:$bias,
                       Rows:$out);
  let assemblyFormat = [{
    `epsilon` $epsilon `ins` `(` $input `,` $weight `,` $bias
    `:` type($input) `,` type($weight) `,` type($bias) `)`
    `outs` `(` $out `:` type($out) `)` attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # ReadsWhole<["Weight", "Bias"]>.declaration
      # overwrites;
}

def Lm_LinearOp : Lm_DestinationOp<"linear", 1, [RowWiseOpInterface]> {
  let summary = "product with a weight";
  let description = [{
    `out = input * transpose(weight) + bias`: input T x M, weight N x M, bias N. With `accumulate`
    that is added to what `out` holds. All in f32; of rows of bf16 floats of the weight are rounded
    to bf16 first. An input of i8 is quantised (`lm.quantize`) for a weight that is.

    ```mlir
    %y = lm.linear ins(%x, %w : tensor<?x40xf32>, !lm.weight<48x40xf32>) outs(%i : tensor<?x48xf32>)
        -> tensor<?x48xf32>
    ```
  }];
  let arguments = (ins UnitAttr:$accumulate, OperandRows:$input, Weight<2>:$weight,
                       Optional<Weight<1>>:$bias, FloatRows:$out);
  let assemblyFormat = [{
    (`accumulate` $accumulate^)? `ins` `(` $input `,` $weight `:` type($input) `,` type($weight) `)`
    (`bias` `(` $bias^ `:` type($bias) `)`)? `outs` `(` $out `:` type($out) `)` attr-dict
    (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # ReadsWhole<["Weight", "Bias"]>.declaration
      # accumulates;
}

def Lm_ClampOp : Lm_DestinationOp<"clamp", 1, [RowWiseOpInterface]> {
  let summary = "limit every element";
  let description = [{
    `out = min(max(input, -limit), limit)`.

    ```mlir
    %y = lm.clamp 8.0 ins(%x : tensor<?x48xf32>) outs(%i : tensor<?x48xf32>) -> tensor<?x48xf32>
    ```
  }];
  let arguments = (ins F32Attr:$limit, FloatRows:$input, FloatRows:$out);
  let assemblyFormat = [{
    $limit `ins` `(` $input `:` type($input) `)` `outs` `(` $out `:` type($out) `)` attr-dict
    (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites;
}

def Lm_RopeTableOp : Lm_DestinationOp<"rope_table", 2, [RowWiseOpInterface]> {
  let summary = "cosines and sines of each row's position";
  let description = [{
    `cosines[t, i] = factor * cos(positions[t] * frequencies[i])`, the product rounded to f32, and
    likewise the sines.

    ```mlir
    %c, %s = lm.rope_table frequencies [1.0, 0.1] factor 1.0 ins(%p : tensor<?xi32>)
        outs(%a, %b : tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>, tensor<?x2xf32>
    ```
  }];
  let arguments = (ins DenseF32ArrayAttr:$frequencies, F32Attr:$factor, Ids:$positions,
                       FloatRows:$cosines, FloatRows:$sines);
  let assemblyFormat = [{
    `frequencies` custom<ExactFloats>($frequencies) `factor` $factor
    `ins` `(` $positions `:` type($positions) `)`
    `outs` `(` $cosines `,` $sines `:` type($cosines) `,` type($sines) `)` attr-dict
    (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites;
}

def Lm_RopeOp : Lm_DestinationOp<"rope", 1, [RowWiseOpInterface]> {
  let summary = "rotate queries or keys by their position";
  let description = [{
    Each row is cut into `heads` equal parts, of which x is what follows the `first` entries (none
    unless given). With c and s the row's cosines and sines, n of them, x[i] and x[i + n] become
    `x[i] c[i] - x[i+n] s[i]` and `x[i+n] c[i] + x[i] s[i]` for i < n; other entries stay. With
    `interleaved` the pairs are x[2i] and x[2i + 1]. In f32, rounded once to the element type of
    `out`.

    ```mlir
    %r = lm.rope heads 4 ins(%q, %c, %s : tensor<?x48xf32>, tensor<?x6xf32>, tensor<?x6xf32>)
        outs(%i : tensor<?x48xf32>) -> tensor<?x48xf32>
    ```
  }];
  let arguments = (ins ConfinedAttr<I64Attr, [IntPositive]>:$heads,
                       DefaultValuedAttr<ConfinedAttr<I64Attr, [IntNonNegative]>, "0">:$first,
                       UnitAttr:$interleaved, FloatRows:$input, FloatRows:$cosines,
                       FloatRows:$sines, Rows:$out);
  let assemblyFormat = [{
    `heads` $heads (`first` $first^)? (`interleaved` $interleaved^)?
    `ins` `(` $input `,` $cosines `,` $sines
    `:` type($input) `,` type($cosines) `,` type($sines) `)`
    `outs` `(` $out `:` type($out) `)` attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites;
}

def Lm_TemperatureOp : Lm_DestinationOp<"temperature", 1, [RowWiseOpInterface]> {
  let summary = "scale queries by how far their positions are";
  let description = [{
    Row t of `out` is row t of `input` times `1 + scale * ln(1 + floor((positions[t] + 1) /
    interval))`, in f32, rounded once to the element type of `out`.

    ```mlir
    %y = lm.temperature interval 8192 scale 0.1 ins(%q, %p : tensor<?x48xf32>, tensor<?xi32>)
        outs(%i : tensor<?x48xf32>) -> tensor<?x48xf32>
    ```
  }];
  let arguments = (ins ConfinedAttr<I64Attr, [IntPositive]>:$interval, F32Attr:$scale,
                       FloatRows:$input, Ids:$positions, Rows:$out);
  let assemblyFormat = [{
    `interval` $interval `scale` $scale `ins` `(` $input `,` $positions
    `:` type($input) `,` type($positions) `)`
    `outs` `(` $out `:` type($out) `)` attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites;
}

def Lm_SliceHeadsOp : Lm_DestinationOp<"slice_heads", 1, [RowWiseOpInterface]> {
  let summary = "some entries of each head";
  let description = [{
    Each row of `input` is cut into `heads` equal parts; the same part of `out` is as many of its
    entries as fit, from number `first` on, rounded to the element type of `out`.

    ```mlir
    %y = lm.slice_heads heads 4 first 8 ins(%x : tensor<?x48xf32>) outs(%i : tensor<?x16xf32>)
        -> tensor<?x16xf32>
    ```
  }];
  let arguments = (ins ConfinedAttr<I64Attr, [IntPositive]>:$heads,
                       ConfinedAttr<I64Attr, [IntNonNegative]>:$first, FloatRows:$input, Rows:$out);
  let assemblyFormat = [{
    `heads` $heads `first` $first `ins` `(` $input `:` type($input) `)`
    `outs` `(` $out `:` type($out) `)` attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites;
}

def Lm_JoinHeadsOp : Lm_DestinationOp<"join_heads", 1, [RowWiseOpInterface]> {
  let summary = "two parts of each head side by side";
  let description = [{
    Part h of `out`, of `heads` equal ones, is part h of `left`, then part h of `right`; or all of
    `right`, where it is too short to have more than one. Entries are rounded to the element type of
    `out`.

    ```mlir
    %y = lm.join_heads heads 4 ins(%a, %b : tensor<?x32xf32>, tensor<?x4xf32>)
        outs(%i : tensor<?x48xf32>) -> tensor<?x48xf32>
    ```
  }];
  let arguments = (ins ConfinedAttr<I64Attr, [IntPositive]>:$heads, FloatRows:$left,
                       FloatRows:$right, Rows:$out);
  let assemblyFormat = [{
    `heads` $heads `ins` `(` $left `,` $right `:` type($left) `,` type($right) `)`
    `outs` `(` $out `:` type($out) `)` attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites;
}

def Lm_HeadLinearOp : Lm_DestinationOp<"head_linear", 1, [RowWiseOpInterface]> {
  let summary = "product of each head with a weight of its own";
  let description = [{
    With `weight` n x N x M, each row of `input` is n parts of M entries; part h of `out`, of N
    entries, is that of `input` times the transpose of matrix h, summed in f32 and rounded once to
    the element type of `out`.

    ```mlir
    %y = lm.head_linear ins(%x, %w : tensor<?x48xf32>, !lm.weight<4x20x12xf32>)
        outs(%i : tensor<?x80xf32>) -> tensor<?x80xf32>
    ```
  }];
  let arguments = (ins Rows:$input, Weight<3>:$weight, Rows:$out);
  let assemblyFormat = [{
    `ins` `(` $input `,` $weight `:` type($input) `,` type($weight) `)`
    `outs` `(` $out `:` type($out) `)` attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # ReadsWhole<["Weight"]>.declaration
      # overwrites;
}

def Lm_CacheAppendOp : Lm_Op<"cache_append", [DeclareOpInterfaceMethods<MemoryEffectsOpInterface>,
                                              DeclareOpInterfaceMethods<SymbolUserOpInterface>,
                                              RowWiseOpInterface]> {
  let summary = "store the keys and values of the step's rows";
  let description = [{
    Rounds `keys` and `values` (T x heads*size each) to the cache's element type and stores them at
    their rows' positions. A latent cache has keys alone.

    ```mlir
    lm.cache_append @attention[%layer] of %batch ins(%k, %v : tensor<?x24xf32>, tensor<?x24xf32>)
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$cache, Index:$layer, Lm_BatchType:$batch, Rows:$keys,
                       Optional<Rows>:$values);
  let assemblyFormat = [{
    $cache `[` $layer `]` `of` $batch `ins` `(` $keys (`,` $values^)? `:` type($keys)
    (`,` type($values)^)? `)` attr-dict
  }];
}

def Lm_ChooseKeysOp : Lm_DestinationOp<"choose_keys", 1,
                                       [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "choose the positions that each row attends to";
  let description = [{
    Row t of `out` (T x 1 + K) holds how many positions it chooses, then these, ascending: of the
    positions of its sequence up to its own the K of the largest score, or all where they are no
    more; equal scores go to the lower position, and a NaN counts as largest. What follows them is
    undefined. The score of position p is `scale` times the sum over the heads j of `weights[t, j] *
    max(queries_j . key_p, 0)`, in f32; `queries` are T x heads*size, `cache` has one head of keys.
    A sequence has at most `context` positions, of which there are 2^20 at most.

    ```mlir
    %c = lm.choose_keys @index[%layer] of %batch scale 0.01 context 4096
        ins(%q, %w : tensor<?x128xf32>, tensor<?x4xf32>)
        outs(%i : tensor<?x9xi32>) -> tensor<?x9xi32>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$cache, F32Attr:$scale,
                       ConfinedAttr<I64Attr, [IntPositive]>:$context, Index:$layer,
                       Lm_BatchType:$batch, FloatRows:$queries, FloatRows:$weights, IdRows:$out);
  let assemblyFormat = [{
    $cache `[` $layer `]` `of` $batch `scale` $scale `context` $context
    `ins` `(` $queries `,` $weights `:` type($queries) `,` type($weights) `)`
    `outs` `(` $out `:` type($out) `)` attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites;
}

def Lm_AttentionOp : Lm_DestinationOp<"attention", 1,
                                      [AttrSizedOperandSegments,
                                       DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "attention of the step's rows to the cache";
  let description = [{
    Row t of `out`, head j: the softmax, over the positions p that row t sees, of `scale * (query_j
    . key_p)` weighs the values. A row sees the positions of its sequence up to its own, of which a
    cache with a window or chunks keeps the latest. Query head j reads the key head `j / (query
    heads / key heads)`. With `sinks`, the softmax of head j is over one more score, entry j of
    them, which weighs nothing. With `chosen`, as `lm.choose_keys` makes them, a row sees these
    positions alone; the cache is indexed then. A number there that no choice can be counts as the
    nearest that can. `queries` are T x heads*size, `out` as many heads of the values' size;
    `queries` are f32 or of the cache's element type. The probabilities are rounded to the cache's
    element type for their product with the values, unless the cache is indexed; the softmax is
    taken block by block of the cache, or of as many chosen positions, in ascending order.

    ```mlir
    %o = lm.attention @attention[%layer] of %batch scale 0.28 ins(%q : tensor<?x48xf32>)
        outs(%i : tensor<?x48xf32>) -> tensor<?x48xf32>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$cache, F32Attr:$scale, Index:$layer, Lm_BatchType:$batch,
                       Rows:$queries, Optional<Weight<1>>:$sinks, Optional<IdRows>:$chosen,
                       Rows:$out);
  let assemblyFormat = [{
    $cache `[` $layer `]` `of` $batch `scale` $scale `ins` `(` $queries `:` type($queries) `)`
    (`sinks` `(` $sinks^ `:` type($sinks) `)`)? (`chosen` `(` $chosen^ `:` type($chosen) `)`)?
    `outs` `(` $out `:` type($out) `)`
    attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites;
}

include "dialects/lm/LmPieceOps.td"

def Lm_RecordRoutingOp : Lm_Op<"record_routing",
                               [DeclareOpInterfaceMethods<MemoryEffectsOpInterface>,
                                RowWiseOpInterface]> {
  let summary = "give the caller a layer's routing";
  let description = [{
    Copies `experts` and `weights` (T x K) to the caller's record of MoE layer `ordinal`, if it
    wants one; `picked` is the widest K of the model.

    ```mlir
    lm.record_routing %ordinal of %batch picked 2 ins(%e, %w : tensor<?x2xi32>, tensor<?x2xf32>)
    ```
  }];
  let arguments = (ins Index:$ordinal, Lm_BatchType:$batch,
                       ConfinedAttr<I64Attr, [IntPositive]>:$picked, IdRows:$experts,
                       FloatRows:$weights);
  let assemblyFormat = [{
    $ordinal `of` $batch `picked` $picked
    `ins` `(` $experts `,` $weights `:` type($experts) `,` type($weights) `)` attr-dict
  }];
}

def Lm_RecordLargestOp : Lm_Op<"record_largest",
                               [DeclareOpInterfaceMethods<MemoryEffectsOpInterface>,
                                RowWiseOpInterface]> {
  let summary = "give the caller the largest logits of each row";
  let description = [{
    Of each row of `logits` (R x V) and each `piece` columns of it, the last of which may be fewer,
    gives the caller the `count` largest with their columns, if it wants them: largest first, equal
    ones by ascending column, zeros of both signs being equal. What is no number, and +infinity,
    counts as larger than all numbers, and as equal. Where the piece has fewer columns the others
    are -1.

    ```mlir
    lm.record_largest 4 of each 512 of %batch ins(%l : tensor<?x341xf32>)
    ```
  }];
  let arguments = (ins ConfinedAttr<I64Attr, [IntPositive]>:$count,
                       ConfinedAttr<I64Attr, [IntPositive]>:$piece, Lm_BatchType:$batch,
                       FloatRows:$logits);
  let assemblyFormat = [{
    $count `of` `each` $piece `of` $batch `ins` `(` $logits `:` type($logits) `)` attr-dict
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// How many pieces a row has.
    int64_t pieces();
  }];
}

def Lm_ScaleRowsOp : Lm_DestinationOp<"scale_rows", 1, [RowWiseOpInterface]> {
  let summary = "scale each row by the sigmoid of its gate";
  let description = [{
    Row t of `out` is row t of `input` times `sigmoid(gate[t, 0])`.

    ```mlir
    %y = lm.scale_rows ins(%x, %g : tensor<?x40xf32>, tensor<?x1xf32>) outs(%i : tensor<?x40xf32>)
        -> tensor<?x40xf32>
    ```
  }];
  let arguments = (ins FloatRows:$input, FloatRows:$gate, FloatRows:$out);
  let assemblyFormat = [{
    `ins` `(` $input `,` $gate `:` type($input) `,` type($gate) `)`
    `outs` `(` $out `:` type($out) `)` attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites;
}

def Lm_AddOp : Lm_DestinationOp<"add", 1, [RowWiseOpInterface]> {
  let summary = "sum of two streams";
  let description = [{
    `out = left + right`. The destination may be one of the summands.

    ```mlir
    %y = lm.add ins(%a, %b : tensor<?x40xf32>, tensor<?x40xf32>) outs(%i : tensor<?x40xf32>)
        -> tensor<?x40xf32>
    ```
  }];
  let arguments = (ins FloatRows:$left, FloatRows:$right, FloatRows:$out);
  let assemblyFormat = [{
    `ins` `(` $left `,` $right `:` type($left) `,` type($right) `)`
    `outs` `(` $out `:` type($out) `)` attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # [{
    static bool readsDestinations() { return false; }
    static bool isElementwise() { return true; }
  }];
}

def Lm_RoundOp : Lm_DestinationOp<"round", 1, [RowWiseOpInterface]> {
  let summary = "round to the element type of a product's operands";
  let description = [{
    `out` is `input`, each element rounded to nearest, ties to even.

    ```mlir
    %y = lm.round ins(%x : tensor<?x40xf32>) outs(%i : tensor<?x40xbf16>) -> tensor<?x40xbf16>
    ```
  }];
  let arguments = (ins FloatRows:$input, Rows:$out);
  let assemblyFormat = [{
    `ins` `(` $input `:` type($input) `)` `outs` `(` $out `:` type($out) `)` attr-dict
    (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites;
}

def Lm_QuantizeOp : Lm_DestinationOp<"quantize", 1, [RowWiseOpInterface]> {
  let summary = "make integers of the operand of a product with a quantised weight";
  let description = [{
    Cuts each row into blocks of `block` elements, the last one filled up with zeros, and writes for
    each, with m its largest magnitude: `x * (127 / m)` in f32, rounded to nearest with ties to
    even, as i8; the scale, `m / 127`, as f32; and the sum of the integers as i32. Where m is zero,
    all are.

    ```mlir
    %y = lm.quantize block 32 ins(%x : tensor<?x40xf32>) outs(%i : tensor<?x80xi8>)
        -> tensor<?x80xi8>
    ```
  }];
  let arguments = (ins ConfinedAttr<I64Attr, [IntPositive]>:$block, FloatRows:$input,
                       ByteRows:$out);
  let assemblyFormat = [{
    `block` $block `ins` `(` $input `:` type($input) `)` `outs` `(` $out `:` type($out) `)`
    attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites;
}

def Lm_SelectRowsOp : Lm_DestinationOp<"select_rows", 1, [RowWiseOpInterface]> {
  let summary = "some rows";
  let description = [{
    Row r of `out` (R x H) is row `rows[r]` of `input` (T x H).

    ```mlir
    %y = lm.select_rows ins(%h, %rows : tensor<?x40xf32>, tensor<?xi32>) outs(%i : tensor<?x40xf32>)
        -> tensor<?x40xf32>
    ```
  }];
  let arguments = (ins FloatRows:$input, Ids:$rows, FloatRows:$out);
  let assemblyFormat = [{
    `ins` `(` $input `,` $rows `:` type($input) `,` type($rows) `)`
    `outs` `(` $out `:` type($out) `)` attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # ReadsWhole<["Input"]>.declaration
      # overwrites;
}

// Structure of a scheduled step

def Lm_RunPartOp : Lm_DestinationOp<"run_part", 1> {
  let summary = "have CPUs do a part of the step of a device";
  let description = [{
    Gives the rows of `inputs` to the step of the module's module `host`, which runs on CPUs and
    whose part `part` computes `out` of them, for `layer`; see `lm.part_rows`. All have T rows, one
    after another.

    ```mlir
    %y = lm.run_part 0 [%layer] of %batch
        ins(%x, %e, %w : tensor<?x40xbf16>, tensor<?x2xi32>, tensor<?x2xf32>)
        outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
    ```
  }];
  let arguments = (ins ConfinedAttr<I64Attr, [IntNonNegative]>:$part, Index:$layer,
                       Lm_BatchType:$batch,
                       Variadic<BufferOf<[F32, BF16, I8, I32], 2>>:$inputs, FloatRows:$out);
  let assemblyFormat = [{
    $part `[` $layer `]` `of` $batch `ins` `(` $inputs `:` type($inputs) `)`
    `outs` `(` $out `:` type($out) `)` attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites # [{
    /// Most of inputs and destination together.
    static constexpr int64_t kMostRows = 4;
  }];
}

def Lm_PhaseOp : Lm_Op<"phase", [AutomaticAllocationScope, SingleBlock, NoTerminator,
                                 RecursiveMemoryEffects]> {
  let summary = "work that the threads of a step share";
  let description = [{
    Runs its body, ops in order, once for every tile in [0, `tiles`), in any order and on any
    thread. Buffers that it reads or writes are those of the ops in its body; a barrier stands
    between phases where one needs what another wrote. How many tiles there are follows from the
    batch's counts, not from what an earlier phase wrote. Tiles are blocks of `rows` rows of the
    results (0: not cut along rows); where the results are cut into panels of columns too, a block,
    or an expert's share of it, has `panels` tiles one after another, of which number i multiplies
    with panel i of a weight (0: not cut along columns). So a weight's panels can lie near the
    threads that read them. Where there are several ops, all are row-wise and cut by rows alone. A
    `plain` phase has one tile and is lowered to plain loops, the reference of what kernels do.
    Where `warps` is not 0, so many warps of a GPU work on a tile together, an expert's share of it
    `rows` rows at a time.

    ```mlir
    lm.phase "linear" tiles(%n) rows 128 panels 1 {
    ^bb0(%tile: index):
      lm.linear ins(%x, %w : memref<?x40xf32>, !lm.weight<48x40xf32>) outs(%y : memref<?x48xf32>)
    }
    ```
  }];
  let arguments = (ins StrAttr:$name, UnitAttr:$plain, Index:$tiles,
                       ConfinedAttr<I64Attr, [IntNonNegative]>:$rows,
                       ConfinedAttr<I64Attr, [IntNonNegative]>:$panels,
                       DefaultValuedAttr<ConfinedAttr<I64Attr, [IntNonNegative]>, "0">:$warps);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    $name (`plain` $plain^)? `tiles` `(` $tiles `)` `rows` $rows `panels` $panels
    (`warps` $warps^)? $body attr-dict
  }];
  let hasRegionVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::BlockArgument getTile() { return getBody().getArgument(0); }
  }];
}

def Lm_BarrierOp : Lm_Op<"barrier", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "wait for what the phases before do";
  let description = [{
    No thread goes on before all tiles of the phases before are done.

    ```mlir
    lm.barrier
    ```
  }];
  let assemblyFormat = "attr-dict";
}

#endif // MOEC_DIALECTS_LM_LMOPS_TD
