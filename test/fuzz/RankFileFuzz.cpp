// tiktoken's rank files: what is taken becomes tables that open, and encode and decode. The input
// is put behind the 256 bytes that every rank file has.

#include "frontends/checkpoint/TokenizerCompiler.h"
#include "test/fuzz/CompiledTokenizer.h"

using namespace moec;

/// A rank for each byte.
static std::string byteRanks() {
  const char *digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string lines;
  for (int byte = 0; byte < 256; ++byte) {
    lines += digits[byte >> 2];
    lines += digits[byte << 4 & 63];
    lines += "== " + std::to_string(byte) + "\n";
  }
  return lines;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const std::string bytes = byteRanks();
  std::string_view input(reinterpret_cast<const char *>(data), size);
  for (const std::string &text : {bytes + std::string(input), std::string(input)})
    for (const char *family : {"gpt_oss", "kimi_k2"})
      useCompiledTokenizer(compileRankFile({text, "tiktoken.model"}, {"", "config"}, family));
  return 0;
}
