// Names of stored tensors that differ in layer and expert only.

#ifndef MOEC_RUNTIME_CORE_TENSORPATTERN_H
#define MOEC_RUNTIME_CORE_TENSORPATTERN_H

#include <cstdint>
#include <string>
#include <string_view>

namespace moec {

/// `pattern` with every `{l}` replaced by the layer and every `{e}` by the expert.
std::string expandPattern(std::string_view pattern, int64_t layer, int64_t expert);

} // namespace moec

#endif // MOEC_RUNTIME_CORE_TENSORPATTERN_H
