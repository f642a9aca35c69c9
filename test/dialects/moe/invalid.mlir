// RUN: moe-opt %s --split-input-file --verify-diagnostics
// Each diagnostic of the dialect, once.

func.func @score(%logits: tensor<?x8xf32>, %init: tensor<?x9xf32>) {
  // expected-error @below {{columns of the scores are 9, but columns of the logits are 8}}
  %s = moe.score softmax ins(%logits : tensor<?x8xf32>) outs(%init : tensor<?x9xf32>) -> tensor<?x9xf32>
  return
}

// -----

func.func @results(%logits: tensor<?x8xf32>, %init: tensor<?x8xf32>) {
  // expected-error @below {{expected the number of tensor results (0) to be equal to the number of output tensors (1)}}
  moe.score softmax ins(%logits : tensor<?x8xf32>) outs(%init : tensor<?x8xf32>)
  return
}

// -----

func.func @route_open(%s: memref<?x8xf32>, %a: memref<?x?xi32>, %b: memref<?x?xf32>) {
  // expected-error @below {{operand #1 must be tensor or memref of 32-bit signless integer and rank 2, with a fixed number of adjacent columns}}
  moe.route ins(%s : memref<?x8xf32>) outs(%a, %b : memref<?x?xi32>, memref<?x?xf32>)
  return
}

// -----

func.func @route_too_many(%s: memref<?x2xf32>, %a: memref<?x3xi32>, %b: memref<?x3xf32>) {
  // expected-error @below {{picks the top 3 of only 2 experts}}
  moe.route ins(%s : memref<?x2xf32>) outs(%a, %b : memref<?x3xi32>, memref<?x3xf32>)
  return
}

// -----

func.func @route_weights(%s: memref<?x8xf32>, %a: memref<?x3xi32>, %b: memref<?x2xf32>) {
  // expected-error @below {{columns of the weights are 2, but columns of the experts are 3}}
  moe.route ins(%s : memref<?x8xf32>) outs(%a, %b : memref<?x3xi32>, memref<?x2xf32>)
  return
}

// -----

func.func @gate(%x: memref<?x40xf32>, %r: memref<8x41xf32>, %a: memref<?x2xi32>, %b: memref<?x2xf32>) {
  // expected-error @below {{columns of the router are 41, but columns of the tokens are 40}}
  moe.gate softmax ins(%x, %r : memref<?x40xf32>, memref<8x41xf32>) outs(%a, %b : memref<?x2xi32>, memref<?x2xf32>)
  return
}

// -----

func.func @pick_shared_weights(%e: memref<?x2xi32>, %w: memref<?x3xf32>, %g: memref<?x1xf32>, %a: memref<?x4xi32>, %b: memref<?x4xf32>) {
  // expected-error @below {{columns of the weights are 3, but columns of the experts are 2}}
  moe.pick_shared first_expert 8 ins(%e, %w : memref<?x2xi32>, memref<?x3xf32>) gate(%g : memref<?x1xf32>)
      outs(%a, %b : memref<?x4xi32>, memref<?x4xf32>)
  return
}

// -----

func.func @pick_shared_all(%e: memref<?x2xi32>, %w: memref<?x2xf32>, %g: memref<?x1xf32>, %a: memref<?x4xi32>, %b: memref<?x5xf32>) {
  // expected-error @below {{columns of all weights are 5, but columns of all experts are 4}}
  moe.pick_shared first_expert 8 ins(%e, %w : memref<?x2xi32>, memref<?x2xf32>) gate(%g : memref<?x1xf32>)
      outs(%a, %b : memref<?x4xi32>, memref<?x5xf32>)
  return
}

// -----

func.func @pick_shared_open(%e: memref<?x2xi32>, %w: memref<?x2xf32>, %g: memref<?x1xf32>, %a: memref<?x?xi32>, %b: memref<?x?xf32>) {
  // expected-error @below {{operand #3 must be tensor or memref of 32-bit signless integer and rank 2, with a fixed number of adjacent columns}}
  moe.pick_shared first_expert 8 ins(%e, %w : memref<?x2xi32>, memref<?x2xf32>) gate(%g : memref<?x1xf32>)
      outs(%a, %b : memref<?x?xi32>, memref<?x?xf32>)
  return
}

// -----

