// config.json: defaults, ranges, spellings, and keys that must not be passed over.

#include "frontends/checkpoint/Config.h"
#include "test/ScratchFolder.h"

#include <gtest/gtest.h>

using namespace moec;

static Config config(std::string_view text) {
  Result<Config> parsed = Config::parse(text, "config.json");
  EXPECT_TRUE(parsed.ok()) << parsed.status().message;
  return parsed.ok() ? *parsed : Config();
}

TEST(Config, GivesValuesAndDefaults) {
  Config source = config(R"({"a":3,"b":4.0,"c":0.5,"d":true,"e":"x","f":[1,2],"g":null,"h":7,)"
                         R"("i":["p","q"],"j":{"k":1}})");
  ConfigReader read(source);
  EXPECT_EQ(read.integer("a", 1, 0, 10), 3);
  EXPECT_EQ(read.integer("b", 1, 0, 10), 4);
  EXPECT_EQ(read.integer("g", 5, 0, 10), 5);
  EXPECT_EQ(read.integer("absent", 6, 0, 10), 6);
  EXPECT_EQ(read.number("c", 1.0), 0.5);
  EXPECT_EQ(read.number("a", 1.0), 3.0);
  EXPECT_TRUE(read.boolean("d", false));
  EXPECT_EQ(read.string("e", "y"), "x");
  EXPECT_EQ(read.integers("f", 0, 9), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(read.integers("h", 0, 9), (std::vector<int64_t>{7}));
  EXPECT_TRUE(read.integers("g", 0, 9).empty());
  EXPECT_EQ(read.strings("i"), (std::vector<std::string>{"p", "q"}));
  EXPECT_EQ((*read.object("j"))["k"], 1);
  EXPECT_FALSE(read.has("g"));
  EXPECT_TRUE(read.finish().ok()) << read.status().message;
}

TEST(Config, NamesFileKeyAndWhatWasWanted) {
  auto fails = [](auto access) {
    Config source = config(R"({"s":"x","n":-3,"h":1e30,"f":1.5,"t":true,"l":[1,"x"],"long":")" +
                           std::string(200, 'y') + R"(","big":18446744073709551615})");
    ConfigReader read(source);
    access(read);
    return read.finish();
  };
  using R = ConfigReader;
  EXPECT_FAILS(fails([](R &r) { r.integer("s", 1, 0, 9); }), Code::Model,
               "config.json: `s` is \"x\", wanted an integer from 0 to 9");
  EXPECT_FAILS(fails([](R &r) { r.integer("n", 1, 0, 9); }), Code::Model, "`n` is -3");
  EXPECT_FAILS(fails([](R &r) { r.integer("h", 1, 0, 9); }), Code::Model, "`h` is 1e+30");
  EXPECT_FAILS(fails([](R &r) { r.integer("big", 1, -1, 9); }), Code::Model, "`big`");
  EXPECT_FAILS(fails([](R &r) { r.integer("f", 1, 0, 9); }), Code::Model, "`f` is 1.5");
  EXPECT_FAILS(fails([](R &r) { r.integer("t", 1, 0, 9); }), Code::Model, "`t` is true");
  EXPECT_FAILS(fails([](R &r) { r.integer("none", std::nullopt, 1, 9); }), Code::Model,
               "`none` is absent, wanted an integer from 1 to 9");
  EXPECT_FAILS(fails([](R &r) { r.number("s", 1.0); }), Code::Model, "wanted a number");
  EXPECT_FAILS(fails([](R &r) { r.number("n", 1.0, 0.0, 2.0); }), Code::Model,
               "wanted a number from 0 to 2");
  EXPECT_FAILS(fails([](R &r) { r.boolean("n", true); }), Code::Model, "wanted true or false");
  EXPECT_FAILS(fails([](R &r) { r.string("n", "x"); }), Code::Model, "wanted a string");
  EXPECT_FAILS(fails([](R &r) { r.integers("l", 0, 9); }), Code::Model,
               "wanted a list of integers");
  EXPECT_FAILS(fails([](R &r) { r.strings("l"); }), Code::Model, "wanted a list of strings");
  EXPECT_FAILS(fails([](R &r) { r.object("l"); }), Code::Model, "wanted an object");
  Status status = fails([](R &r) { r.integer("long", 1, 0, 9); });
  EXPECT_LT(status.message.size(), 150u);
}

TEST(Config, KeepsTheFirstFailureAndLegalValues) {
  Config source = config(R"({"a":-1,"b":"x"})");
  ConfigReader read(source);
  EXPECT_EQ(read.integer("a", std::nullopt, 4, 9), 4);
  EXPECT_EQ(read.integer("b", 7, 4, 9), 7);
  EXPECT_FAILS(read.finish(), Code::Model, "`a` is -1");
}

