// The ops of the moe dialect, in the order in which an expert layer runs them.

#ifndef MOEC_DIALECTS_MOE_MOEOPS_TD
#define MOEC_DIALECTS_MOE_MOEOPS_TD

include "dialects/DestinationStyle.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"

def Moe_Dialect : Dialect {
  let name = "moe";
  let cppNamespace = "::moec::moe";
  let summary = "the expert layer of a mixture-of-experts model";
  let description = [{
    Routing is an operation here, not traced control flow: `moe.route` chooses the experts of every
    token, and the other ops take that choice as data. Letters: T tokens, H hidden, E experts, K
    picked per token, F expert width.

    Every op is in destination style and takes tensors or memrefs. Sums are in f32, over the inner
    extent in ascending order or in a fixed tree; operands of products have the element types of
    their tensors, but floats of a weight are rounded to bf16 where rows of bf16 meet them. Weights
    are `[out, in]`, as checkpoints store them.
  }];
  let useDefaultAttributePrinterParser = 1;
}

def Moe_ScoreFunction : I32EnumAttr<"ScoreFunction", "how a router logit becomes a score", [
    I32EnumAttrCase<"None", 0, "none">, I32EnumAttrCase<"Softmax", 1, "softmax">,
    I32EnumAttrCase<"Sigmoid", 2, "sigmoid">]> {
  let cppNamespace = "::moec::moe";
}
def Moe_Weighing : I32EnumAttr<"Weighing", "how the score of a chosen expert becomes its weight", [
    I32EnumAttrCase<"AsIs", 0, "as_is">, I32EnumAttrCase<"Renormalize", 1, "renormalize">,
    I32EnumAttrCase<"Softmax", 2, "softmax">, I32EnumAttrCase<"Sigmoid", 3, "sigmoid">]> {
  let cppNamespace = "::moec::moe";
}
def Moe_GroupValue : I32EnumAttr<"GroupValue", "what a group of experts is worth", [
    I32EnumAttrCase<"Best", 0, "best">, I32EnumAttrCase<"BestTwo", 1, "best_two">]> {
  let cppNamespace = "::moec::moe";
  let genSpecializedAttr = 0;
}
def Moe_GroupValueParameter : EnumParameter<Moe_GroupValue>;
def Moe_GroupsAttr : AttrDef<Moe_Dialect, "Groups"> {
  let mnemonic = "groups";
  let summary = "which groups of experts a token chooses from";
  let description = [{
    The experts are `count` groups of adjacent ones; a token chooses from the `kept` groups of the
    largest value, equal ones going to the lower group. A group's value is the largest of its keys
    (`best`), or the sum in f32 of the two largest (`best_two`), of which a NaN counts as largest.
    Experts of other groups are never chosen, also where those of the kept ones have keys of minus
    infinity.
  }];
  let parameters = (ins "int64_t":$kept, "int64_t":$count, Moe_GroupValueParameter:$value);
  let assemblyFormat = "`<` $kept `of` $count `by` $value `>`";
  let genVerifyDecl = 1;
}
def Moe_ActivationKind : I32EnumAttr<"ActivationKind", "a function of one number", [
    I32EnumAttrCase<"Silu", 0, "silu">, I32EnumAttrCase<"Identity", 1, "identity">,
    I32EnumAttrCase<"Relu", 2, "relu">, I32EnumAttrCase<"ReluSquared", 3, "relu_squared">,
    I32EnumAttrCase<"Gelu", 4, "gelu">, I32EnumAttrCase<"GeluTanh", 5, "gelu_tanh">]> {
  let cppNamespace = "::moec::moe";
  let genSpecializedAttr = 0;
}
def Moe_ActivationKindParameter : EnumParameter<Moe_ActivationKind>;
def Moe_ActivationAttr : AttrDef<Moe_Dialect, "Activation"> {
  let mnemonic = "activation";
  let summary = "what joins the gate and the up product of an expert, or follows its only one";
  let description = [{
    `KIND limit L slope S shift B`: with gate g no larger than L, and up u within +-L,
    `a(g) (u + B)`; of one product x without a gate `a(x)`, which has neither limit nor shift.
    Without the words that is no limit, a slope of 1 and a shift of 0. The function `a` of x is x
    itself (`identity`), x or 0, whichever is larger (`relu`), the square of that (`relu_squared`),
    `x (1 + erf(x / sqrt 2)) / 2` (`gelu`), `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`
    (`gelu_tanh`) or `x sigmoid(S x)` (`silu`). In f32.
  }];
  let parameters = (ins Moe_ActivationKindParameter:$kind,
                        OptionalParameter<"::mlir::FloatAttr">:$limit,
                        OptionalParameter<"::mlir::FloatAttr">:$slope,
                        OptionalParameter<"::mlir::FloatAttr">:$shift);
  let assemblyFormat = "$kind (`limit` $limit^)? (`slope` $slope^)? (`shift` $shift^)?";
  let builders = [AttrBuilder<(ins "ActivationKind":$kind), [{
    return $_get($_ctxt, kind, nullptr, nullptr, nullptr);
  }]>];
  let genVerifyDecl = 1;
}

