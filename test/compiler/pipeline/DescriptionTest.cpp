// What a scheduled module's description says of its weights.

#include "compiler/pipeline/Description.h"

#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"

#include <algorithm>

using namespace moec;

namespace {

Result<ProgramDescription> tryToDescribe(const std::string &weights,
                                         const PipelineOptions &options = {},
                                         const std::string &attributes = {}) {
  mlir::DialectRegistry registry;
  registerDialects(registry);
  mlir::MLIRContext context(registry);
  std::string text =
      "module attributes {moec.model = {context = 64 : i64, experts = 4 : i64, picked = 2 : i64, "
      "moe_layers = array<i64: 0, 1>, mla = \"expanded\"}" +
      attributes + "} {\n" + weights + "}";
  mlir::OwningOpRef<mlir::ModuleOp> module =
      mlir::parseSourceString<mlir::ModuleOp>(text, &context);
  if (!module)
    return Status{Code::Internal, "the test's module is not read"};
  return describeProgram(*module, options);
}

/// The description of a model of two layers of four experts, with these weights.
ProgramDescription describe(const std::string &weights, const PipelineOptions &options = {}) {
  Result<ProgramDescription> described = tryToDescribe(weights, options);
  EXPECT_TRUE(described.ok()) << described.status().message;
  return described.ok() ? *described : ProgramDescription();
}

std::string failureOf(const std::string &weights) {
  return tryToDescribe(weights).status().message;
}

TEST(DescriptionTest, TheFormOfLatentAttentionIsAnOption) {
  const auto options = describe("").manifest.options;
  EXPECT_EQ(std::count(options.begin(), options.end(),
                       std::pair<std::string, std::string>("mla", "expanded")),
            1);
  EXPECT_TRUE(std::is_sorted(options.begin(), options.end()));
}

TEST(DescriptionTest, WhatGpusLeaveToCpusComesBehindTheirWeights) {
  auto weight = [](const std::string &name, int layer, const std::string &layout) {
    return "lm.weight @" + name + " : !lm.weight<4x48x16xbf16> layers [" + std::to_string(layer) +
           "] from [#lm.piece<pattern = \"" + name + ".{l}.{e}\", rows = 48, stored = bf16>] " +
           "packed <layout = " + layout + ", element = bf16, offset = 0>\n";
  };
  constexpr int64_t kStackBytes = int64_t(4) * 48 * 16 * 2;
  const std::string text =
      weight("up", 0, "rows") + "module @host {" + weight("up", 1, "panels") +
      "func.func @step(%batch: !lm.batch) {\n"
      "%layer = lm.part_layer %batch\n"
      "%w = lm.load_weight @up[%layer] : !lm.weight<4x48x16xbf16>\n"
      "%x = lm.part_rows 0 of %batch : memref<?x16xbf16>\n"
      "%t = lm.part_rows 1 of %batch : memref<?x3xi32>\n"
      "%y = lm.part_rows 2 of %batch : memref<?x48xf32>\n"
      "moe.grouped_matmul ins(%x, %w, %t : memref<?x16xbf16>, "
      "!lm.weight<4x48x16xbf16>, memref<?x3xi32>) outs(%y : memref<?x48xf32>)\n"
      "return }}";
  const PipelineOptions options{.cpu = "avx2", .gpu = "sm_80"};
  const std::string placement =
      ", moec.placement = {device_memory = 1000 : i64, host_layers = array<i64: 1>}";
  Result<ProgramDescription> described = tryToDescribe(text, options, placement);
  ASSERT_TRUE(described.ok()) << described.status().message;
  const Manifest &manifest = described->manifest;
  ASSERT_TRUE(manifest.host);
  EXPECT_EQ(manifest.host->layers, std::vector<int64_t>{1});
  EXPECT_EQ(manifest.host->firstByte, uint64_t(kStackBytes));
  EXPECT_EQ(manifest.host->firstPiece, 1u);
  EXPECT_EQ(manifest.deviceMemory, 1000);
  EXPECT_EQ(manifest.weights.bytes, uint64_t(2 * kStackBytes));
  ASSERT_EQ(described->plan.weights.size(), 2u);
  EXPECT_EQ(described->plan.weights[1].offset, uint64_t(kStackBytes));
  // Nodes of memory matter to what CPUs read.
  ASSERT_EQ(manifest.weights.panels.size(), 1u);
  EXPECT_EQ(manifest.weights.panels[0].offset, kStackBytes);
  ASSERT_EQ(manifest.cpuLevels.size(), 1u);
  EXPECT_EQ(manifest.cpuLevels[0].name, "avx2");
  EXPECT_TRUE(std::is_sorted(manifest.options.begin(), manifest.options.end()));
  EXPECT_EQ(tryToDescribe(text, options).status().code, Code::Model) << "without the placement";
}

TEST(DescriptionTest, PiecesOfOneMatrixAreOneEntry) {
  std::vector<ManifestPiece> pieces =
      describe("lm.weight @q_k : !lm.weight<48x16xf32> layers [0, 1] from "
               "[#lm.piece<pattern = \"q.{l}\", rows = 32, stored = f32>, "
               "#lm.piece<pattern = \"k.{l}\", rows = 16, stored = f32>] "
               "packed <layout = rows, element = f32, offset = 0>")
          .manifest.weights.pieces;
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0].matricesPerLayer, 0);
  EXPECT_EQ(pieces[0].shape, (std::vector<int64_t>{48, 16}));
}

