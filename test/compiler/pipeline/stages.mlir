// RUN: moe-opt %s --moe-optimize=activations=bf16 | FileCheck %s --check-prefix=OPTIMIZED
// RUN: moe-opt %s --moe-optimize="without=lm-fuse-residual" | FileCheck %s --check-prefix=WITHOUT
// RUN: moe-opt %s --moe-optimize --moe-schedule | FileCheck %s --check-prefix=SCHEDULED
// RUN: moe-opt %s --moe-optimize --moe-schedule="reference=true" | FileCheck %s --check-prefix=PLAIN
// RUN: moe-opt %s --moe-optimize --moe-schedule="mapped=true" | FileCheck %s --check-prefix=MAPPED
// RUN: moe-opt %s --moe-optimize --moe-schedule --moe-lower="cpu=avx512bf16" | FileCheck %s --check-prefix=LOWERED
// RUN: moe-opt %s --moe-optimize=activations=bf16 --moe-schedule=activations=bf16 --moe-lower="cpu=avx512bf16" --moe-emit \
// RUN:   | FileCheck %s --check-prefix=EMITTED
// RUN: moe-opt %s --moe-optimize --moe-schedule="reference=true" --moe-lower="cpu=avx2 reference=true" --moe-emit \
// RUN:   | FileCheck %s --check-prefix=EMITTED
// RUN: moe-opt %s --moe-optimize --moe-schedule="gpu=sm_80" --moe-lower="gpu=sm_80" --moe-emit="gpu=sm_80" \
// RUN:   | FileCheck %s --check-prefix=KERNELS
// RUN: not moe-opt %s --moe-optimize=colour=red 2>&1 | FileCheck %s --check-prefix=MALFORMED
// RUN: not moe-opt %s --moe-optimize=cpu=abacus 2>&1 | FileCheck %s --check-prefix=NO-CPU
// A step with two kinds of layers, one of products and one of a clamp, goes through every stage.

// The optimize stage inlines the layers, rounds operands and lets the product accumulate onto the stream.
// OPTIMIZED-NOT:   func.call
// OPTIMIZED-NOT:   func.func private
// OPTIMIZED:       scf.for {{.*}} iter_args(%[[STREAM:[^ ]+]] =
// OPTIMIZED:         scf.index_switch
// OPTIMIZED:         lm.linear accumulate ins({{.*}}bf16>, {{.*}}) outs(%[[STREAM]] :

// A pass that is left out does not run.
// WITHOUT-NOT:     lm.linear accumulate
// WITHOUT:         lm.add

// The schedule stage leaves phases on one arena, barriers between them, and a function for the arena's size. Ops that need
// no barrier share a phase.
// SCHEDULED:       lm.weight @dense {{.*}} packed <layout = panels, element = f32
// SCHEDULED-NOT:   tensor<
// SCHEDULED:       func.func @moec_program_arena_bytes(
// SCHEDULED:       func.func @step(
// SCHEDULED-COUNT-1: lm.arena
// SCHEDULED:       scf.index_switch
// SCHEDULED:         lm.phase "linear" tiles(%{{.*}}) rows 128 panels 1
// SCHEDULED:         lm.phase "clamp_add" tiles(%{{.*}}) rows 1 panels 0
// SCHEDULED:         lm.phase "select_rows"
// SCHEDULED:       lm.barrier
// SCHEDULED-NEXT:  return

// By the reference, one tile does everything.
// PLAIN:           %[[ONE:.+]] = arith.constant 1 : index
// PLAIN:           lm.phase "linear" plain tiles(%[[ONE]]) rows 0 panels 0

// Mapped weights keep their rows, and are numbered.
// MAPPED:          lm.weight @table {{.*}} packed <layout = rows, element = f32, offset = 0, mapped = true>
// MAPPED:          lm.weight @dense {{.*}} packed <layout = rows, element = f32, offset = 1, mapped = true>

// The lower stage makes each phase a function, the batch a pointer, and takes the symbols away.
// LOWERED-NOT:     lm.{{weight|phase|barrier}}
// LOWERED:         func.func private @phase_{{[0-9]+}}_linear(%{{[^:]+}}: !llvm.ptr
// LOWERED:         func.func @moec_program_step(%{{[^:]+}}: !llvm.ptr, %{{[^:]+}}: i64)
// LOWERED:           llvm.call @moec_tiles_wait

// The emit stage leaves the LLVM dialect alone, with the two functions that a runtime calls.
// EMITTED-NOT:     {{(func|arith|scf|memref|vector|lm|moe)\.[a-z]}}
// EMITTED:         llvm.func @moec_tiles_wait(
// EMITTED:         llvm.func @moec_program_arena_bytes(
// EMITTED:         llvm.func @moec_program_step(

