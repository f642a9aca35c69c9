// What of a model a GPU's memory holds.

#ifndef MOEC_TOOLS_MOEC_PLACEMENT_H
#define MOEC_TOOLS_MOEC_PLACEMENT_H

#include "compiler/analysis/DeviceMemory.h"
#include "compiler/pipeline/Stages.h"
#include "tools/moec/StageRunner.h"

#include <string>

namespace moec {

struct Placement {
  DeviceNeeds device;          ///< what is on the GPU
  DeviceNeeds host;            ///< the experts that the CPUs have; nothing else
  std::vector<int64_t> layers; ///< whose experts those are
  int64_t memory = 0;          ///< of the GPU, that was asked for
  int64_t context = 0;         ///< positions of the sequence whose keys and values have room
};

/// Leaves experts of as few layers as possible of an optimized module to the CPUs, so that the rest
/// fits `memory` bytes of a GPU with one sequence as long as the context, and notes that in the
/// module for the schedule stage. Code::Resource, with what is needed, where that is more even with
/// all of them there.
Result<Placement> placeInMemory(mlir::ModuleOp module, const PipelineOptions &options,
                                int64_t memory, const DiagnosticLog &diagnostics);

/// The placement in a line.
std::string describePlacement(const Placement &placement);

} // namespace moec

#endif // MOEC_TOOLS_MOEC_PLACEMENT_H
