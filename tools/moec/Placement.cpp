// Schedules copies of the module to learn what it takes: the arena depends on what is left to CPUs.

#include "tools/moec/Placement.h"

#include "compiler/pipeline/Description.h"
#include "compiler/transforms/Passes.h"
#include "tools/moec/Progress.h"

#include "mlir/IR/OwningOpRef.h"
#include "mlir/Pass/PassManager.h"

#include <fmt/format.h>

#include <algorithm>

using namespace moec;

static void note(mlir::ModuleOp module, const Placement &placement) {
  mlir::Builder builder(module.getContext());
  module->setAttr(
      kPlacementAttr,
      builder.getDictionaryAttr(
          {builder.getNamedAttr(kDeviceMemoryName, builder.getI64IntegerAttr(placement.memory)),
           builder.getNamedAttr(kHostLayersName, builder.getDenseI64ArrayAttr(placement.layers))}));
}

/// Fills in what `module`, in which the placement's layers are noted, takes.
static Status measure(mlir::ModuleOp module, const PipelineOptions &options,
                      const DiagnosticLog &diagnostics, Placement &placement) {
  mlir::OwningOpRef<mlir::ModuleOp> trial = module.clone();
  mlir::PassManager passes(module.getContext(), mlir::ModuleOp::getOperationName());
  const Stage *schedule =
      llvm::find_if(stages(), [](const Stage &stage) { return stage.name == "scheduled"; });
  addStage(passes, *schedule, options);
  if (failed(passes.run(*trial)))
    return {diagnostics.hasErrors() ? Code::Unsupported : Code::Internal,
            "--device-memory: " +
                diagnostics.errors("the module cannot be scheduled, and no pass says why")};
  Result<ProgramDescription> described = describeProgram(*trial, options);
  if (!described.ok())
    return described.status();
  const Manifest &manifest = described->manifest;
  placement.context = manifest.context;
  const int64_t rows = std::min(manifest.stepTokens, manifest.context);
  placement.device = weightNeeds(*trial);
  placement.device.cache = manifest.cacheBytes(manifest.context, rows);
  std::optional<int64_t> arena = arenaBytes(*trial, rows, /*sequences=*/1, /*outputs=*/1);
  if (!arena)
    return {Code::Internal, "the size of the arena does not follow from counts"};
  // The logits of a row have a buffer of their own.
  placement.device.arena = *arena + manifest.vocabulary * int64_t(sizeof(float));
  placement.host = {};
  if (mlir::ModuleOp host = findHost(*trial))
    placement.host = weightNeeds(host);
  return {};
}

static std::string sizeText(int64_t bytes) { return formatBytes(static_cast<uint64_t>(bytes)); }

/// "1.2 GB of weights, 4.0 GB of keys and values at a context of 4096, ...".
static std::string describeNeeds(const Placement &placement) {
  const DeviceNeeds &needs = placement.device;
  return fmt::format("{} of weights, {} of keys and values of {} tokens, {} of activations",
                     sizeText(needs.expertBytes() + needs.otherWeights), sizeText(needs.cache),
                     placement.context, sizeText(needs.arena));
}

Result<Placement> moec::placeInMemory(mlir::ModuleOp module, const PipelineOptions &options,
                                      int64_t memory, const DiagnosticLog &diagnostics) {
  Placement placement;
  placement.memory = memory;
  std::vector<LayerExperts> experts; // of all layers
  for (;;) {
    note(module, placement);
    if (Status status = measure(module, options, diagnostics, placement); !status.ok())
      return status;
    if (placement.device.total() <= memory)
      return placement;
    if (experts.empty())
      experts = placement.device.experts;
    if (placement.device.experts.empty())
      return Status{
          Code::Resource,
          fmt::format(
              "--device-memory: of {}, even with all routed experts left to the CPUs the GPU "
              "needs {}: {}; a smaller --context takes less",
              sizeText(memory), sizeText(placement.device.total()), describeNeeds(placement))};
    // One layer more at least, as those that stay do not fit.
    placement.layers = layersWithoutRoom(experts, memory - placement.device.rest());
  }
}

std::string moec::describePlacement(const Placement &placement) {
  std::string text = fmt::format("{} of the GPU's {}: {}", sizeText(placement.device.total()),
                                 sizeText(placement.memory), describeNeeds(placement));
  if (placement.layers.empty())
    return text + "; nothing is left to the CPUs";
  return text + fmt::format("; the CPUs have the routed experts of {} {}, {}",
                            placement.layers.size() == 1 ? "layer" : "layers",
                            rangesText(placement.layers), sizeText(placement.host.expertBytes()));
}
