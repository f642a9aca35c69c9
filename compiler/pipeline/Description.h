// What a compiled module says of itself: which weights it wants packed how, and the manifest of the
// program.

#ifndef MOEC_COMPILER_PIPELINE_DESCRIPTION_H
#define MOEC_COMPILER_PIPELINE_DESCRIPTION_H

#include "compiler/emit/WeightPlan.h"
#include "compiler/pipeline/Stages.h"
#include "frontends/checkpoint/Checkpoint.h"
#include "runtime/core/Manifest.h"

namespace moec {

/// What follows from a module's weights and caches, which the lower stage erases.
struct ProgramDescription {
  Manifest manifest; ///< but for weights.digest, weights.file, sources, modelDirectory, followLinks
  WeightPlan plan;   ///< empty where weights are mapped
};

/// Most rows of one step. On CPUs enough to be bound by arithmetic, few enough for a small arena.
/// Of many experts each has a share of the rows, and a GPU wants some hundreds of each: where its
/// memory has no room for so many the runtime takes fewer (Model::stepTokens).
inline constexpr int64_t kStepTokens = 512, kGpuStepTokens = 16384;

/// Reads a scheduled module. Code::Internal where it lacks what the stages promise.
Result<ProgramDescription> describeProgram(mlir::ModuleOp scheduled,
                                           const PipelineOptions &options);

} // namespace moec

#endif // MOEC_COMPILER_PIPELINE_DESCRIPTION_H
