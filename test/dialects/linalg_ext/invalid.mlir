// RUN: moe-opt %s --split-input-file --verify-diagnostics
// Each diagnostic of the dialect, once.

func.func @f(%x: tensor<f32>, %v: tensor<2xf32>, %i: tensor<2xi64>) {
  // expected-error @below {{has an input of rank 0, which has no rows}}
  linalg_ext.top_k ins(%x : tensor<f32>) outs(%v, %i : tensor<2xf32>, tensor<2xi64>) -> tensor<2xf32>, tensor<2xi64>
  return
}

// -----

func.func @f(%x: memref<8xf32>, %v: memref<2xf64>, %i: memref<2xi64>) {
  // expected-error @below {{values are of 'f64', but elements of the input of 'f32'}}
  linalg_ext.top_k ins(%x : memref<8xf32>) outs(%v, %i : memref<2xf64>, memref<2xi64>)
  return
}

// -----

func.func @f(%x: memref<3x8xf32>, %v: memref<4x2xf32>, %i: memref<4x2xi64>) {
  // expected-error @below {{rows of the values are 4, but rows of the input are 3}}
  linalg_ext.top_k ins(%x : memref<3x8xf32>) outs(%v, %i : memref<4x2xf32>, memref<4x2xi64>)
  return
}

// -----

func.func @f(%x: memref<8xf32>, %v: memref<2xf32>, %i: memref<3xi64>) {
  // expected-error @below {{sizes of the indices are 3, but sizes of the values are 2}}
  linalg_ext.top_k ins(%x : memref<8xf32>) outs(%v, %i : memref<2xf32>, memref<3xi64>)
  return
}

// -----

func.func @f(%x: memref<8xf32>, %v: memref<1x2xf32>, %i: memref<2xi64>) {
  // expected-error @below {{values have rank 2, wanted 1}}
  linalg_ext.top_k ins(%x : memref<8xf32>) outs(%v, %i : memref<1x2xf32>, memref<2xi64>)
  return
}

// -----

func.func @f(%x: memref<4x8xi1>, %i: memref<3x?xi64>, %c: memref<i64>) {
  // expected-error @below {{rows of the indices are 3, but dimensions of the input are 2}}
  linalg_ext.nonzero ins(%x : memref<4x8xi1>) outs(%i, %c : memref<3x?xi64>, memref<i64>)
  return
}

// -----

func.func @f(%i: memref<?x2xi64>, %u: memref<?xf32>, %x: memref<8xf32>) {
  // expected-error @below {{wanted as many columns as they name dimensions, of which there are 1}}
  linalg_ext.scatter none ins(%i, %u : memref<?x2xi64>, memref<?xf32>) outs(%x : memref<8xf32>)
  return
}

// -----

func.func @f(%i: memref<4x1xi64>, %u: memref<4x3xf32>, %x: memref<8x5xf32>) {
  // expected-error @below {{sizes of an update are 3, but sizes of the result are 5}}
  linalg_ext.scatter none ins(%i, %u : memref<4x1xi64>, memref<4x3xf32>) outs(%x : memref<8x5xf32>)
  return
}

// -----

func.func @f(%i: memref<4x1xi64>, %u: memref<3x5xf32>, %x: memref<8x5xf32>) {
  // expected-error @below {{updates are 3, but indices are 4}}
  linalg_ext.scatter none ins(%i, %u : memref<4x1xi64>, memref<3x5xf32>) outs(%x : memref<8x5xf32>)
  return
}

// -----

func.func @f(%x: memref<8xf32>, %y: memref<8xf32>) {
  // expected-error @below {{combines nothing}}
  linalg_ext.scan none dimension 0 ins(%x : memref<8xf32>) outs(%y : memref<8xf32>)
  return
}

// -----

func.func @f(%x: memref<8xf32>, %y: memref<8xf32>) {
  // expected-error @below {{goes along dimension 1 of an input of rank 1}}
  linalg_ext.scan add dimension 1 ins(%x : memref<8xf32>) outs(%y : memref<8xf32>)
  return
}
