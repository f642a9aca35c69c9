// Bands, as GPUs read quantised weights, against panels of the same.

#include "compiler/emit/Packer.h"
#include "test/compiler/emit/NaivePacking.h"
#include "test/compiler/emit/QuantizedBand.h"

#include <gtest/gtest.h>

using namespace moec;

TEST(Bands, HoldWhatPanelsDo) {
  RandomModel model;
  WeightPlan plan;
  for (auto [rows, columns] : {std::pair<int64_t, int64_t>(64, 128), {20, 33}, {130, 300}})
    for (const QuantTraits &traits : kQuantFormats) {
      if (traits.scaleRows > 1)
        continue;
      const std::string name = std::string(traits.name) + std::to_string(rows);
      model.add(name, DataType::BF16, {2 * rows, columns});
      PackedWeight weight = panels(
          name, PackedElement::F32, rows, columns,
          {{.pattern = name, .stored = DataType::BF16, .rows = rows, .rowsPerMatrix = rows}});
      weight.matricesPerLayer = 2;
      weight.quantized = traits.format;
      plan.append(weight);
      weight.layout = PackedLayout::Bands;
      plan.append(weight);
    }
  Checkpoint checkpoint = model.open();
  Result<std::vector<uint8_t>> blob = packToMemory(checkpoint, plan);
  ASSERT_TRUE(blob.ok()) << blob.status().message;
  for (size_t i = 0; i < plan.weights.size(); i += 2) {
    const PackedWeight &weight = plan.weights[i], &other = plan.weights[i + 1];
    const QuantFormat format = *weight.quantized;
    for (uint64_t matrix = 0; matrix < 2; ++matrix) {
      const uint8_t *inPanels = blob->data() + weight.offset + matrix * weight.matrixBytes();
      const QuantizedBands bands{format, weight.columns,
                                 blob->data() + other.offset + matrix * other.matrixBytes()};
      ASSERT_EQ(bands.bandBytes() * ((weight.rows + 63) / 64), int64_t(other.matrixBytes()));
      for (int64_t n = 0; n < weight.rows; ++n) {
        const int64_t first = n / 48 * 48;
        const QuantizedPanel panel{
            format, std::min<int64_t>(48, (weight.rows - first + 15) / 16 * 16), weight.columns,
            inPanels + uint64_t(first) * weight.depthBytes()};
        for (int64_t k = 0; k < weight.columns; ++k)
          ASSERT_EQ(bands.element(n, k), panel.element(n - first, k))
              << weight.name << " [" << n << ", " << k << "]";
      }
    }
  }
}
