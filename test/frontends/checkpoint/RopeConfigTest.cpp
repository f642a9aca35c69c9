// Rope keys in both spellings, types by name, and tables against values worked out apart.

#include "frontends/checkpoint/RopeConfig.h"
#include "test/ScratchFolder.h"

#include <gtest/gtest.h>

#include <cmath>

using namespace moec;

static const RopeSupport kAll = {
    {RopeKind::Default, RopeKind::Linear, RopeKind::Dynamic, RopeKind::Yarn, RopeKind::Llama3},
    true};

struct Read {
  RopeConfig rope;
  Status status;
};

static Read readText(std::string_view text, const RopeSupport &support = kAll) {
  Result<Config> config = Config::parse(text, "config.json");
  EXPECT_TRUE(config.ok());
  ConfigReader read(*config);
  RopeConfig rope = readRope(read, 5e5, support);
  return {rope, read.finish()};
}

TEST(RopeConfig, ReadsBothSpellings) {
  EXPECT_EQ(readText("{}").rope.theta, 5e5);
  EXPECT_EQ(readText(R"({"rope_theta":7})").rope.theta, 7.0);
  EXPECT_EQ(readText(R"({"rope_theta":7,"rope_scaling":null})").rope.kind, RopeKind::Default);
  for (const char *text :
       {R"({"rope_theta":9,"rope_scaling":{"type":"linear","factor":2}})",
        R"({"rope_theta":9,"rope_scaling":{"rope_type":"linear","factor":2.0}})",
        R"({"rope_parameters":{"rope_theta":9,"rope_type":"linear","factor":2}})"}) {
    Read read = readText(std::string(text).insert(1, R"("max_position_embeddings":64,)"));
    EXPECT_TRUE(read.status.ok()) << read.status.message;
    EXPECT_EQ(read.rope.kind, RopeKind::Linear);
    EXPECT_EQ(read.rope.theta, 9.0);
    EXPECT_EQ(read.rope.factor, 2.0);
  }
}

TEST(RopeConfig, NamesUnsupportedTypesAndKeys) {
  EXPECT_FAILS(readText(R"({"rope_scaling":{"type":"longrope","long_factor":[1]}})").status,
               Code::Unsupported, "rope type \"longrope\" is not supported");
  EXPECT_FAILS(readText(R"({"rope_scaling":{"type":"yarn","factor":2}})", {}).status,
               Code::Unsupported, "rope type \"yarn\" is not supported");
  EXPECT_FAILS(readText(R"({"rope_scaling":{"type":"default","alpha":2}})").status,
               Code::Unsupported, "key \"alpha\"");
  EXPECT_FAILS(readText(R"({"partial_rotary_factor":0.5})", {}).status, Code::Unsupported,
               "`partial_rotary_factor` is 0.5");
  EXPECT_FAILS(readText(R"({"rope_parameters":{"partial_rotary_factor":0.5}})", {}).status,
               Code::Unsupported, "partial_rotary_factor");
  EXPECT_EQ(
      readText(R"({"rope_parameters":{"partial_rotary_factor":0.5}})").rope.partialRotaryFactor,
      0.5);
}

TEST(RopeConfig, RefusesWhatContradictsItself) {
  EXPECT_FAILS(readText(R"({"rope_scaling":{"type":"linear","factor":2},
                            "rope_parameters":{"rope_type":"default"}})")
                   .status,
               Code::Model, "`rope_parameters` says something else");
  EXPECT_FAILS(readText(R"({"rope_theta":7,"rope_parameters":{"rope_theta":9}})").status,
               Code::Model, "not the 7 beside it");
  EXPECT_TRUE(readText(R"({"rope_theta":9,"rope_parameters":{"rope_theta":9},
                           "rope_scaling":{"rope_theta":9}})")
                  .status.ok());
}

