// model.safetensors.index.json: which file of a checkpoint holds which tensor.

#ifndef MOEC_FRONTENDS_CHECKPOINT_WEIGHTINDEX_H
#define MOEC_FRONTENDS_CHECKPOINT_WEIGHTINDEX_H

#include "runtime/core/Result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// Moved only: entries point into it.
class WeightIndex {
public:
  struct Entry {
    std::string_view tensor;
    uint32_t file; ///< in files()
  };

  /// Reads the object `weight_map` of `text`, which has to have entries; `file` is its name in
  /// messages. Tensors may be listed twice.
  static Result<WeightIndex> parse(std::string_view text, std::string_view file);

  WeightIndex(WeightIndex &&) = default;
  WeightIndex &operator=(WeightIndex &&) = default;

  /// Sorted by name, each once.
  const std::vector<std::string> &files() const { return names; }
  /// In the order of the text.
  const std::vector<Entry> &entries() const { return places; }

private:
  WeightIndex() = default;
  std::vector<char> characters; // of the entries' names
  std::vector<std::string> names;
  std::vector<Entry> places;
};

} // namespace moec

#endif // MOEC_FRONTENDS_CHECKPOINT_WEIGHTINDEX_H
