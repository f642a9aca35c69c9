// RUN: %python %S/Inputs/tensors.py make %t.in arg0=F32:128:iota arg1=F32:128:zeros arg2=F32::10
// RUN: moe-emulate %s --kernel reverse --grid 2 --block 64 --args %t.in --out %t.out | count 0
// RUN: %python %S/Inputs/tensors.py show %t.out arg1 | FileCheck %s
// RUN: not moe-emulate %s --kernel racy --grid 2 --block 64 --args %t.in | FileCheck %s --check-prefix=RACY

// Each block adds a number to its numbers and reverses them, by way of shared memory; results come in a file.
// CHECK: 73.0 72.0 71.0
// CHECK-SAME: 11.0 10.0 137.0 136.0
// CHECK-SAME: 75.0 74.0
gpu.module @kernels {
  memref.global "private" @buffer : memref<64xf32, #gpu.address_space<workgroup>> = uninitialized

  gpu.func @reverse(%in: memref<?xf32>, %out: memref<128xf32>, %add: f32) kernel {
    %thread = gpu.thread_id x
    %block = gpu.block_id x
    %size = gpu.block_dim x
    %first = arith.muli %block, %size : index
    %mine = arith.addi %first, %thread : index
    %buffer = memref.get_global @buffer : memref<64xf32, #gpu.address_space<workgroup>>
    %old = memref.load %in[%mine] : memref<?xf32>
    %new = arith.addf %old, %add : f32
    memref.store %new, %buffer[%thread] : memref<64xf32, #gpu.address_space<workgroup>>
    gpu.barrier
    %one = arith.constant 1 : index
    %last = arith.subi %size, %one : index
    %other = arith.subi %last, %thread : index
    %reversed = memref.load %buffer[%other] : memref<64xf32, #gpu.address_space<workgroup>>
    memref.store %reversed, %out[%mine] : memref<128xf32>
    gpu.return
  }

  // Without the barrier there is a race, found at the store and the load, whatever the order.
  gpu.func @racy(%in: memref<?xf32>, %out: memref<128xf32>, %add: f32) kernel {
    %thread = gpu.thread_id x
    %buffer = memref.get_global @buffer : memref<64xf32, #gpu.address_space<workgroup>>
    %c63 = arith.constant 63 : index
    %other = arith.subi %c63, %thread : index
    // RACY-DAG: reverse.mlir:[[#@LINE+1]]:5: race: write at byte {{[0-9]+}} of a shared object of 256, by thread ({{.*}}) of block (0, 0, 0); a read at {{.*}}reverse.mlir:[[#@LINE+3]]:13 by thread
    memref.store %add, %buffer[%thread] : memref<64xf32, #gpu.address_space<workgroup>>
    // RACY-DAG: reverse.mlir:[[#@LINE+1]]:13: race: read at byte {{[0-9]+}} of a shared object of 256, by thread ({{.*}}) of block (0, 0, 0); a write at {{.*}}reverse.mlir:[[#@LINE-1]]:5 by thread
    %read = memref.load %buffer[%other] : memref<64xf32, #gpu.address_space<workgroup>>
    %block = gpu.block_id x
    %size = gpu.block_dim x
    %first = arith.muli %block, %size : index
    %mine = arith.addi %first, %thread : index
    memref.store %read, %out[%mine] : memref<128xf32>
    gpu.return
  }
}
