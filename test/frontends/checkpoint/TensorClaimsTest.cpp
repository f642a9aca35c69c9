// Families of tensors: whole ones are claimed, with the scales of codes, and what is wrong is
// named.

#include "frontends/checkpoint/TensorClaims.h"
#include "test/ScratchFolder.h"

#include <gtest/gtest.h>

using namespace moec;

/// A directory whose model.safetensors holds `tensors`.
struct Model : ScratchFolder {
  explicit Model(const std::vector<TestTensor> &tensors) {
    write("config.json", "{}");
    writeTensors(path("model.safetensors"), tensors);
  }
};

static TestTensor expert(int64_t layer, int64_t number, DataType type = DataType::BF16,
                         int64_t rows = 2) {
  auto bytes = static_cast<size_t>(rows * 3 * dataTypeBits(type) / 8);
  return {"l." + std::to_string(layer) + ".e." + std::to_string(number),
          type,
          {rows, 3},
          std::vector<uint8_t>(bytes)};
}

TEST(TensorClaims, AcceptsAWholeFamily) {
  Model model({expert(1, 0), expert(1, 1), expert(3, 0), expert(3, 1)});
  Result<Checkpoint> checkpoint = Checkpoint::open(model.path());
  TensorClaims claims(*checkpoint);
  TensorFamily family{"l.{l}.e.{e}", {1, 3}, 2, {2, 3}};
  EXPECT_TRUE(claims.has(family));
  EXPECT_FALSE(claims.has({"m.{l}", {1}, 0, {2, 3}}));
  EXPECT_FAILS(claims.finish(), Code::Unsupported, "tensor `l.1.e.0` (and 3 more)");
  Result<StoredFamily> stored = claims.claim(family);
  ASSERT_TRUE(stored.ok()) << stored.status().message;
  EXPECT_EQ(stored->type, DataType::BF16);
  EXPECT_EQ(stored->pattern, family.pattern);
  EXPECT_EQ(stored->scales, "");
  EXPECT_TRUE(claims.finish().ok());
}

TEST(TensorClaims, NamesTheOddOne) {
  TensorFamily family{"l.{l}.e.{e}", {0}, 3, {2, 3}};
  auto claim = [&](const std::vector<TestTensor> &tensors) {
    Model model(tensors);
    Result<Checkpoint> checkpoint = Checkpoint::open(model.path());
    return TensorClaims(*checkpoint).claim(family);
  };
  EXPECT_FAILS(claim({expert(0, 0), expert(0, 2)}), Code::Model, "tensor `l.0.e.1` is missing");
  EXPECT_FAILS(claim({expert(0, 0), expert(0, 1), expert(0, 2, DataType::BF16, 4)}), Code::Model,
               "tensor `l.0.e.2` has shape [4, 3], wanted [2, 3]");
  EXPECT_FAILS(
      claim({expert(0, 0), expert(0, 1, DataType::F16), expert(0, 2)}), Code::Unsupported,
      "tensor `l.0.e.1` is F16, and `l.0.e.0` is BF16; moec wants tensors of a kind stored "
      "alike in all layers and experts");
  EXPECT_FAILS(claim({expert(0, 0, DataType::F8E4M3)}), Code::Unsupported,
               "tensor `l.0.e.0` is F8_E4M3; supported are F32, F16 and BF16");
}

TEST(TensorClaims, SkipsByPattern) {
  Model model({expert(0, 0), expert(0, 1), expert(10, 0)});
  Result<Checkpoint> checkpoint = Checkpoint::open(model.path());
  auto left = [&](std::vector<std::string> patterns) {
    TensorClaims claims(*checkpoint);
    for (const std::string &pattern : patterns)
      claims.skip(pattern);
    return claims.finish();
  };
  EXPECT_TRUE(left({"*"}).ok());
  EXPECT_TRUE(left({"l.*.e.*"}).ok());
  EXPECT_TRUE(left({"l.0.*", "*10*0"}).ok());
  EXPECT_FAILS(left({"l.*.e.0"}), Code::Unsupported,
               "model.safetensors: tensor `l.0.e.1` is read by no");
  EXPECT_FAILS(left({"l.0", "e.*", "*.e."}), Code::Unsupported, "(and 2 more)");
}

// Codes ------------------------------------------------------------------------------------------

static TestTensor tensor(const std::string &name, DataType type, std::vector<int64_t> shape) {
  int64_t count = 1;
  for (int64_t extent : shape)
    count *= extent;
  return {name, type, shape,
          std::vector<uint8_t>(static_cast<size_t>(count * dataTypeBits(type) / 8))};
}