func.func @pick_shared_none(%e: memref<?x2xi32>, %w: memref<?x2xf32>, %g: memref<?x1xf32>, %a: memref<?x2xi32>, %b: memref<?x2xf32>) {
  // expected-error @below {{makes 2 picks of 2, which adds none}}
  moe.pick_shared first_expert 8 ins(%e, %w : memref<?x2xi32>, memref<?x2xf32>) gate(%g : memref<?x1xf32>)
      outs(%a, %b : memref<?x2xi32>, memref<?x2xf32>)
  return
}

// -----

func.func @pick_shared_gate(%e: memref<?x2xi32>, %w: memref<?x2xf32>, %g: memref<?x2xf32>, %a: memref<?x4xi32>, %b: memref<?x4xf32>) {
  // expected-error @below {{columns of the gate are 2, but gates of a row are 1}}
  moe.pick_shared first_expert 8 ins(%e, %w : memref<?x2xi32>, memref<?x2xf32>) gate(%g : memref<?x2xf32>)
      outs(%a, %b : memref<?x4xi32>, memref<?x4xf32>)
  return
}

// -----

func.func @dispatch_open(%e: memref<?x2xi32>, %a: memref<?xi32>, %b: memref<?xi32>, %c: memref<?xi32>, %d: memref<?x3xi32>) {
  // expected-error @below {{needs a fixed number of offsets, one more than experts}}
  moe.dispatch tile_rows 64 ins(%e : memref<?x2xi32>)
      outs(%a, %b, %c, %d : memref<?xi32>, memref<?xi32>, memref<?xi32>, memref<?x3xi32>)
  return
}

// -----

func.func @dispatch_tiles(%e: memref<?x2xi32>, %a: memref<?xi32>, %b: memref<?xi32>, %c: memref<9xi32>, %d: memref<?x2xi32>) {
  // expected-error @below {{columns of the tiles are 2, but fields of a tile are 3}}
  moe.dispatch tile_rows 64 ins(%e : memref<?x2xi32>)
      outs(%a, %b, %c, %d : memref<?xi32>, memref<?xi32>, memref<9xi32>, memref<?x2xi32>)
  return
}

// -----

func.func @dispatch_no_rows(%e: memref<?x2xi32>, %a: memref<?xi32>, %b: memref<?xi32>, %c: memref<9xi32>, %d: memref<?x3xi32>) {
  // expected-error @below {{attribute 'tile_rows' failed to satisfy constraint}}
  moe.dispatch tile_rows 0 ins(%e : memref<?x2xi32>)
      outs(%a, %b, %c, %d : memref<?xi32>, memref<?xi32>, memref<9xi32>, memref<?x3xi32>)
  return
}

// -----

func.func @grouped_matmul_inner(%x: memref<?x40xf32>, %w: memref<8x28x41xf32>, %tiles: memref<?x3xi32>, %out: memref<?x28xf32>) {
  // expected-error @below {{inner columns of the weight are 41, but columns of the input are 40}}
  moe.grouped_matmul ins(%x, %w, %tiles : memref<?x40xf32>, memref<8x28x41xf32>, memref<?x3xi32>) outs(%out : memref<?x28xf32>)
  return
}

// -----

func.func @grouped_matmul_outer(%x: memref<?x40xf32>, %w: memref<8x28x40xf32>, %tiles: memref<?x3xi32>, %out: memref<?x29xf32>) {
  // expected-error @below {{rows of each weight are 28, but columns of the result are 29}}
  moe.grouped_matmul ins(%x, %w, %tiles : memref<?x40xf32>, memref<8x28x40xf32>, memref<?x3xi32>) outs(%out : memref<?x29xf32>)
  return
}

// -----

func.func @grouped_matmul_flat(%x: memref<?x40xf32>, %w: memref<28x40xf32>, %tiles: memref<?x3xi32>, %out: memref<?x28xf32>) {
  // expected-error @below {{operand #1 must be weight of rank 3}}
  moe.grouped_matmul ins(%x, %w, %tiles : memref<?x40xf32>, memref<28x40xf32>, memref<?x3xi32>) outs(%out : memref<?x28xf32>)
  return
}

// -----

func.func @gated_activation_inputs(%gate: memref<?x28xf32>, %up: memref<?x27xf32>, %out: memref<?x28xf32>) {
  // expected-error @below {{columns of gate are 28, but columns of up are 27}}
  moe.gated_activation silu ins(%gate, %up : memref<?x28xf32>, memref<?x27xf32>) outs(%out : memref<?x28xf32>)
  return
}

