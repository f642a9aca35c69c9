// Functions of single floats that layers apply.

#include "frontends/onnx/import/NodeImport.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace moec;

static void importFloats(NodeImport &node,
                         llvm::function_ref<Value(ElementBuilder &, Value)> body) {
  node.requireFloat(node.input(0), "its input");
  if (!node.failed())
    node.result(
        node.build().map(node.input(0).element, node.input(0),
                         [&](ElementBuilder &make, ValueRange x) { return body(make, x[0]); }));
}

static void importSigmoid(NodeImport &node) {
  importFloats(node, [](ElementBuilder &make, Value x) { return make.sigmoid(x); });
}

static void importRelu(NodeImport &node) {
  node.result(node.build().map(
      node.input(0).element, node.input(0),
      [](ElementBuilder &make, ValueRange x) { return make.max(x[0], make.number(x[0], 0)); }));
}

/// `x` where it is positive, else `body` of it.
static Value whereNegative(ElementBuilder &make, Value x, Value otherwise) {
  return make.select(make.less(x, make.number(x, 0)), otherwise, x);
}
static Value expMinusOne(ElementBuilder &make, Value x) { return make.make<math::ExpM1Op>(x); }

static void importLeakyRelu(NodeImport &node) {
  const float alpha = node.real("alpha", 0.01f);
  importFloats(node, [&](ElementBuilder &make, Value x) {
    return whereNegative(make, x, make.mul(make.number(x, alpha), x));
  });
}
static void importElu(NodeImport &node) {
  const float alpha = node.real("alpha", 1.0f);
  importFloats(node, [&](ElementBuilder &make, Value x) {
    return whereNegative(make, x, make.mul(make.number(x, alpha), expMinusOne(make, x)));
  });
}
static void importSelu(NodeImport &node) {
  const float alpha = node.real("alpha", 1.67326319217681884765625f),
              gamma = node.real("gamma", 1.05070102214813232421875f);
  importFloats(node, [&](ElementBuilder &make, Value x) {
    Value negative = make.mul(make.number(x, alpha), expMinusOne(make, x));
    return make.mul(make.number(x, gamma), whereNegative(make, x, negative));
  });
}
static void importCelu(NodeImport &node) {
  const float alpha = node.real("alpha", 1.0f);
  importFloats(node, [&](ElementBuilder &make, Value x) {
    Value a = make.number(x, alpha);
    return whereNegative(make, x, make.mul(a, expMinusOne(make, make.div(x, a))));
  });
}
static void importThresholdedRelu(NodeImport &node) {
  const float alpha = node.real("alpha", 1.0f);
  importFloats(node, [&](ElementBuilder &make, Value x) {
    return make.select(make.less(make.number(x, alpha), x), x, make.number(x, 0));
  });
}
static void importHardSigmoid(NodeImport &node) {
  const float alpha = node.real("alpha", 0.2f), beta = node.real("beta", 0.5f);
  importFloats(node, [&](ElementBuilder &make, Value x) {
    Value line = make.add(make.mul(make.number(x, alpha), x), make.number(x, beta));
    return make.max(make.number(x, 0), make.min(make.number(x, 1), line));
  });
}
static void importHardSwish(NodeImport &node) {
  importFloats(node, [&](ElementBuilder &make, Value x) {
    Value line = make.add(make.mul(make.number(x, 1.0 / 6), x), make.number(x, 0.5));
    return make.mul(x, make.max(make.number(x, 0), make.min(make.number(x, 1), line)));
  });
}
/// log(1 + exp(x)), which for large x is x.
static Value softplus(ElementBuilder &make, Value x) {
  Value magnitude = make.abs(x);
  Value tail = make.make<math::Log1pOp>(make.exp(make.neg(magnitude)));
  return make.add(make.max(x, make.number(x, 0)), tail);
}
static void importSoftplus(NodeImport &node) { importFloats(node, softplus); }
static void importMish(NodeImport &node) {
  importFloats(node, [](ElementBuilder &make, Value x) {
    return make.mul(x, make.tanh(softplus(make, x)));
  });
}
static void importSoftsign(NodeImport &node) {
  importFloats(node, [](ElementBuilder &make, Value x) {
    return make.div(x, make.add(make.number(x, 1), make.abs(x)));
  });
}
static void importSwish(NodeImport &node) {
  const float alpha = node.real("alpha", 1.0f);
  importFloats(node, [&](ElementBuilder &make, Value x) {
    Value inner = alpha == 1.0f ? x : make.mul(make.number(x, alpha), x);
    return make.mul(x, make.sigmoid(inner));
  });
}
static void importSwiGlu(NodeImport &node) {
  const float alpha = node.real("alpha", 1.0f);
  node.requireSameElement({node.input(0), node.input(1)});
  node.requireFloat(node.input(0), "its input");
  node.broadcastShape({node.input(0), node.input(1)});
  if (node.failed())
    return;
  node.result(node.build().map(node.input(0).element, {node.input(0), node.input(1)},
                               [&](ElementBuilder &make, ValueRange x) {
                                 Value inner = make.mul(make.number(x[0], alpha), x[0]);
                                 return make.mul(make.mul(x[0], make.sigmoid(inner)), x[1]);
                               }));
}
static void importGelu(NodeImport &node) {
  const std::string form = node.text("approximate", "none");
  if (form != "none" && form != "tanh")
    return node.malformed("`approximate` is '{}', wanted none or tanh", shownName(form));
  importFloats(node, [&](ElementBuilder &make, Value x) {
    Value half = make.mul(make.number(x, 0.5), x), one = make.number(x, 1);
    if (form == "none")
      return make.mul(half,
                      make.add(one, make.erf(make.mul(x, make.number(x, 0.70710678118654752)))));
    Value cube = make.mul(make.mul(x, x), x);
    Value inner = make.mul(make.number(x, 0.79788456080286536),
                           make.add(x, make.mul(make.number(x, 0.044715), cube)));
    return make.mul(half, make.add(one, make.tanh(inner)));
  });
}
static void importQuickGelu(NodeImport &node) {
  const float alpha = node.real("alpha", 1.702f);
  importFloats(node, [&](ElementBuilder &make, Value x) {
    return make.mul(x, make.sigmoid(make.mul(make.number(x, alpha), x)));
  });
}
static void importPRelu(NodeImport &node) {
  node.requireSameElement({node.input(0), node.input(1)});
  Sizes shape = node.broadcastShape({node.input(0), node.input(1)});
  if (!node.failed() && shape.size() != node.input(0).shape.size())
    node.malformed("its slope is {}, which does not broadcast to {}",
                   shapeText(node.input(1).shape), shapeText(node.input(0).shape));
  if (node.failed())
    return;
  node.result(node.build().map(node.input(0).element, {node.input(0), node.input(1)},
                               [](ElementBuilder &make, ValueRange x) {
                                 return whereNegative(make, x[0], make.mul(x[1], x[0]));
                               }));
}
static void importShrink(NodeImport &node) {
  const float bias = node.real("bias", 0), lambda = node.real("lambd", 0.5f);
  node.result(node.build().map(
      node.input(0).element, node.input(0), [&](ElementBuilder &make, ValueRange x) {
        Value zero = make.number(x[0], 0), shift = make.number(x[0], bias);
        Value high =
            make.select(make.less(make.number(x[0], lambda), x[0]), make.sub(x[0], shift), zero);
        return make.select(make.less(x[0], make.number(x[0], -lambda)), make.add(x[0], shift),
                           high);
      }));
}

