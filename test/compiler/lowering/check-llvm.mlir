// RUN: moe-opt %s --moec-check-llvm --verify-diagnostics --split-input-file
llvm.func @moec_tiles_wait(!llvm.ptr, i64)
// expected-error @below {{declares 'expf', which is not among the functions that compiled code may call}}
llvm.func @expf(f32) -> f32

// -----

// expected-error @below {{is left after the emit stage}}
func.func private @step()

// -----

// Kernels have the ops of their target.
gpu.module @kernels {
  llvm.func @first() attributes {nvvm.kernel} {
    %lane = nvvm.read.ptx.sreg.laneid : i32
    llvm.return
  }
}

// -----

// The step has not.
llvm.func @step() {
  // expected-error @below {{is left after the emit stage}}
  %lane = nvvm.read.ptx.sreg.laneid : i32
  llvm.return
}

// -----

gpu.module @kernels {
  llvm.func @first() attributes {nvvm.kernel} {
    // expected-error @below {{is left after the emit stage}}
    %one = arith.constant 1 : i32
    llvm.return
  }
}

// -----

gpu.module @kernels {
  // expected-error @below {{'__nv_expf' is no kernel, and kernels call no functions}}
  llvm.func @__nv_expf(f32) -> f32
}
