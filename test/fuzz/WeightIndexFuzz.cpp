// The index that says which file holds which tensor: its entries are those of the JSON object.

#include "frontends/checkpoint/WeightIndex.h"

#include <nlohmann/json.hpp>

#include <cstdlib>

using namespace moec;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string text(reinterpret_cast<const char *>(data), size);
  Result<WeightIndex> index = WeightIndex::parse(text, "fuzz.json");
  if (!index.ok())
    return 0;
  const nlohmann::json value = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  for (const WeightIndex::Entry &entry : index->entries())
    if (!value["weight_map"].contains(entry.tensor) || entry.file >= index->files().size())
      std::abort();
  return 0;
}
