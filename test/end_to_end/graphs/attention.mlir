// Products of two inputs, and a softmax between them.
#qk = affine_map<(h, t, s, k) -> (h, t, k)>
#kk = affine_map<(h, t, s, k) -> (h, s, k)>
#ss = affine_map<(h, t, s, k) -> (h, t, s)>
#i3 = affine_map<(h, t, s) -> (h, t, s)>
#r2 = affine_map<(h, t, s) -> (h, t)>
module attributes {moec.graph = {dimensions = ["n"],
    inputs = [{name = "q", type = "F32", shape = [8 : i64, "n", 64 : i64]}, {name = "k", type = "F32", shape = [8 : i64, "n", 64 : i64]}, {name = "v", type = "F32", shape = [8 : i64, "n", 64 : i64]}],
    outputs = [{name = "y", type = "F32", shape = [8 : i64, "n", 64 : i64]}]}} {
  func.func @graph(%g: !lm.batch) {
    %zero = arith.constant 0.0 : f32
    %ninf = arith.constant 0xFF800000 : f32
    %n = lm.dimension %g "n"
    %q = lm.graph_input %g "q"(%n) : tensor<8x?x64xf32>
    %k = lm.graph_input %g "k"(%n) : tensor<8x?x64xf32>
    %v = lm.graph_input %g "v"(%n) : tensor<8x?x64xf32>
    %se = tensor.empty(%n, %n) : tensor<8x?x?xf32>
    %re = tensor.empty(%n) : tensor<8x?xf32>
    %oe = tensor.empty(%n) : tensor<8x?x64xf32>
    %sz = linalg.fill ins(%zero : f32) outs(%se : tensor<8x?x?xf32>) -> tensor<8x?x?xf32>
    %s = linalg.generic {indexing_maps = [#qk, #kk, #ss], iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%q, %k : tensor<8x?x64xf32>, tensor<8x?x64xf32>) outs(%sz : tensor<8x?x?xf32>) {
    ^bb0(%a: f32, %b: f32, %c: f32):
      %p = arith.mulf %a, %b : f32
      %t = arith.addf %c, %p : f32
      linalg.yield %t : f32
    } -> tensor<8x?x?xf32>
    %mi = linalg.fill ins(%ninf : f32) outs(%re : tensor<8x?xf32>) -> tensor<8x?xf32>
    %m = linalg.generic {indexing_maps = [#i3, #r2], iterator_types = ["parallel", "parallel", "reduction"]} ins(%s : tensor<8x?x?xf32>) outs(%mi : tensor<8x?xf32>) {
    ^bb0(%a: f32, %c: f32):
      %t = arith.maximumf %c, %a : f32
      linalg.yield %t : f32
    } -> tensor<8x?xf32>
    %e = linalg.generic {indexing_maps = [#i3, #r2, #i3], iterator_types = ["parallel", "parallel", "parallel"]} ins(%s, %m : tensor<8x?x?xf32>, tensor<8x?xf32>) outs(%se : tensor<8x?x?xf32>) {
    ^bb0(%a: f32, %b: f32, %c: f32):
      %d = arith.subf %a, %b : f32
      %x = math.exp %d : f32
      linalg.yield %x : f32
    } -> tensor<8x?x?xf32>
    %ti = linalg.fill ins(%zero : f32) outs(%re : tensor<8x?xf32>) -> tensor<8x?xf32>
    %sum = linalg.generic {indexing_maps = [#i3, #r2], iterator_types = ["parallel", "parallel", "reduction"]} ins(%e : tensor<8x?x?xf32>) outs(%ti : tensor<8x?xf32>) {
    ^bb0(%a: f32, %c: f32):
      %t = arith.addf %c, %a : f32
      linalg.yield %t : f32
    } -> tensor<8x?xf32>
    %p = linalg.generic {indexing_maps = [#i3, #r2, #i3], iterator_types = ["parallel", "parallel", "parallel"]} ins(%e, %sum : tensor<8x?x?xf32>, tensor<8x?xf32>) outs(%se : tensor<8x?x?xf32>) {
    ^bb0(%a: f32, %b: f32, %c: f32):
      %d = arith.divf %a, %b : f32
      linalg.yield %d : f32
    } -> tensor<8x?x?xf32>
    %oz = linalg.fill ins(%zero : f32) outs(%oe : tensor<8x?x64xf32>) -> tensor<8x?x64xf32>
    %y = linalg.batch_matmul ins(%p, %v : tensor<8x?x?xf32>, tensor<8x?x64xf32>) outs(%oz : tensor<8x?x64xf32>) -> tensor<8x?x64xf32>
    %out = lm.graph_output %g "y"(%n) : memref<8x?x64xf32>
    bufferization.materialize_in_destination %y in restrict writable %out : (tensor<8x?x64xf32>, memref<8x?x64xf32>) -> ()
    return
  }
}
