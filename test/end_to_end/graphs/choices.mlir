// Products with the model's tensors, the best of rows, and elements that are found by their value.
#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d1)>
#col = affine_map<(d0, d1) -> (d0)>
module attributes {moec.graph = {dimensions = ["n"],
    inputs = [{name = "x", type = "F32", shape = ["n", 40 : i64]}],
    outputs = [{name = "y", type = "F32", shape = ["n", 24 : i64]}, {name = "top", type = "I64", shape = ["n", 3 : i64]},
               {name = "where", type = "I64", shape = [2 : i64, ""]}, {name = "total", type = "F32", shape = []}]}} {
  lm.tensor @w : tensor<40x24xf32> from "w"
  lm.tensor @b : tensor<24xf32> from "b"
  func.func @graph(%g: !lm.batch) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %zero = arith.constant 0.0 : f32
    %one = arith.constant 1.0 : f32
    %n = lm.dimension %g "n"
    %x = lm.graph_input %g "x"(%n) : tensor<?x40xf32>
    %w = lm.load_tensor @w : tensor<40x24xf32>
    %b = lm.load_tensor @b : tensor<24xf32>
    %e = tensor.empty(%n) : tensor<?x24xf32>
    %z = linalg.fill ins(%zero : f32) outs(%e : tensor<?x24xf32>) -> tensor<?x24xf32>
    %p = linalg.matmul ins(%x, %w : tensor<?x40xf32>, tensor<40x24xf32>) outs(%z : tensor<?x24xf32>) -> tensor<?x24xf32>
    %s = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
        ins(%p, %b : tensor<?x24xf32>, tensor<24xf32>) outs(%e : tensor<?x24xf32>) {
    ^bb0(%in: f32, %bias: f32, %o: f32):
      %t = arith.addf %in, %bias : f32
      linalg.yield %t : f32
    } -> tensor<?x24xf32>
    %y = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
        ins(%s : tensor<?x24xf32>) outs(%e : tensor<?x24xf32>) {
    ^bb0(%in: f32, %o: f32):
      %m = arith.negf %in : f32
      %ex = math.exp %m : f32
      %d = arith.addf %ex, %one : f32
      %q = arith.divf %in, %d : f32
      linalg.yield %q : f32
    } -> tensor<?x24xf32>
    %y_out = lm.graph_output %g "y"(%n) : memref<?x24xf32>
    bufferization.materialize_in_destination %y in restrict writable %y_out : (tensor<?x24xf32>, memref<?x24xf32>) -> ()

    %ve = tensor.empty(%n) : tensor<?x3xf32>
    %ie = tensor.empty(%n) : tensor<?x3xi64>
    %tv, %ti = linalg_ext.top_k ins(%y : tensor<?x24xf32>) outs(%ve, %ie : tensor<?x3xf32>, tensor<?x3xi64>) -> tensor<?x3xf32>, tensor<?x3xi64>
    %top_out = lm.graph_output %g "top"(%n) : memref<?x3xi64>
    bufferization.materialize_in_destination %ti in restrict writable %top_out : (tensor<?x3xi64>, memref<?x3xi64>) -> ()

    // Where y is above one.
    %me = tensor.empty(%n) : tensor<?x24xi1>
    %mask = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
        ins(%y : tensor<?x24xf32>) outs(%me : tensor<?x24xi1>) {
    ^bb0(%in: f32, %o: i1):
      %c = arith.cmpf ogt, %in, %one : f32
      linalg.yield %c : i1
    } -> tensor<?x24xi1>
    %c24 = arith.constant 24 : index
    %bound = arith.muli %n, %c24 : index
    %we = tensor.empty(%bound) : tensor<2x?xi64>
    %ce = tensor.empty() : tensor<i64>
    %idx, %cnt = linalg_ext.nonzero ins(%mask : tensor<?x24xi1>) outs(%we, %ce : tensor<2x?xi64>, tensor<i64>) -> tensor<2x?xi64>, tensor<i64>
    %count = tensor.extract %cnt[] : tensor<i64>
    %k = arith.index_cast %count : i64 to index
    %found = tensor.extract_slice %idx[0, 0] [2, %k] [1, 1] : tensor<2x?xi64> to tensor<2x?xi64>
    %where_out = lm.graph_output %g "where"(%bound) : memref<2x?xi64>
    %where_part = memref.subview %where_out[0, 0] [2, %k] [1, 1] : memref<2x?xi64> to memref<2x?xi64, strided<[?, 1]>>
    bufferization.materialize_in_destination %found in restrict writable %where_part : (tensor<2x?xi64>, memref<2x?xi64, strided<[?, 1]>>) -> ()
    lm.set_output_size %g "where" dimension 1 to %k

    // The sum of those, gathered.
    %rows = tensor.extract_slice %found[0, 0] [1, %k] [1, 1] : tensor<2x?xi64> to tensor<?xi64>
    %cols = tensor.extract_slice %found[1, 0] [1, %k] [1, 1] : tensor<2x?xi64> to tensor<?xi64>
    %te = tensor.empty() : tensor<f32>
    %tz = linalg.fill ins(%zero : f32) outs(%te : tensor<f32>) -> tensor<f32>
    %sum = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>, affine_map<(d0) -> ()>], iterator_types = ["reduction"]}
        ins(%rows, %cols : tensor<?xi64>, tensor<?xi64>) outs(%tz : tensor<f32>) {
    ^bb0(%r: i64, %c: i64, %acc: f32):
      %ri = arith.index_cast %r : i64 to index
      %ci = arith.index_cast %c : i64 to index
      %v = tensor.extract %y[%ri, %ci] : tensor<?x24xf32>
      %a = arith.addf %acc, %v : f32
      linalg.yield %a : f32
    } -> tensor<f32>
    %total_out = lm.graph_output %g "total"() : memref<f32>
    bufferization.materialize_in_destination %sum in restrict writable %total_out : (tensor<f32>, memref<f32>) -> ()
    return
  }
}
