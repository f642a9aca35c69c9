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
  EXPECT_FAILS(check([](PackedWeight &w) { w.matricesPerLayer = 2; }), Code::Internal,
               "each matrix's rows");
  EXPECT_FAILS(check([](PackedWeight &w) { w.sources[0].stored = DataType::I8; }), Code::Internal,
               "not stored as");
  EXPECT_FAILS(check([](PackedWeight &w) { w.sources[0].sideBySide = true; }), Code::Internal,
               "side by side");
}

TEST(WeightPlan, CodesHaveScales) {
  auto check = [](DataType type, auto change) {
    WeightPlan plan;
    StoredRows source{.pattern = "a", .stored = type, .rows = 16};
    source.scales = "s";
    source.scaleRows = 1;
    source.scaleColumns = 32;
    PackedWeight weight = panels("a", PackedElement::BF16, 16, 64, {source});
    change(weight);
    plan.append(weight);
    return plan.check();
  };
  const DataType f4 = DataType::F4, f8 = DataType::F8E4M3;
  EXPECT_TRUE(check(f4, [](PackedWeight &) {}).ok());
  EXPECT_TRUE(check(f8, [](PackedWeight &w) { w.sources[0].scaleRows = 0; }).ok());
  for (DataType type : {f4, f8})
    EXPECT_FAILS(check(type, [](PackedWeight &w) { w.sources[0].scales = ""; }), Code::Internal,
                 "codes without scales");
  EXPECT_FAILS(check(DataType::F32, [](PackedWeight &) {}), Code::Internal,
               "codes without scales, or of others with them");
  EXPECT_FAILS(check(f8, [](PackedWeight &w) { w.sources[0].scaleColumns = -1; }), Code::Internal,
               "codes without scales");
  EXPECT_FAILS(check(f4, [](PackedWeight &w) { w.sources[0].scaleRows = 2; }), Code::Internal,
               "rows of whole groups");
  EXPECT_FAILS(check(f4, [](PackedWeight &w) { w.columns = 48; }), Code::Internal,
               "rows of whole groups");
}

TEST(WeightPlan, SourcesAreForAllExpertsInOrder) {
  auto check = [](auto change) {
    WeightPlan plan;
    PackedWeight weight =
        panels("a", PackedElement::BF16, 16, 16,
               {{.pattern = "{e}.a", .rows = 10, .matrices = 3},
                {.pattern = "{e}.b", .rows = 6, .matrices = 3},
                {.pattern = "c", .rows = 16, .sideBySide = true, .firstMatrix = 3}});
    weight.matricesPerLayer = 5;
    change(weight);
    plan.append(weight);
    return plan.check();
  };
  EXPECT_TRUE(check([](PackedWeight &) {}).ok());
  EXPECT_TRUE(check([](PackedWeight &w) { w.sources[2].matrices = 2; }).ok());
  EXPECT_FAILS(check([](PackedWeight &w) { w.sources[1].rows = 5; }), Code::Internal,
               "matrices from 3 on out of order");
  EXPECT_FAILS(check([](PackedWeight &w) { w.sources[2].firstMatrix = 4; }), Code::Internal,
               "matrices from 4 on out of order");
  EXPECT_FAILS(check([](PackedWeight &w) { w.sources[1].matrices = 2; }), Code::Internal,
               "matrices from 0 on out of order");
  EXPECT_FAILS(check([](PackedWeight &w) { w.sources[2].matrices = 3; }), Code::Internal,
               "matrices from 3 on out of order");
  EXPECT_FAILS(check([](PackedWeight &w) { w.sources[2].matrices = 1; }), Code::Internal,
               "has 5 matrices per layer, its sources 4");
  EXPECT_FAILS(check([](PackedWeight &w) { w.sources[2].rows = 15; }), Code::Internal,
               "has 16 rows, its sources 15");
  EXPECT_FAILS(check([](PackedWeight &w) { w.sources[2].rowsPerMatrix = 16; }), Code::Internal,
               "side by side");
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
      digest([](PackedWeight &w) { w.matricesPerLayer = 1; }),
      digest([](PackedWeight &w) { w.rows = 17; }),
      digest([](PackedWeight &w) { w.columns = 17; }),
      digest([](PackedWeight &w) { w.sources[0].pattern = "b"; }),
      digest([](PackedWeight &w) { w.sources[0].stored = DataType::F16; }),
      digest([](PackedWeight &w) { w.sources[0].rows = 15; }),
      digest([](PackedWeight &w) { w.sources[0].firstRow = 1; }),
      digest([](PackedWeight &w) { w.sources[0].rowStep = 2; }),
      digest([](PackedWeight &w) { w.sources[0].rowsPerMatrix = 1; }),
      digest([](PackedWeight &w) { w.sources[0].transposed = true; }),
      digest([](PackedWeight &w) { w.sources[0].sideBySide = true; }),
      digest([](PackedWeight &w) { w.sources[0].firstMatrix = 1; }),
      digest([](PackedWeight &w) { w.sources[0].matrices = 1; }),
      digest([](PackedWeight &w) { w.sources.push_back(w.sources[0]); }),
  };
  EXPECT_EQ(seen.size(), 20u);
  auto scales = [&](std::string name, int64_t rows, int64_t columns) {
    return digest([&](PackedWeight &w) {
      w.sources[0].scales = std::move(name);
      w.sources[0].scaleRows = rows;
      w.sources[0].scaleColumns = columns;
    });
  };
  seen.insert({scales("s", 1, 1), scales("t", 1, 1), scales("s", 2, 1), scales("s", 1, 2)});
  EXPECT_EQ(seen.size(), 24u);
}
