// Fields are found, and broken messages end without reading past their end.

#include "frontends/onnx/WireFormat.h"

#include <gtest/gtest.h>

#include <vector>

using namespace moec;

using Bytes = std::vector<uint8_t>;

static std::string complaintOf(const Bytes &bytes) {
  WireReader reader(bytes);
  while (reader.next()) {
  }
  return std::string(reader.complaint());
}

TEST(WireFormat, FindsFieldsOfEveryKind) {
  const Bytes bytes = {0x08, 0x96, 0x01,                        // 1: 150
                       0x12, 0x02, 'a',  'b',                   // 2: "ab"
                       0x1d, 1,    2,    3,   4,                // 3: 4 bytes
                       0xa1, 0x01, 1,    2,   3, 4, 5, 6, 7, 8, // 20: 8 bytes
                       0x12, 0x00};                             // 2: ""
  WireReader reader(bytes);
  struct {
    uint32_t number;
    WireType type;
    size_t payload, whole;
  } wanted[] = {{1, WireType::Varint, 2, 3},
                {2, WireType::Length, 2, 4},
                {3, WireType::Fixed32, 4, 5},
                {20, WireType::Fixed64, 8, 10},
                {2, WireType::Length, 0, 2}};
  for (const auto &each : wanted) {
    std::optional<WireField> field = reader.next();
    ASSERT_TRUE(field);
    EXPECT_EQ(field->number, each.number);
    EXPECT_EQ(field->type, each.type);
    EXPECT_EQ(field->payload.size(), each.payload);
    EXPECT_EQ(field->whole.size(), each.whole);
    EXPECT_EQ(field->payload.data() + each.payload, field->whole.data() + each.whole);
  }
  EXPECT_FALSE(reader.next());
  EXPECT_EQ(reader.complaint(), "");
}

TEST(WireFormat, RefusesWhatIsNoMessage) {
  EXPECT_EQ(complaintOf({}), "");
  EXPECT_EQ(complaintOf({0x80}), "a tag is broken");
  EXPECT_EQ(complaintOf({0x00}), "a tag is broken"); // field 0
  EXPECT_EQ(complaintOf(Bytes(11, 0xff)), "a tag is broken");
  EXPECT_EQ(complaintOf({0x08}), "a number is broken");
  EXPECT_EQ(complaintOf({0x08, 0x80}), "a number is broken");
  EXPECT_EQ(complaintOf({0x1d, 1, 2, 3}), "it ends inside a number");
  EXPECT_EQ(complaintOf({0x12}), "a length is broken");
  EXPECT_EQ(complaintOf({0x12, 3, 'a', 'b'}), "a field is longer than what holds it");
  EXPECT_EQ(complaintOf({0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}),
            "a field is longer than what holds it");
  EXPECT_EQ(complaintOf({0x0b}), "a field is of a kind that ONNX does not use"); // a group
}

TEST(WireFormat, TakesVarintsOfTenBytes) {
  const Bytes bytes = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 7};
  std::span<const uint8_t> rest = bytes;
  EXPECT_EQ(takeVarint(rest), UINT64_MAX);
  EXPECT_EQ(takeVarint(rest), 7u);
  EXPECT_EQ(takeVarint(rest), std::nullopt);
}
