// The reader of large JSON, and the index that is read by it: both take what nlohmann's parser
// takes and no more, and names are where they were said to be.

#include "frontends/checkpoint/WeightIndex.h"
#include "runtime/core/JsonEvents.h"

#include <nlohmann/json.hpp>

#include <cstdlib>

using namespace moec;

namespace {

/// Takes all events, and counts strings to their last byte.
class Taker final : public JsonEvents {
public:
  size_t bytes = 0;

  bool startObject() override { return true; }
  bool endObject() override { return true; }
  bool startArray() override { return true; }
  bool endArray() override { return true; }
  bool key(std::string_view name) override { return string(name); }
  bool string(std::string_view value) override {
    for (char character : value)
      bytes += character != 0;
    return true;
  }
  bool natural(uint64_t) override { return true; }
  bool otherNumber(std::string_view) override { return true; }
  bool literal(std::string_view) override { return true; }
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string text(reinterpret_cast<const char *>(data), size);
  Taker taker;
  const JsonReading reading = readJson(text, taker);
  const bool isMarked = text.starts_with("\xef\xbb\xbf"); // which only the other reader skips
  if (reading.position > size || reading.end == JsonEnd::Stopped ||
      (!isMarked && (reading.end == JsonEnd::Whole) != nlohmann::json::accept(text)))
    std::abort();

  Result<WeightIndex> index = WeightIndex::parse(text, "fuzz.json");
  if (!index.ok())
    return 0;
  const nlohmann::json value = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  for (const WeightIndex::Entry &entry : index->entries())
    if (!value["weight_map"].contains(entry.tensor) || entry.file >= index->files().size())
      std::abort();
  return 0;
}
