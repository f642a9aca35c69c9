// Names of stored tensors that differ in layer and expert only.

#ifndef MOEC_RUNTIME_CORE_TENSORPATTERN_H
#define MOEC_RUNTIME_CORE_TENSORPATTERN_H

#include "runtime/core/Result.h"

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace moec {

/// `pattern` with every `{l}` replaced by the layer and every `{e}` by the expert.
std::string expandPattern(std::string_view pattern, int64_t layer, int64_t expert);

/// Calls visit(name, expert) with each name that `pattern` stands for until it fails: one for each
/// of `layers` (none: it has no `{l}`) and of `experts` experts in it (0: it has no `{e}`).
template <typename Visitor>
Status forEachName(std::string_view pattern, std::span<const int64_t> layers, int64_t experts,
                   Visitor visit) {
  for (size_t ordinal = 0; ordinal < std::max<size_t>(layers.size(), 1); ++ordinal)
    for (int64_t expert = 0; expert < std::max<int64_t>(experts, 1); ++expert)
      if (Status status =
              visit(expandPattern(pattern, layers.empty() ? 0 : layers[ordinal], expert), expert);
          !status.ok())
        return status;
  return {};
}

} // namespace moec

#endif // MOEC_RUNTIME_CORE_TENSORPATTERN_H
