// RUN: moe-opt %s --moec-check-scheduled --verify-diagnostics --split-input-file
func.func @step(%a: memref<4x16xf32>) {
  // expected-error @below {{is in no phase}}
  lm.add ins(%a, %a : memref<4x16xf32>, memref<4x16xf32>) outs(%a : memref<4x16xf32>)
  return
}

// -----

func.func @step() {
  // expected-error @below {{still works on tensors after the schedule stage}}
  %a = tensor.empty() : tensor<4xf32>
  return
}

// -----

func.func @step() {
  // expected-error @below {{has no place in the arena}}
  %a = memref.alloc() : memref<4xf32>
  return
}

// -----

// expected-error @below {{has no packed form}}
lm.weight @w : !lm.weight<4xf32> layers [] from [#lm.piece<pattern = "a", rows = 4, stored = f32>]
