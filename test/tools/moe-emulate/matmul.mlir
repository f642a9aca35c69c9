// RUN: %python %S/Inputs/tensors.py make %t.in arg0=F16:64x64:small arg1=F16:32x64:small arg2=F32:64x32:zeros
// RUN: moe-emulate %s --kernel matmul --grid 2,4 --block 64 --args %t.in --out %t.out --schedule-seed 7 | count 0
// RUN: %python %S/Inputs/tensors.py product %t.out arg0 arg1 arg2 --transposed | FileCheck %s
// RUN: moe-emulate %s --kernel matmul --grid 2,4 --block 64 --args %t.in --bank-conflicts | FileCheck %s --check-prefix=BANKS
// RUN: not moe-emulate %s --kernel impatient --grid 2,4 --block 64 --args %t.in | FileCheck %s --check-prefix=UNWAITED

// A tile of 32 x 8 of C for each block of two warps: A and B are copied asynchronously, two stages deep, fragments are loaded by ldmatrix
// and multiplied by mma.sync.
// CHECK: 64 x 32 equal
#workgroup = #gpu.address_space<workgroup>
gpu.module @kernels {
  // Rows of 16 elements and 8 to spare, so that rows of a fragment begin in different banks.
  memref.global "private" @tileA : memref<2x32x24xf16, #workgroup> = uninitialized {alignment = 16 : i64}
  memref.global "private" @tileB : memref<2x8x24xf16, #workgroup> = uninitialized {alignment = 16 : i64}

  gpu.func @matmul(%a: memref<64x64xf16>, %b: memref<32x64xf16>, %c: memref<64x32xf32>) kernel
      attributes {gpu.known_block_size = array<i32: 64, 1, 1>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    %c3 = arith.constant 3 : index
    %c4 = arith.constant 4 : index
    %c8 = arith.constant 8 : index
    %c16 = arith.constant 16 : index
    %c32 = arith.constant 32 : index
    %thread = gpu.thread_id x
    %blockRow = gpu.block_id x
    %blockColumn = gpu.block_id y
    %firstRow = arith.muli %blockRow, %c32 : index
    %firstColumn = arith.muli %blockColumn, %c8 : index
    %tileA = memref.get_global @tileA : memref<2x32x24xf16, #workgroup>
    %tileB = memref.get_global @tileB : memref<2x8x24xf16, #workgroup>

    // Each thread copies 8 elements of A, and each of the first 16 threads 8 of B.
    %copyRow = arith.divui %thread, %c2 : index
    %copyHalf = arith.remui %thread, %c2 : index
    %copyColumn = arith.muli %copyHalf, %c8 : index
    %copiesB = arith.cmpi ult, %thread, %c16 : index
    %rowA = arith.addi %firstRow, %copyRow : index
    %rowB = arith.addi %firstColumn, %copyRow : index
    %t0 = nvgpu.device_async_copy %a[%rowA, %copyColumn], %tileA[%c0, %copyRow, %copyColumn], 8 : memref<64x64xf16> to memref<2x32x24xf16, #workgroup>
    scf.if %copiesB {
      %t1 = nvgpu.device_async_copy %b[%rowB, %copyColumn], %tileB[%c0, %copyRow, %copyColumn], 8 : memref<32x64xf16> to memref<2x8x24xf16, #workgroup>
    }
    %g0 = nvgpu.device_async_create_group %t0

    %warp = arith.divui %thread, %c32 : index
    %lane = arith.remui %thread, %c32 : index
    %warpRow = arith.muli %warp, %c16 : index
    // ldmatrix takes the address of a row of 8 from each lane.
    %laneRow = arith.remui %lane, %c16 : index
    %laneHalf = arith.divui %lane, %c16 : index
    %loadRow = arith.addi %warpRow, %laneRow : index
    %loadColumn = arith.muli %laneHalf, %c8 : index
    %laneRowB = arith.remui %lane, %c8 : index
    %laneEighth = arith.divui %lane, %c8 : index
    %laneHalfB = arith.remui %laneEighth, %c2 : index
    %loadColumnB = arith.muli %laneHalfB, %c8 : index

    %zero = arith.constant dense<0.0> : vector<2x2xf32>
    %sums = scf.for %step = %c0 to %c4 step %c1 iter_args(%sum = %zero) -> (vector<2x2xf32>) {
      %stage = arith.remui %step, %c2 : index
      %nextStep = arith.addi %step, %c1 : index
      %nextStage = arith.remui %nextStep, %c2 : index
      %hasNext = arith.cmpi ult, %nextStep, %c4 : index
      scf.if %hasNext {
        %depth = arith.muli %nextStep, %c16 : index
        %column = arith.addi %depth, %copyColumn : index
        %t2 = nvgpu.device_async_copy %a[%rowA, %column], %tileA[%nextStage, %copyRow, %copyColumn], 8 : memref<64x64xf16> to memref<2x32x24xf16, #workgroup>
        scf.if %copiesB {
          %t3 = nvgpu.device_async_copy %b[%rowB, %column], %tileB[%nextStage, %copyRow, %copyColumn], 8 : memref<32x64xf16> to memref<2x8x24xf16, #workgroup>
        }
      }
      %group = nvgpu.device_async_create_group {}
      nvgpu.device_async_wait %group {numGroups = 1 : i32}
      gpu.barrier
      // BANKS: matmul.mlir:[[#@LINE+1]]:12: reads of shared memory: 64 instructions, 256 passes over the banks, 256 without conflicts
      %x = nvgpu.ldmatrix %tileA[%stage, %loadRow, %loadColumn] {numTiles = 4 : i32, transpose = false} : memref<2x32x24xf16, #workgroup> -> vector<4x2xf16>
      %y = nvgpu.ldmatrix %tileB[%stage, %laneRowB, %loadColumnB] {numTiles = 2 : i32, transpose = false} : memref<2x8x24xf16, #workgroup> -> vector<2x2xf16>
      %next = nvgpu.mma.sync(%x, %y, %sum) {mmaShape = [16, 8, 16]} : (vector<4x2xf16>, vector<2x2xf16>, vector<2x2xf32>) -> vector<2x2xf32>
      gpu.barrier
      scf.yield %next : vector<2x2xf32>
    }
    %outRow0 = arith.divui %lane, %c4 : index
    %outRow1 = arith.addi %outRow0, %warpRow : index
    %outRow = arith.addi %outRow1, %firstRow : index
    %outLower = arith.addi %outRow, %c8 : index
    %quad = arith.remui %lane, %c4 : index
    %pair = arith.muli %quad, %c2 : index
    %outColumn = arith.addi %firstColumn, %pair : index
    %upper = vector.extract %sums[0] : vector<2xf32> from vector<2x2xf32>
    %lower = vector.extract %sums[1] : vector<2xf32> from vector<2x2xf32>
    vector.transfer_write %upper, %c[%outRow, %outColumn] {in_bounds = [true]} : vector<2xf32>, memref<64x32xf32>
    vector.transfer_write %lower, %c[%outLower, %outColumn] {in_bounds = [true]} : vector<2xf32>, memref<64x32xf32>
    gpu.return
  }

  // A copy that nobody waits for is found where it is read.
  gpu.func @impatient(%a: memref<64x64xf16>, %b: memref<32x64xf16>, %c: memref<64x32xf32>) kernel {
    %c0 = arith.constant 0 : index
    %thread = gpu.thread_id x
    %c2 = arith.constant 2 : index
    %c8 = arith.constant 8 : index
    %row = arith.divui %thread, %c2 : index
    %half = arith.remui %thread, %c2 : index
    %column = arith.muli %half, %c8 : index
    %tileA = memref.get_global @tileA : memref<2x32x24xf16, #workgroup>
    %t0 = nvgpu.device_async_copy %a[%row, %column], %tileA[%c0, %row, %column], 8 : memref<64x64xf16> to memref<2x32x24xf16, #workgroup>
    %g0 = nvgpu.device_async_create_group %t0
    gpu.barrier
    %c16 = arith.constant 16 : index
    %laneRow = arith.remui %thread, %c16 : index
    // UNWAITED: matmul.mlir:[[#@LINE+1]]:10: unwaited copy: read at byte {{[0-9]+}} of a shared object of 3072, which an asynchronous copy may still write, by {{.*}}; a write at {{.*}}matmul.mlir:[[#@LINE-5]]:11 by
    %x = nvgpu.ldmatrix %tileA[%c0, %laneRow, %c0] {numTiles = 2 : i32, transpose = false} : memref<2x32x24xf16, #workgroup> -> vector<2x2xf16>
    gpu.return
  }
}
