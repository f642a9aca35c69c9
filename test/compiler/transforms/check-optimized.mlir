// RUN: moe-opt %s --moec-check-optimized --verify-diagnostics --split-input-file
func.func @step(%batch: !lm.batch) {
  // expected-error @below {{is left after the optimize stage, where every layer is inlined}}
  func.call @layer() : () -> ()
  return
}
func.func private @layer()

// -----

// expected-error @below {{has no function 'step' or 'graph' to compile}}
module {
}

// -----

// expected-error @below {{is of type '(index) -> ()', but a step is of type '(!lm.batch) -> ()'}}
func.func @step(%batch: index) {
  return
}

// -----

// expected-error @below {{has 2 blocks, but a step has one, with loops and switches inside}}
func.func @step(%batch: !lm.batch) {
  cf.br ^bb1
^bb1:
  return
}

// -----

func.func @step(%batch: !lm.batch) {
  return
}
// expected-error @below {{is beside the step after the optimize stage, where every layer is inlined}}
func.func @layer() {
  return
}
