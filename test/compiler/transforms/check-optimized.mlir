// RUN: moe-opt %s --moec-check-optimized --verify-diagnostics --split-input-file
func.func private @layer()
func.func @step(%batch: !lm.batch) {
  // expected-error @below {{is left after the optimize stage, where every layer is inlined}}
  func.call @layer() : () -> ()
  return
}

// -----

// expected-error @below {{has no function 'step' to compile}}
module {
}
