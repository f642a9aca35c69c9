// RUN: %python %S/Inputs/tensors.py make %t.in arg0=I32:32:zeros
// RUN: moe-emulate %s --kernel shuffles --grid 1 --block 32 --args %t.in --out %t.out --schedule-seed 1 | count 0
// RUN: %python %S/Inputs/tensors.py show %t.out arg0 | FileCheck %s --check-prefix=SHUFFLES
// RUN: moe-emulate %s --kernel votes --grid 1 --block 32 --args %t.in --out %t.out --schedule-seed 2 | count 0
// RUN: %python %S/Inputs/tensors.py show %t.out arg0 | FileCheck %s --check-prefix=VOTES
// RUN: moe-emulate %s --kernel conversions --grid 1 --block 1 --args %t.in --out %t.out | count 0
// RUN: %python %S/Inputs/tensors.py show %t.out arg0 | FileCheck %s --check-prefix=CONVERSIONS
// RUN: moe-emulate %s --kernel objects --grid 1 --block 64 --args %t.in --out %t.out --schedule-seed 3 | count 0
// RUN: %python %S/Inputs/tensors.py show %t.out arg0 | FileCheck %s --check-prefix=OBJECTS
// RUN: moe-emulate %s --kernel bytes --grid 1 --block 32 --args %t.in --out %t.out | count 0
// RUN: %python %S/Inputs/tensors.py show %t.out arg0 | FileCheck %s --check-prefix=BYTES
// RUN: moe-emulate %s --kernel integers --grid 1 --block 32 --args %t.in --out %t.out | count 0
// RUN: %python %S/Inputs/tensors.py show %t.out arg0 | FileCheck %s --check-prefix=INTEGERS

