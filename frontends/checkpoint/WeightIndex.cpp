// Takes the weight map out of an index without building the rest.

#include "frontends/checkpoint/WeightIndex.h"

#include "runtime/core/JsonEvents.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <map>
#include <set>

using namespace moec;

static constexpr size_t kMaxFiles = 10'000;
static constexpr size_t kMaxDepth = 8;

namespace {

class IndexReader final : public JsonEvents {
public:
  IndexReader(std::string_view text, std::deque<std::string> &decoded)
      : text(text), decoded(decoded) {}

  std::vector<WeightIndex::Entry> entries; // of files in the order of their first tensor
  std::map<std::string, uint32_t, std::less<>> files;
  std::string complaint;

  bool startObject() override { return open(isMap); }
  bool startArray() override { return open(false); }
  bool endObject() override { return close(); }
  bool endArray() override { return close(); }
  bool natural(uint64_t) override { return scalar(); }
  bool otherNumber(std::string_view) override { return scalar(); }
  bool literal(std::string_view) override { return scalar(); }

  bool key(std::string_view name) override {
    if (depth == kMapDepth && inMap) {
      tensor = kept(name);
      return true;
    }
    if (depth == 1) {
      isMap = name == "weight_map";
      if (!keys.emplace(name).second)
        return complain(fmt::format("key {} appears twice", quoted(name)));
    }
    return true;
  }

  bool string(std::string_view file) override {
    if (depth != kMapDepth || !inMap)
      return scalar();
    auto place = files.find(file);
    if (place == files.end())
      place = files.emplace(file, files.size()).first;
    entries.push_back({tensor, place->second});
    return files.size() <= kMaxFiles ||
           complain(fmt::format("names more than {} files", kMaxFiles));
  }

  static std::string quoted(std::string_view text) {
    return nlohmann::json(text).dump(-1, ' ', /*ensure_ascii=*/true);
  }

private:
  static constexpr size_t kMapDepth = 2;

  bool open(bool mayBeMap) {
    if (depth == kMapDepth && inMap)
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
  bool scalar() { return depth != kMapDepth || !inMap || complainAboutFile(); }
  bool complain(std::string words) {
    complaint = std::move(words);
    return false;
  }
  bool complainAboutFile() {
    return complain(fmt::format("tensor {} has no file name", quoted(tensor)));
  }
  /// `name`, where it stays.
  std::string_view kept(std::string_view name) {
    const bool isInText = name.data() >= text.data() && name.data() < text.data() + text.size();
    return isInText ? name : decoded.emplace_back(name);
  }

  std::string_view text;
  std::deque<std::string> &decoded;
  std::set<std::string> keys; // of the outermost object
  size_t depth = 0;
  bool isMap = false; // the value of the outermost key read last
  bool inMap = false;
  std::string_view tensor;
};

} // namespace

Result<WeightIndex> WeightIndex::parse(std::string text, std::string_view file) {
  WeightIndex index;
  index.text = std::make_unique<const std::string>(std::move(text));
  IndexReader reader(*index.text, index.decoded);
  const JsonReading reading = readJson(*index.text, reader);
  if (reading.end == JsonEnd::Invalid)
    return Status{Code::Model,
                  fmt::format("{}: not valid JSON at byte {}", file, reading.position)};
  if (reading.end == JsonEnd::Stopped)
    return Status{Code::Model, fmt::format("{}: {}", file, reader.complaint)};
  if (reader.entries.empty())
    return Status{
        Code::Model,
        fmt::format("{}: wanted an object `weight_map`, from tensor names to file names", file)};
  std::vector<uint32_t> sorted(reader.files.size());
  for (const auto &[name, number] : reader.files) {
    sorted[number] = static_cast<uint32_t>(index.names.size());
    index.names.push_back(name);
  }
  index.places = std::move(reader.entries);
  for (Entry &entry : index.places)
    entry.file = sorted[entry.file];
  return index;
}
