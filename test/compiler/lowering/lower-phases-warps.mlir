// RUN: moe-opt %s --moec-lower-phases=gpu=sm_80 --cse | FileCheck %s
// RUN: not moe-opt %s --moec-lower-phases=gpu=sm_70 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// UNKNOWN: unknown GPU architecture 'sm_70'; wanted one of sm_80, sm_86, sm_89, sm_90a, sm_100a, sm_120a

// A row's elements are the lanes' by turns; those of the last turn that are left over are the first lanes'. A sum goes round the
// warp, so that each lane has it; what the loop stores the warp sees once it is over.
// CHECK-LABEL: func @norm(
// CHECK:         lm.phase "rms_norm"
// CHECK-NOT:       vector<
// CHECK:           scf.for {{.*}} iter_args
// CHECK:             %[[ID:[^ ]+]] = nvvm.read.ptx.sreg.laneid : i32
// CHECK-NEXT:        %[[LANE:[^ ]+]] = arith.extui %[[ID]]
// CHECK-NEXT:        %[[AT:[^ ]+]] = llvm.getelementptr %{{.+}}[%[[LANE]]]
// CHECK-NEXT:        llvm.load %[[AT]]
// CHECK-NEXT:        llvm.intr.fma({{.*}} -> f32
// CHECK:           scf.if %{{.*}} -> (f32)
// CHECK-COUNT-5:   nvvm.shfl.sync bfly
// CHECK:           llvm.intr.sqrt
// CHECK:           nvvm.bar.warp.sync
// CHECK-NEXT:      scf.for
// CHECK-NOT:         nvvm.bar.warp.sync
// CHECK:             llvm.store
// CHECK:           scf.if %{{[^ ]+}} {
// CHECK-NEXT:        llvm.getelementptr
// CHECK-NEXT:        llvm.store
// CHECK:           nvvm.bar.warp.sync
func.func @norm(%batch: !lm.batch, %n: index, %x: memref<4x70xf32>, %y: memref<4x70xf32>) {
  lm.phase "rms_norm" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.rms_norm epsilon 1.0e-5 ins(%x : memref<4x70xf32>) outs(%y : memref<4x70xf32>)
  }
  return
}

// What a tile has one of, one lane stores, when all others have come so far, and they wait for it.
// CHECK-LABEL: func @shared(
// CHECK:         %[[ID:[^ ]+]] = arith.trunci %{{.*}} : i64 to i32
// CHECK:         nvvm.bar.warp.sync
// CHECK-NEXT:    nvvm.read.ptx.sreg.laneid
// CHECK-NEXT:    %[[LANE:[^ ]+]] = arith.extui
// CHECK-NEXT:    %[[FIRST:[^ ]+]] = arith.cmpi slt, %[[LANE]], %c1_i64
// CHECK-NEXT:    scf.if %[[FIRST]] {
// CHECK-NEXT:      llvm.store %[[ID]], %{{[^ ]+}}
// CHECK-NEXT:    {{^ +[}]$}}
// CHECK-NEXT:    nvvm.bar.warp.sync
func.func @shared(%batch: !lm.batch, %n: index, %e: memref<4x2xi32>, %w: memref<4x2xf32>, %a: memref<4x3xi32>, %b: memref<4x3xf32>) {
  lm.phase "pick_shared" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    moe.pick_shared first_expert 8 ins(%e, %w : memref<4x2xi32>, memref<4x2xf32>) outs(%a, %b : memref<4x3xi32>, memref<4x3xf32>)
  }
  return
}

// Constants of which each lane has another come from a table.
// CHECK-LABEL: func @angles(
// CHECK:         %[[TABLE:[^ ]+]] = llvm.mlir.addressof @[[NAME:table_[0-9]+]]
// CHECK:         scf.if %{{[^ ]+}} -> (f32) {
// CHECK-NEXT:      %[[AT:[^ ]+]] = llvm.getelementptr %[[TABLE]][%{{[^ ]+}}]
// CHECK-NEXT:      llvm.load %[[AT]] {{.*}} -> f32
func.func @angles(%batch: !lm.batch, %n: index, %p: memref<4xi32>, %c: memref<4x3xf32>, %s: memref<4x3xf32>) {
  lm.phase "rope_table" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.rope_table frequencies [1.0, 0.5, 0.25] factor 1.0 ins(%p : memref<4xi32>) outs(%c, %s : memref<4x3xf32>, memref<4x3xf32>)
  }
  return
}

// A tile of a product is four columns of a row, whose sums have their lanes along K. Behind the last column nothing is stored.
// CHECK-LABEL: func @product(
// CHECK:         lm.phase "linear"
// CHECK-NOT:       lm.linear
// CHECK:           scf.for {{.*}} iter_args(%{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}) -> (f32, f32, f32, f32)
// CHECK-COUNT-4:     llvm.intr.fma(
// CHECK-COUNT-20:  nvvm.shfl.sync bfly
// CHECK:           %[[INSIDE:.+]] = arith.cmpi slt, %{{.*}}, %{{.*}} : i64
// CHECK:           scf.if %[[INSIDE]] {
// CHECK:             llvm.store
func.func @product(%batch: !lm.batch, %n: index, %x: memref<4x64xf32>, %w: memref<18x64xf32>, %y: memref<4x18xf32>) {
  lm.phase "linear" tiles(%n) rows 1 panels 5 {
  ^bb0(%tile: index):
    lm.linear ins(%x, %w : memref<4x64xf32>, memref<18x64xf32>) outs(%y : memref<4x18xf32>)
  }
  return
}
