// RUN: moe-opt %s --moe-fuse-gate 2>%t | FileCheck %s
// RUN: FileCheck %s --check-prefix=WHY <%t
// RUN: moe-opt %s --pass-pipeline="builtin.module(moe-fuse-gate,moe-fuse-experts)" | FileCheck %s
// The router of a layer becomes one op, where nobody else needs what lies between; a remark says why one is left.

// WHY-NOT:       remark:
// Product, score and choice become a gate with their operands, function and renormalization.
// CHECK-LABEL: func @router(
// CHECK-SAME:    %[[X:[^:]+]]: tensor<?x40xf32>, %[[R:[^:]+]]: !lm.weight<8x40xf32>
// CHECK-SAME:    %[[E:[^:]+]]: tensor<?x2xi32>, %[[W:[^:]+]]: tensor<?x2xf32>
// CHECK-NOT:     moe.route
// CHECK:         moe.gate softmax renormalize ins(%[[X]], %[[R]] : {{.*}}) outs(%[[E]], %[[W]] :
func.func @router(%x: tensor<?x40xf32>, %r: !lm.weight<8x40xf32>, %i: tensor<?x8xf32>, %a: tensor<?x2xi32>,
                  %b: tensor<?x2xf32>) -> (tensor<?x2xi32>, tensor<?x2xf32>) {
  %l = lm.linear ins(%x, %r : tensor<?x40xf32>, !lm.weight<8x40xf32>) outs(%i : tensor<?x8xf32>) -> tensor<?x8xf32>
  %s = moe.score softmax ins(%l : tensor<?x8xf32>) outs(%i : tensor<?x8xf32>) -> tensor<?x8xf32>
  %e, %w = moe.route renormalize ins(%s : tensor<?x8xf32>) outs(%a, %b : tensor<?x2xi32>, tensor<?x2xf32>)
      -> tensor<?x2xi32>, tensor<?x2xf32>
  return %e, %w : tensor<?x2xi32>, tensor<?x2xf32>
}

// A choice that does not renormalize becomes a gate that does not either.
// CHECK-LABEL: func @as_is
// CHECK:         moe.gate sigmoid ins(
func.func @as_is(%x: tensor<?x40xf32>, %r: !lm.weight<8x40xf32>, %i: tensor<?x8xf32>, %a: tensor<?x2xi32>,
                 %b: tensor<?x2xf32>) -> (tensor<?x2xi32>, tensor<?x2xf32>) {
  %l = lm.linear ins(%x, %r : tensor<?x40xf32>, !lm.weight<8x40xf32>) outs(%i : tensor<?x8xf32>) -> tensor<?x8xf32>
  %s = moe.score sigmoid ins(%l : tensor<?x8xf32>) outs(%i : tensor<?x8xf32>) -> tensor<?x8xf32>
  %e, %w = moe.route ins(%s : tensor<?x8xf32>) outs(%a, %b : tensor<?x2xi32>, tensor<?x2xf32>)
      -> tensor<?x2xi32>, tensor<?x2xf32>
  return %e, %w : tensor<?x2xi32>, tensor<?x2xf32>
}

// Scores that somebody else uses stay.
// WHY:           remark: the scores are not those of one moe.score of its own
// CHECK-LABEL: func @scores_used
// CHECK-NOT:     moe.gate
func.func @scores_used(%x: tensor<?x40xf32>, %r: !lm.weight<8x40xf32>, %i: tensor<?x8xf32>, %a: tensor<?x2xi32>,
                       %b: tensor<?x2xf32>) -> (tensor<?x2xi32>, tensor<?x2xf32>, tensor<?x8xf32>) {
  %l = lm.linear ins(%x, %r : tensor<?x40xf32>, !lm.weight<8x40xf32>) outs(%i : tensor<?x8xf32>) -> tensor<?x8xf32>
  %s = moe.score softmax ins(%l : tensor<?x8xf32>) outs(%i : tensor<?x8xf32>) -> tensor<?x8xf32>
  %e, %w = moe.route ins(%s : tensor<?x8xf32>) outs(%a, %b : tensor<?x2xi32>, tensor<?x2xf32>)
      -> tensor<?x2xi32>, tensor<?x2xf32>
  return %e, %w, %s : tensor<?x2xi32>, tensor<?x2xf32>, tensor<?x8xf32>
}

// So do logits that somebody else uses.
// WHY:           remark: the logits are not those of one lm.linear of its own
// CHECK-LABEL: func @logits_used
// CHECK-NOT:     moe.gate
func.func @logits_used(%x: tensor<?x40xf32>, %r: !lm.weight<8x40xf32>, %i: tensor<?x8xf32>, %a: tensor<?x2xi32>,
                       %b: tensor<?x2xf32>) -> (tensor<?x2xi32>, tensor<?x2xf32>, tensor<?x8xf32>) {
  %l = lm.linear ins(%x, %r : tensor<?x40xf32>, !lm.weight<8x40xf32>) outs(%i : tensor<?x8xf32>) -> tensor<?x8xf32>
  %s = moe.score softmax ins(%l : tensor<?x8xf32>) outs(%i : tensor<?x8xf32>) -> tensor<?x8xf32>
  %e, %w = moe.route ins(%s : tensor<?x8xf32>) outs(%a, %b : tensor<?x2xi32>, tensor<?x2xf32>)
      -> tensor<?x2xi32>, tensor<?x2xf32>
  return %e, %w, %l : tensor<?x2xi32>, tensor<?x2xf32>, tensor<?x8xf32>
}

