// The packer against a naive packing, and files that are reused, refused or left alone.

#include "compiler/emit/Packer.h"
#include "compiler/emit/Quantizer.h"
#include "runtime/core/AtomicFile.h"
#include "test/compiler/emit/NaivePacking.h"

#include <gtest/gtest.h>

#include <csignal>
#include <fcntl.h>
#include <optional>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace moec;
namespace fs = std::filesystem;

// Layout -----------------------------------------------------------------------------------------

TEST(Packer, MatrixBytesAreThoseOfTheLayout) {
  EXPECT_EQ(panels("w", PackedElement::BF16, 100, 7, {}).matrixBytes(), (96u + 16) * 8 * 2);
  EXPECT_EQ(panels("w", PackedElement::F32, 48, 7, {}).matrixBytes(), 48u * 7 * 4);
  EXPECT_EQ(panels("w", PackedElement::F16, 33, 1, {}).matrixBytes(), 48u * 2 * 2);
  PackedWeight rows = panels("w", PackedElement::BF16, 100, 7, {});
  rows.layout = PackedLayout::Rows;
  EXPECT_EQ(rows.matrixBytes(), 1400u);
}

TEST(Packer, AgreesWithANaivePackingForEveryTypeAndRaggedSizes) {
  RandomModel model;
  WeightPlan plan;
  const DataType stored[] = {DataType::F32, DataType::F16, DataType::BF16};
  const PackedElement packed[] = {PackedElement::F32, PackedElement::F16, PackedElement::BF16};
  const std::pair<int64_t, int64_t> sizes[] = {{48, 32}, {96, 33}, {47, 1},
                                               {1, 16},  {49, 31}, {130, 64}};
  for (DataType type : stored)
    for (auto [rows, columns] : sizes) {
      std::string name = std::string(dataTypeName(type)) + "." + std::to_string(rows);
      model.add(name, type, {rows, columns});
      for (PackedElement element : packed) {
        PackedWeight weight =
            panels(name, element, rows, columns, {{.pattern = name, .stored = type, .rows = rows}});
        plan.append(weight);
        weight.layout = PackedLayout::Rows;
        plan.append(weight);
      }
    }
  Checkpoint checkpoint = model.open();
  Result<std::vector<uint8_t>> blob = packToMemory(checkpoint, plan);
  ASSERT_TRUE(blob.ok()) << blob.status().message;
  expectEqual(plan, *blob, packNaively(plan, model.values));
}

TEST(Packer, QuantisesRowsOfEveryType) {
  RandomModel model;
  WeightPlan plan;
  const std::pair<int64_t, int64_t> sizes[] = {{48, 32}, {20, 33}, {130, 100}};
  for (DataType type : {DataType::F32, DataType::F16, DataType::BF16})
    for (auto [rows, columns] : sizes)
      for (const QuantTraits &traits : kQuantFormats) {
        if (traits.scaleRows > 1)
          continue;
        std::string name =
            std::string(traits.name) + std::string(dataTypeName(type)) + std::to_string(rows);
        model.add(name, type, {2 * rows, columns});
        PackedWeight weight =
            panels(name, PackedElement::F32, rows, columns,
                   {{.pattern = name, .stored = type, .rows = rows, .rowsPerMatrix = rows}});
        weight.matricesPerLayer = 2;
        weight.quantized = traits.format;
        plan.append(weight);
      }
  Checkpoint checkpoint = model.open();
  Result<std::vector<uint8_t>> blob = packToMemory(checkpoint, plan);
  ASSERT_TRUE(blob.ok()) << blob.status().message;
  for (const PackedWeight &weight : plan.weights) {
    const QuantFormat format = *weight.quantized;
    const auto groups = size_t(quantGroups(format, weight.columns));
    const auto codes = size_t(quantRowCodeBytes(format, weight.columns));
    const auto scaleBytes = size_t(quantScaleBytes(format));
    std::vector<uint8_t> wanted;
    for (int64_t expert : {0, 1})
      for (int64_t first = 0; first < weight.rows; first += 48) {
        const auto width = size_t(std::min<int64_t>(48, (weight.rows - first + 15) / 16 * 16));
        std::vector<uint8_t> words(width * codes), room(width * codes), zeros(width * groups);
        std::vector<uint8_t> scales(width * groups * scaleBytes);
        std::vector<QuantizedRow> quantized;
        for (size_t n = 0; n < width; ++n) {
          std::vector<float> row(size_t(weight.columns));
          for (int64_t k = 0; first + int64_t(n) < weight.rows && k < weight.columns; ++k)
            row[size_t(k)] =
                float(sourceElement(model.values, weight, 0, expert, first + int64_t(n), k));
          quantized.push_back(
              {&words[n * codes], &scales[n * groups * scaleBytes], &zeros[n * groups]});
          quantizeRow(format, row.data(), row.size(), quantized.back());
        }
        const size_t before = wanted.size();
        wanted.resize(before + width * size_t(quantDepthBytes(format, weight.columns)));
        layOutQuantizedPanel(format, size_t(weight.columns), quantized.data(), width, room.data(),
                             &wanted[before]);
      }
    ASSERT_EQ(wanted.size(), weight.bytes());
    EXPECT_EQ(0, std::memcmp(wanted.data(), blob->data() + weight.offset, wanted.size()))
        << weight.name;
  }
}

