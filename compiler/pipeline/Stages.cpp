// The compiler on one page: every stage, and the passes it runs.

#include "compiler/pipeline/Stages.h"
#include "compiler/analysis/StepFunction.h"
#include "compiler/analysis/StoredWeights.h"
#include "compiler/lowering/Passes.h"
#include "compiler/targets/emulator/Passes.h"
#include "compiler/transforms/Passes.h"
#include "compiler/transforms/WeightFormats.h"
#include "dialects/linalg_ext/LinalgExtDialect.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/Transforms/BufferViewFlowOpInterfaceImpl.h"
#include "mlir/Dialect/Arith/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Func/Extensions/InlinerExtension.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Dialect/Linalg/Transforms/AllInterfaces.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/SCF/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Tensor/IR/TensorInferTypeOpInterfaceImpl.h"
#include "mlir/Dialect/Tensor/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Tensor/Transforms/SubsetInsertionOpInterfaceImpl.h"
#include "mlir/Pass/PassOptions.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

#include <fmt/format.h>

using namespace mlir;
using namespace moec;

/// The passes that a program is right without.
static constexpr StringRef kOptionalPasses[] = {"moe-raise-experts", "moe-fuse-gate",
                                                "moe-fuse-experts",  "moe-fold-shared-experts",
                                                "lm-fuse-qkv",       "lm-fuse-residual"};

static bool runs(const PipelineOptions &options, StringRef pass) {
  return !llvm::is_contained(options.without, pass);
}

/// Layers of experts become ops of `moe`, products of a graph with its model's tensors those of
/// `lm`, elementwise ops one where one feeds the other. A step has none.
static void buildFuseGraph(OpPassManager &passes, const PipelineOptions &options) {
  if (runs(options, "moe-raise-experts"))
    passes.addPass(createRaiseExperts());
  passes.addPass(createNoteFailures());
  passes.addPass(createRaiseLinear());
  passes.addNestedPass<func::FuncOp>(createLinalgGeneralizeNamedOpsPass());
  passes.addPass(createLinalgElementwiseOpFusionPass());
  passes.addPass(memref::createResolveShapedTypeResultDimsPass());
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
}

/// Unfused ops in, fused ops of the chosen precision out; one function, `step`.
static void buildOptimizeStage(OpPassManager &passes, const PipelineOptions &options) {
  passes.addPass(createInlinerPass());
  passes.addPass(createSymbolDCEPass());
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
  buildFuseGraph(passes, options);
  if (runs(options, "moe-fuse-gate"))
    passes.addNestedPass<func::FuncOp>(createFuseGate());
  if (runs(options, "moe-fuse-experts"))
    passes.addNestedPass<func::FuncOp>(createFuseExperts());
  if (runs(options, "moe-fold-shared-experts"))
    passes.addPass(createFoldSharedExperts({.mapped = options.mapped}));
  if (runs(options, "lm-fuse-qkv"))
    passes.addPass(createFuseQkv({.mapped = options.mapped}));
  if (runs(options, "lm-fuse-residual"))
    passes.addNestedPass<func::FuncOp>(createFuseResidual());
  passes.addPass(createQuantizeWeights({.formats = options.quantize}));
  passes.addPass(
      createChoosePrecision({.activations = options.activations, .cache = options.cache}));
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
  passes.addPass(createCheckOptimized());
}

/// What a module in the module has, which CPUs do.
static PipelineOptions hostOptions(const PipelineOptions &options) {
  PipelineOptions own = options;
  own.gpu.clear();
  return own;
}

/// Phases on one planned arena out.
static void buildScheduleStage(OpPassManager &passes, const PipelineOptions &options) {
  const bool onGpu = !options.gpu.empty();
  if (onGpu) {
    passes.addPass(createPlaceExperts());
    buildScheduleStage(passes.nest<ModuleOp>(), hostOptions(options));
  }
  passes.addPass(createPackWeights(
      {.activations = options.activations, .mapped = options.mapped, .rows = onGpu}));
  if (onGpu)
    passes.addNestedPass<func::FuncOp>(createRecordLargest());
  passes.addNestedPass<func::FuncOp>(createDecomposeExperts());
  passes.addNestedPass<func::FuncOp>(createCarryInPlace());
  passes.addNestedPass<func::FuncOp>(createSeparateDestinations());
  passes.addPass(bufferization::createEmptyTensorEliminationPass());
  passes.addPass(bufferization::createOneShotBufferizePass());
  passes.addPass(createCSEPass()); // copies of a buffer to itself show themselves as such
  passes.addPass(createCanonicalizerPass());
  passes.addNestedPass<func::FuncOp>(createFormGraphPhases());
  passes.addNestedPass<func::FuncOp>(
      createFormPhases({.reference = options.reference, .warps = onGpu}));
  passes.addNestedPass<func::FuncOp>(createMergePhases());
  passes.addNestedPass<func::FuncOp>(createLeaveOutFailed());
  passes.addPass(createPlanMemory());
  passes.addPass(createCSEPass());
  passes.addNestedPass<func::FuncOp>(createPlaceBarriers());
  passes.addPass(createCheckScheduled());
}

