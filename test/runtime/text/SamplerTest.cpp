// Tests of the sampler against independent computations, and of stop ids and strings.

#include "runtime/text/Sampler.h"

#include "runtime/text/Stops.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <map>
#include <numeric>

using namespace moec;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// Logits without ties, of no particular order.
std::vector<float> someLogits(size_t count) {
  std::vector<float> logits(count);
  for (size_t i = 0; i < count; ++i)
    logits[i] = static_cast<float>(4 * std::sin(static_cast<double>(i * i + 1)));
  return logits;
}

int32_t pick(const SamplerOptions &options, const std::vector<float> &logits,
             const std::vector<int32_t> &tokens = {}, size_t promptTokens = 0) {
  Result<Sampler> sampler = Sampler::create(options, static_cast<int32_t>(logits.size()));
  EXPECT_TRUE(sampler.ok()) << sampler.status().message;
  Result<int32_t> token = sampler->pick(logits, tokens, promptTokens);
  EXPECT_TRUE(token.ok()) << token.status().message;
  return token.ok() ? *token : -1;
}

/// The distribution that the options mean, worked out the long way: sort all, cut, renormalise.
std::vector<double> expected(const SamplerOptions &options, const std::vector<float> &logits) {
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  });
  std::vector<double> kept(logits.size(), 0);
  size_t count =
      options.topK ? std::min(order.size(), static_cast<size_t>(options.topK)) : order.size();
  double total = 0;
  for (size_t i = 0; i < count; ++i)
    total += std::exp(logits[order[i]] / options.temperature);
  double before = 0, left = 0;
  double best = std::exp(logits[order[0]] / options.temperature) / total;
  for (size_t i = 0; i < count; ++i) {
    double p = std::exp(logits[order[i]] / options.temperature) / total;
    if ((i == 0 || options.topP == 1 || before < options.topP) && p >= options.minP * best)
      left += kept[order[i]] = p;
    before += p;
  }
  for (double &p : kept)
    p /= left;
  return kept;
}

/// Draws at many positions and compares the shares with `expected`, within five standard
/// deviations.
void checkDistribution(const SamplerOptions &options, const std::vector<float> &logits) {
  constexpr size_t draws = 20'000;
  Result<Sampler> sampler = Sampler::create(options, static_cast<int32_t>(logits.size()));
  ASSERT_TRUE(sampler.ok());
  std::vector<size_t> counts(logits.size());
  std::vector<int32_t> tokens;
  for (size_t i = 0; i < draws; ++i) {
    Result<int32_t> token = sampler->pick(logits, tokens, 0);
    ASSERT_TRUE(token.ok());
    ++counts[static_cast<size_t>(*token)];
    tokens.push_back(0); // without penalties only the number of tokens matters
  }
  std::vector<double> wanted = expected(options, logits);
  for (size_t i = 0; i < logits.size(); ++i) {
    if (wanted[i] == 0) {
      EXPECT_EQ(counts[i], 0u) << "token " << i;
      continue;
    }
    double deviation = std::sqrt(wanted[i] * (1 - wanted[i]) / draws);
    EXPECT_NEAR(static_cast<double>(counts[i]) / draws, wanted[i], 5 * deviation + 1e-9)
        << "token " << i;
  }
}

} // namespace

TEST(Sampler, GreedyTakesTheLargestAndOfEqualsTheLowestId) {
  EXPECT_EQ(pick({}, {0, 3, 1, 3}), 1);
  EXPECT_EQ(pick({}, {-infinity, -5, -infinity}), 1);
  EXPECT_EQ(pick({}, {7}), 0);
}

TEST(Sampler, TemperatureZeroIsGreedy) {
  EXPECT_EQ(pick({.sample = true, .temperature = 0}, {0, 1, 5, 2}), 2);
}

TEST(Sampler, DistributionFollowsTemperature) {
  for (double temperature : {0.5, 1.0, 2.0})
    checkDistribution({.sample = true, .temperature = temperature, .seed = 7}, someLogits(12));
}