TEST(DescriptionTest, RoutedExpertsAreCounted) {
  std::vector<ManifestPiece> pieces =
      describe("lm.weight @up : !lm.weight<4x8x16xf32> layers [0, 1] from "
               "[#lm.piece<pattern = \"up.{l}\", rows = 8, first_row = 8, rows_per_expert = 16, "
               "stored = f32>] packed <layout = rows, element = f32, offset = 0>")
          .manifest.weights.pieces;
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0].matricesPerLayer, 4);
  EXPECT_EQ(pieces[0].firstRow, 8);
  EXPECT_EQ(pieces[0].rowsPerMatrix, 16);
  EXPECT_EQ(pieces[0].shape, (std::vector<int64_t>{8, 16}));
}

TEST(DescriptionTest, HeadsAreNoExperts) {
  std::vector<ManifestPiece> pieces =
      describe("lm.weight @values : !lm.weight<8x4x16xf32> heads layers [0, 1] from "
               "[#lm.piece<pattern = \"kv_b.{l}\", rows = 4, rows_per_expert = 8, stored = f32>] "
               "packed <layout = rows, element = f32, offset = 0>")
          .manifest.weights.pieces;
  ASSERT_EQ(pieces.size(), 1u); // none of them shared, though the model has four experts only
  EXPECT_EQ(pieces[0].matricesPerLayer, 8);
  EXPECT_TRUE(pieces[0].areHeads);
  EXPECT_EQ(pieces[0].shape, (std::vector<int64_t>{4, 16}));
}

// One column is not enough to make vectors of matrices.
TEST(DescriptionTest, MatricesOfOneColumnAreMultiplied) {
  auto isMultiplied = [](const std::string &kind) {
    std::vector<ManifestPiece> pieces =
        describe("lm.weight @w : !lm.weight<4x8x1xf32> " + kind +
                 "layers [] from [#lm.piece<pattern = \"w.{e}\", rows = 8, stored = f32>] "
                 "packed <layout = rows, element = f32, offset = 0>\n"
                 "func.func @f() -> !lm.weight<4x8x1xf32> {\n"
                 "  %w = lm.load_weight @w : !lm.weight<4x8x1xf32>\n"
                 "  return %w : !lm.weight<4x8x1xf32>\n}\n")
            .manifest.weights.pieces;
    return pieces.at(0).isMultiplied;
  };
  EXPECT_TRUE(isMultiplied(""));
  EXPECT_FALSE(isMultiplied("vectors "));
}