/// Loops over elements out of what a graph has in its phases, and types that CPUs add up in. A step
/// has ops of `lm` and `moe` alone there.
static void buildLowerGraph(OpPassManager &passes) {
  OpPassManager &functions = passes.nest<func::FuncOp>();
  functions.addPass(createLowerGraph());
  functions.addPass(createCanonicalizerPass());
  functions.addPass(math::createMathExtendToSupportedTypes());
  functions.addPass(createExpandMath());
  arith::ArithEmulateUnsupportedFloatsOptions floats;
  floats.sourceTypeStrs = {"bf16"};
  floats.targetTypeStr = "f32";
  functions.addPass(arith::createArithEmulateUnsupportedFloats(floats));
  arith::ArithExpandOpsPassOptions expansions;
  expansions.includeBf16 = true;
  expansions.includeF8E8M0 = true;
  expansions.includeF4E2M1 = true;
  functions.addPass(arith::createArithExpandOpsPass(expansions));
  passes.addPass(createConvertMathToFuncs()); // powers of integers
}

/// Vector and loop code for the target out.
static void buildLowerStage(OpPassManager &passes, const PipelineOptions &options) {
  if (!options.gpu.empty())
    buildLowerStage(passes.nest<ModuleOp>(), hostOptions(options));
  buildLowerGraph(passes);
  passes.addPass(createLowerPhases({.cpu = options.cpu, .gpu = options.gpu}));
  passes.addPass(createCSEPass());
  if (options.gpu.empty())
    passes.addPass(createOutlinePhases({.profile = options.profile}));
  else
    passes.addPass(createOutlineKernels({.gpu = options.gpu}));
  passes.addPass(createLowerBatch());
  passes.addPass(createLoopInvariantCodeMotionPass());
  passes.addPass(createCheckLowered());
}

/// The LLVM dialect out.
static void buildEmitStage(OpPassManager &passes, const PipelineOptions &options) {
  if (!options.gpu.empty())
    buildEmitStage(passes.nest<ModuleOp>(), hostOptions(options));
  passes.addPass(memref::createExpandStridedMetadataPass());
  passes.addPass(createLowerAffinePass());
  passes.addPass(arith::createArithExpandOpsPass());
  passes.addPass(createSCFToControlFlowPass());
  passes.addPass(createConvertVectorToLLVMPass(ConvertVectorToLLVMPassOptions{.x86Vector = true}));
  passes.addPass(createConvertMathToLLVMPass());
  passes.addPass(createConvertMathToLibmPass()); // graphs have any function, and of any float
  passes.addPass(createFinalizeMemRefToLLVMConversionPass());
  passes.addPass(createArithToLLVMConversionPass());
  passes.addPass(createConvertIndexToLLVMPass());
  passes.addPass(createConvertControlFlowToLLVMPass());
  passes.addPass(createConvertFuncToLLVMPass());
  passes.addPass(createReconcileUnrealizedCastsPass());
  passes.addPass(createCSEPass());
  passes.addPass(createCheckLlvm());
}

ArrayRef<Stage> moec::stages() {
  static constexpr Stage kStages[] = {
      {"optimized", "moe-optimize",
       "fuse what belongs together and choose the precision of products", buildOptimizeStage},
      {"scheduled", "moe-schedule", "phases on one planned arena", buildScheduleStage},
      {"lowered", "moe-lower", "vector and loop code for the target", buildLowerStage},
      {"llvm", "moe-emit", "the LLVM dialect", buildEmitStage},
  };
  return kStages;
}

