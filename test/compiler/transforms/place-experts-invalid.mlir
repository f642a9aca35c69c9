// RUN: moe-opt %s --split-input-file --moe-place-experts --verify-diagnostics

// expected-error @below {{moec.placement is {host_layers = array<i64: 2>}, wanted device_memory, a number of bytes, and host_layers, numbers of layers}}
module attributes {moec.placement = {host_layers = array<i64: 2>}} {
func.func @step(%batch: !lm.batch) {
  return
}
}

// -----

// expected-error @below {{layer 1 is to have its experts on the host, but it has none}}
module attributes {moec.placement = {device_memory = 1000 : i64, host_layers = array<i64: 1>}} {
lm.weight @up : !lm.weight<4x8x16xf32> layers [0] from [#lm.piece<pattern = "{l}.{e}.up", rows = 8, stored = f32>]
func.func @step(%batch: !lm.batch) {
  return
}
}

// -----

// expected-error @below {{layer 0 is to have its experts on the host, but they are not fused into moe.expert_ffn}}
module attributes {moec.placement = {device_memory = 1000 : i64, host_layers = array<i64: 0>}} {
lm.weight @up : !lm.weight<4x8x16xf32> layers [0] from [#lm.piece<pattern = "{l}.{e}.up", rows = 8, stored = f32>]
func.func @step(%batch: !lm.batch) {
  return
}
}

// -----

module attributes {moec.placement = {device_memory = 1000 : i64, host_layers = array<i64: 0>}} {
lm.weight @up : !lm.weight<4x16x16xf32> layers [0] from [#lm.piece<pattern = "{l}.{e}.up", rows = 16, stored = f32>]
func.func @step(%batch: !lm.batch) {
  %T = lm.token_count %batch
  %layer = arith.constant 0 : index
  %e = tensor.empty(%T) : tensor<?x2xi32>
  %w = tensor.empty(%T) : tensor<?x2xf32>
  %x = tensor.empty(%T) : tensor<?x16xf32>
  %tiles = tensor.empty(%T) : tensor<?x3xi32>
  %up = lm.load_weight @up[%layer] : !lm.weight<4x16x16xf32>
  %z = moe.expert_ffn silu inner f32 ins(%x, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
      experts(%up, %up, %up : !lm.weight<4x16x16xf32>, !lm.weight<4x16x16xf32>, !lm.weight<4x16x16xf32>)
      outs(%x : tensor<?x16xf32>) -> tensor<?x16xf32>
  // expected-error @below {{reads the experts' weight up, of which the host is to have some layers}}
  %other = moe.grouped_matmul ins(%x, %up, %tiles : tensor<?x16xf32>, !lm.weight<4x16x16xf32>, tensor<?x3xi32>) outs(%x : tensor<?x16xf32>)
      -> tensor<?x16xf32>
  return
}
}

// -----

module attributes {moec.placement = {device_memory = 1000 : i64, host_layers = array<i64: 0>}} {
func.func @step(%batch: !lm.batch) {
  %T = lm.token_count %batch
  %e = tensor.empty(%T) : tensor<?x2xi32>
  %w = tensor.empty(%T) : tensor<?x2xf32>
  %x = tensor.empty(%T) : tensor<?x16xf32>
  %up = tensor.empty() : tensor<4x16x16xf32>
  // expected-error @below {{has weights that are not loaded, and so cannot be placed}}
  %z = moe.expert_ffn silu inner f32 ins(%x, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
      experts(%up, %up, %up : tensor<4x16x16xf32>, tensor<4x16x16xf32>, tensor<4x16x16xf32>)
      outs(%x : tensor<?x16xf32>) -> tensor<?x16xf32>
  return
}
}
