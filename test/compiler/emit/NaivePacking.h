// A second packer, element by element, and models of random tensors to compare the two on.

#ifndef MOEC_TEST_COMPILER_EMIT_NAIVEPACKING_H
#define MOEC_TEST_COMPILER_EMIT_NAIVEPACKING_H

#include "compiler/emit/Packer.h"
#include "runtime/core/AtomicFile.h"
#include "test/ScratchFolder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <string>
#include <unistd.h>
#include <vector>

namespace moec {

/// The value of stored bits.
inline double valueOf(const uint8_t *bytes, DataType type) {
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
inline uint16_t nearestHalf(double value, DataType type) {
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

inline void appendElement(std::vector<uint8_t> &out, double value, PackedElement element) {
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

inline double sourceElement(const Values &values, const PackedWeight &weight, int64_t ordinal,
                            int64_t expert, int64_t row, int64_t column) {
  const StoredRows *source = &weight.sources[0];
  auto isFor = [&] {
    return expert >= source->firstMatrix &&
           (source->matrices == 0 || expert < source->firstMatrix + source->matrices);
  };
  for (; !isFor() || row >= source->rows; ++source)
    row -= isFor() ? source->rows : 0;
  expert -= source->firstMatrix;
  std::string name = source->pattern;
  bool own = name.find("{e}") != std::string::npos;
  auto put = [&](const char *what, int64_t number) {
    if (size_t at = name.find(what); at != std::string::npos)
      name.replace(at, 3, std::to_string(number));
  };
  put("{l}", weight.layers.empty() ? 0 : weight.layers[static_cast<size_t>(ordinal)]);
  put("{e}", expert);
  const std::vector<double> &tensor = values.at(name);
  int64_t base = own ? 0 : expert * source->rowsPerMatrix;
  int64_t place = source->firstRow + row * source->rowStep;
  if (source->sideBySide) {
    int64_t count =
        source->matrices ? source->matrices : weight.matricesPerLayer - source->firstMatrix;
    return tensor[static_cast<size_t>((place * count + expert) * weight.columns + column)];
  }
  if (source->transposed) {
    int64_t stored = own || weight.matricesPerLayer == 0
                         ? weight.columns
                         : weight.matricesPerLayer * source->rowsPerMatrix;
    int64_t length = static_cast<int64_t>(tensor.size()) / stored;
    return tensor[static_cast<size_t>((base + column) * length + place)];
  }
  return tensor[static_cast<size_t>((base + place) * weight.columns + column)];
}

inline std::vector<uint8_t> packNaively(const WeightPlan &plan, const Values &values) {
  std::vector<uint8_t> blob;
  for (const PackedWeight &weight : plan.weights) {
    blob.resize((blob.size() + 63) / 64 * 64);
    EXPECT_EQ(blob.size(), weight.offset) << weight.name;
    int64_t ordinals = std::max<int64_t>(1, static_cast<int64_t>(weight.layers.size()));
    for (int64_t o = 0; o < ordinals; ++o)
      for (int64_t e = 0; e < std::max<int64_t>(1, weight.matricesPerLayer); ++e) {
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

  void add(const std::string &name, DataType type, std::vector<int64_t> shape, float factor = 1) {
    TestTensor tensor{name, type, shape, {}};
    int64_t count = 1;
    for (int64_t size : shape)
      count *= size;
    std::vector<double> &numbers = values[name];
    std::normal_distribution<float> normal;
    for (int64_t index = 0; index < count; ++index) {
      float value = factor * normal(random);
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
    return std::move(*checkpoint);
  }
};

inline void expectEqual(const WeightPlan &plan, const std::vector<uint8_t> &found,
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

/// The blob that the packer makes.
inline Result<std::vector<uint8_t>> packToMemory(const Checkpoint &checkpoint,
                                                 const WeightPlan &plan,
                                                 const PackOptions &options = {}) {
  ScratchFolder folder;
  Result<AtomicFile> file = AtomicFile::create(folder.path("packed"));
  if (!file.ok())
    return file.status();
  std::vector<uint8_t> bytes(packedFileBytes(plan), 0xee); // so that a byte left out shows
  if (Status status = file->append(bytes); !status.ok())
    return status;
  if (Result<PackReport> report = packInto(checkpoint, plan, *file, 0, options); !report.ok())
    return report.status();
  EXPECT_EQ(pread(file->fd(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  auto blob = bytes.begin() + kPackedHeaderBytes;
  return std::vector<uint8_t>(blob, blob + static_cast<ptrdiff_t>(plan.totalBytes()));
}

inline PackedWeight panels(std::string name, PackedElement element, int64_t rows, int64_t columns,
                           std::vector<StoredRows> sources) {
  PackedWeight weight;
  weight.name = std::move(name);
  weight.layout = PackedLayout::Panels;
  weight.element = element;
  weight.rows = rows;
  weight.columns = columns;
  weight.sources = std::move(sources);
  return weight;
}

} // namespace moec

#endif // MOEC_TEST_COMPILER_EMIT_NAIVEPACKING_H
