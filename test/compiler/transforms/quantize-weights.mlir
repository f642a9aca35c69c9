// RUN: moe-opt %s --lm-quantize-weights=formats=experts:int4,attention:int8_channel,head:int8 --cse --canonicalize | FileCheck %s
// RUN: moe-opt %s --lm-quantize-weights=formats=all:int4,experts:int8 | FileCheck %s --check-prefix=ALL
// RUN: moe-opt %s --lm-quantize-weights=formats=embedding:int6 | FileCheck %s --check-prefix=TABLES
// RUN: moe-opt %s --lm-quantize-weights=formats=all:fp8 | FileCheck %s --check-prefix=FLOATS
// RUN: not moe-opt %s --lm-quantize-weights=formats=router:int4 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: not moe-opt %s --lm-quantize-weights=formats=head:int3 2>&1 | FileCheck %s --check-prefix=NEITHER
// UNKNOWN: --quantize: 'router:int4' names no class of weights; it is CLASS:FORMAT, and the classes are all, experts, attention, dense, head, embedding
// NEITHER: --quantize: 'head:int3' names no format; it is CLASS:FORMAT, and the formats are int8, int8_channel, int6, int5, int4, int4_asymmetric, mxfp4, fp8

// A table that is the head as well is held once, as the head is to be. What is named last wins.
// CHECK-DAG: lm.weight @table : {{.*}} quantized int8
// CHECK-DAG: lm.weight @kinds : {{.*}} stored = bf16>]{{ *$}}
// CHECK-DAG: lm.weight @norm : {{.*}} stored = bf16>]{{ *$}}
// CHECK-DAG: lm.weight @router : {{.*}} stored = bf16>]{{ *$}}
// CHECK-DAG: lm.weight @mlp : {{.*}} stored = bf16>]{{ *$}}
// CHECK-DAG: lm.weight @q {{.*}} quantized int8_channel
// CHECK-DAG: lm.weight @experts {{.*}} quantized int4
// TABLES-DAG: lm.weight @table : {{.*}} stored = bf16>]{{ *$}}
// TABLES-DAG: lm.weight @kinds : {{.*}} quantized int6
// ALL-DAG:   lm.weight @table : {{.*}} quantized int4
// ALL-DAG:   lm.weight @kinds : {{.*}} quantized int4
// ALL-DAG:   lm.weight @mlp {{.*}} quantized int4
// ALL-DAG:   lm.weight @experts {{.*}} quantized int8
// What multiplies weights of fp8 stays floats.
// FLOATS:     lm.weight @experts {{.*}} quantized fp8
// FLOATS-NOT: lm.quantize
// FLOATS:     moe.expert_ffn silu accumulate inner f32
// FLOATS-NOT: lm.quantize
lm.weight @table : !lm.weight<50x40xbf16> layers [] from [#lm.piece<pattern = "t", rows = 50, stored = bf16>]
lm.weight @kinds : !lm.weight<2x40xbf16> layers [] from [#lm.piece<pattern = "k", rows = 2, stored = bf16>]
lm.weight @norm : !lm.weight<40xbf16> layers [] from [#lm.piece<pattern = "n", rows = 40, stored = bf16>]
lm.weight @router : !lm.weight<8x40xbf16> layers [] from [#lm.piece<pattern = "r", rows = 8, stored = bf16>]
lm.weight @mlp : !lm.weight<40x40xbf16> layers [] from [#lm.piece<pattern = "m", rows = 40, stored = bf16>]
lm.weight @q : !lm.weight<40x40xbf16> layers [] from [#lm.piece<pattern = "q", rows = 40, stored = bf16>]
lm.weight @experts : !lm.weight<8x40x40xbf16> layers [] from [#lm.piece<pattern = "e.{e}", rows = 40, stored = bf16>]
func.func @step(%batch: !lm.batch, %ids: tensor<?xi32>, %i: tensor<?x40xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %c: memref<?x50xf32>, %l: tensor<?x50xf32>) {
  // CHECK-DAG:  %[[TABLE:.*]] = lm.load_weight @table :
  // CHECK:      lm.embedding ins(%{{.*}}, %[[TABLE]] :
  %t = lm.load_weight @table : !lm.weight<50x40xbf16>
  %k = lm.load_weight @kinds : !lm.weight<2x40xbf16>
  %n = lm.load_weight @norm : !lm.weight<40xbf16>
  %r = lm.load_weight @router : !lm.weight<8x40xbf16>
  %mw = lm.load_weight @mlp : !lm.weight<40x40xbf16>
  %qw = lm.load_weight @q : !lm.weight<40x40xbf16>
  %ew = lm.load_weight @experts : !lm.weight<8x40x40xbf16>
  %o = lm.embedding ins(%ids, %k : tensor<?xi32>, !lm.weight<2x40xbf16>) outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  %h = lm.embedding ins(%ids, %t : tensor<?xi32>, !lm.weight<50x40xbf16>) outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  // One quantisation serves all products with groups of its size, and the gate takes what it was made of.
  // CHECK:      %[[X:.*]] = lm.rms_norm
  // CHECK-DAG:  %[[CHANNEL:.*]] = lm.quantize block 64 ins(%[[X]] : tensor<?x40xf32>) {{.*}} -> tensor<?x72xi8>
  // CHECK-DAG:  %[[BLOCKS:.*]] = lm.quantize block 32 ins(%[[X]] : tensor<?x40xf32>) {{.*}} -> tensor<?x80xi8>
  // CHECK:      moe.gate softmax ins(%[[X]],
  // CHECK:      lm.linear ins(%[[CHANNEL]],
  // CHECK:      moe.expert_ffn silu accumulate inner i8 ins(%[[BLOCKS]],
  %x = lm.rms_norm epsilon 1.0e-5 ins(%h, %n : tensor<?x40xf32>, !lm.weight<40xbf16>) outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  %pe, %pw = moe.gate softmax ins(%x, %r : tensor<?x40xf32>, !lm.weight<8x40xbf16>) outs(%e, %w : tensor<?x2xi32>, tensor<?x2xf32>) -> tensor<?x2xi32>, tensor<?x2xf32>
  %q = lm.linear ins(%x, %qw : tensor<?x40xf32>, !lm.weight<40x40xbf16>) outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  %m = lm.linear ins(%q, %mw : tensor<?x40xf32>, !lm.weight<40x40xbf16>) outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  %a = moe.gated_activation silu ins(%m, %m : tensor<?x40xf32>, tensor<?x40xf32>) outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  %y = moe.expert_ffn silu accumulate inner f32 ins(%x, %pe, %pw : tensor<?x40xf32>, tensor<?x2xi32>, tensor<?x2xf32>) experts(%ew, %ew, %ew : !lm.weight<8x40x40xbf16>, !lm.weight<8x40x40xbf16>, !lm.weight<8x40x40xbf16>) outs(%a : tensor<?x40xf32>) -> tensor<?x40xf32>
  // CHECK:      lm.linear ins(%{{.*}}, %[[TABLE]] : tensor<?x80xi8>
  %z = lm.linear ins(%y, %t : tensor<?x40xf32>, !lm.weight<50x40xbf16>) outs(%l : tensor<?x50xf32>) -> tensor<?x50xf32>
  bufferization.materialize_in_destination %z in restrict writable %c : (tensor<?x50xf32>, memref<?x50xf32>) -> ()
  return
}
