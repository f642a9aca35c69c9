// What most files of the runtime include of others' headers: compiled once, as reading it takes
// longer than most of these files themselves.

#ifndef MOEC_RUNTIME_CORE_COMPILEDHEADERS_H
#define MOEC_RUNTIME_CORE_COMPILEDHEADERS_H

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <fmt/format.h>

#endif // MOEC_RUNTIME_CORE_COMPILEDHEADERS_H
