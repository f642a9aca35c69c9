// Of sizes that are all fixed one follows from data: the buffer has room for the largest.
module attributes {moec.graph = {dimensions = [],
    inputs = [{name = "x", type = "BOOL", shape = [70 : i64, 90 : i64]}],
    outputs = [{name = "where", type = "I64", shape = [2 : i64, ""]}]}} {
  func.func @graph(%g: !lm.batch) {
    %x = lm.graph_input %g "x"() : tensor<70x90xi1>
    %ie = tensor.empty() : tensor<2x6300xi64>
    %ce = tensor.empty() : tensor<i64>
    %places, %count = linalg_ext.nonzero ins(%x : tensor<70x90xi1>) outs(%ie, %ce : tensor<2x6300xi64>, tensor<i64>) -> tensor<2x6300xi64>, tensor<i64>
    %c = tensor.extract %count[] : tensor<i64>
    %k = arith.index_cast %c : i64 to index
    %found = tensor.extract_slice %places[0, 0] [2, %k] [1, 1] : tensor<2x6300xi64> to tensor<2x?xi64>
    %out = lm.graph_output %g "where"() : memref<2x6300xi64>
    %part = memref.subview %out[0, 0] [2, %k] [1, 1] : memref<2x6300xi64> to memref<2x?xi64, strided<[6300, 1]>>
    bufferization.materialize_in_destination %found in restrict writable %part : (tensor<2x?xi64>, memref<2x?xi64, strided<[6300, 1]>>) -> ()
    lm.set_output_size %g "where" dimension 1 to %k
    return
  }
}