// A table of which a token needs a row is not read ahead.
TEST(DescriptionTest, WhatIsMultiplied) {
  std::vector<ManifestPiece> pieces =
      describe("lm.weight @table : !lm.weight<100x16xf32> layers [] from "
               "[#lm.piece<pattern = \"e\", rows = 100, stored = f32>] "
               "packed <layout = rows, element = f32, offset = 0>\n"
               "lm.weight @up : !lm.weight<8x16xf32> layers [] from "
               "[#lm.piece<pattern = \"up\", rows = 8, stored = f32>] "
               "packed <layout = rows, element = f32, offset = 6400>\n"
               "func.func @step(%ids: memref<?xi32>, %x: memref<?x16xf32>, %y: memref<?x8xf32>) {\n"
               "  %e = lm.load_weight @table : !lm.weight<100x16xf32>\n"
               "  lm.embedding ins(%ids, %e : memref<?xi32>, !lm.weight<100x16xf32>) "
               "outs(%x : memref<?x16xf32>)\n"
               "  %w = lm.load_weight @up : !lm.weight<8x16xf32>\n"
               "  lm.linear ins(%x, %w : memref<?x16xf32>, !lm.weight<8x16xf32>) "
               "outs(%y : memref<?x8xf32>)\n"
               "  return\n"
               "}")
          .manifest.weights.pieces;
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_FALSE(pieces[0].isMultiplied);
  EXPECT_TRUE(pieces[1].isMultiplied);
}

TEST(DescriptionTest, PanelsOfATableAreNoMatrices) {
  ProgramDescription described =
      describe("lm.weight @table : !lm.weight<96x32xf32> layers [] from "
               "[#lm.piece<pattern = \"e\", rows = 96, stored = f32>] "
               "packed <layout = panels, element = !lm.quantized<int8>, offset = 0>\n"
               "func.func @step(%ids: memref<?xi32>, %x: memref<?x32xf32>) {\n"
               "  %e = lm.load_weight @table : !lm.weight<96x32xf32>\n"
               "  lm.embedding ins(%ids, %e : memref<?xi32>, !lm.weight<96x32xf32>) "
               "outs(%x : memref<?x32xf32>)\n"
               "  return\n"
               "}");
  EXPECT_TRUE(described.manifest.weights.panels.empty());
  ASSERT_EQ(described.manifest.weights.pieces.size(), 1u);
  EXPECT_EQ(described.manifest.weights.pieces[0].matrixBytes, 96 * (32 + 2));
}

TEST(DescriptionTest, CodesKeepTheirTypeAndScales) {
  ProgramDescription described =
      describe("lm.weight @eight : !lm.weight<96x256xf8E4M3FN> layers [0, 1] from "
               "[#lm.piece<pattern = \"e.{l}\", rows = 96, stored = f8E4M3FN, "
               "scales = <pattern = \"s.{l}\", rows = 128, columns = 64>>] "
               "packed <layout = panels, element = !lm.quantized<fp8>, offset = 0>\n"
               "lm.weight @four : !lm.weight<96x256xf4E2M1FN> layers [] from "
               "[#lm.piece<pattern = \"f_blocks\", rows = 96, stored = f4E2M1FN, "
               "scales = <pattern = \"f_scales\", rows = 1, columns = 32>>] "
               "packed <layout = panels, element = !lm.quantized<mxfp4>, offset = 50688>");
  ASSERT_EQ(described.plan.weights.size(), 2u);
  const StoredRows &eight = described.plan.weights[0].sources[0];
  EXPECT_EQ(eight.stored, DataType::F8E4M3);
  EXPECT_EQ(eight.scales, "s.{l}");
  EXPECT_EQ(eight.scaleRows, 128);
  EXPECT_EQ(eight.scaleColumns, 64);
  EXPECT_EQ(described.plan.weights[1].sources[0].stored, DataType::F4);
  const std::vector<ManifestPiece> &pieces = described.manifest.weights.pieces;
  EXPECT_EQ(pieces[0].stored, "F8_E4M3");
  EXPECT_EQ(pieces[0].matrixBytes, 96 * (256 + 2 * 4));
  EXPECT_EQ(pieces[1].stored, "F4");
  EXPECT_EQ(pieces[1].matrixBytes, 96 * (128 + 8));
}

