// The packer against a naive packing of its own, and files that are reused, refused or left alone.

#include "compiler/emit/Packer.h"
#include "compiler/emit/PanelCopy.h"
#include "test/ScratchFolder.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <csignal>
#include <fcntl.h>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace moec;
namespace fs = std::filesystem;

// A second implementation, element by element ----------------------------------------------------

/// The value of stored bits.
static double valueOf(const uint8_t *bytes, DataType type) {
  if (type == DataType::F32) {
    float value;
    std::memcpy(&value, bytes, 4);
    return value;
  }
  unsigned bits = bytes[0] | bytes[1] << 8;
  int exponentBits = type == DataType::BF16 ? 8 : 5, mantissaBits = 15 - exponentBits;
  int bias = (1 << (exponentBits - 1)) - 1;
  int exponent = static_cast<int>(bits >> mantissaBits) & ((1 << exponentBits) - 1);
  int mantissa = static_cast<int>(bits & ((1u << mantissaBits) - 1));
  double magnitude;
  if (exponent == (1 << exponentBits) - 1)
    magnitude = mantissa ? NAN : INFINITY;
  else if (exponent == 0)
    magnitude = std::ldexp(mantissa, 1 - bias - mantissaBits);
  else
    magnitude = std::ldexp(mantissa + (1 << mantissaBits), exponent - bias - mantissaBits);
  return bits & 0x8000 ? -magnitude : magnitude;
}

/// The nearest 16-bit float, found among all of them; ties go to the even one.
static uint16_t nearestHalf(double value, DataType type) {
  static std::map<DataType, std::map<double, uint16_t>> all; // of positive ones
  std::map<double, uint16_t> &table = all[type];
  unsigned infinity = type == DataType::BF16 ? 0x7f80 : 0x7c00;
  if (table.empty())
    for (unsigned bits = 0; bits < infinity; ++bits) {
      uint8_t bytes[2] = {uint8_t(bits), uint8_t(bits >> 8)};
      table[valueOf(bytes, type)] = static_cast<uint16_t>(bits);
    }
  unsigned sign = std::signbit(value) ? 0x8000 : 0;
  double magnitude = std::fabs(value);
  auto above = table.lower_bound(magnitude);
  if (above != table.end() && above->first == magnitude)
    return static_cast<uint16_t>(sign | above->second);
  auto below = std::prev(above);
  // Past the largest, the next one would be infinity, one step further.
  double highValue =
      above == table.end() ? 2 * below->first - std::prev(below)->first : above->first;
  unsigned highBits = above == table.end() ? infinity : above->second;
  double down = magnitude - below->first, up = highValue - magnitude;
  bool isUp = up < down || (up == down && highBits % 2 == 0);
  return static_cast<uint16_t>(sign | (isUp ? highBits : below->second));
}

static void appendElement(std::vector<uint8_t> &out, double value, PackedElement element) {
  if (element == PackedElement::F32) {
    auto single = static_cast<float>(value);
    const auto *bytes = reinterpret_cast<const uint8_t *>(&single);
    out.insert(out.end(), bytes, bytes + 4);
    return;
  }
  uint16_t bits =
      nearestHalf(value, element == PackedElement::BF16 ? DataType::BF16 : DataType::F16);
  out.push_back(static_cast<uint8_t>(bits));
  out.push_back(static_cast<uint8_t>(bits >> 8));
}

/// A tensor's elements as numbers.
using Values = std::map<std::string, std::vector<double>>;

static double sourceElement(const Values &values, const PackedWeight &weight, int64_t ordinal,
                            int64_t expert, int64_t row, int64_t column) {
  const WeightSource *source = &weight.sources[0];
  while (row >= source->rows)
    row -= (source++)->rows;
  std::string name = source->pattern;
  bool own = name.find("{e}") != std::string::npos;
  auto put = [&](const char *what, int64_t number) {
    if (size_t at = name.find(what); at != std::string::npos)
      name.replace(at, 3, std::to_string(number));
  };
  put("{l}", weight.layers.empty() ? 0 : weight.layers[static_cast<size_t>(ordinal)]);
  put("{e}", expert);
  const std::vector<double> &tensor = values.at(name);
  int64_t base = own ? 0 : expert * source->rowsPerExpert;
  int64_t place = source->firstRow + row * source->rowStep;
  return tensor[static_cast<size_t>(source->transposed ? base * weight.columns +
                                                             column * source->rowsPerExpert + place
                                                       : (base + place) * weight.columns + column)];
}

