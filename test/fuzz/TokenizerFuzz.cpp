// tokenizer.json: compiled to tables, opened, and made to encode and decode.

#include "frontends/checkpoint/TokenizerCompiler.h"
#include "runtime/text/Tokenizer.h"

#include <cstdlib>
#include <cstring>
#include <memory>

using namespace moec;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Result<std::vector<uint8_t>> tables = compileTokenizer(
      {{reinterpret_cast<const char *>(data), size}, "tokenizer.json"}, {"", "config"});
  if (!tables.ok())
    return 0;
  std::unique_ptr<uint8_t, decltype(&std::free)> aligned(
      static_cast<uint8_t *>(std::aligned_alloc(64, (tables->size() + 63) / 64 * 64)), &std::free);
  std::memcpy(aligned.get(), tables->data(), tables->size());
  Result<Tokenizer> tokenizer = Tokenizer::open({aligned.get(), tables->size()});
  if (!tokenizer.ok())
    std::abort(); // what the compiler made must open
  Result<std::vector<int32_t>> ids = tokenizer->encode("A quick \u00e4 fox\n 12 <|im_start|>");
  if (ids.ok())
    (void)tokenizer->decode(*ids);
  return 0;
}