// Scales of f16 are none for such elements: the weights would be lost without a word.
TEST(Packer, RefusesFormatsWhoseScalesDoNotReachTheWeights) {
  auto pack = [](float factor, QuantFormat format) {
    RandomModel model;
    model.add("w", DataType::F32, {48, 32}, factor);
    WeightPlan plan;
    PackedWeight weight = panels("w", PackedElement::F32, 48, 32,
                                 {{.pattern = "w", .stored = DataType::F32, .rows = 48}});
    weight.quantized = format;
    plan.append(weight);
    Checkpoint checkpoint = model.open();
    Result<std::vector<uint8_t>> blob = packToMemory(checkpoint, plan);
    return blob.ok() ? Status() : blob.status();
  };
  for (float factor : {0.0f, 0x1p-16f, 1.0f, 0x1p+16f})
    EXPECT_EQ(pack(factor, QuantFormat::Int8).message, "") << factor;
  Status small = pack(0x1p-30f, QuantFormat::Int8);
  EXPECT_EQ(small.code, Code::Unsupported);
  EXPECT_EQ(small.message,
            "the largest element of `w` is 3.45e-09, and int8 has scales for 3.03e-05 to 8.32e+06; "
            "leave its class as it is stored, or quantize it to mxfp4 or fp8");
  EXPECT_EQ(pack(0x1p+30f, QuantFormat::Int4Asymmetric).code, Code::Unsupported);
  for (QuantFormat format : {QuantFormat::Mxfp4, QuantFormat::Fp8})
    EXPECT_EQ(pack(0x1p-30f, format).message, "");
}

/// What packing 4 experts of 48 x 64 says, of which w.2 has `odd` at [5, 7].
static Status packWithOdd(float odd, std::optional<QuantFormat> format) {
  ScratchFolder folder;
  folder.write("config.json", "{}");
  std::vector<TestTensor> tensors;
  for (int expert = 0; expert < 4; ++expert) {
    std::vector<uint8_t> bytes(48 * 64 * 4);
    if (expert == 2)
      std::memcpy(&bytes[(5 * 64 + 7) * 4], &odd, 4);
    tensors.push_back({"w." + std::to_string(expert), DataType::F32, {48, 64}, bytes});
  }
  writeTensors(folder.path("model.safetensors"), tensors);
  WeightPlan plan;
  PackedWeight weight = panels("w", PackedElement::F32, 48, 64,
                               {{.pattern = "w.{e}", .stored = DataType::F32, .rows = 48}});
  weight.matricesPerLayer = 4;
  weight.quantized = format;
  plan.append(weight);
  Result<Checkpoint> checkpoint = Checkpoint::open(folder.path());
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status().message;
  Result<std::vector<uint8_t>> blob = packToMemory(*checkpoint, plan);
  return blob.ok() ? Status() : blob.status();
}

