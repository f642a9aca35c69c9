// One compile, from a model directory to an artefact, in the order in which things happen.

#include "tools/moec/Compile.h"

#include "compiler/analysis/FusionReport.h"
#include "compiler/analysis/ProductKinds.h"
#include "compiler/analysis/StepFunction.h"
#include "compiler/analysis/StoredWeights.h"
#include "compiler/emit/DeviceTables.h"
#include "compiler/emit/JoinLevels.h"
#include "compiler/emit/ObjectCode.h"
#include "compiler/pipeline/Description.h"
#include "compiler/pipeline/Stages.h"
#include "compiler/targets/cpu/CpuTarget.h"
#include "compiler/transforms/Passes.h"
#include "compiler/transforms/WeightFormats.h"
#include "frontends/models/Import.h"
#include "runtime/core/AtomicFile.h"
#include "tools/moec/Artifact.h"
#include "tools/moec/DeviceImages.h"
#include "tools/moec/GraphInput.h"
#include "tools/moec/InspectOnnx.h"
#include "tools/moec/Mapping.h"
#include "tools/moec/Placement.h"
#include "tools/moec/Progress.h"
#include "tools/moec/StageRunner.h"
#include "tools/moec/TextOutput.h"

#include "mlir/Parser/Parser.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <optional>

using namespace moec;

namespace {

std::string tripleOf(llvm::StringRef architecture) {
  return fmt::format("{}-unknown-linux-gnu", architecture.str());
}

/// What the code generator needs to know of a level.
MachineTarget machineTarget(const CpuTarget &cpu) {
  return {tripleOf(cpu.arch), cpu.processor.str(), cpu.features.str()};
}

/// Any CPU of the architecture.
MachineTarget baseline(llvm::StringRef architecture) {
  return {tripleOf(architecture), architecture == "x86_64" ? "x86-64" : "generic", ""};
}

/// What a compile holds while it goes on.
class Compile {
public:
  explicit Compile(const CompileRequest &request)
      : request(request), context(makeRegistry(), mlir::MLIRContext::Threading::DISABLED),
        stages(context, request.dumpStages, reproducerPath(request)) {
    context.printOpOnDiagnostic(false); // messages are for people
  }

  Status run() {
    if (Status status = prepare(); !status.ok())
      return status;
    progress.start("reading the model");
    if (Status status = openInput(); !status.ok())
      return status;
    if (Status status = runStages(); !status.ok())
      return status;
    if (request.emit <= Emit::Lowered)
      return writeText(request.output, printModule(*modules.front()));
    if (!gpus.empty() && request.emit <= Emit::Cubin)
      return makeKernels();
    Result<std::string> code = makeCode();
    if (!code.ok())
      return code.status();
    if (request.emit == Emit::Llvm)
      return writeText(request.output, *code);
    if (request.emit == Emit::Obj)
      return writeOutput(*code);
    return makeArtifact({.request = request,
                         .checkpoint = *checkpoint,
                         .program = program,
                         .code = *code,
                         .triple = tripleOf(hostArchitecture),
                         .linkFiles = linkFiles,
                         .progress = progress},
                        *output);
  }

private:
  static mlir::DialectRegistry makeRegistry() {
    mlir::DialectRegistry registry;
    registerDialects(registry);
    registerLlvmTranslations(registry);
    return registry;
  }

  /// Beside the output, where there will be one.
  static std::string reproducerPath(const CompileRequest &request) {
    return (request.output == "-" ? std::string("moec") : request.output) + ".reproducer.mlir";
  }

  /// Everything that can be refused before there is work to lose.
  Status prepare();
  Status prepareCpus();
  Status prepareHostPart();
  Status prepareGpus();
  Status preparePtxas();
  Status openInput();
  Status parseModule();
  Status importDirectory();
  Status importGraph();
  Status runStages();
  Status place();
  Status runStage(const Stage &stage, Emit emit);
  Status runHostStage(const Stage &stage);
  Status noteStage(Emit stage);
  void noteKeptWeights();
  Result<std::string> makeCode();
  Status addHostCode(mlir::ModuleOp host, llvm::Module &joined);
  Status makeKernels();
  Result<std::vector<DeviceCode>> makeDeviceCodes();
  void report(llvm::ArrayRef<DeviceImage> images);
  Status writeOutput(const std::string &bytes);
  void say(const std::string &line) { notify(request, progress, line); }

