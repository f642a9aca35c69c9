// What is said of the files that a program's text follows from.

#include "frontends/checkpoint/TextData.h"
#include "test/ScratchFolder.h"

#include <gtest/gtest.h>

using namespace moec;

/// The notices on a model of 100 tokens with such a config.json and generation_config.json.
static std::vector<std::string> notices(const std::string &config, const std::string &generation) {
  ScratchFolder folder;
  folder.write("config.json", config);
  if (!generation.empty())
    folder.write("generation_config.json", generation);
  writeTensors(folder.path("model.safetensors"),
               {{"w", DataType::F32, {1}, std::vector<uint8_t>(4)}});
  Result<Checkpoint> checkpoint = Checkpoint::open(folder.path());
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status().message;
  Result<TextData> text = compileText(*checkpoint, 100);
  EXPECT_TRUE(text.ok()) << text.status().message;
  return text.ok() ? text->notices : std::vector<std::string>();
}

TEST(TextData, EndsOfTextThatAreNoTokensAreToldOf) {
  using Lines = std::vector<std::string>;
  const std::string ending = ", which no answer will end with: the vocabulary has 100 tokens "
                             "(`vocab_size`)";
  EXPECT_EQ(notices(R"({"eos_token_id":99})", ""), Lines());
  EXPECT_EQ(notices(R"({"eos_token_id":100})", ""),
            Lines{"config.json: `eos_token_id` has 100" + ending});
  EXPECT_EQ(notices(R"({"eos_token_id":100})", R"({"eos_token_id":[3,200]})"),
            Lines{"generation_config.json: `eos_token_id` has 200" + ending})
      << "that of the file that counts";
}