TEST(Packer, NamesElementsThatAreNoNumbersWhereTheyAreQuantised) {
  for (float odd : {NAN, INFINITY, -INFINITY}) {
    for (QuantFormat format : {QuantFormat::Int8, QuantFormat::Int4Asymmetric, QuantFormat::Mxfp4})
      EXPECT_FAILS(packWithOdd(odd, format), Code::Model,
                   "tensor `w.2` has an element in row 5 that is no finite number");
    EXPECT_EQ(packWithOdd(odd, std::nullopt).message, "");
  }
  EXPECT_EQ(packWithOdd(1, QuantFormat::Int8).message, "");
}

/// What packing codes of 4 x 256 says, with a scale for 2 x 128 each, or for each 32 columns.
static Status packWithScales(DataType codes, const TestTensor &scales) {
  ScratchFolder folder;
  folder.write("config.json", "{}");
  const bool isFloat8 = codes == DataType::F8E4M3;
  writeTensors(folder.path("model.safetensors"),
               {isFloat8 ? TestTensor{"w", codes, {4, 256}, std::vector<uint8_t>(4 * 256)}
                         : TestTensor{"w", DataType::U8, {4, 8, 16}, std::vector<uint8_t>(512)},
                scales});
  WeightPlan plan;
  PackedWeight weight = panels("w", PackedElement::F32, 4, 256,
                               {{.pattern = "w",
                                 .stored = codes,
                                 .rows = 4,
                                 .scales = scales.name,
                                 .scaleRows = isFloat8 ? 2 : 1,
                                 .scaleColumns = isFloat8 ? 128 : 32}});
  weight.quantized = isFloat8 ? QuantFormat::Fp8 : QuantFormat::Mxfp4;
  plan.append(weight);
  Result<Checkpoint> checkpoint = Checkpoint::open(folder.path());
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status().message;
  Result<std::vector<uint8_t>> blob = packToMemory(*checkpoint, plan);
  return blob.ok() ? Status() : blob.status();
}

TEST(Packer, NamesScalesThatAreNoNumbers) {
  std::vector<uint8_t> exponents(4 * 8, 127);
  auto mxfp4 = [&] { return packWithScales(DataType::F4, {"s", DataType::U8, {4, 8}, exponents}); };
  EXPECT_EQ(mxfp4().message, "");
  exponents[3 * 8 + 5] = 255;
  EXPECT_FAILS(mxfp4(), Code::Model, "tensor `s` has a scale at [3, 5] that is no finite number");
  for (float odd : {1.0f, NAN, INFINITY}) {
    std::vector<uint8_t> bytes(4 * 4);
    std::memcpy(&bytes[3 * 4], &odd, 4);
    Status status = packWithScales(DataType::F8E4M3, {"s", DataType::F32, {2, 2}, bytes});
    if (odd == 1)
      EXPECT_EQ(status.message, "");
    else
      EXPECT_FAILS(status, Code::Model,
                   "tensor `s` has a scale at [1, 1] that is no finite number");
  }
}

