// Values as text: as Python prints them, as JSON, and by format strings.

#ifndef MOEC_RUNTIME_TEXT_JINJAPRINT_H
#define MOEC_RUNTIME_TEXT_JINJAPRINT_H

#include "runtime/text/JinjaCall.h"

#include <optional>

namespace moec::jinja {

/// Python's str(). Undefined gives the empty text; functions and generators fail.
std::string print(Run &run, const Value &value);
/// Python's repr().
std::string printQuoted(Run &run, const Value &value);
/// Python's repr of a float: the shortest digits that read back equal.
std::string printReal(double value);

/// How `tojson` lays out its result.
struct JsonStyle {
  bool asciiOnly = false;
  bool sortKeys = false;
  std::optional<std::string> indent; ///< one step of it; none means one line
  std::string itemSeparator = ", ";
  std::string keySeparator = ": ";
};
/// The value as JSON. Fails on values that JSON has not.
std::string printJson(Run &run, const Value &value, const JsonStyle &style);

/// Python's `format % values`: s, r, d, i, u, x, X, o, e, E, f, F, g, G, c and %% with flags, width
/// and precision.
Value formatPercent(Run &run, const std::string &format, const Value &values);
/// str.format, for fields without a format specification.
Value formatBraces(Run &run, const std::string &format, const Arguments &arguments);

} // namespace moec::jinja

#endif // MOEC_RUNTIME_TEXT_JINJAPRINT_H
