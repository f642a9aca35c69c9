// What the answers of each format are split into, and that it does not depend on how they come.

#include "runtime/text/AnswerParser.h"

#include <gtest/gtest.h>

using namespace moec;

namespace {

/// A whole answer: pieces of a kind joined, calls as NAME(ARGUMENTS).
struct Split {
  std::string reasoning, content, calls;
  bool operator==(const Split &) const = default;
};

void PrintTo(const Split &split, std::ostream *out) {
  *out << "reasoning `" << split.reasoning << "`, content `" << split.content << "`, calls `"
       << split.calls << "`";
}

void add(Split &split, const AnswerPieces &pieces) {
  for (const AnswerPiece &piece : pieces)
    switch (piece.kind) {
    case AnswerPiece::Kind::Reasoning:
      split.reasoning += piece.text;
      break;
    case AnswerPiece::Kind::Content:
      split.content += piece.text;
      break;
    case AnswerPiece::Kind::ToolCall:
      split.calls += piece.call.name + "(" + piece.call.arguments + ")";
      break;
    }
}

/// Pushes `text` in pieces of `step` bytes; markers of Harmony as control tokens.
Split parsed(AnswerFormat format, std::string_view text, size_t step, bool reasoning) {
  AnswerParser parser(format, reasoning);
  Split split;
  while (!text.empty()) {
    size_t end = text.starts_with("<|") ? text.find("|>") : text.npos;
    if (format == AnswerFormat::Harmony && end != text.npos &&
        parser.isMarker(text.substr(0, end + 2))) {
      add(split, parser.pushMarker(text.substr(0, end + 2)));
      text.remove_prefix(end + 2);
      continue;
    }
    size_t size = std::min(step, text.size());
    if (format == AnswerFormat::Harmony)
      size = std::min(size, std::max<size_t>(text.find("<|", 1), 1));
    add(split, parser.push(text.substr(0, size)));
    text.remove_prefix(size);
  }
  add(split, parser.finish());
  return split;
}

void expectSplit(AnswerFormat format, std::string_view text, const Split &wanted,
                 bool reasoning = false) {
  for (size_t step : {size_t{1}, size_t{2}, size_t{3}, size_t{7}, text.size() + 1})
    EXPECT_EQ(parsed(format, text, step, reasoning), wanted)
        << nameOf(format) << ", pieces of " << step << ": " << text;
}

TEST(AnswerParser, PlainAnswersAreContent) {
  expectSplit(AnswerFormat::Plain, " <think>a</think> <tool_call>\n",
              {"", " <think>a</think> <tool_call>\n", ""});
  expectSplit(AnswerFormat::Plain, "", {});
}

TEST(AnswerParser, ThoughtsComeFirstOrNot) {
  for (AnswerFormat format : {AnswerFormat::Thinking, AnswerFormat::Hermes, AnswerFormat::Deepseek,
                              AnswerFormat::DeepseekMarkup, AnswerFormat::Kimi}) {
    expectSplit(format, "<think>\nhm, x < y\n</think>\n\nYes.\n", {"hm, x < y", "Yes.\n", ""});
    expectSplit(format, "\n<think>\n\n</think>\n\nYes", {"", "Yes", ""});
    expectSplit(format, "  Yes, </thin> < a", {"", "  Yes, </thin> < a", ""});
    expectSplit(format, "hm</think>Yes", {"hm", "Yes", ""}, /*reasoning=*/true);
    expectSplit(format, "hm, on and", {"hm, on and", "", ""}, /*reasoning=*/true);
    expectSplit(format, "A tag <think> in a text", {"", "A tag <think> in a text", ""});
  }
}

TEST(AnswerParser, ContentIsGivenAsItComes) {
  AnswerParser parser(AnswerFormat::Hermes);
  Split split;
  add(split, parser.push("One, <tool"));
  EXPECT_EQ(split.content, "One,");
  add(split, parser.push("s are"));
  EXPECT_EQ(split.content, "One, <tools are");
  add(split, parser.push("\n\n<tool_call"));
  EXPECT_EQ(split.content, "One, <tools are") << "what may be the marker is held back";
}

TEST(AnswerParser, HermesCallsAreObjects) {
  expectSplit(
      AnswerFormat::Hermes,
      "Let me look.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"b\": \"</x>\", \"a\": "
      "[1, 2.5]}}\n</tool_call>\n<tool_call>\n{\"name\": \"g\"}\n</tool_call>\n",
      {"", "Let me look.", "f({\"b\":\"</x>\",\"a\":[1,2.5]})g({})"});
  expectSplit(
      AnswerFormat::Hermes,
      "<think>a</think><tool_call>{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}</tool_call>",
      {"a", "", "f({\"a\":1})"});
  expectSplit(AnswerFormat::Hermes, "<tool_call>{\"name\": \"f\", \"argum",
              {"", "<tool_call>{\"name\": \"f\", \"argum", ""});
  expectSplit(AnswerFormat::Hermes, "a <tool_call>{nonsense}</tool_call> b",
              {"", "a<tool_call>{nonsense}</tool_call>b", ""});
}

TEST(AnswerParser, MistralCallsAreAList) {
  expectSplit(
      AnswerFormat::Mistral,
      "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"a\": \"x\"}, \"id\": \"abcdefghi\"}, "
      "{\"name\": \"g\", \"arguments\": {}}]",
      {"", "", "f({\"a\":\"x\"})g({})"});
  expectSplit(AnswerFormat::Mistral, "[TOOL_CALLS] []", {"", "[TOOL_CALLS] []", ""});
  expectSplit(AnswerFormat::Mistral, "See [TOOL] and [1].", {"", "See [TOOL] and [1].", ""});
}

TEST(AnswerParser, LlamaCallsAreJsonOrPython) {
  expectSplit(AnswerFormat::Llama,
              "{\"name\": \"f\", \"parameters\": {\"a\": \"}\"}}; {\"name\": \"g\"}",
              {"", "", "f({\"a\":\"}\"})g({})"});
  expectSplit(AnswerFormat::Llama,
              "<|python_start|>{\"name\": \"f\", \"parameters\": {}}<|python_end|>",
              {"", "", "f({})"});
  expectSplit(AnswerFormat::Llama,
              "[get.it(town=\"S\u00e3o \\\"P\\\"\", n=-2.5, on=True, off = False, x=None), g()]",
              {"", "",
               "get.it({\"town\": \"S\u00e3o \\\"P\\\"\", \"n\": -2.5, \"on\": true, \"off\": "
               "false, \"x\": null})g({})"});
  expectSplit(AnswerFormat::Llama, "<|python_start|>[f(a=[1, 'b',], c={'d': (2,)})]<|python_end|>",
              {"", "", "f({\"a\": [1, \"b\"], \"c\": {\"d\": [2]}})"});
}

TEST(AnswerParser, LlamaTextThatOnlyBeginsLikeCallsIsContent) {
  for (const char *text : {"[1] is a reference", "[x] done", "{\"a\": 1}",
                           "{\"name\": \"a\"} and more", "[f(x=1)] is a list", "[f(1)]", "[f(x=y)]",
                           "[f(x=1", "{", "[", "[f(x='a)]", " [f(x=1)] or"})
    expectSplit(AnswerFormat::Llama, text, {"", text, ""});
  expectSplit(AnswerFormat::Llama, "<|python_start|>print(1)<|python_end|>",
              {"", "<|python_start|>print(1)<|python_end|>", ""});
}

TEST(AnswerParser, DeepseekCallsHaveTheirTokens) {
  expectSplit(AnswerFormat::Deepseek,
              "Now:\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n"
              "{\"a\": 1}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n"
              "```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
              {"", "Now:", "f({\"a\": 1})g({})"});
  expectSplit(AnswerFormat::Deepseek,
              "hm</think><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": "
              "\"\\n```json\\n\"}<｜tool▁call▁end｜><｜tool▁call▁begin｜>g<｜tool▁sep｜>"
              "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
              {"hm", "", "f({\"a\": \"\\n```json\\n\"})g({})"}, /*reasoning=*/true);
  expectSplit(AnswerFormat::Deepseek, "<｜tool▁calls▁begin｜>f<｜tool▁calls▁end｜>",
              {"", "<｜tool▁calls▁begin｜>f<｜tool▁calls▁end｜>", ""});
}

TEST(AnswerParser, DeepseekMarkupHasAParameterEach) {
  expectSplit(
      AnswerFormat::DeepseekMarkup,
      "two towns</think>Looking.\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"f\">\n"
      "<｜DSML｜parameter name=\"town\" string=\"true\">Bad \"Ems\"\n</｜DSML｜parameter>\n"
      "<｜DSML｜parameter name=\"days\" string=\"false\">[2, {}]</｜DSML｜parameter>\n"
      "</｜DSML｜invoke>\n<｜DSML｜invoke name=\"g\">\n\n</｜DSML｜invoke>\n"
      "</｜DSML｜function_calls>",
      {"two towns", "Looking.", "f({\"town\": \"Bad \\\"Ems\\\"\\n\", \"days\": [2, {}]})g({})"},
      /*reasoning=*/true);
  std::string broken = "<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter "
                       "name=\"a\" string=\"false\">{</｜DSML｜parameter>\n</｜DSML｜invoke>\n"
                       "</｜DSML｜function_calls>";
  expectSplit(AnswerFormat::DeepseekMarkup, broken, {"", broken, ""});
}

TEST(AnswerParser, KimiCallsAreNumbered) {
  std::string text =
      "Ok.<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0"
      "<|tool_call_argument_begin|>{\"a\": 1}<|tool_call_end|><|tool_call_begin|>functions.g.h:1"
      "<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>";
  expectSplit(AnswerFormat::Kimi, text, {"", "Ok.", "f({\"a\": 1})g.h({})"});
  AnswerParser parser(AnswerFormat::Kimi);
  AnswerPieces pieces = parser.push(text);
  ASSERT_EQ(pieces.size(), 3u);
  EXPECT_EQ(pieces[1].call.id, "functions.f:0");
  EXPECT_EQ(pieces[2].call.id, "functions.g.h:1");
}

TEST(AnswerParser, HarmonyHasChannels) {
  expectSplit(AnswerFormat::Harmony,
              "<|channel|>analysis<|message|>Easy < hard.<|end|><|start|>assistant<|channel|>final"
              "<|message|> Yes.\n",
              {"Easy < hard.", " Yes.\n", ""});
  expectSplit(AnswerFormat::Harmony,
              "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary"
              "<|message|>Looking.<|end|><|start|>assistant<|channel|>commentary to=functions.f "
              "<|constrain|>json<|message|>{\"a\": 1}<|call|>",
              {"hm", "Looking.", "f({\"a\": 1})"});
  expectSplit(AnswerFormat::Harmony, " to=functions.g<|channel|>commentary json<|message|>{}",
              {"", "", "g({})"});
  expectSplit(AnswerFormat::Harmony, "<|channel|>commentary to=python<|message|>print(1)<|call|>",
              {"", "print(1)", ""});
  expectSplit(AnswerFormat::Harmony, "<|channel|>final<|message|>a<|channel|>final<|message|>b",
              {"", "ab", ""});
  expectSplit(AnswerFormat::Harmony, "No header", {"", "No header", ""});
  expectSplit(AnswerFormat::Harmony, "<|channel|>fin", {});
}

TEST(AnswerParser, HarmonyTextMayNameMarkers) {
  AnswerParser parser(AnswerFormat::Harmony);
  Split split;
  add(split, parser.pushMarker("<|channel|>"));
  add(split, parser.push("final"));
  add(split, parser.pushMarker("<|message|>"));
  add(split, parser.push("The token <|end|> ends"));
  EXPECT_EQ(split.content, "The token <|end|> ends");
  EXPECT_FALSE(parser.isMarker("<|endofprompt|>"));
}

TEST(AnswerFormat, IsReadOffTheTemplate) {
  for (auto [text, format] : {std::pair("{{ x }}", AnswerFormat::Plain),
                              std::pair("{{ m.split('</think>') }}", AnswerFormat::Thinking),
                              std::pair("</think> <tool_call>", AnswerFormat::Hermes),
                              std::pair("[INST] [TOOL_CALLS]", AnswerFormat::Mistral),
                              std::pair("<|header_start|>", AnswerFormat::Llama),
                              std::pair("</think><｜tool▁calls▁begin｜>", AnswerFormat::Deepseek),
                              std::pair("<｜DSML｜function_calls>", AnswerFormat::DeepseekMarkup),
                              std::pair("<|tool_call_begin|>", AnswerFormat::Kimi),
                              std::pair("<|im_user|>user<|im_middle|>", AnswerFormat::Kimi),
                              std::pair("<|start|><|channel|>", AnswerFormat::Harmony)})
    EXPECT_EQ(answerFormatOf(text), format) << text;
}

TEST(AnswerFormat, APromptMayOpenReasoning) {
  EXPECT_TRUE(opensReasoning(AnswerFormat::Hermes, "<|im_start|>assistant\n<think>\n"));
  EXPECT_TRUE(opensReasoning(AnswerFormat::DeepseekMarkup, "<｜Assistant｜><think>"));
  EXPECT_FALSE(opensReasoning(AnswerFormat::DeepseekMarkup, "<｜Assistant｜></think>"));
  EXPECT_FALSE(opensReasoning(AnswerFormat::Plain, "<think>"));
  EXPECT_FALSE(opensReasoning(AnswerFormat::Hermes, ""));
}

} // namespace
