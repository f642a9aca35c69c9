// The opened files of a checkpoint that is packed.

#ifndef MOEC_COMPILER_EMIT_PACKSOURCES_H
#define MOEC_COMPILER_EMIT_PACKSOURCES_H

#include "compiler/emit/WeightPlan.h"
#include "frontends/checkpoint/Checkpoint.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace moec {

/// Opened files of a checkpoint, and the plan's tensors in them.
class PackSources {
public:
  /// Opens the files, and checks that every tensor that the plan reads is there, of the stored type
  /// and large enough; those of scales too.
  static Result<PackSources> open(const Checkpoint &checkpoint, const WeightPlan &plan);

  const File &file(size_t index) const { return files[index]; }
  std::span<const File> all() const { return files; }
  const Checkpoint &checkpoint() const { return *tensors; }

private:
  Status checkTensors(const PackedWeight &weight, const StoredRows &source, uint64_t matrix) const;
  Status checkScales(const PackedWeight &weight, const StoredRows &source, uint64_t matrix,
                     const CheckpointTensor &codes) const;
  Result<const CheckpointTensor *> require(const PackedWeight &weight,
                                           const std::string &name) const;
  std::string pathOf(const CheckpointTensor &tensor) const {
    return tensors->files()[tensor.file].path;
  }

  const Checkpoint *tensors = nullptr;
  std::vector<File> files;
};

} // namespace moec

#endif // MOEC_COMPILER_EMIT_PACKSOURCES_H
