// perplexity: the same figures however it runs, files that are written and read, and what is
// refused.

#include "runtime/core/Safetensors.h"
#include "test/runtime/program/RunProgram.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstring>
#include <filesystem>

using namespace moec;

namespace {

class Perplexity : public testing::Test {
protected:
  void SetUp() override {
    folder = temporaryFolder();
    std::string text;
    for (int i = 0; i < 300; ++i)
      text += "hello " + std::to_string(i * i) + "\n";
    writeAll(folder + "/text", text);
  }

  Ran score(std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"perplexity", "--text", folder + "/text"});
    return runFakeText(more);
  }

  nlohmann::json scored(std::vector<std::string> more = {}) {
    more.push_back("--json");
    Ran ran = score(more);
    EXPECT_EQ(ran.status, 0) << ran.errors;
    return nlohmann::json::parse(ran.output, nullptr, false);
  }

  /// Saves logits, with windows of 64, and gives the file's name.
  std::string save(const std::vector<std::string> &more = {}) {
    std::string path = folder + "/saved";
    std::vector<std::string> all = {"--window", "64", "--save", path};
    all.insert(all.end(), more.begin(), more.end());
    Ran ran = score(all);
    EXPECT_EQ(ran.status, 0) << ran.errors;
    return path;
  }

  void expectRefused(const std::vector<std::string> &more, int status, const std::string &words) {
    Ran ran = score(more);
    EXPECT_EQ(ran.status, status) << ran.errors;
    EXPECT_EQ(ran.output, "");
    EXPECT_NE(ran.errors.find(words), std::string::npos) << ran.errors;
  }

  std::string folder;
};

/// Sets a byte of the data of a tensor.
void damage(const std::string &path, const std::string &tensor, int64_t at, char value) {
  std::string text = readAll(path);
  std::span<const uint8_t> bytes{reinterpret_cast<const uint8_t *>(text.data()), text.size()};
  Result<SafetensorsHeader> header = SafetensorsHeader::parse(bytes, text.size(), "saved");
  ASSERT_TRUE(header.ok()) << header.status().message;
  text[header->dataStart() + header->find(tensor)->begin + at] = value;
  writeAll(path, text);
}

TEST_F(Perplexity, CountsWindowsAndTokens) {
  nlohmann::json json = scored();
  EXPECT_EQ(json["window"], 256) << "the context, which is shorter than 512";
  EXPECT_EQ(json["tokens_scored"], json["windows"].get<int>() * 127);
  json = scored({"--window", "65"});
  EXPECT_EQ(json["tokens_scored"], json["windows"].get<int>() * 32);
  EXPECT_EQ(scored({"--context", "100"})["window"], 100);
  Ran ran = score();
  EXPECT_NE(ran.output.find("perplexity"), std::string::npos);
  EXPECT_EQ(ran.output.find("KL"), std::string::npos);
}

TEST_F(Perplexity, SameBytesHoweverItRuns) {
  std::string first = readAll(save({"--json"})),
              figures = score({"--window", "64", "--json"}).output;
  for (const char *threads : {"1", "3"}) {
    EXPECT_EQ(readAll(save({"--threads", threads})) == first, true) << threads;
    EXPECT_EQ(score({"--window", "64", "--json", "--threads", threads}).output, figures);
  }
}

TEST_F(Perplexity, AgainstItselfNothingDiverges) {
  nlohmann::json json = scored({"--against", save()});
  EXPECT_EQ(json["window"], 64) << "as in the file";
  json = json["against"];
  EXPECT_EQ(json["perplexity_ratio"], 1);
  EXPECT_EQ(json["perplexity_ratio_error"], 0);
  EXPECT_EQ(json["same_top"], 1);
  EXPECT_LT(json["kl_divergence_max"], 1e-6);
  std::string again = folder + "/again";
  Ran ran = score({"--against", folder + "/saved", "--save", again});
  EXPECT_EQ(ran.status, 0) << ran.errors;
  EXPECT_NE(ran.output.find("KL divergence"), std::string::npos);
  EXPECT_EQ(readAll(again) == readAll(folder + "/saved"), true);
}

TEST_F(Perplexity, BadTextsAreUsageErrors) {
  expectRefused({"--window", "4"}, 2, "at least 5");
  expectRefused({"--window", "257"}, 2, "context of 256");
  writeAll(folder + "/text", "ab\xff");
  expectRefused({}, 2, "0xFF at offset 2");
  writeAll(folder + "/text", "hello");
  expectRefused({}, 2, "wanted at least the 256 of one window");
  std::filesystem::remove(folder + "/text");
  expectRefused({}, 2, folder + "/text");
  EXPECT_EQ(runFakeText({"perplexity"}).status, 2);
  Ran ran = runFake({"perplexity", "--text", folder + "/text"});
  EXPECT_EQ(ran.status, 3) << "no tokenizer";
  EXPECT_NE(ran.errors.find("tokenizer.json"), std::string::npos) << ran.errors;
}

TEST_F(Perplexity, FilesOfAnotherTextOrVocabularyAreRefused) {
  std::string saved = save();
  expectRefused({"--against", saved, "--window", "32"}, 2, "windows of 64 tokens, wanted 32");
  std::string text = readAll(folder + "/text");
  writeAll(folder + "/text", "x" + text);
  expectRefused({"--against", saved}, 2, "another text or by another tokenizer");
  writeAll(folder + "/text", text + text);
  expectRefused({"--against", saved}, 2, "another text: of");
  std::vector<uint8_t> bytes(2 * 2 * 9 * 2);
  ASSERT_TRUE(
      writeSafetensors(saved, {{"logits", DataType::F16, {2, 2, 9}, bytes},
                               {"losses", DataType::F64, {2, 2}, std::span(bytes).first(32)},
                               {"tokens", DataType::I32, {2, 5}, std::span(bytes).first(40)}})
          .ok());
  expectRefused({"--against", saved}, 2, "a vocabulary of 9 tokens, this program's has 327");
}

TEST_F(Perplexity, DamagedFilesAreUsageErrors) {
  std::string saved = save(), whole = readAll(saved);
  damage(saved, "logits", 327 * 2 + 1, 0x3c); // above the largest
  expectRefused({"--against", saved}, 2, "damaged: row 1");
  writeAll(saved, whole);
  damage(saved, "losses", 7, static_cast<char>(0xbf)); // negative
  expectRefused({"--against", saved}, 2, "damaged: a loss");
  writeAll(saved, whole.substr(0, whole.size() - 1));
  expectRefused({"--against", saved}, 2, "cut short");
  std::vector<uint8_t> bytes(40);
  for (std::vector<SafetensorsOutput> tensors :
       {std::vector<SafetensorsOutput>{{"logits", DataType::F32, {1, 2, 5}, bytes}},
        {{"logits", DataType::F16, {1, 2, 10}, bytes},
         {"losses", DataType::F64, {1, 5}, bytes},
         {"tokens", DataType::I32, {2, 5}, bytes}}}) {
    ASSERT_TRUE(writeSafetensors(saved, tensors).ok());
    expectRefused({"--against", saved}, 2,
                  tensors.size() == 1 ? "--save writes" : "do not go with");
  }
}

TEST_F(Perplexity, SavingNeverReplacesWhatIsRead) {
  std::string saved = save(), text = readAll(folder + "/text");
  expectRefused({"--save", folder + "/text"}, 2, "still needed");
  expectRefused({"--against", saved, "--save", saved}, 2, "still needed");
  expectRefused({"--save", folder + "/none/saved"}, 2, folder + "/none/saved");
  EXPECT_EQ(readAll(folder + "/text"), text);
}

} // namespace