  const CompileRequest &request;
  Progress progress;
  mlir::MLIRContext context;
  StageRunner stages;
  std::vector<const CpuTarget *> levels; ///< where GPUs compute, of what they leave to CPUs
  std::vector<const CudaTarget *> gpus;  ///< none where CPUs do all
  std::string hostArchitecture;          ///< of the CPUs that the program runs on
  std::optional<Ptxas> ptxas;            ///< none where it is not there, or not wanted
  PipelineOptions options;
  std::string linkFiles; ///< the folder with what programs are linked from
  std::optional<AtomicFile> output;
  std::optional<Checkpoint> checkpoint;      ///< none where the input is a module without tensors
  std::optional<ScratchFile> decodedTensors; ///< of those that no file of an ONNX model holds
  /// One, and from the lower stage on one for each level or GPU architecture.
  std::vector<mlir::OwningOpRef<mlir::ModuleOp>> modules;
  /// What GPUs leave to CPUs, for each level but the first, whose lies in the first of `modules`.
  std::vector<mlir::OwningOpRef<mlir::ModuleOp>> otherHosts;
  std::string placed; ///< what of the model is in a GPU's memory, in words
  FusionReport fusions;
  std::vector<StepCosts> steps; ///< that a report is about
  ProgramDescription program;   ///< filled by the schedule stage, where an artefact is wanted
};

} // namespace

Status Compile::prepareGpus() {
  Result<std::vector<const CudaTarget *>> found = findCudaTargets(request.gpu);
  if (!found.ok())
    return {found.status().code, "--gpu: " + found.status().message};
  gpus = std::move(*found);
  hostArchitecture = llvm::Triple(llvm::sys::getProcessTriple()).getArchName().str();
  for (auto [emit, name] : {std::pair(Emit::Lowered, "lowered"), std::pair(Emit::Llvm, "llvm")})
    if (gpus.size() > 1 && request.emit == emit)
      return {Code::Usage, fmt::format("--emit={}: such a module is for one GPU architecture, and "
                                       "--gpu names {}",
                                       name, architectureNames(gpus))};
  if (gpus.size() > 1 && request.emit == Emit::Ptx && request.output == "-")
    return {Code::Usage, fmt::format("no -o: there is a text for each of {}; say how the files' "
                                     "names begin",
                                     architectureNames(gpus))};
  if (request.emit >= Emit::Cubin)
    if (Status status = preparePtxas(); !status.ok())
      return status;
  return prepareHostPart();
}

/// A program has PTX where it is not there.
Status Compile::preparePtxas() {
  Result<std::string> found = findPtxas();
  if (!found.ok() && request.emit == Emit::Cubin)
    return {found.status().code,
            "--emit=cubin: " + found.status().message + ", or stop at --emit=ptx"};
  if (!found.ok()) {
    say("there is no ptxas here: the program has its kernels as PTX, and the driver assembles them "
        "at each start, which takes a while");
    return {};
  }
  Result<Ptxas> identified = identifyPtxas(std::move(*found));
  if (!identified.ok())
    return identified.status();
  ptxas = std::move(*identified);
  return {};
}

/// The levels of what GPUs leave to CPUs, if they do.
Status Compile::prepareHostPart() {
  Result<std::vector<const CpuTarget *>> found = findCpuTargets(request.cpu);
  if (!found.ok())
    return found.status();
  levels = std::move(*found);
  if (levels.front()->arch != hostArchitecture)
    return {Code::Unsupported,
            fmt::format("--cpu={}: a program for GPUs is for machines such as this one, of {}",
                        request.cpu, hostArchitecture)};
  if (levels.size() > 1 && request.emit == Emit::Lowered)
    return {Code::Usage,
            fmt::format("--emit=lowered: a lowered module is for one CPU level, and --cpu names {}",
                        levelNames(levels))};
  return {};
}

