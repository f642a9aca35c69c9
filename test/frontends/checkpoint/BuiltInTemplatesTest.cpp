// What DeepSeek V3.2's messages become: turn by turn what the family's own encoder writes, but for
// the explanation of tools, which is ours.

#include "frontends/checkpoint/BuiltInTemplates.h"
#include "frontends/checkpoint/TextData.h"
#include "runtime/text/ChatTemplate.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

using namespace moec;
using Json = nlohmann::ordered_json;

static const std::string bos = "<｜begin▁of▁sentence｜>", eos = "<｜end▁of▁sentence｜>";

/// The prompt for `messages`, or the failure after "error: ".
static std::string render(const Json &messages, Json variables = Json::object()) {
  Result<ChatTemplate> parsed = ChatTemplate::parse(builtInTemplate("DeepseekV32ForCausalLM"));
  if (!parsed.ok())
    return "error: " + parsed.status().message;
  if (!variables.contains("add_generation_prompt"))
    variables["add_generation_prompt"] = true;
  Result<std::string> text = parsed->render(messages, variables, std::tm{});
  return text.ok() ? *text : "error: " + text.status().message;
}

static const Json thinking = {{"thinking", true}};
static const Json hello = Json::array({{{"role", "user"}, {"content", "Hello"}}});

TEST(DeepseekV32, IsForThatArchitectureAlone) {
  EXPECT_FALSE(builtInTemplate("DeepseekV32ForCausalLM").empty());
  for (const char *other : {"", "DeepseekV3ForCausalLM", "DeepseekV2ForCausalLM"})
    EXPECT_TRUE(builtInTemplate(other).empty()) << other;
}

TEST(DeepseekV32, IsTakenWhereTheDirectoryHasNone) {
  for (auto [name, wanted] : {std::pair("deepseek_v32", true), std::pair("deepseek_v3", false)}) {
    Result<Checkpoint> checkpoint = Checkpoint::open(std::string(MOEC_TEST_DIR "/golden/") + name);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message;
    Result<TextData> text = compileText(*checkpoint, 1000);
    ASSERT_TRUE(text.ok()) << text.status().message;
    EXPECT_EQ(text->chatTemplate == builtInTemplate("DeepseekV32ForCausalLM"), wanted) << name;
  }
}

TEST(DeepseekV32, AQuestionAsksForAnAnswerOrForThoughts) {
  EXPECT_EQ(render(hello), bos + "<｜User｜>Hello<｜Assistant｜></think>");
  EXPECT_EQ(render(hello, thinking), bos + "<｜User｜>Hello<｜Assistant｜><think>");
  EXPECT_EQ(render(hello, {{"enable_thinking", true}}), render(hello, thinking));
  EXPECT_EQ(render(hello, {{"add_generation_prompt", false}}), bos + "<｜User｜>Hello");
  EXPECT_EQ(render(Json::array()), bos);
}

TEST(DeepseekV32, SystemTextStandsBare) {
  Json messages = {{{"role", "system"}, {"content", "Be brief."}},
                   {{"role", "user"}, {"content", {{{"type", "text"}, {"text", "Hi"}}}}}};
  EXPECT_EQ(render(messages), bos + "Be brief.<｜User｜>Hi<｜Assistant｜></think>");
}

TEST(DeepseekV32, ThoughtsOfEarlierTurnsAreDropped) {
  Json messages = {{{"role", "user"}, {"content", "1+1?"}},
                   {{"role", "assistant"}, {"content", "2"}, {"reasoning_content", "easy"}},
                   {{"role", "user"}, {"content", "2+2?"}}};
  EXPECT_EQ(render(messages, thinking), bos + "<｜User｜>1+1?<｜Assistant｜></think>2" + eos +
                                            "<｜User｜>2+2?<｜Assistant｜><think>");
  messages.erase(2);
  EXPECT_EQ(render(messages, thinking),
            bos + "<｜User｜>1+1?<｜Assistant｜><think>easy</think>2" + eos);
  EXPECT_EQ(render(messages), bos + "<｜User｜>1+1?<｜Assistant｜></think>2" + eos);
}

static const Json tools = {{{"type", "function"},
                            {"function",
                             {{"name", "weather"},
                              {"description", "Wetter für \"heute\""},
                              {"parameters", {{"type", "object"}}}}}}};

