// RUN: moe-opt %s --lm-merge-phases --split-input-file | FileCheck %s

// A phase that reads the rows which the one before wrote does its work in the same tiles, behind it.
// CHECK-LABEL: func @chain(
// CHECK-SAME:    %[[N:[^:]+]]: index
// CHECK:         lm.phase "add_clamp" tiles(%[[N]]) rows 1 panels 0 {
// CHECK-NEXT:    ^bb0
// CHECK-NEXT:      lm.add
// CHECK-NEXT:      lm.clamp
// CHECK-NEXT:    }
// CHECK-NOT:     lm.phase
func.func @chain(%n: index, %a: memref<4x16xf32>, %b: memref<4x16xf32>, %c: memref<4x16xf32>) {
  lm.phase "add" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.add ins(%a, %a : memref<4x16xf32>, memref<4x16xf32>) outs(%b : memref<4x16xf32>)
  }
  lm.phase "clamp" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.clamp 1.0 ins(%b : memref<4x16xf32>) outs(%c : memref<4x16xf32>)
  }
  return
}

// -----

// Blocks become as high as the higher ones, where both cut the same rows.
// CHECK-LABEL: func @heights(
// CHECK:         %[[BLOCKS:.+]] = arith.ceildivui
// CHECK:         lm.phase "add_gate_record_routing" tiles(%[[BLOCKS]]) rows 8 panels 0
// CHECK-NOT:     lm.phase
func.func @heights(%batch: !lm.batch, %layer: index, %n: index, %a: memref<?x16xf32>, %b: memref<?x16xf32>, %r: memref<8x16xf32>,
                   %e: memref<?x2xi32>, %w: memref<?x2xf32>) {
  lm.phase "add" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.add ins(%a, %a : memref<?x16xf32>, memref<?x16xf32>) outs(%b : memref<?x16xf32>)
  }
  %eight = arith.constant 8 : index
  %blocks = arith.ceildivui %n, %eight : index
  lm.phase "gate" tiles(%blocks) rows 8 panels 0 {
  ^bb0(%tile: index):
    moe.gate softmax ins(%b, %r : memref<?x16xf32>, memref<8x16xf32>) outs(%e, %w : memref<?x2xi32>, memref<?x2xf32>)
  }
  lm.phase "record_routing" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.record_routing %layer of %batch picked 2 ins(%e, %w : memref<?x2xi32>, memref<?x2xf32>)
  }
  return
}

// -----

// Columns of a buffer have the buffer's rows.
// CHECK-LABEL: func @columns(
// CHECK:         lm.phase "clamp_add"
// CHECK-NOT:     lm.phase
func.func @columns(%n: index, %a: memref<4x32xf32>, %b: memref<4x32xf32>, %c: memref<4x16xf32>) {
  lm.phase "clamp" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.clamp 1.0 ins(%a : memref<4x32xf32>) outs(%b : memref<4x32xf32>)
  }
  %left = memref.subview %b[0, 0] [4, 16] [1, 1] : memref<4x32xf32> to memref<4x16xf32, strided<[32, 1]>>
  %right = memref.subview %b[0, 16] [4, 16] [1, 1] : memref<4x32xf32> to memref<4x16xf32, strided<[32, 1], offset: 16>>
  lm.phase "add" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.add ins(%left, %right : memref<4x16xf32, strided<[32, 1]>>, memref<4x16xf32, strided<[32, 1], offset: 16>>)
        outs(%c : memref<4x16xf32>)
  }
  return
}

// -----

// Other rows of the buffer are not.
// CHECK-LABEL: func @shifted(
// CHECK:         lm.phase "clamp"
// CHECK:         lm.phase "add"
func.func @shifted(%n: index, %a: memref<4x16xf32>, %b: memref<5x16xf32>, %c: memref<4x16xf32>) {
  %first = memref.subview %b[0, 0] [4, 16] [1, 1] : memref<5x16xf32> to memref<4x16xf32, strided<[16, 1]>>
  lm.phase "clamp" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.clamp 1.0 ins(%a : memref<4x16xf32>) outs(%first : memref<4x16xf32, strided<[16, 1]>>)
  }
  %next = memref.subview %b[1, 0] [4, 16] [1, 1] : memref<5x16xf32> to memref<4x16xf32, strided<[16, 1], offset: 16>>
  lm.phase "add" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.add ins(%next, %next : memref<4x16xf32, strided<[16, 1], offset: 16>>, memref<4x16xf32, strided<[16, 1], offset: 16>>)
        outs(%c : memref<4x16xf32>)
  }
  return
}