/// What `quantization` makes of tensors in a claim of `w` of `shape`; all of them must be claimed.
static Result<StoredFamily> claimOf(QuantizationConfig quantization, std::vector<int64_t> shape,
                                    const std::vector<TestTensor> &tensors) {
  Model model(tensors);
  Result<Checkpoint> checkpoint = Checkpoint::open(model.path());
  TensorClaims claims(*checkpoint, quantization);
  Result<StoredFamily> stored =
      claims.claim({.pattern = "w", .layers = {}, .shape = std::move(shape)});
  if (stored.ok())
    if (Status status = claims.finish(); !status.ok())
      return status;
  return stored;
}

static constexpr QuantizationConfig float8(int64_t rows, int64_t columns) {
  return {QuantizationConfig::Codes::Float8, rows, columns};
}

TEST(TensorClaims, FloatsOf8BitsBringTheirScales) {
  const DataType f8 = DataType::F8E4M3, f32 = DataType::F32;
  Result<StoredFamily> stored =
      claimOf(float8(128, 128), {200, 320},
              {tensor("w", f8, {200, 320}), tensor("w_scale_inv", f32, {2, 3})});
  ASSERT_TRUE(stored.ok()) << stored.status().message;
  EXPECT_EQ(*stored, (StoredFamily{f8, "w", "w_scale_inv", 128, 128}));
  stored = claimOf(float8(128, 128), {4, 130, 128},
                   {tensor("w", f8, {4, 130, 128}), tensor("w_scale", DataType::BF16, {4, 2, 1})});
  ASSERT_TRUE(stored.ok()) << stored.status().message;
  EXPECT_EQ(*stored, (StoredFamily{f8, "w", "w_scale", 128, 128}));
  for (const std::vector<int64_t> &shape : {std::vector<int64_t>{200}, {200, 1}}) {
    stored = claimOf(float8(1, 0), {200, 320},
                     {tensor("w", f8, {200, 320}), tensor("w_scale", f32, shape)});
    ASSERT_TRUE(stored.ok()) << stored.status().message;
    EXPECT_EQ(*stored, (StoredFamily{f8, "w", "w_scale", 1, 0}));
  }
  for (const std::vector<int64_t> &shape : {std::vector<int64_t>{}, {1}, {1, 1}}) {
    stored = claimOf(float8(0, 0), {200, 320},
                     {tensor("w", f8, {200, 320}), tensor("w_scale", DataType::F8E8M0, shape)});
    ASSERT_TRUE(stored.ok()) << stored.status().message;
    EXPECT_EQ(*stored, (StoredFamily{f8, "w", "w_scale", 0, 0}));
  }
  // Others may stay as they are.
  stored = claimOf(float8(128, 128), {200, 320}, {tensor("w", DataType::BF16, {200, 320})});
  ASSERT_TRUE(stored.ok()) << stored.status().message;
  EXPECT_EQ(stored->type, DataType::BF16);
}

TEST(TensorClaims, NamesWhatIsWrongWithFloatsOf8Bits) {
  const TestTensor codes = tensor("w", DataType::F8E4M3, {200, 320});
  auto claim = [&](QuantizationConfig quantization, std::vector<TestTensor> tensors) {
    tensors.push_back(codes);
    return claimOf(quantization, {200, 320}, tensors);
  };
  EXPECT_FAILS(claim(float8(128, 128), {}), Code::Model, "tensor `w_scale_inv` is missing");
  EXPECT_FAILS(claim(float8(128, 128), {tensor("w_scale", DataType::F32, {3, 2})}), Code::Model,
               "tensor `w_scale` has shape [3, 2], wanted [2, 3]");
  EXPECT_FAILS(claim(float8(1, 0), {tensor("w_scale", DataType::F32, {1, 200})}), Code::Model,
               "tensor `w_scale` has shape [1, 200], wanted [200, 1]");
  EXPECT_FAILS(claim(float8(0, 0), {tensor("w_scale", DataType::F32, {2})}), Code::Model,
               "tensor `w_scale` has shape [2], wanted []");
  EXPECT_FAILS(claim(float8(0, 0), {tensor("w_scale", DataType::F64, {1})}), Code::Unsupported,
               "tensor `w_scale` is F64; supported for scales are");
  EXPECT_FAILS(
      claim({}, {tensor("w_scale", DataType::F32, {1})}), Code::Unsupported,
      "tensor `w` is F8_E4M3; supported are F32, F16 and BF16, and of matrices F8_E4M3 and "
      "MXFP4 where config.json has a `quantization_config` that says so, which it has not");
  EXPECT_FAILS(claimOf({}, {2, 4}, {tensor("w", DataType::U8, {2, 4})}), Code::Unsupported,
               "tensor `w` is U8; supported are F32, F16 and BF16, and of matrices");
  EXPECT_FAILS(claim(float8(0, 0), {tensor("w_scale", DataType::F32, {1}),
                                    tensor("w_scale_inv", DataType::F32, {1})}),
               Code::Unsupported, "tensor `w_scale` is read by no part");
  EXPECT_FAILS(claimOf(float8(0, 0), {200}, {tensor("w", DataType::F8E4M3, {200})}),
               Code::Unsupported, "tensor `w` is F8_E4M3");
  EXPECT_FAILS(claimOf(float8(0, 0), {2, 4}, {tensor("w", DataType::F8E5M2, {2, 4})}),
               Code::Unsupported, "tensor `w` is F8_E5M2");
}

