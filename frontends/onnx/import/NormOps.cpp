// Norms: elements relative to the mean or the size of their row, channel or batch.

#include "frontends/onnx/import/NodeImport.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace moec;

namespace {
/// How a row's mean and variance make a norm.
struct Norm {
  float epsilon = 1e-5f;
  bool centers = true;                       ///< subtracts the mean
  ElementType computed = ElementType::Float; ///< what sums are made in
};

struct Normalized {
  GraphValue values, mean, inverse; ///< mean: none where it is not subtracted
};
} // namespace

static GraphValue meanOf(TensorBuilder &build, const GraphValue &value, ArrayRef<int64_t> dims) {
  Size count(1);
  for (int64_t dim : dims)
    count = count * value.shape[dim];
  GraphValue sum = build.unsqueeze(build.sum(value, dims), dims);
  GraphValue number =
      count.isKnown()
          ? build.scalar(sum.element, static_cast<double>(count.value()))
          : build.convert(build.ofElements(ElementType::Int64, {count}, true), sum.element);
  return build.div(sum, number);
}

/// Over `dims`, in the type that is computed in.
static Normalized normalize(TensorBuilder &build, const GraphValue &value, ArrayRef<int64_t> dims,
                            const Norm &norm) {
  Normalized result;
  GraphValue x = build.convert(value, norm.computed);
  if (norm.centers) {
    result.mean = meanOf(build, x, dims);
    x = build.sub(x, result.mean);
  }
  GraphValue variance =
      meanOf(build,
             build.map(x.element, x,
                       [](ElementBuilder &make, ValueRange y) { return make.mul(y[0], y[0]); }),
             dims);
  result.inverse = build.map(variance.element, variance, [&](ElementBuilder &make, ValueRange y) {
    return make.reciprocal(make.sqrt(make.add(y[0], make.number(y[0], norm.epsilon))));
  });
  result.values = build.mul(x, result.inverse);
  return result;
}

static SmallVector<int64_t> dimsFrom(int64_t first, int64_t rank) {
  return llvm::to_vector(llvm::seq<int64_t>(first, rank));
}

/// `stash_type`, or the input's own where that is wider.
static ElementType stashOf(NodeImport &node) {
  const int64_t number = node.integer("stash_type", 1);
  const std::optional<ElementType> type = elementTypeOf(number);
  if (!type || !isFloat(*type) || elementTypeBits(*type) < 16) {
    node.unsupported("`stash_type` is {}", number);
    return ElementType::Float;
  }
  if (node.input(0).element == ElementType::Double)
    return ElementType::Double;
  return elementTypeBits(*type) < 32 ? ElementType::Float : *type;
}

static void importLayerNorm(NodeImport &node) {
  const GraphValue value = node.input(0), scale = node.input(1);
  node.requireFloat(value, "its input");
  const int64_t dim = node.dim(node.integer("axis", -1), value.rank());
  Norm norm{.epsilon = node.real("epsilon", 1e-5f), .centers = true, .computed = stashOf(node)};
  if (node.failed())
    return;
  TensorBuilder &build = node.build();
  Normalized made = normalize(build, value, dimsFrom(dim, value.rank()), norm);
  node.broadcastShape({value, scale});
  if (node.has(2))
    node.broadcastShape({value, node.input(2)});
  if (node.failed())
    return;
  // Scaled after rounding, as the definition has it.
  GraphValue result =
      build.mul(build.convert(made.values, value.element), build.convert(scale, value.element));
  if (node.has(2))
    result = build.add(result, build.convert(node.input(2), value.element));
  node.result(std::move(result));
  if (node.wants(1))
    node.result(made.mean, 1);
  if (node.wants(2))
    node.result(made.inverse, 2);
}

static void importRmsNorm(NodeImport &node) {
  const GraphValue value = node.input(0), scale = node.input(1);
  node.requireFloat(value, "its input");
  node.requireFloat(scale, "its scale");
  const int64_t dim = node.dim(node.integer("axis", -1), value.rank());
  Norm norm{.epsilon = node.real("epsilon", 1e-5f), .centers = false, .computed = stashOf(node)};
  node.broadcastShape({value, scale});
  if (node.failed())
    return;
  TensorBuilder &build = node.build();
  Normalized made = normalize(build, value, dimsFrom(dim, value.rank()), norm);
  const ElementType element = scale.element;
  node.result(build.mul(build.convert(build.convert(made.values, value.element), element), scale));
}

