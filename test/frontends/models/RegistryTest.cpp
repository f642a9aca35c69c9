// Which architecture a config names, and what importing says of the model as a whole.

#include "test/frontends/models/TinyModel.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <gtest/gtest.h>

using namespace moec;

TEST(RegistryTest, TheModelTypeStandsInForTheArchitecture) {
  TinyModel model = tinyMixtral();
  std::string text = model.text();
  model.config.erase("architectures");
  EXPECT_EQ(model.text(), text);
}

TEST(RegistryTest, KimisModelTypeIsThatOfDeepseekV3) {
  TinyModel model = tinyDeepseekV3();
  std::string text = model.text();
  model.config.erase("architectures");
  model.config["model_type"] = "kimi_k2";
  EXPECT_EQ(model.text(), text);
}

TEST(RegistryTest, AnUnknownArchitectureIsNamedWithThoseThereAre) {
  TinyModel model = tinyMixtral();
  model.config["architectures"] = {"MixtralForSequenceClassification"};
  Status status = model.failure();
  EXPECT_EQ(status.code, Code::Unsupported);
  for (const char *part :
       {"config.json", "`architectures` is \"MixtralForSequenceClassification\"",
        "DeepseekV2ForCausalLM, DeepseekV3ForCausalLM, DeepseekV32ForCausalLM, GptOss",
        "MixtralForCausalLM, OlmoeForCausalLM, Qwen2MoeForCausalLM, Qwen3MoeForCausalLM"})
    EXPECT_NE(status.message.find(part), std::string::npos) << status.message;
}

TEST(RegistryTest, AnUnknownModelTypeIsNamed) {
  TinyModel model = tinyMixtral();
  model.config.erase("architectures");
  model.config["model_type"] = "llama\n";
  Status status = model.failure();
  EXPECT_EQ(status.code, Code::Unsupported);
  EXPECT_NE(status.message.find("`model_type` is \"llama\\n\""), std::string::npos)
      << status.message;
}

TEST(RegistryTest, AConfigThatNamesNothingSaysSo) {
  TinyModel model = tinyMixtral();
  model.config.erase("architectures");
  model.config.erase("model_type");
  Status status = model.failure();
  EXPECT_EQ(status.code, Code::Unsupported);
  EXPECT_NE(status.message.find("names no architecture"), std::string::npos) << status.message;
}

TEST(RegistryTest, ParametersAreCountedAsThePapersDo) {
  // L (2 H n d + 2 H nk d + E H + 2 H + E 3 H I) + H + 2 V H, and K for E in the last term.
  int64_t layer = 2 * 64 * 96 + 2 * 64 * 48 + 8 * 64 + 2 * 64, expert = 3 * 64 * 96;
  int64_t frame = 64 + 2 * 131 * 64;
  std::string text = tinyMixtral().text();
  EXPECT_NE(text.find(" parameters = " + std::to_string(3 * (layer + 8 * expert) + frame) + " "),
            text.npos);
  EXPECT_NE(
      text.find("active_parameters = " + std::to_string(3 * (layer + 2 * expert) + frame) + " "),
      text.npos);
}

TEST(RegistryTest, TheModelIsCalledByItsDirectoryUnlessItIsNamed) {
  TinyModel model = tinyMixtral();
  EXPECT_NE(model.text().find("name = \"tiny\""), std::string::npos);
  EXPECT_NE(model.text({.context = 0, .name = "other"}).find("name = \"other\""),
            std::string::npos);
}

TEST(RegistryTest, TheContextIsThatOfTheConfigOrLess) {
  TinyModel model = tinyMixtral();
  EXPECT_NE(model.text().find("context = 128 "), std::string::npos);
  EXPECT_NE(model.text({.context = 100, .name = {}}).find("context = 100 "), std::string::npos);
  Status status = model.failure({.context = 129, .name = {}});
  EXPECT_EQ(status.code, Code::Usage);
  EXPECT_NE(status.message.find("`max_position_embeddings`"), std::string::npos) << status.message;
}

TEST(RegistryTest, AFormOfLatentAttentionIsRefusedWhereThereIsNone) {
  for (LatentForm form : {LatentForm::Absorbed, LatentForm::Expanded}) {
    Status status = tinyMixtral().failure({.latentForm = form});
    EXPECT_EQ(status.code, Code::Usage);
    EXPECT_NE(status.message.find("--mla is about attention to latent vectors, and "
                                  "MixtralForCausalLM has heads with keys of their own"),
              std::string::npos)
        << status.message;
  }
}

TEST(RegistryTest, OpsAreLocatedByTheTensorsTheyRead) {
  mlir::MLIRContext context;
  auto module = tinyMixtral().import(context);
  ASSERT_TRUE(module.ok()) << module.status().message;
  int routers = 0;
  (*module)->walk([&](mlir::Operation *op) {
    auto location = llvm::dyn_cast<mlir::NameLoc>(op->getLoc());
    ASSERT_TRUE(location) << op->getName().getStringRef().str();
    if (op->getName().getStringRef() == "moe.route")
      routers += location.getName() == "model.layers.{l}.block_sparse_moe.gate.weight";
  });
  EXPECT_EQ(routers, 1);
}
