// What every fuzz target of a tokenizer's file does with the tables that come of it.

#ifndef MOEC_TEST_FUZZ_COMPILEDTOKENIZER_H
#define MOEC_TEST_FUZZ_COMPILEDTOKENIZER_H

#include "runtime/text/Tokenizer.h"

#include <cstdlib>
#include <cstring>
#include <memory>

namespace moec {

/// Tables must open, and encode and decode; a refusal is fine.
inline void useCompiledTokenizer(const Result<std::vector<uint8_t>> &tables) {
  if (!tables.ok())
    return;
  // Aligned as the linker aligns them, and not much longer than they are.
  std::unique_ptr<uint8_t, decltype(&std::free)> aligned(
      static_cast<uint8_t *>(std::aligned_alloc(64, (tables->size() + 63) / 64 * 64)), &std::free);
  std::memcpy(aligned.get(), tables->data(), tables->size());
  Result<Tokenizer> tokenizer = Tokenizer::open({aligned.get(), tables->size()});
  if (!tokenizer.ok())
    std::abort(); // what the compiler made must open
  Result<std::vector<int32_t>> ids = tokenizer->encode("A quick \u00e4 fox\n 12 <|im_start|>");
  if (ids.ok())
    (void)tokenizer->decode(*ids);
}

} // namespace moec

#endif // MOEC_TEST_FUZZ_COMPILEDTOKENIZER_H
