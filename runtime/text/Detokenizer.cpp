// A chain of stages, one per decoder step. Decoding at once and decoding as a stream are the same
// code.

#include "runtime/text/Detokenizer.h"

#include "runtime/text/ByteLevel.h"
#include "runtime/text/Utf8.h"

#include <utility>

using namespace moec;
using namespace moec::tokenizer;

bool moec::isDecoderStep(StepKind kind) {
  return kind == StepKind::Replace || kind >= StepKind::BytesFromText;
}

Detokenizer::Detokenizer(std::span<const PreparedStep> steps, bool joinBySpaces)
    : joinBySpaces(joinBySpaces) {
  stages.reserve(steps.size());
  for (const PreparedStep &step : steps)
    stages.emplace_back().step = &step;
}

void Detokenizer::push(std::string_view token, std::string &text) {
  feed(0, token, true, true, text);
}

void Detokenizer::finish(std::string &text) {
  for (size_t i = 0; i < stages.size(); ++i)
    switch (stages[i].step->kind) {
    case StepKind::BytesFromText: {
      std::string rest;
      utf8::appendLossy(rest, stages[i].bytes, /*hold=*/false);
      feedFused(i, rest, true, text);
      break;
    }
    case StepKind::Fuse:
      feedFused(i, {}, true, text);
      break;
    case StepKind::ByteFallback:
      flushBytes(i, text);
      break;
    default:
      break;
    }
}

/// The byte that a token of the form <0xHH> stands for, or -1.
static int byteOf(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>')
    return -1;
  int value = 0;
  for (char digit : token.substr(3, 2)) {
    int nibble = digit >= '0' && digit <= '9'   ? digit - '0'
                 : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
                 : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
                                                : -1;
    if (nibble < 0)
      return -1;
    value = value * 16 + nibble;
  }
  return value;
}

static std::string replaceText(std::string_view text, std::string_view from, std::string_view to) {
  std::string replaced;
  size_t done = 0;
  for (size_t at; !from.empty() && (at = text.find(from, done)) != text.npos;
       done = at + from.size()) {
    replaced += text.substr(done, at - done);
    replaced += to;
  }
  replaced += text.substr(done);
  return replaced;
}

void Detokenizer::feedFused(size_t stage, std::string_view chunk, bool ends, std::string &text) {
  bool begins = !stages[stage].fusing;
  stages[stage].fusing = true;
  feed(stage + 1, chunk, begins, ends, text);
}

void Detokenizer::flushBytes(size_t stage, std::string &text) {
  std::string bytes = std::exchange(stages[stage].bytes, {});
  if (bytes.empty())
    return;
  if (utf8::isValid(bytes)) {
    feed(stage + 1, bytes, true, true, text);
    return;
  }
  for (size_t i = 0; i < bytes.size(); ++i)
    feed(stage + 1, "\uFFFD", true, true, text);
}

void Detokenizer::strip(size_t stage, std::string_view chunk, bool begins, bool ends,
                        std::string &text) {
  Stage &state = stages[stage];
  const PreparedStep &step = *state.step;
  if (begins) {
    state.stripped = 0;
    state.atFront = true;
    state.tail.clear();
  }
  while (state.atFront && state.stripped < step.first && !step.text.empty() &&
         chunk.starts_with(step.text)) {
    chunk.remove_prefix(step.text.size());
    ++state.stripped;
  }
  if (!chunk.empty())
    state.atFront = false;
  if (step.second == 0 || step.text.empty()) {
    feed(stage + 1, chunk, begins, ends, text);
    return;
  }
  std::string sure = std::exchange(state.tail, {});
  sure += chunk;
  std::string_view kept = sure;
  for (uint32_t i = 0; i < step.second && kept.ends_with(step.text); ++i)
    kept.remove_suffix(step.text.size());
  if (!ends)
    state.tail = sure.substr(kept.size());
  feed(stage + 1, kept, begins, ends, text);
}

void Detokenizer::feed(size_t stage, std::string_view chunk, bool begins, bool ends,
                       std::string &text) {
  if (stage == stages.size()) {
    if (begins && written++ > 0 && joinBySpaces)
      text += ' ';
    text += chunk;
    return;
  }
  Stage &state = stages[stage];
  const PreparedStep &step = *state.step;
  if (begins)
    ++state.tokens;
  switch (step.kind) {
  case StepKind::Fuse:
    feedFused(stage, chunk, false, text);
    return;
  case StepKind::StripCharacter:
    strip(stage, chunk, begins, ends, text);
    return;
  case StepKind::MetaspaceToText: {
    bool drop = step.has(stepFirstPieceOnly) && state.tokens == 1;
    feed(stage + 1, replaceText(chunk, step.text, drop ? "" : " "), begins, ends, text);
    return;
  }
  default:
    break;
  }

  // The others need a token whole.
  state.token += chunk;
  if (!ends)
    return;
  std::string token = std::exchange(state.token, {});
  switch (step.kind) {
  case StepKind::Replace: {
    bool keepsStart;
    Result<std::string> replaced = replaceMatches(step, token, keepsStart);
    feed(stage + 1, replaced.ok() ? *replaced : token, true, true, text); // plain text never fails
    return;
  }
  case StepKind::BytesFromText: {
    charactersToBytes(token, state.bytes);
    std::string sure;
    utf8::appendLossy(sure, state.bytes, /*hold=*/true);
    feedFused(stage, sure, false, text);
    return;
  }
  case StepKind::ByteFallback:
    if (int byte = byteOf(token); byte >= 0) {
      state.bytes += static_cast<char>(byte);
      return;
    }
    flushBytes(stage, text);
    feed(stage + 1, token, true, true, text);
    return;
  default:
    feed(stage + 1, token, true, true, text);
    return;
  }
}
