// Reads and writes the manifest; every number is bounded before anything is sized by it.

#include "runtime/core/Manifest.h"

#include "runtime/core/Json.h"
#include "runtime/core/Safetensors.h"
#include "runtime/core/Step.h"

#include <fmt/format.h>

#include <algorithm>

namespace moec {

using nlohmann::json;

static constexpr int64_t maxCount = 1 << 20;           // layers, experts, entries of a list
static constexpr int64_t maxTokens = INT64_C(1) << 30; // positions are 32-bit
static constexpr int64_t maxBytes = INT64_C(1) << 50;
static constexpr int64_t maxNumber = INT64_C(1) << 60;

namespace {

/// Reads fields off one object and remembers the first thing wrong.
class Reader {
public:
  Reader(const json &object, std::string path, std::string &error)
      : object(object), path(std::move(path)), error(error) {
    if (!object.is_object())
      fail("", "an object", object);
  }

  int64_t integer(const char *key, int64_t least, int64_t most) {
    const json *value = field(key);
    if (!value)
      return least;
    if (!isInteger(*value, least, most)) {
      fail(key, fmt::format("an integer from {} to {}", least, most), *value);
      return least;
    }
    return value->get<int64_t>();
  }

  std::string text(const char *key, bool required = true) {
    const json *value = field(key, required);
    if (!value)
      return {};
    if (!value->is_string()) {
      fail(key, "a string", *value);
      return {};
    }
    return value->get<std::string>();
  }

  bool boolean(const char *key) {
    const json *value = field(key);
    if (!value)
      return false;
    if (!value->is_boolean())
      fail(key, "true or false", *value);
    return value->is_boolean() && value->get<bool>();
  }

  std::vector<int64_t> integers(const char *key, int64_t least, int64_t most) {
    std::vector<int64_t> numbers;
    for (const json &entry : list(key)) {
      if (!isInteger(entry, least, most)) {
        fail(key, fmt::format("integers from {} to {}", least, most), entry);
        return {};
      }
      numbers.push_back(entry.get<int64_t>());
    }
    return numbers;
  }

  std::vector<std::string> texts(const char *key) {
    std::vector<std::string> strings;
    for (const json &entry : list(key)) {
      if (!entry.is_string()) {
        fail(key, "strings", entry);
        return {};
      }
      strings.push_back(entry.get<std::string>());
    }
    return strings;
  }

  std::vector<std::pair<std::string, std::string>> pairs(const char *key) {
    std::vector<std::pair<std::string, std::string>> found;
    const json *value = field(key);
    if (!value)
      return found;
    if (!value->is_object()) {
      fail(key, "an object", *value);
      return found;
    }
    for (const auto &entry : value->items()) {
      if (!entry.value().is_string()) {
        fail(key, "strings", entry.value());
        return {};
      }
      found.emplace_back(entry.key(), entry.value().get<std::string>());
    }
    return found;
  }

  /// The entries of a list; an empty list after a failure.
  const json &list(const char *key) {
    static const json none = json::array();
    const json *value = field(key);
    if (!value)
      return none;
    if (!value->is_array() || value->size() > static_cast<size_t>(maxCount)) {
      fail(key, "a list", *value);
      return none;
    }
    return *value;
  }

  /// A reader of the object in `key`.
  Reader inner(const char *key) {
    static const json none = json::object();
    const json *value = field(key);
    return Reader(value ? *value : none, at(key), error);
  }

  Reader entry(const json &value, const char *key, size_t index) {
    return Reader(value, fmt::format("{}[{}]", at(key), index), error);
  }

  void fail(const char *key, std::string_view wanted, const json &found) {
    if (!error.empty())
      return;
    error = fmt::format("manifest: '{}' is {}, wanted {}", at(key), shownJson(found), wanted);
  }

  void refuse(const char *key, std::string_view why) {
    if (error.empty())
      error = fmt::format("manifest: '{}' {}", at(key), why);
  }

  bool has(const char *key) const { return object.is_object() && object.contains(key); }

private:
  static bool isInteger(const json &value, int64_t least, int64_t most) {
    if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(maxNumber))
      return false;
    return value.is_number_integer() && value.get<int64_t>() >= least &&
           value.get<int64_t>() <= most;
  }

  std::string at(const char *key) const {
    return path.empty() || !*key ? path + key : path + "." + key;
  }