Status Compile::prepareCpus() {
  Result<std::vector<const CpuTarget *>> found = findCpuTargets(request.cpu);
  if (!found.ok())
    return found.status();
  levels = std::move(*found);
  if (levels.size() > 1 && request.emit == Emit::Lowered)
    return {Code::Usage,
            fmt::format("--emit=lowered: a lowered module is for one CPU level, and --cpu names {}",
                        levelNames(levels))};
  hostArchitecture = levels.front()->arch.str();
  return {};
}

Status Compile::prepare() {
  if (Status status = request.device == Device::Cuda ? prepareGpus() : prepareCpus(); !status.ok())
    return status;
  if (request.emit >= Emit::Static) {
    Result<std::string> folder = findLinkFiles(request.program, hostArchitecture);
    if (!folder.ok())
      return folder.status();
    linkFiles = std::move(*folder);
  }
  // Linkers put other data behind that section where addresses do not come in two sizes.
  if (request.emit >= Emit::Static && request.weights == WeightsMode::Embed &&
      hostArchitecture != "x86_64")
    return {Code::Unsupported, fmt::format("--weights=embed is for x86_64, and the program for {}; "
                                           "say --weights=pack",
                                           hostArchitecture)};
  // The whole compile may take a while; an output that cannot be written is known at once.
  if (request.emit > Emit::Cubin) {
    Result<AtomicFile> created = AtomicFile::create(request.output);
    if (!created.ok())
      return created.status();
    output.emplace(std::move(*created));
  }
  return stages.prepare();
}

Status Compile::openInput() {
  if (llvm::sys::path::extension(request.input) == ".mlir")
    return parseModule();
  if (isOnnx(request.input))
    return importGraph();
  return importDirectory();
}

Status Compile::parseModule() {
  if (!llvm::sys::fs::exists(request.input))
    return {Code::Usage, fmt::format("there is no file '{}'", request.input)};
  for (auto [option, isGiven] : {std::pair("--context", request.context != 0),
                                 std::pair("--follow-links", request.followLinks),
                                 std::pair("--headers-only", request.headersOnly),
                                 std::pair("--mla", request.latentForm.has_value())})
    if (isGiven)
      return {Code::Usage, fmt::format("{} is for reading a model directory, and '{}' is a module",
                                       option, request.input)};
  if (isSameFile(request.output, request.input))
    return {Code::Usage, fmt::format("-o: '{}' is the module itself", request.output)};
  modules.push_back(
      mlir::parseSourceFile<mlir::ModuleOp>(request.input, mlir::ParserConfig(&context)));
  if (!modules.front())
    return {Code::Model, stages.diagnostics().errors(
                             fmt::format("'{}' is no module that moec reads", request.input))};
  if (!modules.front()->getOperation()->hasAttr(kGraphAttr)) {
    if (request.emit >= Emit::Static)
      return {Code::Usage, fmt::format("'{}' is a module: it has no weights and no tokenizer to "
                                       "make a program of; stop at --emit=obj",
                                       request.input)};
    return {};
  }
  Result<Checkpoint> opened = openGraphTensors(request);
  if (!opened.ok())
    return opened.status();
  checkpoint.emplace(std::move(*opened));
  return {};
}

Status Compile::importGraph() {
  Result<GraphInput> input = openOnnx(request, context);
  if (!input.ok())
    return {input.status().code, stages.diagnostics().errors(input.status().message)};
  for (const std::string &line : input->notices)
    say(line);
  modules.push_back(std::move(input->module));
  checkpoint.emplace(std::move(input->tensors));
  if (input->decoded)
    decodedTensors.emplace(std::move(*input->decoded));
  return stages.dump("import.mlir", [&] { return printModule(*modules.front()); });
}

