// The contributed operators that are an expert layer each: MoE and QMoE.

#include "frontends/onnx/import/NodeImport.h"

#include "dialects/layers/ExpertLayer.h"
#include "dialects/linalg_ext/LinalgExtDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "llvm/ADT/StringSwitch.h"

#include <cmath>

using namespace mlir;
using namespace moec;

namespace {
/// A stack of experts' matrices, rows by columns, as floats or as codes with scales.
struct Matrices {
  GraphValue weights;
  std::optional<GraphValue> bias, scales, zeros;
  int64_t rows = 0, columns = 0;
};

class ExpertLayerImport {
public:
  ExpertLayerImport(NodeImport &node, bool isQuantized)
      : node(node), build(node.build()), isQuantized(isQuantized) {}
  void run();

private:
  bool readAttributes();
  bool readShapes();
  bool readMatrices(Matrices &matrices, size_t weights, size_t scales, size_t bias, size_t zeros,
                    int64_t rows, int64_t columns);
  void route();
  void routeSparsely();
  /// The layer as ops of `moe`; none where its weights are no floats of the model.
  std::optional<GraphValue> buildLayer();
  bool isOfModel(const Matrices &matrices);
  /// An expert's rows from `firstRow` on, `rowStep` apart, and their bias, which may be null.
  std::pair<Value, Value> load(const Matrices &matrices, int64_t rows, int64_t firstRow = 0,
                               int64_t rowStep = 1);
  moe::ActivationAttr activationOf();
  /// The layer by loops over elements.
  GraphValue buildByElements();
  /// Of tokens, or of each token's picked experts: the rows of those experts times the rows.
  GraphValue multiply(const Matrices &matrices, const GraphValue &rows);
  Value weightAt(ElementBuilder &make, const Matrices &matrices, ArrayRef<Value> tensors,
                 Value expert, Value row, Value column);
  GraphValue activate(const GraphValue &first, const std::optional<GraphValue> &third);
  GraphValue gated(const GraphValue &gates, const GraphValue &values);

  NodeImport &node;
  TensorBuilder &build;
  const bool isQuantized;
  int64_t picked = 1, bits = 0, block = 0, experts = 0, hidden = 0, inner = 0;
  int64_t fusion = 0;
  bool normalizes = false, isSparse = false;
  std::string activation;
  float alpha = 1, beta = 0, limit = INFINITY;
  GraphValue tokens, logits; ///< T x H and T x E, in f32
  Matrices first, second;
  std::optional<Matrices> third;
  GraphValue ids, weights; ///< T x K
};
} // namespace

bool ExpertLayerImport::readAttributes() {
  picked = node.integer("k", 1);
  activation = node.text("activation_type", "relu");
  normalizes = node.integer("normalize_routing_weights", 0) != 0;
  isSparse = node.integer("use_sparse_mixer", 0) != 0;
  fusion = node.integer("swiglu_fusion", 0);
  alpha = node.real("activation_alpha", 1);
  beta = node.real("activation_beta", 0);
  limit = node.real("swiglu_limit", INFINITY);
  static constexpr std::string_view known[] = {"relu", "gelu", "silu", "swiglu", "identity"};
  if (!llvm::is_contained(known, activation))
    node.malformed("`activation_type` is '{}'", shownName(activation));
  if (fusion < 0 || fusion > 2)
    node.malformed("`swiglu_fusion` is {}, wanted 0, 1 or 2", fusion);
  if (!(limit > 0))
    node.malformed("`swiglu_limit` is {}, wanted a positive number", limit);
  if (isSparse && picked != 2)
    node.malformed("`use_sparse_mixer` picks two experts, and `k` is {}", picked);
  if (!isQuantized)
    return !node.failed();
  bits = node.integer("expert_weight_bits", 4);
  block = std::max<int64_t>(node.integer("block_size", 0), 0);
  if (bits != 2 && bits != 4 && bits != 8)
    node.malformed("`expert_weight_bits` is {}, wanted 2, 4 or 8", bits);
  if (node.text("quant_type", "int") != "int")
    node.unsupported("`quant_type` is '{}'", shownName(node.text("quant_type", "int")));
  if (node.integer("weights_prepacked", -1) == 1)
    node.unsupported("its weights are in the layout of another runtime");
  return !node.failed();
}

