// RUN: moe-opt %s --split-input-file --moe-place-experts | FileCheck %s

// Of layers 0, 2 and 3, which have experts, the host has 2 and 3: they go the other way, and what comes back is added. The
// weights are split.
// CHECK:       lm.weight @up : !lm.weight<4x8x16xf32> layers [0]
// CHECK:       lm.weight @down : !lm.weight<4x16x8xf32> layers [0]
// CHECK:       func.func @step(
// CHECK-SAME:    %[[BATCH:[^:]+]]: !lm.batch
// CHECK:         scf.for %[[LAYER:[^ ]+]] = {{.*}} iter_args(%[[H:[^ ]+]] =
// CHECK:           %[[X:[^ ]+]] = lm.round ins(
// CHECK:           %[[KIND:[^ ]+]] = lm.layer_kind %[[LAYER]] of [0, 0, 1, 1]
// CHECK:           %[[PLACED:[^ ]+]] = arith.cmpi eq, %[[KIND]], %{{.*}} : index
// CHECK:           %[[Y:[^ ]+]] = scf.if %[[PLACED]] -> (tensor<?x16xf32>) {
// CHECK:             %[[I:[^ ]+]] = tensor.empty(%{{.*}}) : tensor<?x16xf32>
// CHECK:             %[[BACK:[^ ]+]] = lm.run_part 0{{\[}}%[[LAYER]]] of %[[BATCH]]
// CHECK-SAME:          ins(%[[X]], %[[E:[^ ]+]], %[[W:[^ ]+]] : tensor<?x16xbf16>, tensor<?x2xi32>, tensor<?x2xf32>) outs(%[[I]] : tensor<?x16xf32>)
// CHECK:             %[[SUM:[^ ]+]] = lm.add ins(%[[H]], %[[BACK]] : {{.*}}) outs(%[[H]] :
// CHECK:             scf.yield %[[SUM]]
// CHECK:           } else {
// CHECK:             %[[OWN:[^ ]+]] = moe.expert_ffn silu accumulate inner bf16 ins(%[[X]], %[[E]], %[[W]] :
// CHECK:             scf.yield %[[OWN]]
// CHECK:           scf.yield %[[Y]]
// The host writes a layer's result to where it is fetched from.
// CHECK:       module @host {
// CHECK:         lm.weight @up : !lm.weight<4x8x16xf32> layers [2, 3]
// CHECK:         lm.weight @down : !lm.weight<4x16x8xf32> layers [2, 3]
// CHECK:         func.func @step(%[[BATCH:[^:]+]]: !lm.batch) {
// CHECK:           %[[LAYER:[^ ]+]] = lm.part_layer %[[BATCH]]
// CHECK:           %[[X:[^ ]+]] = lm.part_rows 0 of %[[BATCH]] : tensor<?x16xbf16>
// CHECK:           %[[E:[^ ]+]] = lm.part_rows 1 of %[[BATCH]] : tensor<?x2xi32>
// CHECK:           %[[W:[^ ]+]] = lm.part_rows 2 of %[[BATCH]] : tensor<?x2xf32>
// CHECK:           %[[UP:[^ ]+]] = lm.load_weight @up[%[[LAYER]]]
// CHECK:           %[[TO:[^ ]+]] = lm.part_rows 3 of %[[BATCH]] : memref<?x16xf32>
// CHECK:           %[[Y:[^ ]+]] = moe.expert_ffn silu inner bf16 ins(%[[X]], %[[E]], %[[W]] : {{.*}}) experts(%[[UP]], %[[UP]],
// CHECK:           bufferization.materialize_in_destination %[[Y]] in restrict writable %[[TO]]
module attributes {moec.placement = {device_memory = 1000 : i64, host_layers = array<i64: 2, 3>}} {
lm.weight @up : !lm.weight<4x8x16xf32> layers [0, 2, 3] from [#lm.piece<pattern = "{l}.{e}.up", rows = 8, stored = f32>]
lm.weight @down : !lm.weight<4x16x8xf32> layers [0, 2, 3] from [#lm.piece<pattern = "{l}.{e}.down", rows = 16, stored = f32>]
func.func @step(%batch: !lm.batch) {
  %T = lm.token_count %batch
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %e = tensor.empty(%T) : tensor<?x2xi32>
  %w = tensor.empty(%T) : tensor<?x2xf32>
  %start = tensor.empty(%T) : tensor<?x16xf32>
  %out = scf.for %layer = %c0 to %c4 step %c1 iter_args(%h = %start) -> (tensor<?x16xf32>) {
    %i = tensor.empty(%T) : tensor<?x16xbf16>
    %x = lm.round ins(%h : tensor<?x16xf32>) outs(%i : tensor<?x16xbf16>) -> tensor<?x16xbf16>
    %up = lm.load_weight @up[%layer] : !lm.weight<4x8x16xf32>
    %down = lm.load_weight @down[%layer] : !lm.weight<4x16x8xf32>
    %y = moe.expert_ffn silu accumulate inner bf16 ins(%x, %e, %w : tensor<?x16xbf16>, tensor<?x2xi32>, tensor<?x2xf32>)
        experts(%up, %up, %down : !lm.weight<4x8x16xf32>, !lm.weight<4x8x16xf32>, !lm.weight<4x16x8xf32>)
        outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
    scf.yield %y : tensor<?x16xf32>
  }
  return
}
}

// -----

// With all layers on the host there is nothing to choose; layers alike share a part, others have one of their own. Without
// accumulation the result goes where it is wanted.
// CHECK-NOT:   lm.weight @up {{.*}} layers [0]
// CHECK:       func.func @step(
// CHECK-NOT:     scf.if
// CHECK:         scf.index_switch
// CHECK:         case 0 {
// CHECK:           lm.run_part 0[%{{.*}}] of %{{.*}} outs(%[[TO:[^ ]+]] : tensor<?x16xf32>)
// CHECK:         case 1 {
// CHECK:           lm.run_part 1[
// CHECK:         default {
// CHECK:           lm.run_part 0[
// CHECK:       module @host {
// CHECK:         lm.weight @up : !lm.weight<4x16x16xf32> layers [0, 1, 2]
// CHECK:         %[[PART:[^ ]+]] = lm.part_number
// CHECK:         scf.index_switch %[[PART]]
// CHECK:         case 0 {
// CHECK:           moe.expert_ffn silu inner f32
// CHECK:         default {
// CHECK:           moe.expert_ffn silu weigh_input inner f32
module attributes {moec.placement = {device_memory = 1000 : i64, host_layers = array<i64: 0, 1, 2>}} {
lm.weight @up : !lm.weight<4x16x16xf32> layers [0, 1, 2] from [#lm.piece<pattern = "{l}.{e}.up", rows = 16, stored = f32>]
func.func @step(%batch: !lm.batch) {
  %T = lm.token_count %batch
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %e = tensor.empty(%T) : tensor<?x2xi32>
  %w = tensor.empty(%T) : tensor<?x2xf32>
  %start = tensor.empty(%T) : tensor<?x16xf32>
  %out = scf.for %layer = %c0 to %c3 step %c1 iter_args(%h = %start) -> (tensor<?x16xf32>) {
    %kind = lm.layer_kind %layer of [0, 1, 2]
    %up = lm.load_weight @up[%layer] : !lm.weight<4x16x16xf32>
    %i = tensor.empty(%T) : tensor<?x16xf32>
    %y = scf.index_switch %kind -> tensor<?x16xf32>
    case 0 {
      %y = moe.expert_ffn silu inner f32 ins(%h, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
          experts(%up, %up, %up : !lm.weight<4x16x16xf32>, !lm.weight<4x16x16xf32>, !lm.weight<4x16x16xf32>)
          outs(%i : tensor<?x16xf32>) -> tensor<?x16xf32>
      scf.yield %y : tensor<?x16xf32>
    }
    case 1 {
      %y = moe.expert_ffn silu weigh_input inner f32 ins(%h, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
          experts(%up, %up, %up : !lm.weight<4x16x16xf32>, !lm.weight<4x16x16xf32>, !lm.weight<4x16x16xf32>)
          outs(%i : tensor<?x16xf32>) -> tensor<?x16xf32>
      scf.yield %y : tensor<?x16xf32>
    }
    default {
      %y = moe.expert_ffn silu accumulate inner f32 ins(%h, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
          experts(%up, %up, %up : !lm.weight<4x16x16xf32>, !lm.weight<4x16x16xf32>, !lm.weight<4x16x16xf32>)
          outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
      scf.yield %y : tensor<?x16xf32>
    }
    scf.yield %y : tensor<?x16xf32>
  }
  return
}
}

// -----

// A GPU that has room for all leaves nothing to the host.
// CHECK:       func.func @step(
// CHECK-NOT:   module @host
module attributes {moec.placement = {device_memory = 1000 : i64, host_layers = array<i64>}} {
func.func @step(%batch: !lm.batch) {
  return
}
}
