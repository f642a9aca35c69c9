// Floats of 8 bits from and to those of 32; whole powers of integers.
#id = affine_map<(d0) -> (d0)>
module attributes {moec.graph = {dimensions = ["n", "m"],
    inputs = [{name = "x", type = "F32", shape = ["n"]}, {name = "four", type = "F8_E4M3", shape = ["m"]}, {name = "five", type = "F8_E5M2", shape = ["m"]},
              {name = "base", type = "I64", shape = ["m"]}, {name = "power", type = "I64", shape = ["m"]}],
    outputs = [{name = "to_four", type = "F8_E4M3", shape = ["n"]}, {name = "to_five", type = "F8_E5M2", shape = ["n"]},
               {name = "from_four", type = "F32", shape = ["m"]}, {name = "from_five", type = "F16", shape = ["m"]}, {name = "powers", type = "I64", shape = ["m"]}]}} {
  func.func @graph(%g: !lm.batch) {
    %n = lm.dimension %g "n"
    %m = lm.dimension %g "m"
    %x = lm.graph_input %g "x"(%n) : tensor<?xf32>
    %four = lm.graph_input %g "four"(%m) : tensor<?xf8E4M3FN>
    %five = lm.graph_input %g "five"(%m) : tensor<?xf8E5M2>
    %base = lm.graph_input %g "base"(%m) : tensor<?xi64>
    %power = lm.graph_input %g "power"(%m) : tensor<?xi64>
    %e4 = tensor.empty(%n) : tensor<?xf8E4M3FN>
    %to4 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%x : tensor<?xf32>) outs(%e4 : tensor<?xf8E4M3FN>) {
    ^bb0(%in: f32, %o: f8E4M3FN):
      %r = arith.truncf %in : f32 to f8E4M3FN
      linalg.yield %r : f8E4M3FN
    } -> tensor<?xf8E4M3FN>
    %to4_out = lm.graph_output %g "to_four"(%n) : memref<?xf8E4M3FN>
    bufferization.materialize_in_destination %to4 in restrict writable %to4_out : (tensor<?xf8E4M3FN>, memref<?xf8E4M3FN>) -> ()
    %e5 = tensor.empty(%n) : tensor<?xf8E5M2>
    %to5 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%x : tensor<?xf32>) outs(%e5 : tensor<?xf8E5M2>) {
    ^bb0(%in: f32, %o: f8E5M2):
      %r = arith.truncf %in : f32 to f8E5M2
      linalg.yield %r : f8E5M2
    } -> tensor<?xf8E5M2>
    %to5_out = lm.graph_output %g "to_five"(%n) : memref<?xf8E5M2>
    bufferization.materialize_in_destination %to5 in restrict writable %to5_out : (tensor<?xf8E5M2>, memref<?xf8E5M2>) -> ()
    %f4 = tensor.empty(%m) : tensor<?xf32>
    %from4 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%four : tensor<?xf8E4M3FN>) outs(%f4 : tensor<?xf32>) {
    ^bb0(%in: f8E4M3FN, %o: f32):
      %r = arith.extf %in : f8E4M3FN to f32
      linalg.yield %r : f32
    } -> tensor<?xf32>
    %from4_out = lm.graph_output %g "from_four"(%m) : memref<?xf32>
    bufferization.materialize_in_destination %from4 in restrict writable %from4_out : (tensor<?xf32>, memref<?xf32>) -> ()
    %f5 = tensor.empty(%m) : tensor<?xf16>
    %from5 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%five : tensor<?xf8E5M2>) outs(%f5 : tensor<?xf16>) {
    ^bb0(%in: f8E5M2, %o: f16):
      %r = arith.extf %in : f8E5M2 to f16
      linalg.yield %r : f16
    } -> tensor<?xf16>
    %from5_out = lm.graph_output %g "from_five"(%m) : memref<?xf16>
    bufferization.materialize_in_destination %from5 in restrict writable %from5_out : (tensor<?xf16>, memref<?xf16>) -> ()
    %pe = tensor.empty(%m) : tensor<?xi64>
    %powers = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]} ins(%base, %power : tensor<?xi64>, tensor<?xi64>) outs(%pe : tensor<?xi64>) {
    ^bb0(%a: i64, %b: i64, %o: i64):
      %r = math.ipowi %a, %b : i64
      linalg.yield %r : i64
    } -> tensor<?xi64>
    %powers_out = lm.graph_output %g "powers"(%m) : memref<?xi64>
    bufferization.materialize_in_destination %powers in restrict writable %powers_out : (tensor<?xi64>, memref<?xi64>) -> ()
    return
  }
}
