// What the fusion report says of small modules.

#include "compiler/analysis/FusionReport.h"

#include "dialects/lm/LmDialect.h"
#include "dialects/moe/MoeDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"

using namespace moec;

namespace {

/// The report on a function whose body is `body`.
FusionReport report(const std::string &body) {
  static mlir::MLIRContext context;
  context.loadDialect<lm::LmDialect, moe::MoeDialect, mlir::func::FuncDialect>();
  std::string text =
      "func.func @step(%x: tensor<?x40xf32>, %f: tensor<?x28xf32>, %w: !lm.weight<8x28x40xf32>, "
      "%r: !lm.weight<8x40xf32>, %tiles: tensor<?x3xi32>, %e: tensor<?x2xi32>, "
      "%p: tensor<?x2xf32>) {\n" +
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

TEST(FusionReportTest, ActivationWithoutExpertsIsNone) {
  EXPECT_FALSE(report(activation("%f")).hasFallback());
}

} // namespace