  const json *field(const char *key, bool required = true) {
    if (!error.empty() || !object.is_object())
      return nullptr;
    auto found = object.find(key);
    if (found != object.end())
      return &*found;
    if (required)
      error = fmt::format("manifest: no '{}'", at(key));
    return nullptr;
  }

  const json &object;
  std::string path;
  std::string &error;
};

} // namespace

std::string_view weightsModeName(WeightsMode mode) {
  switch (mode) {
  case WeightsMode::Pack:
    return "pack";
  case WeightsMode::Embed:
    return "embed";
  case WeightsMode::Map:
    return "map";
  }
  return "";
}

int64_t Manifest::mostPicked() const {
  int64_t most = 0;
  for (const ManifestMoeLayer &layer : moeLayers)
    most = std::max(most, layer.picked);
  return most;
}

int64_t Manifest::cacheBytes(int64_t tokens, int64_t rows) const {
  int64_t bytes = 0;
  for (const ManifestCache &cache : caches)
    bytes += cache.mostBlocks(tokens, rows, blockTokens) * cache.bytesPerBlock;
  return bytes;
}

std::string rangesText(std::span<const int64_t> numbers) {
  std::string text;
  for (size_t first = 0; first < numbers.size();) {
    size_t last = first;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1)
      ++last;
    text += fmt::format("{}{}", text.empty() ? "" : ", ", numbers[first]);
    if (last > first)
      text += fmt::format("{}{}", last == first + 1 ? ", " : " to ", numbers[last]);
    first = last + 1;
  }
  return text;
}

static void readPieces(Reader &weights, std::vector<ManifestPiece> &pieces) {
  size_t index = 0;
  for (const json &entry : weights.list("pieces")) {
    Reader reader = weights.entry(entry, "pieces", index++);
    ManifestPiece piece;
    piece.name = reader.text("name");
    piece.pattern = reader.text("pattern");
    piece.layers = reader.integers("layers", 0, maxCount);
    piece.matricesPerLayer = reader.integer("matrices_per_layer", 0, maxCount);
    piece.areHeads = reader.has("heads") && reader.boolean("heads");
    piece.stored = reader.text("stored");
    piece.shape = reader.integers("shape", 1, maxTokens);
    piece.firstRow = reader.has("first_row") ? reader.integer("first_row", 0, maxNumber) : 0;
    piece.rowsPerMatrix =
        reader.has("rows_per_matrix") ? reader.integer("rows_per_matrix", 0, maxNumber) : 0;
    piece.matrixBytes = reader.integer("matrix_bytes", 1, maxBytes);
    piece.isMultiplied = reader.boolean("multiplied");
    if (!parseDataType(piece.stored))
      reader.refuse("stored", fmt::format("names no element type: '{}'", piece.stored));
    if (piece.shape.empty() || piece.shape.size() > 2)
      reader.refuse("shape", fmt::format("has {} dimensions, wanted 1 or 2", piece.shape.size()));
    if (piece.layers.size() > 1 && piece.pattern.find("{l}") == std::string::npos)
      reader.refuse("pattern", "has several layers and no '{l}'");
    if (piece.matricesPerLayer > 1 && piece.rowsPerMatrix == 0 &&
        piece.pattern.find("{e}") == std::string::npos)
      reader.refuse("pattern",
                    "has several matrices per layer, and neither '{e}' nor rows_per_matrix");
    pieces.push_back(std::move(piece));
  }
}

static void readPanels(Reader &weights, ManifestWeights &into) {
  for (const json &entry : weights.list("panels")) {
    Reader reader = weights.entry(entry, "panels", into.panels.size());
    ManifestPanels panels;
    panels.offset = reader.integer("offset", 0, maxBytes);
    panels.matrices = reader.integer("matrices", 1, maxTokens);
    panels.matrixBytes = reader.integer("matrix_bytes", 1, maxBytes);
    panels.panelBytes = reader.integer("panel_bytes", 1, maxBytes);
    int64_t room = static_cast<int64_t>(into.bytes) - panels.offset;
    if (room < 0 || panels.matrices > room / panels.matrixBytes)
      reader.refuse("matrices", fmt::format("is {}, for which {} bytes have no room",
                                            panels.matrices, into.bytes));
    into.panels.push_back(panels);
  }
}

