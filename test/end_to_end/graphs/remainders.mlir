// Rows of one element, whose places come around: of `x` those of 8, of `b` those of 4.
#all = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#some = affine_map<(d0, d1, d2) -> (d1, d2)>
module attributes {moec.graph = {dimensions = [],
    inputs = [{name = "x", type = "F32", shape = [2 : i64, 4 : i64, 1 : i64]}, {name = "b", type = "F32", shape = [4 : i64, 1 : i64]}],
    outputs = [{name = "y", type = "F32", shape = [2 : i64, 4 : i64, 1 : i64]}]}} {
  func.func @graph(%g: !lm.batch) {
    %x = lm.graph_input %g "x"() : tensor<2x4x1xf32>
    %b = lm.graph_input %g "b"() : tensor<4x1xf32>
    %e = tensor.empty() : tensor<2x4x1xf32>
    %y = linalg.generic {indexing_maps = [#all, #some, #all], iterator_types = ["parallel", "parallel", "parallel"]}
        ins(%x, %b : tensor<2x4x1xf32>, tensor<4x1xf32>) outs(%e : tensor<2x4x1xf32>) {
    ^bb0(%in: f32, %bias: f32, %o: f32):
      %t = arith.addf %in, %bias : f32
      linalg.yield %t : f32
    } -> tensor<2x4x1xf32>
    %out = lm.graph_output %g "y"() : memref<2x4x1xf32>
    bufferization.materialize_in_destination %y in restrict writable %out : (tensor<2x4x1xf32>, memref<2x4x1xf32>) -> ()
    return
  }
}
