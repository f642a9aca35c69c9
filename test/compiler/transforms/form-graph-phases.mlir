// RUN: moe-opt %s --lm-form-graph-phases --split-input-file --verify-diagnostics | FileCheck %s

#id = affine_map<(d0, d1) -> (d0, d1)>

// What is elementwise is shared by all threads, in tiles whose number follows from the dimensions.
// CHECK-LABEL: func @graph
// CHECK:         %[[N:.*]] = lm.dimension
// CHECK:         lm.phase "generic" tiles(%{{.*}}) rows 0 panels 0 {
// CHECK:           scf.for
// CHECK:             linalg.generic
func.func @graph(%g: !lm.batch) {
  %n = lm.dimension %g "n"
  %x = lm.graph_input %g "x"(%n) : memref<?x40xf32>
  %y = lm.graph_output %g "y"(%n) : memref<?x40xf32>
  linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x : memref<?x40xf32>) outs(%y : memref<?x40xf32>) {
  ^bb0(%a: f32, %b: f32):
    %c = arith.negf %a : f32
    linalg.yield %c : f32
  }
  return
}

// -----

// What is not comes in one tile with its neighbours; a number that it reads is there for later phases in a buffer, and what
// follows from it is computed where it is needed. Work that follows from data has a fixed number of tiles.
// CHECK-LABEL: func @graph
// CHECK:         %[[SLOT:.*]] = memref.alloc() : memref<i64>
// CHECK:         lm.phase "nonzero" tiles(%{{.*}}) rows 0 panels 0 {
// CHECK:           linalg_ext.nonzero
// CHECK:           %[[COUNT:.*]] = memref.load
// CHECK:           memref.store %[[COUNT]], %[[SLOT]][] : memref<i64>
// CHECK:           %[[AGAIN:.*]] = arith.index_cast
// CHECK:           lm.set_output_size %{{.*}} "y" dimension 1 to %[[AGAIN]]
// CHECK:         }
// CHECK:         %[[TILES:.*]] = arith.constant 32 : index
// CHECK:         lm.phase "generic" tiles(%[[TILES]]) rows 0 panels 0 {
// CHECK:           memref.load %[[SLOT]][] : memref<i64>
// CHECK:           memref.subview
// CHECK:           linalg.generic
func.func @graph(%g: !lm.batch) {
  %n = lm.dimension %g "n"
  %x = lm.graph_input %g "x"(%n) : memref<?xi1>
  %y = lm.graph_output %g "y"(%n) : memref<1x?xi64>
  %i = memref.alloc(%n) : memref<1x?xi64>
  %c = memref.alloc() : memref<i64>
  linalg_ext.nonzero ins(%x : memref<?xi1>) outs(%i, %c : memref<1x?xi64>, memref<i64>)
  %count = memref.load %c[] : memref<i64>
  %k = arith.index_cast %count : i64 to index
  lm.set_output_size %g "y" dimension 1 to %k
  %from = memref.subview %i[0, 0] [1, %k] [1, 1] : memref<1x?xi64> to memref<1x?xi64, strided<[?, 1]>>
  %to = memref.subview %y[0, 0] [1, %k] [1, 1] : memref<1x?xi64> to memref<1x?xi64, strided<[?, 1]>>
  memref.copy %from, %to : memref<1x?xi64, strided<[?, 1]>> to memref<1x?xi64, strided<[?, 1]>>
  return
}

// -----

// What works on rows one by one has tiles of rows.
// CHECK-LABEL: func @graph
// CHECK:         lm.phase "top_k" tiles(%{{.*}}) rows 0 panels 0 {
// CHECK:           %[[X:.*]] = memref.subview %{{.*}}[%{{.*}}, 0] [%{{.*}}, 8] [1, 1]
// CHECK:           linalg_ext.top_k ins(%[[X]] :
func.func @graph(%g: !lm.batch) {
  %n = lm.dimension %g "n"
  %x = lm.graph_input %g "x"(%n) : memref<?x8xf32>
  %v = memref.alloc(%n) : memref<?x2xf32>
  %i = lm.graph_output %g "i"(%n) : memref<?x2xi64>
  linalg_ext.top_k ins(%x : memref<?x8xf32>) outs(%v, %i : memref<?x2xf32>, memref<?x2xi64>)
  return
}

// -----

// A number that a body uses comes through memory as well.
// CHECK-LABEL: func @graph
// CHECK:         %[[SLOT:.*]] = memref.alloc() : memref<f32>
// CHECK:         lm.phase "load"
// CHECK:         lm.phase "generic"
// CHECK:           %[[V:.*]] = memref.load %[[SLOT]][]
// CHECK:           linalg.yield %[[V]]
func.func @graph(%g: !lm.batch) {
  %n = lm.dimension %g "n"
  %x = lm.graph_input %g "x"() : memref<f32>
  %y = lm.graph_output %g "y"(%n) : memref<?xf32>
  %v = memref.load %x[] : memref<f32>
  linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>], iterator_types = ["parallel"]} outs(%y : memref<?xf32>) {
  ^bb0(%a: f32):
    linalg.yield %v : f32
  }
  return
}

// -----

// No buffer is as large as data say.
func.func @graph(%g: !lm.batch) {
  %x = lm.graph_input %g "x"() : memref<i64>
  %a = memref.load %x[] : memref<i64>
  %n = arith.index_cast %a : i64 to index
  // expected-error @below {{has a size that follows from data, and no bound that follows from the dimensions of the graph}}
  %y = memref.alloc(%n) : memref<?xf32>
  return
}

// -----

// A step is none of its business.
// CHECK-LABEL: func @step
// CHECK-NOT:     lm.phase
func.func @step(%x: memref<f32>) {
  %a = memref.load %x[] : memref<f32>
  memref.store %a, %x[] : memref<f32>
  return
}