static std::vector<uint8_t> packNaively(const WeightPlan &plan, const Values &values) {
  std::vector<uint8_t> blob;
  for (const PackedWeight &weight : plan.weights) {
    blob.resize((blob.size() + 63) / 64 * 64);
    EXPECT_EQ(blob.size(), weight.offset) << weight.name;
    int64_t ordinals = std::max<int64_t>(1, static_cast<int64_t>(weight.layers.size()));
    for (int64_t o = 0; o < ordinals; ++o)
      for (int64_t e = 0; e < std::max<int64_t>(1, weight.experts); ++e) {
        auto at = [&](int64_t n, int64_t k) {
          return n < weight.rows && k < weight.columns ? sourceElement(values, weight, o, e, n, k)
                                                       : 0.0;
        };
        if (weight.layout == PackedLayout::Rows) {
          for (int64_t n = 0; n < weight.rows; ++n)
            for (int64_t k = 0; k < weight.columns; ++k)
              appendElement(blob, at(n, k), weight.element);
          continue;
        }
        int64_t pair = weight.element == PackedElement::F32 ? 1 : 2;
        for (int64_t first = 0; first < weight.rows; first += 48) {
          int64_t width = std::min<int64_t>(48, (weight.rows - first + 15) / 16 * 16);
          for (int64_t k = 0; k < weight.columns; k += pair)
            for (int64_t n = first; n < first + width; ++n)
              for (int64_t i = 0; i < pair; ++i)
                appendElement(blob, at(n, k + i), weight.element);
        }
      }
  }
  blob.resize((blob.size() + 63) / 64 * 64);
  return blob;
}

// A checkpoint of random tensors -----------------------------------------------------------------

struct RandomModel : ScratchFolder {
  Values values;
  std::vector<TestTensor> tensors;
  std::mt19937 random{17};

  RandomModel() { write("config.json", "{}"); }

  void add(const std::string &name, DataType type, std::vector<int64_t> shape) {
    TestTensor tensor{name, type, shape, {}};
    int64_t count = 1;
    for (int64_t size : shape)
      count *= size;
    std::vector<double> &numbers = values[name];
    std::normal_distribution<float> normal;
    for (int64_t index = 0; index < count; ++index) {
      float value = normal(random);
      if (type == DataType::F32) {
        const auto *bytes = reinterpret_cast<const uint8_t *>(&value);
        tensor.bytes.insert(tensor.bytes.end(), bytes, bytes + 4);
      } else {
        uint16_t bits = nearestHalf(value, type);
        tensor.bytes.push_back(static_cast<uint8_t>(bits));
        tensor.bytes.push_back(static_cast<uint8_t>(bits >> 8));
      }
      numbers.push_back(valueOf(tensor.bytes.data() + tensor.bytes.size() -
                                    static_cast<size_t>(dataTypeBits(type) / 8),
                                type));
    }
    tensors.push_back(std::move(tensor));
  }

  Checkpoint open() {
    writeTensors(path("model.safetensors"), tensors);
    Result<Checkpoint> checkpoint = Checkpoint::open(path());
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status().message;
    return *checkpoint;
  }
};

static Result<std::vector<uint8_t>> packToMemory(const Checkpoint &checkpoint,
                                                 const WeightPlan &plan,
                                                 const PackOptions &options = {}) {
  std::vector<uint8_t> blob(plan.totalBytes(), 0xee); // so that a byte left out shows
  Result<PackReport> report = packToSink(
      checkpoint, plan,
      [&](uint64_t offset, std::span<const uint8_t> bytes) {
        std::copy(bytes.begin(), bytes.end(), blob.begin() + static_cast<ptrdiff_t>(offset));
        return Status{};
      },
      options);
  if (!report.ok())
    return report.status();
  return blob;
}

static void expectEqual(const WeightPlan &plan, const std::vector<uint8_t> &found,
                        const std::vector<uint8_t> &wanted) {
  ASSERT_EQ(found.size(), wanted.size());
  size_t at = static_cast<size_t>(std::mismatch(found.begin(), found.end(), wanted.begin()).first -
                                  found.begin());
  if (at == found.size())
    return;
  for (const PackedWeight &weight : plan.weights)
    if (at >= weight.offset && at < weight.offset + weight.bytes())
      ADD_FAILURE() << weight.name << " differs at byte " << at - weight.offset;
  FAIL() << "first difference at byte " << at;
}