bool ExpertLayerImport::readMatrices(Matrices &matrices, size_t weights, size_t scales, size_t bias,
                                     size_t zeros, int64_t rows, int64_t columns) {
  const int64_t pack = isQuantized ? 8 / bits : 1;
  matrices.weights = node.input(weights);
  matrices.rows = rows;
  matrices.columns = columns;
  if (isQuantized && matrices.weights.element != ElementType::Uint8)
    node.malformed("its weights are of {}, wanted UINT8",
                   elementTypeName(matrices.weights.element));
  if (!isQuantized)
    node.requireFloat(matrices.weights, "its weights");
  node.requireEqual(productOf(matrices.weights.shape), Size(experts * rows * columns / pack),
                    "elements of weights, there and wanted");
  if (node.failed() || columns % pack != 0)
    return false;
  auto shaped = [&](size_t place, int64_t each, const char *what) -> std::optional<GraphValue> {
    if (!node.has(place))
      return std::nullopt;
    node.requireEqual(productOf(node.input(place).shape), Size(experts * rows * each), what);
    if (node.failed())
      return std::nullopt;
    return build.reshape(node.input(place), {Size(experts), Size(rows), Size(each)});
  };
  if (node.has(bias)) {
    matrices.bias = node.input(bias);
    node.requireEqual(productOf(matrices.bias->shape), Size(experts * rows),
                      "elements of a bias, there and wanted");
  }
  if (!isQuantized)
    return !node.failed();
  const int64_t blocks = block ? columns / block : 1;
  if (block && columns % block != 0) {
    node.malformed("has blocks of {} in rows of {}", block, columns);
    return false;
  }
  if (!node.has(scales)) {
    node.malformed("has codes without scales");
    return false;
  }
  matrices.scales = shaped(scales, blocks, "scales, there and wanted");
  if (node.has(zeros) && !node.failed()) {
    // Packed along the blocks, or, with one for each row, along the rows.
    const Size bytes = block ? Size(experts * rows) * Size((blocks + pack - 1) / pack)
                             : Size(experts * ((rows + pack - 1) / pack));
    node.requireEqual(productOf(node.input(zeros).shape), bytes, "zero points, there and wanted");
    if (!node.failed())
      matrices.zeros =
          block ? build.reshape(node.input(zeros),
                                {Size(experts), Size(rows), Size((blocks + pack - 1) / pack)})
                : build.reshape(node.input(zeros), {Size(experts), Size((rows + pack - 1) / pack)});
  }
  return !node.failed();
}

bool ExpertLayerImport::readShapes() {
  const size_t firstWeights = 2, secondWeights = isQuantized ? 5 : 4,
               thirdWeights = isQuantized ? 8 : 6;
  GraphValue input = node.input(0), router = node.input(1);
  node.requireFloat(input, "its input");
  node.requireFloat(router, "its logits");
  node.requireRank(input, 2, 3, "its input");
  node.requireRank(router, 2, 2, "its logits");
  node.requireRank(node.input(firstWeights), 3, 3, "its first weights");
  node.requireRank(node.input(secondWeights), 3, 3, "its second weights");
  if (node.failed())
    return false;
  const GraphValue &w1 = node.input(firstWeights), &w2 = node.input(secondWeights);
  for (const GraphValue *each : {&w1, &w2})
    for (const Size &size : each->shape)
      if (!size.isKnown()) {
        node.unsupported("the shape of its weights is not known");
        return false;
      }
  if (!input.shape.back().isKnown() || !router.shape.back().isKnown()) {
    node.unsupported("its input is {} and its logits {}", shapeText(input.shape),
                     shapeText(router.shape));
    return false;
  }
  hidden = input.shape.back().value();
  experts = router.shape.back().value();
  const int64_t pack = isQuantized ? 8 / bits : 1;
  if (hidden < 1 || experts < 1 || picked < 1 || picked > experts) {
    node.malformed("picks {} of {} experts for rows of {}", picked, experts, hidden);
    return false;
  }
  inner = w2.shape[1].value() * w2.shape[2].value() * pack / hidden;
  const bool isFused = activation == "swiglu" && fusion != 0;
  tokens = build.convert(
      build.reshape(input, {productOf(ArrayRef<Size>(input.shape).drop_back()), Size(hidden)}),
      ElementType::Float);
  logits = build.convert(router, ElementType::Float);
  node.requireEqual(tokens.shape[0], logits.shape[0], "numbers of rows and of logits");
  if (node.failed())
    return false;
  const bool hasThird = node.has(thirdWeights);
  if (activation == "swiglu" && fusion == 0 && !hasThird)
    node.malformed("has no third weights, of values, and `swiglu_fusion` is 0");
  if (hasThird && activation != "silu" && !(activation == "swiglu" && fusion == 0))
    node.unsupported("has third weights, and `activation_type` is '{}'", activation);
  if (node.failed())
    return false;
  const int64_t firstRows = isFused ? 2 * inner : inner;
  if (isQuantized) {
    if (!readMatrices(first, 2, 3, 4, 11, firstRows, hidden) ||
        !readMatrices(second, 5, 6, 7, 12, hidden, inner))
      return false;
    if (hasThird && !readMatrices(third.emplace(), 8, 9, 10, 13, inner, hidden))
      return false;
    return true;
  }
  if (!readMatrices(first, 2, kAny, 3, kAny, firstRows, hidden) ||
      !readMatrices(second, 4, kAny, 5, kAny, hidden, inner))
    return false;
  return !hasThird || readMatrices(third.emplace(), 6, kAny, 7, kAny, inner, hidden);
}

