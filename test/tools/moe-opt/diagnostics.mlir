// RUN: moe-opt %s --split-input-file --verify-diagnostics

// expected-error @below {{custom op 'moe.nothing' is unknown}}
moe.nothing

// -----

func.func @kept() {
  return
}
