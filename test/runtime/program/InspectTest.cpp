// inspect tells people and programs the same, and bench measures something.

#include "test/runtime/program/RunProgram.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

using namespace moec;

TEST(Inspect, TellsWhatTheManifestSays) {
  Ran ran = runFake({"inspect"});
  ASSERT_EQ(ran.status, 0) << ran.errors;
  for (const char *words :
       {"FakeForCausalLM", "1.20 k in all, 700 active", "layer 1: 5 experts, 2 per token",
        "baseline (none); this CPU has it\n", "better (none); this CPU has it, and it runs\n",
        "future (avx9000 amx_from_the_future); this CPU lacks it\n", "--activations=f32",
        "llvm 22.1.8", "window", "map, 0 bytes"})
    EXPECT_NE(ran.output.find(words), std::string::npos) << words;
}

TEST(Inspect, JsonSaysTheSame) {
  Ran ran = runFake({"inspect", "--json", "--verify"});
  ASSERT_EQ(ran.status, 0) << ran.errors;
  nlohmann::json json = nlohmann::json::parse(ran.output, nullptr, false);
  ASSERT_TRUE(json.is_object()) << ran.output;
  EXPECT_EQ(json["parameters"]["active"], 700);
  EXPECT_EQ(json["moe_layers"][1]["experts"], 7);
  EXPECT_EQ(json["cpu"]["runs"], "better");
  EXPECT_EQ(json["cpu"]["levels"][0]["name"], "baseline");
  EXPECT_EQ(json["cpu"]["levels"][2]["supported"], false);
  EXPECT_EQ(json["verified"], true);
  EXPECT_TRUE(json["numa"]["policy"] == "off" || json["numa"]["policy"] == "split");
  // 64 tokens: 16 blocks that stay, and of the window 10 positions in 3 blocks.
  EXPECT_EQ(json["memory"]["cache_full_context"], (16 + 3) * 32);
}

TEST(Inspect, LicensesOfWhatIsLinked) {
  Ran ran = runFake({"inspect", "--licenses"});
  ASSERT_EQ(ran.status, 0) << ran.errors;
  for (const char *words : {"Apache", "PCRE2", "utf8proc", "fmt", "glibc", "GCC"})
    EXPECT_NE(ran.output.find(words), std::string::npos) << words;
}

TEST(Bench, MeasuresBothKinds) {
  Ran ran = runFake({"bench", "--json", "-p", "20", "-n", "8", "-r", "1", "--threads", "1"});
  ASSERT_EQ(ran.status, 0) << ran.errors;
  nlohmann::json json = nlohmann::json::parse(ran.output, nullptr, false);
  ASSERT_TRUE(json.is_object()) << ran.output;
  EXPECT_GT(json["decode"]["tokens_per_second"], 0);
  EXPECT_GT(json["prefill"]["tokens_per_second"], 0);
  EXPECT_GT(json["read_bytes_per_second"], 0);
  EXPECT_GT(json["arithmetic_operations_per_second"], 0);
  EXPECT_EQ(json["numa"]["policy"], "off"); // one thread is on one node
  EXPECT_EQ(runFake({"bench", "-p", "65", "-n", "0", "-r", "1"}).status, 2);
}

TEST(Bench, TimesEachDepthAndBatch) {
  Ran ran = runFake({"bench", "--json", "-p", "8", "-n", "4", "-d", "0,20", "-b", "1,3", "-r", "2",
                     "--threads", "1"});
  ASSERT_EQ(ran.status, 0) << ran.errors;
  nlohmann::json json = nlohmann::json::parse(ran.output, nullptr, false);
  ASSERT_TRUE(json.is_object()) << ran.output;
  std::vector<std::string> names;
  for (const nlohmann::json &test : json["tests"]) {
    names.push_back(test["test"]);
    EXPECT_EQ(test["samples"].size(), 2u) << test;
    EXPECT_GT(test["tokens_per_second"], 0) << test;
  }
  EXPECT_EQ(names, (std::vector<std::string>{"pp8", "pp8 @ d20", "tg4", "tg4 x3", "tg4 @ d20",
                                             "tg4 x3 @ d20"}));
  EXPECT_EQ(json["tests"][5]["depth"], 20);
  EXPECT_EQ(json["tests"][5]["batch"], 3);
  EXPECT_EQ(json["tests"][5]["tokens"], 4);
  // What is held never exceeds what this process may hold, and the text says it too.
  EXPECT_GT(json["peak_bytes"], 1 << 20);
  EXPECT_LT(json["peak_bytes"], 256 << 20); // the 512 MB that measure the bandwidth come later
  EXPECT_NE(runFake({"bench", "-p", "0", "-n", "2", "-r", "1"}).output.find("peak memory"),
            std::string::npos);
  EXPECT_EQ(runFake({"bench", "-n", "4", "-d", "20,61", "-r", "1"}).status, 2);
}