// -----

func.func @gated_activation_result(%gate: memref<?x28xf32>, %up: memref<?x28xf32>, %out: memref<?x27xf32>) {
  // expected-error @below {{columns of gate are 28, but columns of the result are 27}}
  moe.gated_activation silu ins(%gate, %up : memref<?x28xf32>, memref<?x28xf32>) outs(%out : memref<?x27xf32>)
  return
}

// -----

func.func @grouped_glu_inner(%x: memref<?x40xf32>, %g: memref<8x28x40xf32>, %u: memref<8x28x41xf32>, %tiles: memref<?x3xi32>,
                             %out: memref<?x28xf32>) {
  // expected-error @below {{inner columns of a weight are 41, but columns of the input are 40}}
  moe.grouped_glu silu ins(%x, %g, %u, %tiles : memref<?x40xf32>, memref<8x28x40xf32>, memref<8x28x41xf32>, memref<?x3xi32>)
      outs(%out : memref<?x28xf32>)
  return
}

// -----

func.func @grouped_glu_outer(%x: memref<?x40xf32>, %g: memref<8x28x40xf32>, %u: memref<8x27x40xf32>, %tiles: memref<?x3xi32>,
                             %out: memref<?x28xf32>) {
  // expected-error @below {{rows of each weight are 27, but columns of the result are 28}}
  moe.grouped_glu silu ins(%x, %g, %u, %tiles : memref<?x40xf32>, memref<8x28x40xf32>, memref<8x27x40xf32>, memref<?x3xi32>)
      outs(%out : memref<?x28xf32>)
  return
}

// -----