static void importDropout(NodeImport &node) {
  if (node.has(2)) {
    const std::optional<double> training = node.build().knownNumber(node.input(2));
    if (!training || *training != 0)
      return node.unsupported("drops elements, as in training");
  }
  node.result(node.input(0));
  if (node.wants(1))
    node.result(node.build().filled(ElementType::Bool, node.input(0).shape, 1), 1);
}

llvm::ArrayRef<OpRule> moec::activationOps() {
  static const OpRule rules[] = {
      {"", "Sigmoid", {{6, "", 1, 1}}, importSigmoid},
      {"", "Relu", {{6, "", 1, 1}}, importRelu},
      {"", "LeakyRelu", {{6, "alpha:f", 1, 1}}, importLeakyRelu},
      {"", "PRelu", {{9, "", 2, 2}}, importPRelu},
      {"", "ThresholdedRelu", {{10, "alpha:f", 1, 1}}, importThresholdedRelu},
      {"", "Elu", {{6, "alpha:f", 1, 1}}, importElu},
      {"", "Selu", {{6, "alpha:f gamma:f", 1, 1}}, importSelu},
      {"", "Celu", {{12, "alpha:f", 1, 1}}, importCelu},
      {"", "HardSigmoid", {{6, "alpha:f beta:f", 1, 1}}, importHardSigmoid},
      {"", "HardSwish", {{14, "", 1, 1}}, importHardSwish},
      {"", "Softplus", {{1, "", 1, 1}}, importSoftplus},
      {"", "Softsign", {{1, "", 1, 1}}, importSoftsign},
      {"", "Mish", {{18, "", 1, 1}}, importMish},
      {"", "Swish", {{24, "alpha:f", 1, 1}}, importSwish},
      {"", "SwiGLU", {{28, "alpha:f", 2, 2}}, importSwiGlu},
      {"", "Gelu", {{20, "approximate:s", 1, 1}}, importGelu},
      {"", "Shrink", {{9, "bias:f lambd:f", 1, 1}}, importShrink},
      {"", "Dropout", {{10, "ratio:f", 1, 1, 1, 2}, {12, "seed:i", 1, 3, 1, 2}}, importDropout},
      {"com.microsoft", "QuickGelu", {{1, "alpha:f", 1, 1}}, importQuickGelu},
  };
  return rules;
}
