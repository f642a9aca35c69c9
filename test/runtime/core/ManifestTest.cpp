// Manifests survive a round trip, and each thing wrong with one is named.

#include "runtime/core/Manifest.h"

#include <gtest/gtest.h>

#include <fstream>

using namespace moec;

namespace {

Manifest sample() {
  Manifest manifest;
  manifest.name = "sample";
  manifest.versions = {{"llvm", "22.1.8"}, {"moec", "0.1.0"}};
  manifest.options = {{"weights", "map"}};
  manifest.architecture = "MixtralForCausalLM";
  manifest.vocabulary = 341;
  manifest.hidden = 40;
  manifest.layers = 2;
  manifest.context = 128;
  manifest.queryTile = 8;
  manifest.blockTokens = 32;
  manifest.stepTokens = 512;
  manifest.totalParameters = 1000;
  manifest.activeParameters = 600;
  manifest.moeLayers = {{0, 8, 2}, {1, 8, 3}};
  manifest.cpuLevels = {{"avx2", {"avx2", "fma"}}, {"avx512bf16", {"avx512f", "avx512_bf16"}}};
  manifest.caches = {{"attention", {0, 1}, 9216, 16}, {"indexed", {0, 1}, 4096, 0, 0, 8}};
  manifest.phases = {{"linear (q_proj)", 4096}, {"attention", 0}};
  manifest.weights = {.mode = WeightsMode::Map,
                      .pieces = {{.name = "experts.up",
                                  .pattern = "model.layers.{l}.experts.{e}.w3.weight",
                                  .layers = {0, 1},
                                  .matricesPerLayer = 8,
                                  .areHeads = true,
                                  .stored = "BF16",
                                  .shape = {28, 40},
                                  .matrixBytes = 2240,
                                  .isMultiplied = true}}};
  manifest.sources = {{"model.safetensors", 77, "00ff"}};
  manifest.modelDirectory = "/models/sample";
  manifest.followLinks = true;
  return manifest;
}

/// The message that a manifest gets after `from` was replaced by `to` in its text.
std::string errorAfter(const std::string &from, const std::string &to) {
  std::string text = writeManifest(sample());
  size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  Result<Manifest> parsed = parseManifest(text.replace(at, from.size(), to));
  return parsed.ok() ? "" : parsed.status().message;
}

TEST(Manifest, RoundTrip) {
  std::string text = writeManifest(sample());
  Result<Manifest> parsed = parseManifest(text);
  ASSERT_TRUE(parsed.ok()) << parsed.status().message;
  EXPECT_EQ(writeManifest(*parsed), text);
  EXPECT_EQ(parsed->mostPicked(), 3);
  ASSERT_EQ(parsed->caches.size(), 2u);
  EXPECT_EQ(parsed->caches[0].chosen, 0);
  EXPECT_EQ(parsed->caches[1].chosen, 8);
  ASSERT_EQ(parsed->phases.size(), 2u);
  EXPECT_EQ(parsed->phases[0].name, "linear (q_proj)");
  EXPECT_EQ(parsed->phases[0].bytes, 4096);
  EXPECT_EQ(parsed->weights.pieces[0].shape, (std::vector<int64_t>{28, 40}));
  EXPECT_EQ(parsed->weights.pieces[0].matrixBytes, 2240);
  EXPECT_TRUE(parsed->weights.pieces[0].areHeads);
  EXPECT_TRUE(parsed->weights.pieces[0].isMultiplied);
  EXPECT_EQ(parsed->modelDirectory, "/models/sample");
  EXPECT_TRUE(parsed->followLinks);
}

TEST(Manifest, TellsWhatAGraphTakesAndGives) {
  Manifest manifest = sample();
  manifest.graph = ManifestGraph{
      .dimensions = {"n"},
      .inputs = {{"x", "F32", {{.size = -1, .dimension = "n"}, {.size = 40, .dimension = {}}}}},
      .outputs = {{"y", "I64", {{.size = -1, .dimension = {}}}}, {"z", "BOOL", {}}},
      .failures = {"too few"}};
  const std::string text = writeManifest(manifest);
  Result<Manifest> parsed = parseManifest(text);
  ASSERT_TRUE(parsed.ok()) << parsed.status().message;
  ASSERT_TRUE(parsed->graph);
  EXPECT_EQ(parsed->graph->inputs[0].shape[0].dimension, "n");
  EXPECT_EQ(parsed->graph->inputs[0].shape[1].size, 40);
  EXPECT_EQ(parsed->graph->outputs[1].type, "BOOL");
  EXPECT_EQ(parsed->graph->failures, std::vector<std::string>{"too few"});
  EXPECT_EQ(parsed->vocabulary, 0) << "of a language model";
  auto errorOf = [&](const std::string &from, const std::string &to) {
    std::string changed = text;
    changed.replace(changed.find(from), from.size(), to);
    Result<Manifest> read = parseManifest(changed);
    return read.ok() ? "" : read.status().message;
  };
  EXPECT_EQ(errorOf("[\"n\",40]", "[\"m\",40]"),
            "manifest: 'graph.inputs' name 'm', which is none of the dimensions");
  EXPECT_EQ(errorOf("\"F32\"", "\"F31\""),
            "manifest: 'graph.inputs[0].type' names no element type: 'F31'");
  EXPECT_EQ(errorOf("[\"n\",40]", "[-1]"),
            "manifest: 'graph.inputs[0].shape' is -1, wanted sizes and names of dimensions");
}

TEST(Manifest, TellsWhatGpusLeaveToCpus) {
  Manifest manifest = sample();
  EXPECT_EQ(manifest.devicePieces().size(), 1u);
  manifest.weights.mode = WeightsMode::Pack;
  manifest.weights.bytes = 1000;
  manifest.weights.digest = "ff";
  manifest.weights.file = "w";
  manifest.weights.pieces.push_back(manifest.weights.pieces.front());
  EXPECT_EQ(manifest.deviceBytes(), 1000);
  manifest.gpus = {"sm_80"};
  manifest.deviceMemory = 24'000'000'000;
  manifest.host = ManifestHost{{1}, 640, 1};
  std::string text = writeManifest(manifest);
  Result<Manifest> parsed = parseManifest(text);
  ASSERT_TRUE(parsed.ok()) << parsed.status().message;
  EXPECT_EQ(writeManifest(*parsed), text);
  EXPECT_EQ(parsed->deviceMemory, 24'000'000'000);
  EXPECT_EQ(parsed->deviceBytes(), 640);
  EXPECT_EQ(parsed->devicePieces().size(), 1u);
  EXPECT_EQ(parsed->deviceWeightBytes(), 2 * 8 * 2240);
  EXPECT_EQ(parsed->hostWeightBytes(), 2 * 8 * 2240);
  auto refusal = [](Manifest changed) {
    return parseManifest(writeManifest(changed)).status().message;
  };
  manifest.host->layers = {2};
  EXPECT_EQ(refusal(manifest), "manifest: 'host.layers' is 2, wanted integers from 0 to 1");
  manifest.host = ManifestHost{{1}, 1001, 1};
  EXPECT_EQ(refusal(manifest),
            "manifest: 'host.first_byte' is 1001, wanted an integer from 0 to 1000");
  manifest.host = ManifestHost{{1}, 0, 3};
  EXPECT_EQ(refusal(manifest), "manifest: 'host.first_piece' is 3, wanted an integer from 0 to 2");
  manifest.host = ManifestHost{{1}, 0, 0};
  manifest.cpuLevels.clear();
  EXPECT_EQ(refusal(manifest), "manifest: 'cpu_levels' is empty, wanted at least one level");
}

TEST(Manifest, NeighbouringNumbersAreARange) {
  auto text = [](std::vector<int64_t> numbers) { return rangesText(numbers); };
  EXPECT_EQ(text({}), "");
  EXPECT_EQ(text({5}), "5");
  EXPECT_EQ(text({0, 1, 2, 3, 7, 9, 10}), "0 to 3, 7, 9, 10");
}

TEST(Manifest, CountsBlocksOfASequence) {
  ManifestCache all{.name = "all"}, near{.name = "near", .window = 64};
  EXPECT_EQ(all.mostBlocks(1000, /*rows=*/512, /*blockTokens=*/32), 32);
  EXPECT_EQ(near.mostBlocks(1000, /*rows=*/0, 32), 3);
  EXPECT_EQ(near.mostBlocks(1000, /*rows=*/512, 32), 19);
  EXPECT_EQ(near.mostBlocks(40, /*rows=*/512, 32), 2);
}

TEST(Manifest, FuzzingStartsFromOnesThatAreRead) {
  for (const char *name : {"map.json", "pack.json"}) {
    std::ifstream file(std::string(MOEC_TEST_DIR "/fuzz/seeds/manifest/") + name);
    std::string text(std::istreambuf_iterator<char>(file), {});
    Result<Manifest> parsed = parseManifest(text);
    EXPECT_TRUE(parsed.ok()) << name << ": " << parsed.status().message;
  }
}

TEST(Manifest, NamesTheField) {
  EXPECT_EQ(errorAfter("\"hidden\":40,", ""), "manifest: no 'hidden'");
  EXPECT_EQ(errorAfter("\"layers\":2,", "\"layers\":\"2\","),
            "manifest: 'layers' is \"2\", wanted an integer from 1 to 1048576");
  EXPECT_EQ(errorAfter("\"picked\":3", "\"picked\":9"),
            "manifest: 'moe_layers[1].picked' is 9, wanted an integer from 1 to 8");
  EXPECT_EQ(errorAfter("\"name\":\"avx512bf16\"", "\"name\":7"),
            "manifest: 'cpu_levels[1].name' is 7, wanted a string");
  EXPECT_EQ(errorAfter("{\"features\":[\"avx2\",\"fma\"],\"name\":\"avx2\"},"
                       "{\"features\":[\"avx512f\",\"avx512_bf16\"],\"name\":\"avx512bf16\"}",
                       ""),
            "manifest: 'cpu_levels' is empty, wanted at least one level");
  EXPECT_EQ(errorAfter("\"layer\":1", "\"layer\":0"),
            "manifest: 'moe_layers[1].layer' is 0, wanted an integer from 1 to 1");
  EXPECT_EQ(errorAfter("\"mode\":\"map\"", "\"mode\":\"heap\""),
            "manifest: 'weights.mode' is 'heap', wanted pack, embed or map");
  EXPECT_EQ(errorAfter("\"BF16\"", "\"BF17\""),
            "manifest: 'weights.pieces[0].stored' names no element type: 'BF17'");
  EXPECT_EQ(
      errorAfter("experts.{e}", "experts"),
      "manifest: 'weights.pieces[0].pattern' has several matrices per layer, and neither '{e}' "
      "nor rows_per_matrix");
  EXPECT_EQ(
      errorAfter("\"bytes\":4096", "\"bytes\":\"4096\""),
      "manifest: 'phases[0].bytes' is \"4096\", wanted an integer from 0 to 1125899906842624");
  EXPECT_EQ(errorAfter("\"chunk\":0", "\"chunk\":32"),
            "manifest: 'caches[0].chunk' is 32 beside a window of 16, wanted one of them or none");
  EXPECT_NE(errorAfter("\"context\":128", "\"context\":99999999999999999999"), "");
  EXPECT_NE(errorAfter("\"bytes_per_block\":9216", "\"bytes_per_block\":-1"), "");
  EXPECT_NE(errorAfter("\"format\":1", "\"format\":2").find("reads format 1"), std::string::npos);
}

TEST(Manifest, PanelsOfPackedWeightsHaveRoom) {
  Manifest manifest = sample();
  manifest.weights = {.mode = WeightsMode::Pack, .bytes = 4096, .digest = "00", .file = "w"};
  manifest.weights.panels = {{.offset = 64, .matrices = 3, .matrixBytes = 1344, .panelBytes = 768}};
  Result<Manifest> parsed = parseManifest(writeManifest(manifest));
  ASSERT_TRUE(parsed.ok()) << parsed.status().message;
  ASSERT_EQ(parsed->weights.panels.size(), 1u);
  EXPECT_EQ(parsed->weights.panels[0].offset, 64);
  EXPECT_EQ(parsed->weights.panels[0].matrices, 3);
  EXPECT_EQ(parsed->weights.panels[0].matrixBytes, 1344);
  EXPECT_EQ(parsed->weights.panels[0].panelBytes, 768);
  manifest.weights.panels[0].offset = 128;
  EXPECT_EQ(parseManifest(writeManifest(manifest)).status().message,
            "manifest: 'weights.panels[0].matrices' is 3, for which 4096 bytes have no room");
}

TEST(Manifest, RefusesWhatIsNoObject) {
  for (const char *text : {"", "[]", "null", "{}", "{\"format\":1", "\xff"})
    EXPECT_FALSE(parseManifest(text).ok()) << text;
}

} // namespace
