// eval writes what was asked for, the same bytes however it is run, and refuses bad input by exit
// status.

#include "runtime/core/Safetensors.h"
#include "test/runtime/FakeProgram.h"
#include "test/runtime/program/RunProgram.h"

#include <gtest/gtest.h>

#include <cstring>

using namespace moec;

namespace {

std::span<const uint8_t> bytesOf(const std::vector<int64_t> &values) {
  return {reinterpret_cast<const uint8_t *>(values.data()), values.size() * 8};
}

class Eval : public testing::Test {
protected:
  void SetUp() override { folder = temporaryFolder(); }

  void writeInput(const std::vector<std::pair<std::string, std::vector<int64_t>>> &sequences) {
    std::vector<SafetensorsOutput> tensors;
    for (const auto &[name, ids] : sequences)
      tensors.push_back({name, DataType::I64, {static_cast<int64_t>(ids.size())}, bytesOf(ids)});
    Status status = writeSafetensors(folder + "/in.safetensors", tensors);
    ASSERT_TRUE(status.ok()) << status.message;
  }

  Ran eval(std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"eval", "--input", folder + "/in.safetensors", "--output",
                               folder + "/out.safetensors"});
    return runFake(more);
  }

  /// The names and bytes of the output's tensors.
  std::vector<std::pair<std::string, std::string>> outputs() {
    std::string text = readAll(folder + "/out.safetensors");
    std::span<const uint8_t> bytes{reinterpret_cast<const uint8_t *>(text.data()), text.size()};
    Result<SafetensorsHeader> header = SafetensorsHeader::parse(bytes, text.size(), "out");
    EXPECT_TRUE(header.ok()) << header.status().message;
    std::vector<std::pair<std::string, std::string>> found;
    for (const SafetensorsTensor &tensor : header->tensors())
      found.emplace_back(tensor.name,
                         text.substr(header->dataStart() + tensor.begin, tensor.bytes()));
    return found;
  }

  std::string folder;
};

std::vector<int64_t> ids(int64_t count, int64_t seed) {
  std::vector<int64_t> numbers;
  for (int64_t i = 0; i < count; ++i)
    numbers.push_back((i * 5 + i * i * seed) % fakeVocabulary);
  return numbers;
}

TEST_F(Eval, WritesLogitsRoutingAndGreedyTokens) {
  writeInput({{"a.input_ids", ids(9, 1)}, {"a.other", {1}}, {"b.input_ids", ids(20, 2)}});
  Ran ran = eval({"--routing", "--greedy", "5"});
  ASSERT_EQ(ran.status, 0) << ran.errors;
  EXPECT_EQ(ran.output + ran.errors, "");
  std::vector<std::string> names;
  for (const auto &[name, bytes] : outputs())
    names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"a.greedy_ids", "a.logits", "a.router.1.experts",
                                             "a.router.1.weights", "a.router.3.experts",
                                             "a.router.3.weights", "b.greedy_ids", "b.logits",
                                             "b.router.1.experts", "b.router.1.weights",
                                             "b.router.3.experts", "b.router.3.weights"}));
  std::vector<int32_t> tokens;
  for (int64_t id : ids(9, 1))
    tokens.push_back(static_cast<int32_t>(id));
  std::vector<float> last = fakeLogits(tokens);
  std::string logits = outputs()[1].second;
  ASSERT_EQ(logits.size(), 9 * fakeVocabulary * sizeof(float));
  EXPECT_EQ(memcmp(logits.data() + 8 * fakeVocabulary * sizeof(float), last.data(),
                   last.size() * sizeof(float)),
            0);
  std::string greedy = outputs()[0].second;
  ASSERT_EQ(greedy.size(), 5 * sizeof(int64_t));
  for (int i = 0; i < 5; ++i) {
    std::vector<float> row = fakeLogits(tokens);
    int64_t id;
    memcpy(&id, greedy.data() + 8 * i, 8);
    EXPECT_EQ(id, std::max_element(row.begin(), row.end()) - row.begin());
    tokens.push_back(static_cast<int32_t>(id));
  }
  EXPECT_EQ(outputs()[2].second.size(), 9 * 2 * sizeof(int64_t));
  EXPECT_EQ(outputs()[4].second.size(), 9 * 1 * sizeof(int64_t));
}

TEST_F(Eval, SameBytesHoweverItRuns) {
  writeInput({{"x.input_ids", ids(40, 3)}, {"y.input_ids", ids(7, 4)}, {"z.input_ids", {3}}});
  ASSERT_EQ(eval({"--routing", "--greedy", "9"}).status, 0);
  std::string first = readAll(folder + "/out.safetensors");
  std::vector<std::vector<std::string>> ways = {{"--batch"},
                                                {"--chunk", "1"},
                                                {"--chunk", "5", "--threads", "1"},
                                                {"--batch", "--chunk", "3", "--threads", "3"}};
  for (std::vector<std::string> way : ways) {
    way.insert(way.end(), {"--routing", "--greedy", "9"});
    Ran ran = eval(way);
    ASSERT_EQ(ran.status, 0) << ran.errors;
    EXPECT_EQ(readAll(folder + "/out.safetensors") == first, true) << way[0];
  }
}

TEST_F(Eval, BadInputIsAUsageErrorThatNamesTheTensor) {
  writeInput({{"a.input_ids", {1, 11}}});
  Ran ran = eval();
  EXPECT_EQ(ran.status, 2);
  EXPECT_NE(ran.errors.find("'a.input_ids' holds token id 11, the vocabulary has 11"),
            std::string::npos)
      << ran.errors;
  writeInput({{"a.input_ids", {-1}}});
  EXPECT_EQ(eval().status, 2);
  writeInput({{"a.input_ids", ids(65, 1)}});
  EXPECT_EQ(eval().status, 2);
  writeInput({{"a.input_ids", ids(60, 1)}});
  EXPECT_EQ(eval({"--greedy", "5"}).status, 0);
  EXPECT_EQ(eval({"--greedy", "6"}).status, 2);
  writeInput({{"a.input_ids", {}}});
  EXPECT_EQ(eval().status, 2);
  writeInput({{"a.ids", {1}}});
  EXPECT_EQ(eval().status, 2);
}

TEST_F(Eval, BadOptionsAreUsageErrors) {
  writeInput({{"a.input_ids", {1}}});
  EXPECT_EQ(eval({"--chunk", "0"}).status, 2);
  EXPECT_EQ(eval({"--greedy", "x"}).status, 2);
  EXPECT_EQ(eval({"--threads", "0"}).status, 2);
  EXPECT_EQ(eval({"--frobnicate"}).status, 2);
  EXPECT_EQ(runFake({"eval"}).status, 2);
  Ran ran = runFake({"eval", "--input", folder + "/in.safetensors", "--output",
                     folder + "/none/out.safetensors"});
  EXPECT_EQ(ran.status, 2) << ran.errors;
}

TEST_F(Eval, UnreadableInputIsAUsageError) {
  EXPECT_EQ(eval().status, 2);
  writeAll(folder + "/in.safetensors", "not a header at all");
  EXPECT_EQ(eval().status, 2);
}

} // namespace
