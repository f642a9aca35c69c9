// `quantization_config`: the methods that are read, and what is refused by name.

#include "frontends/checkpoint/QuantizationConfig.h"
#include "test/ScratchFolder.h"

#include <gtest/gtest.h>

using namespace moec;
using Codes = QuantizationConfig::Codes;

static Result<QuantizationConfig> read(const std::string &object) {
  Result<Config> config = Config::parse(R"({"quantization_config":)" + object + "}", "config.json");
  if (!config.ok())
    return config.status();
  ConfigReader reader(*config);
  QuantizationConfig found = readQuantization(reader);
  if (Status status = reader.finish(); !status.ok())
    return status;
  return found;
}

static void expectRead(const std::string &object, Codes codes, int64_t rows, int64_t columns) {
  Result<QuantizationConfig> found = read(object);
  ASSERT_TRUE(found.ok()) << object << ": " << found.status().message;
  EXPECT_EQ(found->codes, codes) << object;
  EXPECT_EQ(found->scaleRows, rows) << object;
  EXPECT_EQ(found->scaleColumns, columns) << object;
}

/// compressed-tensors with one group whose weights have these fields besides.
static std::string compressed(const std::string &weights, const std::string &more = "") {
  return R"({"quant_method":"compressed-tensors","format":"float-quantized","ignore":["lm_head","re:.*gate$"],)"
         R"("kv_cache_scheme":null,"sparsity_config":{},"config_groups":{"group_0":{"targets":["Linear"],)"
         R"("input_activations":{"num_bits":8,"type":"float","dynamic":true,"strategy":"token"},)"
         R"("weights":{"type":"float","num_bits":8,"symmetric":true,"dynamic":false)" +
         weights + "}}}" + more + "}";
}

TEST(QuantizationConfig, SaysWhichElementsShareAScale) {
  expectRead("null", Codes::None, 0, 0);
  expectRead(R"({"quant_method":"fp8","fmt":"e4m3","activation_scheme":"dynamic",)"
             R"("weight_block_size":[128,128],"scale_fmt":"ue8m0"})",
             Codes::Float8, 128, 128);
  expectRead(R"({"quant_method":"fp8","fmt":"float8_e4m3fn","weight_block_size":[64,256],)"
             R"("modules_to_not_convert":["gate","lm_head"]})",
             Codes::Float8, 64, 256);
  expectRead(R"({"quant_method":"fp8","activation_scheme":"static","ignored_layers":["lm_head"],)"
             R"("weight_block_size":null})",
             Codes::Float8, 0, 0);
  expectRead(compressed(R"(,"strategy":"channel","group_size":null)"), Codes::Float8, 1, 0);
  expectRead(compressed(R"(,"strategy":"tensor")"), Codes::Float8, 0, 0);
  expectRead(compressed(R"(,"strategy":"block","block_structure":[128,128])"), Codes::Float8, 128,
             128);
  expectRead(R"({"quant_method":"mxfp4","modules_to_not_convert":["model.layers.*.self_attn"]})",
             Codes::Mxfp4, 0, 0);
}

TEST(QuantizationConfig, TakesWhatOtherProgramsWriteBesides) {
  expectRead(R"({"quant_method":"fp8","activation_scheme":"dynamic","weight_block_size":[128,128],)"
             R"("dequantize":false,"modules_to_not_convert":null,"scale_fmt":"float","bits":null})",
             Codes::Float8, 128, 128);
  expectRead(R"({"quant_method":"mxfp4","dequantize":true})", Codes::Mxfp4, 0, 0);
  expectRead(
      compressed(
          R"(,"strategy":"channel","actorder":null,"block_structure":null,"group_size":null,)"
          R"("observer":"minmax","observer_kwargs":{},"scale_dtype":null,"zp_dtype":null)",
          R"(,"global_compression_ratio":1.5,"quantization_status":"frozen","version":"0.10.0",)"
          R"("transform_config":{})"),
      Codes::Float8, 1, 0);
}

TEST(QuantizationConfig, RefusesKeysThatItDoesNotKnow) {
  EXPECT_FAILS(read(R"({"quant_method":"fp8","weight_zero_point":3})"), Code::Unsupported,
               "`quantization_config.weight_zero_point` is 3, a key that may change the result and "
               "is not known");
  EXPECT_FAILS(read(R"({"quant_method":"mxfp4","group_size":16})"), Code::Unsupported,
               "`quantization_config.group_size` is 16");
  EXPECT_FAILS(read(compressed(R"(,"strategy":"tensor")", R"(,"rotation":"hadamard")")),
               Code::Unsupported, "`quantization_config.rotation` is \"hadamard\"");
  EXPECT_FAILS(read(compressed(R"(,"strategy":"tensor","bias":7)")), Code::Unsupported,
               "`quantization_config.config_groups.group_0.weights.bias` is 7");
  EXPECT_FAILS(
      read(R"({"quant_method":"compressed-tensors","format":"float-quantized","config_groups":)"
           R"({"a":{"scheme":"odd"}}})"),
      Code::Unsupported, "`quantization_config.config_groups.a.scheme` is \"odd\"");
}

