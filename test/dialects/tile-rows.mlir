// RUN: moe-opt %s --transform-interpreter --canonicalize --cse --split-input-file | FileCheck %s
// Upstream's tiling and fusion cut an expert layer by its tokens. What a token needs is cut with them, weights are not.

// CHECK-LABEL: func @expert_ffn(
// CHECK-SAME:    %[[X:[^:]+]]: tensor<?x40xf32>, %[[E:[^:]+]]: tensor<?x2xi32>, %[[W:[^:]+]]: tensor<?x2xf32>
// CHECK-SAME:    %[[G:[^:]+]]: !lm.weight<8x28x40xf32>, %[[D:[^:]+]]: !lm.weight<8x40x28xf32>, %[[H:[^:]+]]: tensor<?x40xf32>
// CHECK:         %[[T:.+]] = tensor.dim %[[H]], %{{.+}}
// CHECK:         scf.for %[[I:.+]] = %{{.+}} to %[[T]] step %{{.+}} iter_args(%[[OUT:.+]] = %[[H]])
// CHECK:           %[[N:.+]] = affine.min {{.*}}(%[[I]])[%[[T]]]
// CHECK-DAG:       %[[XS:.+]] = tensor.extract_slice %[[X]][%[[I]], 0] [%[[N]], 40] [1, 1]
// CHECK-DAG:       %[[ES:.+]] = tensor.extract_slice %[[E]][%[[I]], 0] [%[[N]], 2] [1, 1]
// CHECK-DAG:       %[[WS:.+]] = tensor.extract_slice %[[W]][%[[I]], 0] [%[[N]], 2] [1, 1]
// CHECK-DAG:       %[[OS:.+]] = tensor.extract_slice %[[OUT]][%[[I]], 0] [%[[N]], 40] [1, 1]
// CHECK:           %[[Y:.+]] = moe.expert_ffn silu accumulate inner f32 ins(%[[XS]], %[[ES]], %[[WS]] :
// CHECK-SAME:          experts(%[[G]], %[[G]], %[[D]] : {{.*}} outs(%[[OS]] :
// CHECK:           tensor.insert_slice %[[Y]] into %[[OUT]][%[[I]], 0] [%[[N]], 40] [1, 1]
func.func @expert_ffn(%x: tensor<?x40xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %g: !lm.weight<8x28x40xf32>,
                      %d: !lm.weight<8x40x28xf32>, %h: tensor<?x40xf32>) -> tensor<?x40xf32> {
  %y = moe.expert_ffn silu accumulate inner f32 ins(%x, %e, %w : tensor<?x40xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
      experts(%g, %g, %d : !lm.weight<8x28x40xf32>, !lm.weight<8x28x40xf32>, !lm.weight<8x40x28xf32>)
      outs(%h : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}
module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op) {
    %op = transform.structured.match ops{["moe.expert_ffn"]} in %root : (!transform.any_op) -> !transform.any_op
    %tiled, %loop = transform.structured.tile_using_for %op tile_sizes [16] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

// Both results of a gate are put together; the router is a weight on memory here, and stays whole too.
// CHECK-LABEL: func @gate(
// CHECK-SAME:    %[[X:[^:]+]]: tensor<64x40xf32>, %[[R:[^:]+]]: tensor<8x40xf32>
// CHECK:         scf.for %[[I:.+]] = {{.*}} iter_args(%[[A:.+]] = %{{.+}}, %[[B:.+]] = %{{.+}})
// CHECK-DAG:       %[[XS:.+]] = tensor.extract_slice %[[X]][%[[I]], 0] [16, 40] [1, 1]
// CHECK:           %[[Y:.+]]:2 = moe.gate softmax renormalize ins(%[[XS]], %[[R]] :
// CHECK-SAME:          -> tensor<16x2xi32>, tensor<16x2xf32>
// CHECK-DAG:       tensor.insert_slice %[[Y]]#0 into %[[A]][%[[I]], 0] [16, 2] [1, 1]
// CHECK-DAG:       tensor.insert_slice %[[Y]]#1 into %[[B]][%[[I]], 0] [16, 2] [1, 1]
func.func @gate(%x: tensor<64x40xf32>, %r: tensor<8x40xf32>, %a: tensor<64x2xi32>, %b: tensor<64x2xf32>)
    -> (tensor<64x2xi32>, tensor<64x2xf32>) {
  %e, %w = moe.gate softmax renormalize ins(%x, %r : tensor<64x40xf32>, tensor<8x40xf32>)
      outs(%a, %b : tensor<64x2xi32>, tensor<64x2xf32>) -> tensor<64x2xi32>, tensor<64x2xf32>
  return %e, %w : tensor<64x2xi32>, tensor<64x2xf32>
}
module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op) {
    %op = transform.structured.match ops{["moe.gate"]} in %root : (!transform.any_op) -> !transform.any_op
    %tiled, %loop = transform.structured.tile_using_for %op tile_sizes [16] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

// A layer's norm and gate follow its experts into their loop: nothing is left outside.
// CHECK-LABEL: func @layer(
// CHECK-NOT:     {{lm|moe}}.{{[a-z_]+ .*}}ins(
// CHECK:         scf.for
// CHECK:           %[[N:.+]] = lm.rms_norm {{.*}} -> tensor<16x40xf32>
// CHECK:           %[[Y:.+]]:2 = moe.gate softmax ins(%[[N]],
// CHECK:           moe.expert_ffn silu inner f32 ins(%[[N]], %[[Y]]#0, %[[Y]]#1 :
// CHECK:         }
// CHECK-NOT:     {{lm|moe}}.{{[a-z_]+ .*}}ins(
func.func @layer(%h: tensor<64x40xf32>, %n: !lm.weight<40xf32>, %r: !lm.weight<8x40xf32>, %g: !lm.weight<8x28x40xf32>,
                 %d: !lm.weight<8x40x28xf32>) -> tensor<64x40xf32> {
  %i = tensor.empty() : tensor<64x40xf32>
  %a = tensor.empty() : tensor<64x2xi32>
  %b = tensor.empty() : tensor<64x2xf32>
  %x = lm.rms_norm epsilon 1.0e-5 ins(%h, %n : tensor<64x40xf32>, !lm.weight<40xf32>) outs(%i : tensor<64x40xf32>) -> tensor<64x40xf32>
  %e, %w = moe.gate softmax ins(%x, %r : tensor<64x40xf32>, !lm.weight<8x40xf32>)
      outs(%a, %b : tensor<64x2xi32>, tensor<64x2xf32>) -> tensor<64x2xi32>, tensor<64x2xf32>
  %y = moe.expert_ffn silu inner f32 ins(%x, %e, %w : tensor<64x40xf32>, tensor<64x2xi32>, tensor<64x2xf32>)
      experts(%g, %g, %d : !lm.weight<8x28x40xf32>, !lm.weight<8x28x40xf32>, !lm.weight<8x40x28xf32>)
      outs(%i : tensor<64x40xf32>) -> tensor<64x40xf32>
  return %y : tensor<64x40xf32>
}
module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op) {
    %op = transform.structured.match ops{["moe.expert_ffn"]} in %root : (!transform.any_op) -> !transform.any_op
    %fused, %loop = transform.structured.fuse %op tile_sizes [16] {apply_cleanup} : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

// Buffers are cut by subviews.
// CHECK-LABEL: func @buffers(
// CHECK-SAME:    %[[X:[^:]+]]: memref<64x40xf32>, %[[IDS:[^:]+]]: memref<64xi32>, %[[OUT:[^:]+]]: memref<64x40xf32>
// CHECK:         scf.for %[[I:.+]] =
// CHECK-DAG:       %[[IS:.+]] = memref.subview %[[IDS]][%[[I]]] [16] [1]
// CHECK-DAG:       %[[OS:.+]] = memref.subview %[[OUT]][%[[I]], 0] [16, 40] [1, 1]
// CHECK:           lm.select_rows ins(%[[X]], %[[IS]] : {{.*}} outs(%[[OS]] :
func.func @buffers(%x: memref<64x40xf32>, %ids: memref<64xi32>, %out: memref<64x40xf32>) {
  lm.select_rows ins(%x, %ids : memref<64x40xf32>, memref<64xi32>) outs(%out : memref<64x40xf32>)
  return
}
module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op) {
    %op = transform.structured.match ops{["lm.select_rows"]} in %root : (!transform.any_op) -> !transform.any_op
    %tiled, %loop = transform.structured.tile_using_for %op tile_sizes [16] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}
