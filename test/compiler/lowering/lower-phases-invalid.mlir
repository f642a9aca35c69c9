// RUN: moe-opt %s --moec-lower-phases=cpu=abacus --verify-diagnostics --split-input-file
// expected-error @below {{abacus}}
module {
}

// -----

// expected-error @below {{has no packed form, which lm-pack-weights chooses}}
lm.weight @w : !lm.weight<8x16xf32> layers [] from [#lm.piece<pattern = "w", rows = 8, stored = f32>]
