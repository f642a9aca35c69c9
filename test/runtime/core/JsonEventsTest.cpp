// JSON told by events: what is told of valid text, and where reading ends in other.

#include "runtime/core/JsonEvents.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>

using namespace moec;

namespace {

/// Writes the events down, as one line.
class Recorder final : public JsonEvents {
public:
  std::string line;
  size_t most = SIZE_MAX; // events before it ends the reading

  bool startObject() override { return note("{"); }
  bool endObject() override { return note("}"); }
  bool startArray() override { return note("["); }
  bool endArray() override { return note("]"); }
  bool key(std::string_view name) override { return note(std::string(name) + ":"); }
  bool string(std::string_view value) override { return note("'" + std::string(value) + "'"); }
  bool natural(uint64_t value) override { return note(std::to_string(value)); }
  bool otherNumber(std::string_view text) override { return note("~" + std::string(text)); }
  bool literal(std::string_view name) override { return note(std::string(name)); }

private:
  bool note(const std::string &event) {
    line += (line.empty() ? "" : " ") + event;
    return most-- > 1;
  }
};

} // namespace

static std::string eventsOf(std::string_view text) {
  Recorder recorder;
  const JsonReading reading = readJson(text, recorder);
  EXPECT_EQ(reading.end, JsonEnd::Whole) << text << " up to byte " << reading.position;
  return recorder.line;
}

TEST(JsonEvents, TellsValuesInOrder) {
  EXPECT_EQ(eventsOf(R"( {"a" : [1, {} ,[ ], true],"b":{"c":null},"":"x"} )"),
            "{ a: [ 1 { } [ ] true ] b: { c: null } : 'x' }");
  EXPECT_EQ(eventsOf("false"), "false");
  EXPECT_EQ(eventsOf("[0,18446744073709551615,18446744073709551616,-0,-7,1.0,2e+3,0.5E-1]"),
            "[ 0 18446744073709551615 ~18446744073709551616 ~-0 ~-7 ~1.0 ~2e+3 ~0.5E-1 ]");
}

TEST(JsonEvents, DecodesStrings) {
  EXPECT_EQ(eventsOf(R"(["\"\\\/\b\f\n\r\t","a\u00e9\u20AC\ud83d\ude00z"])"),
            "[ '\"\\/\b\f\n\r\t' 'aé€😀z' ]");
  EXPECT_EQ(eventsOf("\"é€😀\x7f\""), "'é€😀\x7f'");
}

TEST(JsonEvents, PassesPlainStringsWhereTheyLie) {
  class Events final : public JsonEvents {
  public:
    std::string_view last;
    bool startObject() override { return true; }
    bool endObject() override { return true; }
    bool startArray() override { return true; }
    bool endArray() override { return true; }
    bool key(std::string_view) override { return true; }
    bool string(std::string_view value) override { return last = value, true; }
    bool natural(uint64_t) override { return true; }
    bool otherNumber(std::string_view) override { return true; }
    bool literal(std::string_view) override { return true; }
  } events;
  const std::string text = R"("abc")";
  readJson(text, events);
  EXPECT_EQ(events.last.data(), text.data() + 1);
}

TEST(JsonEvents, EndsWhereTextIsNoJson) {
  const std::pair<std::string, size_t> cases[] = {
      {"", 0},
      {" ", 1},
      {"{", 1},
      {"[1", 2},
      {"[1,]", 3},
      {"{\"a\"}", 4},
      {"{\"a\":1,}", 7},
      {"{1:2}", 1},
      {"[1 2]", 3},
      {"{}{}", 2},
      {"[1}", 2},
      {"01", 1},
      {"-", 1},
      {"1.", 2},
      {"1e", 2},
      {"+1", 0},
      {"nul", 0},
      {"\"a", 2},
      {"\"\x01\"", 1},
      {"\"\\x\"", 2},
      {"\"\\u12g4\"", 5},
      {"\"\\u12", 3},
      {"\"\\ud800\"", 7},
      {"\"\\udc00\"", 7},
      {"\"\x80\"", 1},
      {"\"\xc0\xaf\"", 1},
      {"\"\xed\xa0\x80\"", 1},
      {"\"\xf4\x90\x80\x80\"", 1},
      {"\"\xe2\x82\"", 1},
      {"\"\xe0\x80\x80\"", 1},
  };
  for (const auto &[text, position] : cases) {
    SCOPED_TRACE(text);
    Recorder recorder;
    const JsonReading reading = readJson(text, recorder);
    EXPECT_EQ(reading.end, JsonEnd::Invalid);
    EXPECT_EQ(reading.position, position);
    EXPECT_FALSE(nlohmann::json::accept(text)) << "another reader takes it";
  }
}

TEST(JsonEvents, StopsWhenToldSo) {
  const std::string text = R"({"a":[1,"b"]})";
  for (size_t most = 1; most <= 7; ++most) {
    Recorder recorder;
    recorder.most = most;
    EXPECT_EQ(readJson(text, recorder).end, JsonEnd::Stopped) << most;
  }
}

TEST(JsonEvents, NestingTakesNoStack) {
  Recorder recorder;
  EXPECT_EQ(readJson(std::string(1'000'000, '['), recorder).end, JsonEnd::Invalid);
}
