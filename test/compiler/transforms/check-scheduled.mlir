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

// -----

// What is not cut into tiles would be done by every thread.
func.func @step(%a: memref<4xf32>, %b: memref<4xf32>) {
  // expected-error @below {{stands between phases, where only counts, loops, branches, views and barriers may}}
  memref.copy %a, %b : memref<4xf32> to memref<4xf32>
  return
}

// -----

// A thread that is late would read what later phases left there.
func.func @step(%a: memref<4xi32>) {
  %zero = arith.constant 0 : index
  // expected-error @below {{stands between phases}}
  %x = memref.load %a[%zero] : memref<4xi32>
  return
}

// -----

func.func @step(%a: memref<4xi32>, %count: i32) {
  %zero = arith.constant 0 : index
  // expected-error @below {{stands between phases}}
  memref.store %count, %a[%zero] : memref<4xi32>
  return
}

// -----

func.func @step(%count: i32) {
  // expected-error @below {{stands between phases}}
  %lanes = vector.broadcast %count : i32 to vector<4xi32>
  return
}

// -----

func.func @step(%n: index, %a: memref<4xf32>, %b: memref<4xf32>) {
  lm.phase "copy" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    // expected-error @below {{is in a phase, which may hold only computing ops of lm and moe}}
    memref.copy %a, %b : memref<4xf32> to memref<4xf32>
  }
  return
}

// -----

// All that finds out which work there is may stand between phases.
lm.weight @w : !lm.weight<16xf32> layers [0, 1] from [#lm.piece<pattern = "a.{l}", rows = 16, stored = f32>]
    packed <layout = rows, element = f32, offset = 0>
func.func @step(%batch: !lm.batch, %tiles: memref<?x3xi32>, %a: memref<4x32xf32>) {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %arena = lm.arena %batch : memref<?xi8>
  %t = lm.token_count %batch
  %out = memref.view %arena[%zero][%t] : memref<?xi8> to memref<?x16xf32>
  %left = memref.subview %a[0, 0] [4, 16] [1, 1] : memref<4x32xf32> to memref<4x16xf32, strided<[32, 1]>>
  scf.for %layer = %zero to %t step %one {
    %kind = lm.layer_kind %layer of [0, 1]
    scf.index_switch %kind
    default {
      %weight = lm.load_weight @w[%layer] : !lm.weight<16xf32>
      %count = memref.dim %tiles, %zero : memref<?x3xi32>
      %n = arith.subi %count, %one : index
      lm.phase "rms_norm" tiles(%n) rows 1 panels 0 {
      ^bb0(%tile: index):
        lm.rms_norm epsilon 1.0e-5 ins(%left, %weight : memref<4x16xf32, strided<[32, 1]>>, !lm.weight<16xf32>)
            outs(%out : memref<?x16xf32>)
      }
      lm.barrier
    }
  }
  return
}
