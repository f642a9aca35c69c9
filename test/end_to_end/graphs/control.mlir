// Branches and loops that follow from data, and tensors that go around in them.
module attributes {moec.graph = {dimensions = ["n"],
    inputs = [{name = "x", type = "F32", shape = ["n", 3 : i64]}, {name = "steps", type = "I64", shape = []}],
    outputs = [{name = "power", type = "F32", shape = ["n", 3 : i64]}, {name = "halved", type = "F32", shape = ["n", 3 : i64]},
               {name = "count", type = "I64", shape = []}]}} {
  func.func @graph(%g: !lm.batch) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %zero = arith.constant 0 : i64
    %one = arith.constant 1 : i64
    %limit = arith.constant 1.0 : f32
    %half = arith.constant 0.5 : f32
    %n = lm.dimension %g "n"
    %x = lm.graph_input %g "x"(%n) : tensor<?x3xf32>
    %steps = lm.graph_input %g "steps"() : tensor<i64>
    %s = tensor.extract %steps[] : tensor<i64>
    %end = arith.index_cast %s : i64 to index
    %e = tensor.empty(%n) : tensor<?x3xf32>

    // x times itself, as often as the input says.
    %power = scf.for %i = %c0 to %end step %c1 iter_args(%p = %x) -> (tensor<?x3xf32>) {
      %q = linalg.mul ins(%p, %x : tensor<?x3xf32>, tensor<?x3xf32>) outs(%e : tensor<?x3xf32>) -> tensor<?x3xf32>
      scf.yield %q : tensor<?x3xf32>
    }
    %power_out = lm.graph_output %g "power"(%n) : memref<?x3xf32>
    bufferization.materialize_in_destination %power in restrict writable %power_out : (tensor<?x3xf32>, memref<?x3xf32>) -> ()

    // Halves of x, or of its power where there are steps, until none is above one in the first row.
    %any = arith.cmpi ne, %s, %zero : i64
    %start = scf.if %any -> (tensor<?x3xf32>) {
      scf.yield %power : tensor<?x3xf32>
    } else {
      scf.yield %x : tensor<?x3xf32>
    }
    %halved, %count = scf.while (%h = %start, %c = %zero) : (tensor<?x3xf32>, i64) -> (tensor<?x3xf32>, i64) {
      %first = tensor.extract %h[%c0, %c0] : tensor<?x3xf32>
      %more = arith.cmpf ogt, %first, %limit : f32
      scf.condition(%more) %h, %c : tensor<?x3xf32>, i64
    } do {
    ^bb0(%h: tensor<?x3xf32>, %c: i64):
      %less = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>], iterator_types = ["parallel", "parallel"]}
          ins(%h : tensor<?x3xf32>) outs(%e : tensor<?x3xf32>) {
      ^bb1(%in: f32, %o: f32):
        %m = arith.mulf %in, %half : f32
        linalg.yield %m : f32
      } -> tensor<?x3xf32>
      %next = arith.addi %c, %one : i64
      scf.yield %less, %next : tensor<?x3xf32>, i64
    }
    %halved_out = lm.graph_output %g "halved"(%n) : memref<?x3xf32>
    bufferization.materialize_in_destination %halved in restrict writable %halved_out : (tensor<?x3xf32>, memref<?x3xf32>) -> ()
    %ct = tensor.from_elements %count : tensor<i64>
    %count_out = lm.graph_output %g "count"() : memref<i64>
    bufferization.materialize_in_destination %ct in restrict writable %count_out : (tensor<i64>, memref<i64>) -> ()
    return
  }
}
