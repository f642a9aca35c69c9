// RUN: moe-opt %s --lm-pack-weights | FileCheck %s
// RUN: moe-opt %s --lm-pack-weights=rows | FileCheck %s --check-prefix=BANDS
// RUN: not moe-opt %s --lm-pack-weights=mapped 2>&1 | FileCheck %s --check-prefix=MAPPED

// Each of 32 rows (20 filled up) has 18 bytes for a group of 32 columns, of which there are two.
// CHECK:  lm.weight @integers {{.*}} packed <layout = panels, element = !lm.quantized<int4>, offset = 0>
// CHECK:  lm.weight @after {{.*}} offset = 1152>
// CHECK:  lm.weight @table {{.*}} packed <layout = panels, element = !lm.quantized<int6>, offset = {{[0-9]+}}>
// As rows they are in bands of 64: of each row 32 bytes, and 8 for the scales of up to four groups.
// BANDS:  lm.weight @integers {{.*}} packed <layout = rows, element = !lm.quantized<int4>, offset = 0>
// BANDS:  lm.weight @after {{.*}} offset = 2560>
// MAPPED: is to be quantized, and mapped weights are used as they lie; use --weights=pack
lm.weight @integers : !lm.weight<20x40xf32> layers [] from [#lm.piece<pattern = "q", rows = 20, stored = f32>] quantized int4
lm.weight @after : !lm.weight<20x40xf32> layers [] from [#lm.piece<pattern = "a", rows = 20, stored = f32>]
lm.weight @table : !lm.weight<20x40xf32> layers [] from [#lm.piece<pattern = "t", rows = 20, stored = f32>] quantized int6
func.func @step(%ids: tensor<4xi32>, %x: tensor<4x80xi8>, %y: tensor<4x40xf32>, %i: tensor<4x20xf32>) -> (tensor<4x20xf32>, tensor<4x20xf32>, tensor<4x40xf32>) {
  %t = lm.load_weight @table : !lm.weight<20x40xf32>
  %h = lm.embedding ins(%ids, %t : tensor<4xi32>, !lm.weight<20x40xf32>) outs(%y : tensor<4x40xf32>) -> tensor<4x40xf32>
  %m = lm.load_weight @integers : !lm.weight<20x40xf32>
  %n = lm.load_weight @after : !lm.weight<20x40xf32>
  %a = lm.linear ins(%x, %m : tensor<4x80xi8>, !lm.weight<20x40xf32>) outs(%i : tensor<4x20xf32>) -> tensor<4x20xf32>
  %b = lm.linear ins(%y, %n : tensor<4x40xf32>, !lm.weight<20x40xf32>) outs(%i : tensor<4x20xf32>) -> tensor<4x20xf32>
  return %a, %b, %h : tensor<4x20xf32>, tensor<4x20xf32>, tensor<4x40xf32>
}
