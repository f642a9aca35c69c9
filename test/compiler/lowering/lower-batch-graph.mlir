// RUN: moe-opt %s --moec-lower-batch --split-input-file --verify-diagnostics | FileCheck %s

// The buffers of a graph are numbered as the module's attribute lists them; a tensor lies among the weights.
// CHECK-NOT:   lm.tensor
// CHECK-LABEL: func @moec_program_step(
// CHECK-SAME:    %[[BATCH:.*]]: !llvm.ptr
// CHECK:         %[[GRAPH:.*]] = llvm.getelementptr %[[BATCH]][240]
// CHECK:         llvm.load %[[GRAPH]]
// CHECK:         llvm.insertvalue
module attributes {moec.graph = {dimensions = ["m", "n"], inputs = [{name = "a"}, {name = "x"}], outputs = [{name = "y"}]}} {
  lm.tensor @t : tensor<2x3xi64> from "t" offset 4096
  func.func @graph(%batch: !lm.batch) -> (memref<?x40xf32>, memref<?x40xf32>, memref<2x3xi64>) {
    %n = lm.dimension %batch "n"
    %x = lm.graph_input %batch "x"(%n) : memref<?x40xf32>
    %y = lm.graph_output %batch "y"(%n) : memref<?x40xf32>
    %t = lm.load_tensor @t : memref<2x3xi64>
    lm.set_output_size %batch "y" dimension 0 to %n
    return %x, %y, %t : memref<?x40xf32>, memref<?x40xf32>, memref<2x3xi64>
  }
}

// -----

module attributes {moec.graph = {dimensions = [], inputs = [], outputs = []}} {
  func.func @graph(%batch: !lm.batch) -> index {
    // expected-error @below {{names "n", which is not among the dimensions of the module's attribute moec.graph}}
    %n = lm.dimension %batch "n"
    return %n : index
  }
}