static void readWeights(Reader &reader, Manifest &manifest) {
  Reader weights = reader.inner("weights");
  std::string mode = weights.text("mode");
  ManifestWeights &into = manifest.weights;
  if (mode == "pack")
    into.mode = WeightsMode::Pack;
  else if (mode == "embed")
    into.mode = WeightsMode::Embed;
  else if (mode == "map")
    into.mode = WeightsMode::Map;
  else
    weights.refuse("mode", fmt::format("is '{}', wanted pack, embed or map", mode));
  bool mapped = into.mode == WeightsMode::Map;
  into.bytes = weights.integer("bytes", 0, maxBytes);
  into.digest = weights.text("digest", !mapped);
  into.file = weights.text("file", into.mode == WeightsMode::Pack);
  if (into.file.find('/') != std::string::npos)
    weights.refuse("file", fmt::format("is '{}', wanted a name without folders", into.file));
  readPieces(weights, into.pieces);
  if (!mapped)
    readPanels(weights, into);
  manifest.modelDirectory = reader.text("model_directory", mapped);
  manifest.followLinks = mapped && reader.boolean("follow_links");
}

static std::vector<ManifestTensor> readTensors(Reader &graph, const char *key) {
  std::vector<ManifestTensor> tensors;
  for (const json &entry : graph.list(key)) {
    Reader reader = graph.entry(entry, key, tensors.size());
    ManifestTensor &tensor = tensors.emplace_back();
    tensor.name = reader.text("name");
    tensor.type = reader.text("type");
    if (!parseDataType(tensor.type))
      reader.refuse("type", fmt::format("names no element type: '{}'", tensor.type));
    for (const json &size : reader.list("shape")) {
      if (size.is_string())
        tensor.shape.push_back({.dimension = size.get<std::string>()});
      else if (size.is_number_unsigned() && size.get<uint64_t>() <= uint64_t(maxNumber))
        tensor.shape.push_back({.size = size.get<int64_t>(), .dimension = {}});
      else
        reader.fail("shape", "sizes and names of dimensions", size);
    }
    if (tensor.shape.size() > MOEC_MOST_RANK)
      reader.refuse("shape", fmt::format("has {} dimensions, wanted {} at most",
                                         tensor.shape.size(), int(MOEC_MOST_RANK)));
  }
  return tensors;
}

static ManifestGraph readGraph(Reader &reader) {
  Reader inner = reader.inner("graph");
  ManifestGraph graph;
  graph.dimensions = inner.texts("dimensions");
  graph.inputs = readTensors(inner, "inputs");
  graph.outputs = readTensors(inner, "outputs");
  if (inner.has("failures"))
    graph.failures = inner.texts("failures");
  for (const ManifestTensor &input : graph.inputs)
    for (const ManifestSize &size : input.shape)
      if (size.size < 0 && std::find(graph.dimensions.begin(), graph.dimensions.end(),
                                     size.dimension) == graph.dimensions.end())
        inner.refuse("inputs",
                     fmt::format("name '{}', which is none of the dimensions", size.dimension));
  return graph;
}

/// What only language models have.
static void readModel(Reader &reader, Manifest &manifest, const std::string &error) {
  manifest.vocabulary = reader.integer("vocabulary", 1, maxTokens);
  manifest.hidden = reader.integer("hidden", 1, maxTokens);
  manifest.layers = reader.integer("layers", 1, maxCount);
  manifest.context = reader.integer("context", 1, maxTokens);
  manifest.queryTile = reader.integer("query_tile", 1, maxCount);
  manifest.blockTokens = reader.integer("block_tokens", 1, maxCount);
  manifest.stepTokens = reader.integer("step_tokens", 1, maxCount);
  Reader parameters = reader.inner("parameters");
  manifest.totalParameters = parameters.integer("total", 0, maxNumber);
  manifest.activeParameters = parameters.integer("active", 0, maxNumber);
  int64_t previous = -1;
  for (const json &entry : reader.list("moe_layers")) {
    Reader layer = reader.entry(entry, "moe_layers", manifest.moeLayers.size());
    ManifestMoeLayer into;
    into.layer = layer.integer("layer", previous + 1, manifest.layers - 1);
    into.experts = layer.integer("experts", 1, maxCount);
    into.picked = layer.integer("picked", 1, into.experts);
    previous = into.layer;
    manifest.moeLayers.push_back(into);
    if (!error.empty())
      break;
  }
  for (const json &entry : reader.list("caches")) {
    Reader cache = reader.entry(entry, "caches", manifest.caches.size());
    ManifestCache into;
    into.name = cache.text("name");
    into.layers = cache.integers("layers", 0, manifest.layers - 1);
    into.bytesPerBlock = cache.integer("bytes_per_block", 1, INT64_C(1) << 40);
    into.window = cache.integer("window", 0, maxTokens);
    into.chunk = cache.integer("chunk", 0, maxTokens);
    into.chosen = cache.has("chosen") ? cache.integer("chosen", 0, maxTokens) : 0;
    if (into.window > 0 && into.chunk > 0)
      cache.refuse("chunk", fmt::format("is {} beside a window of {}, wanted one of them or none",
                                        into.chunk, into.window));
    manifest.caches.push_back(std::move(into));
  }
}

