// What the phases of a step read, write and multiply, and the least time that takes.

#ifndef MOEC_COMPILER_ANALYSIS_STEPCOST_H
#define MOEC_COMPILER_ANALYSIS_STEPCOST_H

#include "mlir/IR/BuiltinOps.h"

#include <cstdint>
#include <string>
#include <vector>

namespace moec {

/// A step of one sequence: `rows` tokens, the first at position `first`, of which the last
/// `outputs` give logits.
struct StepShape {
  int64_t rows, first, outputs;
};

/// Of all runs of a phase in a step.
struct PhaseCost {
  std::string name;
  int64_t runs = 0;      ///< one for each layer that has it; 0: not with so many rows
  double bytes = 0;      ///< of memory, read and written
  double operations = 0; ///< multiplications and additions
  bool isOnTensorCores = false;
};

/// What a machine does in a second, and how long it takes from one phase to the next.
struct MachineRates {
  double bytes, tensorOperations, otherOperations;
  double secondsPerPhase;
};

/// The cost of each phase of a scheduled module, in the order in which a walk finds them, as
/// kernels are numbered; what a step of that shape runs is found by going through it.
///
/// The model: weights are read once by a phase that uses them, of experts those that so many tokens
/// pick if all are equally likely; so are the positions of the cache that any row sees, and all
/// other operands. What several phases use is read again by each. Only products and attention
/// count as operations.
std::vector<PhaseCost> costOfStep(mlir::ModuleOp scheduled, const StepShape &shape);

/// The least time of a phase: memory and arithmetic are at work at once, phases are not.
double leastSeconds(const PhaseCost &phase, const MachineRates &rates);

} // namespace moec

#endif // MOEC_COMPILER_ANALYSIS_STEPCOST_H
