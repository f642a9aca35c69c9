// RUN: moe-opt %s --moec-emulate-gpu --split-input-file --verify-diagnostics

gpu.module @high {
  llvm.func @kernel() attributes {nvvm.kernel} {
    // expected-error @below {{is neither of llvm nor of nvvm; kernels are emulated as they are before they become PTX}}
    %0 = gpu.thread_id x
    llvm.return
  }
}

// -----

gpu.module @clusters {
  llvm.func @kernel() attributes {nvvm.kernel} {
    // expected-error @below {{'nvvm.read.ptx.sreg.cluster.ctaid.x' op has no emulation}}
    %0 = nvvm.read.ptx.sreg.cluster.ctaid.x : i32
    llvm.return
  }
}

// -----

gpu.module @hopper {
  llvm.func @kernel() attributes {nvvm.kernel} {
    // expected-error @below {{'nvvm.wgmma.fence.aligned' op has no emulation}}
    nvvm.wgmma.fence.aligned
    llvm.return
  }
}

// -----

gpu.module @doubles {
  llvm.func @kernel(%a: f64, %c: f64) attributes {nvvm.kernel} {
    // expected-error @below {{'nvvm.mma.sync' op has no emulation but for m16n8 with f16, bf16, tf32, s8 or u8, rows of A and columns of B}}
    %0 = nvvm.mma.sync A[%a] B[%a] C[%c, %c] {layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>, shape = #nvvm.shape<m = 8, n = 8, k = 4>}
        : (f64, f64, f64) -> !llvm.struct<(f64, f64)>
    llvm.return
  }
}

// -----

gpu.module @text {
  llvm.func @kernel(%a: f32) attributes {nvvm.kernel} {
    // expected-error @below {{'llvm.inline_asm' op of 'ex3.approx.f32 $0, $1;' has no emulation}}
    %0 = llvm.inline_asm "ex3.approx.f32 $0, $1;", "=f,f" %a : (f32) -> f32
    llvm.return
  }
}

// -----

gpu.module @library {
  llvm.func @__nv_j0f(f32) -> f32
  llvm.func @kernel(%a: f32) attributes {nvvm.kernel} {
    // expected-error @below {{'llvm.call' op of '__nv_j0f' has no emulation}}
    %0 = llvm.call @__nv_j0f(%a) : (f32) -> f32
    llvm.return
  }
}

// -----

gpu.module @masked {
  llvm.func @kernel(%p: !llvm.ptr, %mask: vector<4xi1>, %value: vector<4xf32>) attributes {nvvm.kernel} {
    // expected-error @below {{'llvm.intr.masked.store' op has no emulation}}
    llvm.intr.masked.store %value, %p, %mask {alignment = 4 : i32} : vector<4xf32>, vector<4xi1> into !llvm.ptr
    llvm.return
  }
}

// -----

gpu.module @intrinsic {
  llvm.func @kernel() attributes {nvvm.kernel} {
    // expected-error @below {{'llvm.call_intrinsic' op of 'llvm.nvvm.barrier0' has no emulation; use the op of nvvm}}
    llvm.call_intrinsic "llvm.nvvm.barrier0"() : () -> ()
    llvm.return
  }
}

// -----

gpu.module @pointers {
  llvm.func @kernel(%f: !llvm.ptr) attributes {nvvm.kernel} {
    // expected-error @below {{'llvm.call' op goes through a pointer, which has no emulation}}
    llvm.call %f() : !llvm.ptr, () -> ()
    llvm.return
  }
}
