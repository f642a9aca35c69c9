// Two routings: Mixtral's, and one of Qwen3's size.
func.func @mixtral(%s: tensor<?x8xf32>, %a: tensor<?x2xi32>, %b: tensor<?x2xf32>) -> (tensor<?x2xi32>, tensor<?x2xf32>) {
  %e, %w = moe.route renormalize ins(%s : tensor<?x8xf32>) outs(%a, %b : tensor<?x2xi32>, tensor<?x2xf32>)
      -> tensor<?x2xi32>, tensor<?x2xf32>
  return %e, %w : tensor<?x2xi32>, tensor<?x2xf32>
}

func.func @qwen3(%s: tensor<?x128xf32>, %a: tensor<?x8xi32>, %b: tensor<?x8xf32>) -> (tensor<?x8xi32>, tensor<?x8xf32>) {
  %e, %w = moe.route renormalize ins(%s : tensor<?x128xf32>) outs(%a, %b : tensor<?x8xi32>, tensor<?x8xf32>)
      -> tensor<?x8xi32>, tensor<?x8xf32>
  return %e, %w : tensor<?x8xi32>, tensor<?x8xf32>
}
