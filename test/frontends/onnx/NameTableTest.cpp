// Equal strings have one number, and what was given out stays.

#include "frontends/onnx/NameTable.h"

#include <gtest/gtest.h>

#include <string>

using namespace moec;

TEST(NameTable, NumbersEachStringOnce) {
  NameTable table;
  EXPECT_EQ(table.number(""), 0u);
  std::vector<std::string_view> given;
  for (uint32_t index = 0; index < 5000; ++index) {
    EXPECT_EQ(table.number("name" + std::to_string(index)), index + 1);
    given.push_back(table.text(index + 1));
  }
  EXPECT_EQ(table.number("name17"), 18u);
  const std::string large(1 << 20, 'a');
  EXPECT_EQ(table.intern(large), large);
  EXPECT_EQ(table.size(), 5002u);
  NameTable moved = std::move(table);
  for (uint32_t index = 0; index < 5000; ++index)
    EXPECT_EQ(given[index], "name" + std::to_string(index));
  EXPECT_EQ(moved.number("name4999"), 5000u);
  EXPECT_EQ(moved.number("new"), 5002u);
}