/// The largest, of equal ones those with the highest number, and what they weigh.
void ExpertLayerImport::route() {
  const bool mixesOthers = isQuantized && node.has(14);
  const Sizes shape{logits.shape[0], Size(picked)};
  OpBuilder &ops = build.ops();
  Value scoresOut = build.empty(ElementType::Float, logits.shape);
  Value scores =
      moe::ScoreOp::create(ops, build.where(), scoresOut.getType(), moe::ScoreFunction::Softmax,
                           build.tensorOf(logits), scoresOut)
          .getResult(0);
  Value idsOut = build.empty(ElementType::Int32, shape),
        weightsOut = build.empty(ElementType::Float, shape);
  const auto weighing =
      normalizes && !mixesOthers ? moe::Weighing::Renormalize : moe::Weighing::AsIs;
  auto choice = moe::RouteOp::create(
      ops, build.where(), TypeRange{idsOut.getType(), weightsOut.getType()}, weighing,
      /*epsilon=*/llvm::APFloat(0.0f), /*scale=*/llvm::APFloat(1.0f), /*groups=*/nullptr,
      /*prefer_higher=*/true, scores, /*correction=*/Value(), idsOut, weightsOut);
  ids = build.ofTensor(choice.getResult(0), ElementType::Int32, shape);
  weights = build.ofTensor(choice.getResult(1), ElementType::Float, shape);
  if (!mixesOthers)
    return;
  Value mixing = build.tensorOf(build.convert(node.input(14), ElementType::Float)),
        chosen = build.tensorOf(ids);
  weights =
      build.build(ElementType::Float, shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
        Value expert = make.toIndex(TensorBuilder::extract(make, chosen, place));
        return TensorBuilder::extract(make, mixing, {place[0], expert});
      });
  if (normalizes)
    weights = build.div(weights, build.unsqueeze(build.sum(weights, 1), 1));
}

/// Two rounds: in each the largest, with its share among those that are not far below it.
void ExpertLayerImport::routeSparsely() {
  const Size count = logits.shape[0];
  std::vector<GraphValue> chosen, shares;
  GraphValue left = logits;
  for (int round = 0; round < 2; ++round) {
    const Sizes shape{count, Size(1)};
    Value values = build.empty(ElementType::Float, shape),
          places = build.empty(ElementType::Int64, shape);
    auto top = linalg_ext::TopKOp::create(build.ops(), build.where(),
                                          TypeRange{values.getType(), places.getType()}, false,
                                          false, build.tensorOf(left), values, places);
    GraphValue most = build.ofTensor(top->getResult(0), ElementType::Float, shape),
               which = build.ofTensor(top->getResult(1), ElementType::Int64, shape);
    GraphValue powers =
        build.map(ElementType::Float, {left, most}, [](ElementBuilder &make, ValueRange x) {
          Value gap = make.sub(x[1], x[0]), zero = make.number(x[0], 0);
          Value size = make.max(make.abs(x[0]), x[1]);
          Value isOut = make.less(make.mul(make.number(x[0], 0.02), size), gap);
          Value isGone = make.equal(x[0], make.number(x[0], -INFINITY));
          return make.select(make.either(isOut, isGone), zero, make.exp(make.neg(gap)));
        });
    GraphValue total = build.unsqueeze(build.sum(powers, 1), 1);
    shares.push_back(build.map(ElementType::Float, total, [](ElementBuilder &make, ValueRange x) {
      return make.reciprocal(x[0]);
    }));
    Value rows = build.tensorOf(left), taken = build.tensorOf(which);
    left = build.build(
        ElementType::Float, logits.shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
          Value expert =
              make.toIndex(TensorBuilder::extract(make, taken, {place[0], make.index(0)}));
          Value logit = TensorBuilder::extract(make, rows, place);
          return make.select(make.equal(expert, place[1]), make.number(logit, -INFINITY), logit);
        });
    chosen.push_back(std::move(which));
  }
  ids = build.convert(build.concat(chosen, 1), ElementType::Int32);
  weights = build.concat(shares, 1);
}

