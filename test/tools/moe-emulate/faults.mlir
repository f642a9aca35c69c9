// RUN: split-file %s %t
// RUN: %python %S/Inputs/tensors.py make %t/in arg0=F32:64:iota
// RUN: not moe-emulate %t/kernels.mlir --kernel beyond --grid 1 --block 65 --args %t/in | FileCheck %t/kernels.mlir --check-prefix=BEYOND
// RUN: not moe-emulate %t/kernels.mlir --kernel unaligned --grid 1 --block 1 --args %t/in | FileCheck %t/kernels.mlir --check-prefix=UNALIGNED
// RUN: not moe-emulate %t/kernels.mlir --kernel fresh --grid 1 --block 32 --shared 128 --args %t/in | FileCheck %t/kernels.mlir --check-prefix=FRESH
// RUN: not moe-emulate %t/kernels.mlir --kernel divergent --grid 1 --block 64 --args %t/in | FileCheck %t/kernels.mlir --check-prefix=DIVERGENT
// RUN: not moe-emulate %t/kernels.mlir --kernel stuck --grid 1 --block 32 --args %t/in | FileCheck %t/kernels.mlir --check-prefix=STUCK
// RUN: not moe-emulate %t/kernels.mlir --kernel strays --grid 1 --block 5 --args %t/in | FileCheck %t/kernels.mlir --check-prefix=STRAYS
// RUN: not moe-emulate %t/kernels.mlir --kernel divides --grid 1 --block 4 --args %t/in | FileCheck %t/kernels.mlir --check-prefix=DIVIDES
// RUN: moe-emulate %t/kernels.mlir --kernel columns --grid 1 --block 32 --shared 4096 --args %t/in --bank-conflicts | FileCheck %t/kernels.mlir --check-prefix=COLUMNS
// RUN: moe-emulate %t/kernels.mlir --kernel atomics --grid 2 --block 32 --args %t/in --out %t/out | count 0
// RUN: %python %S/Inputs/tensors.py show %t/out arg0 | FileCheck %t/kernels.mlir --check-prefix=ATOMICS

