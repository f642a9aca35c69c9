// Large JSON read piece by piece, without building anything of it.

#ifndef MOEC_RUNTIME_CORE_JSONEVENTS_H
#define MOEC_RUNTIME_CORE_JSONEVENTS_H

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace moec {

/// What is told of a text, in its order; whatever gives false ends the reading. Strings come
/// without quotes and escapes, as valid UTF-8: views into the text, or, where they had escapes,
/// into memory that the next string overwrites.
class JsonEvents {
public:
  virtual bool startObject() = 0;
  virtual bool endObject() = 0;
  virtual bool startArray() = 0;
  virtual bool endArray() = 0;
  virtual bool key(std::string_view name) = 0;
  virtual bool string(std::string_view value) = 0;
  virtual bool natural(uint64_t value) = 0;
  /// A number that is none of those above, as the text has it.
  virtual bool otherNumber(std::string_view text) = 0;
  /// `true`, `false` or `null`.
  virtual bool literal(std::string_view name) = 0;

protected:
  ~JsonEvents() = default;
};

enum class JsonEnd { Whole, Stopped, Invalid };

struct JsonReading {
  JsonEnd end;
  size_t position; ///< bytes read: of the text that is not JSON, up to where it ceases to be
};

/// Reads `text`, all of it. Nesting takes a byte a level; who minds it ends the reading. Keys may
/// appear twice.
JsonReading readJson(std::string_view text, JsonEvents &events);

} // namespace moec

#endif // MOEC_RUNTIME_CORE_JSONEVENTS_H