gpu.module @kernels {
  llvm.mlir.global external @object() {addr_space = 3 : i32, alignment = 8 : i64} : i64
  llvm.mlir.global external @slots() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<32 x i32>

  // By xor each lane gets its neighbour's index; three up, the first three lanes have no source.
  // SHUFFLES: 100 101 102 0 1 2 3
  llvm.func @shuffles(%out: !llvm.ptr) attributes {nvvm.kernel} {
    %lane = nvvm.read.ptx.sreg.laneid range <i32, 0, 32> : i32
    %all = llvm.mlir.constant(-1 : i32) : i32
    %c0 = llvm.mlir.constant(0 : i32) : i32
    %c1 = llvm.mlir.constant(1 : i32) : i32
    %c3 = llvm.mlir.constant(3 : i32) : i32
    %c31 = llvm.mlir.constant(31 : i32) : i32
    %c100 = llvm.mlir.constant(100 : i32) : i32
    %xor = nvvm.shfl.sync bfly %all, %lane, %c1, %c31 : i32 -> i32
    %up = nvvm.shfl.sync up %all, %xor, %c3, %c0 {return_value_and_is_valid} : i32 -> !llvm.struct<(i32, i1)>
    %value = llvm.extractvalue %up[0] : !llvm.struct<(i32, i1)>
    %valid = llvm.extractvalue %up[1] : !llvm.struct<(i32, i1)>
    %other = llvm.add %lane, %c100 : i32
    %even = llvm.xor %value, %c1 : i32
    %result = llvm.select %valid, %even, %other : i1, i32
    %address = llvm.getelementptr %out[%lane] : (!llvm.ptr, i32) -> !llvm.ptr, i32
    llvm.store %result, %address : i32, !llvm.ptr
    llvm.return
  }

  // The ballot of lanes below 3; any; all; the sum of lane indices; the lanes equal to lane 0 modulo 16; one lane was elected.
  // VOTES: 7 1 0 496 65537 1
  llvm.func @votes(%out: !llvm.ptr) attributes {nvvm.kernel} {
    %lane = nvvm.read.ptx.sreg.laneid : i32
    %all = llvm.mlir.constant(-1 : i32) : i32
    %c3 = llvm.mlir.constant(3 : i32) : i32
    %c15 = llvm.mlir.constant(15 : i32) : i32
    %below = llvm.icmp "ult" %lane, %c3 : i32
    %ballot = nvvm.vote.sync ballot %all, %below -> i32
    %any = nvvm.vote.sync any %all, %below -> i1
    %every = nvvm.vote.sync all %all, %below -> i1
    %sum = nvvm.redux.sync add %lane, %all : i32 -> i32
    %low = llvm.and %lane, %c15 : i32
    %equal = nvvm.match.sync any %all, %low : i32 -> i32
    %elected = nvvm.elect.sync -> i1
    %anyWide = llvm.zext %any : i1 to i32
    %everyWide = llvm.zext %every : i1 to i32
    %electedWide = llvm.zext %elected : i1 to i32
    %electedCount = nvvm.redux.sync add %electedWide, %all : i32 -> i32
    llvm.cond_br %elected, ^write, ^end
  ^write:
    llvm.store %ballot, %out : i32, !llvm.ptr
    %p1 = llvm.getelementptr %out[1] : (!llvm.ptr) -> !llvm.ptr, i32
    llvm.store %anyWide, %p1 : i32, !llvm.ptr
    %p2 = llvm.getelementptr %out[2] : (!llvm.ptr) -> !llvm.ptr, i32
    llvm.store %everyWide, %p2 : i32, !llvm.ptr
    %p3 = llvm.getelementptr %out[3] : (!llvm.ptr) -> !llvm.ptr, i32
    llvm.store %sum, %p3 : i32, !llvm.ptr
    %p4 = llvm.getelementptr %out[4] : (!llvm.ptr) -> !llvm.ptr, i32
    llvm.store %equal, %p4 : i32, !llvm.ptr
    %p5 = llvm.getelementptr %out[5] : (!llvm.ptr) -> !llvm.ptr, i32
    llvm.store %electedCount, %p5 : i32, !llvm.ptr
    llvm.br ^end
  ^end:
    llvm.return
  }

  // 1 + 2^-11 to tf32, ties away; 1 in the high and -2 in the low half, as bf16 and as f16; bytes 7, 0, 4 and the sign of byte 3; 2^3; 1/4; 1 and -2 of e4m3 as f16; 9.
  // CONVERSIONS: 1065361408 1065402368 1006682112 -2012129793 1090519040 1048576000 -1073726464 9
  llvm.func @conversions(%out: !llvm.ptr) attributes {nvvm.kernel} {
    %tie = llvm.mlir.constant(1.00048828125 : f32) : f32
    %tf32 = nvvm.convert.float.to.tf32 %tie {rnd = #nvvm.fp_rnd_mode<rna>}
    llvm.store %tf32, %out : i32, !llvm.ptr
    %one = llvm.mlir.constant(1.0 : f32) : f32
    %two = llvm.mlir.constant(-2.0 : f32) : f32
    %bf16 = nvvm.convert.f32x2.to.bf16x2 %one, %two {rnd = #nvvm.fp_rnd_mode<rn>} : vector<2xbf16>
    %p1 = llvm.getelementptr %out[1] : (!llvm.ptr) -> !llvm.ptr, i32
    llvm.store %bf16, %p1 : vector<2xbf16>, !llvm.ptr
    %f16 = llvm.inline_asm "cvt.rn.f16x2.f32 $0, $1, $2;", "=r,f,f" %one, %two : (f32, f32) -> i32
    %p2 = llvm.getelementptr %out[2] : (!llvm.ptr) -> !llvm.ptr, i32
    llvm.store %f16, %p2 : i32, !llvm.ptr
    %low = llvm.mlir.constant(0x80332211 : i32) : i32
    %high = llvm.mlir.constant(0x88776655 : i32) : i32
    %selector = llvm.mlir.constant(0x704b : i32) : i32
    %bytes = nvvm.prmt #nvvm.permute_mode<default> %selector, %low, %high : i32
    %p3 = llvm.getelementptr %out[3] : (!llvm.ptr) -> !llvm.ptr, i32
    llvm.store %bytes, %p3 : i32, !llvm.ptr
    %three = llvm.mlir.constant(3.0 : f32) : f32
    %eight = llvm.inline_asm "ex2.approx.ftz.f32 $0, $1;", "=f,f" %three : (f32) -> f32
    %p4 = llvm.getelementptr %out[4] : (!llvm.ptr) -> !llvm.ptr, i32
    llvm.store %eight, %p4 : f32, !llvm.ptr
    %four = llvm.mlir.constant(4.0 : f32) : f32
    %quarter = nvvm.rcp.approx.ftz.f %four : f32
    %p5 = llvm.getelementptr %out[5] : (!llvm.ptr) -> !llvm.ptr, i32
    llvm.store %quarter, %p5 : f32, !llvm.ptr
    %pair = llvm.mlir.constant(dense<[56, -64]> : vector<2xi8>) : vector<2xi8>
    %wide = nvvm.convert.f8x2.to.f16x2 %pair : vector<2xi8> (f8E4M3FN) -> vector<2xf16>
    %p6 = llvm.getelementptr %out[6] : (!llvm.ptr) -> !llvm.ptr, i32
    llvm.store %wide, %p6 : vector<2xf16>, !llvm.ptr
    %nine = llvm.mlir.constant(9 : i64) : i64
    %same = llvm.inline_asm has_side_effects "mov.b64 $0, $1;", "=l,l" %nine : (i64) -> i64
    %word = llvm.trunc %same : i64 to i32
    %p7 = llvm.getelementptr %out[7] : (!llvm.ptr) -> !llvm.ptr, i32
    llvm.store %word, %p7 : i32, !llvm.ptr
    llvm.return
  }

  // The first warp fills slots and arrives at a barrier object; the second waits for the phase and reads.
  // OBJECTS: 31 30 29
  llvm.func @objects(%out: !llvm.ptr) attributes {nvvm.kernel} {
    %thread = nvvm.read.ptx.sreg.tid.x : i32
    %lane = nvvm.read.ptx.sreg.laneid : i32
    %c0 = llvm.mlir.constant(0 : i32) : i32
    %c31 = llvm.mlir.constant(31 : i32) : i32
    %c32 = llvm.mlir.constant(32 : i32) : i32
    %ticks = llvm.mlir.constant(1000 : i32) : i32
    %object = llvm.mlir.addressof @object : !llvm.ptr<3>
    %slots = llvm.mlir.addressof @slots : !llvm.ptr<3>
    %isFirst = llvm.icmp "eq" %thread, %c0 : i32
    nvvm.mbarrier.init %object, %c32, predicate = %isFirst : !llvm.ptr<3>, i32, i1
    nvvm.barrier0
    %produces = llvm.icmp "ult" %thread, %c32 : i32
    llvm.cond_br %produces, ^produce, ^consume
  ^produce:
    %mine = llvm.getelementptr %slots[%lane] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    llvm.store %lane, %mine : i32, !llvm.ptr<3>
    %token = nvvm.mbarrier.arrive %object : !llvm.ptr<3> -> i64
    llvm.return
  ^consume:
    nvvm.mbarrier.try_wait.parity %object, %c0, %ticks : !llvm.ptr<3>, i32, i32
    %other = llvm.sub %c31, %lane : i32
    %theirs = llvm.getelementptr %slots[%other] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    %value = llvm.load %theirs : !llvm.ptr<3> -> i32
    %address = llvm.getelementptr %out[%lane] : (!llvm.ptr, i32) -> !llvm.ptr, i32
    llvm.store %value, %address : i32, !llvm.ptr
    llvm.return
  }

  // Products of ones in e4m3, which are 0x38, by inline PTX: each element is 32.
  // BYTES: 32 32 32
  llvm.func @bytes(%out: !llvm.ptr) attributes {nvvm.kernel} {
    %lane = nvvm.read.ptx.sreg.laneid : i32
    %ones = llvm.mlir.constant(0x38383838 : i32) : i32
    %zero = llvm.mlir.constant(0.0 : f32) : f32
    %d = llvm.inline_asm has_side_effects "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13};", "=f,=f,=f,=f,r,r,r,r,r,r,f,f,f,f" %ones, %ones, %ones, %ones, %ones, %ones, %zero, %zero, %zero, %zero
        : (i32, i32, i32, i32, i32, i32, f32, f32, f32, f32) -> !llvm.struct<(f32, f32, f32, f32)>
    %e = llvm.extractvalue %d[2] : !llvm.struct<(f32, f32, f32, f32)>
    %value = llvm.fptosi %e : f32 to i32
    %address = llvm.getelementptr %out[%lane] : (!llvm.ptr, i32) -> !llvm.ptr, i32
    llvm.store %value, %address : i32, !llvm.ptr
    llvm.return
  }

  // 32 products of 2 and -3, and 7.
  // INTEGERS: -185 -185
  llvm.func @integers(%out: !llvm.ptr) attributes {nvvm.kernel} {
    %lane = nvvm.read.ptx.sreg.laneid : i32
    %twos = llvm.mlir.constant(0x02020202 : i32) : i32
    %threes = llvm.mlir.constant(0xfdfdfdfd : i32) : i32
    %seven = llvm.mlir.constant(7 : i32) : i32
    %d = nvvm.mma.sync A[%twos, %twos, %twos, %twos] B[%threes, %threes] C[%seven, %seven, %seven, %seven]
        {layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>, multiplicandAPtxType = #nvvm.mma_type<s8>,
         multiplicandBPtxType = #nvvm.mma_type<s8>, intOverflowBehavior = #nvvm.mma_int_overflow<wrapped>, shape = #nvvm.shape<m = 16, n = 8, k = 32>}
        : (i32, i32, i32) -> !llvm.struct<(i32, i32, i32, i32)>
    %value = llvm.extractvalue %d[3] : !llvm.struct<(i32, i32, i32, i32)>
    %address = llvm.getelementptr %out[%lane] : (!llvm.ptr, i32) -> !llvm.ptr, i32
    llvm.store %value, %address : i32, !llvm.ptr
    llvm.return
  }
}