TEST(Sampler, DistributionFollowsEachCut) {
  std::vector<float> logits = someLogits(300);
  checkDistribution({.sample = true, .topK = 5, .seed = 1}, logits);
  checkDistribution({.sample = true, .topP = 0.4, .seed = 2}, logits);
  checkDistribution({.sample = true, .minP = 0.7, .seed = 3}, logits);
}

TEST(Sampler, DistributionFollowsAllCutsTogether) {
  checkDistribution(
      {.sample = true, .temperature = 0.8, .topK = 40, .topP = 0.7, .minP = 0.3, .seed = 4},
      someLogits(300));
}

TEST(Sampler, TopPCountsProbabilityLeftByTopK) {
  // Alone, the first has less than half; of the two that top-k leaves it has more.
  std::vector<float> logits = {std::log(0.4f), std::log(0.3f), std::log(0.3f)};
  SamplerOptions options{.sample = true, .topK = 2, .topP = 0.5};
  for (options.seed = 0; options.seed < 50; ++options.seed)
    EXPECT_EQ(pick(options, logits), 0);
  options.topK = 0;
  bool other = false;
  for (options.seed = 0; options.seed < 50; ++options.seed)
    other |= pick(options, logits) != 0;
  EXPECT_TRUE(other);
}

TEST(Sampler, ATinyTopPLeavesTheBest) {
  for (double topP : {0.0, 1e-9})
    for (uint64_t seed = 0; seed < 20; ++seed)
      EXPECT_EQ(pick({.sample = true, .topP = topP, .seed = seed}, {1, 2, 2, 0}), 1);
}

TEST(Sampler, TiesAtTheCutGoToTheLowerId) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    EXPECT_LE(pick({.sample = true, .topK = 3, .seed = seed}, {1, 1, 1, 1, 1, 1}), 2);
    EXPECT_LE(pick({.sample = true, .topP = 0.5, .seed = seed}, {1, 1, 1, 1}), 1);
  }
}

