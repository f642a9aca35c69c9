// generate and chat: prompts from everywhere, what ends an answer, and what never reaches standard
// output.

#include "test/runtime/program/RunProgram.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <csignal>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace moec;

namespace {

// Tokens of the golden tokenizer; a large bias makes the toy say one of them all the time.
constexpr const char *endOfText = "319", *turnStart = "320", *turnEnd = "321";

Ran greedy(std::vector<std::string> more) {
  more.insert(more.begin(), {"generate", "--greedy", "--max-tokens", "12"});
  return runFakeText(more);
}

/// The id of a token whose text is `text`, found by asking the program to say each.
std::string biased(const std::string &id) { return id + "=1000"; }

nlohmann::json answered(std::vector<std::string> more) {
  more.push_back("--json");
  Ran ran = greedy(more);
  EXPECT_EQ(ran.status, 0) << ran.errors;
  return nlohmann::json::parse(ran.output, nullptr, false);
}

TEST(Generate, SameAnswerHoweverThePromptComes) {
  Ran first = greedy({"hello"});
  ASSERT_EQ(first.status, 0) << first.errors;
  EXPECT_EQ(first.errors, "");
  EXPECT_GT(first.output.size(), 2u);
  EXPECT_EQ(runFakeText({"--greedy", "--max-tokens", "12", "hello"}).output, first.output);
  EXPECT_EQ(runFakeText({"--greedy", "--max-tokens", "12", "-"}, "hello\n").output, first.output);
  std::string file = temporaryFolder() + "/prompt";
  writeAll(file, "hello");
  EXPECT_EQ(greedy({"--file", file}).output, first.output);
  EXPECT_EQ(runFakeText({"--greedy", "--max-tokens", "12", "--", "hello"}).output, first.output);
  EXPECT_NE(greedy({"--raw", "hello"}).output, first.output);
  EXPECT_NE(greedy({"--system", "be brief", "hello"}).output, first.output);
}

TEST(Generate, CommandsAfterTheDashesAreText) {
  Ran eval = runFakeText({"--greedy", "--max-tokens", "3", "--", "eval"});
  EXPECT_EQ(eval.status, 0) << eval.errors;
  EXPECT_NE(eval.output, "");
}

TEST(Generate, ControlTokensNeverReachTheOutput) {
  nlohmann::json json = answered({"--logit-bias", biased(turnStart), "hello"});
  EXPECT_EQ(json["tokens"], std::vector<int>(12, 320));
  EXPECT_EQ(json["text"], "");
  EXPECT_EQ(json["finish"], "length");
  EXPECT_EQ(greedy({"--logit-bias", biased(turnStart), "hello"}).output, "\n");
}

TEST(Generate, VerbatimAnswersHaveControlTokens) {
  std::string all;
  for (int i = 0; i < 12; ++i)
    all += "<|im_start|>";
  EXPECT_EQ(greedy({"--verbatim", "--logit-bias", biased(turnStart), "hello"}).output, all + "\n");
  EXPECT_EQ(answered({"--verbatim", "--logit-bias", biased(turnStart), "hello"})["text"], all);
  Ran chat = runFakeText(
      {"chat", "--verbatim", "--greedy", "--max-tokens", "2", "--logit-bias", biased(turnStart)},
      "hello\n");
  EXPECT_EQ(chat.output, "<|im_start|><|im_start|>\n");
}

TEST(Generate, ReasoningIsNotShown) {
  std::string file = temporaryFolder() + "/thinks.jinja";
  writeAll(file, "{{ messages[0].content }}{# </think> #}<think>\n");
  Ran ran = greedy({"--chat-template", file, "--logit-bias", biased("65"), "hello"});
  EXPECT_EQ(ran.output, "\n");
  EXPECT_NE(ran.errors.find("still reasoning"), std::string::npos) << ran.errors;
  nlohmann::json json = answered({"--chat-template", file, "--logit-bias", biased("65"), "hello"});
  EXPECT_EQ(json["text"], "");
  EXPECT_EQ(json["reasoning"].get<std::string>().size(), 12u);
}

TEST(Generate, StopTokensEndTheAnswer) {
  nlohmann::json json = answered({"--logit-bias", biased(turnEnd), "hello"});
  EXPECT_EQ(json["tokens"], std::vector<int>{321});
  EXPECT_EQ(json["finish"], "stop");
  EXPECT_EQ(answered({"--logit-bias", biased(endOfText), "hello"})["finish"], "length");
}

TEST(Generate, StopStringsAreNotShown) {
  nlohmann::json free = answered({"--logit-bias", biased("65"), "hello"});
  std::string letter = free["text"].get<std::string>().substr(0, 1);
  ASSERT_EQ(free["text"], std::string(12, letter[0]));
  std::string stop(3, letter[0]);
  nlohmann::json json = answered({"--logit-bias", biased("65"), "--stop", stop, "hello"});
  EXPECT_EQ(json["text"], "");
  EXPECT_EQ(json["finish"], "stop");
  EXPECT_EQ(json["tokens"].size(), 3u);
}

TEST(Generate, EqualSeedsGiveEqualTexts) {
  auto drawn = [](const char *seed, const char *threads) {
    return runFakeText({"--temperature", "5", "--max-tokens", "20", "--seed", seed, "--threads",
                        threads, "hello"})
        .output;
  };
  EXPECT_EQ(drawn("7", "1"), drawn("7", "2"));
  EXPECT_NE(drawn("7", "1"), drawn("8", "1"));
}

TEST(Generate, BadPromptsAreUsageErrors) {
  EXPECT_EQ(greedy({}).status, 2);
  EXPECT_NE(greedy({""}).errors.find("empty"), std::string::npos);
  EXPECT_EQ(greedy({""}).status, 2);
  EXPECT_NE(greedy({"ab\xff"}).errors.find("byte 2"), std::string::npos);
  EXPECT_EQ(greedy({"ab\xff"}).status, 2);
  Ran tooLong = greedy({"--raw", std::string(9999, 'x') + "yz"});
  EXPECT_EQ(tooLong.status, 2);
  EXPECT_NE(tooLong.errors.find("context of 256"), std::string::npos) << tooLong.errors;
  EXPECT_EQ(greedy({"--file", "/nowhere/prompt"}).status, 2);
  EXPECT_EQ(greedy({"--raw", "--system", "x", "hello"}).status, 2);
  EXPECT_EQ(greedy({"--context", "257", "hello"}).status, 2);
  EXPECT_EQ(runFake({"hello"}).status, 3) << "no tokenizer";
}

TEST(Generate, TemplateErrorsNameFileAndLine) {
  std::string file = temporaryFolder() + "/bad.jinja";
  writeAll(file, "one\n{% for m in %}{% endfor %}");
  Ran ran = greedy({"--chat-template", file, "hello"});
  EXPECT_TRUE(ran.status == 2 || ran.status == 3) << ran.status;
  EXPECT_NE(ran.errors.find(file), std::string::npos) << ran.errors;
  EXPECT_NE(ran.errors.find("2"), std::string::npos) << ran.errors;
  writeAll(file, "{{ mood }}");
  EXPECT_NE(greedy({"--chat-template", file, "--template-arg", "mood=good", "hello"}).output,
            greedy({"--chat-template", file, "--template-arg", "mood=bad", "hello"}).output);
  writeAll(file, "{{ tools[0] }}");
  EXPECT_EQ(greedy({"--chat-template", file, "--template-arg", "tools=[7]", "hello"}).output,
            greedy({"--raw", "7"}).output);
}

TEST(Generate, TemplatesAreAskedForAnAnswer) {
  std::string file = temporaryFolder() + "/asks.jinja";
  writeAll(file, "{{ 'yes' if add_generation_prompt else 'no' }}");
  Ran asked = greedy({"--chat-template", file, "hello"});
  EXPECT_EQ(asked.output, greedy({"--raw", "yes"}).output);
  EXPECT_EQ(greedy({"--chat-template", file, "--template-arg", "add_generation_prompt=false", "x"})
                .output,
            greedy({"--raw", "no"}).output);
}

TEST(Generate, ClosedPipeEndsQuietly) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::string errors = temporaryFolder() + "/err";
  pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 1);
    close(ends[0]);
    close(ends[1]);
    dup2(open(errors.c_str(), O_WRONLY | O_CREAT, 0600), 2);
    execl(FAKE_TEXT_MODEL, FAKE_TEXT_MODEL, "--greedy", "hello", nullptr);
    _exit(127);
  }
  close(ends[0]);
  close(ends[1]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ(readAll(errors), "");
}

