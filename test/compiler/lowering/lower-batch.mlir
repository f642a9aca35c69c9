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

// What is asked of the host, and buffer number 3 of it, of as many rows as the batch has.
// CHECK-LABEL: func @part(
// CHECK-SAME:    %[[BATCH:.*]]: !llvm.ptr
// CHECK-DAG:     llvm.getelementptr %[[BATCH]][192] : (!llvm.ptr) -> !llvm.ptr, i8
// CHECK-DAG:     llvm.getelementptr %[[BATCH]][200] : (!llvm.ptr) -> !llvm.ptr, i8
// CHECK:         %[[COUNT:.*]] = llvm.getelementptr %[[BATCH]][0]
// CHECK:         %[[ROWS:.*]] = llvm.load %[[COUNT]] : !llvm.ptr -> i64
// CHECK:         %[[PLACE:.*]] = llvm.getelementptr %[[BATCH]][232] : (!llvm.ptr) -> !llvm.ptr, i8
// CHECK:         llvm.load %[[PLACE]] : !llvm.ptr -> !llvm.ptr
// CHECK:         llvm.insertvalue %[[ROWS]], %{{.*}}[3, 0]
func.func @part(%batch: !lm.batch) -> (index, index, memref<?x40xf32>) {
  %part = lm.part_number %batch
  %layer = lm.part_layer %batch
  %rows = lm.part_rows 3 of %batch : memref<?x40xf32>
  return %part, %layer, %rows : index, index, memref<?x40xf32>
}
