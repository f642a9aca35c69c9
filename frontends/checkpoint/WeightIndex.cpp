// Takes the weight map out of an index without building the rest.

#include "frontends/checkpoint/WeightIndex.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <map>
#include <set>

using namespace moec;
using nlohmann::json;

static constexpr size_t kMaxFiles = 10'000;
static constexpr size_t kMaxDepth = 8;

namespace {

class IndexReader final : public nlohmann::json_sax<json> {
public:
  /// A tensor's name ends there in `characters`, and begins where the one before ends.
  struct Place {
    size_t end;
    uint32_t file;
  };
  std::vector<char> characters;
  std::vector<Place> places; // of files in the order of their first tensor
  std::map<std::string, uint32_t> files;
  std::string complaint;

  bool start_object(std::size_t) override { return open(isMap); }
  bool start_array(std::size_t) override { return open(false); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool null() override { return scalar(); }
  bool boolean(bool) override { return scalar(); }
  bool number_integer(number_integer_t) override { return scalar(); }
  bool number_unsigned(number_unsigned_t) override { return scalar(); }
  bool number_float(number_float_t, const string_t &) override { return scalar(); }
  bool binary(binary_t &) override { return scalar(); }

  bool key(string_t &name) override {
    if (isInMap()) {
      tensor = std::move(name);
      return true;
    }
    if (depth == 1) {
      isMap = name == "weight_map";
      if (!keys.insert(name).second)
        return complain(fmt::format("key {} appears twice", quoted(name)));
    }
    return true;
  }

  bool string(string_t &file) override {
    if (!isInMap())
      return true;
    characters.insert(characters.end(), tensor.begin(), tensor.end());
    const auto next = static_cast<uint32_t>(files.size());
    places.push_back({characters.size(), files.try_emplace(file, next).first->second});
    return files.size() <= kMaxFiles ||
           complain(fmt::format("names more than {} files", kMaxFiles));
  }

  bool parse_error(std::size_t position, const std::string &, const json::exception &) override {
    return complain(fmt::format("not valid JSON at byte {}", position));
  }

private:
  static constexpr size_t kMapDepth = 2;

  static std::string quoted(const std::string &text) {
    return json(text).dump(-1, ' ', /*ensure_ascii=*/true);
  }
  bool isInMap() const { return depth == kMapDepth && inMap; }
  bool open(bool mayBeMap) {
    if (isInMap())
      return complainAboutFile();
    if (++depth > kMaxDepth)
      return complain(fmt::format("nested deeper than {} levels", kMaxDepth));
    if (depth == kMapDepth)
      inMap = mayBeMap;
    return true;
  }
  bool close() {
    --depth;
    return true;
  }
  bool scalar() { return !isInMap() || complainAboutFile(); }
  bool complain(std::string words) {
    complaint = std::move(words);
    return false;
  }
  bool complainAboutFile() {
    return complain(fmt::format("tensor {} has no file name", quoted(tensor)));
  }
  std::set<std::string> keys; // of the outermost object
  size_t depth = 0;
  bool isMap = false; // the value of the outermost key read last
  bool inMap = false;
  std::string tensor; // whose file comes next
};

} // namespace

Result<WeightIndex> WeightIndex::parse(std::string_view text, std::string_view file) {
  IndexReader reader;
  if (!json::sax_parse(text, &reader))
    return Status{Code::Model, fmt::format("{}: {}", file, reader.complaint)};
  if (reader.places.empty())
    return Status{
        Code::Model,
        fmt::format("{}: wanted an object `weight_map`, from tensor names to file names", file)};
  WeightIndex index;
  index.characters = std::move(reader.characters);
  std::vector<uint32_t> sorted(reader.files.size());
  for (const auto &[name, number] : reader.files) {
    sorted[number] = static_cast<uint32_t>(index.names.size());
    index.names.push_back(name);
  }
  const char *begin = index.characters.data();
  for (const auto &[end, number] : reader.places) {
    const char *next = index.characters.data() + end;
    index.places.push_back({{begin, next}, sorted[number]});
    begin = next;
  }
  return index;
}
