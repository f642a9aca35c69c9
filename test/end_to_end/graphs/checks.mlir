// Sizes that have to suit each other, and products of rows that are found by their value.
#id = affine_map<(d0) -> (d0)>
module attributes {moec.graph = {dimensions = ["n", "m"],
    inputs = [{name = "a", type = "F32", shape = ["n", 3 : i64]}, {name = "b", type = "F32", shape = ["m", 3 : i64]}],
    outputs = [{name = "sum", type = "F32", shape = ["n", 3 : i64]}, {name = "rows", type = "F32", shape = ["", 5 : i64]}]}} {
  lm.tensor @w : tensor<3x5xf32> from "w"
  func.func @graph(%g: !lm.batch) {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f32
    %n = lm.dimension %g "n"
    %m = lm.dimension %g "m"
    %a = lm.graph_input %g "a"(%n) : tensor<?x3xf32>
    %b = lm.graph_input %g "b"(%m) : tensor<?x3xf32>
    %same = arith.cmpi eq, %n, %m : index
    cf.assert %same, "a and b differ in their rows"
    %e = tensor.empty(%n) : tensor<?x3xf32>
    %sum = linalg.add ins(%a, %b : tensor<?x3xf32>, tensor<?x3xf32>) outs(%e : tensor<?x3xf32>) -> tensor<?x3xf32>
    %sum_out = lm.graph_output %g "sum"(%n) : memref<?x3xf32>
    bufferization.materialize_in_destination %sum in restrict writable %sum_out : (tensor<?x3xf32>, memref<?x3xf32>) -> ()

    // Of the rows whose first element is positive the product with w.
    %first = tensor.extract_slice %sum[0, 0] [%n, 1] [1, 1] : tensor<?x3xf32> to tensor<?xf32>
    %me = tensor.empty(%n) : tensor<?xi1>
    %mask = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%first : tensor<?xf32>) outs(%me : tensor<?xi1>) {
    ^bb0(%in: f32, %o: i1):
      %p = arith.cmpf ogt, %in, %zero : f32
      linalg.yield %p : i1
    } -> tensor<?xi1>
    %ie = tensor.empty(%n) : tensor<1x?xi64>
    %ce = tensor.empty() : tensor<i64>
    %places, %count = linalg_ext.nonzero ins(%mask : tensor<?xi1>) outs(%ie, %ce : tensor<1x?xi64>, tensor<i64>) -> tensor<1x?xi64>, tensor<i64>
    %found = tensor.extract %count[] : tensor<i64>
    %k = arith.index_cast %found : i64 to index
    %ke = tensor.empty(%k) : tensor<?x3xf32>
    %rows = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]} outs(%ke : tensor<?x3xf32>) {
    ^bb0(%o: f32):
      %i = linalg.index 0 : index
      %j = linalg.index 1 : index
      %place = tensor.extract %places[%c0, %i] : tensor<1x?xi64>
      %row = arith.index_cast %place : i64 to index
      %v = tensor.extract %sum[%row, %j] : tensor<?x3xf32>
      linalg.yield %v : f32
    } -> tensor<?x3xf32>
    %w = lm.load_tensor @w : tensor<3x5xf32>
    %pe = tensor.empty(%k) : tensor<?x5xf32>
    %pz = linalg.fill ins(%zero : f32) outs(%pe : tensor<?x5xf32>) -> tensor<?x5xf32>
    %product = linalg.matmul ins(%rows, %w : tensor<?x3xf32>, tensor<3x5xf32>) outs(%pz : tensor<?x5xf32>) -> tensor<?x5xf32>
    %rows_out = lm.graph_output %g "rows"(%n) : memref<?x5xf32>
    %part = memref.subview %rows_out[0, 0] [%k, 5] [1, 1] : memref<?x5xf32> to memref<?x5xf32, strided<[5, 1]>>
    bufferization.materialize_in_destination %product in restrict writable %part : (tensor<?x5xf32>, memref<?x5xf32, strided<[5, 1]>>) -> ()
    lm.set_output_size %g "rows" dimension 0 to %k
    return
  }
}