static PackedWeight panels(std::string name, PackedElement element, int64_t rows, int64_t columns,
                           std::vector<WeightSource> sources) {
  PackedWeight weight;
  weight.name = std::move(name);
  weight.layout = PackedLayout::Panels;
  weight.element = element;
  weight.rows = rows;
  weight.columns = columns;
  weight.sources = std::move(sources);
  return weight;
}

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
  }
  const std::vector<int64_t> layers = {0, 3};
  auto append = [&](PackedWeight weight, int64_t experts) {
    weight.layers = layers;
    weight.experts = experts;
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
                  .rowsPerExpert = 56}}),
         3);
  append(panels("up, interleaved", PackedElement::BF16, 28, 20,
                {{.pattern = "l.{l}.gate_up",
                  .stored = bf16,
                  .rows = 28,
                  .firstRow = 1,
                  .rowStep = 2,
                  .rowsPerExpert = 56}}),
         3);
  append(panels("turned", PackedElement::BF16, 28, 20,
                {{.pattern = "l.{l}.turned",
                  .stored = bf16,
                  .rows = 28,
                  .firstRow = 28,
                  .rowsPerExpert = 56,
                  .transposed = true}}),
         3);
  append(panels("turned, interleaved", PackedElement::BF16, 28, 20,
                {{.pattern = "l.{l}.turned",
                  .stored = bf16,
                  .rows = 28,
                  .rowStep = 2,
                  .rowsPerExpert = 56,
                  .transposed = true}}),
         3);
  append(panels("turned whole", PackedElement::F16, 50, 20,
                {{.pattern = "l.{l}.out",
                  .stored = DataType::F32,
                  .rows = 50,
                  .rowsPerExpert = 50,
                  .transposed = true}}),
         0);
  Checkpoint checkpoint = model.open();
  Result<std::vector<uint8_t>> blob = packToMemory(checkpoint, plan);
  ASSERT_TRUE(blob.ok()) << blob.status().message;
  expectEqual(plan, *blob, packNaively(plan, model.values));
}