TEST(Sampler, LargeCutsEqualNone) {
  std::vector<float> logits = someLogits(1000);
  for (uint64_t seed = 0; seed < 50; ++seed) {
    int32_t all = pick({.sample = true, .seed = seed}, logits);
    EXPECT_EQ(pick({.sample = true, .topK = 1000, .seed = seed}, logits), all);
    EXPECT_EQ(pick({.sample = true, .topK = 100'000, .seed = seed}, logits), all);
  }
}

TEST(Sampler, RepetitionPenaltyPushesTokensDownOnce) {
  // 4 / 2 < 3, and -1 * 2 < -1.5; a second occurrence changes nothing.
  EXPECT_EQ(pick({.repetitionPenalty = 2}, {4, 3}), 0);
  EXPECT_EQ(pick({.repetitionPenalty = 2}, {4, 3}, {0}, 1), 1);
  EXPECT_EQ(pick({.repetitionPenalty = 2}, {-1, -1.5f}, {0}, 1), 1);
  EXPECT_EQ(pick({.repetitionPenalty = 2}, {8, 3}, {0, 0, 0}, 3), 0);
}

TEST(Sampler, PresencePenaltyCountsTheAnswerOnly) {
  EXPECT_EQ(pick({.presencePenalty = 2}, {4, 3}, {0}, 1), 0);
  EXPECT_EQ(pick({.presencePenalty = 2}, {4, 3}, {1, 0}, 1), 1);
  EXPECT_EQ(pick({.presencePenalty = 2}, {8, 3}, {0, 0, 0}, 0), 0);
}

TEST(Sampler, BiasActsBeforePenalties) {
  // (1 + 5) / 2 < 4; the other order, 1 / 2 + 5, would win.
  EXPECT_EQ(pick({.repetitionPenalty = 2, .bias = {{0, 5.0f}}}, {1, 4}, {0}, 1), 1);
  EXPECT_EQ(pick({.bias = {{0, 5.0f}}}, {1, 4}), 0);
  EXPECT_EQ(pick({.bias = {{1, -infinity}}}, {1, 4, 0}), 0);
}

/// What a step gives of the logits, worked out by sorting each piece.
static std::vector<moec_largest> largestOf(const std::vector<float> &logits) {
  std::vector<moec_largest> pieces;
  for (size_t first = 0; first < logits.size(); first += MOEC_LARGEST_PIECE) {
    std::vector<int32_t> ids(std::min<size_t>(MOEC_LARGEST_PIECE, logits.size() - first));
    std::iota(ids.begin(), ids.end(), static_cast<int32_t>(first));
    auto rank = [&](int32_t id) {
      const float logit = logits[static_cast<size_t>(id)];
      return logit < infinity ? logit : infinity;
    };
    std::sort(ids.begin(), ids.end(),
              [&](int32_t a, int32_t b) { return rank(a) != rank(b) ? rank(a) > rank(b) : a < b; });
    for (size_t i = 0; i < MOEC_LARGEST_COUNT; ++i)
      pieces.push_back(i < ids.size() ? moec_largest{ids[i], logits[static_cast<size_t>(ids[i])]}
                                      : moec_largest{-1, 0});
  }
  return pieces;
}

// Where the largest of pieces tell a token it is that of all logits, and mostly they do.
TEST(Sampler, TheLargestOfPiecesGiveTheSameToken) {
  std::vector<float> logits = someLogits(30'002); // a few behind the last whole piece
  for (size_t i = 400; i < logits.size(); i += 1501)
    logits[i] = 4; // the largest are equal
  const std::vector<moec_largest> pieces = largestOf(logits);
  for (SamplerOptions options : {SamplerOptions{},
                                 {.sample = true, .temperature = 0.6, .topK = 20, .topP = 0.95},
                                 {.sample = true, .topK = 5},
                                 {.sample = true, .topK = 50, .topP = 0.4, .minP = 0.2},
                                 {.sample = true, .temperature = 0.02, .minP = 0.99}}) {
    size_t told = 0;
    for (options.seed = 0; options.seed < 100; ++options.seed) {
      Result<Sampler> sampler = Sampler::create(options, static_cast<int32_t>(logits.size()));
      ASSERT_TRUE(sampler.ok() && sampler->readsLargest());
      Result<std::optional<int32_t>> token = sampler->pickAmong(pieces, {});
      ASSERT_TRUE(token.ok()) << token.status().message;
      if (*token) {
        EXPECT_EQ(**token, pick(options, logits)) << "top-k " << options.topK;
        ++told;
      }
    }
    EXPECT_TRUE(told == 0 || told == 100) << "whether they tell is not up to the seed";
    if (options.topK <= 20 && options.minP == 0)
      EXPECT_EQ(told, 100u) << "top-k " << options.topK;
  }
}

// One piece has more of the largest than it gives.
TEST(Sampler, TheLargestOfPiecesDoNotGuess) {
  std::vector<float> logits(3 * MOEC_LARGEST_PIECE, 0);
  for (size_t i = 0; i < MOEC_LARGEST_COUNT + 1; ++i)
    logits[100 + i] = 5;
  const std::vector<moec_largest> pieces = largestOf(logits);
  for (auto [topK, told] : {std::pair(MOEC_LARGEST_COUNT - 1, true), {MOEC_LARGEST_COUNT, false}}) {
    Result<Sampler> sampler = Sampler::create({.sample = true, .topK = topK}, 1536);
    Result<std::optional<int32_t>> token = sampler->pickAmong(pieces, {});
    ASSERT_TRUE(token.ok());
    EXPECT_EQ(token->has_value(), told) << topK;
  }
}

TEST(Sampler, TheLargestOfPiecesAreNotEnoughForEveryOption) {
  for (const SamplerOptions &options : {SamplerOptions{.repetitionPenalty = 1.1},
                                        {.presencePenalty = 0.1},
                                        {.bias = {{3, 1.0f}}},
                                        {.sample = true},
                                        {.sample = true, .topP = 0.9},
                                        {.sample = true, .topP = 0.9, .minP = 0.1},
                                        {.sample = true, .topK = 1000}}) {
    Result<Sampler> sampler = Sampler::create(options, 600);
    ASSERT_TRUE(sampler.ok());
    EXPECT_FALSE(sampler->readsLargest());
    Result<std::optional<int32_t>> token = sampler->pickAmong(largestOf(someLogits(600)), {});
    EXPECT_TRUE(token.ok() && !*token);
  }
}

TEST(Sampler, TheLargestOfPiecesSayWhatIsNoNumber) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (auto [first, second] : {std::pair(nan, infinity), {infinity, nan}}) {
    std::vector<float> logits = someLogits(2000);
    logits[700] = first, logits[1900] = second;
    Result<Sampler> sampler = Sampler::create({}, 2000);
    Result<int32_t> all = sampler->pick(logits, {}, 0);
    Result<std::optional<int32_t>> few = sampler->pickAmong(largestOf(logits), {});
    ASSERT_TRUE(!all.ok() && !few.ok());
    EXPECT_EQ(few.status().message, all.status().message);
    EXPECT_EQ(few.status().code, all.status().code);
  }
  Result<Sampler> sampler = Sampler::create({}, 600);
  const std::vector<float> none(600, -infinity);
  EXPECT_EQ(sampler->pickAmong(largestOf(none), {}).status().message,
            sampler->pick(none, {}, 0).status().message);
}

TEST(Sampler, EarlierCallsLeaveNothingBehind) {
  SamplerOptions options{
      .sample = true, .topK = 20, .repetitionPenalty = 1.3, .presencePenalty = 0.5, .seed = 9};
  std::vector<float> logits = someLogits(50);
  Result<Sampler> sampler = Sampler::create(options, 50);
  ASSERT_TRUE(sampler.ok());
  std::vector<int32_t> tokens = {3, 4, 5};
  std::vector<int32_t> first;
  for (int round = 0; round < 2; ++round) {
    std::vector<int32_t> answer = tokens;
    for (int i = 0; i < 30; ++i) {
      Result<int32_t> token = sampler->pick(logits, answer, 3);
      ASSERT_TRUE(token.ok());
      EXPECT_EQ(*token, pick(options, logits, answer, 3)); // as a sampler of its own draws
      answer.push_back(*token);
    }
    if (round)
      EXPECT_EQ(answer, first);
    first = answer;
  }
}

TEST(Sampler, SeedsAndPositionsGiveDifferentDraws) {
  std::map<int32_t, int> bySeed, byPosition;
  std::vector<float> flat(64, 0.0f);
  std::vector<int32_t> tokens;
  for (uint64_t i = 0; i < 200; ++i) {
    ++bySeed[pick({.sample = true, .seed = i}, flat)];
    tokens.push_back(0);
    ++byPosition[pick({.sample = true, .seed = 5}, flat, tokens, tokens.size())];
  }
  EXPECT_GT(bySeed.size(), 50u);
  EXPECT_GT(byPosition.size(), 50u);
}

TEST(Sampler, UniformIsPhiloxAndUniform) {
  // Philox 4x32-10 with zero key and counter begins with these two words.
  uint64_t bits = uint64_t{0x6627e8d5} << 32 | 0xe169c58d;
  EXPECT_EQ(uniformAt(0, 0), static_cast<double>(bits >> 11) * 0x1p-53);
  double sum = 0, squares = 0;
  constexpr int count = 100'000;
  for (int i = 0; i < count; ++i) {
    double u = uniformAt(123, static_cast<uint64_t>(i));
    EXPECT_TRUE(u >= 0 && u < 1);
    sum += u;
    squares += u * u;
  }
  EXPECT_NEAR(sum / count, 0.5, 0.005);
  EXPECT_NEAR(squares / count, 1.0 / 3, 0.005);
}

TEST(Sampler, BrokenLogitsAreAnError) {
  Result<Sampler> sampler = Sampler::create({.sample = true}, 3);
  ASSERT_TRUE(sampler.ok());
  float nan = std::numeric_limits<float>::quiet_NaN();
  // The model's numbers are the model's fault; how many there are is ours.
  const std::pair<std::vector<float>, Code> cases[] = {
      {{0, nan, 1}, Code::Model},
      {{0, infinity, 1}, Code::Model},
      {{-infinity, -infinity, -infinity}, Code::Internal},
      {{0, 1}, Code::Internal}};
  for (const auto &[logits, code] : cases) {
    Result<int32_t> token = sampler->pick(logits, {}, 0);
    ASSERT_FALSE(token.ok());
    EXPECT_EQ(token.status().code, code);
  }
  std::vector<float> good = {0, 1, 2};
  EXPECT_TRUE(sampler->pick(good, {}, 0).ok());
}

TEST(Sampler, OptionsOutOfRangeAreNamed) {
  auto message = [](const SamplerOptions &options) {
    Result<Sampler> sampler = Sampler::create(options, 4);
    EXPECT_FALSE(sampler.ok());
    EXPECT_EQ(sampler.status().code, Code::Usage);
    return sampler.status().message;
  };
  EXPECT_EQ(message({.temperature = -1}), "temperature is -1, wanted a number of at least 0");
  EXPECT_EQ(message({.topK = -2}), "top-k is -2, wanted a whole number of at least 0");
  EXPECT_EQ(message({.topP = std::nan("")}), "top-p is nan, wanted a number from 0 to 1");
  EXPECT_EQ(message({.minP = 2}), "min-p is 2, wanted a number from 0 to 1");
  EXPECT_EQ(message({.repetitionPenalty = 0}), "repetition penalty is 0, wanted a number above 0");
  EXPECT_EQ(message({.bias = {{4, 0.0f}}}), "logit bias names token 4, but ids go from 0 to 3");
}

TEST(StopIds, Contain) {
  StopIds stops({9, 2, 5});
  EXPECT_TRUE(stops.contains(2) && stops.contains(5) && stops.contains(9));
  EXPECT_FALSE(stops.contains(3) || StopIds().contains(0));
}

namespace {

/// Feeds the text in pieces of `size` bytes.
std::string shown(const std::vector<std::string> &strings, std::string_view text, size_t size,
                  bool &stopped) {
  StopStrings stops(strings);
  std::string all;
  for (size_t at = 0; at < text.size(); at += size)
    all += stops.feed(text.substr(at, size));
  stopped = stops.stopped();
  return all + stops.finish();
}

} // namespace

TEST(StopStrings, EndTheTextHoweverItIsCut) {
  struct Case {
    std::vector<std::string> strings;
    std::string text, wanted;
    bool stopped;
  };
  for (const Case &one : std::vector<Case>{
           {{"END"}, "one END two", "one ", true},
           {{"END"}, "one EN", "one EN", false},
           {{"aab"}, "aaab", "a", true},        // a false start inside of a match
           {{"abcd", "bc"}, "abcd", "a", true}, // the one that is complete first
           {{"cd", "bcd"}, "abcd", "a", true},  // complete together: the longest
           {{"\n\n", ""}, "a\n\nb", "a", true},
           {{}, "text", "text", false},
           {{"x"}, "", "", false},
           {{"é!"}, "aéé!", "aé", true},
       })
    for (size_t size = 1; size <= one.text.size() + 1; ++size) {
      bool stopped = false;
      EXPECT_EQ(shown(one.strings, one.text, size, stopped), one.wanted) << one.text << size;
      EXPECT_EQ(stopped, one.stopped) << one.text << size;
    }
}

TEST(StopStrings, HoldBackNoMoreThanNeeded) {
  StopStrings stops({"END"});
  EXPECT_EQ(stops.feed("one E"), "one ");
  EXPECT_EQ(stops.feed("N"), "");
  EXPECT_EQ(stops.feed("X"), "ENX");
  EXPECT_EQ(stops.feed("EEND!"), "E");
  EXPECT_TRUE(stops.stopped());
  EXPECT_EQ(stops.feed("more") + stops.finish(), "");
}