func.func @grouped_glu_bias(%x: memref<?x40xf32>, %g: memref<8x28x40xf32>, %b: memref<8x28x1xf32>, %tiles: memref<?x3xi32>,
                            %out: memref<?x28xf32>) {
  // expected-error @below {{has a bias for some of its products, but not for all}}
  "moe.grouped_glu"(%x, %g, %g, %tiles, %b, %out)
      <{activation = #moe<activation silu>, operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 1, 0, 1>}>
      : (memref<?x40xf32>, memref<8x28x40xf32>, memref<8x28x40xf32>, memref<?x3xi32>, memref<8x28x1xf32>, memref<?x28xf32>) -> ()
  return
}

// -----

func.func @picks(%x: memref<?x40xf32>, %w: memref<8x28x40xf32>, %tiles: memref<?x3xi32>, %rows: memref<?xi32>, %p: memref<?x2xf32>,
                 %out: memref<?x28xf32>) {
  // expected-error @below {{has picks of either no experts or no weights}}
  "moe.grouped_matmul"(%x, %w, %tiles, %rows, %p, %out) <{operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 1, 0, 1>}>
      : (memref<?x40xf32>, memref<8x28x40xf32>, memref<?x3xi32>, memref<?xi32>, memref<?x2xf32>, memref<?x28xf32>) -> ()
  return
}

// -----

func.func @combine(%d: memref<?x40xf32>, %inverse: memref<?xi32>, %w: memref<?x2xf32>, %out: memref<?x41xf32>) {
  // expected-error @below {{columns of the input are 40, but columns of the result are 41}}
  moe.combine ins(%d, %inverse, %w : memref<?x40xf32>, memref<?xi32>, memref<?x2xf32>) outs(%out : memref<?x41xf32>)
  return
}

// -----

func.func @expert_ffn_gate(%x: memref<?x40xf32>, %e: memref<?x2xi32>, %w: memref<?x2xf32>, %g: memref<8x28x41xf32>,
                           %u: memref<8x28x40xf32>, %d: memref<8x40x28xf32>, %out: memref<?x40xf32>) {
  // expected-error @below {{inner columns of gate are 41, but columns of the tokens are 40}}
  moe.expert_ffn silu inner f32 ins(%x, %e, %w : memref<?x40xf32>, memref<?x2xi32>, memref<?x2xf32>)
      experts(%g, %u, %d : memref<8x28x41xf32>, memref<8x28x40xf32>, memref<8x40x28xf32>) outs(%out : memref<?x40xf32>)
  return
}

// -----

func.func @expert_ffn_up(%x: memref<?x40xf32>, %e: memref<?x2xi32>, %w: memref<?x2xf32>, %g: memref<8x28x40xf32>,
                         %u: memref<8x28x41xf32>, %d: memref<8x40x28xf32>, %out: memref<?x40xf32>) {
  // expected-error @below {{inner columns of up are 41, but columns of the tokens are 40}}
  moe.expert_ffn silu inner f32 ins(%x, %e, %w : memref<?x40xf32>, memref<?x2xi32>, memref<?x2xf32>)
      experts(%g, %u, %d : memref<8x28x40xf32>, memref<8x28x41xf32>, memref<8x40x28xf32>) outs(%out : memref<?x40xf32>)
  return
}

// -----

func.func @expert_ffn_down(%x: memref<?x40xf32>, %e: memref<?x2xi32>, %w: memref<?x2xf32>, %g: memref<8x28x40xf32>,
                           %u: memref<8x28x40xf32>, %d: memref<8x40x29xf32>, %out: memref<?x40xf32>) {
  // expected-error @below {{inner columns of down are 29, but rows of each up are 28}}
  moe.expert_ffn silu inner f32 ins(%x, %e, %w : memref<?x40xf32>, memref<?x2xi32>, memref<?x2xf32>)
      experts(%g, %u, %d : memref<8x28x40xf32>, memref<8x28x40xf32>, memref<8x40x29xf32>) outs(%out : memref<?x40xf32>)
  return
}

// -----

func.func @expert_ffn_width(%x: memref<?x40xf32>, %e: memref<?x2xi32>, %w: memref<?x2xf32>, %g: memref<8x27x40xf32>,
                            %u: memref<8x28x40xf32>, %d: memref<8x40x28xf32>, %out: memref<?x40xf32>) {
  // expected-error @below {{rows of each gate are 27, but rows of each up are 28}}
  moe.expert_ffn silu inner f32 ins(%x, %e, %w : memref<?x40xf32>, memref<?x2xi32>, memref<?x2xf32>)
      experts(%g, %u, %d : memref<8x27x40xf32>, memref<8x28x40xf32>, memref<8x40x28xf32>) outs(%out : memref<?x40xf32>)
  return
}

// -----

func.func @expert_ffn_result(%x: memref<?x40xf32>, %e: memref<?x2xi32>, %w: memref<?x2xf32>, %g: memref<8x28x40xf32>,
                             %u: memref<8x28x40xf32>, %d: memref<8x40x28xf32>, %out: memref<?x41xf32>) {
  // expected-error @below {{rows of each down are 40, but columns of the result are 41}}
  moe.expert_ffn silu inner f32 ins(%x, %e, %w : memref<?x40xf32>, memref<?x2xi32>, memref<?x2xf32>)
      experts(%g, %u, %d : memref<8x28x40xf32>, memref<8x28x40xf32>, memref<8x40x28xf32>) outs(%out : memref<?x41xf32>)
  return
}

// -----

func.func @expert_ffn_picks(%x: memref<?x40xf32>, %e: memref<?x2xi32>, %w: memref<?x3xf32>, %g: memref<8x28x40xf32>,
                            %u: memref<8x28x40xf32>, %d: memref<8x40x28xf32>, %out: memref<?x40xf32>) {
  // expected-error @below {{picked experts are 2, but weights are 3}}
  moe.expert_ffn silu inner f32 ins(%x, %e, %w : memref<?x40xf32>, memref<?x2xi32>, memref<?x3xf32>)
      experts(%g, %u, %d : memref<8x28x40xf32>, memref<8x28x40xf32>, memref<8x40x28xf32>) outs(%out : memref<?x40xf32>)
  return
}

// -----

func.func @expert_ffn_experts(%x: memref<?x40xf32>, %e: memref<?x2xi32>, %w: memref<?x2xf32>, %g: memref<8x28x40xf32>,
                              %u: memref<8x28x40xf32>, %d: memref<7x40x28xf32>, %out: memref<?x40xf32>) {
  // expected-error @below {{experts of up are 8, but experts of down are 7}}
  moe.expert_ffn silu inner f32 ins(%x, %e, %w : memref<?x40xf32>, memref<?x2xi32>, memref<?x2xf32>)
      experts(%g, %u, %d : memref<8x28x40xf32>, memref<8x28x40xf32>, memref<7x40x28xf32>) outs(%out : memref<?x40xf32>)
  return
}

// -----

func.func @expert_ffn_biases(%x: memref<?x40xf32>, %e: memref<?x2xi32>, %w: memref<?x2xf32>, %g: memref<8x28x40xf32>,
                             %d: memref<8x40x28xf32>, %b: memref<8x28x1xf32>, %out: memref<?x40xf32>) {
  // expected-error @below {{has a bias for some of its products, but not for all}}
  "moe.expert_ffn"(%x, %e, %w, %g, %g, %d, %b, %b, %out)
      <{activation = #moe<activation silu>, inner = f32, operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 1, 1, 1, 0, 1>}>
      : (memref<?x40xf32>, memref<?x2xi32>, memref<?x2xf32>, memref<8x28x40xf32>, memref<8x28x40xf32>, memref<8x40x28xf32>,
         memref<8x28x1xf32>, memref<8x28x1xf32>, memref<?x40xf32>) -> ()
  return
}

// -----

func.func @epsilon(%s: memref<?x8xf32>, %a: memref<?x2xi32>, %b: memref<?x2xf32>) {
  // expected-error @below {{has an epsilon, but does not renormalize}}
  moe.route softmax epsilon 1.0e-20 ins(%s : memref<?x8xf32>) outs(%a, %b : memref<?x2xi32>, memref<?x2xf32>)
  return
}

// -----

func.func @correction(%s: memref<?x8xf32>, %c: memref<7xf32>, %a: memref<?x2xi32>, %b: memref<?x2xf32>) {
  // expected-error @below {{entries of the correction are 7, but experts are 8}}
  moe.route ins(%s : memref<?x8xf32>) correction(%c : memref<7xf32>) outs(%a, %b : memref<?x2xi32>, memref<?x2xf32>)
  return
}

// -----

func.func @groups_kept(%s: memref<?x8xf32>, %a: memref<?x2xi32>, %b: memref<?x2xf32>) {
  // expected-error @below {{keeps 3 of 2 groups}}
  moe.route groups <3 of 2 by best> ins(%s : memref<?x8xf32>) outs(%a, %b : memref<?x2xi32>, memref<?x2xf32>)
  return
}

// -----

func.func @groups_unequal(%s: memref<?x8xf32>, %a: memref<?x2xi32>, %b: memref<?x2xf32>) {
  // expected-error @below {{has 8 experts, which do not make 3 equal groups}}
  moe.route groups <2 of 3 by best> ins(%s : memref<?x8xf32>) outs(%a, %b : memref<?x2xi32>, memref<?x2xf32>)
  return
}

// -----

func.func @groups_of_one(%s: memref<?x8xf32>, %a: memref<?x2xi32>, %b: memref<?x2xf32>) {
  // expected-error @below {{sums the best two of groups of one expert}}
  moe.route groups <2 of 8 by best_two> ins(%s : memref<?x8xf32>) outs(%a, %b : memref<?x2xi32>, memref<?x2xf32>)
  return
}

// -----

func.func @groups_too_few(%s: memref<?x8xf32>, %a: memref<?x3xi32>, %b: memref<?x3xf32>) {
  // expected-error @below {{picks the top 3 of the 2 experts of 1 groups}}
  moe.route groups <1 of 4 by best> ins(%s : memref<?x8xf32>) outs(%a, %b : memref<?x3xi32>, memref<?x3xf32>)
  return
}

// -----

func.func @gate_bias(%x: memref<?x40xf32>, %r: memref<8x40xf32>, %c: memref<9xf32>, %a: memref<?x2xi32>, %b: memref<?x2xf32>) {
  // expected-error @below {{entries of the bias are 9, but rows of the router are 8}}
  moe.gate softmax ins(%x, %r : memref<?x40xf32>, memref<8x40xf32>) bias(%c : memref<9xf32>)
      outs(%a, %b : memref<?x2xi32>, memref<?x2xf32>)
  return
}

// -----

func.func @sloped(%g: memref<?x28xf32>, %a: memref<?x28xf32>) {
  // expected-error @below {{relu has no slope}}
  moe.gated_activation relu slope 2.0 : f32 ins(%g, %g : memref<?x28xf32>, memref<?x28xf32>) outs(%a : memref<?x28xf32>)
  return
}

// -----

func.func @no_limit(%g: memref<?x28xf32>, %a: memref<?x28xf32>) {
  // expected-error @below {{has a limit of 0.000000e+00, which is not positive}}
  moe.gated_activation silu limit 0.0 : f32 ins(%g, %g : memref<?x28xf32>, memref<?x28xf32>) outs(%a : memref<?x28xf32>)
  return
}

// -----

func.func @limited_without_gate(%x: memref<?x40xf32>, %w: memref<8x28x40xf32>, %tiles: memref<?x3xi32>, %out: memref<?x28xf32>) {
  // expected-error @below {{has an activation with a limit, but no gate}}
  moe.grouped_matmul activation silu limit 7.0 : f32 ins(%x, %w, %tiles : memref<?x40xf32>, memref<8x28x40xf32>, memref<?x3xi32>) outs(%out : memref<?x28xf32>)
  return
}

// -----

func.func @shifted_without_gate(%x: memref<?x40xf32>, %e: memref<?x2xi32>, %w: memref<?x2xf32>, %u: memref<8x28x40xf32>,
                                %d: memref<8x40x28xf32>, %out: memref<?x40xf32>) {
  // expected-error @below {{has an activation with a shift, but no gate}}
  moe.expert_ffn silu shift 1.0 : f32 inner f32 ins(%x, %e, %w : memref<?x40xf32>, memref<?x2xi32>, memref<?x2xf32>)
      experts(%u, %d : memref<8x28x40xf32>, memref<8x40x28xf32>) outs(%out : memref<?x40xf32>)
  return
}

// -----

func.func @bias_of_no_gate(%x: memref<?x40xf32>, %e: memref<?x2xi32>, %w: memref<?x2xf32>, %u: memref<8x28x40xf32>,
                           %d: memref<8x40x28xf32>, %b: memref<8x28x1xf32>, %c: memref<8x40x1xf32>, %out: memref<?x40xf32>) {
  // expected-error @below {{has a bias of a gate, but no gate}}
  moe.expert_ffn relu inner f32 ins(%x, %e, %w : memref<?x40xf32>, memref<?x2xi32>, memref<?x2xf32>)
      experts(%u, %d : memref<8x28x40xf32>, memref<8x40x28xf32>)
      biases(%b, %b, %c : memref<8x28x1xf32>, memref<8x28x1xf32>, memref<8x40x1xf32>) outs(%out : memref<?x40xf32>)
  return
}

// -----

func.func @one_product(%x: memref<?x40xf32>, %e: memref<?x2xi32>, %w: memref<?x2xf32>, %d: memref<8x40x28xf32>, %out: memref<?x40xf32>) {
  moe.expert_ffn relu inner f32 ins(%x, %e, %w : memref<?x40xf32>, memref<?x2xi32>, memref<?x2xf32>)
      // expected-error @below {{has 1 products and 1 types, wanted up and down, or a gate before them}}
      experts(%d : memref<8x40x28xf32>) outs(%out : memref<?x40xf32>)
  return
}

// -----

func.func @weighs_nobody(%x: memref<?x40xf32>, %g: memref<8x28x40xf32>, %t: memref<?x3xi32>, %e: memref<?x2xi32>, %w: memref<?x2xf32>,
                         %o: memref<?x28xf32>) {
  // expected-error @below {{weighs rows by their tokens' picks, but does not say whose they are}}
  moe.grouped_matmul ins(%x, %g, %t : memref<?x40xf32>, memref<8x28x40xf32>, memref<?x3xi32>)
      picks(%e, %w : memref<?x2xi32>, memref<?x2xf32>) outs(%o : memref<?x28xf32>)
  return
}

// -----

func.func @expert_bias(%x: memref<?x40xf32>, %g: memref<8x28x40xf32>, %t: memref<?x3xi32>, %b: memref<8x27x1xf32>, %o: memref<?x28xf32>) {
  // expected-error @below {{rows of a bias are 27, but those of its weight are 28}}
  moe.grouped_matmul ins(%x, %g, %t : memref<?x40xf32>, memref<8x28x40xf32>, memref<?x3xi32>)
      bias(%b : memref<8x27x1xf32>) outs(%o : memref<?x28xf32>)
  return
}

// -----

func.func @combine_what(%d: memref<?x40xf32>, %i: memref<?xi32>, %o: memref<?x40xf32>) {
  // expected-error @below {{needs either weights, or the number of picks}}
  moe.combine ins(%d, %i : memref<?x40xf32>, memref<?xi32>) outs(%o : memref<?x40xf32>)
  return
}