Status Compile::importDirectory() {
  Result<Checkpoint> opened = Checkpoint::open(
      request.input, {.headersOnly = request.headersOnly, .followLinks = request.followLinks});
  if (!opened.ok())
    return opened.status();
  checkpoint.emplace(std::move(*opened));
  if (Status status = checkOutput(request, *checkpoint); !status.ok())
    return status;
  Result<mlir::OwningOpRef<mlir::ModuleOp>> imported =
      importModel(*checkpoint, context,
                  {.context = request.context,
                   .name = {},
                   .latentForm = request.latentForm,
                   .notice = [this](const std::string &line) { say(line); }});
  if (!imported.ok())
    return imported.status();
  modules.push_back(std::move(*imported));
  return stages.dump("import.mlir", [&] { return printModule(*modules.front()); });
}

Status Compile::runStages() {
  Result<PipelineOptions> chosen =
      choosePipelineOptions(*modules.front(), levels,
                            {.gpu = architectureNames(gpus),
                             .activations = request.activations,
                             .cache = request.cache,
                             .quantize = request.quantize,
                             .reference = request.reference,
                             .mapped = request.weightsGiven || checkpoint
                                           ? std::optional(request.weights == WeightsMode::Map)
                                           : std::nullopt,
                             .profile = request.profile,
                             .without = request.without});
  if (!chosen.ok())
    return chosen.status();
  options = *chosen;

  // A module goes on from the stage that it was left in.
  std::string start = stageOf(*modules.front());
  bool reached = start.empty();
  bool fuses = reached && request.emit >= Emit::Optimized;
  if (!fuses &&
      (request.report || request.strict || !request.without.empty() || !request.quantize.empty()))
    return {Code::Usage, "--report, --strict, --without-pass and --quantize are about the optimize "
                         "stage, which is not run here"};
  bool schedules = (reached || start == "optimized") && request.emit >= Emit::Scheduled;
  if (request.profile && (start == "lowered" || start == "llvm" || request.emit < Emit::Lowered))
    return {Code::Usage, "--profile is about the lower stage, which is not run here"};
  if (!schedules && (request.reference || request.deviceMemory))
    return {Code::Usage, fmt::format("{} is about the schedule stage, which is not run here",
                                     request.reference ? "--reference" : "--device-memory")};
  for (auto [index, stage] : llvm::enumerate(moec::stages())) {
    auto emit = static_cast<Emit>(index + 1); // after Emit::Import
    if (!reached) {
      reached = start == stage.name;
      if (reached && emit > request.emit)
        return {Code::Usage, fmt::format("'{}' was left in the stage '{}', which is behind the one "
                                         "that --emit names",
                                         request.input, start)};
      continue;
    }
    if (emit > request.emit)
      break;
    progress.start(fmt::format("compiling: {}", stage.name.str()));
    if (emit == Emit::Scheduled && request.deviceMemory)
      if (Status status = place(); !status.ok())
        return status;
    if (Status status = runStage(stage, emit); !status.ok())
      return status;
    if (Status status = noteStage(emit); !status.ok())
      return status;
  }
  if (!reached)
    return {Code::Model, fmt::format("'{}' was left in the stage '{}', which moec does not know",
                                     request.input, start)};
  return {};
}

/// Decides what the GPU's memory is for, and tells it.
Status Compile::place() {
  Result<Placement> placement =
      placeInMemory(*modules.front(), options, request.deviceMemory, stages.diagnostics());
  if (!placement.ok())
    return placement.status();
  placed = describePlacement(*placement);
  say(placed);
  return {};
}