TEST(TensorClaims, Mxfp4IsInTwoTensors) {
  const QuantizationConfig mxfp4{QuantizationConfig::Codes::Mxfp4, 0, 0};
  const DataType u8 = DataType::U8;
  const TestTensor blocks = tensor("w_blocks", u8, {3, 10, 2, 16}),
                   scales = tensor("w_scales", u8, {3, 10, 2});
  Result<StoredFamily> stored = claimOf(mxfp4, {3, 10, 64}, {blocks, scales});
  ASSERT_TRUE(stored.ok()) << stored.status().message;
  EXPECT_EQ(*stored, (StoredFamily{DataType::F4, "w_blocks", "w_scales", 1, 32}));
  stored = claimOf(mxfp4, {10, 64}, {tensor("w", DataType::BF16, {10, 64})});
  ASSERT_TRUE(stored.ok()) << stored.status().message;
  EXPECT_EQ(stored->type, DataType::BF16);
  EXPECT_FAILS(claimOf({}, {3, 10, 64}, {blocks, scales}), Code::Unsupported,
               "tensor `w_blocks` looks like MXFP4, and config.json does not say so");
  EXPECT_FAILS(claimOf(mxfp4, {3, 10, 64}, {blocks}), Code::Model, "tensor `w_scales` is missing");
  EXPECT_FAILS(claimOf(mxfp4, {3, 10, 64}, {blocks, tensor("w_scales", u8, {3, 10, 4})}),
               Code::Model, "tensor `w_scales` has shape [3, 10, 4], wanted [3, 10, 2]");
  EXPECT_FAILS(claimOf(mxfp4, {3, 10, 96}, {blocks, scales}), Code::Model,
               "tensor `w_blocks` has shape [3, 10, 2, 16], wanted [3, 10, 3, 16]");
  EXPECT_FAILS(claimOf(mxfp4, {3, 10, 64}, {blocks, tensor("w_scales", DataType::I8, {3, 10, 2})}),
               Code::Unsupported, "tensor `w_scales` is I8; supported for MXFP4 is U8");
  EXPECT_FAILS(claimOf(mxfp4, {3, 10, 65}, {blocks, scales}), Code::Unsupported,
               "`w_blocks` is to have rows of 65 numbers, and MXFP4 has a scale for every 32");
}

TEST(TensorClaims, Mxfp4InSomeLayersIsNamed) {
  auto claim = [](const std::string &codes, const std::string &floats) {
    Model model({tensor(codes + "_blocks", DataType::U8, {10, 2, 16}),
                 tensor(codes + "_scales", DataType::U8, {10, 2}),
                 tensor(floats, DataType::BF16, {10, 64})});
    Result<Checkpoint> checkpoint = Checkpoint::open(model.path());
    TensorClaims claims(*checkpoint, {QuantizationConfig::Codes::Mxfp4, 0, 0});
    return claims.claim({.pattern = "w.{l}", .layers = {0, 1}, .shape = {10, 64}});
  };
  EXPECT_FAILS(claim("w.0", "w.1"), Code::Unsupported,
               "tensor `w.1` is BF16, and `w.0_blocks` is of MXFP4; moec wants");
  EXPECT_FAILS(claim("w.1", "w.0"), Code::Unsupported,
               "tensor `w.1_blocks` is of MXFP4, and `w.0` is BF16; moec wants");
}
