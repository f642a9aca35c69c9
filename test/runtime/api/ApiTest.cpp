// The C interface over the toy model: the same numbers as inside, and a status for every mistake.

#include "runtime/include/moec/moec.h"

#include "test/runtime/FakeProgram.h"

#include <gtest/gtest.h>

using namespace moec;

namespace {

class Api : public testing::Test {
protected:
  void SetUp() override {
    ASSERT_EQ(moec_model_open(nullptr, &model), MOEC_OK) << moec_error_message();
    ASSERT_EQ(moec_sequence_open(model, &sequence), MOEC_OK);
  }
  void TearDown() override {
    moec_sequence_close(sequence);
    moec_model_close(model);
  }
  moec_model *model = nullptr;
  moec_sequence *sequence = nullptr;
};

TEST_F(Api, StepsGiveTheLastTokensLogits) {
  std::vector<int32_t> tokens = {1, 2, 3, 4, 5};
  std::vector<float> logits(moec_model_vocabulary(model));
  ASSERT_EQ(moec_sequence_step(sequence, tokens.data(), 2, nullptr), MOEC_OK);
  ASSERT_EQ(moec_sequence_step(sequence, tokens.data() + 2, 3, logits.data()), MOEC_OK);
  EXPECT_EQ(logits, fakeLogits(tokens));
  EXPECT_EQ(moec_sequence_position(sequence), 5);
}

TEST_F(Api, SeveralSequencesStepTogether) {
  moec_sequence *other = nullptr;
  ASSERT_EQ(moec_sequence_open(model, &other), MOEC_OK);
  std::vector<int32_t> first = {7, 8}, second = {9, 1, 2};
  std::vector<float> one(fakeVocabulary), two(fakeVocabulary);
  moec_step_part parts[] = {{sequence, first.data(), 2, one.data()},
                            {other, second.data(), 3, two.data()}};
  ASSERT_EQ(moec_model_step(model, parts, 2), MOEC_OK);
  EXPECT_EQ(one, fakeLogits(first));
  EXPECT_EQ(two, fakeLogits(second));
  parts[1].sequence = sequence;
  EXPECT_EQ(moec_model_step(model, parts, 2), MOEC_USAGE);
  moec_sequence_close(other);
  parts[1].sequence = nullptr;
  EXPECT_EQ(moec_model_step(model, parts, SIZE_MAX), MOEC_USAGE);
  EXPECT_EQ(moec_model_step(model, parts, 1), MOEC_OK);
}

TEST_F(Api, MistakesLeaveTheSequenceAsItWas) {
  int32_t good[] = {1, 2, 3}, bad[] = {4, 11};
  ASSERT_EQ(moec_sequence_step(sequence, good, 3, nullptr), MOEC_OK);
  EXPECT_EQ(moec_sequence_step(sequence, bad, 2, nullptr), MOEC_USAGE);
  EXPECT_STREQ(moec_error_message(), "token id 11 is outside the vocabulary of 11");
  EXPECT_EQ(moec_sequence_step(sequence, good, 0, nullptr), MOEC_USAGE);
  std::vector<int32_t> many(62, 1);
  EXPECT_EQ(moec_sequence_step(sequence, many.data(), many.size(), nullptr), MOEC_USAGE);
  EXPECT_EQ(moec_sequence_position(sequence), 3);
  EXPECT_EQ(moec_sequence_rewind(sequence, 4), MOEC_USAGE);
  EXPECT_EQ(moec_sequence_rewind(sequence, -1), MOEC_USAGE);
  EXPECT_EQ(moec_sequence_position(sequence), 3);
  EXPECT_EQ(moec_sequence_rewind(sequence, 1), MOEC_OK);
  EXPECT_EQ(moec_sequence_position(sequence), 1);
}

TEST_F(Api, TextNeedsATokenizer) {
  size_t count = 1;
  EXPECT_EQ(moec_model_tokenize(model, "a", 1, 1, nullptr, 0, &count), MOEC_BAD_MODEL);
  EXPECT_EQ(count, 0u);
  int32_t token = 1;
  EXPECT_EQ(moec_model_detokenize(model, &token, 1, nullptr, 0, &count), MOEC_BAD_MODEL);
  size_t size = 0;
  EXPECT_NE(std::string(moec_model_manifest(model, &size)).find("FakeForCausalLM"),
            std::string::npos);
}

TEST(ApiOpen, OptionsAreChecked) {
  moec_model_options options = {};
  options.context = 65;
  moec_model *model = nullptr;
  EXPECT_EQ(moec_model_open(&options, &model), MOEC_USAGE);
  EXPECT_EQ(model, nullptr);
  options.context = 5;
  options.numa = MOEC_NUMA_OFF + 1;
  EXPECT_EQ(moec_model_open(&options, &model), MOEC_USAGE);
  EXPECT_EQ(std::string(moec_error_message()), "numa is 4, wanted one of moec_numa, 0 to 3");
  options.numa = MOEC_NUMA_INTERLEAVE;
  ASSERT_EQ(moec_model_open(&options, &model), MOEC_OK);
  EXPECT_EQ(moec_model_context(model), 5);
  moec_model_close(model);
  moec_model_close(nullptr);
  moec_sequence_close(nullptr);
}

} // namespace