Result<Manifest> parseManifest(std::string_view text) {
  Result<json> root = parseJson(text, "manifest", {.maxDepth = 16});
  if (!root.ok())
    return root.status();
  std::string error;
  Reader reader(*root, "", error);
  Manifest manifest;
  int64_t format = reader.integer("format", 0, maxNumber);
  if (error.empty() && format != Manifest::supportedFormat)
    return Status{Code::Mismatch, fmt::format("manifest: format {}, this runtime reads format {}",
                                              format, Manifest::supportedFormat)};
  manifest.name = reader.text("name");
  manifest.versions = reader.pairs("versions");
  manifest.options = reader.pairs("options");
  manifest.architecture = reader.text("architecture");
  if (reader.has("graph"))
    manifest.graph = readGraph(reader);
  else
    readModel(reader, manifest, error);
  for (const json &entry : reader.list("cpu_levels")) {
    Reader level = reader.entry(entry, "cpu_levels", manifest.cpuLevels.size());
    manifest.cpuLevels.push_back({level.text("name"), level.texts("features")});
  }
  if (reader.has("gpus"))
    manifest.gpus = reader.texts("gpus");
  if (manifest.cpuLevels.empty() && (manifest.gpus.empty() || reader.has("host")))
    reader.refuse("cpu_levels", "is empty, wanted at least one level");
  if (reader.has("device_memory"))
    manifest.deviceMemory = reader.integer("device_memory", 1, maxNumber);
  if (reader.has("phases"))
    for (const json &entry : reader.list("phases")) {
      Reader phase = reader.entry(entry, "phases", manifest.phases.size());
      manifest.phases.push_back({phase.text("name"), phase.integer("bytes", 0, maxBytes)});
    }
  readWeights(reader, manifest);
  if (reader.has("host")) {
    Reader host = reader.inner("host");
    ManifestHost into;
    into.layers = host.integers("layers", 0, manifest.layers - 1);
    into.firstByte = static_cast<uint64_t>(
        host.integer("first_byte", 0, static_cast<int64_t>(manifest.weights.bytes)));
    into.firstPiece = static_cast<uint64_t>(
        host.integer("first_piece", 0, static_cast<int64_t>(manifest.weights.pieces.size())));
    manifest.host = std::move(into);
  }
  for (const json &entry : reader.list("sources")) {
    Reader source = reader.entry(entry, "sources", manifest.sources.size());
    ManifestSource into;
    into.path = source.text("path");
    into.bytes = source.integer("bytes", 0, maxBytes);
    into.digest = source.text("digest");
    manifest.sources.push_back(std::move(into));
  }
  if (!error.empty())
    return Status{Code::Model, error};
  return manifest;
}

static json writePiece(const ManifestPiece &piece) {
  json object = {{"name", piece.name},
                 {"pattern", piece.pattern},
                 {"layers", piece.layers},
                 {"matrices_per_layer", piece.matricesPerLayer},
                 {"stored", piece.stored},
                 {"shape", piece.shape},
                 {"first_row", piece.firstRow},
                 {"matrix_bytes", piece.matrixBytes},
                 {"multiplied", piece.isMultiplied}};
  if (piece.areHeads)
    object["heads"] = true;
  if (piece.rowsPerMatrix)
    object["rows_per_matrix"] = piece.rowsPerMatrix;
  return object;
}

