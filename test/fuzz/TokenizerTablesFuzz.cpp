// The mapped tokenizer tables: damaged ones are refused, or encode and decode inside their bounds.
// An input is a list of changes to good tables: four bytes of offset, one of value.

#include "frontends/checkpoint/TokenizerCompiler.h"
#include "runtime/text/Tokenizer.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>

using namespace moec;

/// Tables of a small golden tokenizer.
static const std::vector<uint8_t> &goodTables() {
  static const std::vector<uint8_t> tables = [] {
    Result<std::optional<std::vector<uint8_t>>> compiled =
        compileTokenizerIn(MOEC_TEST_DIR "/golden/qwen3_moe", "");
    if (!compiled.ok() || !*compiled)
      std::abort();
    return **compiled;
  }();
  return tables;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const std::vector<uint8_t> &good = goodTables();
  // Aligned as the linker aligns them, and not much longer than they are.
  std::unique_ptr<uint8_t, decltype(&std::free)> tables(
      static_cast<uint8_t *>(std::aligned_alloc(64, (good.size() + 63) / 64 * 64)), &std::free);
  std::memcpy(tables.get(), good.data(), good.size());
  for (; size >= 5; data += 5, size -= 5) {
    uint32_t offset = 0;
    std::memcpy(&offset, data, 4);
    tables.get()[offset % good.size()] = data[4];
  }
  Result<Tokenizer> tokenizer = Tokenizer::open({tables.get(), good.size()});
  if (!tokenizer.ok())
    return 0;
  Result<std::vector<int32_t>> ids =
      tokenizer->encode("The quick brown fox <|im_start|> 12345 \u00e4\u4e2d  \n\n\tend.");
  std::vector<int32_t> all(64);
  std::iota(all.begin(), all.end(), -8);
  if (ids.ok())
    all.insert(all.end(), ids->begin(), ids->end());
  (void)tokenizer->decode(all);
  TextStream stream(*tokenizer);
  for (int32_t id : all)
    (void)stream.push(id);
  (void)stream.finish();
  return 0;
}
