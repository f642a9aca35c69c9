// Reading config.json key by key; the table of keys that change the maths is here.

#include "frontends/checkpoint/Config.h"

#include "runtime/core/Json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

using namespace moec;
using nlohmann::json;

/// How weights are stored may be said of the whole model.
static constexpr std::string_view kStorageKeys[] = {"quantization_config", "compression_config"};

/// Those that shapes and numbers of tensors follow from, of which a file seldom lacks one on
/// purpose.
static constexpr std::string_view kSizeKeys[] = {
    "vocab_size",          "hidden_size",          "num_hidden_layers", "intermediate_size",
    "num_attention_heads", "num_key_value_heads",  "num_experts",       "num_local_experts",
    "n_routed_experts",    "moe_intermediate_size"};

/// A key that changes the result in some architecture, and the values that do not.
struct MathsKey {
  std::string_view name;
  std::string_view neutral; ///< a JSON array of them; null is always neutral
};

static constexpr MathsKey kMathsKeys[] = {
    // how weights are stored
    {"quantization_config", "[]"},
    {"compression_config", "[]"},
    {"tie_word_embeddings", "[false]"},
    // attention
    {"attention_bias", "[false]"},
    {"qkv_bias", "[false]"},
    {"use_bias", "[false]"},
    {"use_qk_norm", "[false]"},
    {"qk_layernorm", "[false]"},
    {"clip_qkv", "[]"},
    {"sliding_window", "[]"},
    {"use_sliding_window", "[false]"},
    {"attention_chunk_size", "[]"},
    {"attention_multiplier", "[]"},
    {"attn_temperature_tuning", "[false, 0]"},
    {"attn_logit_softcapping", "[]"},
    {"query_pre_attn_scalar", "[]"},
    {"kv_lora_rank", "[0]"},
    {"q_lora_rank", "[0]"},
    {"index_topk", "[0]"},
    {"full_attention_interval", "[1]"},
    {"alibi", "[false]"},
    // positions
    {"rope_scaling", "[]"},
    {"rope_parameters", "[]"},
    {"rope_interleave", "[false]"},
    {"partial_rotary_factor", "[1.0]"},
    {"rotary_dim", "[]"},
    {"rotary_pct", "[1.0]"},
    {"no_rope_layers", "[[]]"},
    // the layer
    {"hidden_act", "[\"silu\", \"swish\"]"},
    {"hidden_activation", "[\"silu\", \"swish\"]"},
    {"mlp_bias", "[false]"},
    {"layers_block_type", "[]"},
    {"hybrid_override_pattern", "[]"},
    {"use_parallel_residual", "[false]"},
    {"residual_multiplier", "[1.0]"},
    {"embedding_multiplier", "[1.0]"},
    {"embedding_scale", "[1.0]"},
    {"logits_scaling", "[1.0]"},
    {"logit_scale", "[1.0]"},
    {"final_logit_softcapping", "[]"},
    {"lm_head_bias", "[false]"},
    // experts
    {"n_group", "[0, 1]"},
    {"topk_group", "[0, 1]"},
    {"routed_scaling_factor", "[1.0]"},
    {"scoring_func", "[\"softmax\"]"},
    {"topk_method", "[\"greedy\"]"},
    {"n_shared_experts", "[0]"},
    {"num_shared_experts", "[0]"},
    {"num_shared_expert", "[0]"},
    {"moe_num_shared_experts", "[0]"},
    {"shared_expert_intermediate_size", "[0]"},
    {"moe_shared_expert_intermediate_size", "[0]"},
    {"shared_intermediate_size", "[0]"},
    {"first_k_dense_replace", "[0]"},
    {"moe_layer_freq", "[1]"},
    {"decoder_sparse_step", "[1]"},
    {"mlp_only_layers", "[[]]"},
    {"interleave_moe_layer_step", "[1]"},
    {"moe_layer_interval", "[1]"},
    {"moe_layer_start_index", "[0]"},
    {"moe_layer_end_index", "[-1]"},
    {"moe_latent_size", "[0]"},
    {"zero_expert_num", "[0]"},
    {"swiglu_limit", "[]"},
};

static bool isNeutral(const MathsKey &key, const json &value) {
  const json neutral = json::parse(key.neutral, nullptr, /*allow_exceptions=*/false);
  return std::find(neutral.begin(), neutral.end(), value) != neutral.end();
}

static bool isStorageKey(std::string_view key) {
  return std::find(std::begin(kStorageKeys), std::end(kStorageKeys), key) != std::end(kStorageKeys);
}

// Config ----------------------------------------------------------------------------------------

