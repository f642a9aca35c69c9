// Reads typed fields of a JSON file, and remembers the first thing that was wrong.

#ifndef MOEC_FRONTENDS_CHECKPOINT_TOKENIZERJSON_H
#define MOEC_FRONTENDS_CHECKPOINT_TOKENIZERJSON_H

#include "runtime/core/Result.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace moec {

/// A value of a JSON file with the path to it, such as `model.vocab`. Reading the wrong type tells
/// the Report and gives a default, so that readers stay short: who asks the Report at the end
/// learns of it.
class JsonField {
public:
  /// The first failure of a file.
  struct Report {
    std::string file;
    Status status;
  };

  JsonField(const nlohmann::json &root, Report &report) : value(&root), report(&report) {}

  /// The field of an object; null where it is absent, or where this is null.
  JsonField operator[](std::string_view key) const;
  /// An element of an array; `index` must be less than size().
  JsonField operator[](size_t index) const;
  /// Elements of an array; 0, with a complaint, where this is none.
  size_t size() const;

  bool isNull() const { return value->is_null(); }
  bool isString() const { return value->is_string(); }
  bool isArray() const { return value->is_array(); }
  bool isObject() const { return value->is_object(); }
  const nlohmann::json &json() const { return *value; }
  const std::string &path() const { return name; }

  /// Null gives the default, where there is one.
  bool boolean(std::optional<bool> otherwise) const;
  std::string string(std::optional<std::string> otherwise = std::nullopt) const;
  uint32_t number(uint32_t limit, std::optional<uint32_t> otherwise = std::nullopt) const;
  /// The string of one Unicode character.
  std::string character() const;

  void malformed(std::string_view what) const { fail(Code::Model, what); }
  void unsupported(std::string_view what) const { fail(Code::Unsupported, what); }
  void fail(Code code, std::string_view what) const;
  bool ok() const { return report->status.ok(); }

private:
  const nlohmann::json *value;
  Report *report;
  std::string name;
};

} // namespace moec

#endif // MOEC_FRONTENDS_CHECKPOINT_TOKENIZERJSON_H
