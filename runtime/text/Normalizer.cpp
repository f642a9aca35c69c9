// One function per normalizer; Unicode's own forms come from utf8proc.

#include "runtime/text/Normalizer.h"

#include "runtime/text/ByteLevel.h"
#include "runtime/text/Utf8.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>

using namespace moec;
using namespace moec::tokenizer;

bool moec::isNormalizerStep(StepKind kind) { return kind <= StepKind::MapBytes; }

static Result<std::string> unicodeForm(std::string text, int options) {
  if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x80; }))
    return text; // ASCII is the same in all four forms
  utf8proc_uint8_t *mapped = nullptr;
  utf8proc_ssize_t bytes = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t *>(text.data()),
                                        static_cast<utf8proc_ssize_t>(text.size()), &mapped,
                                        static_cast<utf8proc_option_t>(UTF8PROC_STABLE | options));
  if (bytes < 0)
    return Status{bytes == UTF8PROC_ERROR_NOMEM ? Code::Resource : Code::Usage,
                  std::string("Unicode normalization: ") + utf8proc_errmsg(bytes)};
  text.assign(reinterpret_cast<const char *>(mapped), static_cast<size_t>(bytes));
  std::free(mapped);
  return text;
}

/// `text` with each character put through `map`, which appends what it becomes.
template <typename Map> static std::string mapCharacters(std::string_view text, Map map) {
  std::string mapped;
  mapped.reserve(text.size());
  while (!text.empty()) {
    map(mapped, utf8::first(text).value);
    text.remove_prefix(utf8::step(text));
  }
  return mapped;
}

static void appendLower(std::string &text, char32_t value) {
  if (value == 0x130) { // the one character whose lower case is two
    text += "i\u0307";
    return;
  }
  utf8::append(text, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(value))));
}

static void appendUnlessMark(std::string &text, char32_t value) {
  utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(value));
  if (category != UTF8PROC_CATEGORY_MN && category != UTF8PROC_CATEGORY_MC &&
      category != UTF8PROC_CATEGORY_ME)
    utf8::append(text, value);
}

static std::string stripSpace(std::string_view text, bool left, bool right) {
  while (left && !text.empty() && utf8::isSpace(utf8::first(text).value))
    text.remove_prefix(utf8::step(text));
  while (right && !text.empty() && utf8::isSpace(utf8::last(text).value))
    text.remove_suffix(std::max<size_t>(1, utf8::last(text).bytes));
  return std::string(text);
}

Result<std::string> moec::normalize(const PreparedSteps &steps, std::string text,
                                    bool &keepsStart) {
  for (const PreparedStep &step : steps) {
    if (text.empty())
      break; // no step makes something of nothing
    Result<std::string> next = std::string();
    switch (step.kind) {
    case StepKind::Nfc:
      next = unicodeForm(std::move(text), UTF8PROC_COMPOSE);
      break;
    case StepKind::Nfd:
      next = unicodeForm(std::move(text), UTF8PROC_DECOMPOSE);
      break;
    case StepKind::Nfkc:
      next = unicodeForm(std::move(text), UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
      break;
    case StepKind::Nfkd:
      next = unicodeForm(std::move(text), UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT);
      break;
    case StepKind::Lowercase:
      next = mapCharacters(text, appendLower);
      break;
    case StepKind::StripAccents: {
      std::string first;
      appendUnlessMark(first, utf8::first(text).value);
      keepsStart &= !first.empty();
      next = mapCharacters(text, appendUnlessMark);
      break;
    }
    case StepKind::StripSpace:
      keepsStart &= !(step.has(stepLeft) && utf8::isSpace(utf8::first(text).value));
      next = stripSpace(text, step.has(stepLeft), step.has(stepRight));
      break;
    case StepKind::Replace:
      next = replaceMatches(step, text, keepsStart);
      break;
    case StepKind::Prepend:
      if (step.has(stepUnlessPresent) && text.starts_with(step.text))
        next = std::move(text);
      else
        next = step.text + text;
      break;
    case StepKind::MapBytes:
      next = bytesToCharacters(text);
      break;
    default:
      return Status{Code::Mismatch, "tokenizer tables: a step that no normalizer has"};
    }
    if (!next.ok())
      return next.status();
    text = std::move(*next);
  }
  return text;
}