TEST(DescriptionTest, CachesHaveBlocksOfOneSize) {
  EXPECT_EQ(failureOf("lm.cache @a layers [0] heads 2 size 12 block 32 : f32\n"
                      "lm.cache @b layers [1] heads 2 size 12 block 64 : f32"),
            "the cache b has blocks of 64 positions, that before it of 32; a program has one size "
            "for all");
}

/// A cache for choosing among `context` positions, and one that the chosen ones are read of.
static std::string sparseAttention(int64_t context) {
  return "lm.cache @index layers [0] heads 1 size 32 values 32 latent block 32 : f32\n"
         "lm.cache @indexed layers [0] heads 1 size 48 indexed block 32 : f32\n"
         "func.func @step(%b: !lm.batch, %l: index, %i: memref<?x128xf32>, %w: memref<?x4xf32>, "
         "%c: memref<?x9xi32>, %q: memref<?x96xf32>) {\n"
         "  lm.choose_keys @index[%l] of %b scale 1.0 context " +
         std::to_string(context) +
         " ins(%i, %w : memref<?x128xf32>, memref<?x4xf32>) outs(%c : memref<?x9xi32>)\n"
         "  lm.attention @indexed[%l] of %b scale 1.0 ins(%q : memref<?x96xf32>) "
         "chosen(%c : memref<?x9xi32>) outs(%q : memref<?x96xf32>)\n"
         "  return\n"
         "}";
}

TEST(DescriptionTest, OfAnIndexedCacheAsManyPositionsAreReadAsAreChosen) {
  std::vector<ManifestCache> caches = describe(sparseAttention(64)).manifest.caches;
  ASSERT_EQ(caches.size(), 2u);
  EXPECT_EQ(caches[0].chosen, 0);
  EXPECT_EQ(caches[1].chosen, 8);
}

TEST(DescriptionTest, KeysAreChosenAmongAllPositions) {
  EXPECT_EQ(
      failureOf(sparseAttention(63)),
      "a choice of keys in the cache index is among 63 positions, but the program's sequences "
      "have up to 64");
}

// A node of memory gets whole panels.
TEST(DescriptionTest, PanelsOfPackedMatrices) {
  std::vector<ManifestPanels> panels =
      describe("lm.weight @norm : !lm.weight<16xf32> layers [] from "
               "[#lm.piece<pattern = \"n\", rows = 16, stored = f32>] "
               "packed <layout = rows, element = f32, offset = 0>\n"
               "lm.weight @up : !lm.weight<4x100x16xf32> layers [0, 1] from "
               "[#lm.piece<pattern = \"up.{l}.{e}\", rows = 100, stored = f32>] "
               "packed <layout = panels, element = bf16, offset = 64>\n"
               "func.func @step(%layer: index, %x: memref<?x16xf32>, %tiles: memref<?x3xi32>, "
               "%y: memref<?x100xf32>) {\n"
               "  %w = lm.load_weight @up[%layer] : !lm.weight<4x100x16xf32>\n"
               "  moe.grouped_matmul ins(%x, %w, %tiles : memref<?x16xf32>, "
               "!lm.weight<4x100x16xf32>, memref<?x3xi32>) outs(%y : memref<?x100xf32>)\n"
               "  return\n"
               "}")
          .manifest.weights.panels;
  ASSERT_EQ(panels.size(), 1u);
  EXPECT_EQ(panels[0].offset, 64);
  EXPECT_EQ(panels[0].matrices, 2 * 4);
  EXPECT_EQ(panels[0].panelBytes, 48 * 16 * 2);
  EXPECT_EQ(panels[0].matrixBytes, (48 + 48 + 16) * 16 * 2); // the last panel has 4 rows
}

