// What the fusion report says of small modules.

#include "compiler/analysis/FusionReport.h"

#include "dialects/lm/LmDialect.h"
#include "dialects/moe/MoeDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"

using namespace moec;

namespace {

/// The report on a function whose body is `body`.
FusionReport report(const std::string &body) {
  static mlir::MLIRContext context;
  context.loadDialect<lm::LmDialect, moe::MoeDialect, mlir::func::FuncDialect,
                      mlir::tensor::TensorDialect>();
  std::string text =
      "func.func @step(%x: tensor<?x40xf32>, %f: tensor<?x28xf32>, %w: !lm.weight<8x28x40xf32>, "
      "%r: !lm.weight<8x40xf32>, %tiles: tensor<?x3xi32>, %e: tensor<?x2xi32>, "
      "%p: tensor<?x2xf32>, %s: !lm.weight<28x40xf32>, %d: !lm.weight<8x40x28xf32>, "
      "%other: tensor<?x40xf32>) {\n" +
      body + "\nreturn }";
  mlir::OwningOpRef<mlir::ModuleOp> module =
      mlir::parseSourceString<mlir::ModuleOp>(text, &context);
  EXPECT_TRUE(module);
  return module ? reportFusions(*module) : FusionReport();
}

constexpr const char *product =
    "%g = moe.grouped_matmul ins(%x, %w, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, "
    "tensor<?x3xi32>) outs(%f : tensor<?x28xf32>) -> tensor<?x28xf32>\n";

std::string activation(const std::string &gate) {
  return "%a = moe.gated_activation silu ins(" + gate +
         ", %f : tensor<?x28xf32>, tensor<?x28xf32>) outs(%f : tensor<?x28xf32>) -> "
         "tensor<?x28xf32>\n";
}

TEST(FusionReportTest, FusedGateIsListed) {
  FusionReport gate =
      report("%a, %b = moe.gate softmax ins(%x, %r : tensor<?x40xf32>, !lm.weight<8x40xf32>) "
             "outs(%e, %p : tensor<?x2xi32>, tensor<?x2xf32>) -> tensor<?x2xi32>, tensor<?x2xf32>");
  ASSERT_EQ(gate.entries.size(), 1u);
  EXPECT_TRUE(gate.entries[0].fused);
  EXPECT_FALSE(gate.hasFallback());
  EXPECT_NE(gate.text({"why"}).find("fused      step: moe.gate"), std::string::npos);
  EXPECT_NE(gate.text({"why"}).find("remark     why"), std::string::npos);
}

TEST(FusionReportTest, LoneExpertProductIsAFallback) {
  FusionReport lone = report(product);
  ASSERT_EQ(lone.entries.size(), 1u);
  EXPECT_FALSE(lone.entries[0].fused);
  EXPECT_TRUE(lone.hasFallback());
  EXPECT_EQ(report(product + activation("%g")).entries.size(), 2u);
}

TEST(FusionReportTest, FoldedSharedExpertIsListed) {
  FusionReport folded =
      report("%i = tensor.empty() : tensor<8x5xi32> %j = tensor.empty() : tensor<8x5xf32> "
             "%a, %b = moe.pick_shared first_expert 8 ins(%e, %p : tensor<?x2xi32>, "
             "tensor<?x2xf32>) outs(%i, %j : tensor<8x5xi32>, tensor<8x5xf32>) -> "
             "tensor<8x5xi32>, tensor<8x5xf32>");
  ASSERT_EQ(folded.entries.size(), 1u);
  EXPECT_FALSE(folded.hasFallback());
  EXPECT_EQ(folded.entries[0].detail, "a shared expert as 3 experts that every token picks");
}

TEST(FusionReportTest, SharedExpertBesideExpertsIsAFallback) {
  auto beside = [](const std::string &input) {
    return "%g = lm.linear ins(" + input +
           ", %s : tensor<?x40xf32>, !lm.weight<28x40xf32>) outs(%f : tensor<?x28xf32>) -> "
           "tensor<?x28xf32>\n" +
           activation("%g") +
           "%y = moe.expert_ffn silu inner f32 ins(%x, %e, %p : tensor<?x40xf32>, "
           "tensor<?x2xi32>, tensor<?x2xf32>) experts(%w, %w, %d : !lm.weight<8x28x40xf32>, "
           "!lm.weight<8x28x40xf32>, !lm.weight<8x40x28xf32>) outs(%x : tensor<?x40xf32>) -> "
           "tensor<?x40xf32>\n";
  };
  EXPECT_TRUE(report(beside("%x")).hasFallback());
  // A layer of other tokens has nothing to do with these experts.
  EXPECT_FALSE(report(beside("%other")).hasFallback());
}

TEST(FusionReportTest, ProductsOfTheSameRowsAreAFallback) {
  auto linear = [](const std::string &name, const std::string &input) {
    return "%" + name + " = lm.linear ins(" + input +
           ", %s : tensor<?x40xf32>, !lm.weight<28x40xf32>) outs(%f : tensor<?x28xf32>) -> "
           "tensor<?x28xf32>\n";
  };
  FusionReport apart = report(linear("a", "%x") + linear("b", "%x"));
  ASSERT_EQ(apart.entries.size(), 2u);
  EXPECT_EQ(apart.entries[0].detail, "apart from other products of the same rows");
  EXPECT_TRUE(apart.hasFallback());
  EXPECT_TRUE(report(linear("a", "%x") + linear("b", "%other")).entries.empty());
  // What is stored as another type cannot be joined.
  EXPECT_FALSE(report(linear("a", "%x") +
                      "%t = builtin.unrealized_conversion_cast to !lm.weight<28x40xbf16>\n"
                      "%b = lm.linear ins(%x, %t : tensor<?x40xf32>, !lm.weight<28x40xbf16>) "
                      "outs(%f : tensor<?x28xf32>) -> tensor<?x28xf32>\n")
                   .hasFallback());
}

TEST(FusionReportTest, SumByItselfIsAFallback) {
  FusionReport sum = report("%y = lm.add ins(%x, %other : tensor<?x40xf32>, tensor<?x40xf32>) "
                            "outs(%x : tensor<?x40xf32>) -> tensor<?x40xf32>\n");
  ASSERT_EQ(sum.entries.size(), 1u);
  EXPECT_TRUE(sum.hasFallback());
}

TEST(FusionReportTest, ActivationWithoutExpertsIsNone) {
  EXPECT_FALSE(report(activation("%f")).hasFallback());
}

} // namespace
