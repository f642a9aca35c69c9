// The packer's unit of work: a run of panels or rows of one weight, read, converted and laid out by
// one thread.

#ifndef MOEC_COMPILER_EMIT_PACKTASKS_H
#define MOEC_COMPILER_EMIT_PACKTASKS_H

#include "compiler/analysis/BandLayout.h"
#include "compiler/emit/PackSources.h"
#include "compiler/emit/PanelCopy.h"
#include "compiler/emit/StoredCodes.h"
#include "compiler/emit/WeightPlan.h"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace moec {

/// Units (panels, bands, or rows in layout `rows`) of a weight's whole stack, and where they go.
/// What a task covers depends on the plan alone, since each becomes a chunk of the packed file.
struct PackTask {
  uint32_t weight = 0;
  uint64_t firstUnit = 0;
  uint64_t units = 0;
  uint64_t offset = 0; ///< in the blob
  uint64_t bytes = 0;  ///< with the padding up to the next weight
};

/// Cuts a checked plan into tasks, in the order of the blob, without gaps.
std::vector<PackTask> makePackTasks(const WeightPlan &plan);

/// One thread's buffers.
class PackWorker {
public:
  PackWorker(const WeightPlan &plan, const PackSources &sources) : plan(plan), sources(sources) {}

  /// Makes the bytes of `task`; they stay until the next run.
  Status run(const PackTask &task);
  std::span<const uint8_t> output(const PackTask &task) const { return {out.data(), task.bytes}; }
  const ConversionLoss &loss() const { return lost; }
  /// The largest magnitude of the finite elements that were quantised.
  float largest() const { return largestElement; }

  /// Bytes that the buffers of a worker need for `task`.
  static uint64_t memoryFor(const WeightPlan &plan, const PackTask &task);

private:
  /// A row of a matrix in memory: K stored elements, and where their scales are, if they have any:
  /// the first one in `scales`, and what StoredCodes says of them.
  struct Row {
    const uint8_t *data = nullptr;
    DataType stored = DataType::F32;
    size_t scale = 0, block = 0, lead = 0;
  };

  Status loadRows(const PackedWeight &weight, uint64_t matrix, uint64_t first, uint64_t count);
  Status loadPiece(const PackedWeight &weight, const StoredRows &source, uint64_t matrix,
                   uint64_t first, uint64_t count);
  Status loadScales(const PackedWeight &weight, const StoredRows &source, uint64_t matrix,
                    uint64_t first, std::span<Row> loaded);
  StoredCodes codesOf(const Row &row) const {
    return {row.stored, row.data, scales.data() + row.scale, row.block, row.lead};
  }
  /// Code::Model, naming the first of these scales that is no finite number, if there is one; the
  /// first of all is `index` in its tensor.
  Status checkFinite(std::span<const float> loaded, const CheckpointTensor &tensor,
                     uint64_t index) const;
  /// The failure of an element of a row of a matrix, where it is no finite number.
  Status refuseElement(const PackedWeight &weight, uint64_t matrix, uint64_t row) const;
  /// A row of K elements as floats, in `widened`.
  void widen(const PackedWeight &weight, const Row &row);
  /// A row of K elements as packed ones, at `to`.
  void convert(const PackedWeight &weight, const Row &row, uint8_t *to);
  void layOutPanel(const PackedWeight &weight, std::span<const Row> panel, uint64_t width,
                   uint8_t *to);
  /// Makes a panel or band of `width` rows of `unit` and zeros. The first row that has to be
  /// quantised and has an element that is no finite number, if any.
  std::optional<uint64_t> quantizeUnit(const PackedWeight &weight, std::span<const Row> unit,
                                       uint64_t width, uint8_t *to);

  const WeightPlan &plan;
  const PackSources &sources;
  std::vector<uint8_t> in;      // stored rows
  std::vector<uint8_t> strip;   // of a transposed tensor, as it is stored
  std::vector<uint8_t> staging; // converted rows of one panel or band
  std::vector<float> widened;   // a row that is quantised, or was
  std::vector<float> scales;    // of the rows
  std::vector<uint8_t> out;
  std::vector<Row> rows;
  size_t used = 0; // of `in`
  ConversionLoss lost;
  float largestElement = 0;
};

} // namespace moec

#endif // MOEC_COMPILER_EMIT_PACKTASKS_H