TEST(Config, TakesEitherSpellingAndRefusesDisagreement) {
  Config both = config(R"({"dtype":"float32","torch_dtype":"float32","num_experts":4,)"
                       R"("num_local_experts":8})");
  ConfigReader read(both);
  EXPECT_EQ(read.string({"dtype", "torch_dtype"}, "x"), "float32");
  EXPECT_TRUE(read.status().ok());
  read.integer({"num_experts", "num_local_experts"}, 1, 0, 99);
  EXPECT_FAILS(read.finish(), Code::Model, "`num_local_experts` is 8, but `num_experts` is 4");
  Config one = config(R"({"num_local_experts":8})");
  EXPECT_EQ(ConfigReader(one).integer({"num_experts", "num_local_experts"}, 1, 0, 99), 8);
}

TEST(Config, LooksIntoTextConfigAloneForTheLanguageModelsKeys) {
  Config nested = config(
      R"({"tie_word_embeddings":true,"hidden_size":1,"sliding_window":8,"head_dim":4,"layers":7,)"
      R"("text_config":{"hidden_size":2,"head_dim":null}})");
  ConfigReader read(nested);
  EXPECT_EQ(read.integer("hidden_size", 0, 0, 9), 2);
  EXPECT_EQ(read.integer("layers", 3, 0, 9), 3) << "the default, not what the outer object has";
  EXPECT_EQ(read.integer("head_dim", 6, 0, 9), 6);
  EXPECT_FALSE(read.has("tie_word_embeddings"));
  EXPECT_TRUE(read.finish().ok()) << read.status().message;
}

TEST(Config, LooksIntoTheOuterObjectForWhatIsOfTheWhole) {
  Config nested = config(
      R"({"architectures":["X"],"model_type":"outer","quantization_config":{"quant_method":"a"},)"
      R"("text_config":{"model_type":"inner","architectures":["Y"]}})");
  EXPECT_EQ(nested.architecture(), "X");
  EXPECT_EQ(nested.modelType(), "outer");
  EXPECT_EQ((*ConfigReader(nested).object("quantization_config"))["quant_method"], "a");
  EXPECT_FAILS(ConfigReader(nested).finish(), Code::Unsupported, "`quantization_config`");
  Config inner = config(R"({"text_config":{"quantization_config":{"quant_method":"b"}}})");
  EXPECT_EQ((*ConfigReader(inner).object("quantization_config"))["quant_method"], "b");
  EXPECT_EQ(config(R"({"architectures":[]})").architecture(), "");
}

TEST(Config, RefusesALanguageModelThatIsNoObject) {
  for (std::string text : {"null", "[1]", "\"x\""}) {
    Result<Config> parsed = Config::parse("{\"text_config\":" + text + "}", "f");
    ASSERT_FALSE(parsed.ok());
    EXPECT_FAILS(parsed.status(), Code::Model,
                 "f: `text_config` is " + text + ", wanted an object");
  }
}

TEST(Config, RefusesUnreadKeysThatChangeTheMaths) {
  auto finish = [](std::string_view text) {
    Config source = config(text);
    return ConfigReader(source).finish();
  };
  EXPECT_FAILS(finish(R"({"quantization_config":{"quant_method":"fp8"}})"), Code::Unsupported,
               "`quantization_config` is {\"quant_method\":\"fp8\"}, which changes the result");
  EXPECT_FAILS(finish(R"({"attention_bias":true})"), Code::Unsupported, "attention_bias");
  EXPECT_FAILS(finish(R"({"hidden_act":"gelu"})"), Code::Unsupported, "hidden_act");
  EXPECT_FAILS(finish(R"({"sliding_window":8})"), Code::Unsupported, "sliding_window");
  EXPECT_FAILS(finish(R"({"layer_types":["full_attention","sliding_attention"]})"),
               Code::Unsupported, "\"sliding_attention\" layers");
  EXPECT_TRUE(finish(R"({"attention_bias":false,"hidden_act":"silu","sliding_window":null,)"
                     R"("routed_scaling_factor":1,"n_group":1,"layer_types":["full_attention"],)"
                     R"("attention_dropout":0.3,"anything":[1]})")
                  .ok());
}

TEST(Config, ReadOrIgnoredKeysAreTheArchitecturesOwnBusiness) {
  Config source = config(R"({"sliding_window":8,"use_qk_norm":true,"layer_types":["sliding"]})");
  ConfigReader read(source);
  read.integer("sliding_window", 0, 0, 100);
  read.ignore({"use_qk_norm"});
  EXPECT_FAILS(ConfigReader(read).finish(), Code::Unsupported, "layer_types");
  read.strings("layer_types");
  EXPECT_TRUE(read.finish().ok()) << read.status().message;
}

TEST(Config, ExpectNamesWhatIsSupported) {
  Config source = config(R"({"scoring_func":"sigmoid","hidden_act":"silu"})");
  ConfigReader read(source);
  read.expect("hidden_act", "silu");
  read.expect("absent", 1);
  EXPECT_TRUE(read.status().ok());
  read.expect("scoring_func", "softmax");
  EXPECT_FAILS(read.finish(), Code::Unsupported,
               "`scoring_func` is \"sigmoid\", which is not supported here; wanted \"softmax\"");
}
