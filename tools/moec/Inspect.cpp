// Imports a model from its headers, runs the stages that decide, and prints what came of it.

#include "tools/moec/Inspect.h"

#include "compiler/analysis/FusionReport.h"
#include "compiler/analysis/StoredWeights.h"
#include "compiler/pipeline/Description.h"
#include "compiler/targets/cpu/CpuTarget.h"
#include "dialects/lm/LmDialect.h"
#include "frontends/models/Import.h"
#include "tools/moec/Progress.h"
#include "tools/moec/StageRunner.h"
#include "tools/moec/TextOutput.h"

#include "llvm/Support/JSON.h"

#include <fmt/format.h>

#include <set>

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
  std::vector<StoredKind> stored;
  std::vector<std::string> notices;     ///< of the import
  std::string mla;                      ///< the form of latent attention; empty where there is none
  std::vector<ManifestCache> attention; ///< the caches that attention reads; indexers have others
  bool isTied = false;                  ///< the embedding is the head
  FusionReport fusions;
};

} // namespace

/// What attention and the head read.
static void describeReads(mlir::ModuleOp module, Facts &facts) {
  std::set<std::string> attended;
  module.walk([&](lm::AttentionOp attention) {
    attended.insert(lm::cacheOf(attention).getSymName().str());
  });
  for (const ManifestCache &cache : facts.model.caches)
    if (attended.count(cache.name))
      facts.attention.push_back(cache);
  std::set<llvm::StringRef> looked;
  module.walk([&](lm::EmbeddingOp embedding) {
    if (auto load = embedding.getTable().getDefiningOp<lm::LoadWeightOp>())
      looked.insert(load.getWeight());
  });
  module.walk([&](lm::LinearOp product) {
    auto load = product.getWeight().getDefiningOp<lm::LoadWeightOp>();
    facts.isTied |= load && looked.count(load.getWeight());
  });
}

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
  Facts facts;
  Result<mlir::OwningOpRef<mlir::ModuleOp>> module =
      importModel(*checkpoint, context,
                  {.context = 0,
                   .name = {},
                   .latentForm = request.latentForm,
                   .notice = [&facts](const std::string &line) { facts.notices.push_back(line); }});
  if (!module.ok())
    return module.status();
  facts.stored = describeStored(**module);
  Result<PipelineOptions> options = choosePipelineOptions(**module, *levels,
                                                          {.gpu = {},
                                                           .activations = request.activations,
                                                           .cache = request.cache,
                                                           .quantize = {},
                                                           .reference = false,
                                                           .mapped = {},
                                                           .profile = false,
                                                           .without = {}});
  if (!options.ok())
    return options.status();

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
  for (const auto &[name, value] : facts.model.options)
    if (name == "mla")
      facts.mla = value;
  describeReads(**module, facts);
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

/// "to latent vectors, absorbed; 12 of 24 layers see the latest 128 tokens, 12 all".
static std::string attentionText(const Facts &facts) {
  std::string text = facts.mla.empty() ? "" : fmt::format("to latent vectors, {}; ", facts.mla);
  for (const ManifestCache &cache : facts.attention) {
    const bool isFirst = &cache == facts.attention.data();
    const auto count = static_cast<int64_t>(cache.layers.size());
    text += fmt::format("{}{}", isFirst ? "" : ", ", count);
    if (isFirst)
      text += fmt::format("{} layers see ", count < facts.model.layers
                                                ? fmt::format(" of {}", facts.model.layers)
                                                : std::string());
    else
      text += " ";
    text += cache.window  ? fmt::format("the latest {} tokens", cache.window)
            : cache.chunk ? fmt::format("their chunk of {} tokens", cache.chunk)
                          : "all";
    if (cache.chosen)
      text += fmt::format(" and read the {} that an indexer chooses", cache.chosen);
  }
  return text;
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
  line("layers", fmt::format("{} of width {}, vocabulary {}{}, context {}", model.layers,
                             model.hidden, model.vocabulary,
                             facts.isTied ? ", head tied to the embedding" : "", model.context));
  line("attention", attentionText(facts));
  line("experts", fmt::format("{} of {} in {} of the layers", moe.picked, moe.experts,
                              model.moeLayers.size()));
  line("files", fmt::format("{}, {}", facts.files.size(), formatBytes(facts.fileBytes)));
  std::string stored;
  for (const StoredKind &kind : facts.stored)
    stored += fmt::format("{}{} of {}", stored.empty() ? "" : ", ",
                          formatBytes(static_cast<uint64_t>(kind.bytes)), kind.name);
  line("stored", stored);
  for (const std::string &notice : facts.notices)
    line("notice", notice);
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
    json.attributeArray("stored", [&] {
      for (const StoredKind &kind : facts.stored)
        json.object([&] {
          json.attribute("as", kind.name);
          json.attribute("bytes", kind.bytes);
        });
    });
    json.attribute("tied", facts.isTied);
    if (!facts.mla.empty())
      json.attribute("mla", facts.mla);
    json.attributeArray("attention", [&] {
      for (const ManifestCache &cache : facts.attention)
        json.object([&] {
          json.attributeArray("layers", [&] {
            for (int64_t layer : cache.layers)
              json.value(layer);
          });
          json.attribute("window", cache.window);
          json.attribute("chunk", cache.chunk);
          json.attribute("chosen", cache.chosen);
        });
    });
    json.attributeArray("notices", [&] {
      for (const std::string &notice : facts.notices)
        json.value(notice);
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