TEST(Packer, SameBytesForAnyThreadsAndMemoryWhereTasksAreMany) {
  RandomModel model;
  // 8 MB in panels of bf16, so that matrices are cut into tasks and tasks cross matrices.
  for (int expert = 0; expert < 5; ++expert)
    model.add("e." + std::to_string(expert), DataType::F32, {500, 1601});
  WeightPlan plan;
  PackedWeight weight = panels("w", PackedElement::BF16, 500, 1601,
                               {{.pattern = "e.{e}", .stored = DataType::F32, .rows = 500}});
  weight.experts = 5;
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

// Conversions ------------------------------------------------------------------------------------

TEST(Packer, RoundsEveryKindOfNumberToNearestEven) {
  std::vector<uint32_t> bits;
  for (uint32_t exponent = 0; exponent < 256; ++exponent)
    for (uint32_t mantissa :
         {0x0u, 0x1u, 0xfffu, 0x1000u, 0x1001u, 0x2000u, 0x3000u, 0x7fffu, 0x8000u, 0x8001u,
          0x18000u, 0x400000u, 0x7fefffu, 0x7ff000u, 0x7fffffu})
      for (uint32_t sign : {0u, 0x80000000u})
        bits.push_back(sign | exponent << 23 | mantissa);
  const auto *bytes = reinterpret_cast<const uint8_t *>(bits.data());
  for (auto [element, type] : {std::pair(PackedElement::BF16, DataType::BF16),
                               std::pair(PackedElement::F16, DataType::F16)}) {
    std::vector<uint16_t> found(bits.size());
    convertElements(bytes, DataType::F32, reinterpret_cast<uint8_t *>(found.data()), element,
                    bits.size());
    for (size_t index = 0; index < bits.size(); ++index) {
      double value = std::bit_cast<float>(bits[index]);
      double back = valueOf(reinterpret_cast<uint8_t *>(&found[index]), type);
      if (std::isnan(value))
        EXPECT_TRUE(std::isnan(back)) << std::hex << bits[index];
      else if (std::isinf(value))
        EXPECT_EQ(back, value) << std::hex << bits[index];
      else
        EXPECT_EQ(found[index], nearestHalf(value, type)) << std::hex << bits[index];
    }
  }
}

TEST(Packer, WidensEveryHalfExactly) {
  std::vector<uint16_t> all(65536);
  for (size_t bits = 0; bits < all.size(); ++bits)
    all[bits] = static_cast<uint16_t>(bits);
  const auto *bytes = reinterpret_cast<const uint8_t *>(all.data());
  for (DataType type : {DataType::BF16, DataType::F16}) {
    std::vector<float> wide(all.size());
    ConversionLoss loss = convertElements(bytes, type, reinterpret_cast<uint8_t *>(wide.data()),
                                          PackedElement::F32, all.size());
    EXPECT_FALSE(loss.inexact);
    for (size_t bits = 0; bits < all.size(); ++bits) {
      double wanted = valueOf(bytes + 2 * bits, type);
      if (std::isnan(wanted))
        EXPECT_TRUE(std::isnan(wide[bits]));
      else
        EXPECT_EQ(wide[bits], wanted);
    }
  }
}

TEST(Packer, ReportsWhatWasLost) {
  auto loss = [](std::vector<float> values, PackedElement element) {
    std::vector<uint8_t> out(values.size() * 2);
    return convertElements(reinterpret_cast<uint8_t *>(values.data()), DataType::F32, out.data(),
                           element, values.size());
  };
  EXPECT_FALSE(loss({1.0f, -0.5f, INFINITY, 0.0f}, PackedElement::BF16).inexact);
  EXPECT_FALSE(loss({1.0f, -0.5f, NAN, 65504.0f}, PackedElement::F16).inexact);
  EXPECT_TRUE(loss({1.0f, 0.1f}, PackedElement::BF16).inexact);
  EXPECT_FALSE(loss({1.0f, 0.1f}, PackedElement::BF16).overflow);
  EXPECT_TRUE(loss({1.0f, 1e6f}, PackedElement::F16).overflow);
  EXPECT_TRUE(loss({1e-30f}, PackedElement::F16).inexact);

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
  void reopen() { checkpoint.emplace(*Checkpoint::open(path())); }
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

TEST(Packer, WritesIntoAnOpenFile) {
  Packed model;
  int fd = ::open(model.path("program").c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_GE(fd, 0);
  Result<PackReport> report =
      packToDescriptor(*model.checkpoint, model.plan, fd, 4096, model.path("program"));
  ::close(fd);
  ASSERT_TRUE(report.ok()) << report.status().message;
  std::string bytes = model.read("program");
  std::vector<uint8_t> blob(bytes.begin() + 4096, bytes.end());
  expectEqual(model.plan, blob, packNaively(model.plan, model.values));
  EXPECT_EQ(report->digest, model.pack()->digest);
}

TEST(WeightPlan, ChecksItself) {
  auto check = [](auto change) {
    WeightPlan plan;
    plan.append(panels("a", PackedElement::BF16, 16, 16, {{.pattern = "a", .rows = 16}}));
    plan.append(panels("b", PackedElement::BF16, 16, 16, {{.pattern = "b", .rows = 16}}));
    change(plan.weights[1]);
    return plan.check();
  };
  EXPECT_TRUE(check([](PackedWeight &) {}).ok());
  EXPECT_FAILS(check([](PackedWeight &w) { w.offset += 64; }), Code::Internal, "`b` lies at 576");
  EXPECT_FAILS(check([](PackedWeight &w) { w.rows = 0; }), Code::Internal, "out of range");
  EXPECT_FAILS(check([](PackedWeight &w) {
                 w.columns = int64_t(1) << 39;
                 w.rows = w.columns;
               }),
               Code::Internal, "too large");
  EXPECT_FAILS(check([](PackedWeight &w) { w.experts = 2; }), Code::Internal, "each expert's rows");
  EXPECT_FAILS(check([](PackedWeight &w) { w.sources[0].stored = DataType::I8; }), Code::Internal,
               "not stored as");
  EXPECT_FAILS(check([](PackedWeight &w) { w.sources[0].transposed = true; }), Code::Internal,
               "out of range");
}

TEST(WeightPlan, DigestSeesEveryField) {
  auto digest = [](auto change) {
    WeightPlan plan;
    PackedWeight weight = panels("a", PackedElement::BF16, 16, 16, {{.pattern = "a", .rows = 16}});
    change(weight);
    plan.append(weight);
    return digestText(plan.digest());
  };
  std::set<std::string> seen = {
      digest([](PackedWeight &) {}),
      digest([](PackedWeight &w) { w.name = "b"; }),
      digest([](PackedWeight &w) { w.layout = PackedLayout::Rows; }),
      digest([](PackedWeight &w) { w.element = PackedElement::F16; }),
      digest([](PackedWeight &w) { w.layers = {0}; }),
      digest([](PackedWeight &w) { w.layers = {1}; }),
      digest([](PackedWeight &w) { w.experts = 1; }),
      digest([](PackedWeight &w) { w.rows = 17; }),
      digest([](PackedWeight &w) { w.columns = 17; }),
      digest([](PackedWeight &w) { w.sources[0].pattern = "b"; }),
      digest([](PackedWeight &w) { w.sources[0].stored = DataType::F16; }),
      digest([](PackedWeight &w) { w.sources[0].rows = 15; }),
      digest([](PackedWeight &w) { w.sources[0].firstRow = 1; }),
      digest([](PackedWeight &w) { w.sources[0].rowStep = 2; }),
      digest([](PackedWeight &w) { w.sources[0].rowsPerExpert = 1; }),
      digest([](PackedWeight &w) { w.sources[0].transposed = true; }),
      digest([](PackedWeight &w) { w.sources.push_back(w.sources[0]); }),
  };
  EXPECT_EQ(seen.size(), 17u);
}