TEST(Packer, StacksLayersExpertsAndRowPieces) {
  RandomModel model;
  WeightPlan plan;
  for (int64_t layer : {0, 3}) {
    std::string l = "l." + std::to_string(layer);
    model.add(l + ".q", DataType::BF16, {50, 20});
    model.add(l + ".k", DataType::BF16, {10, 20});
    model.add(l + ".v", DataType::F32, {10, 20});
    model.add(l + ".qb", DataType::BF16, {50});
    model.add(l + ".kb", DataType::BF16, {10});
    model.add(l + ".norm", DataType::BF16, {20});
    for (int64_t expert = 0; expert < 3; ++expert)
      model.add(l + ".e." + std::to_string(expert), DataType::BF16, {28, 20});
    model.add(l + ".gate_up", DataType::BF16, {3, 56, 20});
    model.add(l + ".turned", DataType::BF16, {3, 20, 56});
    model.add(l + ".out", DataType::F32, {20, 50});
    model.add(l + ".heads", DataType::BF16, {3 * 33, 28}); // each of 20 rows of keys, 13 of values
  }
  const std::vector<int64_t> layers = {0, 3};
  auto append = [&](PackedWeight weight, int64_t experts) {
    weight.layers = layers;
    weight.matricesPerLayer = experts;
    plan.append(std::move(weight));
  };
  const DataType bf16 = DataType::BF16;
  append(panels("qkv", PackedElement::BF16, 70, 20,
                {{.pattern = "l.{l}.q", .stored = bf16, .rows = 50},
                 {.pattern = "l.{l}.k", .stored = bf16, .rows = 10},
                 {.pattern = "l.{l}.v", .stored = DataType::F32, .rows = 10}}),
         0);
  PackedWeight bias = panels("bias", PackedElement::F32, 60, 1,
                             {{.pattern = "l.{l}.qb", .stored = bf16, .rows = 50},
                              {.pattern = "l.{l}.kb", .stored = bf16, .rows = 10}});
  bias.layout = PackedLayout::Rows;
  append(bias, 0);
  PackedWeight norm = panels("norm", PackedElement::F32, 1, 20,
                             {{.pattern = "l.{l}.norm", .stored = bf16, .rows = 1}});
  norm.layout = PackedLayout::Rows;
  append(norm, 0);
  append(panels("experts", PackedElement::BF16, 28, 20,
                {{.pattern = "l.{l}.e.{e}", .stored = bf16, .rows = 28}}),
         3);
  append(panels("up, fused", PackedElement::F32, 28, 20,
                {{.pattern = "l.{l}.gate_up",
                  .stored = bf16,
                  .rows = 28,
                  .firstRow = 28,
                  .rowsPerMatrix = 56}}),
         3);
  append(panels("up, interleaved", PackedElement::BF16, 28, 20,
                {{.pattern = "l.{l}.gate_up",
                  .stored = bf16,
                  .rows = 28,
                  .firstRow = 1,
                  .rowStep = 2,
                  .rowsPerMatrix = 56}}),
         3);
  append(panels("turned", PackedElement::BF16, 28, 20,
                {{.pattern = "l.{l}.turned",
                  .stored = bf16,
                  .rows = 28,
                  .firstRow = 28,
                  .rowsPerMatrix = 20,
                  .transposed = true}}),
         3);
  append(panels("turned, interleaved", PackedElement::BF16, 28, 20,
                {{.pattern = "l.{l}.turned",
                  .stored = bf16,
                  .rows = 28,
                  .rowStep = 2,
                  .rowsPerMatrix = 20,
                  .transposed = true}}),
         3);
  append(panels("turned, with gaps", PackedElement::F32, 28, 20,
                {{.pattern = "l.{l}.heads",
                  .stored = bf16,
                  .rows = 28,
                  .rowsPerMatrix = 33,
                  .transposed = true}}),
         3);
  append(
      panels("turned whole", PackedElement::F16, 50, 20,
             {{.pattern = "l.{l}.out", .stored = DataType::F32, .rows = 50, .transposed = true}}),
      0);
  Checkpoint checkpoint = model.open();
  Result<std::vector<uint8_t>> blob = packToMemory(checkpoint, plan);
  ASSERT_TRUE(blob.ok()) << blob.status().message;
  expectEqual(plan, *blob, packNaively(plan, model.values));
}

