// RUN: moe-opt %s --lm-pack-weights | FileCheck %s
// RUN: moe-opt %s --lm-pack-weights=activations=bf16 | FileCheck %s --check-prefix=BF16

// Codes are kept, also of a table whose rows are looked up, unless columns of a group have several scales; 16 rows share a scale
// where they have but one; what is asked for wins.
// CHECK: lm.weight @table {{.*}} packed <layout = panels, element = !lm.quantized<fp8_block>,
// CHECK: lm.weight @whole {{.*}} packed <layout = panels, element = !lm.quantized<fp8_block>,
// CHECK: lm.weight @two {{.*}} packed <layout = panels, element = !lm.quantized<fp8>,
// CHECK: lm.weight @within {{.*}} packed <layout = panels, element = !lm.quantized<fp8>,
// CHECK: lm.weight @rows {{.*}} packed <layout = panels, element = !lm.quantized<fp8>,
// CHECK: lm.weight @narrow {{.*}} packed <layout = panels, element = f32,
// CHECK: lm.weight @narrow_table {{.*}} packed <layout = rows, element = f32,
// CHECK: lm.weight @four {{.*}} packed <layout = panels, element = !lm.quantized<mxfp4>,
// CHECK: lm.weight @beside {{.*}} packed <layout = panels, element = f32,
// CHECK: lm.weight @anew {{.*}} packed <layout = panels, element = !lm.quantized<int4>,
// BF16:  lm.weight @narrow {{.*}} packed <layout = panels, element = bf16,
lm.weight @table : !lm.weight<20x192xf8E4M3FN> layers [] from
    [#lm.piece<pattern = "t", rows = 20, stored = f8E4M3FN, scales = <pattern = "s", rows = 128, columns = 128>>]
lm.weight @whole : !lm.weight<2x20x192xf8E4M3FN> layers [] from
    [#lm.piece<pattern = "w", rows = 20, rows_per_expert = 20, stored = f8E4M3FN, scales = <pattern = "s">>]
lm.weight @two : !lm.weight<32x192xf8E4M3FN> layers [] from
    [#lm.piece<pattern = "t", rows = 20, stored = f8E4M3FN, scales = <pattern = "s", rows = 128, columns = 128>>,
     #lm.piece<pattern = "r", rows = 12, stored = f8E4M3FN, scales = <pattern = "s", rows = 128, columns = 128>>]
lm.weight @within : !lm.weight<20x192xf8E4M3FN> layers [] from
    [#lm.piece<pattern = "t", rows = 20, first_row = 120, stored = f8E4M3FN, scales = <pattern = "s", rows = 128, columns = 128>>]
lm.weight @rows : !lm.weight<20x192xf8E4M3FN> layers [] from
    [#lm.piece<pattern = "r", rows = 20, stored = f8E4M3FN, scales = <pattern = "s", rows = 1>>]
lm.weight @narrow : !lm.weight<20x192xf8E4M3FN> layers [] from
    [#lm.piece<pattern = "n", rows = 20, stored = f8E4M3FN, scales = <pattern = "s", rows = 64, columns = 64>>]
lm.weight @narrow_table : !lm.weight<20x192xf8E4M3FN> layers [] from
    [#lm.piece<pattern = "n", rows = 20, stored = f8E4M3FN, scales = <pattern = "s", rows = 64, columns = 64>>]
lm.weight @four : !lm.weight<20x192xf4E2M1FN> layers [] from
    [#lm.piece<pattern = "b", rows = 20, stored = f4E2M1FN, scales = <pattern = "s", rows = 1, columns = 32>>]
lm.weight @beside : !lm.weight<2x20x192xf8E4M3FN> layers [] from
    [#lm.piece<pattern = "e", rows = 20, side_by_side = true, stored = f8E4M3FN, scales = <pattern = "s", rows = 128, columns = 128>>]
lm.weight @anew : !lm.weight<20x192xf8E4M3FN> layers [] from
    [#lm.piece<pattern = "a", rows = 20, stored = f8E4M3FN, scales = <pattern = "s", rows = 128, columns = 128>>] quantized int4
func.func @step(%ids: tensor<4xi32>, %x: tensor<4x192xf32>, %q: tensor<4x240xi8>, %tiles: tensor<3x3xi32>, %i: tensor<4x20xf32>, %l: tensor<4x32xf32>)
    -> (tensor<4x192xf32>, tensor<4x192xf32>, tensor<4x20xf32>, tensor<4x20xf32>, tensor<4x20xf32>, tensor<4x20xf32>, tensor<4x20xf32>, tensor<4x20xf32>, tensor<4x32xf32>, tensor<4x20xf32>) {
  %t = lm.load_weight @table : !lm.weight<20x192xf8E4M3FN>
  %u = lm.load_weight @narrow_table : !lm.weight<20x192xf8E4M3FN>
  %r = lm.load_weight @rows : !lm.weight<20x192xf8E4M3FN>
  %n = lm.load_weight @narrow : !lm.weight<20x192xf8E4M3FN>
  %w = lm.load_weight @whole : !lm.weight<2x20x192xf8E4M3FN>
  %p = lm.load_weight @two : !lm.weight<32x192xf8E4M3FN>
  %h = lm.load_weight @within : !lm.weight<20x192xf8E4M3FN>
  %f = lm.load_weight @four : !lm.weight<20x192xf4E2M1FN>
  %b = lm.load_weight @beside : !lm.weight<2x20x192xf8E4M3FN>
  %o = lm.load_weight @anew : !lm.weight<20x192xf8E4M3FN>
  %0 = lm.embedding ins(%ids, %t : tensor<4xi32>, !lm.weight<20x192xf8E4M3FN>) outs(%x : tensor<4x192xf32>) -> tensor<4x192xf32>
  %1 = lm.embedding ins(%ids, %u : tensor<4xi32>, !lm.weight<20x192xf8E4M3FN>) outs(%x : tensor<4x192xf32>) -> tensor<4x192xf32>
  %2 = lm.linear ins(%x, %r : tensor<4x192xf32>, !lm.weight<20x192xf8E4M3FN>) outs(%i : tensor<4x20xf32>) -> tensor<4x20xf32>
  %3 = lm.linear ins(%x, %n : tensor<4x192xf32>, !lm.weight<20x192xf8E4M3FN>) outs(%i : tensor<4x20xf32>) -> tensor<4x20xf32>
  %4 = lm.linear ins(%x, %f : tensor<4x192xf32>, !lm.weight<20x192xf4E2M1FN>) outs(%i : tensor<4x20xf32>) -> tensor<4x20xf32>
  %5 = moe.grouped_matmul ins(%x, %b, %tiles : tensor<4x192xf32>, !lm.weight<2x20x192xf8E4M3FN>, tensor<3x3xi32>) outs(%i : tensor<4x20xf32>) -> tensor<4x20xf32>
  %6 = lm.linear ins(%q, %o : tensor<4x240xi8>, !lm.weight<20x192xf8E4M3FN>) outs(%i : tensor<4x20xf32>) -> tensor<4x20xf32>
  %7 = moe.grouped_matmul ins(%x, %w, %tiles : tensor<4x192xf32>, !lm.weight<2x20x192xf8E4M3FN>, tensor<3x3xi32>) outs(%i : tensor<4x20xf32>) -> tensor<4x20xf32>
  %8 = lm.linear ins(%x, %p : tensor<4x192xf32>, !lm.weight<32x192xf8E4M3FN>) outs(%l : tensor<4x32xf32>) -> tensor<4x32xf32>
  %9 = lm.linear ins(%x, %h : tensor<4x192xf32>, !lm.weight<20x192xf8E4M3FN>) outs(%i : tensor<4x20xf32>) -> tensor<4x20xf32>
  return %0, %1, %2, %3, %4, %5, %6, %7, %8, %9 : tensor<4x192xf32>, tensor<4x192xf32>, tensor<4x20xf32>, tensor<4x20xf32>, tensor<4x20xf32>, tensor<4x20xf32>, tensor<4x20xf32>, tensor<4x20xf32>, tensor<4x32xf32>, tensor<4x20xf32>
}
