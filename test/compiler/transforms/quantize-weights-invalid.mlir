// RUN: moe-opt %s --lm-quantize-weights=formats=attention:int8,head:int4 --split-input-file --verify-diagnostics

lm.weight @both : !lm.weight<8x40xbf16> layers [] from [#lm.piece<pattern = "b", rows = 8, stored = bf16>]
func.func @gate_reads_it_too(%x: tensor<?x40xf32>, %e: tensor<?x2xi32>, %p: tensor<?x2xf32>, %i: tensor<?x8xf32>) -> (tensor<?x2xi32>, tensor<?x8xf32>) {
  %w = lm.load_weight @both : !lm.weight<8x40xbf16>
  // expected-error @below {{reads @both as it is stored, which is to become int8}}
  %experts, %shares = moe.gate softmax ins(%x, %w : tensor<?x40xf32>, !lm.weight<8x40xbf16>) outs(%e, %p : tensor<?x2xi32>, tensor<?x2xf32>) -> tensor<?x2xi32>, tensor<?x2xf32>
  %y = lm.linear ins(%x, %w : tensor<?x40xf32>, !lm.weight<8x40xbf16>) outs(%i : tensor<?x8xf32>) -> tensor<?x8xf32>
  return %experts, %y : tensor<?x2xi32>, tensor<?x8xf32>
}

// -----

lm.weight @both : !lm.weight<40x40xbf16> layers [] from [#lm.piece<pattern = "b", rows = 40, stored = bf16>]
func.func @two_formats(%x: tensor<?x40xf32>, %i: tensor<?x40xf32>, %c: memref<?x40xf32>) {
  %w = lm.load_weight @both : !lm.weight<40x40xbf16>
  %y = lm.linear ins(%x, %w : tensor<?x40xf32>, !lm.weight<40x40xbf16>) outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  // expected-error @below {{reads @both as int4, which is to become int8}}
  %z = lm.linear ins(%y, %w : tensor<?x40xf32>, !lm.weight<40x40xbf16>) outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  bufferization.materialize_in_destination %z in restrict writable %c : (tensor<?x40xf32>, memref<?x40xf32>) -> ()
  return
}
