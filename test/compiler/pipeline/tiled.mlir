// RUN: moe-opt %s --transform-preload-library=transform-library-paths=%S/Inputs/tile-gate.mlir --transform-interpreter --lower-affine \
// RUN:   --moe-optimize --moe-schedule | FileCheck %s
// What upstream's tiling makes of a gate goes on through the stages: phases in a loop over the tokens, and no copies.
// CHECK-LABEL: func.func @step(
// CHECK-NOT:     memref.copy
// CHECK:         scf.for %[[FIRST:.+]] = %{{.+}} to %{{.+}} step %{{.+}} {
// CHECK:           %[[BLOCK:.+]] = memref.subview %{{.+}}[%[[FIRST]], 0]
// CHECK:           lm.phase "gate"
// CHECK:             moe.gate softmax ins(%[[BLOCK]],
// CHECK:           lm.barrier
// CHECK-NEXT:    }
// CHECK-NOT:     memref.copy
lm.weight @table : !lm.weight<64x40xf32> layers [] from [#lm.piece<pattern = "table", rows = 64, stored = f32>]
lm.weight @router : !lm.weight<8x40xf32> layers [] from [#lm.piece<pattern = "router", rows = 8, stored = f32>]
func.func @step(%batch: !lm.batch) {
  %T = lm.token_count %batch
  %ids = lm.token_ids %batch : tensor<?xi32>
  %table = lm.load_weight @table : !lm.weight<64x40xf32>
  %router = lm.load_weight @router : !lm.weight<8x40xf32>
  %zero = arith.constant 0 : index
  %i = tensor.empty(%T) : tensor<?x40xf32>
  %a = tensor.empty(%T) : tensor<?x2xi32>
  %b = tensor.empty(%T) : tensor<?x2xf32>
  %h = lm.embedding ins(%ids, %table : tensor<?xi32>, !lm.weight<64x40xf32>) outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  %e, %w = moe.gate softmax ins(%h, %router : tensor<?x40xf32>, !lm.weight<8x40xf32>)
      outs(%a, %b : tensor<?x2xi32>, tensor<?x2xf32>) -> tensor<?x2xi32>, tensor<?x2xf32>
  lm.record_routing %zero of %batch picked 2 ins(%e, %w : tensor<?x2xi32>, tensor<?x2xf32>)
  return
}