// A bias of the router, and how the experts are chosen and weighed, become the gate's.
// CHECK-LABEL: func @routing(
// CHECK:         moe.gate sigmoid renormalize epsilon {{[^ ]+}} scale 2.500000e+00 groups <1 of 2 by best_two> ins(
// CHECK-SAME:      bias(%{{.*}} : !lm.weight<8xf32>) correction(%{{.*}} : tensor<8xf32>)
func.func @routing(%x: tensor<?x40xf32>, %r: !lm.weight<8x40xf32>, %c: !lm.weight<8xf32>, %k: tensor<8xf32>, %i: tensor<?x8xf32>,
                   %a: tensor<?x2xi32>, %b: tensor<?x2xf32>) -> (tensor<?x2xi32>, tensor<?x2xf32>) {
  %l = lm.linear ins(%x, %r : tensor<?x40xf32>, !lm.weight<8x40xf32>) bias(%c : !lm.weight<8xf32>)
      outs(%i : tensor<?x8xf32>) -> tensor<?x8xf32>
  %s = moe.score sigmoid ins(%l : tensor<?x8xf32>) outs(%i : tensor<?x8xf32>) -> tensor<?x8xf32>
  %e, %w = moe.route renormalize epsilon 1.0e-20 scale 2.5 groups <1 of 2 by best_two> ins(%s : tensor<?x8xf32>)
      correction(%k : tensor<8xf32>) outs(%a, %b : tensor<?x2xi32>, tensor<?x2xf32>) -> tensor<?x2xi32>, tensor<?x2xf32>
  return %e, %w : tensor<?x2xi32>, tensor<?x2xf32>
}

// A router that adds to what was there stays.
// WHY:           remark: the router accumulates
// CHECK-LABEL: func @accumulates
// CHECK-NOT:     moe.gate
func.func @accumulates(%x: tensor<?x40xf32>, %r: !lm.weight<8x40xf32>, %i: tensor<?x8xf32>, %a: tensor<?x2xi32>,
                       %b: tensor<?x2xf32>) -> (tensor<?x2xi32>, tensor<?x2xf32>) {
  %l = lm.linear accumulate ins(%x, %r : tensor<?x40xf32>, !lm.weight<8x40xf32>) outs(%i : tensor<?x8xf32>) -> tensor<?x8xf32>
  %s = moe.score softmax ins(%l : tensor<?x8xf32>) outs(%i : tensor<?x8xf32>) -> tensor<?x8xf32>
  %e, %w = moe.route ins(%s : tensor<?x8xf32>) outs(%a, %b : tensor<?x2xi32>, tensor<?x2xf32>)
      -> tensor<?x2xi32>, tensor<?x2xf32>
  return %e, %w : tensor<?x2xi32>, tensor<?x2xf32>
}

// Logits that no product made, here an argument, stay.
// WHY:           remark: the logits are not those of one lm.linear of its own
// CHECK-LABEL: func @no_product
// CHECK-NOT:     moe.gate
// CHECK:         moe.route
func.func @no_product(%l: tensor<?x8xf32>, %i: tensor<?x8xf32>, %a: tensor<?x2xi32>, %b: tensor<?x2xf32>)
    -> (tensor<?x2xi32>, tensor<?x2xf32>) {
  %s = moe.score softmax ins(%l : tensor<?x8xf32>) outs(%i : tensor<?x8xf32>) -> tensor<?x8xf32>
  %e, %w = moe.route ins(%s : tensor<?x8xf32>) outs(%a, %b : tensor<?x2xi32>, tensor<?x2xf32>)
      -> tensor<?x2xi32>, tensor<?x2xf32>
  return %e, %w : tensor<?x2xi32>, tensor<?x2xf32>
}

// Which of equal scores is preferred the gate keeps.
// CHECK-LABEL: func @prefer_higher
// CHECK:         moe.gate softmax prefer_higher ins(
func.func @prefer_higher(%x: tensor<?x40xf32>, %r: !lm.weight<8x40xf32>, %i: tensor<?x8xf32>, %a: tensor<?x2xi32>,
                         %b: tensor<?x2xf32>) -> (tensor<?x2xi32>, tensor<?x2xf32>) {
  %l = lm.linear ins(%x, %r : tensor<?x40xf32>, !lm.weight<8x40xf32>) outs(%i : tensor<?x8xf32>) -> tensor<?x8xf32>
  %s = moe.score softmax ins(%l : tensor<?x8xf32>) outs(%i : tensor<?x8xf32>) -> tensor<?x8xf32>
  %e, %w = moe.route prefer_higher ins(%s : tensor<?x8xf32>) outs(%a, %b : tensor<?x2xi32>, tensor<?x2xf32>)
      -> tensor<?x2xi32>, tensor<?x2xf32>
  return %e, %w : tensor<?x2xi32>, tensor<?x2xf32>
}