Result<Config> Config::parse(std::string_view text, std::string file) {
  Result<json> value = parseJson(text, file);
  if (!value.ok())
    return value.status();
  if (!value->is_object())
    return Status{Code::Model, fmt::format("{}: wanted a JSON object", file)};
  if (auto nested = value->find("text_config"); nested != value->end() && !nested->is_object())
    return Status{Code::Model, fmt::format("{}: `text_config` is {}, wanted an object", file,
                                           shownJson(*nested))};
  Config config;
  config.root = std::move(*value);
  config.name = std::move(file);
  return config;
}

const json &Config::text() const {
  auto nested = root.find("text_config");
  return nested != root.end() && nested->is_object() ? *nested : root;
}

const json *Config::find(std::string_view key) const {
  auto lookInto = [&](const json &object) -> const json * {
    auto place = object.find(key);
    return place == object.end() || place->is_null() ? nullptr : &*place;
  };
  if (const json *value = lookInto(text()))
    return value;
  return isStorageKey(key) ? lookInto(root) : nullptr;
}

std::string Config::architecture() const {
  auto list = root.find("architectures");
  if (list == root.end() || !list->is_array() || list->empty() || !list->front().is_string())
    return {};
  return list->front().get<std::string>();
}

std::string Config::modelType() const {
  auto type = root.find("model_type");
  return type != root.end() && type->is_string() ? type->get<std::string>() : std::string();
}

// ConfigReader ----------------------------------------------------------------------------------

void ConfigReader::fail(Code code, std::string message) {
  if (failure.ok())
    failure = {code, std::move(message)};
}

void ConfigReader::refuse(Code code, std::string_view key, std::string_view more) {
  const json *value = config->find(key);
  std::string shown = value ? shownJson(*value) : isNull(key) ? "null" : "absent";
  if (auto standard = taken.find(key); !value && standard != taken.end())
    shown += fmt::format(", which counts as {}", standard->second);
  fail(code, fmt::format("{}: `{}` is {}, {}", config->file(), key, shown, more));
}

const json *ConfigReader::lookUp(const ConfigKey &key, std::string_view &spelling) {
  const json *found = nullptr;
  spelling = key.names.front();
  for (std::string_view name : key.names) {
    known.emplace(name);
    const json *value = config->find(name);
    if (value && found && *value != *found)
      refuse(Code::Model, name, fmt::format("but `{}` is {}", spelling, shownJson(*found)));
    if (value && !found) {
      found = value;
      spelling = name;
    }
  }
  return found;
}

bool ConfigReader::has(const ConfigKey &key) {
  std::string_view spelling;
  return lookUp(key, spelling) != nullptr;
}

bool ConfigReader::isNull(std::string_view key) const {
  auto value = config->text().find(key);
  return value != config->text().end() && value->is_null();
}

/// The integer in `value`, also where it is written `4096.0`.
static std::optional<int64_t> asInteger(const json &value) {
  if (value.is_number_unsigned())
    return value.get<uint64_t>() <= uint64_t(std::numeric_limits<int64_t>::max())
               ? std::optional(value.get<int64_t>())
               : std::nullopt;
  if (value.is_number_integer())
    return value.get<int64_t>();
  if (!value.is_number_float())
    return std::nullopt;
  double number = value.get<double>();
  if (std::trunc(number) != number || std::fabs(number) > 0x1p53)
    return std::nullopt;
  return static_cast<int64_t>(number);
}

int64_t ConfigReader::integer(const ConfigKey &key, std::optional<int64_t> missing, int64_t least,
                              int64_t most) {
  std::string_view name;
  const json *value = lookUp(key, name);
  if (!value && missing) {
    taken.emplace(name, *missing);
    return *missing;
  }
  std::optional<int64_t> number = value ? asInteger(*value) : std::nullopt;
  if (number && *number >= least && *number <= most)
    return *number;
  refuse(Code::Model, name, fmt::format("wanted an integer from {} to {}", least, most));
  return missing.value_or(least);
}

double ConfigReader::number(const ConfigKey &key, std::optional<double> missing, double least,
                            double most) {
  std::string_view name;
  const json *value = lookUp(key, name);
  if (!value && missing)
    return *missing;
  if (value && value->is_number())
    if (double number = value->get<double>(); number >= least && number <= most)
      return number;
  bool bounded =
      least != std::numeric_limits<double>::lowest() || most != std::numeric_limits<double>::max();
  refuse(Code::Model, name,
         bounded ? fmt::format("wanted a number from {} to {}", least, most) : "wanted a number");
  return missing.value_or(std::max(least, 0.0));
}

