// RUN: moe-opt %s --lm-plan-memory | FileCheck %s
// %a and %b are alive together; %c lives when %a is gone, and takes its place.
// CHECK-LABEL: func @moec_program_arena_bytes(
// CHECK-LABEL: func @step(
// CHECK:         %[[ARENA:.*]] = lm.arena
// CHECK:         memref.view %[[ARENA]][%[[FIRST:.*]]][%{{.*}}]
// CHECK:         memref.view %[[ARENA]][%[[SECOND:.*]]][%{{.*}}]
// CHECK:         memref.view %[[ARENA]][%[[FIRST]]][%{{.*}}]
// CHECK-NOT:     memref.alloc
func.func @step(%batch: !lm.batch) {
  %t = lm.token_count %batch
  %a = memref.alloc(%t) : memref<?x16xf32>
  %b = memref.alloc(%t) : memref<?x16xf32>
  lm.add ins(%a, %a : memref<?x16xf32>, memref<?x16xf32>) outs(%b : memref<?x16xf32>)
  %c = memref.alloc(%t) : memref<?x16xf32>
  lm.add ins(%b, %b : memref<?x16xf32>, memref<?x16xf32>) outs(%c : memref<?x16xf32>)
  return
}
