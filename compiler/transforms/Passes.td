// The passes that rewrite within a level, in the order in which the stages run them.

#ifndef MOEC_COMPILER_TRANSFORMS_PASSES_TD
#define MOEC_COMPILER_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

// Optimize

def RaiseExperts : Pass<"moe-raise-experts", "::mlir::ModuleOp"> {
  let summary = "what computes a layer of experts becomes ops of moe";
  let description = [{
    Starts at each `linalg_ext.top_k` of rows and looks for a value in which all that follows from
    it comes together. An element of that value, as an expression of elements of other tensors, is
    proved to be a sum over the picks of a token, each a weight times what the chosen expert makes
    of the token: products with tensors of the model, their biases, and an activation. Which ops,
    in which order, does not matter: all experts may be computed and masked, or the tokens of each
    gathered and scattered, or the weights of each pick gathered. Becomes `moe.score`, `moe.route`
    and an expert layer; a router whose weights are other functions of the chosen scores stays.

    A layer that is not proved stays what it is; a remark, and the attribute `moec.not_raised` of
    the choice, say why.
  }];
  let dependentDialects = ["::moec::lm::LmDialect", "::moec::moe::MoeDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
  let statistics = [Statistic<"numRaised", "num-raised", "layers that became ops of moe">,
                    Statistic<"numKept", "num-kept", "layers that stayed what they were">];
}

def RaiseLinear : Pass<"lm-raise-linear", "::mlir::ModuleOp"> {
  let summary = "products with a tensor of a graph's model become lm.linear";
  let description = [{
    A contraction of rows of f32, however many dimensions count them, with an `lm.tensor` of rank 2
    becomes an `lm.linear` with an `lm.weight` of the same source, of whose columns, or rows, that
    is made. The tensor stays for what else reads it.
  }];
  let dependentDialects = ["::moec::lm::LmDialect", "::mlir::tensor::TensorDialect"];
  let statistics = [Statistic<"numRaised", "num-raised", "products that became linear">];
}

def FuseGate : Pass<"moe-fuse-gate"> {
  let summary = "router product, score and route become moe.gate";
  let description = [{
    Replaces `moe.route` of `moe.score` of `lm.linear` by `moe.gate`, where nobody else uses the
    logits or the scores and the product has no bias. A remark says why a route is left.
  }];
  let dependentDialects = ["::moec::moe::MoeDialect"];
  let statistics = [Statistic<"numFused", "num-fused", "gates made">];
}

def FuseExperts : Pass<"moe-fuse-experts"> {
  let summary = "dispatch, expert products, activation and combine become moe.expert_ffn";
  let description = [{
    Starts at each `moe.combine` and follows its operands to the down product, the gated activation
    with the gate and up products, or the one product with an activation, and the dispatch that all
    of them share. What does not match stays, and a remark says why.
  }];
  let dependentDialects = ["::moec::moe::MoeDialect"];
  let statistics = [Statistic<"numFused", "num-fused", "expert layers made">];
}

def FoldSharedExperts : Pass<"moe-fold-shared-experts", "::mlir::ModuleOp"> {
  let summary = "a shared expert becomes experts that every token picks";
  let description = [{
    Starts at each `lm.add` of a `moe.expert_ffn` and of a gated layer of the same tokens, n times
    as wide as an expert and perhaps scaled by a gate. The gated layer becomes n further experts,
    picked by `moe.pick_shared`: each weight of the experts takes in the rows, or for the down
    product the columns, of the shared one. Weights that several kinds of layers load are joined
    only if it can be folded in all of these places. What cannot be folded stays, and a remark says
    why.
  }];
  let dependentDialects = ["::moec::lm::LmDialect", "::moec::moe::MoeDialect",
                           "::mlir::tensor::TensorDialect"];
  let options = [Option<"mapped", "mapped", "bool", /*default=*/"false",
                        "weights stay in the checkpoint's files, so that none is folded">];
  let statistics = [Statistic<"numFolded", "num-folded",
                              "shared experts that became experts of a layer">];
}

def FuseQkv : Pass<"lm-fuse-qkv", "::mlir::ModuleOp"> {
  let summary = "products of the same rows become one";
  let description = [{
    Products without accumulation, other than routers, of the same input, by weights of the same
    layers and stored type which nobody else uses, become one product by a weight whose pieces are
    those of the former ones, in order; its columns are then cut apart. Biases likewise. Weights
    that are loaded in several places are joined only if each of these places multiplies one input
    by all of them, in the same order. A remark says why products stay apart.
  }];
  let dependentDialects = ["::moec::lm::LmDialect", "::mlir::tensor::TensorDialect"];
  let options = [Option<"mapped", "mapped", "bool", /*default=*/"false",
                        "weights stay in the checkpoint's files, so that none are joined">];
  let statistics = [Statistic<"numFused", "num-fused", "products that were merged into another">];
}

def FuseResidual : Pass<"lm-fuse-residual"> {
  let summary = "a sum into the residual stream happens where the summand is made";
  let description = [{
    `lm.add` of a stream and of a product, combination or expert layer, which nobody else uses,
    becomes accumulation onto the stream. A stream that is used afterwards is copied when it is
    bufferized.
  }];
  let dependentDialects = ["::moec::lm::LmDialect", "::moec::moe::MoeDialect"];
  let statistics = [Statistic<"numFused", "num-fused", "sums that went into their summand">];
}

def QuantizeWeights : Pass<"lm-quantize-weights", "::mlir::ModuleOp"> {
  let summary = "choose the weights that become integers, and quantise their inputs";
  let description = [{
    `formats` lists CLASS:FORMAT, with the classes `experts`, `attention`, `dense` (layers without
    experts, and shared experts that were not folded), `head`, `embedding`, or `all`. Such weights
    get the attribute `quantized`, and an `lm.quantize` makes what they are multiplied with. A table
    of embeddings that is the head as well counts as head, an indexer's projections as attention.
    Routers, gates, norms, biases and what `lm.head_linear` reads keep their type. It is an error
    that one op takes a weight as integers and another as something else.
  }];
  let dependentDialects = ["::moec::lm::LmDialect", "::mlir::tensor::TensorDialect"];
  let options = [Option<"formats", "formats", "std::string", /*default=*/"\"\"",
                        "CLASS:FORMAT,...">];
}

def ChoosePrecision : Pass<"lm-choose-precision", "::mlir::ModuleOp"> {
  let summary = "give the operands of products their element type";
  let description = [{
    With `activations` other than f32, the inputs of `lm.linear`, `moe.grouped_matmul`,
    `moe.grouped_glu` and `moe.expert_ffn`, the queries of `lm.attention` take that type, and with
    `cache` the caches do; queries of a cache of f32 stay f32. Ops that can round their result do
    so; otherwise an `lm.round` is put between. Routers keep f32, and what is quantised stays so.
  }];
  let dependentDialects = ["::moec::lm::LmDialect", "::mlir::tensor::TensorDialect"];
  let options = [Option<"activations", "activations", "std::string", /*default=*/"\"f32\"",
                        "f32 or bf16">,
                 Option<"cache", "cache", "std::string", /*default=*/"\"f32\"",
                        "what keys and values are rounded to: f32 or bf16">];
}

def CheckOptimized : Pass<"moec-check-optimized", "::mlir::ModuleOp"> {
  let summary = "what the optimize stage must leave behind";
  let description = [{
    One function, `step` or `graph`, of one block, which takes the batch and returns nothing; no op
    of a dialect that later stages do not know.
  }];
}

// Schedule

def PlaceExperts : Pass<"moe-place-experts", "::mlir::ModuleOp"> {
  let summary = "the routed experts of some layers go to CPUs";
  let description = [{
    The module's attribute `moec.placement` says where a GPU's program computes what:
    `{device_memory = 24000000000 : i64, host_layers = array<i64: 2, 3>}` are the bytes of the GPU
    that it is for, and the layers whose experts the host's CPUs do; all else is the GPU's. Nothing
    happens without it. Each `moe.expert_ffn` that such a layer may come to
    becomes, for these layers, a `lm.run_part`, whose result is then added where the layer
    accumulates; layers alike share a part. The parts are the cases of the step of a module in the
    module, `host`, which later passes compile for CPUs. The experts' weights are split: that of the
    same name in `host` has the host's layers, this module's has the others, and one that has none
    left is erased. It is an error that a layer has no experts, or experts which are not fused.
  }];
  let dependentDialects = ["::mlir::bufferization::BufferizationDialect",
                           "::mlir::func::FuncDialect", "::moec::lm::LmDialect",
                           "::moec::moe::MoeDialect", "::mlir::scf::SCFDialect",
                           "::mlir::tensor::TensorDialect"];
}

def PackWeights : Pass<"lm-pack-weights", "::mlir::ModuleOp"> {
  let summary = "choose how the program holds each weight";
  let description = [{
    Gives every `lm.weight` its `packed` attribute: vectors as f32 rows, tables as stored rows,
    matrices that are multiplied or quantised as panels (as rows where they are mapped and with
    `rows`; quantised ones then as bands of rows), one after another in the order of the module. A
    weight that nobody uses is erased. With `activations=bf16`, f32 and f16 matrices become bf16;
    those that are to be quantised have the
    elements of their format. Codes that the checkpoint stores are kept in a format that holds them
    as they are; where a group of its columns would have several scales they become floats of that
    type, also in tables. With `rows`, caches of bf16 that queries of bf16 attend to are rows as
    well.
  }];
  let dependentDialects = ["::moec::lm::LmDialect"];
  let options = [Option<"activations", "activations", "std::string", /*default=*/"\"f32\"",
                        "f32 or bf16">,
                 Option<"mapped", "mapped", "bool", /*default=*/"false",
                        "weights stay in the checkpoint's files">,
                 Option<"rows", "rows", "bool", /*default=*/"false",
                        "matrices are rows, quantised ones bands of them">];
}

def DecomposeExperts : Pass<"moe-decompose-experts", "::mlir::func::FuncOp"> {
  let summary = "moe.expert_ffn becomes the ops that are phases";
  let description = [{
    `moe.dispatch`, `moe.grouped_glu` or where there is no gate `moe.grouped_matmul`, a further one
    and `moe.combine`.
  }];
  let dependentDialects = ["::moec::moe::MoeDialect", "::mlir::arith::ArithDialect",
                           "::mlir::tensor::TensorDialect"];
  let options = [Option<"tileRows", "tile-rows", "int64_t", /*default=*/"64",
                        "rows in one tile of an expert">];
}

def RecordLargest : Pass<"lm-record-largest", "::mlir::func::FuncOp"> {
  let summary = "callers of a step on a device may ask for the largest logits alone";
  let description = [{
    Adds an `lm.record_largest` of what the step writes to the caller's logits: most tokens are
    chosen among the few largest, which cross to the host sooner than all.
  }];
  let dependentDialects = ["::moec::lm::LmDialect"];
}

def NoteFailures : Pass<"lm-note-failures", "::mlir::ModuleOp"> {
  let summary = "what a graph checks is told to its caller";
  let description = [{
    A `cf.assert` of the function `graph` writes, where it fails, its number among those of
    different words to a buffer of the caller, to whom the module's attribute `moec.graph` tells the
    words. Work behind it is left out then (lm-leave-out-failed). It is an error that something is
    checked in a branch or loop.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::moec::lm::LmDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect"];
}

def SeparateDestinations : Pass<"lm-separate-destinations", "::mlir::func::FuncOp"> {
  let summary = "each op of a graph has a destination of its own";
  let description = [{
    Of the function `graph`, before its tensors become buffers: every use of an empty tensor, or of
    one that is filled with one value, has another one. Those that many ops share would be copied,
    and take bufferization a time that is quadratic in their uses.
  }];
  let dependentDialects = ["::mlir::tensor::TensorDialect"];
}

def CarryInPlace : Pass<"lm-carry-in-place", "::mlir::func::FuncOp"> {
  let summary = "loops of a graph hand tensors on in the same place";
  let description = [{
    Of the function `graph`, before its tensors become buffers: what an iteration of a loop hands on
    is written into the tensor that it was given, so that a loop has one buffer for it. Its sizes
    are the same in all iterations.
  }];
  let dependentDialects = ["::mlir::bufferization::BufferizationDialect"];
}

def FormGraphPhases : Pass<"lm-form-graph-phases", "::mlir::func::FuncOp"> {
  let summary = "the work of a graph becomes phases";
  let description = [{
    Of the function `graph`. A `linalg` op with parallel loops becomes a phase whose tiles are
    blocks of iterations along these; whatever else touches memory, also loops and branches that
    follow from data, a phase of one tile, with its neighbours of that kind. Values that follow from
    data go from phase to phase through memory, or are computed again. Where the extents of an op
    follow from data, its tiles are so many whatever these are. It is an error that the size of a
    buffer follows from data. Ops of `lm` and `moe` stay for lm-form-phases.
  }];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect",
                           "::mlir::linalg::LinalgDialect", "::moec::lm::LmDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect"];
}

def FormPhases : Pass<"lm-form-phases", "::mlir::func::FuncOp"> {
  let summary = "every op on buffers becomes a phase";
  let description = [{
    Wraps each computing op into an `lm.phase` whose tile count says how it is cut: products by
    panels of columns and blocks of rows, expert products by the tiles that the list of their
    dispatch has room for, attention by query tile and key head, the router's gate by blocks of 8
    rows, a dispatch not at all, everything else by rows. With `reference`, phases are plain: one
    tile does everything. With `warps`, tiles are for the warps of a GPU: a few columns of one row
    of a product, or of one piece of an expert's rows, for one; one row of all else, and one row and
    head of attention, for some together. Products of bf16 with weights of bf16, or with codes that
    are floats, and of integers with codes are for tensor cores, in two ways, for few rows and for
    more, between which the step chooses by the batch's counts; so is attention to caches in rows:
    of few rows a tile is a piece of one's positions, in pieces that a phase of its own puts
    together, of more it is some rows, with all theirs.
  }];
  let dependentDialects = ["::moec::lm::LmDialect", "::mlir::arith::ArithDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect"];
  let options = [Option<"reference", "reference", "bool", /*default=*/"false", "plain phases">,
                 Option<"warps", "warps", "bool", /*default=*/"false",
                        "tiles for the warps of a GPU">,
                 Option<"rows", "rows", "int64_t", /*default=*/"128", "rows of a product's tile">];
}

def MergePhases : Pass<"lm-merge-phases", "::mlir::func::FuncOp"> {
  let summary = "phases that need no barrier between their rows become one";
  let description = [{
    Two phases that follow each other become one whose tiles do the work of both, where both cut the
    same number of rows into blocks and every buffer that one of them writes and the other uses is
    used row by row (see RowWiseOpInterface) by both: then a tile needs only what it has made
    itself. Blocks are as high as the higher ones of the two. Expects buffers that have no place
    yet: in the arena, rows of one may lie where other rows of another do.
  }];
  let dependentDialects = ["::moec::lm::LmDialect"];
  let statistics = [Statistic<"numMerged", "num-merged", "phases that went into the next">];
}

def LeaveOutFailed : Pass<"lm-leave-out-failed", "::mlir::func::FuncOp"> {
  let summary = "phases of a graph do nothing once a check has failed";
  let description = [{
    Of the function `graph`: phases behind the first one that may tell its caller of a failure
    (lm-note-failures) look whether one has been told. Sizes that do not suit each other would lead
    them out of their buffers.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect"];
}

def PlanMemory : Pass<"lm-plan-memory", "::mlir::ModuleOp"> {
  let summary = "all buffers of the step get a place in one arena";
  let description = [{
    Buffers that are never alive together share a slot of the arena; a slot is as large as its
    largest buffer. Sizes are expressions of the batch's counts; the function
    `moec_program_arena_bytes` computes their sum. Of a graph `moec_program_graph_sizes` does, by
    its dimensions, and tells the caller how large outputs are.
  }];
  let dependentDialects = ["::moec::lm::LmDialect", "::mlir::arith::ArithDialect",
                           "::mlir::memref::MemRefDialect"];
  let statistics = [Statistic<"numBuffers", "num-buffers", "buffers placed">,
                    Statistic<"numSlots", "num-slots", "slots used">];
}

def PlaceBarriers : Pass<"lm-place-barriers", "::mlir::func::FuncOp"> {
  let summary = "put barriers where a phase needs what another wrote";
  let description = [{
    Walks the step in order and remembers what has been read and written since the last barrier; a
    phase (or a load between phases) that conflicts with it gets a barrier before it. Loops begin
    and end with nothing outstanding; the step ends in a barrier.
  }];
  let dependentDialects = ["::moec::lm::LmDialect"];
  let statistics = [Statistic<"numBarriers", "num-barriers", "barriers placed">];
}

def CheckScheduled : Pass<"moec-check-scheduled", "::mlir::ModuleOp"> {
  let summary = "what the schedule stage must leave behind";
  let description = [{
    No tensors and no allocations; every weight packed. All work is in phases, which hold the
    computing ops of `lm` and `moe` and, in a `graph` alone, loops over elements. Between phases
    there is only what says which work: `arith` on integers and indices, `scf` loops and branches,
    views, casts and extents of buffers, the handles and counts of `lm` (`lm.load_weight`,
    `lm.layer_kind`, the accessors of the batch), and barriers. So all threads find the same phases
    with the same tiles, whenever they come, without reading memory that a step writes.
  }];
}

// Every stage

def MarkStage : Pass<"moec-mark-stage", "::mlir::ModuleOp"> {
  let summary = "note which stage a module was left in, and what was chosen on the way";
  let description = [{
    Sets the module's attributes `moec.stage` and `moec.choices`, by which `moec compile X.mlir`
    goes on.
  }];
  let options = [Option<"stage", "stage", "std::string", /*default=*/"", "the stage's name">,
                 Option<"activations", "activations", "std::string", /*default=*/"", "f32 or bf16">,
                 Option<"cache", "cache", "std::string", /*default=*/"", "f32 or bf16">,
                 Option<"cpu", "cpu", "std::string", /*default=*/"",
                        "CPU level; empty while none is chosen; where GPUs do all it is dropped">,
                 Option<"target", "target", "std::string", /*default=*/"",
                        "cuda; empty while none is chosen, and for CPUs">,
                 Option<"gpu", "gpu", "std::string", /*default=*/"",
                        "GPU architecture; empty while none is chosen">,
                 Option<"mapped", "mapped", "bool", /*default=*/"false",
                        "weights stay in the checkpoint's files">];
}

#endif // MOEC_COMPILER_TRANSFORMS_PASSES_TD
