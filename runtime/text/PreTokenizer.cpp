// Words are spans of one string. A step that only cuts leaves the string alone; one that changes
// words writes a new one.

#include "runtime/text/PreTokenizer.h"

#include "runtime/text/ByteLevel.h"

using namespace moec;
using namespace moec::tokenizer;

bool moec::isPreTokenizerStep(StepKind kind) {
  return kind == StepKind::Replace || kind == StepKind::Prepend || kind == StepKind::MapBytes ||
         kind == StepKind::Split;
}

namespace {

/// A stretch between cuts: a match, or what lies between two.
struct Stretch {
  Span span;
  bool isMatch;
};

} // namespace

/// The stretches that cover a text of `size` bytes.
static std::vector<Stretch> cover(const std::vector<Span> &matches, size_t size, bool invert) {
  std::vector<Stretch> stretches;
  size_t done = 0;
  for (Span match : matches) {
    if (match.begin > done)
      stretches.push_back({{done, match.begin}, invert});
    stretches.push_back({match, !invert});
    done = match.end;
  }
  if (done < size)
    stretches.push_back({{done, size}, invert});
  return stretches;
}

/// What is left of `stretches` under `behavior`.
static std::vector<Span> join(const std::vector<Stretch> &stretches, SplitBehavior behavior) {
  std::vector<Span> spans;
  bool afterMatch = false;
  switch (behavior) {
  case SplitBehavior::Removed:
    for (const Stretch &stretch : stretches)
      if (!stretch.isMatch)
        spans.push_back(stretch.span);
    break;
  case SplitBehavior::Isolated:
    for (const Stretch &stretch : stretches)
      spans.push_back(stretch.span);
    break;
  case SplitBehavior::Contiguous:
    for (const Stretch &stretch : stretches) {
      if (stretch.isMatch == afterMatch && !spans.empty())
        spans.back().end = stretch.span.end;
      else
        spans.push_back(stretch.span);
      afterMatch = stretch.isMatch;
    }
    break;
  case SplitBehavior::MergedWithPrevious:
    for (const Stretch &stretch : stretches) {
      if (stretch.isMatch && !afterMatch && !spans.empty())
        spans.back().end = stretch.span.end;
      else
        spans.push_back(stretch.span);
      afterMatch = stretch.isMatch;
    }
    break;
  case SplitBehavior::MergedWithNext:
    // Of several matches in a row only the last has something other than a match behind it.
    for (size_t i = 0; i < stretches.size(); ++i) {
      Span span = stretches[i].span;
      if (stretches[i].isMatch && i + 1 < stretches.size() && !stretches[i + 1].isMatch)
        span.end = stretches[++i].span.end;
      spans.push_back(span);
    }
    break;
  }
  return spans;
}

static Status split(const PreparedStep &step, Words &words) {
  std::vector<Span> pieces;
  for (size_t i = 0; i < words.spans.size(); ++i) {
    std::string_view word = words[i];
    Result<std::vector<Span>> matches = step.pattern->find(word);
    if (!matches.ok())
      return matches.status();
    size_t base = words.spans[i].begin;
    for (Span span : join(cover(*matches, word.size(), step.has(stepInvert)),
                          static_cast<SplitBehavior>(step.first)))
      if (span.begin < span.end)
        pieces.push_back({base + span.begin, base + span.end});
  }
  words.spans = std::move(pieces);
  return {};
}

/// What `step`, which is no Split, makes of one word.
static Result<std::string> change(const PreparedStep &step, std::string_view word, bool isFirst,
                                  bool &keepsStart) {
  switch (step.kind) {
  case StepKind::Replace:
    return replaceMatches(step, word, keepsStart);
  case StepKind::Prepend:
    if ((step.has(stepUnlessPresent) && word.starts_with(step.text)) ||
        (step.has(stepFirstPieceOnly) && !isFirst))
      return std::string(word);
    return step.text + std::string(word);
  case StepKind::MapBytes:
    return bytesToCharacters(word);
  default:
    return Status{Code::Mismatch, "tokenizer tables: a step that no pre-tokenizer has"};
  }
}

Result<Words> moec::preTokenize(const PreparedSteps &steps, std::string text, bool isFirst) {
  Words words{std::move(text), {}};
  if (!words.text.empty())
    words.spans.push_back({0, words.text.size()});
  // Only the word at the very beginning of the input can be first.
  for (const PreparedStep &step : steps) {
    if (step.kind == StepKind::Split) {
      if (Status status = split(step, words); !status.ok())
        return status;
      isFirst &= !words.spans.empty() && words.spans[0].begin == 0;
      continue;
    }
    Words changed;
    bool keepsStart = true;
    for (size_t i = 0; i < words.spans.size(); ++i) {
      bool keepsThis = true;
      Result<std::string> word = change(step, words[i], isFirst && i == 0, keepsThis);
      if (!word.ok())
        return word.status();
      size_t begin = changed.text.size();
      changed.text += *word;
      if (!word->empty())
        changed.spans.push_back({begin, changed.text.size()});
      if (i == 0)
        keepsStart = keepsThis && !word->empty();
    }
    isFirst &= keepsStart;
    words = std::move(changed);
  }
  return words;
}
