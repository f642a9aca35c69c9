// RUN: moe-opt %s --lm-fuse-residual --verify-diagnostics | FileCheck %s
// A sum into the stream happens where the summand is made.

// The product of a sum accumulates onto the stream.
// CHECK-LABEL: func @product(
// CHECK-SAME:    %[[STREAM:[^:]+]]: tensor<?x40xf32>, %[[X:[^:]+]]: tensor<?x48xf32>
// CHECK-NOT:     lm.add
// CHECK:         %[[Y:.+]] = lm.linear accumulate ins(%[[X]], {{.*}}) outs(%[[STREAM]] :
// CHECK:         return %[[Y]]
func.func @product(%stream: tensor<?x40xf32>, %x: tensor<?x48xf32>, %w: !lm.weight<40x48xf32>, %i: tensor<?x40xf32>)
    -> tensor<?x40xf32> {
  %y = lm.linear ins(%x, %w : tensor<?x48xf32>, !lm.weight<40x48xf32>) outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  %s = lm.add ins(%stream, %y : tensor<?x40xf32>, tensor<?x40xf32>) outs(%stream : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %s : tensor<?x40xf32>
}

// Either summand may be the stream.
// CHECK-LABEL: func @product_first(
// CHECK-SAME:    %[[STREAM:[^:]+]]: tensor<?x40xf32>
// CHECK:         lm.linear accumulate ins({{.*}}) outs(%[[STREAM]] :
func.func @product_first(%stream: tensor<?x40xf32>, %x: tensor<?x48xf32>, %w: !lm.weight<40x48xf32>,
                         %i: tensor<?x40xf32>) -> tensor<?x40xf32> {
  %y = lm.linear ins(%x, %w : tensor<?x48xf32>, !lm.weight<40x48xf32>) outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  %s = lm.add ins(%y, %stream : tensor<?x40xf32>, tensor<?x40xf32>) outs(%stream : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %s : tensor<?x40xf32>
}

// A combination accumulates likewise.
// CHECK-LABEL: func @combination(
// CHECK-SAME:    %[[STREAM:[^:]+]]: tensor<?x40xf32>
// CHECK:         moe.combine accumulate ins({{.*}}) outs(%[[STREAM]] :
func.func @combination(%stream: tensor<?x40xf32>, %d: tensor<?x40xf32>, %inverse: tensor<?xi32>, %w: tensor<?x2xf32>,
                       %i: tensor<?x40xf32>) -> tensor<?x40xf32> {
  %y = moe.combine ins(%d, %inverse, %w : tensor<?x40xf32>, tensor<?xi32>, tensor<?x2xf32>)
      outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  %s = lm.add ins(%stream, %y : tensor<?x40xf32>, tensor<?x40xf32>) outs(%stream : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %s : tensor<?x40xf32>
}

// So does an expert layer.
// CHECK-LABEL: func @experts(
// CHECK-SAME:    %[[STREAM:[^:]+]]: tensor<?x40xf32>
// CHECK:         moe.expert_ffn silu accumulate inner f32 {{.*}} outs(%[[STREAM]] :
func.func @experts(%stream: tensor<?x40xf32>, %x: tensor<?x40xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>,
                   %g: !lm.weight<8x28x40xf32>, %d: !lm.weight<8x40x28xf32>, %i: tensor<?x40xf32>) -> tensor<?x40xf32> {
  %y = moe.expert_ffn silu inner f32 ins(%x, %e, %w : tensor<?x40xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
      experts(%g, %g, %d : !lm.weight<8x28x40xf32>, !lm.weight<8x28x40xf32>, !lm.weight<8x40x28xf32>)
      outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  %s = lm.add ins(%stream, %y : tensor<?x40xf32>, tensor<?x40xf32>) outs(%stream : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %s : tensor<?x40xf32>
}

// A reader of the stream between product and sum comes first afterwards.
// CHECK-LABEL: func @reader_between(
// CHECK:         lm.clamp
// CHECK:         lm.linear accumulate
func.func @reader_between(%stream: tensor<?x40xf32>, %x: tensor<?x48xf32>, %w: !lm.weight<40x48xf32>,
                          %i: tensor<?x40xf32>, %j: tensor<?x40xf32>) -> (tensor<?x40xf32>, tensor<?x40xf32>) {
  %y = lm.linear ins(%x, %w : tensor<?x48xf32>, !lm.weight<40x48xf32>) outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  %c = lm.clamp 8.0 ins(%stream : tensor<?x40xf32>) outs(%j : tensor<?x40xf32>) -> tensor<?x40xf32>
  %s = lm.add ins(%stream, %y : tensor<?x40xf32>, tensor<?x40xf32>) outs(%stream : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %s, %c : tensor<?x40xf32>, tensor<?x40xf32>
}

// A summand with a second user is still needed by itself.
// CHECK-LABEL: func @two_users
// CHECK-NOT:     accumulate
// CHECK:         lm.add
func.func @two_users(%stream: tensor<?x40xf32>, %x: tensor<?x48xf32>, %w: !lm.weight<40x48xf32>, %i: tensor<?x40xf32>)
    -> (tensor<?x40xf32>, tensor<?x40xf32>) {
  %y = lm.linear ins(%x, %w : tensor<?x48xf32>, !lm.weight<40x48xf32>) outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  // expected-remark @below {{neither summand is a product, combination or expert layer that nobody else uses}}
  %s = lm.add ins(%stream, %y : tensor<?x40xf32>, tensor<?x40xf32>) outs(%stream : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %s, %y : tensor<?x40xf32>, tensor<?x40xf32>
}

// A summand that accumulates already has no room for another stream.
// CHECK-LABEL: func @accumulates_already
// CHECK:         lm.add
func.func @accumulates_already(%stream: tensor<?x40xf32>, %x: tensor<?x48xf32>, %w: !lm.weight<40x48xf32>,
                               %i: tensor<?x40xf32>) -> tensor<?x40xf32> {
  // expected-remark @below {{a sum's product accumulates onto another stream already}}
  %y = lm.linear accumulate ins(%x, %w : tensor<?x48xf32>, !lm.weight<40x48xf32>) outs(%i : tensor<?x40xf32>)
      -> tensor<?x40xf32>
  %s = lm.add ins(%stream, %y : tensor<?x40xf32>, tensor<?x40xf32>) outs(%stream : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %s : tensor<?x40xf32>
}

// A summand that is no product, here a clamped stream, stays.
// CHECK-LABEL: func @no_product
// CHECK:         lm.add
func.func @no_product(%stream: tensor<?x40xf32>, %x: tensor<?x40xf32>, %i: tensor<?x40xf32>) -> tensor<?x40xf32> {
  %y = lm.clamp 8.0 ins(%x : tensor<?x40xf32>) outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  // expected-remark @below {{neither summand is a product, combination or expert layer that nobody else uses}}
  %s = lm.add ins(%stream, %y : tensor<?x40xf32>, tensor<?x40xf32>) outs(%stream : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %s : tensor<?x40xf32>
}

// A product made outside a loop must not run once per round.
// CHECK-LABEL: func @other_block
// CHECK-NOT:     accumulate
// CHECK:         scf.for
// CHECK:           lm.add
func.func @other_block(%stream: tensor<?x40xf32>, %x: tensor<?x48xf32>, %w: !lm.weight<40x48xf32>, %i: tensor<?x40xf32>,
                       %n: index) -> tensor<?x40xf32> {
  %y = lm.linear ins(%x, %w : tensor<?x48xf32>, !lm.weight<40x48xf32>) outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = scf.for %k = %c0 to %n step %c1 iter_args(%s = %stream) -> tensor<?x40xf32> {
    // expected-remark @below {{a sum's product is made in another block}}
    %t = lm.add ins(%s, %y : tensor<?x40xf32>, tensor<?x40xf32>) outs(%s : tensor<?x40xf32>) -> tensor<?x40xf32>
    scf.yield %t : tensor<?x40xf32>
  }
  return %r : tensor<?x40xf32>
}
