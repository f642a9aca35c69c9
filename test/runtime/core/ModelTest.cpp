// Feeding sequences gives the same results however it is cut, and leaves no trace when it fails.

#include "runtime/core/Model.h"

#include "runtime/cpu/Resources.h"
#include "test/ScratchFolder.h"
#include "test/runtime/FakeProgram.h"

#include <gtest/gtest.h>

using namespace moec;

namespace {

class FeedTest : public testing::TestWithParam<int64_t> {
protected:
  void SetUp() override {
    Result<std::unique_ptr<Model>> opened = Model::open({.threads = GetParam()});
    ASSERT_TRUE(opened.ok()) << opened.status().message;
    model = std::move(*opened);
    takeFakeFaults();
    takeFakeSteps();
  }
  void TearDown() override {
    for (const std::string &fault : takeFakeFaults())
      ADD_FAILURE() << fault;
  }
  std::unique_ptr<Model> model;
};

std::vector<int32_t> someTokens(int64_t count, int64_t seed) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i)
    tokens.push_back(static_cast<int32_t>((i * i * 7 + i * seed + seed) % fakeVocabulary));
  return tokens;
}

/// The logits of every prefix of `tokens`, one after another.
std::vector<float> allLogits(const std::vector<int32_t> &tokens) {
  std::vector<float> logits;
  for (size_t end = 1; end <= tokens.size(); ++end)
    for (float value : fakeLogits({tokens.begin(), tokens.begin() + end}))
      logits.push_back(value);
  return logits;
}

TEST_P(FeedTest, ChunksDoNotChangeLogits) {
  std::vector<int32_t> tokens = someTokens(37, 3);
  for (int64_t chunk : {0, 1, 3, 5, 8, 100}) {
    Sequence sequence(*model);
    std::vector<float> logits(tokens.size() * fakeVocabulary);
    Feed feed{.sequence = &sequence, .tokens = tokens, .outputs = 37, .logits = logits.data()};
    ASSERT_TRUE(model->feed({&feed, 1}, {.chunk = chunk}).ok());
    EXPECT_EQ(logits, allLogits(tokens)) << "chunk " << chunk;
  }
}

TEST_P(FeedTest, NeighboursDoNotChangeLogits) {
  std::vector<std::vector<int32_t>> prompts = {someTokens(23, 1), someTokens(5, 2),
                                               someTokens(40, 4)};
  for (int64_t chunk : {0, 1, 4}) {
    std::vector<Sequence> sequences;
    sequences.reserve(3);
    std::vector<std::vector<float>> logits(3);
    std::vector<Feed> feeds;
    for (size_t i = 0; i < 3; ++i) {
      sequences.emplace_back(*model);
      logits[i].resize(prompts[i].size() * fakeVocabulary);
      feeds.push_back({.sequence = &sequences[i],
                       .tokens = prompts[i],
                       .outputs = static_cast<int64_t>(prompts[i].size()),
                       .logits = logits[i].data()});
    }
    ASSERT_TRUE(model->feed(feeds, {.chunk = chunk}).ok());
    for (size_t i = 0; i < 3; ++i)
      EXPECT_EQ(logits[i], allLogits(prompts[i])) << "chunk " << chunk << " sequence " << i;
  }
}

TEST_P(FeedTest, OnlyTheLastOutputsAreWritten) {
  std::vector<int32_t> tokens = someTokens(19, 5);
  Sequence sequence(*model);
  std::vector<float> logits(3 * fakeVocabulary + 1, -1.0f);
  Feed feed{.sequence = &sequence, .tokens = tokens, .outputs = 3, .logits = logits.data()};
  ASSERT_TRUE(model->feed({&feed, 1}, {.chunk = 2}).ok());
  std::vector<float> all = allLogits(tokens), wanted(all.end() - 3 * fakeVocabulary, all.end());
  wanted.push_back(-1.0f);
  EXPECT_EQ(logits, wanted);
}

TEST_P(FeedTest, RoutingComesLayerByLayer) {
  std::vector<int32_t> tokens = someTokens(21, 6);
  Sequence sequence(*model);
  std::vector<int32_t> experts(2 * tokens.size() * fakeMostPicked);
  std::vector<float> weights(experts.size());
  Feed feed{.sequence = &sequence,
            .tokens = tokens,
            .experts = experts.data(),
            .expertWeights = weights.data()};
  ASSERT_TRUE(model->feed({&feed, 1}).ok());
  for (size_t t = 0; t < tokens.size(); ++t) {
    std::vector<int32_t> wanted = fakeExperts({tokens.begin(), tokens.begin() + t + 1});
    EXPECT_EQ(experts[t * fakeMostPicked], wanted[0]);
    EXPECT_EQ(experts[t * fakeMostPicked + 1], wanted[1]);
    EXPECT_EQ(experts[(tokens.size() + t) * fakeMostPicked], wanted[2]);
  }
}

