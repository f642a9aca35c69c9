// Reads the three methods whose codes programs multiply as they are stored.

#include "frontends/checkpoint/QuantizationConfig.h"

#include "runtime/core/Json.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <string_view>

using namespace moec;
using nlohmann::json;

static constexpr const char *kKey = "quantization_config";
static constexpr int64_t kMaxBlock = 1 << 20;

namespace {

/// An object inside the key, with its path for messages.
class Fields {
public:
  Fields(ConfigReader &config, const json &object, std::string path)
      : config(config), object(object), path(std::move(path)) {}

  /// The value of a key; null where it is absent or null.
  const json *find(const char *key) const {
    auto place = object.is_object() ? object.find(key) : object.end();
    return place == object.end() || place->is_null() ? nullptr : &*place;
  }

  void refuse(Code code, const char *key, const std::string &more) const {
    const json *value = find(key);
    config.fail(code, fmt::format("{}: `{}.{}` is {}, {}", config.source().file(), path, key,
                                  value ? shownJson(*value) : "absent", more));
  }

  /// Anything but the value wanted, or, if it may be, nothing, is not supported.
  void expect(const char *key, const std::vector<json> &wanted, bool required) const {
    const json *value = find(key);
    if (value ? std::find(wanted.begin(), wanted.end(), *value) != wanted.end() : !required)
      return;
    std::string list;
    for (const json &one : wanted)
      list += (list.empty() ? "" : " or ") + shownJson(one);
    refuse(Code::Unsupported, key, "which is not supported; wanted " + list);
  }

  /// What is there and not empty is not supported.
  void expectNone(const char *key) const {
    if (const json *value = find(key); value && !value->empty())
      refuse(Code::Unsupported, key, "which changes the result and is not supported");
  }

  /// Any key but these is not supported: it may say of the codes what is read nowhere.
  void expectKeys(std::initializer_list<std::string_view> known) const {
    if (!object.is_object())
      return;
    for (const auto &[key, value] : object.items())
      if (!value.is_null() && std::find(known.begin(), known.end(), key) == known.end())
        return refuse(Code::Unsupported, key.c_str(),
                      "a key that may change the result and is not known");
  }

  /// Names of modules whose tensors' types say the same.
  void expectNames(const char *key) const {
    const json *value = find(key);
    if (value &&
        !(value->is_array() && std::all_of(value->begin(), value->end(),
                                           [](const json &name) { return name.is_string(); })))
      refuse(Code::Model, key, "wanted a list of strings");
  }

  /// Two extents; none, and nothing said, where the key is absent.
  void readBlock(const char *key, QuantizationConfig &into) const {
    const json *value = find(key);
    if (!value)
      return;
    auto isExtent = [](const json &extent) {
      return extent.is_number_integer() && extent > 0 && extent <= kMaxBlock;
    };
    if (!value->is_array() || value->size() != 2 ||
        !std::all_of(value->begin(), value->end(), isExtent))
      return refuse(Code::Model, key, "wanted two positive numbers, of rows and columns");
    into.scaleRows = (*value)[0].get<int64_t>();
    into.scaleColumns = (*value)[1].get<int64_t>();
  }

  ConfigReader &config;
  const json &object;
  const std::string path;
};

} // namespace

static QuantizationConfig readFloat8(const Fields &fields) {
  QuantizationConfig found{.codes = QuantizationConfig::Codes::Float8};
  fields.expectKeys({"quant_method", "fmt", "scale_fmt", "activation_scheme", "kv_cache_scheme",
                     "modules_to_not_convert", "ignored_layers", "weight_block_size",
                     "dequantize"});
  fields.expect("scale_fmt", {"ue8m0", "float"}, /*required=*/false); // scales are tensors
  fields.expect("dequantize", {false, true}, /*required=*/false);     // by another program
  fields.expect("fmt", {"e4m3", "float8_e4m3fn"}, /*required=*/false);
  fields.expect("activation_scheme", {"dynamic", "static"}, /*required=*/false);
  fields.expectNone("kv_cache_scheme");
  fields.expectNames("modules_to_not_convert");
  fields.expectNames("ignored_layers");
  fields.readBlock("weight_block_size", found);
  return found;
}