Value ExpertLayerImport::weightAt(ElementBuilder &make, const Matrices &matrices,
                                  ArrayRef<Value> tensors, Value expert, Value row, Value column) {
  Type f32 = make.ops().getF32Type();
  if (!isQuantized)
    return make.convert(TensorBuilder::extract(make, tensors[0], {expert, row, column}), f32,
                        false);
  const int64_t pack = 8 / bits;
  auto unpacked = [&](Value byte, Value place) -> Value {
    if (pack > 1) {
      Value by = make.mul(make.make<arith::RemUIOp>(place, make.index(pack)), make.index(bits));
      byte = make.make<arith::ShRUIOp>(byte, make.fromIndex(by, byte.getType()));
      byte = make.make<arith::AndIOp>(byte, make.integer(byte.getType(), (1 << bits) - 1));
    }
    return make.make<arith::UIToFPOp>(f32, byte);
  };
  auto byteOf = [&](Value place) -> Value {
    return make.make<arith::DivUIOp>(place, make.index(pack));
  };
  Value code =
      unpacked(TensorBuilder::extract(make, tensors[0], {expert, row, byteOf(column)}), column);
  Value which = block ? make.make<arith::DivUIOp>(column, make.index(block)) : make.index(0);
  Value middle = make.number(f32, 1 << (bits - 1));
  if (matrices.zeros && block)
    middle =
        unpacked(TensorBuilder::extract(make, tensors[2], {expert, row, byteOf(which)}), which);
  else if (matrices.zeros)
    middle = unpacked(TensorBuilder::extract(make, tensors[2], {expert, byteOf(row)}), row);
  Value scale =
      make.convert(TensorBuilder::extract(make, tensors[1], {expert, row, which}), f32, false);
  return make.mul(make.sub(code, middle), scale);
}

GraphValue ExpertLayerImport::multiply(const Matrices &matrices, const GraphValue &rows) {
  // Stacks in the older order have the same bytes.
  const int64_t pack = isQuantized ? 8 / bits : 1;
  SmallVector<Value> tensors{build.tensorOf(build.reshape(
      matrices.weights, {Size(experts), Size(matrices.rows), Size(matrices.columns / pack)}))};
  tensors.push_back(matrices.scales ? build.tensorOf(*matrices.scales) : Value());
  tensors.push_back(matrices.zeros ? build.tensorOf(*matrices.zeros) : Value());
  OpBuilder &builder = build.ops();
  const Sizes shape{tokens.shape[0], Size(picked), Size(matrices.rows)};
  GraphValue zeros = build.filled(ElementType::Float, shape, 0);
  AffineExpr t = builder.getAffineDimExpr(0), j = builder.getAffineDimExpr(1),
             row = builder.getAffineDimExpr(2), column = builder.getAffineDimExpr(3);
  MLIRContext *context = builder.getContext();
  SmallVector<AffineExpr> from{t};
  if (rows.rank() == 3)
    from.push_back(j);
  from.push_back(column);
  AffineMap maps[] = {AffineMap::get(4, 0, from, context), AffineMap::get(4, 0, {t, j}, context),
                      AffineMap::get(4, 0, {t, j, row}, context)};
  using utils::IteratorType;
  IteratorType iterators[] = {IteratorType::parallel, IteratorType::parallel,
                              IteratorType::parallel, IteratorType::reduction};
  Value out = build.tensorOf(zeros);
  auto product = linalg::GenericOp::create(
      builder, build.where(), out.getType(), ValueRange{build.tensorOf(rows), build.tensorOf(ids)},
      out, maps, iterators, [&](OpBuilder &inside, Location where, ValueRange x) {
        ElementBuilder make(inside, where);
        Value weight = weightAt(make, matrices, tensors, make.toIndex(x[1]),
                                linalg::IndexOp::create(inside, where, 2),
                                linalg::IndexOp::create(inside, where, 3));
        linalg::YieldOp::create(inside, where, make.add(x[2], make.mul(x[0], weight)));
      });
  GraphValue result = build.ofTensor(product.getResult(0), ElementType::Float, shape);
  if (!matrices.bias)
    return result;
  Value bias = build.tensorOf(build.reshape(*matrices.bias, {Size(experts), Size(matrices.rows)})),
        chosen = build.tensorOf(ids), products = build.tensorOf(result);
  return build.build(ElementType::Float, shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
    Value expert = make.toIndex(TensorBuilder::extract(make, chosen, place.take_front(2)));
    Value shift = TensorBuilder::extract(make, bias, {expert, place[2]});
    return make.add(TensorBuilder::extract(make, products, place),
                    make.convert(shift, make.ops().getF32Type(), false));
  });
}

