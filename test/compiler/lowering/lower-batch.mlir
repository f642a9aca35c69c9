// RUN: moe-opt %s --moec-lower-batch | FileCheck %s
// The batch is a pointer; a count is a load of its field; symbols are gone.
// CHECK-NOT:   lm.cache
// CHECK-LABEL: func @moec_program_step(
// CHECK-SAME:    %[[BATCH:.*]]: !llvm.ptr
// CHECK:         %[[FIELD:.*]] = llvm.getelementptr %[[BATCH]][16]
// CHECK:         llvm.load %[[FIELD]] : !llvm.ptr -> i64
lm.cache @attention layers [0] heads 2 size 8 block 32 : f32
func.func @step(%batch: !lm.batch) -> index {
  %n = lm.output_count %batch
  return %n : index
}