static json writeTensors(const std::vector<ManifestTensor> &tensors) {
  json list = json::array();
  for (const ManifestTensor &tensor : tensors) {
    json shape = json::array();
    for (const ManifestSize &size : tensor.shape)
      shape.push_back(size.size < 0 ? json(size.dimension) : json(size.size));
    list.push_back({{"name", tensor.name}, {"type", tensor.type}, {"shape", std::move(shape)}});
  }
  return list;
}

std::string writeManifest(const Manifest &manifest) {
  json root = {
      {"format", Manifest::supportedFormat},
      {"name", manifest.name},
      {"architecture", manifest.architecture},
      {"vocabulary", manifest.vocabulary},
      {"hidden", manifest.hidden},
      {"layers", manifest.layers},
      {"context", manifest.context},
      {"query_tile", manifest.queryTile},
      {"block_tokens", manifest.blockTokens},
      {"step_tokens", manifest.stepTokens},
      {"parameters", {{"total", manifest.totalParameters}, {"active", manifest.activeParameters}}}};
  if (manifest.graph)
    root["graph"] = {{"dimensions", manifest.graph->dimensions},
                     {"inputs", writeTensors(manifest.graph->inputs)},
                     {"outputs", writeTensors(manifest.graph->outputs)}};
  if (manifest.graph && !manifest.graph->failures.empty())
    root["graph"]["failures"] = manifest.graph->failures;
  json &versions = root["versions"] = json::object(), &options = root["options"] = json::object();
  for (const auto &[name, value] : manifest.versions)
    versions[name] = value;
  for (const auto &[name, value] : manifest.options)
    options[name] = value;
  json &moeLayers = root["moe_layers"] = json::array();
  for (const ManifestMoeLayer &layer : manifest.moeLayers)
    moeLayers.push_back(
        {{"layer", layer.layer}, {"experts", layer.experts}, {"picked", layer.picked}});
  json &levels = root["cpu_levels"] = json::array();
  for (const ManifestCpuLevel &level : manifest.cpuLevels)
    levels.push_back({{"name", level.name}, {"features", level.features}});
  if (!manifest.gpus.empty())
    root["gpus"] = manifest.gpus;
  if (manifest.host)
    root["host"] = {{"layers", manifest.host->layers},
                    {"first_byte", manifest.host->firstByte},
                    {"first_piece", manifest.host->firstPiece}};
  if (manifest.deviceMemory)
    root["device_memory"] = manifest.deviceMemory;
  json &caches = root["caches"] = json::array();
  for (const ManifestCache &cache : manifest.caches) {
    caches.push_back({{"name", cache.name},
                      {"layers", cache.layers},
                      {"bytes_per_block", cache.bytesPerBlock},
                      {"window", cache.window},
                      {"chunk", cache.chunk}});
    if (cache.chosen)
      caches.back()["chosen"] = cache.chosen;
  }
  for (const ManifestPhase &phase : manifest.phases)
    root["phases"].push_back({{"name", phase.name}, {"bytes", phase.bytes}});
  json &weights = root["weights"] = {{"mode", weightsModeName(manifest.weights.mode)},
                                     {"bytes", manifest.weights.bytes},
                                     {"digest", manifest.weights.digest},
                                     {"file", manifest.weights.file},
                                     {"pieces", json::array()}};
  if (manifest.weights.mode != WeightsMode::Map)
    weights["panels"] = json::array();
  for (const ManifestPiece &piece : manifest.weights.pieces)
    weights["pieces"].push_back(writePiece(piece));
  for (const ManifestPanels &panels : manifest.weights.panels)
    weights["panels"].push_back({{"offset", panels.offset},
                                 {"matrices", panels.matrices},
                                 {"matrix_bytes", panels.matrixBytes},
                                 {"panel_bytes", panels.panelBytes}});
  json &sources = root["sources"] = json::array();
  for (const ManifestSource &source : manifest.sources)
    sources.push_back({{"path", source.path}, {"bytes", source.bytes}, {"digest", source.digest}});
  if (manifest.weights.mode == WeightsMode::Map) {
    root["model_directory"] = manifest.modelDirectory;
    root["follow_links"] = manifest.followLinks;
  }
  return root.dump(-1, ' ', false, json::error_handler_t::replace);
}

} // namespace moec
