// The packer's unit of work: a run of panels or rows of one weight, read, converted and laid out by
// one thread.

#ifndef MOEC_COMPILER_EMIT_PACKTASKS_H
#define MOEC_COMPILER_EMIT_PACKTASKS_H

#include "compiler/emit/PanelCopy.h"
#include "compiler/emit/WeightPlan.h"
#include "frontends/checkpoint/Checkpoint.h"

#include <cstdint>
#include <span>
#include <vector>

namespace moec {

/// Units (panels, or rows in layout `rows`) of a weight's whole stack, and where they go. What a
/// task covers depends on the plan alone, since each becomes a chunk of the packed file.
struct PackTask {
  uint32_t weight = 0;
  uint64_t firstUnit = 0;
  uint64_t units = 0;
  uint64_t offset = 0; ///< in the blob
  uint64_t bytes = 0;  ///< with the padding up to the next weight
};

/// Cuts a checked plan into tasks, in the order of the blob, without gaps.
std::vector<PackTask> makePackTasks(const WeightPlan &plan);

/// Opened files of a checkpoint, and the plan's tensors in them.
class PackSources {
public:
  /// Opens the files, and checks that every tensor that the plan reads is there, of the stored type
  /// and large enough.
  static Result<PackSources> open(const Checkpoint &checkpoint, const WeightPlan &plan);

  const File &file(size_t index) const { return files[index]; }
  std::span<const File> all() const { return files; }
  const Checkpoint &checkpoint() const { return *tensors; }

private:
  const Checkpoint *tensors = nullptr;
  std::vector<File> files;
};

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
  /// A row of a matrix in memory: K stored elements.
  struct Row {
    const uint8_t *data = nullptr;
    DataType stored = DataType::F32;
  };

  Status loadRows(const PackedWeight &weight, uint64_t matrix, uint64_t first, uint64_t count);
  Status loadPiece(const PackedWeight &weight, const StoredRows &source, uint64_t matrix,
                   uint64_t first, uint64_t count);
  void layOutPanel(const PackedWeight &weight, std::span<const Row> panel, uint64_t width,
                   uint8_t *to);
  void quantizePanel(const PackedWeight &weight, std::span<const Row> panel, uint64_t width,
                     uint8_t *to);

  const WeightPlan &plan;
  const PackSources &sources;
  std::vector<uint8_t> in;      // stored rows
  std::vector<uint8_t> strip;   // of a transposed tensor, as it is stored
  std::vector<uint8_t> staging; // converted rows of one panel
  std::vector<float> widened;   // a row that is quantised
  std::vector<uint8_t> out;
  std::vector<Row> rows;
  size_t used = 0; // of `in`
  ConversionLoss lost;
  float largestElement = 0;
};

} // namespace moec

#endif // MOEC_COMPILER_EMIT_PACKTASKS_H
