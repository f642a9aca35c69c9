// What goes with a tiktoken rank file and is not in it: the pattern and the special tokens of its
// family.

#ifndef MOEC_FRONTENDS_CHECKPOINT_RANKFAMILIES_H
#define MOEC_FRONTENDS_CHECKPOINT_RANKFAMILIES_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

struct RankFamily {
  std::string_view name;        ///< of model_type, or what it begins with
  std::string_view pattern;     ///< cuts text into words; as Oniguruma spells it
  bool composes = false;        ///< text becomes NFC before
  bool beginsWithFirst = false; ///< the first special token stands in front of every text
  /// The special tokens in the order of their ids; the first has the id `base`, the number of
  /// ranks.
  std::vector<std::string> (*specialTokens)(uint32_t base);
};

/// The family of a model_type of config.json, or null.
const RankFamily *findRankFamily(std::string_view modelType);

} // namespace moec

#endif // MOEC_FRONTENDS_CHECKPOINT_RANKFAMILIES_H
