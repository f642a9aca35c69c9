// RUN: moe-opt %s --lm-quantize-weights=formats=attention:int8 --verify-diagnostics

lm.weight @both : !lm.weight<8x40xbf16> layers [] from [#lm.piece<pattern = "b", rows = 8, stored = bf16>]
func.func @gate_reads_it_too(%x: tensor<?x40xf32>, %e: tensor<?x2xi32>, %p: tensor<?x2xf32>, %i: tensor<?x8xf32>) -> (tensor<?x2xi32>, tensor<?x8xf32>) {
  %w = lm.load_weight @both : !lm.weight<8x40xbf16>
  // expected-error @below {{reads @both as it is stored, which is to become int8}}
  %experts, %shares = moe.gate softmax ins(%x, %w : tensor<?x40xf32>, !lm.weight<8x40xbf16>) outs(%e, %p : tensor<?x2xi32>, tensor<?x2xf32>) -> tensor<?x2xi32>, tensor<?x2xf32>
  %y = lm.linear ins(%x, %w : tensor<?x40xf32>, !lm.weight<8x40xbf16>) outs(%i : tensor<?x8xf32>) -> tensor<?x8xf32>
  return %experts, %y : tensor<?x2xi32>, tensor<?x8xf32>
}
