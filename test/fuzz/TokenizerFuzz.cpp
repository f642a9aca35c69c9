// tokenizer.json: compiled to tables, opened, and made to encode and decode.

#include "frontends/checkpoint/TokenizerCompiler.h"
#include "test/fuzz/CompiledTokenizer.h"

using namespace moec;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  useCompiledTokenizer(compileTokenizer(
      {{reinterpret_cast<const char *>(data), size}, "tokenizer.json"}, {"", "config"}));
  return 0;
}