/// Over dimensions of a batch's channels, scaled by channel.
static GraphValue scaledByChannel(TensorBuilder &build, const GraphValue &value,
                                  const GraphValue &scale, const GraphValue &bias) {
  Sizes shape(value.rank() - 1, Size(1));
  shape.front() = value.shape[1];
  return build.add(build.mul(value, build.reshape(build.convert(scale, value.element), shape)),
                   build.reshape(build.convert(bias, value.element), shape));
}

static bool areChannels(NodeImport &node, const GraphValue &value, size_t first, size_t last) {
  if (value.rank() < 2) {
    node.malformed("its input is {}, wanted a batch of channels", shapeText(value.shape));
    return false;
  }
  for (size_t place = first; place <= last && !node.failed(); ++place) {
    node.requireRank(node.input(place), 1, 1, "what it has for each channel");
    if (!node.failed())
      node.requireEqual(node.input(place).shape[0], value.shape[1], "numbers of channels");
  }
  return !node.failed();
}

static void importInstanceNorm(NodeImport &node) {
  const GraphValue value = node.input(0);
  node.requireFloat(value, "its input");
  if (node.failed() || !areChannels(node, value, 1, 2))
    return;
  Norm norm{.epsilon = node.real("epsilon", 1e-5f), .centers = true, .computed = value.element};
  TensorBuilder &build = node.build();
  Normalized made = normalize(build, value, dimsFrom(2, value.rank()), norm);
  node.result(build.convert(scaledByChannel(build, made.values, node.input(1), node.input(2)),
                            value.element));
}

static void importGroupNorm(NodeImport &node) {
  const GraphValue value = node.input(0);
  node.requireFloat(value, "its input");
  const int64_t groups = node.integer("num_groups", 0);
  if (value.rank() < 2 || groups < 1)
    node.malformed("makes {} groups of {}", groups, shapeText(value.shape));
  if (node.failed())
    return;
  std::optional<Size> channels = value.shape[1].dividedBy(Size(groups));
  if (!channels)
    return node.malformed("makes {} groups of {} channels", groups, shapeText(value.shape[1]));
  TensorBuilder &build = node.build();
  Norm norm{.epsilon = node.real("epsilon", 1e-5f), .centers = true, .computed = stashOf(node)};
  Sizes grouped{value.shape[0], Size(groups), *channels};
  grouped.append(value.shape.begin() + 2, value.shape.end());
  Normalized made = normalize(build, build.reshape(value, grouped),
                              dimsFrom(2, static_cast<int64_t>(grouped.size())), norm);
  if (node.since() < 21) { // scales are of groups
    Sizes shape(grouped.size() - 1, Size(1));
    shape.front() = Size(groups);
    GraphValue result = build.add(
        build.mul(made.values, build.reshape(build.convert(node.input(1), norm.computed), shape)),
        build.reshape(build.convert(node.input(2), norm.computed), shape));
    return node.result(build.convert(build.reshape(result, value.shape), value.element));
  }
  if (!areChannels(node, value, 1, 2))
    return;
  GraphValue values = build.convert(build.reshape(made.values, value.shape), value.element);
  node.result(scaledByChannel(build, values, node.input(1), node.input(2)));
}

static void importBatchNorm(NodeImport &node) {
  const GraphValue value = node.input(0);
  node.requireFloat(value, "its input");
  if (node.integer("training_mode", 0) != 0 || node.outputCount() > 1)
    node.unsupported("keeps statistics, as in training");
  if (node.failed() || !areChannels(node, value, 1, 4))
    return;
  TensorBuilder &build = node.build();
  Sizes shape(value.rank() - 1, Size(1));
  shape.front() = value.shape[1];
  auto channel = [&](size_t place) {
    return build.reshape(build.convert(node.input(place), value.element), shape);
  };
  const float epsilon = node.real("epsilon", 1e-5f);
  node.result(build.map(value.element, {value, channel(1), channel(2), channel(3), channel(4)},
                        [&](ElementBuilder &make, ValueRange x) {
                          Value root = make.sqrt(make.add(x[4], make.number(x[4], epsilon)));
                          return make.add(make.mul(make.div(make.sub(x[0], x[3]), root), x[1]),
                                          x[2]);
                        }));
}

