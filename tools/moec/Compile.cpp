// One compile, from a model directory to an artefact, in the order in which things happen.

#include "tools/moec/Compile.h"

#include "compiler/analysis/FusionReport.h"
#include "compiler/analysis/ProductKinds.h"
#include "compiler/analysis/StoredWeights.h"
#include "compiler/emit/EmbeddedWeights.h"
#include "compiler/emit/JoinLevels.h"
#include "compiler/emit/ObjectCode.h"
#include "compiler/emit/Packer.h"
#include "compiler/emit/ProgramData.h"
#include "compiler/emit/ScratchFile.h"
#include "compiler/pipeline/Description.h"
#include "compiler/pipeline/Stages.h"
#include "compiler/targets/cpu/CpuTarget.h"
#include "compiler/transforms/WeightFormats.h"
#include "frontends/checkpoint/TextData.h"
#include "frontends/models/Import.h"
#include "runtime/core/AtomicFile.h"
#include "runtime/core/File.h"
#include "tools/moec/DeviceCode.h"
#include "tools/moec/Mapping.h"
#include "tools/moec/Progress.h"
#include "tools/moec/StageRunner.h"
#include "tools/moec/TextOutput.h"

#include "mlir/Parser/Parser.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <optional>

using namespace moec;

namespace {

/// What the code generator needs to know of a level.
MachineTarget machineTarget(const CpuTarget &cpu) {
  return {fmt::format("{}-unknown-linux-gnu", cpu.arch.str()), cpu.processor.str(),
          cpu.features.str()};
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
    if (!gpus.empty())
      return makeKernels();
    Result<std::string> code = makeCode();
    if (!code.ok())
      return code.status();
    if (request.emit == Emit::Llvm)
      return writeText(request.output, *code);
    if (request.emit == Emit::Obj)
      return writeOutput(*code);
    return makeArtifact(*code);
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
  Status prepareGpus();
  Status openInput();
  Status parseModule();
  Status importDirectory();
  Status runStages();
  Status runStage(const Stage &stage, Emit emit);
  Status noteStage(Emit stage);
  void noteKeptWeights();
  Result<std::string> finishManifest();
  Result<std::string> makeCode();
  Status makeKernels();
  Status writeOutput(const std::string &bytes);
  Status makeArtifact(const std::string &code);
  Status linkInto(const ProgramData &data, const std::string &code, const std::string &path);
  Status embedWeights(AtomicFile &file);
  Status packBeside();
  PackOptions packOptions();
  void reportLosses(const PackReport &report);
  void say(const std::string &line) {
    progress.clear();
    if (!request.quiet)
      writeMessage(fmt::format("moec: {}\n", line));
  }

  const CompileRequest &request;
  Progress progress;
  mlir::MLIRContext context;
  StageRunner stages;
  std::vector<const CpuTarget *> levels; ///< none where GPUs compute
  std::vector<const CudaTarget *> gpus;  ///< none where CPUs do
  std::string ptxas;
  PipelineOptions options;
  std::string linkFiles; ///< the folder with what programs are linked from
  std::optional<AtomicFile> output;
  std::optional<Checkpoint> checkpoint; ///< none where the input is a module
  /// One, and from the lower stage on one for each level or GPU architecture.
  std::vector<mlir::OwningOpRef<mlir::ModuleOp>> modules;
  FusionReport fusions;
  ProgramDescription program; ///< filled by the schedule stage, where an artefact is wanted
};

} // namespace

/// A program for GPUs is more than its kernels; the rest of it is not there yet.
Status Compile::prepareGpus() {
  Result<std::vector<const CudaTarget *>> found = findCudaTargets(request.gpu);
  if (!found.ok())
    return {found.status().code, "--gpu: " + found.status().message};
  gpus = std::move(*found);
  if (request.emit > Emit::Cubin)
    return {Code::Unsupported,
            "--target=cuda makes kernels and no programs so far: stop at --emit=ptx or "
            "--emit=cubin, or at a stage"};
  for (auto [emit, name] : {std::pair(Emit::Lowered, "lowered"), std::pair(Emit::Llvm, "llvm")})
    if (gpus.size() > 1 && request.emit == emit)
      return {Code::Usage, fmt::format("--emit={}: such a module is for one GPU architecture, and "
                                       "--gpu names {}",
                                       name, architectureNames(gpus))};
  if (gpus.size() > 1 && request.emit == Emit::Ptx && request.output == "-")
    return {Code::Usage, fmt::format("no -o: there is a text for each of {}; say how the files' "
                                     "names begin",
                                     architectureNames(gpus))};
  if (request.emit == Emit::Cubin) {
    Result<std::string> program = findPtxas();
    if (!program.ok())
      return program.status();
    ptxas = std::move(*program);
  }
  return stages.prepare();
}

