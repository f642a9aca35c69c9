// RUN: moe-opt %s --pass-pipeline='builtin.module(func.func(lm-leave-out-failed))' | FileCheck %s
// Phases behind the first check ask whether one has failed, those of lm and moe as well.

// CHECK-LABEL: func @graph
// CHECK:         %[[F:.*]] = lm.graph_output %{{.*}} ".failure"()
// CHECK:         lm.phase "before"
// CHECK-NOT:       memref.load
// CHECK:         lm.phase "check"
// CHECK-NOT:       memref.load
// CHECK:         lm.phase "behind"
// CHECK:           %[[TOLD:.*]] = memref.load %[[F]][]
// CHECK:           %[[WELL:.*]] = arith.cmpi eq, %[[TOLD]], %c0_i64
// CHECK:           scf.if %[[WELL]]
// CHECK-NEXT:        moe.score
func.func @graph(%g: !lm.batch) {
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : i64
  %f = lm.graph_output %g ".failure"() : memref<i64>
  %n = lm.dimension %g "n"
  %x = lm.graph_input %g "x"(%n) : memref<?x8xf32>
  %y = lm.graph_output %g "y"(%n) : memref<?x8xf32>
  lm.phase "before" tiles(%c1) rows 0 panels 0 {
  ^bb0(%tile: index):
    moe.score softmax ins(%x : memref<?x8xf32>) outs(%y : memref<?x8xf32>)
  }
  lm.phase "check" tiles(%c1) rows 0 panels 0 {
  ^bb0(%tile: index):
    memref.store %c3, %f[] : memref<i64>
  }
  lm.phase "behind" tiles(%c1) rows 0 panels 0 {
  ^bb0(%tile: index):
    moe.score softmax ins(%x : memref<?x8xf32>) outs(%y : memref<?x8xf32>)
  }
  return
}