static void importMeanVariance(NodeImport &node) {
  const GraphValue value = node.input(0);
  node.requireFloat(value, "its input");
  const std::vector<int64_t> axes = node.integers("axes").value_or(std::vector<int64_t>{0, 2, 3});
  SmallVector<int64_t> dims = node.dims(axes, value.rank());
  if (node.failed())
    return;
  Norm norm{.epsilon = 1e-9f, .centers = true, .computed = value.element};
  node.result(
      node.build().convert(normalize(node.build(), value, dims, norm).values, value.element));
}

/// Divided by the sum of magnitudes, or by the root of that of squares; 0 stays 0.
static void importLpNorm(NodeImport &node) {
  const GraphValue value = node.input(0);
  node.requireFloat(value, "its input");
  const int64_t p = node.integer("p", 2), dim = node.dim(node.integer("axis", -1), value.rank());
  if (p != 1 && p != 2)
    node.malformed("`p` is {}, wanted 1 or 2", p);
  if (node.failed())
    return;
  TensorBuilder &build = node.build();
  GraphValue sizes = build.map(value.element, value, [&](ElementBuilder &make, ValueRange x) {
    return p == 1 ? make.abs(x[0]) : make.mul(x[0], x[0]);
  });
  GraphValue total = build.unsqueeze(build.sum(sizes, dim), dim);
  node.result(build.map(value.element, {value, total}, [&](ElementBuilder &make, ValueRange x) {
    Value size = p == 1 ? x[1] : make.sqrt(x[1]), zero = make.number(x[0], 0);
    return make.select(make.equal(size, zero), zero, make.div(x[0], size));
  }));
}

/// input + skip + bias, normalised; output 3 is the sum.
template <bool centers> static void importSkipNorm(NodeImport &node) {
  const GraphValue value = node.input(0), skip = node.input(1), gamma = node.input(2);
  node.requireFloat(value, "its input");
  node.requireSameElement({value, skip, gamma});
  node.requireRank(gamma, 1, 1, "gamma");
  node.broadcastShape({value, skip});
  if (value.rank() < 2)
    node.malformed("its input is {}, wanted rows", shapeText(value.shape));
  if (node.failed())
    return;
  // With a mean, beta comes before the bias.
  const size_t beta = 3, bias = centers ? 4 : 3;
  TensorBuilder &build = node.build();
  GraphValue sum = build.add(value, skip);
  if (node.has(bias))
    sum = build.add(sum, node.input(bias));
  Norm norm{.epsilon = node.real("epsilon", 1e-12f),
            .centers = centers,
            .computed = value.element == ElementType::Double ? value.element : ElementType::Float};
  GraphValue values = normalize(build, sum, value.rank() - 1, norm).values;
  GraphValue result = build.mul(values, build.convert(gamma, norm.computed));
  if (centers && node.has(beta))
    result = build.add(result, build.convert(node.input(beta), norm.computed));
  node.result(build.convert(result, value.element));
  if (node.wants(3))
    node.result(sum, 3);
}

llvm::ArrayRef<OpRule> moec::normOps() {
  static const OpRule rules[] = {
      {"",
       "LayerNormalization",
       {{17, "axis:i epsilon:f stash_type:i", 2, 3, 1, 3}},
       importLayerNorm},
      {"", "RMSNormalization", {{23, "axis:i epsilon:f stash_type:i", 2, 2}}, importRmsNorm},
      // In the empty domain, though none of ONNX's own.
      {"",
       "SimplifiedLayerNormalization",
       {{1, "axis:i epsilon:f stash_type:i", 2, 2}},
       importRmsNorm},
      {"", "InstanceNormalization", {{6, "epsilon:f", 3, 3}}, importInstanceNorm},
      {"",
       "GroupNormalization",
       {{21, "epsilon:f num_groups:i stash_type:i", 3, 3}},
       importGroupNorm},
      {"",
       "BatchNormalization",
       {{9, "epsilon:f momentum:f", 5, 5, 1, 5},
        {14, "epsilon:f momentum:f training_mode:i", 5, 5, 1, 3}},
       importBatchNorm},
      {"", "MeanVarianceNormalization", {{9, "axes:is", 1, 1}}, importMeanVariance},
      {"", "LpNormalization", {{1, "axis:i p:i", 1, 1}}, importLpNorm},
      {"com.microsoft",
       "SkipLayerNormalization",
       {{1, "epsilon:f", 3, 5, 1, 4}},
       importSkipNorm<true>},
      {"com.microsoft",
       "SkipSimplifiedLayerNormalization",
       {{1, "epsilon:f", 3, 4, 1, 4}},
       importSkipNorm<false>},
  };
  return rules;
}