TEST_P(FeedTest, StepsAreAsFewAsFit) {
  std::vector<int32_t> tokens = someTokens(17, 7);
  Sequence sequence(*model);
  Feed feed{.sequence = &sequence, .tokens = tokens};
  ASSERT_TRUE(model->feed({&feed, 1}).ok());
  EXPECT_EQ(takeFakeSteps(), 3);
}

TEST_P(FeedTest, BlocksOutsideTheWindowAreFreedAndComeBackClean) {
  std::vector<int32_t> tokens = someTokens(60, 8);
  for (int round = 0; round < 3; ++round) {
    Sequence sequence(*model);
    std::vector<float> logits(fakeVocabulary);
    Feed feed{.sequence = &sequence, .tokens = tokens, .outputs = 1, .logits = logits.data()};
    ASSERT_TRUE(model->feed({&feed, 1}).ok());
    EXPECT_EQ(logits, fakeLogits(tokens));
    // 15 blocks that live for ever; position 60 sees 55 to 60: blocks 13 and 14.
    EXPECT_EQ(model->cacheBytes(), (15 + 2) * 32);
  }
  EXPECT_EQ(model->cacheBytes(), 0);
}

TEST_P(FeedTest, RewoundTokensAreForgotten) {
  std::vector<int32_t> tokens = someTokens(10, 9), other = someTokens(7, 10);
  Sequence sequence(*model);
  Feed feed{.sequence = &sequence, .tokens = tokens};
  ASSERT_TRUE(model->feed({&feed, 1}).ok());
  ASSERT_TRUE(sequence.rewind(9)); // sees 4 to 9, as it did
  std::vector<float> logits(fakeVocabulary);
  feed = {.sequence = &sequence, .tokens = other, .outputs = 1, .logits = logits.data()};
  ASSERT_TRUE(model->feed({&feed, 1}).ok());
  std::vector<int32_t> joined(tokens.begin(), tokens.begin() + 9);
  joined.insert(joined.end(), other.begin(), other.end());
  EXPECT_EQ(logits, fakeLogits(joined));
  EXPECT_FALSE(sequence.rewind(2)) << "its window was given back";
  EXPECT_EQ(sequence.position(), 0);
}

TEST_P(FeedTest, FailedFeedLeavesSequencesAsTheyWere) {
  std::vector<int32_t> tokens = someTokens(30, 11), more = someTokens(20, 12);
  Sequence sequence(*model);
  Feed feed{.sequence = &sequence, .tokens = tokens};
  ASSERT_TRUE(model->feed({&feed, 1}).ok());
  static int asked;
  asked = 0;
  feed.tokens = more;
  Status status = model->feed({&feed, 1}, {.stop = [] { return ++asked == 3; }});
  EXPECT_EQ(status.code, Code::Interrupted);
  EXPECT_EQ(sequence.position(), 30);
  std::vector<float> logits(fakeVocabulary);
  feed.tokens = more;
  feed.outputs = 1;
  feed.logits = logits.data();
  ASSERT_TRUE(model->feed({&feed, 1}).ok());
  std::vector<int32_t> joined = tokens;
  joined.insert(joined.end(), more.begin(), more.end());
  EXPECT_EQ(logits, fakeLogits(joined));
}

TEST_P(FeedTest, FailedFeedGivesItsBlocksBack) {
  std::vector<int32_t> tokens = someTokens(30, 11), more = someTokens(20, 12);
  Sequence sequence(*model), fresh(*model);
  Feed first{.sequence = &sequence, .tokens = tokens};
  ASSERT_TRUE(model->feed({&first, 1}).ok());
  int64_t before = model->cacheBytes();
  // Stopped before its first step, and after a few.
  for (int stopAt : {1, 3}) {
    static int left;
    left = stopAt;
    Feed feeds[] = {{.sequence = &sequence, .tokens = more},
                    {.sequence = &fresh, .tokens = tokens}};
    EXPECT_EQ(model->feed(feeds, {.stop = [] { return --left == 0; }}).code, Code::Interrupted);
    EXPECT_EQ(model->cacheBytes(), before) << "stopped at step " << stopAt;
  }
}