void moec::addStage(OpPassManager &passes, const Stage &stage, const PipelineOptions &options) {
  stage.build(passes, options);
  const bool onGpu = !options.gpu.empty();
  std::string level; // what the lower stage chose; "native" means one machine's
  const bool isForMachine = stage.build == buildLowerStage || stage.build == buildEmitStage;
  if (isForMachine)
    if (Result<const CpuTarget *> cpu = findCpuTarget(options.cpu); cpu.ok())
      level = (*cpu)->level.str();
  passes.addPass(
      createMarkStage({.stage = stage.name.str(),
                       .activations = options.activations,
                       .cache = options.cache,
                       .cpu = level,
                       .target = onGpu && stage.build != buildOptimizeStage ? "cuda" : "",
                       .gpu = isForMachine ? options.gpu : "",
                       .mapped = options.mapped}));
}

/// Fails unless every pass of `without` can be left out.
static Status checkWithout(const std::vector<std::string> &without) {
  for (const std::string &pass : without)
    if (!llvm::is_contained(kOptionalPasses, pass))
      return {Code::Usage, fmt::format("'{}' is none of the passes that can be left out: {}", pass,
                                       fmt::join(kOptionalPasses, ", "))};
  return {};
}

/// Takes over what earlier stages of the module were built with (MarkStage), since all have to be
/// built alike. Fails where something else was asked for.
static Status adoptChoices(ModuleOp module, const PipelineRequest &request,
                           PipelineOptions &options) {
  auto choices = module->getAttrOfType<DictionaryAttr>("moec.choices");
  if (!choices)
    return {};
  for (auto [name, flag, option] :
       {std::tuple("activations", "--activations", &options.activations),
        std::tuple("cache", "--kv-cache", &options.cache)})
    if (auto chosen = choices.getAs<StringAttr>(name)) {
      if (!option->empty() && *option != chosen)
        return {Code::Usage,
                fmt::format("{}={}, but the module was made with {}", flag, *option, chosen.str())};
      *option = chosen.str();
    }
  if (auto cpu = choices.getAs<StringAttr>("cpu"); cpu && !cpu.empty() && options.cpu != cpu)
    return {Code::Usage,
            fmt::format("the module was made for the CPU level {}, not {}: say --cpu={}", cpu.str(),
                        options.cpu, cpu.str())};
  auto target = choices.getAs<StringAttr>("target");
  auto stage = module->getAttrOfType<StringAttr>("moec.stage");
  const bool isScheduled = stage && stage != "optimized";
  if (isScheduled && bool(target) != !options.gpu.empty())
    return {Code::Usage,
            fmt::format("the module was made for --target={}", target ? "cuda" : "cpu")};
  if (auto gpu = choices.getAs<StringAttr>("gpu"); gpu && options.gpu != gpu)
    return {Code::Usage, fmt::format("the module was made for {}, not {}: say --gpu={}", gpu.str(),
                                     options.gpu, gpu.str())};
  if (auto mapped = choices.getAs<BoolAttr>("mapped")) {
    if (request.mapped && *request.mapped != mapped.getValue())
      return {Code::Usage,
              fmt::format("the module was made for weights that are {}: leave --weights out",
                          mapped.getValue() ? "mapped" : "packed")};
    options.mapped = mapped.getValue();
  }
  return {};
}

Result<PipelineOptions> moec::choosePipelineOptions(ModuleOp module,
                                                    ArrayRef<const CpuTarget *> levels,
                                                    const PipelineRequest &request) {
  if (Status status = checkWithout(request.without); !status.ok())
    return status;
  if (!request.quantize.empty())
    if (Result<WeightFormats> formats = parseWeightFormats(request.quantize); !formats.ok())
      return formats.status();
  PipelineOptions options{.cpu = levelNames(levels),
                          .gpu = request.gpu,
                          .activations = request.activations,
                          .cache = request.cache,
                          .quantize = request.quantize,
                          .mapped = request.mapped.value_or(false),
                          .reference = request.reference,
                          .profile = request.profile,
                          .without = request.without};
  if (Status status = adoptChoices(module, request, options); !status.ok())
    return status;
  // Codes stand for numbers that fit bf16 but for their scale.
  const bool isGraph = module->hasAttr(kGraphAttr); // whose products have no weights yet
  const bool areBf16 =
      !isGraph && llvm::all_of(module.getOps<lm::WeightOp>(), [](lm::WeightOp weight) {
        return weight.holdsVectors() || isStoredAsCodes(weight) ||
               weight.getType().getElementType().isBF16();
      });
  if (options.cache.empty())
    options.cache = !options.activations.empty() ? options.activations : areBf16 ? "bf16" : "f32";
  if (options.activations.empty())
    options.activations =
        areBf16 && (!options.gpu.empty() || levels.back()->hasBf16Dot()) ? "bf16" : "f32";
  for (auto [flag, choice] :
       {std::pair("--activations", options.activations), std::pair("--kv-cache", options.cache)})
    if (choice != "f32" && choice != "bf16")
      return Status{Code::Usage, fmt::format("{}={} is neither f32 nor bf16", flag, choice)};
  return options;
}