bool ConfigReader::boolean(const ConfigKey &key, std::optional<bool> missing) {
  std::string_view name;
  const json *value = lookUp(key, name);
  if (!value && missing)
    return *missing;
  if (value && value->is_boolean())
    return value->get<bool>();
  refuse(Code::Model, name, "wanted true or false");
  return missing.value_or(false);
}

std::string ConfigReader::string(const ConfigKey &key, std::optional<std::string> missing) {
  std::string_view name;
  const json *value = lookUp(key, name);
  if (!value && missing)
    return *missing;
  if (value && value->is_string())
    return value->get<std::string>();
  refuse(Code::Model, name, "wanted a string");
  return missing.value_or("");
}

std::vector<int64_t> ConfigReader::integers(const ConfigKey &key, int64_t least, int64_t most) {
  std::string_view name;
  const json *value = lookUp(key, name);
  std::vector<int64_t> numbers;
  if (!value)
    return numbers;
  auto add = [&](const json &entry) {
    std::optional<int64_t> number = asInteger(entry);
    if (!number || *number < least || *number > most)
      return false;
    numbers.push_back(*number);
    return true;
  };
  if (value->is_array() ? std::all_of(value->begin(), value->end(), add) : add(*value))
    return numbers;
  refuse(Code::Model, name, fmt::format("wanted a list of integers from {} to {}", least, most));
  return {};
}

std::vector<std::string> ConfigReader::strings(const ConfigKey &key) {
  std::string_view name;
  const json *value = lookUp(key, name);
  std::vector<std::string> texts;
  if (!value)
    return texts;
  bool good = value->is_array();
  for (size_t index = 0; good && index < value->size(); ++index) {
    good = (*value)[index].is_string();
    if (good)
      texts.push_back((*value)[index].get<std::string>());
  }
  if (good)
    return texts;
  refuse(Code::Model, name, "wanted a list of strings");
  return {};
}

const json *ConfigReader::object(const ConfigKey &key) {
  std::string_view name;
  const json *value = lookUp(key, name);
  if (!value || value->is_object())
    return value;
  refuse(Code::Model, name, "wanted an object");
  return nullptr;
}

std::string ConfigReader::absentSizes() const {
  std::string list;
  for (const auto &[key, standard] : taken)
    if (std::find(std::begin(kSizeKeys), std::end(kSizeKeys), key) != std::end(kSizeKeys))
      list +=
          fmt::format("{}`{}`, which counts as {}", list.empty() ? "" : ", and ", key, standard);
  return list.empty() ? list : fmt::format("{} lacks {}", config->file(), list);
}

std::string ConfigReader::outerContradictions() const {
  const json &outer = config->outer(), &inner = config->text();
  std::string list;
  if (&outer == &inner)
    return list;
  for (const auto &[key, value] : outer.items()) {
    if (value.is_null() || isStorageKey(key))
      continue;
    const auto *maths = std::find_if(std::begin(kMathsKeys), std::end(kMathsKeys),
                                     [&](const MathsKey &entry) { return entry.name == key; });
    const bool changesMaths = maths != std::end(kMathsKeys);
    auto said = inner.find(key);
    const bool isSame =
        said != inner.end() ? *said == value : changesMaths && isNeutral(*maths, value);
    if (!isSame && (changesMaths || known.contains(key)))
      list += fmt::format("{}`{}` is {}", list.empty() ? "" : ", ", key, shownJson(value));
  }
  return list.empty()
             ? list
             : fmt::format("{}: beside `text_config`, which counts, {}", config->file(), list);
}

void ConfigReader::expect(const ConfigKey &key, const json &wanted) {
  std::string_view name;
  const json *value = lookUp(key, name);
  if (value && *value != wanted)
    refuse(Code::Unsupported, name,
           fmt::format("which is not supported here; wanted {}", shownJson(wanted)));
}

void ConfigReader::ignore(std::initializer_list<std::string_view> keys) {
  known.insert(keys.begin(), keys.end());
}

Status ConfigReader::finish() {
  for (const MathsKey &key : kMathsKeys) {
    const json *value = config->find(key.name);
    if (!value || known.contains(key.name))
      continue;
    if (!isNeutral(key, *value))
      refuse(Code::Unsupported, key.name,
             "which changes the result and is not supported for this architecture");
  }
  // One kind of layer for all, as transformers 5 spells it out, is what every architecture has.
  if (const json *kinds = config->find("layer_types"); kinds && !known.contains("layer_types"))
    for (const json &kind : *kinds)
      if (kind != "full_attention")
        refuse(
            Code::Unsupported, "layer_types",
            fmt::format("and {} layers are not supported for this architecture", shownJson(kind)));
  return failure;
}
