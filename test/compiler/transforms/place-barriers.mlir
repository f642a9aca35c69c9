// RUN: moe-opt %s --lm-place-barriers | FileCheck %s
// A phase waits for what it reads, not for what it has nothing to do with.
// CHECK-LABEL: func @chain(
// CHECK:         lm.phase "first"
// CHECK-NOT:     lm.barrier
// CHECK:         lm.phase "apart"
// CHECK:         lm.barrier
// CHECK-NEXT:    lm.phase "second"
// CHECK:         lm.barrier
// CHECK-NEXT:    return
func.func @chain(%n: index, %a: memref<4x16xf32>, %b: memref<4x16xf32>, %c: memref<4x16xf32>, %d: memref<4x16xf32>) {
  lm.phase "first" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.add ins(%a, %a : memref<4x16xf32>, memref<4x16xf32>) outs(%b : memref<4x16xf32>)
  }
  lm.phase "apart" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.add ins(%a, %a : memref<4x16xf32>, memref<4x16xf32>) outs(%d : memref<4x16xf32>)
  }
  lm.phase "second" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.add ins(%b, %b : memref<4x16xf32>, memref<4x16xf32>) outs(%c : memref<4x16xf32>)
  }
  return
}

// A loop begins and ends with nothing outstanding.
// CHECK-LABEL: func @loop(
// CHECK:         lm.phase "before"
// CHECK:         lm.barrier
// CHECK-NEXT:    scf.for
// CHECK:           lm.phase "inside"
// CHECK:           lm.barrier
// CHECK-NEXT:    }
func.func @loop(%n: index, %a: memref<4x16xf32>, %b: memref<4x16xf32>) {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  lm.phase "before" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.add ins(%a, %a : memref<4x16xf32>, memref<4x16xf32>) outs(%b : memref<4x16xf32>)
  }
  scf.for %i = %zero to %n step %one {
    lm.phase "inside" tiles(%n) rows 1 panels 0 {
    ^bb0(%tile: index):
      lm.add ins(%a, %a : memref<4x16xf32>, memref<4x16xf32>) outs(%b : memref<4x16xf32>)
    }
  }
  return
}

// What an op of unknown effects touches may be anything.
// CHECK-LABEL: func @unknown(
// CHECK:         lm.phase "before"
// CHECK-NEXT:    ^
// CHECK-NEXT:    lm.add
// CHECK-NEXT:    }
// CHECK-NEXT:    lm.barrier
// CHECK-NEXT:    call @elsewhere
// CHECK-NEXT:    lm.barrier
// CHECK-NEXT:    lm.phase "after"
func.func private @elsewhere()
func.func @unknown(%n: index, %a: memref<4x16xf32>, %b: memref<4x16xf32>) {
  lm.phase "before" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.add ins(%a, %a : memref<4x16xf32>, memref<4x16xf32>) outs(%b : memref<4x16xf32>)
  }
  func.call @elsewhere() : () -> ()
  lm.phase "after" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.add ins(%a, %a : memref<4x16xf32>, memref<4x16xf32>) outs(%b : memref<4x16xf32>)
  }
  return
}