TEST(QuantizationConfig, RefusesValuesThatItDoesNotKnow) {
  EXPECT_FAILS(read(R"({"quant_method":"fp8","scale_fmt":"log2"})"), Code::Unsupported,
               "`quantization_config.scale_fmt` is \"log2\"");
  EXPECT_FAILS(read(R"({"quant_method":"fp8","dequantize":"half"})"), Code::Unsupported,
               "`quantization_config.dequantize` is \"half\"");
  EXPECT_FAILS(
      read(compressed(R"(,"strategy":"tensor")", R"(,"quantization_status":"initialized")")),
      Code::Unsupported, "`quantization_config.quantization_status` is \"initialized\"");
  for (const char *field :
       {R"("group_size":128)", R"("actorder":"weight")", R"("block_structure":[2,4])"})
    EXPECT_FAILS(read(compressed(std::string(R"(,"strategy":"channel",)") + field)),
                 Code::Unsupported, "config_groups.group_0.weights.");
}

TEST(QuantizationConfig, RefusesWhatItDoesNotKnowByName) {
  EXPECT_FAILS(
      read(R"({"quant_method":"gptq","bits":4})"), Code::Unsupported,
      "config.json: `quantization_config.quant_method` is \"gptq\", which is not supported; "
      "wanted \"fp8\" or \"compressed-tensors\" or \"mxfp4\"");
  EXPECT_FAILS(read("{}"), Code::Unsupported, "`quantization_config.quant_method` is absent");
  EXPECT_FAILS(read("3"), Code::Model, "`quantization_config` is 3, wanted an object");
  EXPECT_FAILS(read(R"({"quant_method":"fp8","fmt":"e5m2"})"), Code::Unsupported,
               "`quantization_config.fmt` is \"e5m2\"");
  EXPECT_FAILS(read(R"({"quant_method":"fp8","activation_scheme":"odd"})"), Code::Unsupported,
               "`quantization_config.activation_scheme` is \"odd\"");
  for (const char *block : {"[128]", "[128,0]", "[128,-1]", "128", "[1.5,2]", "[128,2000000]"})
    EXPECT_FAILS(read(std::string(R"({"quant_method":"fp8","weight_block_size":)") + block + "}"),
                 Code::Model, "`quantization_config.weight_block_size` is ");
  EXPECT_FAILS(read(R"({"quant_method":"fp8","kv_cache_scheme":{"num_bits":8}})"),
               Code::Unsupported, "`quantization_config.kv_cache_scheme`");
  EXPECT_FAILS(read(R"({"quant_method":"mxfp4","modules_to_not_convert":[3]})"), Code::Model,
               "`quantization_config.modules_to_not_convert` is [3], wanted a list of strings");
}

TEST(QuantizationConfig, RefusesOtherCompressedTensors) {
  EXPECT_FAILS(read(R"({"quant_method":"compressed-tensors","format":"pack-quantized"})"),
               Code::Unsupported, "`quantization_config.format` is \"pack-quantized\"");
  EXPECT_FAILS(read(compressed(R"(,"strategy":"group","group_size":128)")), Code::Unsupported,
               "`quantization_config.config_groups.group_0.weights.strategy` is \"group\"");
  EXPECT_FAILS(read(compressed(R"(,"strategy":"block")")), Code::Model,
               "weights.block_structure` is absent");
  EXPECT_FAILS(read(compressed(R"(,"strategy":"tensor")", R"(,"transform_config":{"a":1})")),
               Code::Unsupported, "`quantization_config.transform_config`");
  EXPECT_FAILS(read(R"({"quant_method":"compressed-tensors","format":"float-quantized"})"),
               Code::Model, "`quantization_config.config_groups` is absent");
  EXPECT_FAILS(
      read(R"({"quant_method":"compressed-tensors","format":"float-quantized","config_groups":)"
           R"({"a":{"weights":{"type":"int","num_bits":8,"strategy":"tensor"}}}})"),
      Code::Unsupported, "config_groups.a.weights.type` is \"int\"");
  EXPECT_FAILS(
      read(R"({"quant_method":"compressed-tensors","format":"float-quantized","config_groups":)"
           R"({"a":{"weights":{"type":"float","num_bits":8,"strategy":"tensor"}},)"
           R"("b":{"weights":{"type":"float","num_bits":8,"strategy":"channel"}}}})"),
      Code::Unsupported, "config_groups.b.weights` is ");
}

TEST(QuantizationConfig, TwoOfANestedConfigHaveToAgree) {
  auto readNested = [](const std::string &outer) {
    Result<Config> config =
        Config::parse(R"({"quantization_config":)" + outer +
                          R"(,"text_config":{"quantization_config":{"quant_method":"mxfp4"}}})",
                      "config.json");
    EXPECT_TRUE(config.ok()) << config.status().message;
    ConfigReader reader(*config);
    readQuantization(reader);
    return reader.finish();
  };
  EXPECT_EQ(readNested(R"({"quant_method":"mxfp4"})").message, "");
  EXPECT_FAILS(
      readNested(R"({"quant_method":"fp8"})"), Code::Model,
      "`quantization_config` is {\"quant_method\":\"mxfp4\"}, but beside `text_config` it is "
      "{\"quant_method\":\"fp8\"}");
}
