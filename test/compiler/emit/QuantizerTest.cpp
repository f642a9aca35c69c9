// Quantised weights against the format as it is written down, and against a plain choice of scales.

#include "compiler/emit/Quantizer.h"
#include "compiler/emit/WeightPlan.h"
#include "test/compiler/emit/QuantizedPanel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <map>
#include <ostream>
#include <random>
#include <vector>

using namespace moec;

namespace moec {
/// Names a format where tests are listed.
void PrintTo(const QuantTraits &traits, std::ostream *out) { *out << traits.name; }
} // namespace moec

namespace {

/// A panel of `width` rows that are quantised.
struct Panel : QuantizedPanel {
  std::vector<uint8_t> storage;

  Panel(QuantFormat format, const std::vector<std::vector<float>> &rows)
      : QuantizedPanel{format, int64_t(rows.size()), int64_t(rows[0].size()), nullptr},
        storage(size_t(width * quantDepthBytes(format, depth))) {
    const auto groups = size_t(quantGroups(format, depth));
    const auto codes = size_t(quantRowCodeBytes(format, depth));
    std::vector<uint8_t> words(size_t(width) * codes), laidOut(words.size()),
        zeros(size_t(width) * groups);
    const auto scaleBytes = size_t(quantScaleBytes(format));
    std::vector<uint8_t> scales(size_t(width) * groups * scaleBytes);
    std::vector<QuantizedRow> quantized;
    for (size_t n = 0; n < rows.size(); ++n) {
      quantized.push_back(
          {&words[n * codes], &scales[n * groups * scaleBytes], &zeros[n * groups]});
      quantizeRow(format, rows[n].data(), rows[n].size(), quantized.back());
    }
    layOutQuantizedPanel(format, rows[0].size(), quantized.data(), rows.size(), laidOut.data(),
                         storage.data());
    bytes = storage.data();
  }
};

std::vector<std::vector<float>> randomRows(int64_t width, int64_t depth) {
  std::mt19937 random(uint32_t(width * 1009 + depth));
  std::normal_distribution<float> normal(0.003f, 0.02f);
  const std::vector<float> empty(static_cast<size_t>(depth));
  std::vector<std::vector<float>> rows(static_cast<size_t>(width), empty);
  for (std::vector<float> &row : rows)
    for (float &value : row)
      value = normal(random);
  return rows;
}

double squaredError(const Panel &panel, const std::vector<std::vector<float>> &rows) {
  double error = 0;
  for (int64_t n = 0; n < panel.width; ++n)
    for (int64_t k = 0; k < panel.depth; ++k)
      error += std::pow(panel.element(n, k) - double(rows[size_t(n)][size_t(k)]), 2);
  return error;
}

class Quantizer : public testing::TestWithParam<QuantTraits> {};

TEST_P(Quantizer, GivesTheNearestOfTheValuesThatAGroupHas) {
  const auto rows = randomRows(16, 75);
  const Panel panel(GetParam().format, rows);
  for (int64_t n = 0; n < 16; ++n)
    for (int64_t k = 0; k < 75; ++k) {
      const double value = double(rows[size_t(n)][size_t(k)]);
      double nearest = INFINITY; // of 8 bits as many codes are below zero as above
      for (int64_t code = GetParam().bits == 8 ? 1 : 0; code < 1 << GetParam().bits; ++code)
        if (GetParam().codes != QuantCodes::Floats8 || (code & 127) != 127)
          nearest = std::min(nearest, std::abs(panel.valueOf(code, n, k) - value));
      EXPECT_LE(std::abs(panel.element(n, k) - value), nearest * 1.0001 + 1e-9) << n << " " << k;
    }
}

/// The squared error of the plain choice: the largest magnitude gets the last code, of 8 bits 127,
/// of fewer minus half their number; of floats of 4 bits the power of two that gives it one of the
/// last two, of those of 8 the last.
double plainError(const QuantTraits &traits, const float *values, int64_t count) {
  double most = 0, error = 0;
  for (int64_t k = 0; k < count; ++k)
    most = std::abs(double(values[k])) > std::abs(most) ? double(values[k]) : most;
  for (int64_t k = 0; k < count; ++k) {
    const double value = double(values[k]);
    double nearest = INFINITY;
    if (traits.codes == QuantCodes::Floats8) {
      for (int64_t code = 0; code < 127; ++code)
        nearest =
            std::min(nearest, std::abs(float8(code) * std::abs(most) / 448 - std::abs(value)));
      error += nearest * nearest;
      continue;
    }
    if (traits.codes == QuantCodes::Integers) {
      const double half = std::exp2(traits.bits - 1);
      const double scale = traits.bits == 8 ? std::abs(most) / 127 : most / -half;
      const double code = std::min(std::round(value / scale), half - 1);
      error += std::pow(code * scale - value, 2);
      continue;
    }
    const double scale = std::exp2(std::floor(std::log2(std::abs(most))) - 2);
    for (double magnitude : {0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0})
      nearest = std::min(nearest, std::abs(magnitude * scale - std::abs(value)));
    error += nearest * nearest;
  }
  return error;
}

TEST_P(Quantizer, LosesNoMoreThanThePlainChoice) {
  const auto rows = randomRows(48, 256);
  const Panel panel(GetParam().format, rows);
  double plain = 0;
  const int64_t group = quantGroup(GetParam().format, 256);
  for (const auto &row : rows)
    for (int64_t begin = 0; begin < 256; begin += group)
      plain += plainError(GetParam(), &row[size_t(begin)], group);
  const bool searched = GetParam().bits < 8 && GetParam().codes == QuantCodes::Integers;
  EXPECT_LE(squaredError(panel, rows), (searched ? 0.9 : 1.01) * plain);
}

TEST_P(Quantizer, KeepsZerosAndTellsOfWhatIsNotFinite) {
  std::vector<std::vector<float>> rows(16, std::vector<float>(64, 0.0f));
  rows[3][5] = INFINITY;
  rows[4][6] = NAN;
  const Panel panel(GetParam().format, rows);
  EXPECT_EQ(panel.element(0, 0), 0);
  EXPECT_EQ(panel.element(15, 63), 0);
  EXPECT_FALSE(std::isfinite(panel.scale(3, 5)));
  EXPECT_FALSE(std::isfinite(panel.scale(4, 6)));
}

// A file of packed weights that an older compiler made is used again where the revision is the
// same.
TEST_P(Quantizer, OtherBytesAreAnotherRevision) {
  static_assert(kPackRevision == 3, "then these are the digests of another one");
  const std::map<std::string_view, std::string> digests = {
      {"int8", "ab45a8bfb270061e"},  {"int8_channel", "cf4961654ee38c9c"},
      {"int6", "67b5c9d2e11ea3fc"},  {"int5", "52a4078364503f1f"},
      {"int4", "3d687f679fdb0768"},  {"int4_asymmetric", "2eab482053d56642"},
      {"mxfp4", "20d7fc869c8be0e9"}, {"fp8", "43bad18edc986e79"}};
  std::mt19937 random(1);
  std::vector<std::vector<float>> rows(48, std::vector<float>(140));
  for (std::vector<float> &row : rows)
    for (float &value : row)
      value = float(int32_t(random())) * 0x1p-31f;
  const Panel panel(GetParam().format, rows);
  Hasher hasher;
  hasher.add(panel.storage);
  EXPECT_EQ(digestText(hasher.finish()).substr(0, 16), digests.at(GetParam().name))
      << "raise kPackRevision";
}

/// Those whose rows are quantised one by one.
std::vector<QuantTraits> formatsOfRows() {
  std::vector<QuantTraits> formats;
  std::copy_if(std::begin(kQuantFormats), std::end(kQuantFormats), std::back_inserter(formats),
               [](const QuantTraits &traits) { return traits.scaleRows == 1; });
  return formats;
}

INSTANTIATE_TEST_SUITE_P(Formats, Quantizer, testing::ValuesIn(formatsOfRows()),
                         [](const auto &info) { return std::string(info.param.name); });

} // namespace
