// What a program takes of a GPU's memory, and whose experts stay with the CPUs where that is more
// than there is.

#ifndef MOEC_COMPILER_ANALYSIS_DEVICEMEMORY_H
#define MOEC_COMPILER_ANALYSIS_DEVICEMEMORY_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace moec {

/// The routed experts of a layer, as a program holds them.
struct LayerExperts {
  int64_t layer = 0;
  int64_t bytes = 0;
  bool operator==(const LayerExperts &) const = default;
};

/// Bytes of a GPU's memory.
struct DeviceNeeds {
  std::vector<LayerExperts> experts; ///< those that the GPU has, by ascending layer
  int64_t otherWeights = 0;
  int64_t cache = 0; ///< keys and values
  int64_t arena = 0; ///< activations

  int64_t expertBytes() const {
    int64_t bytes = 0;
    for (const LayerExperts &layer : experts)
      bytes += layer.bytes;
    return bytes;
  }
  /// All but the experts.
  int64_t rest() const { return otherWeights + cache + arena; }
  int64_t total() const { return expertBytes() + rest(); }
};

/// What the weights of a scheduled module take; not those of a module in it.
DeviceNeeds weightNeeds(mlir::ModuleOp scheduled);

/// The bytes of arena that a scheduled module says a step of these sizes takes, see
/// moec_program_arena_bytes; none where it has no such function.
std::optional<int64_t> arenaBytes(mlir::ModuleOp scheduled, int64_t tokens, int64_t sequences,
                                  int64_t outputs);

/// Which layers, ascending, are to have their experts elsewhere so that as many as possible of
/// `experts` fit `room` bytes: the smaller ones stay, and of equal ones those of lower layers.
std::vector<int64_t> layersWithoutRoom(std::vector<LayerExperts> experts, int64_t room);

} // namespace moec

#endif // MOEC_COMPILER_ANALYSIS_DEVICEMEMORY_H
