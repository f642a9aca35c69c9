// A first pass checks nesting and keys without building anything; the second builds the value.

#include "runtime/core/Json.h"

#include <fmt/format.h>

#include <string>
#include <unordered_set>
#include <vector>

using namespace moec;
using nlohmann::json;

namespace {

/// Accepts what JsonOptions allow, and keeps the first complaint.
class Validator final : public nlohmann::json_sax<json> {
public:
  explicit Validator(const JsonOptions &options) : options(options) {}

  std::string complaint;

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t &) override { return true; }
  bool string(string_t &) override { return true; }
  bool binary(binary_t &) override { return true; }
  bool start_object(std::size_t) override { return open(true); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(false); }
  bool end_array() override { return close(); }

  bool key(string_t &name) override {
    if (options.allowDuplicates || keys.back().insert(name).second)
      return true;
    complaint = fmt::format("key `{}` appears twice in one object", name);
    return false;
  }

  bool parse_error(std::size_t, const std::string &, const json::exception &error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..." without its prefix
    std::string_view text = error.what();
    size_t prefix = text.find("] ");
    complaint = std::string(prefix == text.npos ? text : text.substr(prefix + 2));
    return false;
  }

private:
  bool open(bool isObject) {
    if (++depth > options.maxDepth) {
      complaint = fmt::format("nested deeper than {} levels", options.maxDepth);
      return false;
    }
    if (!options.allowDuplicates && isObject)
      keys.emplace_back();
    isObjects.push_back(isObject);
    return true;
  }
  bool close() {
    --depth;
    if (!options.allowDuplicates && isObjects.back())
      keys.pop_back();
    isObjects.pop_back();
    return true;
  }

  const JsonOptions &options;
  int depth = 0;
  std::vector<std::unordered_set<std::string>> keys;
  std::vector<bool> isObjects;
};

} // namespace

Result<json> moec::parseJson(std::string_view text, std::string_view file,
                             const JsonOptions &options) {
  Validator validator(options);
  if (!json::sax_parse(text.begin(), text.end(), &validator)) {
    // Bytes of the input may be in the message; it must stay one printable line.
    for (char &character : validator.complaint)
      if (static_cast<unsigned char>(character) < 0x20 || character == 0x7f)
        character = '?';
    return Status{options.code, fmt::format("{}: not valid JSON: {}", file, validator.complaint)};
  }
  return json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
}

std::string moec::shownJson(const json &value) {
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
  if (text.size() > 60)
    text = text.substr(0, 57) + "...";
  return text;
}
