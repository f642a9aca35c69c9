// RUN: moe-opt %s --moec-check-lowered --verify-diagnostics --split-input-file
func.func @moec_program_step(%batch: !llvm.ptr, %thread: i64) {
  return
}

// -----

func.func @count(%batch: !lm.batch) -> index {
  // expected-error @below {{is left after the lower stage}}
  %T = lm.token_count %batch
  return %T : index
}

// -----

// expected-error @below {{takes a batch after the lower stage, which knows a pointer only}}
func.func @unused(%batch: !lm.batch) {
  return
}