TEST(Packer, ExpertsComeFromSeveralTensors) {
  RandomModel model;
  for (int64_t layer : {0, 3}) {
    std::string l = "l." + std::to_string(layer);
    for (int64_t expert = 0; expert < 3; ++expert) {
      model.add(l + ".e." + std::to_string(expert) + ".up", DataType::BF16, {50, 20});
      model.add(l + ".e." + std::to_string(expert) + ".down", DataType::BF16, {60, 20});
    }
    model.add(l + ".half", DataType::BF16, {3 * 30, 20});
    model.add(l + ".shared.up", DataType::BF16, {2 * 50, 20});
    model.add(l + ".shared.down", DataType::F32, {61, 2 * 20});
    model.add(l + ".all.down", DataType::F16, {60, 5 * 20});
  }
  WeightPlan plan;
  const DataType bf16 = DataType::BF16;
  const StoredRows below{.pattern = "l.{l}.shared.up",
                         .stored = bf16,
                         .rows = 50,
                         .rowsPerMatrix = 50,
                         .firstMatrix = 3,
                         .matrices = 2};
  const StoredRows beside{.pattern = "l.{l}.shared.down",
                          .stored = DataType::F32,
                          .rows = 60,
                          .firstRow = 1,
                          .sideBySide = true,
                          .firstMatrix = 3};
  std::vector<PackedWeight> weights{
      panels("up", PackedElement::BF16, 50, 20,
             {{.pattern = "l.{l}.e.{e}.up", .stored = bf16, .rows = 50, .matrices = 3}, below}),
      panels("up in halves", PackedElement::BF16, 50, 20,
             {{.pattern = "l.{l}.e.{e}.up", .stored = bf16, .rows = 20, .matrices = 3},
              {.pattern = "l.{l}.half",
               .stored = bf16,
               .rows = 30,
               .rowsPerMatrix = 30,
               .matrices = 3},
              below}),
      panels("down", PackedElement::BF16, 60, 20,
             {{.pattern = "l.{l}.e.{e}.down", .stored = bf16, .rows = 60, .matrices = 3}, beside}),
      panels("every second row, side by side", PackedElement::F32, 30, 20,
             {{.pattern = "l.{l}.all.down",
               .stored = DataType::F16,
               .rows = 30,
               .rowStep = 2,
               .sideBySide = true}})};
  for (PackedWeight &weight : weights) {
    weight.layers = {0, 3};
    weight.matricesPerLayer = 5;
    plan.append(weight);
    weight.layout = PackedLayout::Rows;
    plan.append(weight);
  }
  Checkpoint checkpoint = model.open();
  Result<std::vector<uint8_t>> blob = packToMemory(checkpoint, plan);
  ASSERT_TRUE(blob.ok()) << blob.status().message;
  expectEqual(plan, *blob, packNaively(plan, model.values));

  // A stored row that is not as long as all its experts is not read.
  plan.weights[4].sources[1].pattern = "l.{l}.shared.up";
  plan.weights[4].sources[1].stored = bf16;
  EXPECT_FAILS(packToMemory(checkpoint, plan), Code::Model, "does not hold the 60 rows of 20");
}

TEST(Packer, SameBytesForAnyThreadsAndMemoryWhereTasksAreMany) {
  RandomModel model;
  // 5 MB in panels of bf16, so that matrices are cut into tasks and tasks cross matrices.
  for (int expert = 0; expert < 3; ++expert)
    model.add("e." + std::to_string(expert), DataType::F32, {500, 1601});
  WeightPlan plan;
  PackedWeight weight = panels("w", PackedElement::BF16, 500, 1601,
                               {{.pattern = "e.{e}", .stored = DataType::F32, .rows = 500}});
  weight.matricesPerLayer = 3;
  plan.append(weight);
  weight.layout = PackedLayout::Rows;
  weight.element = PackedElement::F32;
  plan.append(weight);
  Checkpoint checkpoint = model.open();
  std::vector<uint8_t> wanted = packNaively(plan, model.values);
  for (PackOptions options : {PackOptions{.threads = 1}, PackOptions{.threads = 7},
                              PackOptions{.threads = 4, .memoryBytes = 1}}) {
    uint64_t last = 0;
    options.progress = [&](uint64_t done, uint64_t total) {
      EXPECT_GT(done, last);
      EXPECT_EQ(total, plan.totalBytes());
      last = done;
    };
    Result<std::vector<uint8_t>> blob = packToMemory(checkpoint, plan, options);
    ASSERT_TRUE(blob.ok()) << blob.status().message;
    expectEqual(plan, *blob, wanted);
    EXPECT_EQ(last, plan.totalBytes());
  }
}

// Files ------------------------------------------------------------------------------------------

/// A small model, its plan, and where it is packed to.
struct Packed : RandomModel {
  WeightPlan plan;

  Packed() {
    add("w", DataType::BF16, {60, 32});
    plan.append(panels("w", PackedElement::BF16, 60, 32,
                       {{.pattern = "w", .stored = DataType::BF16, .rows = 60}}));
    checkpoint.emplace(open());
  }
  Result<PackReport> pack() { return packToFile(*checkpoint, plan, path("out.weights")); }
  void reopen() { checkpoint.emplace(std::move(*Checkpoint::open(path()))); }
  /// Changes one byte of the last tensor.
  void changeSource() {
    std::string bytes = read("model.safetensors");
    bytes.back() ^= 1;
    write("model.safetensors", bytes);
    reopen();
  }

