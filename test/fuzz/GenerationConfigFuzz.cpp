// generation_config.json: what was accepted lies within the bounds that sampling relies on.

#include "runtime/text/GenerationConfig.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

using namespace moec;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Result<GenerationConfig> read =
      parseGenerationConfig({reinterpret_cast<const char *>(data), size}, "generation_config.json");
  if (!read.ok())
    return 0;
  auto isShare = [](double value) { return value >= 0 && value <= 1; };
  bool isSound = std::isfinite(read->sampler.temperature) && read->sampler.temperature >= 0 &&
                 read->sampler.topK >= 0 && isShare(read->sampler.topP) &&
                 isShare(read->sampler.minP) && read->sampler.repetitionPenalty > 0 &&
                 std::isfinite(read->sampler.presencePenalty) &&
                 std::ranges::none_of(read->stopStrings, &std::string::empty) &&
                 std::ranges::all_of(read->stopIds, [](int32_t id) { return id >= 0; });
  if (!isSound)
    std::abort();
  return 0;
}
