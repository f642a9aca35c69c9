// RUN: moe-opt %s --canonicalize --split-input-file | FileCheck %s
// What folds.

// All layers are of one kind.
// CHECK-LABEL: func @one_kind
// CHECK:         %[[KIND:.*]] = arith.constant 3 : index
// CHECK:         return %[[KIND]]
func.func @one_kind(%layer: index) -> index {
  %kind = lm.layer_kind %layer of [3, 3, 3]
  return %kind : index
}

// -----

// The layer is known.
// CHECK-LABEL: func @known_layer
// CHECK:         %[[KIND:.*]] = arith.constant 7 : index
// CHECK:         return %[[KIND]]
func.func @known_layer() -> index {
  %layer = arith.constant 1 : index
  %kind = lm.layer_kind %layer of [5, 7, 9]
  return %kind : index
}

// -----

// A layer that there is not stays as it is.
// CHECK-LABEL: func @no_such_layer
// CHECK:         lm.layer_kind
func.func @no_such_layer() -> index {
  %layer = arith.constant 3 : index
  %kind = lm.layer_kind %layer of [5, 7, 9]
  return %kind : index
}

// -----

// An unknown layer may be of any kind.
// CHECK-LABEL: func @unknown_layer
// CHECK:         lm.layer_kind
func.func @unknown_layer(%layer: index) -> index {
  %kind = lm.layer_kind %layer of [0, 1]
  return %kind : index
}

// -----

// What nobody reads need not be loaded.
// CHECK-LABEL: func @unused
// CHECK-NEXT:    return
lm.weight @w : !lm.weight<48x40xf32> layers [0] from [#lm.piece<pattern = "w.{l}", rows = 48, stored = f32>]
func.func @unused(%batch: !lm.batch, %layer: index) {
  %w = lm.load_weight @w[%layer] : !lm.weight<48x40xf32>
  %T = lm.token_count %batch
  %p = lm.positions %batch : tensor<?xi32>
  return
}

// -----

// A part has as many rows as the batch; its columns are what they are.
// CHECK-LABEL: func @rows_of_part
// CHECK-SAME:    (%[[BATCH:.*]]: !lm.batch)
// CHECK-DAG:     %[[C40:.*]] = arith.constant 40 : index
// CHECK:         %[[T:.*]] = lm.token_count %[[BATCH]]
// CHECK:         %[[SAME:.*]] = lm.token_count %[[BATCH]]
// CHECK:         return %[[T]], %[[C40]], %[[SAME]]
func.func @rows_of_part(%batch: !lm.batch) -> (index, index, index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %x = lm.part_rows 0 of %batch : tensor<?x40xf32>
  %to = lm.part_rows 1 of %batch : memref<?x40xf32>
  %rows = tensor.dim %x, %c0 : tensor<?x40xf32>
  %columns = tensor.dim %x, %c1 : tensor<?x40xf32>
  %same = memref.dim %to, %c0 : memref<?x40xf32>
  return %rows, %columns, %same : index, index, index
}

// The sizes of a graph's inputs and outputs are those that they were given.
// CHECK-LABEL: func @sizes_of_a_graph
// CHECK-DAG:     %[[N:.*]] = lm.dimension %{{.*}} "n"
// CHECK-DAG:     %[[M:.*]] = lm.dimension %{{.*}} "m"
// CHECK:         return %[[M]], %[[N]]
func.func @sizes_of_a_graph(%batch: !lm.batch) -> (index, index) {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %n = lm.dimension %batch "n"
  %m = lm.dimension %batch "m"
  %x = lm.graph_input %batch "x"(%n, %m) : tensor<?x40x?xf32>
  %y = lm.graph_output %batch "y"(%n) : memref<?x40xf32>
  %a = tensor.dim %x, %c2 : tensor<?x40x?xf32>
  %b = memref.dim %y, %c0 : memref<?x40xf32>
  return %a, %b : index, index
}
