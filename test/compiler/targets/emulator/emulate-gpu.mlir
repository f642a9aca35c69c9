// RUN: moe-opt %s --moec-emulate-gpu | FileCheck %s
// RUN: moe-opt %s --moec-emulate-gpu='checks=false' | FileCheck %s --check-prefix=PLAIN

// A kernel becomes a function of one thread, with its accesses checked; the shared variable is one of the block's objects.
// CHECK-LABEL: llvm.func internal @kernels.copy(
// CHECK-SAME:    %[[THREAD:.*]]: !llvm.ptr, %[[DATA:.*]]: !llvm.ptr, %{{.*}}: f32)
// CHECK:         %[[PLACE:.*]] = llvm.getelementptr %[[THREAD]][12] : (!llvm.ptr) -> !llvm.ptr, i32
// CHECK:         %[[LANE:.*]] = llvm.load %[[PLACE]] : !llvm.ptr -> i32
// CHECK:         %[[ADDRESS:.*]] = llvm.getelementptr %[[DATA]][%[[LANE]]]
// CHECK-DAG:     %[[BYTES:.*]] = llvm.mlir.constant(4 : i64)
// CHECK:         %[[CHECKED:.*]] = llvm.call @moec_emulator_access(%[[THREAD]], %[[ADDRESS]], %[[BYTES]]
// CHECK:         llvm.load %[[CHECKED]]
// CHECK:         llvm.call @moec_emulator_barrier(%[[THREAD]],
// CHECK-NOT:     !llvm.ptr<3>

// PLAIN-LABEL: llvm.func internal @kernels.copy(
// PLAIN-NOT:     moec_emulator_access
// PLAIN:         llvm.call @moec_emulator_barrier(

// What the emulator calls takes the arguments from where they are.
// CHECK-LABEL: llvm.func internal @kernels.copy.run(%{{.*}}: !llvm.ptr, %{{.*}}: !llvm.ptr)
// CHECK:         llvm.call @kernels.copy(

// CHECK:       llvm.mlir.global internal constant @moec_emulated_kernels.copy.arguments(dense<[8, 4]>
// CHECK:       llvm.mlir.global internal constant @moec_emulated_kernels.copy.objects(dense<1>
// CHECK:       llvm.mlir.global internal constant @moec_emulated_kernels.locations("{{.*}}emulate-gpu.mlir:[[#@LINE+11]]:14\00
// CHECK:       llvm.mlir.global external constant @moec_emulated_kernels()
gpu.module @kernels {
  llvm.mlir.global internal @unused() {addr_space = 3 : i32} : !llvm.array<8 x f32>
  llvm.mlir.global internal @buffer() {addr_space = 3 : i32, alignment = 128 : i64} : !llvm.array<32 x f32>

  llvm.func @copy(%data: !llvm.ptr<1>, %add: f32) attributes {nvvm.kernel} {
    %lane = nvvm.read.ptx.sreg.laneid : i32
    %address = llvm.getelementptr %data[%lane] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
    %local = llvm.alloca %lane x f32 : (i32) -> !llvm.ptr
    llvm.store %add, %local : f32, !llvm.ptr
    %value = llvm.load %address : !llvm.ptr<1> -> f32
    %shared = llvm.mlir.addressof @buffer : !llvm.ptr<3>
    llvm.store %value, %shared : f32, !llvm.ptr<3>
    nvvm.barrier0
    llvm.return
  }
}
