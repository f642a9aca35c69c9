// RUN: moe-opt %s --lm-pack-weights | FileCheck %s
// RUN: moe-opt %s --lm-pack-weights=activations=bf16 | FileCheck %s --check-prefix=BF16
// RUN: moe-opt %s --lm-pack-weights=mapped | FileCheck %s --check-prefix=MAPPED
// RUN: moe-opt %s --lm-pack-weights="rows activations=bf16" | FileCheck %s --check-prefix=ROWS
// RUN: not moe-opt %s --lm-pack-weights=activations=f16 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// UNKNOWN: 'f16' is neither f32 nor bf16

// A table is stored as it is, a vector in f32, a matrix in panels; each starts where the one before ends, on 64 bytes.
// CHECK:  lm.weight @table {{.*}} packed <layout = rows, element = bf16, offset = 0>
// CHECK:  lm.weight @norm {{.*}} packed <layout = rows, element = f32, offset = 192>
// CHECK:  lm.weight @matrix {{.*}} packed <layout = panels, element = f32, offset = 320>
// CHECK-NOT: @idle
// BF16:   lm.weight @matrix {{.*}} packed <layout = panels, element = bf16, offset = 320>
// ROWS:   lm.weight @matrix {{.*}} packed <layout = rows, element = bf16, offset = 320>
// MAPPED: lm.weight @table {{.*}} packed <layout = rows, element = bf16, offset = 0, mapped = true>
// MAPPED: lm.weight @norm {{.*}} packed <layout = rows, element = bf16, offset = 1, mapped = true>
// MAPPED: lm.weight @matrix {{.*}} packed <layout = rows, element = f32, offset = 3, mapped = true>
// Caches of bf16 that queries of bf16 attend to become rows as well.
// CHECK:  lm.cache @attention layers [0, 1] heads 2 size 16 block 16 : bf16
// ROWS:   lm.cache @attention layers [0, 1] heads 2 size 16 rows block 16 : bf16
// ROWS:   lm.cache @other layers [0, 1] heads 2 size 16 block 16 : f32
lm.weight @table : !lm.weight<5x16xbf16> layers [] from [#lm.piece<pattern = "t", rows = 5, stored = bf16>]
lm.weight @norm : !lm.weight<16xbf16> layers [0, 1] from [#lm.piece<pattern = "n.{l}", rows = 16, stored = bf16>]
lm.weight @matrix : !lm.weight<20x16xf32> layers [0, 1] from [#lm.piece<pattern = "m.{l}", rows = 20, stored = f32>]
lm.weight @idle : !lm.weight<20x16xf32> layers [] from [#lm.piece<pattern = "i", rows = 20, stored = f32>]
lm.cache @attention layers [0, 1] heads 2 size 16 block 16 : bf16
lm.cache @other layers [0, 1] heads 2 size 16 block 16 : f32
func.func @step(%batch: !lm.batch, %ids: tensor<4xi32>, %layer: index, %q: tensor<?x64xbf16>, %f: tensor<?x64xf32>) -> tensor<4x20xf32> {
  %a = lm.attention @attention[%layer] of %batch scale 1.0 ins(%q : tensor<?x64xbf16>) outs(%q : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  %b = lm.attention @other[%layer] of %batch scale 1.0 ins(%f : tensor<?x64xf32>) outs(%f : tensor<?x64xf32>) -> tensor<?x64xf32>
  %t = lm.load_weight @table : !lm.weight<5x16xbf16>
  %n = lm.load_weight @norm[%layer] : !lm.weight<16xbf16>
  %m = lm.load_weight @matrix[%layer] : !lm.weight<20x16xf32>
  %i = tensor.empty() : tensor<4x16xf32>
  %x = lm.embedding ins(%ids, %t : tensor<4xi32>, !lm.weight<5x16xbf16>) outs(%i : tensor<4x16xf32>) -> tensor<4x16xf32>
  %y = lm.rms_norm epsilon 1.0e-5 ins(%x, %n : tensor<4x16xf32>, !lm.weight<16xbf16>) outs(%i : tensor<4x16xf32>) -> tensor<4x16xf32>
  %j = tensor.empty() : tensor<4x20xf32>
  %z = lm.linear ins(%y, %m : tensor<4x16xf32>, !lm.weight<20x16xf32>) outs(%j : tensor<4x20xf32>) -> tensor<4x20xf32>
  return %z : tensor<4x20xf32>
}
