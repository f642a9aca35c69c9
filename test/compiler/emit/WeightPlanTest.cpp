// Plans of packed weights check themselves, and their digests see every field.

#include "compiler/emit/WeightPlan.h"
#include "test/compiler/emit/NaivePacking.h"

#include <gtest/gtest.h>

#include <set>

using namespace moec;

TEST(WeightPlan, ChecksItself) {
  auto check = [](auto change) {
    WeightPlan plan;
    plan.append(panels("a", PackedElement::BF16, 16, 16, {{.pattern = "a", .rows = 16}}));
    plan.append(panels("b", PackedElement::BF16, 16, 16, {{.pattern = "b", .rows = 16}}));
    change(plan.weights[1]);
    return plan.check();
  };
  EXPECT_TRUE(check([](PackedWeight &) {}).ok());
  EXPECT_FAILS(check([](PackedWeight &w) { w.offset += 64; }), Code::Internal, "`b` lies at 576");
  EXPECT_FAILS(check([](PackedWeight &w) { w.rows = 0; }), Code::Internal, "out of range");
  EXPECT_FAILS(check([](PackedWeight &w) {
                 w.columns = int64_t(1) << 39;
                 w.rows = w.columns;
               }),
               Code::Internal, "too large");
  EXPECT_FAILS(check([](PackedWeight &w) { w.experts = 2; }), Code::Internal, "each expert's rows");
  EXPECT_FAILS(check([](PackedWeight &w) { w.sources[0].stored = DataType::I8; }), Code::Internal,
               "not stored as");
  EXPECT_FAILS(check([](PackedWeight &w) { w.sources[0].transposed = true; }), Code::Internal,
               "out of range");
}

TEST(WeightPlan, DigestSeesEveryField) {
  auto digest = [](auto change) {
    WeightPlan plan;
    PackedWeight weight = panels("a", PackedElement::BF16, 16, 16, {{.pattern = "a", .rows = 16}});
    change(weight);
    plan.append(weight);
    return digestText(plan.digest());
  };
  std::set<std::string> seen = {
      digest([](PackedWeight &) {}),
      digest([](PackedWeight &w) { w.name = "b"; }),
      digest([](PackedWeight &w) { w.layout = PackedLayout::Rows; }),
      digest([](PackedWeight &w) { w.element = PackedElement::F16; }),
      digest([](PackedWeight &w) { w.layers = {0}; }),
      digest([](PackedWeight &w) { w.layers = {1}; }),
      digest([](PackedWeight &w) { w.experts = 1; }),
      digest([](PackedWeight &w) { w.rows = 17; }),
      digest([](PackedWeight &w) { w.columns = 17; }),
      digest([](PackedWeight &w) { w.sources[0].pattern = "b"; }),
      digest([](PackedWeight &w) { w.sources[0].stored = DataType::F16; }),
      digest([](PackedWeight &w) { w.sources[0].rows = 15; }),
      digest([](PackedWeight &w) { w.sources[0].firstRow = 1; }),
      digest([](PackedWeight &w) { w.sources[0].rowStep = 2; }),
      digest([](PackedWeight &w) { w.sources[0].rowsPerExpert = 1; }),
      digest([](PackedWeight &w) { w.sources[0].transposed = true; }),
      digest([](PackedWeight &w) { w.sources.push_back(w.sources[0]); }),
  };
  EXPECT_EQ(seen.size(), 17u);
}
