// RUN: moe-opt %s --pass-pipeline='builtin.module(func.func(lm-form-phases{rows=128}))' | FileCheck %s
// RUN: moe-opt %s --lm-form-phases=warps | FileCheck %s --check-prefix=WARPS
// RUN: moe-opt %s --lm-form-phases=reference | FileCheck %s --check-prefix=PLAIN
// RUN: not moe-opt %s --lm-form-phases=rows=0 2>&1 | FileCheck %s --check-prefix=NO-ROWS
// NO-ROWS: tiles of products have 0 rows, wanted 1 or more

module attributes {moec.model = {context = 2000 : i64}} {

// A product is cut into blocks of rows and panels of columns: 300 rows and 100 columns make 3 x 3 tiles.
// CHECK-LABEL: func @product(
// CHECK:         %[[TILES:.*]] = arith.muli
// CHECK:         lm.phase "linear" tiles(%[[TILES]]) rows 128 panels 3
// For warps each row has a tile for every four columns.
// WARPS-LABEL: func @product(
// WARPS:         %[[ROWS:.*]] = arith.constant 300 : index
// WARPS:         %[[PANELS:.*]] = arith.constant 25 : index
// WARPS:         %[[TILES:.*]] = arith.muli %[[ROWS]], %[[PANELS]]
// WARPS:         lm.phase "linear" tiles(%[[TILES]]) rows 1 panels 25
// PLAIN-LABEL: func @product(
// PLAIN:         %[[ONE:.*]] = arith.constant 1 : index
// PLAIN:         lm.phase "linear" plain tiles(%[[ONE]]) rows 0 panels 0
func.func @product(%x: memref<300x16xf32>, %w: memref<100x16xf32>, %y: memref<300x100xf32>) {
  lm.linear ins(%x, %w : memref<300x16xf32>, memref<100x16xf32>) outs(%y : memref<300x100xf32>)
  return
}

// An expert product has a tile for each piece that the dispatch's list has room for and each of two panels.
// CHECK-LABEL: func @experts(
// CHECK-SAME:    %[[LIST:[^:]*]]: memref<?x3xi32>
// CHECK-NOT:     memref.load
// CHECK:         %[[ROOM:.*]] = memref.dim %[[LIST]]
// CHECK:         %[[ONE:.*]] = arith.constant 1 : index
// CHECK:         %[[PIECES:.*]] = arith.subi %[[ROOM]], %[[ONE]]
// CHECK:         %[[PANELS:.*]] = arith.constant 2 : index
// CHECK:         %[[TILES:.*]] = arith.muli %[[PIECES]], %[[PANELS]]
// CHECK:         lm.phase "grouped_matmul" tiles(%[[TILES]]) rows 0 panels 2
func.func @experts(%tiles: memref<?x3xi32>, %x: memref<8x16xf32>, %w: memref<8x60x16xf32>, %y: memref<8x60xf32>) {
  moe.grouped_matmul ins(%x, %w, %tiles : memref<8x16xf32>, memref<8x60x16xf32>, memref<?x3xi32>) outs(%y : memref<8x60xf32>)
  return
}

// The largest logits are looked for piece by piece: of 300 rows of 341 each has three.
// WARPS-LABEL: func @largest(
// WARPS:         %[[ROWS:.*]] = arith.constant 300 : index
// WARPS:         %[[PIECES:.*]] = arith.constant 3 : index
// WARPS:         %[[TILES:.*]] = arith.muli %[[ROWS]], %[[PIECES]]
// WARPS:         lm.phase "record_largest" tiles(%[[TILES]]) rows 1 panels 3
func.func @largest(%batch: !lm.batch, %l: memref<300x341xf32>) {
  lm.record_largest 4 of each 128 of %batch ins(%l : memref<300x341xf32>)
  return
}

// Attention to a cache in rows has for few rows a tile for each of their pieces, of 128 positions, and those are
// put together; for more a tile for each 16 tokens of the 64 of a query tile, with the 4 heads of a key head.
// WARPS-LABEL: func @attention(
// WARPS:         %[[PARTS:.*]] = memref.alloc(%{{.*}}) : memref<?x3328xf32>
// WARPS:         %[[ROOM:.*]] = memref.alloc(%{{.*}}) : memref<?x192xf32>
// WARPS:         scf.if
// WARPS:           %[[BLOCKS:.*]] = lm.block_count
// WARPS:           %[[MOST:.*]] = arith.minui
// WARPS:           lm.phase "attend_pieces" tiles(%{{.*}}) rows 0 panels 0 warps 4
// WARPS:             lm.attend_pieces {{.*}} piece 128 pieces 16 most %[[MOST]] {{.*}} outs(%[[PARTS]]
// WARPS:           lm.phase "join_pieces" tiles(%{{.*}}) rows 0 panels 0 warps 4
// WARPS:             lm.join_pieces {{.*}} ins(%[[PARTS]]
// WARPS:         } else {
// WARPS:           %[[ENTRIES:.*]] = lm.query_tile_count
// WARPS:           %[[EACH:.*]] = arith.constant 8 : index
// WARPS:           arith.muli %[[ENTRIES]], %[[EACH]]
// WARPS:           lm.phase "attend_tiles" tiles(%{{.*}}) rows 0 panels 0 warps 4
// WARPS:             lm.attend_tiles {{.*}} outs(%{{.*}}, %[[ROOM]]
// CHECK-LABEL: func @attention(
// CHECK:         lm.attention
// PLAIN-LABEL: func @attention(
// PLAIN:         lm.attention
lm.cache @rows layers [0] heads 2 size 24 rows block 128 : bf16
func.func @attention(%batch: !lm.batch, %layer: index, %q: memref<?x192xbf16>, %o: memref<?x192xbf16>) {
  lm.attention @rows[%layer] of %batch scale 0.28 ins(%q : memref<?x192xbf16>) outs(%o : memref<?x192xbf16>)
  return
}

}
