// JSON read with bounds: nesting, duplicate keys, and errors that say where.

#ifndef MOEC_RUNTIME_CORE_JSON_H
#define MOEC_RUNTIME_CORE_JSON_H

#include "runtime/core/Result.h"

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

namespace moec {

struct JsonOptions {
  int maxDepth = 64;            ///< nested arrays and objects
  bool allowDuplicates = false; ///< else two equal keys of one object are a failure
  Code code = Code::Model;      ///< of failures
};

/// Parses `text`, all of it. `file` is its name in messages, which give line and column.
Result<nlohmann::json> parseJson(std::string_view text, std::string_view file,
                                 const JsonOptions &options = {});

/// A value as messages show it: one line of ASCII, bounded.
std::string shownJson(const nlohmann::json &value);

} // namespace moec

#endif // MOEC_RUNTIME_CORE_JSON_H
