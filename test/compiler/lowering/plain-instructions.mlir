// RUN: moe-opt %s --moec-plain-instructions | FileCheck %s

// An instruction of 512 bits becomes a call; what the lowest level has stays.
// CHECK-LABEL: func @dot
// CHECK:         call @plain.llvm.x86.avx512.vpdpbusd.512(
// CHECK:         llvm.call_intrinsic "llvm.x86.avx2.pmadd.wd"
func.func @dot(%sum: vector<16xi32>, %a: vector<64xi8>, %b: vector<64xi8>, %words: vector<16xi16>) -> (vector<16xi32>, vector<8xi32>) {
  %dot = llvm.call_intrinsic "llvm.x86.avx512.vpdpbusd.512"(%sum, %a, %b) : (vector<16xi32>, vector<64xi8>, vector<64xi8>) -> vector<16xi32>
  %stays = llvm.call_intrinsic "llvm.x86.avx2.pmadd.wd"(%words, %words) : (vector<16xi16>, vector<16xi16>) -> vector<8xi32>
  return %dot, %stays : vector<16xi32>, vector<8xi32>
}

// Whatever is picked from a table becomes a call too.
// CHECK-LABEL: func @pick
// CHECK:         call @plain.llvm.x86.avx512.permvar.sf.512(
// CHECK:         call @plain.llvm.x86.avx512.permvar.hi.512(
func.func @pick(%floats: vector<16xf32>, %words: vector<16xi32>, %halves: vector<32xi16>) -> (vector<16xf32>, vector<32xi16>) {
  %f = llvm.call_intrinsic "llvm.x86.avx512.permvar.sf.512"(%floats, %words) : (vector<16xf32>, vector<16xi32>) -> vector<16xf32>
  %h = llvm.call_intrinsic "llvm.x86.avx512.permvar.hi.512"(%halves, %halves) : (vector<32xi16>, vector<32xi16>) -> vector<32xi16>
  return %f, %h : vector<16xf32>, vector<32xi16>
}

// Rounding to bf16 is spelled out, with denormals taken for zero.
// CHECK-LABEL: func @round
// CHECK:         arith.constant dense<2139095040> : vector<8xi32>
// CHECK-NOT:     arith.truncf
func.func @round(%values: vector<8xf32>) -> vector<8xbf16> {
  %rounded = arith.truncf %values : vector<8xf32> to vector<8xbf16>
  return %rounded : vector<8xbf16>
}

// A matrix register is a vector wherever a loop carries it.
// CHECK-LABEL: func @matrices
// CHECK-NOT:     x86_amx
// CHECK:         scf.for {{.*}} -> (vector<256xi32>)
// CHECK:           call @plain.llvm.x86.tdpbf16ps.internal(
func.func @matrices(%rows: i16, %at: !llvm.ptr, %stride: i64, %steps: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %bytes = arith.constant 64 : i16
  %zero = llvm.call_intrinsic "llvm.x86.tilezero.internal"(%rows, %bytes) : (i16, i16) -> !llvm.x86_amx
  %sums = scf.for %i = %c0 to %steps step %c1 iter_args(%now = %zero) -> (!llvm.x86_amx) {
    %a = llvm.call_intrinsic "llvm.x86.tileloadd64.internal"(%rows, %bytes, %at, %stride) : (i16, i16, !llvm.ptr, i64) -> !llvm.x86_amx
    %next = llvm.call_intrinsic "llvm.x86.tdpbf16ps.internal"(%rows, %bytes, %bytes, %now, %a, %a)
        : (i16, i16, i16, !llvm.x86_amx, !llvm.x86_amx, !llvm.x86_amx) -> !llvm.x86_amx
    scf.yield %next : !llvm.x86_amx
  }
  llvm.call_intrinsic "llvm.x86.tilestored64.internal"(%rows, %bytes, %at, %stride, %sums) : (i16, i16, !llvm.ptr, i64, !llvm.x86_amx) -> ()
  return
}

// The functions multiply and add.
// CHECK-LABEL: func private @plain.llvm.x86.avx512.vpdpbusd.512(
// CHECK-NOT:     llvm.call_intrinsic
// CHECK:         arith.extui %{{.*}} : vector<16xi8> to vector<16xi32>
// CHECK:         arith.extsi %{{.*}} : vector<16xi8> to vector<16xi32>
// CHECK:         arith.muli
