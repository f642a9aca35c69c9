// RUN: moe-opt %s --moec-emulate-gpu | FileCheck %s

// A product of bf16 is made in f32, where it is exact, and rounded by integers.
// CHECK-LABEL: llvm.func internal @kernels.multiply(
// CHECK-NOT:     llvm.fmul {{.*}}bf16
// CHECK:         llvm.fmul %{{.*}}, %{{.*}} : vector<2xf32>
// CHECK:         llvm.trunc %{{.*}} : vector<2xi32> to vector<2xi16>
// CHECK:         llvm.bitcast %{{.*}} : vector<2xi16> to vector<2xbf16>
// CHECK:         llvm.return
gpu.module @kernels {
  llvm.func @multiply(%data: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %value = llvm.load %data : !llvm.ptr<1> -> vector<2xbf16>
    %product = llvm.fmul %value, %value : vector<2xbf16>
    llvm.store %product, %data : vector<2xbf16>, !llvm.ptr<1>
    llvm.return
  }
}
