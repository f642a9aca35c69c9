// inspect: what the program is made of, for people and as JSON.

#include "runtime/core/Step.h"
#include "runtime/cpu/CpuFeatures.h"
#include "runtime/cpu/Resources.h"
#include "runtime/device/DeviceProgram.h"
#include "runtime/program/Commands.h"
#include "runtime/program/Licenses.h"
#include "runtime/program/Linkage.h"
#include "runtime/program/Output.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <sys/stat.h>

namespace moec {

using Json = nlohmann::ordered_json;

static int64_t fileBytes(const std::string &path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0 ? status.st_size : -1;
}

/// 1.23 GB and the like.
static std::string bytesText(double bytes) {
  const char *units[] = {"bytes", "kB", "MB", "GB", "TB"};
  int unit = 0;
  for (; bytes >= 1000 && unit < 4; ++unit)
    bytes /= 1000;
  return unit == 0 ? fmt::format("{:.0f} bytes", bytes)
                   : fmt::format("{:.2f} {}", bytes, units[unit]);
}

/// 46.7 B and the like.
static std::string countText(double count) {
  const char *units[] = {"", " k", " M", " B", " T"};
  int unit = 0;
  for (; count >= 1000 && unit < 4; ++unit)
    count /= 1000;
  return unit == 0 ? fmt::format("{:.0f}", count) : fmt::format("{:.2f}{}", count, units[unit]);
}

static Json describeWeights(const Manifest &manifest, const Weights *weights) {
  Json json = {{"mode", weightsModeName(manifest.weights.mode)},
               {"bytes", manifest.weights.bytes},
               {"digest", manifest.weights.digest}};
  if (manifest.weights.mode == WeightsMode::Map) {
    json["model_directory"] = manifest.modelDirectory;
    json["follow_links"] = manifest.followLinks;
  }
  if (manifest.weights.mode == WeightsMode::Pack)
    json["file"] = manifest.weights.file;
  json["found"] = weights != nullptr;
  json["files"] = Json::array();
  if (weights)
    for (const std::string &path : weights->files())
      json["files"].push_back({{"path", path}, {"bytes", fileBytes(path)}});
  return json;
}

static Json describeLevels(const Manifest &manifest) {
  Json json = {{"levels", Json::array()}, {"runs", nullptr}};
  for (const ManifestCpuLevel &level : manifest.cpuLevels)
    json["levels"].push_back({{"name", level.name},
                              {"features", level.features},
                              {"supported", missingCpuFeatures(level.features).empty()}});
  if (Result<size_t> runs = chooseCpuLevel(manifest); runs.ok())
    json["runs"] = manifest.cpuLevels[*runs].name;
  return json;
}

static Json describeKernels(const moec_device_program &program) {
  Json json = Json::array();
  for (const moec_device_code &code : std::span(program.codes, program.code_count))
    json.push_back({{"architecture", code.architecture},
                    {"kernels", code.kernel_count},
                    {"form", code.image.is_text ? "ptx" : "cubin"},
                    {"bytes", code.image.size},
                    {"driver", fmt::format("{}.{}", code.image.driver_version / 1000,
                                           code.image.driver_version % 1000 / 10)},
                    {"emulated", code.emulated != nullptr}});
  return json;
}

/// Of a sequence as long as the context.
static Json describePlacement(const Manifest &manifest) {
  const int64_t rows = std::min(manifest.stepTokens, manifest.context);
  Json json = {{"device_memory", manifest.deviceMemory}};
  json["device"] = {{"weights", manifest.deviceWeightBytes()},
                    {"cache", manifest.cacheBytes(manifest.context, rows)},
                    {"activations", moec_program_arena_bytes(rows, 1, 1, 1) +
                                        manifest.vocabulary * static_cast<int64_t>(sizeof(float))}};
  json["host"] = {{"layers", manifest.host ? manifest.host->layers : std::vector<int64_t>()},
                  {"weights", manifest.hostWeightBytes()}};
  return json;
}

static Json describeTensors(const std::vector<ManifestTensor> &tensors) {
  Json list = Json::array();
  for (const ManifestTensor &tensor : tensors) {
    Json shape = Json::array();
    for (const ManifestSize &size : tensor.shape)
      shape.push_back(size.size < 0 ? Json(size.dimension) : Json(size.size));
    list.push_back({{"name", tensor.name}, {"type", tensor.type}, {"shape", std::move(shape)}});
  }
  return list;
}

static Json describe(const Manifest &manifest, const Weights *weights) {
  Json json = {{"name", manifest.name}, {"architecture", manifest.architecture}};
  if (manifest.graph)
    json["graph"] = {{"dimensions", manifest.graph->dimensions},
                     {"inputs", describeTensors(manifest.graph->inputs)},
                     {"outputs", describeTensors(manifest.graph->outputs)}};
  json["versions"] = Json::object();
  for (const auto &[name, version] : manifest.versions)
    json["versions"][name] = version;
  json["options"] = Json::object();
  for (const auto &[name, value] : manifest.options)
    json["options"][name] = value;
  json["parameters"] = {{"total", manifest.totalParameters}, {"active", manifest.activeParameters}};
  json["layers"] = manifest.layers;
  json["hidden"] = manifest.hidden;
  json["vocabulary"] = manifest.vocabulary;
  json["context"] = manifest.context;
  json["moe_layers"] = Json::array();
  for (const ManifestMoeLayer &layer : manifest.moeLayers)
    json["moe_layers"].push_back(
        {{"layer", layer.layer}, {"experts", layer.experts}, {"picked", layer.picked}});
  json["step_tokens"] = manifest.stepTokens;
  json["architectures"] = manifest.gpus;
  if (moec_program_device)
    json["gpu"] = describeKernels(*moec_program_device);
  if (!manifest.cpuLevels.empty())
    json["cpu"] = describeLevels(manifest);
  if (manifest.deviceMemory)
    json["placement"] = describePlacement(manifest);
  json["invariance"] = "batch";
  json["weights"] = describeWeights(manifest, weights);
  json["sources"] = Json::array();
  for (const ManifestSource &source : manifest.sources)
    json["sources"].push_back(
        {{"path", source.path}, {"bytes", source.bytes}, {"digest", source.digest}});
  json["caches"] = Json::array();
  for (const ManifestCache &cache : manifest.caches)
    json["caches"].push_back({{"name", cache.name},
                              {"layers", cache.layers.size()},
                              {"bytes_per_token", static_cast<double>(cache.bytesPerBlock) /
                                                      static_cast<double>(manifest.blockTokens)},
                              {"window", cache.window},
                              {"chunk", cache.chunk},
                              {"chosen", cache.chosen}});
  int64_t threads = manifest.cpuLevels.empty() ? 1 : defaultThreads();
  if (!manifest.cpuLevels.empty())
    json["numa"] = describeNodes(chooseNodeUse(NumaPolicy::Default, threads, allowedProcessors()));
  json["memory"] = {
      {"weights", weights ? weights->bytes() : manifest.weights.bytes},
      {"cache_full_context", manifest.cacheBytes(manifest.context, /*rows=*/0)},
      {"activations_decode", moec_program_arena_bytes(1, 1, 1, threads)},
      {"activations_prefill",
       moec_program_arena_bytes(std::min(manifest.stepTokens, manifest.context), 1, 1, threads)}};
  Linkage linkage = programLinkage();
  std::string path = programPath();
  json["program"] = {{"path", path},
                     {"bytes", fileBytes(path)},
                     {"tokenizer_bytes", moec_program_tokenizer_size},
                     {"chat_template_bytes", moec_program_template_size},
                     {"link", linkage.dynamic ? "dynamic" : "static"},
                     {"libraries", linkage.libraries}};
  if (!linkage.newestGlibc.empty())
    json["program"]["newest_glibc_symbol"] = linkage.newestGlibc;
  return json;
}

/// Equal neighbours of the list of MoE layers on one line: `0 to 31: 8 experts, 2 per token`.
static std::string moeLayersText(const std::vector<ManifestMoeLayer> &layers) {
  std::string text;
  for (size_t first = 0; first < layers.size();) {
    size_t end = first + 1;
    while (end < layers.size() && layers[end].experts == layers[first].experts &&
           layers[end].picked == layers[first].picked &&
           layers[end].layer == layers[end - 1].layer + 1)
      ++end;
    std::string range = end - first == 1 ? fmt::format("layer {}", layers[first].layer)
                                         : fmt::format("layers {} to {}", layers[first].layer,
                                                       layers[end - 1].layer);
    text += fmt::format("{}{}: {} experts, {} per token", text.empty() ? "" : "; ", range,
                        layers[first].experts, layers[first].picked);
    first = end;
  }
  return text.empty() ? "none" : text;
}

static std::string joined(const std::vector<std::string> &words) {
  std::string text;
  for (const std::string &word : words)
    text += (text.empty() ? "" : " ") + word;
  return text.empty() ? "none" : text;
}

static std::string reportLine(std::string_view name, std::string_view value) {
  return fmt::format("{:<16} {}\n", name, value);
}

static std::string levelLines(const Manifest &manifest, const Json &json) {
  std::string text;
  for (const Json &level : json["cpu"]["levels"])
    text += reportLine("cpu level",
                       fmt::format("{} ({}); this CPU {}{}", level["name"].get<std::string>(),
                                   joined(level["features"].get<std::vector<std::string>>()),
                                   level["supported"].get<bool>() ? "has it" : "lacks it",
                                   level["name"] == json["cpu"]["runs"] ? ", and it runs" : ""));
  if (Result<size_t> runs = chooseCpuLevel(manifest); !runs.ok())
    text += reportLine("  not usable", runs.status().message);
  if (const Json &nodes = json["numa"]["nodes"]; nodes.size() > 1)
    text += reportLine("nodes", fmt::format("{} of memory; by default --numa={}", nodes.size(),
                                            json["numa"]["policy"].get<std::string>()));
  return text;
}

static std::string kernelLines(const Json &codes) {
  std::string text;
  for (const Json &code : codes)
    text += reportLine("gpu kernels",
                       fmt::format("{}: {} as {} ({}), for drivers of CUDA {} and later{}",
                                   code["architecture"].get<std::string>(),
                                   code["kernels"].get<int64_t>(), code["form"].get<std::string>(),
                                   bytesText(code["bytes"].get<double>()),
                                   code["driver"].get<std::string>(),
                                   code["emulated"].get<bool>() ? "; also emulated" : ""));
  return text;
}

static std::string placementLines(const Manifest &manifest, const Json &json) {
  auto bytes = [](const Json &value) { return bytesText(value.get<double>()); };
  const Json &device = json["device"];
  std::string text = reportLine(
      "gpu memory",
      fmt::format("{} of weights, {} of cache at full context, {} of activations; made for {}",
                  bytes(device["weights"]), bytes(device["cache"]), bytes(device["activations"]),
                  bytes(json["device_memory"])));
  if (manifest.host)
    text += reportLine("left to the cpu", fmt::format("the routed experts of layer{} {}, {}",
                                                      manifest.host->layers.size() == 1 ? "" : "s",
                                                      rangesText(manifest.host->layers),
                                                      bytes(json["host"]["weights"])));
  return text;
}

/// "F32 [batch_size, 40]"; a size that is computed is a question mark.
static std::string tensorText(const ManifestTensor &tensor) {
  std::string shape;
  for (const ManifestSize &size : tensor.shape)
    shape += (shape.empty() ? "" : ", ") + (size.size >= 0           ? std::to_string(size.size)
                                            : size.dimension.empty() ? "?"
                                                                     : size.dimension);
  return fmt::format("{}: {} [{}]", tensor.name, tensor.type, shape);
}

/// What there is only of a language model, and what there is only of a graph.
static std::string signatureLines(const Manifest &manifest) {
  std::string text;
  if (manifest.graph) {
    for (const ManifestTensor &input : manifest.graph->inputs)
      text += reportLine("input", tensorText(input));
    for (const ManifestTensor &output : manifest.graph->outputs)
      text += reportLine("output", tensorText(output));
    return text;
  }
  text += reportLine("parameters",
                     fmt::format("{} in all, {} active per token",
                                 countText(static_cast<double>(manifest.totalParameters)),
                                 countText(static_cast<double>(manifest.activeParameters))));
  text +=
      reportLine("layers", fmt::format("{}, hidden {}, vocabulary {}, context {}", manifest.layers,
                                       manifest.hidden, manifest.vocabulary, manifest.context));
  return text + reportLine("experts", moeLayersText(manifest.moeLayers));
}

static std::string report(const Manifest &manifest, const Json &json, const Status &found) {
  std::string text;
  auto line = [&](std::string_view name, std::string_view value) {
    text += reportLine(name, value);
  };
  auto bytes = [](const Json &value) { return bytesText(value.get<double>()); };
  line("model", fmt::format("{} ({})", manifest.name, manifest.architecture));
  text += signatureLines(manifest);
  if (json.contains("gpu"))
    text += kernelLines(json["gpu"]);
  if (json.contains("cpu"))
    text += levelLines(manifest, json);
  if (json.contains("placement"))
    text += placementLines(manifest, json["placement"]);
  line("invariance", "batch: results do not depend on chunks, neighbours or threads");
  line("weights", fmt::format("{}, {}", weightsModeName(manifest.weights.mode),
                              bytes(json["memory"]["weights"])));
  if (!manifest.weights.digest.empty())
    line("  digest", manifest.weights.digest);
  for (const Json &file : json["weights"]["files"])
    line("  file", fmt::format("{} ({})", file["path"].get<std::string>(), bytes(file["bytes"])));
  if (!found.ok())
    line("  not usable", found.message);
  for (const ManifestSource &source : manifest.sources)
    line("source", fmt::format("{} ({}) {}", source.path,
                               bytesText(static_cast<double>(source.bytes)), source.digest));
  for (const ManifestCache &cache : manifest.caches)
    line("cache",
         fmt::format("{}: {} layers, {:.0f} bytes per token{}{}", cache.name, cache.layers.size(),
                     static_cast<double>(cache.bytesPerBlock) /
                         static_cast<double>(manifest.blockTokens),
                     cache.window  ? fmt::format(", the last {} tokens", cache.window)
                     : cache.chunk ? fmt::format(", the tokens of a chunk of {}", cache.chunk)
                                   : ", all tokens",
                     cache.chosen ? fmt::format(", of which {} are read", cache.chosen) : ""));
  if (!manifest.graph) // of a graph its dimensions tell
    line("memory", fmt::format("cache {} at full context, activations {} to {}",
                               bytes(json["memory"]["cache_full_context"]),
                               bytes(json["memory"]["activations_decode"]),
                               bytes(json["memory"]["activations_prefill"])));
  const Json &program = json["program"];
  line("program", fmt::format("{} ({}, of it tokenizer {})", program["path"].get<std::string>(),
                              bytes(program["bytes"]), bytes(program["tokenizer_bytes"])));
  line("linked", program["link"] == "static"
                     ? std::string("statically")
                     : fmt::format("with {}; newest symbol {}",
                                   joined(program["libraries"].get<std::vector<std::string>>()),
                                   program.value("newest_glibc_symbol", std::string("none"))));
  std::string options, versions;
  for (const auto &[name, value] : manifest.options)
    options += fmt::format("{}--{}={}", options.empty() ? "" : " ", name, value);
  for (const auto &[name, value] : manifest.versions)
    versions += fmt::format("{}{} {}", versions.empty() ? "" : ", ", name, value);
  line("compiled with", options);
  line("versions", versions);
  return text;
}

Status runInspect(const InspectOptions &options) {
  if (options.licenses)
    return writeOutput(reinterpret_cast<const char *>(moec_licenses));
  Result<Manifest> manifest = programManifest();
  if (!manifest.ok())
    return manifest.status();
  WeightsPlace place;
  place.file = options.open.weightsFile;
  place.directory = options.open.modelDirectory;
  // A program can be looked at where its weights are not; only --verify insists on them.
  Result<std::unique_ptr<Weights>> weights = Weights::open(*manifest, place);
  if (options.verify && !weights.ok())
    return weights.status();
  const Weights *open = weights.ok() ? weights->get() : nullptr;
  Json json = describe(*manifest, open);
  if (options.verify) {
    if (Status status = open->verify(showProgress("reading weights")); !status.ok())
      return status;
    json["verified"] = true;
  }
  if (options.json)
    return writeOutput(json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  std::string text = report(*manifest, json, weights.ok() ? Status{} : weights.status());
  if (options.verify)
    text += open->packed()
                ? "verified         all bytes read, all digests equal\n"
                : "verified         all bytes read, digests of headers and samples equal\n";
  return writeOutput(text);
}

} // namespace moec