  std::optional<Checkpoint> checkpoint;
};

TEST(Packer, MakesTheFileThatTheRuntimeOpens) {
  Packed model;
  Result<PackReport> report = model.pack();
  ASSERT_TRUE(report.ok()) << report.status().message;
  EXPECT_EQ(fs::file_size(model.path("out.weights")), packedFileBytes(model.plan));
  Result<PackedFile> file =
      PackedFile::open(model.path("out.weights"), report->digest, report->bytes);
  ASSERT_TRUE(file.ok()) << file.status().message;
  std::vector<uint8_t> blob(file->data(), file->data() + report->bytes);
  expectEqual(model.plan, blob, packNaively(model.plan, model.values));
  double share = 0;
  EXPECT_TRUE(file->verify([&](double done) { share = done; }).ok());
  EXPECT_EQ(share, 1.0);
}

TEST(Packer, EqualPacksAreEqualBytesAndReused) {
  Packed model;
  ASSERT_FALSE(model.pack()->reused);
  std::string first = model.read("out.weights");
  fs::file_time_type time = fs::last_write_time(model.path("out.weights"));
  Result<PackReport> again = model.pack();
  ASSERT_TRUE(again->reused);
  EXPECT_EQ(fs::last_write_time(model.path("out.weights")), time);
  fs::remove(model.path("out.weights"));
  Result<PackReport> anew = model.pack();
  ASSERT_FALSE(anew->reused);
  EXPECT_EQ(anew->digest, again->digest);
  EXPECT_EQ(model.read("out.weights"), first);
}

TEST(Packer, ChangedSourcesPlansAndDamagedFilesArePackedAgain) {
  Packed model;
  std::string digest = model.pack()->digest;
  model.changeSource();
  Result<PackReport> changed = model.pack();
  ASSERT_FALSE(changed->reused);
  EXPECT_NE(changed->digest, digest);

  std::string whole = model.read("out.weights");
  model.write("out.weights", whole.substr(0, whole.size() - 1));
  EXPECT_FALSE(model.pack()->reused);
  whole[40] ^= 1;
  model.write("out.weights", whole);
  EXPECT_FALSE(model.pack()->reused);
  EXPECT_TRUE(model.pack()->reused);

  model.plan.weights[0].element = PackedElement::F16;
  EXPECT_FALSE(model.pack()->reused);
}