// How moe.route chooses and weighs, and moe.gate, which does so too.
defvar routingArguments = (ins DefaultValuedAttr<Moe_Weighing,
                                                 "::moec::moe::Weighing::AsIs">:$weighing,
                               DefaultValuedAttr<F32Attr, "0.0f">:$epsilon,
                               DefaultValuedAttr<F32Attr, "1.0f">:$scale,
                               OptionalAttr<Moe_GroupsAttr>:$groups, UnitAttr:$prefer_higher);
defvar routingFormat = "($weighing^)? (`epsilon` $epsilon^)? (`scale` $scale^)? "
                       "(`groups` $groups^)? (`prefer_higher` $prefer_higher^)?";

class Moe_Op<string mnemonic, int destinations, list<Trait> traits = []>
    : DestinationOp<Moe_Dialect, mnemonic, destinations, traits>;

def Moe_ScoreOp : Moe_Op<"score", 1, [RowWiseOpInterface]> {
  let summary = "turn router logits into scores";
  let description = [{
    `function` is `none` (the logits themselves), `softmax` (over the E logits of a token) or
    `sigmoid`.

    ```mlir
    %s = moe.score softmax ins(%logits : tensor<?x8xf32>) outs(%init : tensor<?x8xf32>)
        -> tensor<?x8xf32>
    ```
  }];
  let arguments = (ins Moe_ScoreFunction:$function, FloatRows:$logits, FloatRows:$scores);
  let assemblyFormat = [{
    $function `ins` `(` $logits `:` type($logits) `)` `outs` `(` $scores `:` type($scores) `)`
    attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites;
}

def Moe_RouteOp : Moe_Op<"route", 2, [RowWiseOpInterface]> {
  let summary = "choose the experts of every token";
  let description = [{
    Row `t` of `experts` holds the ids of the K experts of the largest keys, largest first; equal
    keys go to the lower id, or with `prefer_higher` to the higher one, and a NaN counts as largest.
    K is the extent of `experts`. An expert's key is its score in row `t`, plus its entry of
    `correction` where that is given; with `groups`, only experts of the groups that are kept are
    chosen.

    `weights` holds what becomes of the chosen scores s, which `correction` does not change: s
    itself (`as_is`); s divided by the sum of the K and `epsilon` (`renormalize`); the softmax over
    the K (`softmax`); or `sigmoid(s)` (`sigmoid`). Each is then multiplied by `scale`.

    ```mlir
    // Mixtral: 2 of 8 experts, whose weights sum to one.
    %e, %w = moe.route renormalize ins(%s : tensor<?x8xf32>)
        outs(%a, %b : tensor<?x2xi32>, tensor<?x2xf32>)
        -> tensor<?x2xi32>, tensor<?x2xf32>
    // DeepSeek V3: 8 of 256 experts, out of 4 of 8 groups.
    %e8, %w8 = moe.route renormalize epsilon 1.0e-20 scale 2.5 groups <4 of 8 by best_two>
        ins(%s256 : tensor<?x256xf32>)
        correction(%c : tensor<256xf32>) outs(%a8, %b8 : tensor<?x8xi32>, tensor<?x8xf32>)
        -> tensor<?x8xi32>, tensor<?x8xf32>
    ```
  }];
  let arguments = !con(routingArguments,
                       (ins FloatRows:$scores, Optional<Weight<1>>:$correction, IdRows:$experts,
                            FloatRows:$weights));
  let assemblyFormat = !strconcat(routingFormat, [{
    `ins` `(` $scores `:` type($scores) `)`
    (`correction` `(` $correction^ `:` type($correction) `)`)?
    `outs` `(` $experts `,` $weights `:` type($experts) `,` type($weights) `)` attr-dict
    (`->` type($results)^)?
  }]);
  let extraClassDeclaration = destinationDeclarations # ReadsWhole<["Correction"]>.declaration
      # overwrites;
}

def Moe_GateOp : Moe_Op<"gate", 2, [RowWiseOpInterface, AttrSizedOperandSegments]> {
  let summary = "fused: router product, score and route";
  let description = [{
    `moe.route` of `moe.score` of the product of `tokens` (T x H) and `router` (E x H), to which
    `bias` is added where that is given.

    ```mlir
    %e, %w = moe.gate softmax renormalize ins(%x, %r : tensor<?x40xf32>, tensor<8x40xf32>)
        outs(%a, %b : tensor<?x2xi32>, tensor<?x2xf32>) -> tensor<?x2xi32>, tensor<?x2xf32>
    ```
  }];
  let arguments = !con((ins Moe_ScoreFunction:$function), routingArguments,
                       (ins Rows:$tokens, Weight<2>:$router, Optional<Weight<1>>:$bias,
                            Optional<Weight<1>>:$correction,
                            IdRows:$experts, FloatRows:$weights));
  let assemblyFormat = !strconcat("$function", routingFormat, [{
    `ins` `(` $tokens `,` $router `:` type($tokens) `,` type($router) `)`
    (`bias` `(` $bias^ `:` type($bias) `)`)?
    (`correction` `(` $correction^ `:` type($correction) `)`)?
    `outs` `(` $experts `,` $weights `:` type($experts) `,` type($weights) `)` attr-dict
    (`->` type($results)^)?
  }]);
  let extraClassDeclaration = destinationDeclarations
      # ReadsWhole<["Router", "Bias", "Correction"]>.declaration # overwrites;
}

def Moe_PickSharedOp : Moe_Op<"pick_shared", 2, [RowWiseOpInterface]> {
  let summary = "let every token pick the shared experts as well";
  let description = [{
    Row `t` of `all_experts` holds row `t` of `experts`, then the ids `first_expert`, `first_expert`
    + 1 and so on, as many as `all_experts` has further columns. `all_weights` holds the row of
    `weights`, then for each of those 1, or `sigmoid(gate[t, 0])` where there is a gate.

    ```mlir
    // Two picks of eight experts; experts 8 and 9 are shared.
    %e2, %w2 = moe.pick_shared first_expert 8 ins(%e, %w : tensor<?x2xi32>, tensor<?x2xf32>)
        gate(%g : tensor<?x1xf32>)
        outs(%a, %b : tensor<?x4xi32>, tensor<?x4xf32>) -> tensor<?x4xi32>, tensor<?x4xf32>
    ```
  }];
  let arguments = (ins ConfinedAttr<I64Attr, [IntNonNegative]>:$first_expert, IdRows:$experts,
                       FloatRows:$weights, Optional<FloatRows>:$gate, IdRows:$all_experts,
                       FloatRows:$all_weights);
  let assemblyFormat = [{
    `first_expert` $first_expert `ins` `(` $experts `,` $weights
    `:` type($experts) `,` type($weights) `)`
    (`gate` `(` $gate^ `:` type($gate) `)`)?
    `outs` `(` $all_experts `,` $all_weights `:` type($all_experts) `,` type($all_weights) `)`
    attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites;
}

def Moe_DispatchOp : Moe_Op<"dispatch", 4> {
  let summary = "plan the rows of every expert";
  let description = [{
    Sorts the T x K picks by expert, keeping the order of (token, slot) within one. `rows` (T*K)
    holds the token of each sorted row; `inverse` (T*K) where the pick (t, k), at t*K + k, went.
    `offsets` (E + 1) bounds each expert's rows. `tiles` lists pieces of at most `tile_rows` rows of
    one expert as (expert, first row, rows), experts ascending: row 0 of `tiles` holds (number of
    pieces, 0, 0), the pieces follow; its extent is at least 1 + min(E, T*K) + T*K / tile_rows.

    ```mlir
    %rows, %inverse, %offsets, %tiles = moe.dispatch tile_rows 64 ins(%e : tensor<?x2xi32>)
        outs(%a, %b, %c, %d : tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>)
        -> tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>
    ```
  }];
  let arguments = (ins ConfinedAttr<I64Attr, [IntPositive]>:$tile_rows, IdRows:$experts, Ids:$rows,
                       Ids:$inverse, Ids:$offsets, IdRows:$tiles);
  let assemblyFormat = [{
    `tile_rows` $tile_rows `ins` `(` $experts `:` type($experts) `)`
    `outs` `(` $rows `,` $inverse `,` $offsets `,` $tiles `:`
    type($rows) `,` type($inverse) `,` type($offsets) `,` type($tiles) `)` attr-dict
    (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites;
}

def Moe_GroupedMatmulOp : Moe_Op<"grouped_matmul", 1, [AttrSizedOperandSegments]> {
  let summary = "multiply each expert's rows by its weight";
  let description = [{
    Row r of `out` (T*K x N) is row `rows[r]` of `input`, or row r where `rows` is not given, times
    the weight (N x M) of the expert whose tile holds r. Where `picks` are given, the experts and
    weights that `moe.route` chose (T x K), it is multiplied by the weight with which its token
    picked that expert; which is to weigh the input. Then that expert's `bias` (E x N x 1) is added,
    where that is given, and the result is what `activation`, one without a gate, makes of it. All
    that is in f32, and rounded once, to the element type of `out`. An input of i8 is quantised
    (`lm.quantize`) for weights that are.

    ```mlir
    %up = moe.grouped_matmul
        ins(%x, %w, %tiles : tensor<?x40xf32>, tensor<8x28x40xf32>, tensor<?x3xi32>)
        rows(%rows : tensor<?xi32>) outs(%init : tensor<?x28xf32>) -> tensor<?x28xf32>
    ```
  }];
  let arguments = (ins OptionalAttr<Moe_ActivationAttr>:$activation, OperandRows:$input,
                       Weight<3>:$weight, IdRows:$tiles, Optional<Ids>:$rows,
                       Optional<IdRows>:$experts, Optional<FloatRows>:$weights,
                       Optional<Weight<3>>:$bias, Rows:$out);
  let assemblyFormat = [{
    (`activation` $activation^)?
    `ins` `(` $input `,` $weight `,` $tiles `:` type($input) `,` type($weight) `,` type($tiles) `)`
    (`rows` `(` $rows^ `:` type($rows) `)`)?
    (`picks` `(` $experts^ `,` $weights `:` type($experts) `,` type($weights) `)`)?
    (`bias` `(` $bias^ `:` type($bias) `)`)? `outs` `(` $out `:` type($out) `)` attr-dict
    (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites;
}

def Moe_GatedActivationOp : Moe_Op<"gated_activation", 1, [RowWiseOpInterface]> {
  let summary = "join gate and up";
  let description = [{
    `out` is what `activation` makes of `gate` and `up`, element by element in f32, rounded once to
    the element type of `out`.

    ```mlir
    %a = moe.gated_activation silu ins(%gate, %up : tensor<?x28xf32>, tensor<?x28xf32>)
        outs(%init : tensor<?x28xf32>) -> tensor<?x28xf32>
    ```
  }];
  let arguments = (ins Moe_ActivationAttr:$activation, FloatRows:$gate, FloatRows:$up, Rows:$out);
  let assemblyFormat = [{
    $activation `ins` `(` $gate `,` $up `:` type($gate) `,` type($up) `)`
    `outs` `(` $out `:` type($out) `)`
    attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites;
}

def Moe_GroupedGluOp : Moe_Op<"grouped_glu", 1, [AttrSizedOperandSegments]> {
  let summary = "fused: gate and up products of each expert's rows, and their activation";
  let description = [{
    `moe.gated_activation` of the two `moe.grouped_matmul` by `gate` and `up` (each E x F x H), with
    the same `rows` and `picks`, and with biases of both or of none. What the products give stays
    f32; the result is rounded once, to the element type of `out`.

    ```mlir
    %a = moe.grouped_glu silu
        ins(%x, %g, %u, %tiles : tensor<?x40xf32>, tensor<8x28x40xf32>, tensor<8x28x40xf32>,
            tensor<?x3xi32>)
        rows(%rows : tensor<?xi32>) outs(%init : tensor<?x28xf32>) -> tensor<?x28xf32>
    ```
  }];
  let arguments = (ins Moe_ActivationAttr:$activation, OperandRows:$input, Weight<3>:$gate,
                       Weight<3>:$up, IdRows:$tiles, Optional<Ids>:$rows, Optional<IdRows>:$experts,
                       Optional<FloatRows>:$weights, Optional<Weight<3>>:$gate_bias,
                       Optional<Weight<3>>:$up_bias, Rows:$out);
  let assemblyFormat = [{
    $activation `ins` `(` $input `,` $gate `,` $up `,` $tiles
    `:` type($input) `,` type($gate) `,` type($up) `,` type($tiles) `)`
    (`rows` `(` $rows^ `:` type($rows) `)`)?
    (`picks` `(` $experts^ `,` $weights `:` type($experts) `,` type($weights) `)`)?
    (`biases` `(` $gate_bias^ `,` $up_bias `:` type($gate_bias) `,` type($up_bias) `)`)?
    `outs` `(` $out `:` type($out) `)` attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites;
}

def Moe_CombineOp : Moe_Op<"combine", 1, [RowWiseOpInterface]> {
  let summary = "weighted sum of each token's expert outputs";
  let description = [{
    Row t of `out` (T x H) is the sum over the slots k, in ascending order and in f32, of
    `weights[t, k]` times row `inverse[t*K + k]` of `input` (T*K x H), or of these rows alone where
    `weights` are not given; K is then `picked`. With `accumulate` that sum is added to what `out`
    holds.

    ```mlir
    %y = moe.combine ins(%d, %inverse, %w : tensor<?x40xf32>, tensor<?xi32>, tensor<?x2xf32>)
        outs(%init : tensor<?x40xf32>) -> tensor<?x40xf32>
    ```
  }];
  let arguments = (ins UnitAttr:$accumulate,
                       OptionalAttr<ConfinedAttr<I64Attr, [IntPositive]>>:$picked, FloatRows:$input,
                       Ids:$inverse, Optional<FloatRows>:$weights, FloatRows:$out);
  let assemblyFormat = [{
    (`accumulate` $accumulate^)? (`picked` $picked^)?
    `ins` `(` $input `,` $inverse (`,` $weights^)? `:` type($input) `,` type($inverse)
    (`,` type($weights)^)? `)` `outs` `(` $out `:` type($out) `)` attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # ReadsWhole<["Input", "Inverse"]>.declaration
      # [{
    bool readsDestinations() { return getAccumulate(); }
    /// K, the picks of a token.
    int64_t getNumPicked();
  }];
}

def Moe_ExpertFfnOp : Moe_Op<"expert_ffn", 1, [RowWiseOpInterface, AttrSizedOperandSegments]> {
  let summary = "fused: everything between the router's choice and the layer's output";
  let description = [{
    For each token the sum, over its picks in slot order, of the pick's weight times
    `down(activation(gate x, up x))` of that expert; that is `moe.dispatch`, `moe.grouped_glu`,
    `moe.grouped_matmul` and `moe.combine`. Without a gate it is `down(activation(up x))`, of two
    `moe.grouped_matmul`. With `weigh_input` the weight multiplies x instead. Each product has a
    bias of its expert where `biases` are given, for all of them. The inner result is rounded to
    `inner`, the type of the operands of the down product; i8 stands for
    `lm.quantize`, as its weight's format has it. Shared experts are experts that each token picks,
    see `moe.pick_shared`. With `accumulate` the sum is added to what `out` holds.

    ```mlir
    %y = moe.expert_ffn silu inner f32
        ins(%x, %e, %w : tensor<?x40xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
        experts(%g, %u, %d : tensor<8x28x40xf32>, tensor<8x28x40xf32>, tensor<8x40x28xf32>)
        outs(%init : tensor<?x40xf32>) -> tensor<?x40xf32>
    ```
  }];
  let arguments = (ins Moe_ActivationAttr:$activation, UnitAttr:$weigh_input, UnitAttr:$accumulate,
                       TypeAttrOf<AnyTypeOf<[F32, BF16, I8]>>:$inner, OperandRows:$tokens,
                       IdRows:$experts, FloatRows:$weights, Optional<Weight<3>>:$gate,
                       Weight<3>:$up, Weight<3>:$down, Optional<Weight<3>>:$gate_bias,
                       Optional<Weight<3>>:$up_bias, Optional<Weight<3>>:$down_bias,
                       FloatRows:$out);
  let assemblyFormat = [{
    $activation (`weigh_input` $weigh_input^)? (`accumulate` $accumulate^)? `inner` $inner
    `ins` `(` $tokens `,` $experts `,` $weights
    `:` type($tokens) `,` type($experts) `,` type($weights) `)`
    `experts` `(` custom<Products>($gate, $up, $down, type($gate), type($up), type($down)) `)`
    (`biases` `(` custom<Products>($gate_bias, $up_bias, $down_bias, type($gate_bias),
                                   type($up_bias), type($down_bias))^ `)`)?
    `outs` `(` $out `:` type($out) `)` attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations
      # ReadsWhole<["Gate", "Up", "Down", "GateBias", "UpBias", "DownBias"]>.declaration
      # accumulates;
}

#endif // MOEC_DIALECTS_MOE_MOEOPS_TD