TEST(DescriptionTest, WhatQuantizesSaysForWhichWeights) {
  const std::string weight = " : !lm.weight<32x32xf32> layers [] from [#lm.piece<pattern = ";
  const std::string packed =
      ", rows = 32, stored = f32>] packed <layout = panels, element = !lm.quantized<int8>, ";
  auto step = [](const std::string &name) {
    return "  lm.phase \"quantize\" tiles(%n) rows 1 panels 0 {\n  ^bb0(%tile: index):\n"
           "    lm.quantize block 32 ins(%x : memref<?x32xf32>) outs(%q : memref<?x40xi8>)\n  }\n"
           "  %" +
           name + " = lm.load_weight @" + name +
           " : !lm.weight<32x32xf32>\n"
           "  lm.phase \"linear\" tiles(%n) rows 1 panels 1 {\n  ^bb0(%tile: index):\n"
           "    lm.linear ins(%q, %" +
           name + " : memref<?x40xi8>, !lm.weight<32x32xf32>) outs(%x : memref<?x32xf32>)\n  }\n";
  };
  PipelineOptions profiled;
  profiled.profile = true;
  // One buffer serves both.
  std::vector<ManifestPhase> phases =
      describe("lm.weight @o" + weight + "\"o_proj.weight\"" + packed + "offset = 0>\n" +
                   "lm.weight @d" + weight + "\"down_proj.weight\"" + packed + "offset = 1088>\n" +
                   "func.func @step(%n: index, %x: memref<?x32xf32>, %q: memref<?x40xi8>) {\n" +
                   step("o") + step("d") + "  return\n}",
               profiled)
          .manifest.phases;
  ASSERT_EQ(phases.size(), 4u);
  EXPECT_EQ(phases[0].name, "quantize (for o_proj)");
  EXPECT_EQ(phases[1].name, "linear (o_proj)");
  EXPECT_EQ(phases[2].name, "quantize (for down_proj)");
  EXPECT_EQ(phases[3].name, "linear (down_proj)");
}

// What was folded into experts is read for every token: it is no expert that a router picks.
TEST(DescriptionTest, SharedExpertIsTheMatrixThatItWas) {
  ProgramDescription described = describe(
      "lm.weight @up : !lm.weight<7x8x16xf32> layers [0, 1] from "
      "[#lm.piece<pattern = \"up.{l}.{e}\", rows = 8, experts = 4, stored = f32>, "
      "#lm.piece<pattern = \"shared_up.{l}\", rows = 8, rows_per_expert = 8, first_expert = 4, "
      "experts = 3, stored = f32>] packed <layout = rows, element = f32, offset = 0>\n"
      "lm.weight @down : !lm.weight<7x16x8xf32> layers [0, 1] from "
      "[#lm.piece<pattern = \"down.{l}.{e}\", rows = 16, experts = 4, stored = f32>, "
      "#lm.piece<pattern = \"shared_down.{l}\", rows = 16, side_by_side = true, first_expert = 4, "
      "experts = 3, stored = f32>] packed <layout = rows, element = f32, offset = 7168>\n");
  const std::vector<ManifestPiece> &pieces = described.manifest.weights.pieces;
  ASSERT_EQ(pieces.size(), 4u);
  for (size_t routed : {0, 2})
    EXPECT_EQ(pieces[routed].matricesPerLayer, 4);
  EXPECT_EQ(pieces[1].matricesPerLayer, 0);
  EXPECT_EQ(pieces[1].pattern, "shared_up.{l}");
  EXPECT_EQ(pieces[1].shape, (std::vector<int64_t>{24, 16}));
  EXPECT_EQ(pieces[3].matricesPerLayer, 0);
  EXPECT_EQ(pieces[3].pattern, "shared_down.{l}");
  EXPECT_EQ(pieces[3].shape, (std::vector<int64_t>{16, 24}));

  // The packer is told which experts come from where.
  ASSERT_EQ(described.plan.weights.size(), 2u);
  const StoredRows &down = described.plan.weights[1].sources[1];
  EXPECT_TRUE(down.sideBySide);
  EXPECT_EQ(down.firstMatrix, 4);
  EXPECT_EQ(down.matrices, 3);
}

} // namespace
