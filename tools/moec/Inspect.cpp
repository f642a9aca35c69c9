// Imports a model from its headers, runs the stages that decide, and prints what came of it.

#include "tools/moec/Inspect.h"

#include "compiler/analysis/FusionReport.h"
#include "compiler/pipeline/Description.h"
#include "compiler/targets/cpu/CpuTarget.h"
#include "dialects/lm/LmDialect.h"
#include "frontends/models/Import.h"
#include "tools/moec/Progress.h"
#include "tools/moec/StageRunner.h"
#include "tools/moec/TextOutput.h"

#include "llvm/Support/JSON.h"

#include <fmt/format.h>

using namespace moec;

namespace {

/// What is printed, in either form.
struct Facts {
  Manifest model; ///< what a program would say of itself
  std::string activations, cache;
  std::vector<CheckpointFile> files;
  uint64_t fileBytes = 0;
  uint64_t packedBytes = 0;
  uint64_t cacheBytes = 0; ///< of keys and values, per token
  FusionReport fusions;
};

} // namespace

static Result<Facts> gather(const CompileRequest &request) {
  Result<std::vector<const CpuTarget *>> levels = findCpuTargets(request.cpu);
  if (!levels.ok())
    return levels.status();
  Result<Checkpoint> checkpoint =
      Checkpoint::open(request.input, {.headersOnly = true, .followLinks = request.followLinks});
  if (!checkpoint.ok())
    return checkpoint.status();

  mlir::DialectRegistry registry;
  registerDialects(registry);
  mlir::MLIRContext context(registry);
  Result<mlir::OwningOpRef<mlir::ModuleOp>> module = importModel(
      *checkpoint, context, {.context = 0, .name = {}, .latentForm = request.latentForm});
  if (!module.ok())
    return module.status();
  Result<PipelineOptions> options = choosePipelineOptions(**module, *levels,
                                                          {.activations = request.activations,
                                                           .cache = request.cache,
                                                           .quantize = {},
                                                           .reference = false,
                                                           .mapped = {},
                                                           .profile = false,
                                                           .without = {}});
  if (!options.ok())
    return options.status();

  Facts facts;
  facts.activations = options->activations;
  facts.cache = options->cache;
  facts.files.assign(checkpoint->files().begin(), checkpoint->files().end());
  for (const CheckpointFile &file : facts.files)
    facts.fileBytes += file.bytes;

  StageRunner stages(context, {}, "moec.reproducer.mlir");
  // As far as the description needs.
  for (const Stage &stage : moec::stages()) {
    if (Status status = stages.run(**module, stage, *options); !status.ok())
      return status;
    if (stage.name == "optimized")
      facts.fusions = reportFusions(**module);
    if (stage.name == "scheduled")
      break;
  }
  facts.fusions.addPhases(**module);
  Result<ProgramDescription> program = describeProgram(**module, *options);
  if (!program.ok())
    return program.status();
  facts.model = std::move(program->manifest);
  facts.packedBytes = program->plan.totalBytes();
  for (const ManifestCache &cache : facts.model.caches)
    facts.cacheBytes += static_cast<uint64_t>(cache.bytesPerBlock / facts.model.blockTokens);
  return facts;
}

/// "46.70 billion", "1.31 million", "95000".
static std::string formatCount(int64_t count) {
  double number = static_cast<double>(count);
  if (number >= 1e9)
    return fmt::format("{:.2f} billion", number / 1e9);
  if (number >= 1e6)
    return fmt::format("{:.2f} million", number / 1e6);
  return fmt::format("{}", count);
}

static std::string toText(const Facts &facts) {
  const Manifest &model = facts.model;
  // All layers with experts have equally many of them.
  ManifestMoeLayer moe = model.moeLayers.empty() ? ManifestMoeLayer() : model.moeLayers.front();
  std::string text;
  auto line = [&](std::string_view name, const std::string &value) {
    text += fmt::format("{:<16}{}\n", name, value);
  };
  line("model", model.name);
  line("architecture", model.architecture);
  line("parameters", fmt::format("{}, {} active per token", formatCount(model.totalParameters),
                                 formatCount(model.activeParameters)));
  line("layers", fmt::format("{} of width {}, vocabulary {}, context {}", model.layers,
                             model.hidden, model.vocabulary, model.context));
  line("experts", fmt::format("{} of {} in {} of the layers", moe.picked, moe.experts,
                              model.moeLayers.size()));
  line("files", fmt::format("{}, {}", facts.files.size(), formatBytes(facts.fileBytes)));
  line("memory", fmt::format("{} of weights, {} of keys and values per token",
                             formatBytes(facts.packedBytes), formatBytes(facts.cacheBytes)));
  std::string levels;
  for (const ManifestCpuLevel &level : model.cpuLevels)
    levels += level.name + ", ";
  line("cpu", fmt::format("{}activations {}, cache {}", levels, facts.activations, facts.cache));
  return text + facts.fusions.text({});
}

static std::string toJson(const Facts &facts) {
  const Manifest &model = facts.model;
  std::string text;
  llvm::raw_string_ostream stream(text);
  llvm::json::OStream json(stream, 2);
  json.object([&] {
    json.attribute("name", model.name);
    json.attribute("architecture", model.architecture);
    json.attributeObject("parameters", [&] {
      json.attribute("total", model.totalParameters);
      json.attribute("active", model.activeParameters);
    });
    json.attribute("layers", model.layers);
    json.attribute("hidden", model.hidden);
    json.attribute("vocabulary", model.vocabulary);
    json.attribute("context", model.context);
    json.attributeArray("moe_layers", [&] {
      for (const ManifestMoeLayer &moe : model.moeLayers)
        json.object([&] {
          json.attribute("layer", moe.layer);
          json.attribute("experts", moe.experts);
          json.attribute("picked", moe.picked);
        });
    });
    json.attributeArray("files", [&] {
      for (const CheckpointFile &file : facts.files)
        json.object([&] {
          json.attribute("path", file.name);
          json.attribute("bytes", static_cast<int64_t>(file.bytes));
        });
    });
    json.attributeObject("memory", [&] {
      json.attribute("weights", static_cast<int64_t>(facts.packedBytes));
      json.attribute("cache_per_token", static_cast<int64_t>(facts.cacheBytes));
    });
    json.attributeArray("cpu", [&] {
      for (const ManifestCpuLevel &level : model.cpuLevels)
        json.value(level.name);
    });
    json.attribute("activations", facts.activations);
    json.attribute("kv_cache", facts.cache);
    json.attributeArray("fusions", [&] {
      for (const FusionEntry &entry : facts.fusions.entries)
        json.object([&] {
          json.attribute("function", entry.function);
          json.attribute("op", entry.op);
          json.attribute("detail", entry.detail);
          json.attribute("fused", entry.fused);
          json.attributeArray("phases", [&] {
            for (const std::string &phase : entry.phases)
              json.value(phase);
          });
        });
    });
  });
  return text + "\n";
}

Status moec::inspect(const CompileRequest &request, bool json) {
  Result<Facts> facts = gather(request);
  if (!facts.ok())
    return facts.status();
  return writeText("-", json ? toJson(*facts) : toText(*facts));
}