static Json calling() {
  return {
      {{"role", "user"}, {"content", "Weather?"}},
      {{"role", "assistant"},
       {"content", "Looking."},
       {"reasoning_content", "two towns"},
       {"tool_calls",
        {{{"type", "function"},
          {"function",
           {{"name", "weather"},
            {"arguments", {{"town", "Bad \"Ems\""}, {"days", 2}, {"units", {"C", "m"}}}}}}},
         {{"type", "function"}, {"function", {{"name", "now"}, {"arguments", Json::object()}}}}}}},
      {{"role", "tool"}, {"content", "{\"high\": 7}"}},
      {{"role", "tool"}, {"content", "noon"}}};
}

static const std::string calls =
    "\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"weather\">\n"
    "<｜DSML｜parameter name=\"town\" string=\"true\">Bad \"Ems\"</｜DSML｜parameter>\n"
    "<｜DSML｜parameter name=\"days\" string=\"false\">2</｜DSML｜parameter>\n"
    "<｜DSML｜parameter name=\"units\" string=\"false\">[\"C\", \"m\"]</｜DSML｜parameter>\n"
    "</｜DSML｜invoke>\n<｜DSML｜invoke name=\"now\">\n\n</｜DSML｜invoke>\n"
    "</｜DSML｜function_calls>" +
    eos;
static const std::string results =
    "\n\n<function_results>\n<result>{\"high\": 7}</result>\n<result>noon</result>\n"
    "</function_results>";

TEST(DeepseekV32, CallsAndResultsAreMarkedUp) {
  EXPECT_EQ(render(calling()), bos + "<｜User｜>Weather?<｜Assistant｜></think>Looking." + calls +
                                   results + "\n\n</think>");
  EXPECT_EQ(render(calling(), thinking),
            bos + "<｜User｜>Weather?<｜Assistant｜><think>two towns</think>Looking." + calls +
                results + "\n\n<think>");
  Json further = calling();
  further.push_back({{"role", "assistant"}, {"content", "Cold."}});
  further.push_back({{"role", "user"}, {"content", "Thanks"}});
  EXPECT_EQ(render(further, thinking), bos + "<｜User｜>Weather?<｜Assistant｜></think>Looking." +
                                           calls + results + "\n\n</think>Cold." + eos +
                                           "<｜User｜>Thanks<｜Assistant｜><think>");
}

TEST(DeepseekV32, ToolsAreExplainedBehindTheSystemText) {
  std::string schema = "<functions>\n{\"name\": \"weather\", \"description\": \"Wetter für "
                       "\\\"heute\\\"\", \"parameters\": {\"type\": \"object\"}}\n</functions>\n";
  std::string bare = render(hello, {{"tools", tools}});
  EXPECT_EQ(bare.find(bos + "\n\n## Tools\n\n"), 0u) << bare;
  EXPECT_NE(bare.find(schema + "<｜User｜>Hello"), std::string::npos) << bare;
  EXPECT_NE(bare.find("\n<｜DSML｜invoke name=\"FUNCTION\">\n"), std::string::npos) << bare;
  EXPECT_EQ(bare.find("<think>"), std::string::npos) << bare;
  Json messages = hello;
  messages.insert(messages.begin(), Json({{"role", "system"}, {"content", "Be brief."}}));
  std::string behind = render(messages, {{"tools", tools}, {"thinking", true}});
  EXPECT_EQ(behind.find(bos + "Be brief.\n\n## Tools\n\n"), 0u) << behind;
  EXPECT_NE(behind.find("<think>"), std::string::npos) << behind;
  messages[0]["tools"] = tools;
  EXPECT_EQ(render(messages, {{"thinking", true}}), behind) << "a message may bring them";
}

TEST(DeepseekV32, ConversationsThatMakeNoSenseAreRefused) {
  Json missing = calling();
  missing[3] = {{"role", "user"}, {"content", "Well?"}};
  EXPECT_NE(render(missing).find("error: "), std::string::npos) << render(missing);
  Json surplus = calling();
  surplus.push_back(surplus[3]);
  EXPECT_NE(render(surplus).find("a result without a call"), std::string::npos);
  Json text = calling();
  text[1]["tool_calls"][0]["function"]["arguments"] = "{}";
  EXPECT_NE(render(text).find("the arguments of a call of weather are no object"),
            std::string::npos);
  EXPECT_NE(render({{{"role", "judge"}, {"content", "x"}}}).find("the role judge"),
            std::string::npos);
  Json image = {{{"role", "user"}, {"content", {{{"type", "image"}}}}}};
  EXPECT_NE(render(image).find("a part of type image"), std::string::npos);
}