// -----

// Rows that are gathered may be another tile's; so may those that the phase before gathers.
// CHECK-LABEL: func @gathered(
// CHECK:         lm.phase "add"
// CHECK:         lm.phase "select_rows"
// CHECK:         lm.phase "clamp"
func.func @gathered(%n: index, %a: memref<4x16xf32>, %b: memref<4x16xf32>, %rows: memref<4xi32>, %c: memref<4x16xf32>) {
  lm.phase "add" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.add ins(%a, %a : memref<4x16xf32>, memref<4x16xf32>) outs(%b : memref<4x16xf32>)
  }
  lm.phase "select_rows" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.select_rows ins(%b, %rows : memref<4x16xf32>, memref<4xi32>) outs(%c : memref<4x16xf32>)
  }
  lm.phase "clamp" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.clamp 1.0 ins(%a : memref<4x16xf32>) outs(%b : memref<4x16xf32>)
  }
  return
}

// -----

// Attention reads rows of the cache that other tiles append.
// CHECK-LABEL: func @cache(
// CHECK:         lm.phase "cache_append"
// CHECK:         lm.phase "attention"
lm.cache @c layers [0] heads 2 size 8 block 32 : f32
func.func @cache(%batch: !lm.batch, %layer: index, %n: index, %k: memref<4x16xf32>, %q: memref<4x16xf32>, %o: memref<4x16xf32>) {
  lm.phase "cache_append" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.cache_append @c[%layer] of %batch ins(%k, %k : memref<4x16xf32>, memref<4x16xf32>)
  }
  lm.phase "attention" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.attention @c[%layer] of %batch scale 1.0 ins(%q : memref<4x16xf32>) outs(%o : memref<4x16xf32>)
  }
  return
}

// -----

// A product's tiles are cut by columns too, another phase may cut other rows, and a load may read what the phase wrote.
// CHECK-LABEL: func @apart(
// CHECK-COUNT-4: lm.phase
func.func @apart(%n: index, %m: index, %a: memref<?x16xf32>, %b: memref<?x16xf32>, %w: memref<16x16xf32>, %c: memref<?x16xf32>,
                 %ids: memref<4xi32>) -> i32 {
  lm.phase "clamp" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.clamp 1.0 ins(%a : memref<?x16xf32>) outs(%b : memref<?x16xf32>)
  }
  lm.phase "linear" tiles(%n) rows 1 panels 1 {
  ^bb0(%tile: index):
    lm.linear ins(%b, %w : memref<?x16xf32>, memref<16x16xf32>) outs(%c : memref<?x16xf32>)
  }
  lm.phase "clamp" tiles(%m) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.clamp 1.0 ins(%a : memref<?x16xf32>) outs(%b : memref<?x16xf32>)
  }
  %zero = arith.constant 0 : index
  %count = memref.load %ids[%zero] : memref<4xi32>
  lm.phase "clamp" tiles(%m) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.clamp 1.0 ins(%b : memref<?x16xf32>) outs(%b : memref<?x16xf32>)
  }
  return %count : i32
}

// -----

// Buffers that already lie in the arena may overlap, whatever their rows are.
// CHECK-LABEL: func @placed(
// CHECK:         lm.phase "add"
// CHECK:         lm.phase "clamp"
func.func @placed(%arena: memref<?xi8>, %offset: index, %n: index, %a: memref<?x16xf32>) {
  %b = memref.view %arena[%offset][%n] : memref<?xi8> to memref<?x16xf32>
  %c = memref.view %arena[%offset][%n] : memref<?xi8> to memref<?x32xf32>
  %left = memref.subview %c[0, 0] [%n, 16] [1, 1] : memref<?x32xf32> to memref<?x16xf32, strided<[32, 1]>>
  lm.phase "add" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.add ins(%a, %a : memref<?x16xf32>, memref<?x16xf32>) outs(%b : memref<?x16xf32>)
  }
  lm.phase "clamp" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.clamp 1.0 ins(%a : memref<?x16xf32>) outs(%left : memref<?x16xf32, strided<[32, 1]>>)
  }
  return
}
