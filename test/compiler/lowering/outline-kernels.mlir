// RUN: moe-opt %s --moec-outline-kernels=gpu=sm_80 | FileCheck %s
// RUN: not moe-opt %s --moec-outline-kernels=gpu=none 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// UNKNOWN: unknown GPU architecture 'none'

// The step launches kernel number 1 with the device's arguments, the tiles, and what the phase uses: of a memref the address, and
// the extent that is not fixed. There are as many blocks as have a warp with a tile; without tiles there is no launch.
// CHECK-LABEL: func @step(
// CHECK-SAME:    %{{.*}}: !lm.batch, %{{.*}}: i64)
// CHECK-NOT:     lm.phase
// CHECK-NOT:     lm.barrier
// CHECK:         %[[TILES:[^ ]+]] = arith.index_cast %{{.*}} : index to i64
// CHECK:         %[[EXTENT:[^ ]+]] = arith.index_cast %sizes#0 : index to i64
// CHECK:         arith.divui
// CHECK:         scf.if
// CHECK:           llvm.store %[[TILES]]
// CHECK:           llvm.store %[[EXTENT]]
// CHECK:           llvm.call @moec_device_launch(
// CHECK:         arith.constant 1 : i64
// CHECK:         llvm.call @moec_device_launch(

// CHECK:       gpu.module @kernels
// Tables that a kernel reads lie beside it; its room is each warp's part of an array in shared memory, here of 128 bytes.
// CHECK-DAG:     llvm.mlir.global private constant @table_0
// CHECK-DAG:     llvm.mlir.global internal @phase_1_rooms_rooms() {addr_space = 3 : i32{{.*}}} : !llvm.array<1024 x i8>
// CHECK:         llvm.func @phase_0_work(%{{.*}}: !llvm.ptr, %[[COUNT:.+]]: i64, %{{.*}}: !llvm.ptr, %{{.*}}: i64) attributes {nvvm.kernel, nvvm.minctasm = 2 : i32, nvvm.reqntid = array<i32: 256>}
// CHECK:           %[[FIRST:.+]] = arith.addi
// CHECK:           %[[END:.+]] = arith.index_cast %[[COUNT]] : i64 to index
// CHECK:           scf.for %{{.*}} = %[[FIRST]] to %[[END]] step
// CHECK:             memref.store
// CHECK:         llvm.func @phase_1_rooms(
// CHECK-NOT:       llvm.alloca
// CHECK:           %[[WARP:.+]] = arith.divui
// CHECK:           arith.muli %[[WARP]]
// CHECK:           llvm.mlir.addressof @table_0
llvm.mlir.global private constant @table_0(dense<[3, 1]> : tensor<2xi32>) : !llvm.array<2 x i32>
func.func @step(%batch: !lm.batch) {
  %n = lm.token_count %batch
  %a = memref.alloc(%n) : memref<?x4xf32>
  lm.phase "work" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    %one = arith.constant 1.0 : f32
    %zero = arith.constant 0 : index
    memref.store %one, %a[%tile, %zero] : memref<?x4xf32>
  }
  lm.barrier
  lm.phase "rooms" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    %bytes = arith.constant 40 : i64
    %small = llvm.alloca %bytes x i8 : (i64) -> !llvm.ptr
    %other = llvm.alloca %bytes x i8 : (i64) -> !llvm.ptr
    %table = llvm.mlir.addressof @table_0 : !llvm.ptr
    %entry = llvm.load %table : !llvm.ptr -> i32
    llvm.store %entry, %small : i32, !llvm.ptr
    llvm.store %entry, %other : i32, !llvm.ptr
  }
  return
}
