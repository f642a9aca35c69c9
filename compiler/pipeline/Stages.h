// The stages of the compiler: what they are called, what drives them, and how to run them.

#ifndef MOEC_COMPILER_PIPELINE_STAGES_H
#define MOEC_COMPILER_PIPELINE_STAGES_H

#include "compiler/targets/cpu/CpuTarget.h"
#include "runtime/core/Result.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"

#include <optional>
#include <string>
#include <vector>

namespace moec {

/// What the stages need to know. Plain data: two compiles with equal options and input make equal
/// bytes.
struct PipelineOptions {
  /// Levels, by name, separated by commas; the lower stage takes one. With GPUs, what is left to
  /// CPUs is for them.
  std::string cpu = "native";
  /// GPU architectures likewise; empty where the CPU computes.
  std::string gpu;
  std::string activations =
      "f32";                 ///< f32 or bf16: the type that operands of products are rounded to
  std::string cache = "f32"; ///< f32 or bf16: the type of cached keys and values
  std::string quantize;      ///< formats of weights, as lm-quantize-weights takes them
  bool mapped = false;       ///< weights stay in the checkpoint's files
  bool reference = false;    ///< plain loops in place of kernels
  bool profile = false;      ///< the step notes the time that its phases take
  std::vector<std::string> without; ///< optional passes to leave out, by name
};

/// What a user may leave open.
struct PipelineRequest {
  std::string gpu; ///< architectures, by name, separated by commas; empty where the CPU computes
  std::string activations; ///< empty: by the model's weights and the target
  std::string cache;       ///< empty: as the activations asked for, else by the model's weights
  std::string quantize;
  bool reference = false;
  std::optional<bool> mapped;
  bool profile = false;
  std::vector<std::string> without;
};

/// Completes `request` for a module. One that earlier stages were run on keeps what was chosen for
/// them. Else, where the matrices are stored as bf16, so is the cache, and activations are bf16 if
/// the best of the levels multiplies that, as all GPU architectures do; all else is f32.
/// Code::Usage for an unknown type, a pass that cannot be left out, or what contradicts earlier
/// stages.
Result<PipelineOptions> choosePipelineOptions(mlir::ModuleOp module,
                                              llvm::ArrayRef<const CpuTarget *> levels,
                                              const PipelineRequest &request);

/// A step of the compiler, which ends with a pass that checks what it leaves behind.
struct Stage {
  llvm::StringRef name;     ///< what it leaves, as --emit calls it
  llvm::StringRef pipeline; ///< its name in moe-opt
  llvm::StringRef summary;
  void (*build)(mlir::OpPassManager &passes, const PipelineOptions &options);
};

/// All stages, in order: optimized, scheduled, lowered, llvm.
llvm::ArrayRef<Stage> stages();

/// Adds the passes of a stage, and one that notes in the module that it went through.
void addStage(mlir::OpPassManager &passes, const Stage &stage, const PipelineOptions &options);

/// Every dialect that a stage may see, with what bufferization needs.
void registerDialects(mlir::DialectRegistry &registry);
/// Our passes, and each stage as a pipeline of its own.
void registerStages();

} // namespace moec

#endif // MOEC_COMPILER_PIPELINE_STAGES_H
