// RUN: moe-opt %s | moe-opt | FileCheck %s
// RUN: moe-opt --emit-bytecode %s | moe-opt | FileCheck %s
// The example of every op, as text and as bytecode.

// CHECK-LABEL: func @top_k
func.func @top_k(%x: tensor<?x8xf32>, %a: tensor<?x2xf32>, %b: tensor<?x2xi64>, %m: memref<8xi32>, %v: memref<?xi32>,
                 %i: memref<?xi32>) {
  // CHECK: linalg_ext.top_k ins(%{{.*}} : tensor<?x8xf32>) outs(%{{.*}}, %{{.*}} : tensor<?x2xf32>, tensor<?x2xi64>) -> tensor<?x2xf32>, tensor<?x2xi64>
  %t:2 = linalg_ext.top_k ins(%x : tensor<?x8xf32>)
      outs(%a, %b : tensor<?x2xf32>, tensor<?x2xi64>) -> tensor<?x2xf32>, tensor<?x2xi64>
  // CHECK: linalg_ext.top_k smallest unsigned ins(%{{.*}} : memref<8xi32>) outs(%{{.*}}, %{{.*}} : memref<?xi32>, memref<?xi32>)
  linalg_ext.top_k smallest unsigned ins(%m : memref<8xi32>) outs(%v, %i : memref<?xi32>, memref<?xi32>)
  return
}

// CHECK-LABEL: func @nonzero
func.func @nonzero(%m: tensor<?x8xi1>, %a: tensor<2x?xi64>, %b: tensor<i64>) {
  // CHECK: linalg_ext.nonzero ins(%{{.*}} : tensor<?x8xi1>) outs(%{{.*}}, %{{.*}} : tensor<2x?xi64>, tensor<i64>) -> tensor<2x?xi64>, tensor<i64>
  %i, %c = linalg_ext.nonzero ins(%m : tensor<?x8xi1>)
      outs(%a, %b : tensor<2x?xi64>, tensor<i64>) -> tensor<2x?xi64>, tensor<i64>
  return
}

// CHECK-LABEL: func @scatter
func.func @scatter(%i: tensor<?x1xi64>, %u: tensor<?x40xf32>, %x: tensor<?x40xf32>, %j: memref<3x0xi32>, %v: memref<3xi8>,
                   %y: memref<i8>) {
  // CHECK: linalg_ext.scatter add ins(%{{.*}}, %{{.*}} : tensor<?x1xi64>, tensor<?x40xf32>) outs(%{{.*}} : tensor<?x40xf32>) -> tensor<?x40xf32>
  %z = linalg_ext.scatter add ins(%i, %u : tensor<?x1xi64>, tensor<?x40xf32>)
      outs(%x : tensor<?x40xf32>) -> tensor<?x40xf32>
  // CHECK: linalg_ext.scatter max unsigned ins(%{{.*}}, %{{.*}} : memref<3x0xi32>, memref<3xi8>) outs(%{{.*}} : memref<i8>)
  linalg_ext.scatter max unsigned ins(%j, %v : memref<3x0xi32>, memref<3xi8>) outs(%y : memref<i8>)
  return
}

// CHECK-LABEL: func @scan
func.func @scan(%x: tensor<?x8xf32>, %i: tensor<?x8xf32>, %m: memref<8xi32>, %n: memref<8xi32>) {
  // CHECK: linalg_ext.scan add dimension 1 ins(%{{.*}} : tensor<?x8xf32>) outs(%{{.*}} : tensor<?x8xf32>) -> tensor<?x8xf32>
  %y = linalg_ext.scan add dimension 1 ins(%x : tensor<?x8xf32>) outs(%i : tensor<?x8xf32>) -> tensor<?x8xf32>
  // CHECK: linalg_ext.scan min dimension 0 exclusive reverse unsigned ins(%{{.*}} : memref<8xi32>) outs(%{{.*}} : memref<8xi32>)
  linalg_ext.scan min dimension 0 exclusive reverse unsigned ins(%m : memref<8xi32>) outs(%n : memref<8xi32>)
  return
}