// For a GPU the step launches what are kernels in a module of their own, of which each layer's kind has its own.
// KERNELS-NOT:     {{(func|arith|scf|memref|vector|lm|moe)\.[a-z]}}
// KERNELS:         llvm.func @moec_device_launch(
// KERNELS:         llvm.func @moec_program_step(%{{[^:]+}}: !llvm.ptr, %{{[^:]+}}: i64)
// KERNELS-COUNT-5:   llvm.call @moec_device_launch(
// KERNELS:         gpu.module @kernels {
// KERNELS:           llvm.func @phase_0_embedding({{.*}} attributes {nvvm.kernel
// KERNELS-NOT:     {{(func|arith|scf|memref|vector|lm|moe)\.[a-z]}}

// An option that no stage has is an error, and so is a CPU that there is none of.
// MALFORMED:       colour
// NO-CPU:          unknown CPU 'abacus'; wanted native, a level

lm.weight @table : !lm.weight<64x40xf32> layers [] from [#lm.piece<pattern = "table", rows = 64, stored = f32>]
lm.weight @dense : !lm.weight<40x40xf32> layers [0, 2] from [#lm.piece<pattern = "dense.{l}", rows = 40, stored = f32>]

func.func private @layer_dense(%batch: !lm.batch, %layer: index, %h: tensor<?x40xf32>) -> tensor<?x40xf32> {
  %T = lm.token_count %batch
  %ordinal = lm.layer_kind %layer of [0, 0, 1]
  %w = lm.load_weight @dense[%ordinal] : !lm.weight<40x40xf32>
  %i = tensor.empty(%T) : tensor<?x40xf32>
  %c = lm.clamp 4.0 ins(%h : tensor<?x40xf32>) outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  %j = tensor.empty(%T) : tensor<?x40xf32>
  %y = lm.linear ins(%c, %w : tensor<?x40xf32>, !lm.weight<40x40xf32>) outs(%j : tensor<?x40xf32>) -> tensor<?x40xf32>
  %s = lm.add ins(%h, %y : tensor<?x40xf32>, tensor<?x40xf32>) outs(%h : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %s : tensor<?x40xf32>
}

func.func private @layer_clamp(%batch: !lm.batch, %layer: index, %h: tensor<?x40xf32>) -> tensor<?x40xf32> {
  %T = lm.token_count %batch
  %i = tensor.empty(%T) : tensor<?x40xf32>
  %c = lm.clamp 8.0 ins(%h : tensor<?x40xf32>) outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  %s = lm.add ins(%h, %c : tensor<?x40xf32>, tensor<?x40xf32>) outs(%h : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %s : tensor<?x40xf32>
}

func.func @step(%batch: !lm.batch) {
  %T = lm.token_count %batch
  %ids = lm.token_ids %batch : tensor<?xi32>
  %table = lm.load_weight @table : !lm.weight<64x40xf32>
  %i = tensor.empty(%T) : tensor<?x40xf32>
  %h = lm.embedding ins(%ids, %table : tensor<?xi32>, !lm.weight<64x40xf32>) outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %out = scf.for %layer = %c0 to %c3 step %c1 iter_args(%x = %h) -> (tensor<?x40xf32>) {
    %kind = lm.layer_kind %layer of [0, 1, 0]
    %y = scf.index_switch %kind -> tensor<?x40xf32>
    case 0 {
      %d = func.call @layer_dense(%batch, %layer, %x) : (!lm.batch, index, tensor<?x40xf32>) -> tensor<?x40xf32>
      scf.yield %d : tensor<?x40xf32>
    }
    default {
      %d = func.call @layer_clamp(%batch, %layer, %x) : (!lm.batch, index, tensor<?x40xf32>) -> tensor<?x40xf32>
      scf.yield %d : tensor<?x40xf32>
    }
    scf.yield %y : tensor<?x40xf32>
  }
  %R = lm.output_count %batch
  %rows = lm.output_rows %batch : tensor<?xi32>
  %to = lm.logits %batch : memref<?x40xf32>
  %k = tensor.empty(%R) : tensor<?x40xf32>
  %last = lm.select_rows ins(%out, %rows : tensor<?x40xf32>, tensor<?xi32>) outs(%k : tensor<?x40xf32>) -> tensor<?x40xf32>
  bufferization.materialize_in_destination %last in restrict writable %to : (tensor<?x40xf32>, memref<?x40xf32>) -> ()
  return
}
