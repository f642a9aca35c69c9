// RUN: moe-opt %s --moec-outline-kernels=gpu=sm_80 --verify-diagnostics --split-input-file
// Room is shared memory, of which a block has so much.
func.func @step(%batch: !lm.batch) {
  %n = lm.token_count %batch
  // expected-error @below {{"wide" takes 65536 bytes of shared memory for a warp, and a block has 49152; the model's sizes are too large}}
  lm.phase "wide" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    %bytes = arith.constant 65536 : i64
    %room = llvm.alloca %bytes x i8 : (i64) -> !llvm.ptr
    %zero = arith.constant 0 : i32
    llvm.store %zero, %room : i32, !llvm.ptr
  }
  return
}

// -----

// Parameters have eight bytes each.
func.func @step(%batch: !lm.batch, %wide: vector<8xf32>) {
  %n = lm.token_count %batch
  %a = memref.alloc(%n) : memref<?x4xf32>
  // expected-error @below {{uses a value of type 'vector<8xf32>', which no kernel can be given}}
  lm.phase "wide" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    %sum = arith.addf %wide, %wide : vector<8xf32>
    %room = memref.alloc() : memref<vector<8xf32>>
    memref.store %sum, %room[] : memref<vector<8xf32>>
  }
  return
}

// -----

// What crosses to the host is copied as it lies.
func.func @step(%batch: !lm.batch, %layer: index, %x: memref<?x40xf32, strided<[80, 1]>>, %y: memref<?x40xf32>) {
  // expected-error @below {{gives rows of type 'memref<?x40xf32, strided<[80, 1]>>', wanted such as lie one after another}}
  lm.run_part 0[%layer] of %batch ins(%x : memref<?x40xf32, strided<[80, 1]>>) outs(%y : memref<?x40xf32>)
  return
}
