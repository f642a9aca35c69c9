// The first argument may be a command; options are checked before anything is opened.

#include "runtime/program/CommandLine.h"

#include <gtest/gtest.h>

using namespace moec;

namespace {

CommandLine parsed(std::vector<std::string> arguments) {
  Result<CommandLine> line = parseCommandLine("toy", arguments);
  EXPECT_TRUE(line.ok()) << line.status().message;
  return line.ok() ? *line : CommandLine{};
}

std::string refused(std::vector<std::string> arguments) {
  Result<CommandLine> line = parseCommandLine("toy", arguments);
  EXPECT_FALSE(line.ok());
  if (!line.ok())
    EXPECT_EQ(line.status().code, Code::Usage);
  return line.ok() ? "" : line.status().message;
}

TEST(CommandLine, FirstArgumentMayBeTheCommand) {
  EXPECT_EQ(parsed({"inspect", "--json"}).command, Command::Inspect);
  EXPECT_EQ(parsed({"hello"}).command, Command::Generate);
  EXPECT_EQ(parsed({"hello"}).generate.text, "hello");
  EXPECT_EQ(parsed({"generate", "inspect"}).generate.text, "inspect");
  EXPECT_EQ(parsed({"--", "inspect"}).generate.text, "inspect");
  EXPECT_EQ(parsed({"--greedy", "--", "--raw"}).generate.text, "--raw");
  EXPECT_EQ(parsed({"-"}).generate.text, "-");
  EXPECT_EQ(parsed({""}).generate.text, "");
  EXPECT_FALSE(parsed({}).generate.text.has_value());
}

TEST(CommandLine, SamplingOptions) {
  SamplingOptions sampling =
      parsed({"--temperature", "0.5", "--top-k", "7", "--logit-bias", "3=-1.5", "--logit-bias",
              "9=inf", "--stop", "a", "--stop", "b", "--seed", "18446744073709551615", "x"})
          .generate.sampling;
  EXPECT_EQ(sampling.temperature, 0.5);
  EXPECT_EQ(sampling.topK, 7);
  EXPECT_FALSE(sampling.topP.has_value());
  ASSERT_EQ(sampling.logitBias.size(), 2u);
  EXPECT_EQ(sampling.logitBias[0], (std::pair<int32_t, double>(3, -1.5)));
  EXPECT_EQ(sampling.stops, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(sampling.seed, UINT64_MAX);
}

TEST(CommandLine, TemplateArgumentsKeepTheirOrderAndText) {
  PromptOptions prompt =
      parsed({"--template-arg", "a=1=2", "--template-arg", "b=", "x"}).generate.prompt;
  ASSERT_EQ(prompt.templateArguments.size(), 2u);
  EXPECT_EQ(prompt.templateArguments[0].second, "1=2");
  EXPECT_EQ(prompt.templateArguments[1].second, "");
}

TEST(CommandLine, MistakesAreNamed) {
  EXPECT_NE(refused({"--frobnicate", "x"}).find("--frobnicate"), std::string::npos);
  EXPECT_NE(refused({"--temperature", "hot", "x"}).find("hot"), std::string::npos);
  EXPECT_NE(refused({"--top-p", "7", "x"}).find("--top-p"), std::string::npos);
  for (const char *option : {"--top-p", "--min-p", "--top-k"}) {
    EXPECT_NE(refused({"--temperature", "0", option, "1", "x"})
                  .find(std::string(option) + " is for drawing among tokens, and --temperature 0"),
              std::string::npos);
    EXPECT_NE(refused({"chat", "--greedy", option, "1"}).find("and --greedy always takes"),
              std::string::npos);
    EXPECT_TRUE(parsed({"--temperature", "1", option, "1", "x"}).generate.text.has_value());
  }
  EXPECT_NE(refused({"--greedy", "--temperature", "1", "x"}).find("--temperature is for drawing"),
            std::string::npos);
  EXPECT_NE(refused({"--logit-bias", "a=1", "x"}).find("'a=1'"), std::string::npos);
  EXPECT_NE(refused({"--template-arg", "=1", "x"}).find("NAME=VALUE"), std::string::npos);
  EXPECT_NE(refused({"eval"}).find("--input"), std::string::npos);
  EXPECT_NE(refused({"--max-tokens", "-3", "x"}).find("--max-tokens"), std::string::npos);
  EXPECT_NE(refused({"--template-arg", "messages=3", "x"}).find("messages"), std::string::npos);
  EXPECT_NE(refused({"--template-arg", "a b=3", "x"}).find("'a b'"), std::string::npos);
  EXPECT_NE(refused({"--template-arg", "3=3", "x"}).find("'3'"), std::string::npos);
  EXPECT_NE(refused({"--template-arg", "not=3", "x"}).find("'not'"), std::string::npos);
  EXPECT_EQ(parsed({"--template-arg", "größe=3", "x"}).generate.prompt.templateArguments.size(),
            1u);
  EXPECT_NE(refused({"--stop", "", "x"}).find("--stop"), std::string::npos);
  for (const char *option : {"--weights-file", "--model-dir", "--chat-template", "--file"})
    EXPECT_NE(refused({option, "", "x"}).find("empty path"), std::string::npos) << option;
  EXPECT_NE(refused({"--numa", "on", "x"}).find("'on' is not split, interleave or off"),
            std::string::npos);
  EXPECT_NE(refused({"inspect", "--numa=off"}).find("--numa"), std::string::npos);
  EXPECT_NE(refused({"inspect", "--licenses", "--json"}).find("--licenses"), std::string::npos);
  refused({"one", "two"});
  refused({"--file", "f", "x"});
}

TEST(CommandLine, RawTakesNothingOfATemplate) {
  for (const char *option : {"--system", "--chat-template", "--template-arg"})
    EXPECT_NE(refused({"--raw", option, "a=b", "x"}).find(option), std::string::npos);
}

TEST(CommandLine, HelpOfEachCommand) {
  EXPECT_NE(parsed({"--help"}).help.find("--temperature"), std::string::npos);
  EXPECT_NE(parsed({"eval", "--help"}).help.find("--routing"), std::string::npos);
  EXPECT_EQ(parsed({"eval", "--help"}).command, Command::Help);
}

TEST(CommandLine, ValuesMayFollowAnEqualsSign) {
  EXPECT_EQ(parsed({"--numa=interleave", "x"}).generate.open.numa, NumaPolicy::Interleave);
  EXPECT_EQ(parsed({"bench", "--numa", "off"}).bench.open.numa, NumaPolicy::Off);
  EXPECT_EQ(parsed({"chat"}).chat.open.numa, NumaPolicy::Default);
  EXPECT_EQ(parsed({"--top-k=7", "--stop=a=b", "x"}).generate.sampling.stops[0], "a=b");
  EXPECT_EQ(parsed({"--seed=1", "--seed=2", "x"}).generate.sampling.seed, 2u);
  EXPECT_EQ(parsed({"bench", "-n64", "-d", "3"}).bench.generated, (std::vector<int64_t>{64}));
  EXPECT_EQ(parsed({"--presence-penalty", "-1", "x"}).generate.sampling.presencePenalty, -1);
  EXPECT_EQ(parsed({"--system", "", "x"}).generate.prompt.system, "");
  EXPECT_NE(refused({"--raw=1", "x"}).find("--raw takes no value"), std::string::npos);
  EXPECT_NE(refused({"x", "--seed"}).find("--seed needs a value"), std::string::npos);
  EXPECT_NE(refused({"--temperature", "nan", "x"}).find("'nan'"), std::string::npos);
  EXPECT_NE(refused({"bench", "-p", "1,,2"}).find("--prompt"), std::string::npos);
}

TEST(CommandLine, PerplexityNeedsAText) {
  PerplexityOptions options =
      parsed({"perplexity", "--text", "t", "--window", "64", "--against", "a", "--json"})
          .perplexity;
  EXPECT_EQ(options.text, "t");
  EXPECT_EQ(options.window, 64);
  EXPECT_EQ(options.against, "a");
  EXPECT_EQ(options.save, "");
  EXPECT_TRUE(options.json);
  EXPECT_NE(refused({"perplexity"}).find("--text"), std::string::npos);
  EXPECT_NE(refused({"perplexity", "--text", "t", "--window", "0"}).find("--window"),
            std::string::npos);
}

TEST(CommandLine, BenchTakesLists) {
  BenchOptions bench =
      parsed({"bench", "-p", "512,128", "-n", "64", "-d", "0,9", "-b", "1,8", "-r", "1"}).bench;
  EXPECT_EQ(bench.prompts, (std::vector<int64_t>{512, 128}));
  EXPECT_EQ(bench.generated, (std::vector<int64_t>{64}));
  EXPECT_EQ(bench.depths, (std::vector<int64_t>{0, 9}));
  EXPECT_EQ(bench.batches, (std::vector<int64_t>{1, 8}));
  EXPECT_EQ(bench.repetitions, 1);
  EXPECT_NE(refused({"bench", "-b", "0"}).find("--batch"), std::string::npos);
}

} // namespace