TEST(Packer, AChangeBetweenTheSampledBlocksIsSeenByItsTime) {
  Packed model;
  model.add("large", DataType::BF16, {3000, 1000});
  model.checkpoint.emplace(model.open());
  std::string digest = model.pack()->digest;
  ASSERT_TRUE(model.pack()->reused);
  struct stat before;
  ASSERT_EQ(stat(model.path("model.safetensors").c_str(), &before), 0);
  std::string bytes = model.read("model.safetensors");
  bytes[bytes.size() / 16 / 2 + 70'000] ^= 1; // between the first two blocks
  model.write("model.safetensors", bytes);
  // Also where someone gives it its old time back.
  timespec times[2] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(utimensat(AT_FDCWD, model.path("model.safetensors").c_str(), times, 0), 0);
  model.reopen();
  Result<PackReport> again = model.pack();
  EXPECT_FALSE(again->reused);
  EXPECT_EQ(again->digest, digest) << "the byte was sampled; choose another";
}

TEST(Packer, ADigestTellsOtherBytesWhateverTheTime) {
  Packed model;
  ASSERT_FALSE(model.pack()->reused);
  model.changeSource();
  fs::last_write_time(model.path("out.weights"),
                      fs::file_time_type::clock::now() + std::chrono::hours(1));
  EXPECT_FALSE(model.pack()->reused);
}

TEST(Packer, FailuresLeaveTheOldFileAlone) {
  Packed model;
  model.write("out.weights", "old");
  size_t entries = model.entries();
  model.plan.weights[0].sources[0].pattern = "nothing";
  EXPECT_FAILS(model.pack(), Code::Model, "tensor `nothing` is missing");
  model.plan.weights[0].sources[0] = {.pattern = "w", .stored = DataType::F16, .rows = 60};
  EXPECT_FAILS(model.pack(), Code::Model, "tensor `w` is BF16, wanted F16");
  model.plan.weights[0].sources[0] = {
      .pattern = "w", .stored = DataType::BF16, .rows = 60, .firstRow = 1};
  EXPECT_FAILS(model.pack(), Code::Model, "does not hold the 60 rows of 32 elements");
  model.plan.weights[0].sources[0] = {.pattern = "w", .stored = DataType::BF16, .rows = 59};
  EXPECT_FAILS(model.pack(), Code::Internal, "has 60 rows, its sources 59");
  EXPECT_EQ(model.read("out.weights"), "old");
  EXPECT_EQ(model.entries(), entries);
}

TEST(Packer, SourcesThatShrinkAreNamed) {
  Packed model;
  fs::resize_file(model.path("model.safetensors"), 100);
  EXPECT_FAILS(model.pack(), Code::Model, "model.safetensors");
  EXPECT_FALSE(model.has("out.weights"));
}

TEST(Packer, RefusesWhatDoesNotFitNamingMap) {
  Packed model;
  WeightPlan plan;
  PackedWeight weight = model.plan.weights[0];
  weight.layers.assign(900'000, 0);
  weight.sources.assign(1000, weight.sources[0]);
  weight.rows *= 1000;
  plan.append(weight); // 3.5 TB
  Result<uint64_t> free = freeDiskBytes(model.path());
  ASSERT_TRUE(free.ok());
  if (*free > plan.totalBytes())
    GTEST_SKIP() << "the disk has room for " << plan.totalBytes() << " bytes";
  EXPECT_FAILS(packToFile(*model.checkpoint, plan, model.path("out")), Code::Resource,
               "GB free; free some space, or use --weights=map");
}

TEST(Packer, AFullDiskNamesMapAndLeavesNothing) {
  Packed model;
  size_t entries = model.entries();
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = {.rlim_cur = 5000, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  Result<PackReport> report = model.pack();
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_FAILS(report, Code::Resource, "--weights=map");
  EXPECT_EQ(model.entries(), entries);
}

TEST(Packer, UnwritablePlacesAreUsageErrors) {
  Packed model;
  EXPECT_FAILS(packToFile(*model.checkpoint, model.plan, model.path("none/out")), Code::Usage,
               "none/out");
}

TEST(Packer, HeadersAloneCannotBePacked) {
  Packed model;
  Result<Checkpoint> headers = Checkpoint::open(model.path(), {.headersOnly = true});
  EXPECT_FAILS(packToFile(*headers, model.plan, model.path("out")), Code::Usage, "headers only");
}

TEST(Packer, WritesTheSameIntoAnotherFile) {
  Packed model;
  Result<AtomicFile> program = AtomicFile::create(model.path("program"));
  ASSERT_TRUE(program.ok());
  Result<PackReport> report = packInto(*model.checkpoint, model.plan, *program, 8192);
  ASSERT_TRUE(report.ok()) << report.status().message;
  ASSERT_TRUE(program->commit().ok());
  EXPECT_EQ(report->digest, model.pack()->digest);
  EXPECT_EQ(model.read("program"), std::string(8192, '\0') + model.read("out.weights"));
}

TEST(Packer, NamesTheWeightsThatWereRounded) {
  RandomModel model;
  model.add("exact", DataType::BF16, {16, 16});
  model.add("rounded", DataType::F32, {16, 16});
  WeightPlan plan;
  plan.append(panels("exact", PackedElement::BF16, 16, 16,
                     {{.pattern = "exact", .stored = DataType::BF16, .rows = 16}}));
  plan.append(panels("rounded", PackedElement::BF16, 16, 16,
                     {{.pattern = "rounded", .stored = DataType::F32, .rows = 16}}));
  Checkpoint checkpoint = model.open();
  Result<PackReport> report = packToFile(checkpoint, plan, model.path("out"));
  ASSERT_TRUE(report.ok());
  ASSERT_EQ(report->lossy.size(), 1u);
  EXPECT_EQ(report->lossy[0].name, "rounded");
  EXPECT_FALSE(report->lossy[0].overflow);
}