GraphValue ExpertLayerImport::gated(const GraphValue &gates, const GraphValue &values) {
  return build.map(ElementType::Float, {gates, values}, [&](ElementBuilder &make, ValueRange x) {
    Value gate = x[0], value = x[1];
    if (std::isfinite(limit)) {
      gate = make.min(gate, make.number(gate, limit));
      value = make.max(make.min(value, make.number(value, limit)), make.number(value, -limit));
    }
    Value inside = alpha == 1 ? gate : make.mul(make.number(gate, alpha), gate);
    Value shifted = beta == 0 ? value : make.add(value, make.number(value, beta));
    return make.mul(make.mul(gate, make.sigmoid(inside)), shifted);
  });
}

GraphValue ExpertLayerImport::activate(const GraphValue &made,
                                       const std::optional<GraphValue> &other) {
  if (activation == "swiglu" && fusion != 0) {
    // Gates and values in turn, or one half behind the other.
    const Sizes shape{made.shape[0], made.shape[1], Size(inner)};
    if (fusion == 2)
      return gated(build.slice(made, 2, Size(0), Size(inner)),
                   build.slice(made, 2, Size(inner), Size(inner)));
    return gated(build.slice(made, {0, 0, 0}, shape, {1, 1, 2}),
                 build.slice(made, {0, 0, 1}, shape, {1, 1, 2}));
  }
  if (activation == "swiglu")
    return gated(made, *other);
  GraphValue result =
      build.map(ElementType::Float, made, [&](ElementBuilder &make, ValueRange values) {
        Value x = values[0];
        if (activation == "relu")
          return make.max(x, make.number(x, 0));
        if (activation == "silu")
          return make.mul(x, make.sigmoid(x));
        if (activation == "gelu") {
          Value cube = make.mul(make.mul(x, x), x);
          Value inside = make.mul(make.number(x, 0.79788456080286536),
                                  make.add(x, make.mul(make.number(x, 0.044715), cube)));
          return make.mul(make.mul(make.number(x, 0.5), x),
                          make.add(make.number(x, 1), make.tanh(inside)));
        }
        return x;
      });
  return other ? build.mul(result, *other) : result;
}

/// The tensor of the model that a value holds the bytes of, if it does; perhaps in another shape.
static lm::TensorOp tensorOfModel(TensorBuilder &build, const GraphValue &value) {
  Value tensor = build.tensorOf(value);
  while (Operation *op = tensor.getDefiningOp()) {
    if (auto load = llvm::dyn_cast<lm::LoadTensorOp>(op))
      return SymbolTable::lookupNearestSymbolFrom<lm::TensorOp>(load, load.getTensorAttr());
    if (!llvm::isa<tensor::CollapseShapeOp, tensor::ExpandShapeOp, tensor::CastOp>(op))
      return {};
    tensor = op->getOperand(0);
  }
  return {};
}

bool ExpertLayerImport::isOfModel(const Matrices &matrices) {
  auto mayBeWeight = [&](const GraphValue &value) {
    lm::TensorOp tensor = tensorOfModel(build, value);
    return tensor && isExpertElement(getElementTypeOrSelf(tensor.getType()));
  };
  return matrices.rows > 0 && matrices.columns > 0 && mayBeWeight(matrices.weights) &&
         (!matrices.bias || mayBeWeight(*matrices.bias));
}

std::pair<Value, Value> ExpertLayerImport::load(const Matrices &matrices, int64_t rows,
                                                int64_t firstRow, int64_t rowStep) {
  OpBuilder &ops = build.ops();
  SymbolTable symbols(ops.getInsertionBlock()->getParentOp()->getParentOfType<ModuleOp>());
  auto loaded = [&](const GraphValue &value, int64_t columns, bool areBiases) {
    return loadExpertWeight(ops, build.where(), symbols, experts,
                            {.tensors = {tensorOfModel(build, value)},
                             .rows = rows,
                             .columns = columns,
                             .areBiases = areBiases,
                             .firstRow = firstRow,
                             .rowStep = rowStep});
  };
  return {loaded(matrices.weights, matrices.columns, false),
          matrices.bias ? loaded(*matrices.bias, 1, true) : Value()};
}