//--- kernels.mlir
// Each kernel commits one crime; the report names the line.
gpu.module @kernels {
  llvm.mlir.global external @dynamic() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<0 x i8>

  llvm.func @beyond(%data: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %thread = nvvm.read.ptx.sreg.tid.x : i32
    %address = llvm.getelementptr %data[%thread] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
    // BEYOND: kernels.mlir:[[#@LINE+1]]:14: out of bounds: read of 4 bytes at {{.*}}, by thread (64, 0, 0) of block (0, 0, 0)
    %value = llvm.load %address : !llvm.ptr<1> -> f32
    // BEYOND-NEXT: kernels.mlir:[[#@LINE+1]]:5: out of bounds: write of 4 bytes
    llvm.store %value, %address : f32, !llvm.ptr<1>
    llvm.return
  }

  llvm.func @unaligned(%data: !llvm.ptr) attributes {nvvm.kernel} {
    %address = llvm.getelementptr %data[1] : (!llvm.ptr) -> !llvm.ptr, f32
    // UNALIGNED: kernels.mlir:[[#@LINE+1]]:12: misaligned: read at byte 4 of a buffer of 256, which is no multiple of 16
    %bad = llvm.load %address : !llvm.ptr -> vector<4xf32>
    %good = llvm.load %address {alignment = 4 : i64} : !llvm.ptr -> vector<4xf32>
    // UNALIGNED-NOT: kernels.mlir
    llvm.return
  }

  llvm.func @fresh(%data: !llvm.ptr) attributes {nvvm.kernel} {
    %thread = nvvm.read.ptx.sreg.tid.x : i32
    %shared = llvm.mlir.addressof @dynamic : !llvm.ptr<3>
    %address = llvm.getelementptr %shared[%thread] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, f32
    // FRESH: kernels.mlir:[[#@LINE+1]]:14: uninitialized: read at byte 0 of a shared object of 128, which nobody wrote
    %value = llvm.load %address : !llvm.ptr<3> -> f32
    llvm.return
  }

  llvm.func @divergent(%data: !llvm.ptr) attributes {nvvm.kernel} {
    %thread = nvvm.read.ptx.sreg.tid.x : i32
    %c40 = llvm.mlir.constant(40 : i32) : i32
    %reaches = llvm.icmp "ult" %thread, %c40 : i32
    llvm.cond_br %reaches, ^barrier, ^end
  ^barrier:
    // DIVERGENT: kernels.mlir:[[#@LINE+1]]:5: divergent barrier: 24 of 64 threads ended without reaching this barrier
    nvvm.barrier0
    llvm.br ^end
  ^end:
    llvm.return
  }

  llvm.func @stuck(%data: !llvm.ptr) attributes {nvvm.kernel} {
    %thread = nvvm.read.ptx.sreg.tid.x : i32
    %all = llvm.mlir.constant(-1 : i32) : i32
    %c16 = llvm.mlir.constant(16 : i32) : i32
    %lower = llvm.icmp "ult" %thread, %c16 : i32
    llvm.cond_br %lower, ^lower, ^upper
  ^lower:
    // STUCK: kernels.mlir:[[#@LINE+1]]:5: divergent warp: lanes 0xffffffff are to execute this together, and some are elsewhere, by {{.*}}; another is at {{.*}}kernels.mlir:[[#@LINE+5]]:5
    nvvm.bar.warp.sync %all : i32
    llvm.br ^upper
  ^upper:
    // The upper lanes wait here for lower ones, which wait above for them.
    nvvm.barrier0
    llvm.return
  }

  // A variable of the thread's own is too short for the last thread.
  llvm.func @strays(%data: !llvm.ptr) attributes {nvvm.kernel} {
    %thread = nvvm.read.ptx.sreg.tid.x : i32
    %c4 = llvm.mlir.constant(4 : i32) : i32
    %variable = llvm.alloca %c4 x i32 : (i32) -> !llvm.ptr
    llvm.store %c4, %variable : i32, !llvm.ptr
    %place = llvm.getelementptr %variable[%thread] : (!llvm.ptr, i32) -> !llvm.ptr, i32
    // STRAYS-DAG: kernels.mlir:[[#@LINE+1]]:5: out of bounds: write of 4 bytes at byte 16 of a variable of 16, by thread (4, 0, 0) of block (0, 0, 0)
    llvm.store %thread, %place : i32, !llvm.ptr
    %far = llvm.getelementptr %place[-1000000] : (!llvm.ptr) -> !llvm.ptr, i32
    // STRAYS-DAG: kernels.mlir:[[#@LINE+1]]:14: out of bounds: read of 4 bytes at byte -4000000 of a variable of 16, by thread (0, 0, 0) of block (0, 0, 0); 5 times
    %value = llvm.load %far : !llvm.ptr -> i32
    %address = llvm.getelementptr %data[%thread] : (!llvm.ptr, i32) -> !llvm.ptr, i32
    llvm.store %value, %address : i32, !llvm.ptr
    // STRAYS-NOT: kernels.mlir
    llvm.return
  }

  // Hosts would stop at each.
  llvm.func @divides(%data: !llvm.ptr) attributes {nvvm.kernel} {
    %thread = nvvm.read.ptx.sreg.tid.x : i32
    %c3 = llvm.mlir.constant(3 : i32) : i32
    %least = llvm.mlir.constant(-2147483648 : i32) : i32
    %ones = llvm.mlir.constant(-1 : i32) : i32
    %numbers = llvm.mlir.constant(dense<[7, -2147483648]> : vector<2xi32>) : vector<2xi32>
    %none = llvm.mlir.undef : vector<2xi32>
    // DIVIDES-DAG: kernels.mlir:[[#@LINE+1]]:18: division: by zero, by thread (0, 0, 0) of block (0, 0, 0)
    %quotient0 = llvm.udiv %c3, %thread : i32
    %negative = llvm.sub %thread, %c3 : i32
    %lane = llvm.add %negative, %ones : i32
    // DIVIDES-DAG: kernels.mlir:[[#@LINE+1]]:18: division: of the least number by -1, which overflows, by thread (3, 0, 0) of block (0, 0, 0)
    %quotient1 = llvm.srem %least, %lane : i32
    %zero = llvm.mlir.constant(0 : i32) : i32
    %one = llvm.mlir.constant(1 : i32) : i32
    %first = llvm.insertelement %one, %none[%zero : i32] : vector<2xi32>
    %divisors = llvm.insertelement %thread, %first[%one : i32] : vector<2xi32>
    // DIVIDES-DAG: kernels.mlir:[[#@LINE+1]]:18: division: by zero, by thread (0, 0, 0) of block (0, 0, 0)
    %quotient2 = llvm.sdiv %numbers, %divisors : vector<2xi32>
    // DIVIDES-NOT: kernels.mlir
    %quotient3 = llvm.udiv %thread, %c3 : i32
    %element = llvm.extractelement %quotient2[%one : i32] : vector<2xi32>
    %sum0 = llvm.add %quotient0, %quotient1 : i32
    %sum1 = llvm.add %sum0, %quotient3 : i32
    %sum = llvm.add %sum1, %element : i32
    %address = llvm.getelementptr %data[%thread] : (!llvm.ptr, i32) -> !llvm.ptr, i32
    llvm.store %sum, %address : i32, !llvm.ptr
    llvm.return
  }

  llvm.func @columns(%data: !llvm.ptr) attributes {nvvm.kernel} {
    %thread = nvvm.read.ptx.sreg.tid.x : i32
    %shared = llvm.mlir.addressof @dynamic : !llvm.ptr<3>
    %c32 = llvm.mlir.constant(32 : i32) : i32
    %row = llvm.mul %thread, %c32 : i32
    %column = llvm.getelementptr %shared[%row] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, f32
    %zero = llvm.mlir.constant(0.0 : f32) : f32
    // COLUMNS: kernels.mlir:[[#@LINE+1]]:5: writes of shared memory: 1 instructions, 32 passes over the banks, 1 without conflicts
    llvm.store %zero, %column : f32, !llvm.ptr<3>
    %lane = llvm.getelementptr %shared[%thread] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, f32
    nvvm.barrier0
    // COLUMNS-NEXT: kernels.mlir:[[#@LINE+1]]:5: writes of shared memory: 1 instructions, 1 passes over the banks, 1 without conflicts
    llvm.store %zero, %lane : f32, !llvm.ptr<3>
    llvm.return
  }

  // 64 threads add one to a sum that was 0, and the greatest index becomes the next number.
  // ATOMICS: 64.0 3.0 2.0
  llvm.func @atomics(%data: !llvm.ptr) attributes {nvvm.kernel} {
    %one = llvm.mlir.constant(1.0 : f32) : f32
    %old = llvm.atomicrmw fadd %data, %one monotonic : !llvm.ptr, f32
    %second = llvm.getelementptr %data[1] : (!llvm.ptr) -> !llvm.ptr, f32
    %three = llvm.mlir.constant(3.0 : f32) : f32
    %older = llvm.atomicrmw fmax %second, %three syncscope("device") acq_rel : !llvm.ptr, f32
    llvm.return
  }
}
