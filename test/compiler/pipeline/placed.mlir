// RUN: moe-opt %s --moe-schedule="gpu=sm_80" | FileCheck %s --check-prefix=SCHEDULED
// RUN: moe-opt %s --moe-schedule="gpu=sm_80" --moe-lower="cpu=avx2 gpu=sm_80" | FileCheck %s --check-prefix=LOWERED
// RUN: moe-opt %s --moe-schedule="gpu=sm_80" --moe-lower="cpu=avx2 gpu=sm_80" --moe-emit="gpu=sm_80" | FileCheck %s --check-prefix=EMITTED
// What CPUs do of a GPU's program goes through the stages as a program for CPUs does.

// Each has phases as its target cuts them, weights in its layout from 0 on, and an arena of its own.
// SCHEDULED:       lm.weight @up {{.*}} layers [0] {{.*}} packed <layout = rows, element = f32, offset = {{.*}}
// SCHEDULED:       func.func @moec_program_arena_bytes(
// SCHEDULED:       func.func @step(
// SCHEDULED:         lm.phase "gate" {{.*}} rows 8
// SCHEDULED:         scf.if
// SCHEDULED-NOT:       lm.phase
// SCHEDULED:           lm.run_part 0[
// SCHEDULED:           lm.phase "add" {{.*}} warps 4
// SCHEDULED:         } else {
// SCHEDULED:           lm.phase "dispatch" {{.*}} warps 16
// SCHEDULED:       module @host {
// SCHEDULED:         lm.weight @up {{.*}} layers [1] {{.*}} packed <layout = panels, element = f32, offset = 0>
// SCHEDULED:         func.func @moec_program_arena_bytes(
// SCHEDULED-NOT:     memref.copy
// SCHEDULED:         func.func @step(
// SCHEDULED:           %[[TO:[^ ]+]] = lm.part_rows 3 of %{{.*}} : memref<?x16xf32>
// SCHEDULED:           lm.phase "dispatch" tiles(%{{[^ ]+}}) rows 0 panels 0 {
// SCHEDULED:           lm.phase "combine"
// SCHEDULED:             moe.combine {{.*}} outs(%[[TO]] :

// The step calls it, and it shares its tiles among threads.
// LOWERED:         moec.choices = {{.*}}cpu = "avx2", gpu = "sm_80"
// LOWERED:         func.func @moec_program_step(
// LOWERED:           llvm.call @moec_part_run(
// LOWERED:         module @host {
// LOWERED:           func.func @moec_program_step(
// LOWERED:             llvm.call @moec_tiles_claim(

// EMITTED-NOT:     {{(func|arith|scf|memref|vector|lm|moe)\.[a-z]}}
// EMITTED:         llvm.call @moec_part_run(
// EMITTED:         module @host {
// EMITTED:           llvm.func @moec_program_arena_bytes(
// EMITTED:           llvm.func @moec_program_step(
// EMITTED-NOT:     {{(func|arith|scf|memref|vector|lm|moe)\.[a-z]}}
module attributes {moec.placement = {device_memory = 1000 : i64, host_layers = array<i64: 1>}} {
lm.weight @table : !lm.weight<64x16xf32> layers [] from [#lm.piece<pattern = "table", rows = 64, stored = f32>]
lm.weight @router : !lm.weight<4x16xf32> layers [0, 1] from [#lm.piece<pattern = "{l}.router", rows = 4, stored = f32>]
lm.weight @up : !lm.weight<4x16x16xf32> layers [0, 1] from [#lm.piece<pattern = "{l}.{e}.up", rows = 16, stored = f32>]
func.func @step(%batch: !lm.batch) {
  %T = lm.token_count %batch
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %ids = lm.token_ids %batch : tensor<?xi32>
  %table = lm.load_weight @table : !lm.weight<64x16xf32>
  %i = tensor.empty(%T) : tensor<?x16xf32>
  %start = lm.embedding ins(%ids, %table : tensor<?xi32>, !lm.weight<64x16xf32>) outs(%i : tensor<?x16xf32>) -> tensor<?x16xf32>
  %out = scf.for %layer = %c0 to %c2 step %c1 iter_args(%h = %start) -> (tensor<?x16xf32>) {
    %n = tensor.empty(%T) : tensor<?x16xf32>
    %x = lm.rms_norm epsilon 1.0e-5 ins(%h : tensor<?x16xf32>) outs(%n : tensor<?x16xf32>) -> tensor<?x16xf32>
    %router = lm.load_weight @router[%layer] : !lm.weight<4x16xf32>
    %up = lm.load_weight @up[%layer] : !lm.weight<4x16x16xf32>
    %ei = tensor.empty(%T) : tensor<?x2xi32>
    %wi = tensor.empty(%T) : tensor<?x2xf32>
    %e, %w = moe.gate softmax ins(%x, %router : tensor<?x16xf32>, !lm.weight<4x16xf32>) outs(%ei, %wi : tensor<?x2xi32>, tensor<?x2xf32>)
        -> tensor<?x2xi32>, tensor<?x2xf32>
    %y = moe.expert_ffn silu accumulate inner f32 ins(%x, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
        experts(%up, %up, %up : !lm.weight<4x16x16xf32>, !lm.weight<4x16x16xf32>, !lm.weight<4x16x16xf32>)
        outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
    scf.yield %y : tensor<?x16xf32>
  }
  %R = lm.output_count %batch
  %rows = lm.output_rows %batch : tensor<?xi32>
  %to = lm.logits %batch : memref<?x16xf32>
  %k = tensor.empty(%R) : tensor<?x16xf32>
  %last = lm.select_rows ins(%out, %rows : tensor<?x16xf32>, tensor<?xi32>) outs(%k : tensor<?x16xf32>) -> tensor<?x16xf32>
  bufferization.materialize_in_destination %last in restrict writable %to : (tensor<?x16xf32>, memref<?x16xf32>) -> ()
  return
}
}