TEST(Chat, RemembersTheConversation) {
  std::vector<std::string> options = {"chat", "--greedy", "--max-tokens", "6"};
  Ran both = runFakeText(options, "hello\nagain\n");
  ASSERT_EQ(both.status, 0) << both.errors;
  Ran first = runFakeText(options, "hello"), second = runFakeText(options, "again");
  EXPECT_EQ(both.output.substr(0, first.output.size()), first.output);
  EXPECT_NE(both.output.substr(first.output.size()), second.output);
  EXPECT_EQ(both.errors, "");
}

TEST(Chat, ForgetsTheOldestTurnsWhenTheContextIsFull) {
  std::string lines;
  for (int i = 0; i < 12; ++i)
    lines += "line number " + std::to_string(i) + " of many\n";
  Ran ran = runFakeText({"chat", "--greedy", "--max-tokens", "10"}, lines);
  EXPECT_EQ(ran.status, 0) << ran.errors;
  EXPECT_NE(ran.errors.find("forgotten"), std::string::npos);
  EXPECT_EQ(ran.errors.find("no room"), std::string::npos) << ran.errors;
}

TEST(Chat, RefusedTurnOfAPipeEndsWithItsStatus) {
  Ran ran = runFakeText({"chat", "--greedy", "--max-tokens", "4"}, "hello\nab\xff\nagain\n");
  EXPECT_EQ(ran.status, 2);
  EXPECT_NE(ran.errors.find("byte 2"), std::string::npos) << ran.errors;
  EXPECT_EQ(ran.output, runFakeText({"chat", "--greedy", "--max-tokens", "4"}, "hello\n").output);
}

TEST(Chat, InterruptAtThePromptIsStatus130) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::string folder = temporaryFolder();
  pid_t child = fork();
  if (child == 0) {
    dup2(ends[0], 0);
    dup2(open((folder + "/out").c_str(), O_WRONLY | O_CREAT, 0600), 1);
    close(ends[1]);
    execl(FAKE_TEXT_MODEL, FAKE_TEXT_MODEL, "chat", "--greedy", "--max-tokens", "4", nullptr);
    _exit(127);
  }
  ASSERT_EQ(write(ends[1], "hello\n", 6), 6);
  while (!readAll(folder + "/out").ends_with('\n')) // the answer is there: it waits at the prompt
    usleep(1000);
  kill(child, SIGINT);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 130) << status;
  close(ends[0]);
  close(ends[1]);
}

} // namespace
