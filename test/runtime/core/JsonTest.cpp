// JSON is read within bounds, and errors say where.

#include "runtime/core/Json.h"
#include "test/ScratchFolder.h"

#include <gtest/gtest.h>

using namespace moec;

TEST(Json, ReadsWhatIsWellFormed) {
  auto value = parseJson(R"({"a":[1,{"b":null}],"c":{"a":2}})", "x.json");
  ASSERT_TRUE(value.ok()) << value.status().message;
  EXPECT_EQ((*value)["c"]["a"], 2);
}

TEST(Json, SaysWhatIsWrongAndWhere) {
  EXPECT_FAILS(parseJson("{\"a\":\n 1,}", "x.json"), Code::Model, "line 2");
  EXPECT_FAILS(parseJson("", "x.json", {.code = Code::Usage}), Code::Usage,
               "x.json: not valid JSON");
  EXPECT_FAILS(parseJson("{} {}", "x.json"), Code::Model, "not valid JSON");
  EXPECT_FAILS(parseJson("\"\xff\"", "x.json"), Code::Model, "UTF-8");
  EXPECT_FAILS(parseJson("[1e999]", "x.json"), Code::Model, "x.json");
}

TEST(Json, BoundsNesting) {
  auto nested = [](int depth) {
    return std::string(static_cast<size_t>(depth), '[') +
           std::string(static_cast<size_t>(depth), ']');
  };
  EXPECT_TRUE(parseJson(nested(64), "x.json").ok());
  EXPECT_FAILS(parseJson(nested(65), "x.json"), Code::Model, "nested deeper than 64 levels");
  EXPECT_FAILS(parseJson(std::string(1'000'000, '['), "x.json"), Code::Model, "nested deeper");
}

TEST(Json, IsShownInOneBoundedLineOfAscii) {
  EXPECT_EQ(shownJson({{"a", "\xc3\xa9\n"}}), R"({"a":"\u00e9\n"})");
  EXPECT_EQ(shownJson(std::string(99, 'a')), '"' + std::string(56, 'a') + "...");
}

TEST(Json, RefusesEqualKeysOfOneObject) {
  EXPECT_FAILS(parseJson(R"({"a":{"b":1,"b":2}})", "x.json"), Code::Model, "key `b` appears twice");
  EXPECT_TRUE(parseJson(R"({"a":{"b":1},"b":{"b":2}})", "x.json").ok());
  EXPECT_TRUE(parseJson(R"({"b":1,"b":2})", "x.json", {.allowDuplicates = true}).ok());
}
