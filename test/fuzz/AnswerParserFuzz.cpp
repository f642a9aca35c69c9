// Answers of every format: cut at each byte they split into the same as at once.

#include "runtime/text/AnswerParser.h"

#include <cstdlib>

using namespace moec;

static void add(std::string &all, const AnswerPieces &pieces) {
  for (const AnswerPiece &piece : pieces) {
    char kind = static_cast<char>('0' + static_cast<int>(piece.kind));
    if (piece.kind == AnswerPiece::Kind::ToolCall)
      all += piece.call.name + "(" + piece.call.arguments + ")" + piece.call.id;
    else
      for (char c : piece.text)
        (all += kind) += c;
  }
}

/// The first byte, a letter in the seeds, chooses the format, and with a capital reasoning is open.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0)
    return 0;
  constexpr int formats = static_cast<int>(AnswerFormat::Harmony) + 1;
  AnswerFormat format = static_cast<AnswerFormat>((data[0] & 31) % formats);
  bool reasoning = (data[0] & 32) == 0;
  std::string_view text(reinterpret_cast<const char *>(data + 1), size - 1);
  AnswerParser whole(format, reasoning), cut(format, reasoning);
  std::string atOnce, byByte;
  add(atOnce, whole.push(text));
  add(atOnce, whole.finish());
  for (size_t i = 0; i < text.size(); ++i)
    add(byByte, cut.push(text.substr(i, 1)));
  add(byByte, cut.finish());
  if (atOnce != byByte)
    std::abort();
  return 0;
}
