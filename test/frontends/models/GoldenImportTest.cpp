// The golden checkpoints and the dictionary's model can be imported; their layers say what the
// directories hold.

#include "frontends/models/Import.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/MLIRContext.h"

#include <gtest/gtest.h>

using namespace moec;

namespace {

struct GoldenCase {
  const char *path; ///< below test/
  std::vector<int64_t> moeLayers;
  int64_t picked;
};

void PrintTo(const GoldenCase &golden, std::ostream *stream) { *stream << golden.path; }

class GoldenImportTest : public testing::TestWithParam<GoldenCase> {};

} // namespace

TEST_P(GoldenImportTest, Imports) {
  Result<Checkpoint> checkpoint =
      Checkpoint::open(std::string(MOEC_TEST_DIR "/") + GetParam().path);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message;
  mlir::MLIRContext context;
  auto module = importModel(*checkpoint, context);
  ASSERT_TRUE(module.ok()) << module.status().message;
  auto model = (**module)->getAttrOfType<mlir::DictionaryAttr>("moec.model");
  ASSERT_TRUE(model);
  EXPECT_EQ(model.getAs<mlir::DenseI64ArrayAttr>("moe_layers").asArrayRef().vec(),
            GetParam().moeLayers);
  EXPECT_EQ(model.getAs<mlir::IntegerAttr>("picked").getInt(), GetParam().picked);
  EXPECT_TRUE((**module).lookupSymbol<mlir::func::FuncOp>("step"));
}

static const GoldenCase kCases[] = {
    {"golden/mixtral", {0, 1}, 2},         {"golden/mixtral_bf16", {0, 1}, 2},
    {"golden/mixtral_sharded", {0, 1}, 2}, {"golden/qwen3_moe", {0, 2}, 3},
    {"golden/qwen3_moe_bf16", {0, 2}, 3},  {"golden/qwen2_moe", {0, 2}, 4},
    {"golden/olmoe", {0, 1}, 3},           {"golden/deepseek_v2", {1, 2}, 3},
    {"golden/deepseek_v3", {1, 2}, 3},     {"golden/deepseek_v3_fp8", {1}, 2},
    {"golden/deepseek_v32", {1}, 2},       {"golden/kimi_k2", {1, 2}, 3},
    {"golden/llama4", {1, 3}, 2},          {"golden/gpt_oss", {0, 1, 2}, 3},
    {"golden/gpt_oss_mxfp4", {0, 1}, 2},   {"../examples/dictionary/model", {0, 1, 2, 3, 4, 5}, 2},
};

INSTANTIATE_TEST_SUITE_P(All, GoldenImportTest, testing::ValuesIn(kCases));