moe::ActivationAttr ExpertLayerImport::activationOf() {
  MLIRContext *context = build.ops().getContext();
  if (activation != "swiglu") {
    const auto kind = llvm::StringSwitch<moe::ActivationKind>(activation)
                          .Case("relu", moe::ActivationKind::Relu)
                          .Case("gelu", moe::ActivationKind::GeluTanh)
                          .Case("silu", moe::ActivationKind::Silu)
                          .Default(moe::ActivationKind::Identity);
    return moe::ActivationAttr::get(context, kind);
  }
  auto number = [&](float value, bool isThere) {
    return isThere ? build.ops().getF32FloatAttr(value) : FloatAttr();
  };
  return moe::ActivationAttr::get(context, moe::ActivationKind::Silu,
                                  number(limit, std::isfinite(limit)), number(alpha, alpha != 1),
                                  number(beta, beta != 0));
}

std::optional<GraphValue> ExpertLayerImport::buildLayer() {
  if (isQuantized || !isOfModel(first) || !isOfModel(second) || (third && !isOfModel(*third)))
    return std::nullopt;
  ExpertOperands operands{.tokens = build.tensorOf(tokens),
                          .experts = build.tensorOf(ids),
                          .weights = build.tensorOf(weights),
                          .activation = activationOf()};
  if (third) {
    std::tie(operands.gate, operands.gateBias) = load(first, inner);
    std::tie(operands.up, operands.upBias) = load(*third, inner);
  } else if (activation == "swiglu") { // gates and values in turn, or one half behind the other
    const int64_t step = fusion == 1 ? 2 : 1;
    std::tie(operands.gate, operands.gateBias) = load(first, inner, 0, step);
    std::tie(operands.up, operands.upBias) = load(first, inner, fusion == 1 ? 1 : inner, step);
  } else {
    std::tie(operands.up, operands.upBias) = load(first, inner);
  }
  std::tie(operands.down, operands.downBias) = load(second, hidden);
  return build.ofTensor(buildExpertLayer(build.ops(), build.where(), operands), ElementType::Float,
                        {tokens.shape[0], Size(hidden)});
}

GraphValue ExpertLayerImport::buildByElements() {
  GraphValue made = multiply(first, tokens);
  std::optional<GraphValue> other;
  if (third)
    other = multiply(*third, tokens);
  GraphValue result = multiply(second, activate(made, other));
  const Sizes loops{tokens.shape[0], Size(hidden), Size(picked)};
  return build.contract(result, {0, 2, 1}, weights, {0, 2}, {0, 1}, loops);
}

void ExpertLayerImport::run() {
  if (!readAttributes() || !readShapes())
    return;
  if (isSparse)
    routeSparsely();
  else
    route();
  std::optional<GraphValue> sum = buildLayer();
  if (!sum)
    sum = buildByElements();
  const GraphValue &input = node.input(0);
  node.result(build.convert(build.reshape(*sum, input.shape), input.element));
}

static void importMoe(NodeImport &node) { ExpertLayerImport(node, false).run(); }
static void importQmoe(NodeImport &node) { ExpertLayerImport(node, true).run(); }

static constexpr std::string_view kMoe =
    "k:i activation_type:s normalize_routing_weights:i use_sparse_mixer:i swiglu_fusion:i "
    "activation_alpha:f activation_beta:f swiglu_limit:f";
static constexpr std::string_view kQmoe =
    "k:i activation_type:s normalize_routing_weights:i use_sparse_mixer:i swiglu_fusion:i "
    "activation_alpha:f activation_beta:f swiglu_limit:f expert_weight_bits:i block_size:i "
    "quant_type:s weights_prepacked:i accuracy_level:i";

llvm::ArrayRef<OpRule> moec::expertOps() {
  static const OpRule rules[] = {
      {"com.microsoft", "MoE", {{1, kMoe, 5, 8, 1, 1, 1 << 3}}, importMoe},
      {"com.microsoft", "QMoE", {{1, kQmoe, 7, 15, 1, 1, 1 << 4}}, importQmoe},
  };
  return rules;
}
