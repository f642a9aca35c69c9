// Chooses the next token from logits.

#ifndef MOEC_RUNTIME_TEXT_SAMPLER_H
#define MOEC_RUNTIME_TEXT_SAMPLER_H

#include "runtime/core/Result.h"
#include "runtime/core/Step.h"

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace moec {

/// The options in the order in which they act, which is that of transformers:
///   1. `bias` is added to the logits of its tokens;
///   2. logits of tokens in the prompt or the answer are divided by `repetitionPenalty` if
///   positive,
///      multiplied by it if negative;
///   3. `presencePenalty` is subtracted from the logits of tokens in the answer;
///   then greedy takes the largest, and sampling goes on:
///   4. logits are divided by `temperature`;
///   5. the `topK` largest stay;
///   6. of these, in falling order, those stay before which the probabilities sum to less than
///   `topP`;
///   7. of these, those stay whose probability is at least `minP` of the largest;
///   8. one is drawn by its share of the probability that is left.
/// Wherever equal logits compete, the lower id wins.
struct SamplerOptions {
  bool sample = false;          ///< else greedy
  double temperature = 1;       ///< 0 means greedy
  int32_t topK = 0;             ///< 0 means all
  double topP = 1;              ///< 0 to 1
  double minP = 0;              ///< 0 to 1
  double repetitionPenalty = 1; ///< above 0
  double presencePenalty = 0;
  std::vector<std::pair<int32_t, float>> bias = {}; ///< by token id; -infinity forbids one
  uint64_t seed = 0;
};

/// A number in [0, 1) that is a function of the two alone (Philox 4x32, ten rounds).
double uniformAt(uint64_t seed, uint64_t position);

/// Draws tokens. What it draws depends on the options and the arguments of `pick` alone, so neither
/// a batch nor an earlier call can change it. One sampler serves one thread.
class Sampler {
public:
  /// Code::Usage, naming the option, if one is out of range.
  static Result<Sampler> create(SamplerOptions options, int32_t vocabulary);

  /// The token that follows `tokens`, of which the first `promptTokens` are the prompt. `logits`
  /// has one entry per token of the vocabulary; -infinity rules a token out. Code::Internal if a
  /// logit is not a number or +infinity, or no token is left.
  Result<int32_t> pick(std::span<const float> logits, std::span<const int32_t> tokens,
                       size_t promptTokens);

  /// Whether `pickAmong` mostly knows: where it takes no more than the largest logits as the model
  /// gives them. Not so with bias or penalties, which change others too, nor where the share of all
  /// tokens counts (no top-k, but a top-p below 1, or no min-p).
  bool readsLargest() const;
  /// What `pick` does, from the largest logits of each piece of the row, in the order of pieces, as
  /// a step gives them (Step.h). Nothing where these do not tell.
  Result<std::optional<int32_t>> pickAmong(std::span<const moec_largest> pieces,
                                           std::span<const int32_t> tokens);

private:
  struct Candidate {
    float logit;
    int32_t id;
    /// Whether this one is the likelier.
    bool operator<(const Candidate &other) const {
      return logit != other.logit ? logit > other.logit : id < other.id;
    }
  };

  Sampler(SamplerOptions options, int32_t vocabulary)
      : options(std::move(options)), vocabulary(vocabulary) {}

  Status adjust(std::span<const float> logits, std::span<const int32_t> tokens,
                size_t promptTokens);
  int32_t greatest() const;
  bool isGreedy() const { return !options.sample || options.temperature == 0; }
  bool findLargest(std::span<const moec_largest> pieces, size_t most);
  int32_t draw(double uniform);
  int32_t drawCandidate(double uniform);
  double weightOf(const Candidate &candidate) const;
  double totalWeight() const;
  size_t nucleusSize();

  SamplerOptions options;
  int32_t vocabulary;
  float largest = 0;           ///< of the logits after steps 1 to 3
  std::vector<float> adjusted; ///< logits after steps 1 to 3
  std::vector<uint8_t> seen;   ///< scratch, one per token of the vocabulary, all zero between calls
  std::vector<Candidate> candidates; ///< scratch
};

} // namespace moec

#endif // MOEC_RUNTIME_TEXT_SAMPLER_H