Status Compile::runStage(const Stage &stage, Emit emit) {
  if (emit < Emit::Lowered)
    return stages.run(*modules.front(), stage, options);
  std::vector<std::string> machines;
  if (gpus.empty())
    for (const CpuTarget *level : levels)
      machines.push_back(level->level.str());
  for (const CudaTarget *gpu : gpus)
    machines.push_back(gpu->name.str());
  if (!gpus.empty())
    if (Status status = runHostStage(stage); !status.ok())
      return status;
  while (modules.size() < machines.size()) {
    modules.push_back(modules.front()->clone());
    if (mlir::ModuleOp host = findHost(*modules.back()); host && !gpus.empty())
      host.erase(); // the first has it
  }
  for (auto [module, machine] : llvm::zip_equal(modules, machines)) {
    PipelineOptions own = options;
    own.cpu = levels.front()->level.str();
    (gpus.empty() ? own.cpu : own.gpu) = machine;
    if (Status status = stages.run(*module, stage, own, machines.size() > 1 ? machine : "");
        !status.ok())
      return status;
  }
  return {};
}

/// For the levels of what GPUs leave to CPUs, but for the first.
Status Compile::runHostStage(const Stage &stage) {
  mlir::ModuleOp host = findHost(*modules.front());
  while (host && otherHosts.size() + 1 < levels.size())
    otherHosts.push_back(host.clone());
  for (auto [index, other] : llvm::enumerate(otherHosts)) {
    PipelineOptions own = options;
    own.gpu.clear();
    own.cpu = levels[index + 1]->level.str();
    if (Status status = stages.run(*other, stage, own, own.cpu); !status.ok())
      return status;
  }
  return {};
}

Status Compile::noteStage(Emit stage) {
  if (stage == Emit::Optimized) {
    if (request.weights == WeightsMode::Map)
      if (std::string obstacle = obstacleToMapping(*modules.front()); !obstacle.empty())
        return {Code::Unsupported, "--weights=map: " + refusalToMap(obstacle)};
    fusions = reportFusions(*modules.front());
    if (request.strict && fusions.hasFallback())
      return {Code::Unsupported,
              "--strict: not everything was fused\n" + fusions.text(stages.remarks())};
    noteKeptWeights();
  }
  if (stage == Emit::Scheduled) {
    fusions.addPhases(*modules.front());
    for (const std::string &line : describeChangedCodes(*modules.front()))
      say(line);
    if (request.report && !gpus.empty())
      steps = costOfSteps(*modules.front());
    if (request.emit >= Emit::Static) {
      Result<ProgramDescription> described = describeProgram(*modules.front(), options);
      if (!described.ok())
        return described.status();
      program = std::move(*described);
    }
  }
  bool last = stage == Emit::Scheduled || stage == request.emit;
  if (request.report && last && stage <= Emit::Scheduled) {
    progress.clear();
    writeMessage((placed.empty() ? "" : "placement  " + placed + "\n") +
                 fusions.text(stages.remarks()));
  }
  return {};
}

/// Says which weights of attention a format was asked for and not given to.
void Compile::noteKeptWeights() {
  if (request.quantize.empty())
    return;
  Result<WeightFormats> formats = parseWeightFormats(request.quantize);
  std::vector<std::string> kept = headWeights(*modules.front());
  if (formats.ok() && formats->count(WeightClass::Attention) && !kept.empty())
    say(fmt::format("--quantize leaves weights of attention as they are stored that are "
                    "multiplied head by head: {}; --mla=expanded has none",
                    fmt::join(kept, ", ")));
}

