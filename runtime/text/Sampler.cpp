// Chooses the next token from logits.

#include "runtime/text/Sampler.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <fmt/format.h>
#include <limits>

using namespace moec;

double moec::uniformAt(uint64_t seed, uint64_t position) {
  uint32_t counter[4] = {static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32), 0,
                         0};
  uint32_t key[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  for (int round = 0; round < 10; ++round) {
    uint64_t first = uint64_t{0xD2511F53} * counter[0];
    uint64_t second = uint64_t{0xCD9E8D57} * counter[2];
    uint32_t mixed[4] = {
        static_cast<uint32_t>(second >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(second),
        static_cast<uint32_t>(first >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(first)};
    std::copy(std::begin(mixed), std::end(mixed), counter);
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  uint64_t bits = uint64_t{counter[0]} << 32 | counter[1];
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

Result<Sampler> Sampler::create(SamplerOptions options, int32_t vocabulary) {
  auto outside = [](const char *name, double value, const char *wanted) {
    return Status{Code::Usage, fmt::format("{} is {}, wanted {}", name, value, wanted)};
  };
  // Comparisons are written so that NaN fails them.
  if (vocabulary < 1)
    return Status{Code::Internal, fmt::format("the vocabulary has {} tokens", vocabulary)};
  if (!(options.temperature >= 0 && std::isfinite(options.temperature)))
    return outside("temperature", options.temperature, "a number of at least 0");
  if (options.topK < 0)
    return outside("top-k", options.topK, "a whole number of at least 0");
  if (!(options.topP >= 0 && options.topP <= 1))
    return outside("top-p", options.topP, "a number from 0 to 1");
  if (!(options.minP >= 0 && options.minP <= 1))
    return outside("min-p", options.minP, "a number from 0 to 1");
  if (!(options.repetitionPenalty > 0 && std::isfinite(options.repetitionPenalty)))
    return outside("repetition penalty", options.repetitionPenalty, "a number above 0");
  if (!std::isfinite(options.presencePenalty))
    return outside("presence penalty", options.presencePenalty, "a finite number");
  for (const auto &[id, bias] : options.bias) {
    if (id < 0 || id >= vocabulary)
      return Status{Code::Usage, fmt::format("logit bias names token {}, but ids go from 0 to {}",
                                             id, vocabulary - 1)};
    if (std::isnan(bias) || bias == std::numeric_limits<float>::infinity())
      return outside("logit bias", bias, "a finite number, or -infinity");
  }
  return Sampler(std::move(options), vocabulary);
}

/// What to say of a logit that is no number, or +infinity.
static Status oddLogit(float logit, size_t id, size_t position) {
  return {Code::Model, fmt::format("the logit of token {} at position {} is {}: the model's "
                                   "weights or its activations hold what is no number; "
                                   "activations of f32 have the most range",
                                   id, position, logit)};
}

static Status noToken(size_t position) {
  return {Code::Internal, fmt::format("every token is ruled out at position {}", position)};
}

/// Steps 1 to 3.
Status Sampler::adjust(std::span<const float> logits, std::span<const int32_t> tokens,
                       size_t promptTokens) {
  if (logits.size() != static_cast<size_t>(vocabulary))
    return {Code::Internal,
            fmt::format("{} logits for a vocabulary of {}", logits.size(), vocabulary)};
  for (size_t i = 0; i < logits.size(); ++i)
    if (!(logits[i] < std::numeric_limits<float>::infinity()))
      return oddLogit(logits[i], i, tokens.size());
  adjusted.assign(logits.begin(), logits.end());
  for (const auto &[id, bias] : options.bias)
    adjusted[static_cast<size_t>(id)] += bias;
  bool repetition = options.repetitionPenalty != 1, presence = options.presencePenalty != 0;
  if (!repetition && !presence)
    return {};
  seen.resize(logits.size());
  float factor = static_cast<float>(options.repetitionPenalty);
  for (size_t i = 0; i < tokens.size(); ++i) {
    size_t id = static_cast<size_t>(tokens[i]);
    if (tokens[i] < 0 || id >= logits.size())
      continue;
    float &logit = adjusted[id];
    if (repetition && !(seen[id] & 1))
      logit = logit < 0 ? logit * factor : logit / factor;
    seen[id] |= 1;
    if (i >= promptTokens)
      seen[id] |= 2;
  }
  for (int32_t token : tokens) {
    size_t id = static_cast<size_t>(token);
    if (token < 0 || id >= logits.size())
      continue;
    if (seen[id] & 2)
      adjusted[id] -= static_cast<float>(options.presencePenalty);
    seen[id] = 0;
  }
  return {};
}

int32_t Sampler::greatest() const {
  // max_element gives the first of equals.
  return static_cast<int32_t>(std::max_element(adjusted.begin(), adjusted.end()) -
                              adjusted.begin());
}

/// Probability times a constant: the largest logit weighs 1.
double Sampler::weightOf(const Candidate &candidate) const {
  return std::exp((static_cast<double>(candidate.logit) - largest) / options.temperature);
}

double Sampler::totalWeight() const {
  double total = 0;
  for (const Candidate &candidate : candidates)
    total += weightOf(candidate);
  return total;
}

/// How many of the best candidates step 6 keeps; they come to the front in falling order.
size_t Sampler::nucleusSize() {
  double wanted = options.topP * totalWeight(), sum = 0;
  size_t sorted = 0, kept = 0;
  while (kept < candidates.size() && (kept == 0 || sum < wanted)) {
    if (kept == sorted) { // sorting a whole vocabulary would cost more than all the rest
      size_t more = std::min(std::max<size_t>(64, sorted * 3), candidates.size() - sorted);
      auto from = candidates.begin() + static_cast<std::ptrdiff_t>(sorted);
      std::partial_sort(from, from + static_cast<std::ptrdiff_t>(more), candidates.end());
      sorted += more;
    }
    sum += weightOf(candidates[kept++]);
  }
  return kept;
}

/// Steps 4 to 8.
int32_t Sampler::draw(double uniform) {
  candidates.clear();
  for (size_t i = 0; i < adjusted.size(); ++i)
    if (adjusted[i] > -std::numeric_limits<float>::infinity())
      candidates.push_back({adjusted[i], static_cast<int32_t>(i)});
  size_t most = static_cast<size_t>(options.topK);
  if (most && most < candidates.size()) {
    auto end = candidates.begin() + static_cast<std::ptrdiff_t>(most);
    std::nth_element(candidates.begin(), end, candidates.end());
    candidates.erase(end, candidates.end());
    std::sort(candidates.begin(), candidates.end()); // the order of the draw must not be chance
  }
  return drawCandidate(uniform);
}

/// Steps 6 to 8.
int32_t Sampler::drawCandidate(double uniform) {
  if (options.topP < 1)
    candidates.resize(nucleusSize(), {0, 0});
  if (options.minP > 0)
    std::erase_if(candidates,
                  [&](const Candidate &candidate) { return weightOf(candidate) < options.minP; });
  double left = uniform * totalWeight();
  int32_t drawn = candidates[0].id;
  for (const Candidate &candidate : candidates) {
    double weight = weightOf(candidate);
    if (weight > 0) // rounding may carry past the last one; it stays drawn then
      drawn = candidate.id;
    left -= weight;
    if (left < 0)
      break;
  }
  return drawn;
}

Result<int32_t> Sampler::pick(std::span<const float> logits, std::span<const int32_t> tokens,
                              size_t promptTokens) {
  Status status = adjust(logits, tokens, promptTokens);
  if (!status.ok())
    return status;
  int32_t best = greatest();
  largest = adjusted[static_cast<size_t>(best)];
  if (largest == -std::numeric_limits<float>::infinity())
    return noToken(tokens.size());
  if (isGreedy())
    return best;
  return draw(uniformAt(options.seed, tokens.size()));
}

/// Most candidates that are looked for among the largest of pieces: with more, one piece often has
/// more of them than it gives.
static constexpr int32_t kMostFew = 64;

bool Sampler::readsLargest() const {
  if (!options.bias.empty() || options.repetitionPenalty != 1 || options.presencePenalty != 0)
    return false;
  if (isGreedy())
    return true;
  return options.topK > 0 ? options.topK <= kMostFew : options.topP == 1 && options.minP > 0;
}

/// Candidates become the `most` largest logits, in falling order, or fewer, where others that a
/// piece does not give may come next. False if there are none.
bool Sampler::findLargest(std::span<const moec_largest> pieces, size_t most) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  candidates.clear();
  for (const moec_largest &entry : pieces)
    if (entry.id >= 0) // what is no number comes first, as on the device
      candidates.push_back({entry.logit < infinity ? entry.logit : infinity, entry.id});
  most = std::min(most, candidates.size());
  std::partial_sort(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(most),
                    candidates.end());
  candidates.resize(most, {0, 0});
  auto isLastOfPiece = [&](const Candidate &candidate) {
    const size_t piece = static_cast<size_t>(candidate.id) / MOEC_LARGEST_PIECE;
    return pieces[(piece + 1) * MOEC_LARGEST_COUNT - 1].id == candidate.id;
  };
  auto last = std::find_if(candidates.begin(), candidates.end(), isLastOfPiece);
  if (last != candidates.end())
    candidates.erase(last + 1, candidates.end());
  return !candidates.empty();
}

Result<std::optional<int32_t>> Sampler::pickAmong(std::span<const moec_largest> pieces,
                                                  std::span<const int32_t> tokens) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  if (!readsLargest())
    return std::optional<int32_t>();
  const size_t wanted = isGreedy()         ? 1
                        : options.topK > 0 ? static_cast<size_t>(options.topK)
                                           : static_cast<size_t>(kMostFew);
  // One more shows that there are more than are wanted.
  if (!findLargest(pieces, wanted + 1))
    return Status{Code::Internal, "a row without logits"};
  const Candidate best = candidates.front();
  if (best.logit == infinity) {
    auto entry = std::find_if(pieces.begin(), pieces.end(),
                              [&](const moec_largest &entry) { return entry.id == best.id; });
    return oddLogit(entry->logit, static_cast<size_t>(best.id), tokens.size());
  }
  if (best.logit == -infinity)
    return noToken(tokens.size());
  if (isGreedy())
    return std::optional(best.id);
  largest = best.logit;
  const Candidate &next = candidates.back();
  if (options.topK > 0) {
    if (candidates.size() <= wanted || next.logit == -infinity)
      return std::optional<int32_t>();
    candidates.resize(wanted, {0, 0});
  } else {
    if (weightOf(next) >= options.minP)
      return std::optional<int32_t>();
    std::erase_if(candidates,
                  [&](const Candidate &candidate) { return weightOf(candidate) < options.minP; });
    std::sort(candidates.begin(), candidates.end(),
              [](const Candidate &a, const Candidate &b) { return a.id < b.id; });
  }
  return std::optional(drawCandidate(uniformAt(options.seed, tokens.size())));
}