static QuantizationConfig readGroup(const Fields &weights) {
  QuantizationConfig found{.codes = QuantizationConfig::Codes::Float8};
  weights.expectKeys({"type", "num_bits", "symmetric", "strategy", "block_structure", "group_size",
                      "dynamic", "actorder", "observer", "observer_kwargs", "scale_dtype",
                      "zp_dtype"});
  // Scales are of their tensors' type, and an observer has done its work.
  weights.expectNone("zp_dtype");
  weights.expect("dynamic", {false}, /*required=*/false);
  weights.expect("actorder", {false}, /*required=*/false);
  weights.expect("type", {"float"}, /*required=*/true);
  weights.expect("num_bits", {8}, /*required=*/true);
  weights.expect("symmetric", {true}, /*required=*/false);
  weights.expect("strategy", {"tensor", "channel", "block"}, /*required=*/true);
  weights.expect("group_size", {-1}, /*required=*/false);
  const json *strategy = weights.find("strategy");
  if (strategy && *strategy == "channel")
    found.scaleRows = 1;
  if (!strategy || *strategy != "block") {
    weights.expectNone("block_structure");
    return found;
  }
  if (!weights.find("block_structure"))
    weights.refuse(Code::Model, "block_structure", "wanted two positive numbers");
  weights.readBlock("block_structure", found);
  return found;
}

static QuantizationConfig readCompressedTensors(const Fields &fields) {
  QuantizationConfig found;
  fields.expectKeys({"quant_method", "format", "quantization_status", "config_groups", "ignore",
                     "kv_cache_scheme", "transform_config", "sparsity_config",
                     "global_compression_ratio", "version"});
  // Codes are there in both; what comes before has none yet.
  fields.expect("quantization_status", {"compressed", "frozen"}, /*required=*/false);
  fields.expect("format", {"float-quantized"}, /*required=*/true);
  for (const char *key : {"kv_cache_scheme", "transform_config"})
    fields.expectNone(key);
  if (const json *sparsity = fields.find("sparsity_config"); sparsity && !sparsity->empty())
    Fields(fields.config, *sparsity, fields.path + ".sparsity_config")
        .expect("format", {"dense"}, /*required=*/true);
  fields.expectNames("ignore");
  const json *groups = fields.find("config_groups");
  if (!groups || !groups->is_object() || groups->empty()) {
    fields.refuse(Code::Model, "config_groups", "wanted an object with at least one group");
    return found;
  }
  for (const auto &[name, group] : groups->items()) {
    const Fields entry(fields.config, group, fmt::format("{}.config_groups.{}", fields.path, name));
    entry.expectKeys({"weights", "input_activations", "output_activations", "targets", "format"});
    entry.expectNames("targets");
    entry.expect("format", {"float-quantized"}, /*required=*/false);
    const json *weights = entry.find("weights");
    if (!weights || !weights->is_object()) {
      entry.refuse(Code::Model, "weights", "wanted an object");
      return found;
    }
    const QuantizationConfig read =
        readGroup(Fields(fields.config, *weights, entry.path + ".weights"));
    if (found.codes != QuantizationConfig::Codes::None &&
        (read.scaleRows != found.scaleRows || read.scaleColumns != found.scaleColumns))
      entry.refuse(Code::Unsupported, "weights", "which have scales unlike those of another group");
    found = read;
  }
  return found;
}

QuantizationConfig moec::readQuantization(ConfigReader &config) {
  const json *object = config.object(kKey);
  if (!object)
    return {};
  auto outer = config.source().outer().find(kKey);
  if (outer != config.source().outer().end() && !outer->is_null() && *outer != *object)
    config.refuse(Code::Model, kKey,
                  fmt::format("but beside `text_config` it is {}", shownJson(*outer)));
  const Fields fields(config, *object, kKey);
  fields.expect("quant_method", {"fp8", "compressed-tensors", "mxfp4"}, /*required=*/true);
  const json *method = fields.find("quant_method");
  if (!method)
    return {};
  if (*method == "fp8")
    return readFloat8(fields);
  if (*method == "compressed-tensors")
    return readCompressedTensors(fields);
  fields.expectKeys({"quant_method", "modules_to_not_convert", "dequantize"});
  fields.expect("dequantize", {false, true}, /*required=*/false);
  fields.expectNames("modules_to_not_convert");
  return {.codes = QuantizationConfig::Codes::Mxfp4};
}