Status Compile::prepare() {
  if (request.device == Device::Cuda)
    return prepareGpus();
  Result<std::vector<const CpuTarget *>> found = findCpuTargets(request.cpu);
  if (!found.ok())
    return found.status();
  levels = std::move(*found);
  if (levels.size() > 1 && request.emit == Emit::Lowered)
    return {Code::Usage,
            fmt::format("--emit=lowered: a lowered module is for one CPU level, and --cpu names {}",
                        levelNames(levels))};
  if (request.emit >= Emit::Static) {
    Result<std::string> folder = findLinkFiles(request.program, levels.front()->arch);
    if (!folder.ok())
      return folder.status();
    linkFiles = std::move(*folder);
  }
  // Linkers put other data behind that section where addresses do not come in two sizes.
  if (request.emit >= Emit::Static && request.weights == WeightsMode::Embed &&
      levels.front()->arch != "x86_64")
    return {Code::Unsupported, fmt::format("--weights=embed is for x86_64, and the program for {}; "
                                           "say --weights=pack",
                                           levels.front()->arch.str())};
  // The whole compile may take a while; an output that cannot be written is known at once.
  if (request.emit > Emit::Llvm) {
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
  return importDirectory();
}

Status Compile::parseModule() {
  if (!llvm::sys::fs::exists(request.input))
    return {Code::Usage, fmt::format("there is no file '{}'", request.input)};
  if (request.emit >= Emit::Static)
    return {Code::Usage, fmt::format("'{}' is a module: it has no weights and no tokenizer to make "
                                     "a program of; stop at --emit=obj",
                                     request.input)};
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
  return {};
}

Status Compile::importDirectory() {
  Result<Checkpoint> opened = Checkpoint::open(
      request.input, {.headersOnly = request.headersOnly, .followLinks = request.followLinks});
  if (!opened.ok())
    return opened.status();
  checkpoint.emplace(std::move(*opened));
  std::vector<std::string> files;
  for (const CheckpointFile &file : checkpoint->files())
    files.push_back(file.path);
  std::error_code unreadable; // then nothing in it was read either
  for (const auto &entry : std::filesystem::directory_iterator(request.input, unreadable))
    if (const auto kind = entry.path().extension(); kind == ".json" || kind == ".jinja")
      files.push_back(entry.path());
  for (const std::string &file : files)
    for (const std::string &path : {request.output, request.output + ".weights"})
      if (isSameFile(path, file))
        return {Code::Usage, fmt::format("-o: '{}' is a file of the model itself", path)};
  Result<mlir::OwningOpRef<mlir::ModuleOp>> imported =
      importModel(*checkpoint, context,
                  {.context = request.context,
                   .name = {},
                   .latentForm = request.latentForm,
                   .notice = [this](const std::string &line) { say(line); }});
  if (!imported.ok())
    return imported.status();
  modules.push_back(std::move(*imported));
  return stages.dump("import.mlir", printModule(*modules.front()));
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
  if (!schedules && request.reference)
    return {Code::Usage, "--reference is about the schedule stage, which is not run here"};
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

Status Compile::runStage(const Stage &stage, Emit emit) {
  if (emit < Emit::Lowered)
    return stages.run(*modules.front(), stage, options);
  std::vector<std::string> machines;
  for (const CpuTarget *level : levels)
    machines.push_back(level->level.str());
  for (const CudaTarget *gpu : gpus)
    machines.push_back(gpu->name.str());
  while (modules.size() < machines.size())
    modules.push_back(modules.front()->clone());
  for (auto [module, machine] : llvm::zip_equal(modules, machines)) {
    PipelineOptions own = options;
    (gpus.empty() ? own.cpu : own.gpu) = machine;
    if (Status status = stages.run(*module, stage, own, machines.size() > 1 ? machine : "");
        !status.ok())
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
    writeMessage(fusions.text(stages.remarks()));
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
  progress.start("compiling: machine code");
  llvm::LLVMContext llvmContext;
  std::vector<LevelCode> code;
  for (auto [module, level] : llvm::zip_equal(modules, levels)) {
    Result<std::unique_ptr<llvm::Module>> translated =
        translateToLlvm(*module, llvmContext, machineTarget(*level));
    if (!translated.ok())
      return Status{Code::Internal, stages.diagnostics().errors(translated.status().message)};
    code.push_back({level->level.str(), std::move(*translated)});
  }
  Result<std::unique_ptr<llvm::Module>> joined = joinLevels(std::move(code));
  if (!joined.ok())
    return joined.status();
  if (Status status = stages.dump("llvm.ll", printLlvm(**joined)); !status.ok())
    return status;
  if (Status status = optimizeLlvm(**joined); !status.ok())
    return status;
  if (Status status = stages.dump("optimized.ll", printLlvm(**joined)); !status.ok())
    return status;
  if (request.emit == Emit::Llvm)
    return printLlvm(**joined);
  return emitObject(**joined);
}

/// A file for each architecture, beside -o, or the text of a single one.
Status Compile::makeKernels() {
  progress.start("compiling: kernels");
  const DeviceForm form = request.emit == Emit::Llvm  ? DeviceForm::LlvmIr
                          : request.emit == Emit::Ptx ? DeviceForm::Ptx
                                                      : DeviceForm::Cubin;
  Result<std::vector<DeviceImage>> images = makeDeviceImages(modules, gpus, form, ptxas);
  if (!images.ok())
    return {images.status().code, stages.diagnostics().errors(images.status().message)};
  if (request.report) {
    progress.clear();
    writeMessage(reportKernels(*images));
  }
  const bool isSingle = form == DeviceForm::LlvmIr || request.output == "-";
  for (const DeviceImage &image : *images) {
    const std::string path = isSingle
                                 ? request.output
                                 : fmt::format("{}.{}.{}", request.output, image.target->name.str(),
                                               form == DeviceForm::Ptx ? "ptx" : "cubin");
    if (Status status = writeText(path, image.bytes); !status.ok())
      return status;
  }
  return {};
}

Status Compile::writeOutput(const std::string &bytes) {
  if (Status status = output->append(bytes); !status.ok())
    return status;
  return output->commit();
}

/// The manifest's text, with what only the whole compile knows.
Result<std::string> Compile::finishManifest() {
  progress.start("reading the weights' digests");
  Result<std::vector<SourceDigest>> digests = digestSources(*checkpoint);
  if (!digests.ok())
    return digests.status();
  Manifest &manifest = program.manifest;
  for (const SourceDigest &source : *digests)
    manifest.sources.push_back({source.path, source.bytes, digestText(source.digest)});
  manifest.weights.mode = request.weights;
  manifest.weights.bytes = program.plan.totalBytes();
  if (request.weights == WeightsMode::Map) {
    std::error_code error;
    manifest.followLinks = request.followLinks;
    manifest.modelDirectory = std::filesystem::canonical(request.input, error).string();
    if (error)
      return Status{Code::Model,
                    fmt::format("cannot resolve '{}': {}", request.input, error.message())};
  } else {
    manifest.weights.digest =
        packedWeightsDigest(program.plan.digest(), packSourcesDigest(*digests));
  }
  // The name alone: bytes do not depend on the folder, and the program may be renamed.
  if (request.weights == WeightsMode::Pack)
    manifest.weights.file = llvm::sys::path::filename(request.output).str() + ".weights";
  return writeManifest(manifest);
}

Status Compile::makeArtifact(const std::string &code) {
  Result<std::string> manifest = finishManifest();
  if (!manifest.ok())
    return manifest.status();
  progress.start("compiling: tokenizer");
  Result<TextData> text =
      compileText(*checkpoint, program.manifest.vocabulary, request.followLinks);
  if (!text.ok())
    return text.status();
  for (const std::string &notice : text->notices)
    say(notice);
  if (text->tokenizer.empty())
    say(fmt::format("'{}' has no tokenizer (tokenizer.json, tiktoken.model, tokenizer.model or "
                    "qwen.tiktoken): what needs text will not work",
                    request.input));
  ProgramData data{.manifest = *manifest,
                   .tokenizer = text->tokenizer,
                   .chatTemplate = text->chatTemplate,
                   .generation = text->generation,
                   .embeddedWeightBytes =
                       request.weights == WeightsMode::Embed ? packedFileBytes(program.plan) : 0};

  progress.start("linking");
  std::optional<AtomicFile> object; // of a static library, which may hold all the weights
  if (request.emit == Emit::Static) {
    Result<AtomicFile> created = AtomicFile::create(request.output + ".o");
    if (!created.ok())
      return created.status();
    object.emplace(std::move(*created));
  }
  AtomicFile &linked = object ? *object : *output;
  if (Status status = linkInto(data, code, linked.temporaryPath()); !status.ok())
    return status;
  if (request.weights == WeightsMode::Embed)
    if (Status status = embedWeights(linked); !status.ok())
      return status;
  if (object)
    if (Status status = makeArchive(linked.temporaryPath(), output->temporaryPath()); !status.ok())
      return status;
  if (request.weights == WeightsMode::Pack)
    if (Status status = packBeside(); !status.ok())
      return status;
  return output->commit();
}

Status Compile::linkInto(const ProgramData &data, const std::string &code,
                         const std::string &path) {
  LinkOptions link;
  switch (request.emit) {
  case Emit::Static:
    link.artifact = Artifact::StaticLibrary;
    break;
  case Emit::Shared:
    link.artifact = Artifact::SharedLibrary;
    break;
  default:
    link.artifact = Artifact::Executable;
  }
  link.libc = request.libc;
  link.linker = request.linker;
  link.strip = request.strip;
  link.triple = machineTarget(*levels.front()).triple;
  link.linkFiles = linkFiles;

  Result<std::string> dataObject = makeProgramDataObject(data, link.triple);
  if (!dataObject.ok())
    return dataObject.status();
  std::vector<ScratchFile> scratch;
  for (std::string_view bytes : {std::string_view(code), std::string_view(*dataObject)}) {
    Result<ScratchFile> file = ScratchFile::create(".o");
    if (!file.ok())
      return file.status();
    if (Status status = writeFile(file->path(), bytes); !status.ok())
      return status;
    link.objects.push_back(file->path());
    scratch.push_back(std::move(*file));
  }
  return moec::link(link, path);
}

PackOptions Compile::packOptions() {
  return {.threads = request.threads,
          .progress = [this](uint64_t done, uint64_t total) { progress.advance(done, total); },
          .starting = {}};
}

/// Names the weights that lost precision: a program that was asked for should not surprise.
void Compile::reportLosses(const PackReport &report) {
  if (report.lossy.empty())
    return;
  const LossyWeight &first = report.lossy.front();
  say(fmt::format("{} of the weights lose precision as {}: {}{}", report.lossy.size(),
                  first.element, first.name, report.lossy.size() > 1 ? " and others" : ""));
  for (const LossyWeight &weight : report.lossy)
    if (weight.overflow)
      say(fmt::format("{} has values too large for {}: they became infinite", weight.name,
                      weight.element));
}

Status Compile::embedWeights(AtomicFile &file) {
  const WeightPlan &plan = program.plan;
  uint64_t bytes = packedFileBytes(plan);
  Result<uint64_t> offset = openEmbeddedWeights(file.temporaryPath(), bytes);
  if (!offset.ok())
    return offset.status();
  if (Status status = file.reopen(); !status.ok())
    return status;
  say(fmt::format("writing {} of weights into '{}'", formatBytes(bytes), request.output));
  progress.start("packing weights");
  Result<PackReport> report = packInto(*checkpoint, plan, file, *offset, packOptions());
  if (!report.ok())
    return report.status();
  reportLosses(*report);
  return {};
}

Status Compile::packBeside() {
  const WeightPlan &plan = program.plan;
  std::string path = request.output + ".weights";
  PackOptions options = packOptions();
  options.starting = [&] {
    say(fmt::format("writing {} of weights to '{}'", formatBytes(packedFileBytes(plan)), path));
    progress.start("packing weights");
  };
  Result<PackReport> report = packToFile(*checkpoint, plan, path, options);
  if (!report.ok())
    return report.status();
  if (report->reused)
    say(fmt::format("'{}' was up to date", path));
  reportLosses(*report);
  return {};
}

Status moec::compile(const CompileRequest &request) { return Compile(request).run(); }
