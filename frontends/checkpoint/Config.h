// config.json: typed keys with defaults and ranges, both spellings of what was renamed, and errors
// that name the key.

#ifndef MOEC_FRONTENDS_CHECKPOINT_CONFIG_H
#define MOEC_FRONTENDS_CHECKPOINT_CONFIG_H

#include "runtime/core/Result.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// A parsed config.json. Where it nests the language model (`text_config`), keys are those of the
/// nested object alone: what it lacks has the default of its class, whatever the outer object says
/// of the whole. How weights are stored may be said in either.
class Config {
public:
  /// `file` is the name in messages.
  static Result<Config> parse(std::string_view text, std::string file);

  /// The value of `key`, or null where it is absent or JSON null.
  const nlohmann::json *find(std::string_view key) const;
  /// `architectures[0]` of the outer object, empty where there is none.
  std::string architecture() const;
  /// `model_type` of the outer object, empty where there is none.
  std::string modelType() const;
  const std::string &file() const { return name; }
  const nlohmann::json &outer() const { return root; }
  /// The object that holds the language model's keys: the nested one, or the outer one.
  const nlohmann::json &text() const;

private:
  nlohmann::json root;
  std::string name;
};

/// One key, or several spellings of it. Where more than one is present they must agree.
struct ConfigKey {
  ConfigKey(const char *name) : names{name} {}
  ConfigKey(std::initializer_list<std::string_view> spellings) : names(spellings) {}
  std::vector<std::string_view> names;
};

/// Reads keys of a Config and remembers which, and the first failure. After a failure every read
/// gives its default (or the lowest legal value), so that one check at the end, finish(), is
/// enough:
///
///   ConfigReader read(checkpoint.config());
///   int64_t hidden = read.integer("hidden_size", 4096, 1, 1 << 20);
///   int64_t experts = read.integer({"num_experts", "num_local_experts"}, 128, 0, 65536);
///   read.expect("hidden_act", "silu");
///   if (Status status = read.finish(); !status.ok()) return status;
///
/// A key that is absent or null gives the default; `std::nullopt` as default makes it an error.
class ConfigReader {
public:
  explicit ConfigReader(const Config &config) : config(&config) {}

  bool has(const ConfigKey &key);
  /// Whether the key is there, with a null for its value; that may mean another than its absence.
  bool isNull(std::string_view key) const;
  int64_t integer(const ConfigKey &key, std::optional<int64_t> missing, int64_t least,
                  int64_t most);
  double number(const ConfigKey &key, std::optional<double> missing,
                double least = std::numeric_limits<double>::lowest(),
                double most = std::numeric_limits<double>::max());
  bool boolean(const ConfigKey &key, std::optional<bool> missing);
  std::string string(const ConfigKey &key, std::optional<std::string> missing);
  /// Empty where absent; a single number counts as a list of one (`eos_token_id`).
  std::vector<int64_t> integers(const ConfigKey &key, int64_t least, int64_t most);
  std::vector<std::string> strings(const ConfigKey &key);
  /// The object under `key`, for keys with a parser of their own; null where absent.
  const nlohmann::json *object(const ConfigKey &key);

  /// Where the key is present its value must be `wanted`; any other is Code::Unsupported, naming
  /// it.
  void expect(const ConfigKey &key, const nlohmann::json &wanted);
  /// These keys change nothing for this architecture, whatever their value.
  void ignore(std::initializer_list<std::string_view> keys);

  /// Records a failure, if it is the first.
  void fail(Code code, std::string message);
  /// Records that `key`, with the value found, is inconsistent or not supported: "FILE: `key` is 3,
  /// MORE", or "FILE: `key` is absent, which counts as 3, MORE" where its default was taken.
  void refuse(Code code, std::string_view key, std::string_view more);
  const Status &status() const { return failure; }
  /// The first failure; else Code::Unsupported for the first key that is known to change the maths
  /// in some architecture, has a value that does so, and was neither read nor ignored.
  Status finish();

  /// The sizes of tensors that were read and are absent, with the defaults taken for them:
  /// "FILE lacks `hidden_size`, which counts as 4096"; empty where there are none.
  std::string absentSizes() const;

  /// Of a nested config, what the outer object says otherwise of keys that were read, or that may
  /// change the maths: "FILE: beside `text_config`, which counts, `vocab_size` is 3"; empty where
  /// there is none.
  std::string outerContradictions() const;

  const Config &source() const { return *config; }

private:
  const nlohmann::json *lookUp(const ConfigKey &key, std::string_view &spelling);

  const Config *config;
  std::set<std::string, std::less<>> known;
  std::map<std::string, int64_t, std::less<>> taken; ///< defaults of keys that are absent
  Status failure;
};

} // namespace moec

#endif // MOEC_FRONTENDS_CHECKPOINT_CONFIG_H
