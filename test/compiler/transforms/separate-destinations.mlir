// RUN: moe-opt %s --lm-separate-destinations | FileCheck %s
// Two ops that share a destination, and two that share zeros, get their own.

// CHECK-LABEL: func @graph
// CHECK:         %[[A:.*]] = tensor.empty
// CHECK:         linalg.exp {{.*}} outs(%[[A]] :
// CHECK:         %[[B:.*]] = tensor.empty
// CHECK:         linalg.log {{.*}} outs(%[[B]] :
// CHECK:         %[[C:.*]] = tensor.empty
// CHECK:         %[[ZC:.*]] = linalg.fill {{.*}} outs(%[[C]] :
// CHECK:         linalg.add {{.*}} outs(%[[ZC]] :
// CHECK:         %[[D:.*]] = tensor.empty
// CHECK:         %[[ZD:.*]] = linalg.fill {{.*}} outs(%[[D]] :
// CHECK:         linalg.sub {{.*}} outs(%[[ZD]] :
func.func @graph(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  %a = linalg.exp ins(%x : tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  %b = linalg.log ins(%x : tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  %c = linalg.add ins(%a, %b : tensor<4xf32>, tensor<4xf32>) outs(%z : tensor<4xf32>) -> tensor<4xf32>
  %d = linalg.sub ins(%a, %b : tensor<4xf32>, tensor<4xf32>) outs(%z : tensor<4xf32>) -> tensor<4xf32>
  return %c, %d : tensor<4xf32>, tensor<4xf32>
}
