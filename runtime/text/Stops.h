// What ends an answer: token ids, and text.

#ifndef MOEC_RUNTIME_TEXT_STOPS_H
#define MOEC_RUNTIME_TEXT_STOPS_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// The tokens that end an answer.
class StopIds {
public:
  StopIds() = default;
  explicit StopIds(std::vector<int32_t> ids);

  bool contains(int32_t id) const;

private:
  std::vector<int32_t> ids; ///< in rising order
};

/// Looks for stop strings in text that comes in pieces. The text that it lets through is the same
/// however the text is cut: all before the stop string that is complete first (of several that end
/// at the same place, the longest), or everything if there is none.
class StopStrings {
public:
  StopStrings() = default;
  /// Empty ones are ignored.
  explicit StopStrings(std::vector<std::string> strings);

  /// Takes a piece of text and returns what can be shown by now: what may be the beginning of a
  /// stop string is held back. After a stop it returns nothing.
  std::string feed(std::string_view text);
  /// The text is over: returns what was held back.
  std::string finish();
  bool stopped() const { return found; }

private:
  std::vector<std::string> strings;
  std::string held;
  bool found = false;
};

} // namespace moec

#endif // MOEC_RUNTIME_TEXT_STOPS_H
