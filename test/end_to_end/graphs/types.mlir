// Elements of many types: scattered, added up along a dimension, and through functions.
#row = affine_map<(d0) -> (d0)>
module attributes {moec.graph = {dimensions = ["n", "m"],
    inputs = [{name = "data", type = "I32", shape = ["n", 2 : i64]}, {name = "at", type = "I64", shape = ["m", 1 : i64]},
              {name = "updates", type = "I32", shape = ["m", 2 : i64]}, {name = "d", type = "F64", shape = ["n"]},
              {name = "h", type = "F16", shape = ["n"]}, {name = "b", type = "BF16", shape = ["n"]}, {name = "flags", type = "BOOL", shape = ["n"]}],
    outputs = [{name = "added", type = "I32", shape = ["n", 2 : i64]}, {name = "largest", type = "I32", shape = ["n", 2 : i64]},
               {name = "sums", type = "F64", shape = ["n"]}, {name = "products", type = "F16", shape = ["n"]},
               {name = "tanh", type = "F64", shape = ["n"]}, {name = "erf", type = "F16", shape = ["n"]}, {name = "exp", type = "BF16", shape = ["n"]},
               {name = "not", type = "BOOL", shape = ["n"]}, {name = "order", type = "I32", shape = ["n"]}]}} {
  func.func @graph(%g: !lm.batch) {
    %n = lm.dimension %g "n"
    %m = lm.dimension %g "m"
    %data = lm.graph_input %g "data"(%n) : tensor<?x2xi32>
    %at = lm.graph_input %g "at"(%m) : tensor<?x1xi64>
    %updates = lm.graph_input %g "updates"(%m) : tensor<?x2xi32>
    %d = lm.graph_input %g "d"(%n) : tensor<?xf64>
    %h = lm.graph_input %g "h"(%n) : tensor<?xf16>
    %b = lm.graph_input %g "b"(%n) : tensor<?xbf16>
    %flags = lm.graph_input %g "flags"(%n) : tensor<?xi1>

    %added = linalg_ext.scatter add ins(%at, %updates : tensor<?x1xi64>, tensor<?x2xi32>) outs(%data : tensor<?x2xi32>) -> tensor<?x2xi32>
    %added_out = lm.graph_output %g "added"(%n) : memref<?x2xi32>
    bufferization.materialize_in_destination %added in restrict writable %added_out : (tensor<?x2xi32>, memref<?x2xi32>) -> ()
    %largest = linalg_ext.scatter max ins(%at, %updates : tensor<?x1xi64>, tensor<?x2xi32>) outs(%data : tensor<?x2xi32>) -> tensor<?x2xi32>
    %largest_out = lm.graph_output %g "largest"(%n) : memref<?x2xi32>
    bufferization.materialize_in_destination %largest in restrict writable %largest_out : (tensor<?x2xi32>, memref<?x2xi32>) -> ()

    %ed = tensor.empty(%n) : tensor<?xf64>
    %eh = tensor.empty(%n) : tensor<?xf16>
    %eb = tensor.empty(%n) : tensor<?xbf16>
    %ef = tensor.empty(%n) : tensor<?xi1>
    %ei = tensor.empty(%n) : tensor<?xi32>
    %sums = linalg_ext.scan add dimension 0 exclusive ins(%d : tensor<?xf64>) outs(%ed : tensor<?xf64>) -> tensor<?xf64>
    %sums_out = lm.graph_output %g "sums"(%n) : memref<?xf64>
    bufferization.materialize_in_destination %sums in restrict writable %sums_out : (tensor<?xf64>, memref<?xf64>) -> ()
    %products = linalg_ext.scan mul dimension 0 reverse ins(%h : tensor<?xf16>) outs(%eh : tensor<?xf16>) -> tensor<?xf16>
    %products_out = lm.graph_output %g "products"(%n) : memref<?xf16>
    bufferization.materialize_in_destination %products in restrict writable %products_out : (tensor<?xf16>, memref<?xf16>) -> ()

    %tanh = linalg.tanh ins(%d : tensor<?xf64>) outs(%ed : tensor<?xf64>) -> tensor<?xf64>
    %tanh_out = lm.graph_output %g "tanh"(%n) : memref<?xf64>
    bufferization.materialize_in_destination %tanh in restrict writable %tanh_out : (tensor<?xf64>, memref<?xf64>) -> ()
    %erf = linalg.erf ins(%h : tensor<?xf16>) outs(%eh : tensor<?xf16>) -> tensor<?xf16>
    %erf_out = lm.graph_output %g "erf"(%n) : memref<?xf16>
    bufferization.materialize_in_destination %erf in restrict writable %erf_out : (tensor<?xf16>, memref<?xf16>) -> ()
    %exp = linalg.exp ins(%b : tensor<?xbf16>) outs(%eb : tensor<?xbf16>) -> tensor<?xbf16>
    %exp_out = lm.graph_output %g "exp"(%n) : memref<?xbf16>
    bufferization.materialize_in_destination %exp in restrict writable %exp_out : (tensor<?xbf16>, memref<?xbf16>) -> ()

    %true = arith.constant true
    %not = linalg.generic {indexing_maps = [#row, #row], iterator_types = ["parallel"]} ins(%flags : tensor<?xi1>) outs(%ef : tensor<?xi1>) {
    ^bb0(%in: i1, %o: i1):
      %t = arith.xori %in, %true : i1
      linalg.yield %t : i1
    } -> tensor<?xi1>
    %not_out = lm.graph_output %g "not"(%n) : memref<?xi1>
    bufferization.materialize_in_destination %not in restrict writable %not_out : (tensor<?xi1>, memref<?xi1>) -> ()

    %v, %order = linalg_ext.top_k smallest ins(%d : tensor<?xf64>) outs(%ed, %ei : tensor<?xf64>, tensor<?xi32>) -> tensor<?xf64>, tensor<?xi32>
    %order_out = lm.graph_output %g "order"(%n) : memref<?xi32>
    bufferization.materialize_in_destination %order in restrict writable %order_out : (tensor<?xi32>, memref<?xi32>) -> ()
    return
  }
}