Result<std::string> Compile::makeCode() {
  std::vector<DeviceCode> devices;
  if (!gpus.empty()) {
    Result<std::vector<DeviceCode>> made = makeDeviceCodes();
    if (!made.ok())
      return made.status();
    devices = std::move(*made);
  }
  progress.start("compiling: machine code");
  llvm::LLVMContext llvmContext;
  mlir::OwningOpRef<mlir::ModuleOp> host;
  if (mlir::ModuleOp found = findHost(*modules.front()); found && !gpus.empty()) {
    found->remove();
    host = found;
  }
  std::vector<LevelCode> code;
  for (auto [index, module] : llvm::enumerate(modules)) {
    if (!gpus.empty()) {
      if (Status status = keepHostCode(*module, request.emulate); !status.ok())
        return Status{status.code, stages.diagnostics().errors(status.message)};
    }
    Result<std::unique_ptr<llvm::Module>> translated =
        translateToLlvm(*module, llvmContext,
                        gpus.empty() ? machineTarget(*levels[index]) : baseline(hostArchitecture));
    if (!translated.ok())
      return Status{Code::Internal, stages.diagnostics().errors(translated.status().message)};
    code.push_back(
        {(gpus.empty() ? levels[index]->level : gpus[index]->name).str(), std::move(*translated)});
  }
  Result<std::unique_ptr<llvm::Module>> joined = joinLevels(std::move(code));
  if (!joined.ok())
    return joined.status();
  if (host)
    if (Status status = addHostCode(*host, **joined); !status.ok())
      return status;
  addDeviceTables(**joined, devices);
  if (Status status = stages.dump("llvm.ll", [&] { return printLlvm(**joined); }); !status.ok())
    return status;
  if (Status status = optimizeLlvm(**joined); !status.ok())
    return status;
  if (Status status = stages.dump("optimized.ll", [&] { return printLlvm(**joined); });
      !status.ok())
    return status;
  if (request.emit == Emit::Llvm)
    return printLlvm(**joined);
  return emitObject(**joined);
}

/// Adds what GPUs leave to CPUs; `host` is for the first level.
Status Compile::addHostCode(mlir::ModuleOp host, llvm::Module &joined) {
  std::vector<LevelCode> code;
  for (auto [index, level] : llvm::enumerate(levels)) {
    Result<std::unique_ptr<llvm::Module>> translated = translateToLlvm(
        index == 0 ? host : *otherHosts[index - 1], joined.getContext(), machineTarget(*level));
    if (!translated.ok())
      return {Code::Internal, stages.diagnostics().errors(translated.status().message)};
    code.push_back({level->level.str(), std::move(*translated)});
  }
  Result<std::unique_ptr<llvm::Module>> levelsJoined = joinLevels(std::move(code));
  if (!levelsJoined.ok())
    return levelsJoined.status();
  return addHostPart(joined, std::move(*levelsJoined));
}

void Compile::report(llvm::ArrayRef<DeviceImage> images) {
  if (!request.report)
    return;
  progress.clear();
  writeMessage(reportKernels(images, steps));
}

/// What the program has of its kernels.
Result<std::vector<DeviceCode>> Compile::makeDeviceCodes() {
  progress.start("compiling: kernels");
  const DeviceWish wish{ptxas ? DeviceForm::Cubin : DeviceForm::Ptx, /*mayStayPtx=*/true};
  Result<std::vector<DeviceImage>> images = makeDeviceImages(modules, gpus, wish, ptxas);
  if (!images.ok())
    return Status{images.status().code, stages.diagnostics().errors(images.status().message)};
  for (const DeviceImage &image : *images)
    if (!image.obstacle.empty())
      say(fmt::format(
          "the program has its kernels for {} as PTX, which the driver assembles at each "
          "start: {}",
          image.target->name.str(), image.obstacle));
  report(*images);
  return takeDeviceCodes(std::move(*images), ptxas ? ptxas->release : 0);
}

/// A file for each architecture, beside -o, or the text of a single one.
Status Compile::makeKernels() {
  progress.start("compiling: kernels");
  const DeviceForm form = request.emit == Emit::Llvm  ? DeviceForm::LlvmIr
                          : request.emit == Emit::Ptx ? DeviceForm::Ptx
                                                      : DeviceForm::Cubin;
  Result<std::vector<DeviceImage>> images = makeDeviceImages(modules, gpus, {form}, ptxas);
  if (!images.ok()) {
    const bool isTooOld = images.status().code == Code::Usage;
    return {images.status().code,
            stages.diagnostics().errors(images.status().message +
                                        (isTooOld ? ", or stop at --emit=ptx" : ""))};
  }
  report(*images);
  return writeDeviceImages(*images, form, request.output);
}

Status Compile::writeOutput(const std::string &bytes) {
  if (Status status = output->append(bytes); !status.ok())
    return status;
  return output->commit();
}

Status moec::compile(const CompileRequest &request) { return Compile(request).run(); }