TEST(RopeConfig, RefusesNumbersOutOfRange) {
  EXPECT_FAILS(readText(R"({"rope_theta":0})").status, Code::Model, "rope_theta");
  EXPECT_FAILS(readText(R"({"rope_scaling":[]})").status, Code::Model, "wanted an object");
  EXPECT_FAILS(readText(R"({"rope_scaling":{"type":3}})").status, Code::Model, "to be a string");
  EXPECT_FAILS(
      readText(R"({"rope_scaling":{"type":"yarn","rope_type":"linear","factor":2}})").status,
      Code::Model, "`type` and `rope_type` differ");
  EXPECT_FAILS(readText(R"({"rope_scaling":{"type":"linear"}})").status, Code::Model, "`factor`");
  EXPECT_FAILS(readText(R"({"rope_scaling":{"factor":2}})").status, Code::Model, "`rope_type`");
  EXPECT_FAILS(readText(R"({"rope_scaling":{"type":"linear","factor":-1}})").status, Code::Model,
               "`factor`");
  EXPECT_FAILS(readText(R"({"rope_scaling":{"type":"yarn","factor":2}})").status, Code::Model,
               "original_max_position_embeddings");
  EXPECT_FAILS(
      readText(
          R"({"rope_scaling":{"type":"yarn","factor":2,"truncate":3},"max_position_embeddings":9})")
          .status,
      Code::Model, "`truncate`");
}

TEST(RopeConfig, DefaultFrequenciesArePowersOfTheta) {
  RopeConfig rope;
  rope.theta = 10000.0;
  std::vector<float> table = rope.inverseFrequencies(8);
  ASSERT_EQ(table.size(), 4u);
  for (size_t i = 0; i < 4; ++i)
    EXPECT_NEAR(table[i], std::pow(10.0, -static_cast<double>(i)), 1e-7 * table[i]);
  EXPECT_EQ(rope.attentionFactor(), 1.0);
}

TEST(RopeConfig, LinearDividesAll) {
  RopeConfig rope{.kind = RopeKind::Linear, .theta = 10000.0, .factor = 4.0};
  EXPECT_NEAR(rope.inverseFrequencies(8)[0], 0.25, 1e-7);
  EXPECT_NEAR(rope.inverseFrequencies(8)[3], 0.00025, 1e-10);
}

TEST(RopeConfig, Llama3KeepsHighFrequenciesAndScalesLowOnes) {
  RopeConfig rope{.kind = RopeKind::Llama3,
                  .theta = 10000.0,
                  .factor = 8.0,
                  .originalPositions = 64,
                  .lowFrequencyFactor = 1.0,
                  .highFrequencyFactor = 4.0};
  // Wavelengths 6.28 (below 16), 62.8 (between 16 and 64), 628 and 6283 (above 64).
  std::vector<float> table = rope.inverseFrequencies(8);
  EXPECT_EQ(table[0], 1.0f);
  double blend = (64.0 / (20.0 * M_PI) - 1.0) / 3.0;
  EXPECT_NEAR(table[1], (1.0 - blend) * 0.1 / 8.0 + blend * 0.1, 1e-8);
  EXPECT_NEAR(table[2], 0.01 / 8.0, 1e-9);
  EXPECT_NEAR(table[3], 0.001 / 8.0, 1e-10);
}

TEST(RopeConfig, YarnRampsBetweenItsBounds) {
  RopeConfig rope{
      .kind = RopeKind::Yarn, .theta = 10000.0, .factor = 4.0, .originalPositions = 4096};
  // lo = floor(64 ln(4096 / 64 pi) / (2 ln 1e4)) = 10, hi = ceil(64 ln(4096 / 2 pi) / (2 ln 1e4))
  // = 23.
  std::vector<float> table = rope.inverseFrequencies(64);
  auto plain = [](int i) { return std::pow(10000.0, -i / 32.0); };
  EXPECT_NEAR(table[10], plain(10), 1e-8);
  EXPECT_NEAR(table[23], plain(23) / 4.0, 1e-9);
  double ramp = 6.0 / 13.0;
  EXPECT_NEAR(table[16], ramp * plain(16) / 4.0 + (1.0 - ramp) * plain(16), 1e-8);
  EXPECT_NEAR(rope.attentionFactor(), 0.1 * std::log(4.0) + 1.0, 1e-12);
  rope.mscale = 1.0;
  rope.mscaleAllDimensions = 1.0;
  EXPECT_EQ(rope.attentionFactor(), 1.0);
  rope.givenAttentionFactor = 2.5;
  EXPECT_EQ(rope.attentionFactor(), 2.5);
}