void moec::registerDialects(DialectRegistry &registry) {
  registry.insert<affine::AffineDialect, arith::ArithDialect, bufferization::BufferizationDialect,
                  cf::ControlFlowDialect, func::FuncDialect, gpu::GPUDialect, linalg::LinalgDialect,
                  linalg_ext::LinalgExtDialect, NVVM::NVVMDialect, lm::LmDialect, LLVM::LLVMDialect,
                  math::MathDialect, memref::MemRefDialect, moe::MoeDialect, scf::SCFDialect,
                  tensor::TensorDialect, vector::VectorDialect, x86vector::X86VectorDialect>();
  arith::registerBufferizableOpInterfaceExternalModels(registry);
  arith::registerBufferViewFlowOpInterfaceExternalModels(registry); // a choice is either buffer
  scf::registerBufferizableOpInterfaceExternalModels(registry);
  tensor::registerBufferizableOpInterfaceExternalModels(registry);
  func::registerInlinerExtension(registry);
  linalg::registerAllDialectInterfaceImplementations(registry);
  tensor::registerInferTypeOpInterfaceExternalModels(registry);
  tensor::registerSubsetOpInterfaceExternalModels(registry);
  linalg_ext::registerBufferization(registry);
  lm::registerBufferization(registry);
  moe::registerBufferization(registry);
  lm::registerTiling(registry);
  moe::registerTiling(registry);
}

namespace {
/// PipelineOptions as moe-opt spells them.
struct StageOptions : PassPipelineOptions<StageOptions> {
  Option<std::string> cpu{*this, "cpu", llvm::cl::desc("CPU level"), llvm::cl::init("native")};
  Option<std::string> gpu{*this, "gpu", llvm::cl::desc("GPU architecture; empty for the CPU")};
  Option<std::string> activations{*this, "activations", llvm::cl::desc("f32 or bf16"),
                                  llvm::cl::init("f32")};
  Option<std::string> cache{*this, "cache", llvm::cl::desc("f32 or bf16"), llvm::cl::init("f32")};
  Option<std::string> quantize{*this, "quantize", llvm::cl::desc("CLASS:FORMAT,...")};
  Option<bool> mapped{*this, "mapped", llvm::cl::desc("weights stay in the checkpoint's files")};
  Option<bool> reference{*this, "reference", llvm::cl::desc("plain loops in place of kernels")};
  Option<bool> profile{*this, "profile", llvm::cl::desc("note the time that phases take")};
  ListOption<std::string> without{*this, "without", llvm::cl::desc("passes to leave out")};

  PipelineOptions get() const {
    return {.cpu = cpu,
            .gpu = gpu,
            .activations = activations,
            .cache = cache,
            .quantize = quantize,
            .mapped = mapped,
            .reference = reference,
            .profile = profile,
            .without = std::vector<std::string>(without.begin(), without.end())};
  }
};
} // namespace

void moec::registerStages() {
  registerMoecTransformsPasses();
  registerMoecEmulatorTargetPasses();
  registerMoecLoweringPasses();
  for (const Stage &stage : stages())
    mlir::registerPassPipeline(
        stage.pipeline, stage.summary,
        [&stage](OpPassManager &passes, StringRef text,
                 function_ref<LogicalResult(const Twine &)> error) -> LogicalResult {
          StageOptions options;
          if (failed(options.parseFromString(text)))
            return error("the stage's options are malformed");
          if (Status status = checkWithout(options.get().without); !status.ok())
            return error(status.message);
          // What this machine is matters to the stages that make code for it alone.
          if (options.cpu != "native")
            if (Result<const CpuTarget *> cpu = findCpuTarget(options.cpu); !cpu.ok())
              return error(cpu.status().message);
          addStage(passes, stage, options.get());
          return success();
        },
        [](function_ref<void(const mlir::detail::PassOptions &)> handler) {
          handler(StageOptions());
        });
}
