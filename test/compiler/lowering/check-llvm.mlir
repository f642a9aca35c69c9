// RUN: moe-opt %s --moec-check-llvm --verify-diagnostics --split-input-file
llvm.func @moec_tiles_wait(!llvm.ptr, i64)
// expected-error @below {{declares 'expf', which is not among the functions that compiled code may call}}
llvm.func @expf(f32) -> f32

// -----

// expected-error @below {{is left after the emit stage}}
func.func private @step()
