// How a model asks to be sampled from: its generation_config.json.

#include "runtime/text/GenerationConfig.h"

#include "runtime/core/Json.h"

#include <cmath>
#include <fmt/format.h>
#include <limits>

using namespace moec;
using nlohmann::json;

namespace {

/// Reads keys of one object and keeps the first failure. Absent keys leave the default.
class Reader {
public:
  Reader(const json &object, std::string_view file) : object(object), file(file) {}

  /// A finite number from `lowest` to `highest`; null leaves the default.
  void number(const char *key, double &value, double lowest, double highest) {
    const json *given = find(key);
    if (!given)
      return;
    double read = given->is_number() ? given->get<double>() : std::nan("");
    if (!(read >= lowest && read <= highest) || !std::isfinite(read))
      return fail(key, *given,
                  highest < std::numeric_limits<double>::max()
                      ? fmt::format("a number from {} to {}", lowest, highest)
                      : "a finite number");
    value = read;
  }

  void truth(const char *key, bool &value) {
    const json *given = find(key);
    if (!given)
      return;
    if (!given->is_boolean())
      return fail(key, *given, "true or false");
    value = given->get<bool>();
  }

  bool whole(const char *key, const json &given, int64_t lowest, int64_t highest, int64_t &value) {
    bool fits =
        given.is_number_integer() &&
        (!given.is_number_unsigned() ||
         given.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
    if (fits)
      value = given.get<int64_t>();
    if (fits && value >= lowest && value <= highest)
      return true;
    fail(key, given, fmt::format("a whole number from {} to {}", lowest, highest));
    return false;
  }

  void count(const char *key, std::optional<int64_t> &value) {
    int64_t read = 0;
    const json *given = find(key);
    if (given && whole(key, *given, 0, std::numeric_limits<int32_t>::max(), read))
      value = read;
  }

  /// Null and -1 stand for all, as 0 does.
  void topK(int32_t &value) {
    auto at = object.find("top_k");
    if (at == object.end())
      return;
    int64_t read = 0;
    if (at->is_null() || whole("top_k", *at, -1, std::numeric_limits<int32_t>::max(), read))
      value = static_cast<int32_t>(std::max<int64_t>(read, 0));
  }

  /// One id or a list of them.
  void ids(const char *key, std::vector<int32_t> &value) {
    const json *given = find(key);
    if (!given)
      return;
    const json list = given->is_array() ? *given : json::array({*given});
    for (const json &item : list) {
      int64_t id = 0;
      if (!whole(key, item, 0, std::numeric_limits<int32_t>::max(), id))
        return;
      value.push_back(static_cast<int32_t>(id));
    }
  }

  /// One text or a list of them.
  void texts(const char *key, std::vector<std::string> &value) {
    const json *given = find(key);
    if (!given)
      return;
    const json list = given->is_array() ? *given : json::array({*given});
    for (const json &item : list) {
      if (!item.is_string() || item.get_ref<const std::string &>().empty())
        return fail(key, item, "a text that is not empty");
      value.push_back(item.get<std::string>());
    }
  }

  /// Refuses the key unless its value is null, `neutral`, or empty.
  void refuse(const char *key, const json &neutral) {
    const json *given = find(key);
    if (!given || *given == neutral || (given->is_structured() && given->empty()) ||
        (given->is_boolean() && !given->get<bool>()) || !status.ok())
      return;
    status = {Code::Unsupported,
              fmt::format("{}: key `{}` is {}, which is not supported; remove it, or sample with "
                          "temperature, top_k, top_p and min_p",
                          file, key, shownJson(*given))};
  }

  Status status;

private:
  const json *find(const char *key) const {
    auto at = object.find(key);
    return at == object.end() || at->is_null() ? nullptr : &*at;
  }
  void fail(const char *key, const json &found, const std::string &wanted) {
    if (status.ok())
      status = {Code::Model,
                fmt::format("{}: key `{}` is {}, wanted {}", file, key, shownJson(found), wanted)};
  }

  const json &object;
  std::string_view file;
};

} // namespace

Result<GenerationConfig> moec::parseGenerationConfig(std::string_view text, std::string_view file) {
  Result<json> parsed = parseJson(text, file);
  if (!parsed.ok())
    return parsed.status();
  if (!parsed->is_object())
    return Status{Code::Model, fmt::format("{}: wanted a JSON object, found a JSON {}", file,
                                           parsed->type_name())};
  constexpr double any = std::numeric_limits<double>::max();
  GenerationConfig config;
  Reader reader(*parsed, file);
  reader.truth("do_sample", config.sampler.sample);
  reader.number("temperature", config.sampler.temperature, 0, 1000);
  reader.topK(config.sampler.topK);
  reader.number("top_p", config.sampler.topP, 0, 1);
  reader.number("min_p", config.sampler.minP, 0, 1);
  reader.number("repetition_penalty", config.sampler.repetitionPenalty, 1e-6, 1e6);
  reader.number("presence_penalty", config.sampler.presencePenalty, -any, any);
  reader.ids("eos_token_id", config.stopIds);
  reader.texts("stop_strings", config.stopStrings);
  reader.count("max_new_tokens", config.maxNewTokens);
  reader.count("max_length", config.maxLength);
  for (const char *key : {"num_beams", "num_beam_groups", "typical_p", "guidance_scale",
                          "encoder_repetition_penalty"})
    reader.refuse(key, 1);
  for (const char *key : {"penalty_alpha", "epsilon_cutoff", "eta_cutoff", "no_repeat_ngram_size",
                          "encoder_no_repeat_ngram_size", "diversity_penalty", "min_length",
                          "min_new_tokens", "frequency_penalty"})
    reader.refuse(key, 0);
  for (const char *key :
       {"bad_words_ids", "force_words_ids", "constraints", "sequence_bias", "suppress_tokens",
        "begin_suppress_tokens", "forced_bos_token_id", "forced_eos_token_id", "dola_layers",
        "watermarking_config", "exponential_decay_length_penalty", "top_h"})
    reader.refuse(key, nullptr);
  if (!reader.status.ok())
    return reader.status;
  return config;
}
