// sentencepiece's tokenizer.model: what is taken becomes tables that open, and encode and decode.

#include "frontends/checkpoint/TokenizerCompiler.h"
#include "test/fuzz/CompiledTokenizer.h"

using namespace moec;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  useCompiledTokenizer(compileSentencePiece(
      {{reinterpret_cast<const char *>(data), size}, "tokenizer.model"}, {"", "config"}));
  return 0;
}
