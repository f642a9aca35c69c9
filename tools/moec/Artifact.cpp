// The manifest, the tokenizer, the link and the weights, in the order in which they fail soonest.

#include "tools/moec/Artifact.h"

#include "compiler/emit/EmbeddedWeights.h"
#include "compiler/emit/Packer.h"
#include "compiler/emit/ProgramData.h"
#include "compiler/emit/ScratchFile.h"
#include "frontends/checkpoint/TextData.h"
#include "runtime/core/File.h"
#include "tools/moec/GraphHeader.h"
#include "tools/moec/TextOutput.h"

#include "llvm/Support/Path.h"

#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <vector>

using namespace moec;

void moec::notify(const CompileRequest &request, Progress &progress, const std::string &line) {
  progress.clear();
  if (!request.quiet)
    writeMessage(fmt::format("moec: {}\n", line));
}

namespace {

class ArtifactMaker {
public:
  ArtifactMaker(const ArtifactParts &parts, AtomicFile &output)
      : request(parts.request), checkpoint(parts.checkpoint), program(parts.program),
        code(parts.code), parts(parts), progress(parts.progress), output(output),
        mode(parts.program.manifest.graph && parts.program.plan.weights.empty()
                 ? WeightsMode::Embed // of nothing, so that there is no file beside
                 : parts.request.weights) {}

  Status make();

private:
  Result<std::string> finishManifest();
  Status linkInto(const ProgramData &data, const std::string &path);
  Status embedWeights(AtomicFile &file);
  Status packBeside();
  Status writeHeader();
  PackOptions packOptions();
  void reportLosses(const PackReport &report);
  void say(const std::string &line) { notify(request, progress, line); }

  const CompileRequest &request;
  const Checkpoint &checkpoint;
  ProgramDescription &program;
  const std::string &code;
  const ArtifactParts &parts;
  Progress &progress;
  AtomicFile &output;
  const WeightsMode mode;
};

} // namespace

