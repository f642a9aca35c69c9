// Which experts a row of scores leads to where scores are equal, infinite or no numbers.

#include "compiler/lowering/Lowerings.h"
#include "test/compiler/targets/cpu/KernelJit.h"

#include <gtest/gtest.h>

#include <limits>

using namespace moec;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

struct Groups {
  int64_t kept, count;
  moe::GroupValue value;
};

/// The experts that `scores` lead to, best first.
std::vector<int32_t> choose(const std::vector<float> &scores, int64_t picked,
                            std::optional<Groups> groups = std::nullopt,
                            bool prefersHigher = false) {
  std::vector<int32_t> experts(picked, -1);
  std::vector<float> weights(picked);
  const CpuTarget *target = *findCpuTarget("native");
  KernelJit kernel(*target, "ppp", [&](KernelBuilder &kernel, mlir::ValueRange arguments) {
    mlir::MLIRContext *context = kernel.builder.getContext();
    context->loadDialect<moe::MoeDialect>();
    Routing routing{static_cast<int64_t>(scores.size()),
                    picked,
                    moe::Weighing::AsIs,
                    /*epsilon=*/0,
                    /*scale=*/1,
                    groups
                        ? moe::GroupsAttr::get(context, groups->kept, groups->count, groups->value)
                        : moe::GroupsAttr(),
                    prefersHigher,
                    std::nullopt};
    emitRoute(kernel, routing, arguments[0], arguments[1], arguments[2]);
  });
  kernel(scores, experts, weights);
  for (int64_t slot = 0; slot < picked; ++slot) {
    const float score = scores[experts[slot]];
    EXPECT_TRUE(weights[slot] == score || (std::isnan(score) && std::isnan(weights[slot])));
  }
  return experts;
}

using Ids = std::vector<int32_t>;

TEST(RoutingTest, EqualScoresGoToTheLowerExpert) {
  EXPECT_EQ(choose({1, 3, 3, 2}, 3), (Ids{1, 2, 3}));
  EXPECT_EQ(choose({0.0f, -0.0f, 0.0f}, 2), (Ids{0, 1}));
  EXPECT_EQ(choose(std::vector<float>(4, -infinity), 3), (Ids{0, 1, 2}));
}

TEST(RoutingTest, EqualScoresGoToTheHigherExpertWhereThatIsPreferred) {
  auto chooseHigher = [](const std::vector<float> &scores, int64_t picked) {
    return choose(scores, picked, std::nullopt, /*prefersHigher=*/true);
  };
  EXPECT_EQ(chooseHigher({1, 3, 3, 2, 3}, 4), (Ids{4, 2, 1, 3}));
  EXPECT_EQ(chooseHigher(std::vector<float>(4, -infinity), 3), (Ids{3, 2, 1}));
}

TEST(RoutingTest, NanCountsAsLargest) {
  EXPECT_EQ(choose({1, infinity, nan, 5}, 3), (Ids{2, 1, 3}));
  EXPECT_EQ(choose({nan, nan, nan, nan}, 3), (Ids{0, 1, 2}));
}

// Of the group that is kept even those are chosen whose scores are as low as can be.
TEST(RoutingTest, ExpertsOfOtherGroupsAreNeverChosen) {
  const Groups best{1, 3, moe::GroupValue::Best};
  EXPECT_EQ(choose({1, 2, 3, 9, -infinity, -infinity, 4, 5, 6}, 3, best), (Ids{3, 4, 5}));
  const Groups two{2, 3, moe::GroupValue::BestTwo};
  EXPECT_EQ(choose({-infinity, -infinity, 1, -5, -infinity, 2}, 4, two), (Ids{2, 3, 0, 1}));
}

TEST(RoutingTest, EqualGroupsGoToTheLower) {
  const Groups best{1, 2, moe::GroupValue::Best};
  EXPECT_EQ(choose(std::vector<float>(4, -infinity), 2, best), (Ids{0, 1}));
  EXPECT_EQ(choose({1, 7, 7, 7}, 2, best), (Ids{1, 0}));
}

// Also where it only comes of adding infinities.
TEST(RoutingTest, GroupsOfNanAreKept) {
  EXPECT_EQ(choose({9, 9, nan, -infinity}, 2, Groups{1, 2, moe::GroupValue::Best}), (Ids{2, 3}));
  EXPECT_EQ(choose({9, 9, infinity, -infinity}, 2, Groups{1, 2, moe::GroupValue::BestTwo}),
            (Ids{2, 3}));
}

} // namespace