TEST_P(FeedTest, RefusesWhatDoesNotFit) {
  Sequence sequence(*model);
  auto feedTokens = [&](std::vector<int32_t> tokens) {
    Feed feed{.sequence = &sequence, .tokens = tokens};
    return model->feed({&feed, 1});
  };
  EXPECT_EQ(feedTokens({}).code, Code::Usage);
  EXPECT_EQ(feedTokens({0, 11}).message, "token id 11 is outside the vocabulary of 11");
  EXPECT_EQ(feedTokens({-1}).code, Code::Usage);
  EXPECT_EQ(feedTokens(someTokens(65, 1)).message,
            "65 tokens do not fit the context of 64 positions");
  EXPECT_TRUE(feedTokens(someTokens(64, 1)).ok());
  EXPECT_EQ(feedTokens({1}).code, Code::Usage);
}

INSTANTIATE_TEST_SUITE_P(Threads, FeedTest, testing::Values(1, 2, 3));

TEST(Model, RefusesMoreContextThanThereIs) {
  EXPECT_EQ(Model::open({.context = 65}).status().code, Code::Usage);
}

TEST(Model, ResultsDoNotDependOnNodes) {
  ScratchFolder root;
  root.write("sys/devices/system/node/online", "0-1\n");
  root.write("sys/devices/system/node/has_memory", "0-1\n");
  std::vector<int> cpus = allowedProcessors();
  if (cpus.size() < 2)
    GTEST_SKIP() << "needs two CPUs";
  for (int node : {0, 1})
    root.write("sys/devices/system/node/node" + std::to_string(node) + "/cpulist",
               std::to_string(cpus[node]) + "\n");
  std::vector<int32_t> tokens = someTokens(37, 3);
  for (NumaPolicy policy : {NumaPolicy::Default, NumaPolicy::Interleave, NumaPolicy::Off})
    for (int64_t threads : {2, 5}) {
      // The system may not have the second node; that is no failure.
      Result<std::unique_ptr<Model>> model =
          Model::open({.threads = threads, .numa = policy, .root = root.path()});
      ASSERT_TRUE(model.ok()) << model.status().message;
      EXPECT_EQ((*model)->nodes().policy,
                policy == NumaPolicy::Default ? NumaPolicy::Split : policy);
      EXPECT_EQ((*model)->nodes().split.threads.size(), policy == NumaPolicy::Default ? 2u : 0u);
      Sequence sequence(**model);
      std::vector<float> logits(tokens.size() * fakeVocabulary);
      Feed feed{.sequence = &sequence, .tokens = tokens, .outputs = 37, .logits = logits.data()};
      ASSERT_TRUE((*model)->feed({&feed, 1}).ok());
      EXPECT_EQ(logits, allLogits(tokens)) << numaPolicyName(policy) << ", " << threads;
    }
  EXPECT_EQ(allowedProcessors(), cpus); // the caller was not bound
}

/// The level that a step runs, of a model opened with `MOEC_CPU=wanted`; or what is wrong.
std::string levelFor(const char *wanted) {
  setenv("MOEC_CPU", wanted, 1);
  Result<std::unique_ptr<Model>> model = Model::open({.threads = 1});
  unsetenv("MOEC_CPU");
  if (!model.ok())
    return std::to_string(static_cast<int>(model.status().code)) + ": " + model.status().message;
  Sequence sequence(**model);
  std::vector<int32_t> tokens = someTokens(3, 1);
  Feed feed{.sequence = &sequence, .tokens = tokens};
  EXPECT_TRUE((*model)->feed({&feed, 1}).ok());
  std::string level = takeFakeLevel();
  EXPECT_EQ((*model)->level(), level);
  return level;
}

TEST(Model, RunsTheBestLevelOfThisCpuOrALowerOneThatIsAskedFor) {
  EXPECT_EQ(levelFor(""), "better");
  EXPECT_EQ(levelFor("better"), "better");
  EXPECT_EQ(levelFor("baseline"), "baseline");
  EXPECT_EQ(levelFor("future"),
            "5: MOEC_CPU asks for 'future', and this CPU lacks what that needs: "
            "avx9000, amx_from_the_future");
  EXPECT_EQ(levelFor("avx2"), "2: MOEC_CPU asks for 'avx2', and this program was compiled for: "
                              "baseline, better, future");
}

TEST(Model, RefusesACpuThatHasNoneOfItsLevels) {
  Manifest manifest;
  manifest.cpuLevels = {{"low", {"avx9000"}}, {"high", {"avx9000", "avx9001"}}};
  Status status = chooseCpuLevel(manifest).status();
  EXPECT_EQ(status.code, Code::Mismatch);
  EXPECT_EQ(status.message, "this CPU lacks what the program was compiled for: avx9000; compile "
                            "again with --cpu=native on this machine");
}

} // namespace
