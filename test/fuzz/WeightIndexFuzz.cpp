// The index that says which file holds which tensor: its entries are those of the JSON object.

#include "frontends/checkpoint/WeightIndex.h"

#include <nlohmann/json.hpp>

#include <cstdlib>
#include <map>

using namespace moec;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string text(reinterpret_cast<const char *>(data), size);
  Result<WeightIndex> index = WeightIndex::parse(text, "fuzz.json");
  if (!index.ok())
    return 0;
  const nlohmann::json value = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  std::map<std::string, std::string> found;
  for (const auto &[tensor, file] : index->entries())
    found[std::string(tensor)] = index->files().at(file); // of two of a name JSON keeps the last
  if (nlohmann::json(found) != value["weight_map"])
    std::abort();
  return 0;
}