/// The manifest's text, with what only the whole compile knows.
Result<std::string> ArtifactMaker::finishManifest() {
  progress.start("reading the weights' digests");
  Result<std::vector<SourceDigest>> digests = digestSources(checkpoint);
  if (!digests.ok())
    return digests.status();
  Manifest &manifest = program.manifest;
  for (const SourceDigest &source : *digests)
    manifest.sources.push_back({source.path, source.bytes, digestText(source.digest)});
  manifest.weights.mode = mode;
  manifest.weights.bytes = program.plan.totalBytes();
  if (mode == WeightsMode::Map) {
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
  if (mode == WeightsMode::Pack)
    manifest.weights.file = llvm::sys::path::filename(request.output).str() + ".weights";
  return writeManifest(manifest);
}

Status ArtifactMaker::make() {
  Result<std::string> manifest = finishManifest();
  if (!manifest.ok())
    return manifest.status();
  Result<TextData> text = TextData();
  if (!program.manifest.graph) {
    progress.start("compiling: tokenizer");
    text = compileText(checkpoint, program.manifest.vocabulary, request.followLinks);
    if (!text.ok())
      return text.status();
    for (const std::string &notice : text->notices)
      say(notice);
    if (text->tokenizer.empty())
      say(fmt::format("'{}' has no tokenizer (tokenizer.json, tiktoken.model, tokenizer.model or "
                      "qwen.tiktoken): what needs text will not work",
                      request.input));
  }
  ProgramData data{.manifest = *manifest,
                   .tokenizer = text->tokenizer,
                   .chatTemplate = text->chatTemplate,
                   .generation = text->generation,
                   .embeddedWeightBytes =
                       mode == WeightsMode::Embed ? packedFileBytes(program.plan) : 0};

  progress.start("linking");
  std::optional<AtomicFile> object; // of a static library, which may hold all the weights
  if (request.emit == Emit::Static) {
    Result<AtomicFile> created = AtomicFile::create(request.output + ".o");
    if (!created.ok())
      return created.status();
    object.emplace(std::move(*created));
  }
  AtomicFile &linked = object ? *object : output;
  if (Status status = linkInto(data, linked.temporaryPath()); !status.ok())
    return status;
  if (mode == WeightsMode::Embed)
    if (Status status = embedWeights(linked); !status.ok())
      return status;
  if (object)
    if (Status status = makeArchive(linked.temporaryPath(), output.temporaryPath()); !status.ok())
      return status;
  if (mode == WeightsMode::Pack)
    if (Status status = packBeside(); !status.ok())
      return status;
  const bool isLibrary = request.emit == Emit::Shared || request.emit == Emit::Static;
  if (program.manifest.graph && isLibrary)
    if (Status status = writeHeader(); !status.ok())
      return status;
  return output.commit();
}

Status ArtifactMaker::linkInto(const ProgramData &data, const std::string &path) {
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
  // A shared libc alone can load a driver.
  link.libc = request.device == Device::Cpu ? request.libc : LibcLink::Dynamic;
  link.linker = request.linker;
  link.strip = request.strip;
  link.triple = parts.triple;
  link.linkFiles = parts.linkFiles;

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

PackOptions ArtifactMaker::packOptions() {
  return {.threads = request.threads,
          .progress = [this](uint64_t done, uint64_t total) { progress.advance(done, total); },
          .starting = {}};
}

/// Names the weights that lost precision: a program that was asked for should not surprise.
void ArtifactMaker::reportLosses(const PackReport &report) {
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

Status ArtifactMaker::embedWeights(AtomicFile &file) {
  const WeightPlan &plan = program.plan;
  uint64_t bytes = packedFileBytes(plan);
  Result<uint64_t> offset = openEmbeddedWeights(file.temporaryPath(), bytes);
  if (!offset.ok())
    return offset.status();
  if (Status status = file.reopen(); !status.ok())
    return status;
  if (!plan.weights.empty())
    say(fmt::format("writing {} of weights into '{}'", formatBytes(bytes), request.output));
  progress.start("packing weights");
  Result<PackReport> report = packInto(checkpoint, plan, file, *offset, packOptions());
  if (!report.ok())
    return report.status();
  reportLosses(*report);
  return {};
}

Status ArtifactMaker::packBeside() {
  const WeightPlan &plan = program.plan;
  std::string path = request.output + ".weights";
  PackOptions options = packOptions();
  options.starting = [&] {
    say(fmt::format("writing {} of weights to '{}'", formatBytes(packedFileBytes(plan)), path));
    progress.start("packing weights");
  };
  Result<PackReport> report = packToFile(checkpoint, plan, path, options);
  if (!report.ok())
    return report.status();
  if (report->reused)
    say(fmt::format("'{}' was up to date", path));
  reportLosses(*report);
  return {};
}

/// Beside a graph's library.
Status ArtifactMaker::writeHeader() {
  Result<AtomicFile> header = AtomicFile::create(graphHeaderPath(request.output));
  if (!header.ok())
    return header.status();
  if (Status status = header->append(writeGraphHeader(*program.manifest.graph, request.output));
      !status.ok())
    return status;
  return header->commit();
}

Status moec::makeArtifact(const ArtifactParts &parts, AtomicFile &output) {
  return ArtifactMaker(parts, output).make();
}

Status moec::checkOutput(const CompileRequest &request, const Checkpoint &checkpoint) {
  std::vector<std::string> files;
  for (const CheckpointFile &file : checkpoint.files())
    files.push_back(file.path);
  std::error_code unreadable; // then nothing in it was read either
  for (const auto &entry : std::filesystem::directory_iterator(request.input, unreadable))
    if (const auto kind = entry.path().extension(); kind == ".json" || kind == ".jinja")
      files.push_back(entry.path());
  for (const std::string &file : files)
    for (const std::string &path : {request.output, request.output + ".weights"})
      if (isSameFile(path, file))
        return {Code::Usage, fmt::format("-o: '{}' is a file of the model itself", path)};
  return {};
}
