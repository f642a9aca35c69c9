// Matches the products, biases and the activation of an expert.

#include "compiler/transforms/ExpertFunction.h"

#include "mlir/IR/SymbolTable.h"

#include <cmath>

using namespace mlir;
using namespace moec;
using Kind = Element::Kind;

static RankedTensorType typeOf(lm::TensorOp tensor) { return tensor.getType(); }

bool WeightPlace::isLike(const WeightPlace &other) const {
  return isStacked == other.isStacked && isTransposed == other.isTransposed &&
         firstRow == other.firstRow && rowStep == other.rowStep &&
         (!isStacked || tensor == other.tensor) && typeOf(tensor) == typeOf(other.tensor);
}

static bool areLike(const std::optional<WeightPlace> &a, const std::optional<WeightPlace> &b) {
  return a.has_value() == b.has_value() && (!a || a->isLike(*b));
}

bool ExpertFunction::isStacked() const {
  return up.isStacked && down.isStacked &&
         llvm::all_of(ArrayRef{gate, gateBias, upBias, downBias},
                      [](const auto &weight) { return !weight || weight->isStacked; });
}

std::string ExpertFunction::differenceFrom(const ExpertFunction &other) const {
  if (input != other.input || inputColumn != other.inputColumn)
    return "reads another input";
  if (activation != other.activation || gate.has_value() != other.gate.has_value())
    return "has another activation";
  if (width != other.width || !areLike(gate, other.gate) || !up.isLike(other.up) ||
      !down.isLike(other.down))
    return "has weights of another shape or order";
  if (!areLike(gateBias, other.gateBias) || !areLike(upBias, other.upBias) ||
      !areLike(downBias, other.downBias))
    return "has other biases";
  return "";
}

namespace {
/// A product of an input and a matrix, with its bias.
struct ExpertProduct {
  Expr input, column;
  WeightPlace weight;
  std::optional<WeightPlace> bias;
};

/// A product, perhaps kept within bounds, perhaps with 1 added.
struct Operand {
  Expr product;
  std::optional<double> least, most;
  double shift = 0;
};

/// `number` times all of `factors`, divided by all of `divisors`.
struct Factors {
  double number = 1;
  SmallVector<Expr> factors, divisors;
};

class FunctionMatcher {
public:
  FunctionMatcher(TensorElements &elements, Expr id, int64_t experts)
      : elements(elements), id(id), experts(experts) {}

  std::optional<ExpertFunction> match(Expr result, Expr row);
  std::string reason;

private:
  std::optional<WeightPlace> place(Expr read, Expr row, Expr column);
  std::optional<ExpertProduct> product(Expr e, Expr row);
  std::optional<ExpertProduct> bareProduct(Expr e, Expr row);
  Expr view(Expr e);
  bool isProduct(Expr e);
  Factors factorsOf(Expr e);
  void addFactors(Expr e, bool divides, Factors &all);
  std::optional<Operand> operand(Expr e);
  std::optional<std::pair<Expr, double>> sigmoid(Expr divisor);
  std::optional<moe::ActivationKind> gelu(Expr factor, Expr gate);
  bool matchActivation(Expr inner, ExpertActivation &activation, Expr &gate, Expr &up);
  bool matchSilu(Factors &all, ExpertActivation &activation, Expr &gate, Expr &up);
  bool matchPlain(Factors &all, ExpertActivation &activation, Expr &gate, Expr &up);

  TensorElements &elements;
  Expr id;
  int64_t experts;
  Expr innerRow = nullptr;
  llvm::DenseMap<Expr, std::optional<ExpertProduct>> products;
};
} // namespace

static bool isNear(double a, double b) { return std::abs(a - b) <= 1e-6 * std::abs(b); }

/// `step` and `first` where `index` is `step` times `row` plus `first`.
static std::optional<std::pair<int64_t, int64_t>> rowsOf(Expr index, Expr row) {
  if (index == row)
    return std::pair(int64_t(1), int64_t(0));
  if (index->is(Kind::Total) && index->operands.size() == 1 && index->operands[0] == row &&
      index->factors[0] > 0 && index->factors[1] >= 0)
    return std::pair(index->factors[0], index->factors[1]);
  return std::nullopt;
}

/// Where `read` is an element of a weight, of a bias if there is no column.
std::optional<WeightPlace> FunctionMatcher::place(Expr read, Expr row, Expr column) {
  auto load =
      read->is(Kind::Read) ? read->tensor.getDefiningOp<lm::LoadTensorOp>() : lm::LoadTensorOp();
  if (!load || !getElementTypeOrSelf(load.getValue()).isF32())
    return std::nullopt;
  ArrayRef<Expr> indices = read->operands;
  ArrayRef<int64_t> shape = cast<RankedTensorType>(load.getValue().getType()).getShape();
  WeightPlace result;
  result.tensor = SymbolTable::lookupNearestSymbolFrom<lm::TensorOp>(load, load.getTensorAttr());
  const size_t rank = column ? 2 : 1;
  if (indices.size() == rank + 1) {
    if (indices.front() != id || shape.front() != experts)
      return std::nullopt;
    result.isStacked = true;
    indices = indices.drop_front();
    shape = shape.drop_front();
  }
  if (indices.size() != rank)
    return std::nullopt;
  result.isTransposed = column && indices[0] == column;
  auto rows = rowsOf(indices[result.isTransposed], row);
  if (!rows)
    return std::nullopt;
  std::tie(result.rowStep, result.firstRow) = *rows;
  // All columns that the tensor has.
  if (column && (indices[!result.isTransposed] != column ||
                 column->operands[0]->integer() != shape[!result.isTransposed]))
    return std::nullopt;
  return result;
}

std::optional<ExpertProduct> FunctionMatcher::bareProduct(Expr e, Expr row) {
  if (e->is(Kind::Read))
    if (Expr opened = elements.open(e))
      e = opened;
  if (!e->folds("arith.addf"))
    return std::nullopt;
  Expr column = elements.table().loop(e->level, e->operands[0]), body = e->operands[1];
  if (body->is(Kind::Read))
    if (Expr opened = elements.open(body))
      body = opened;
  if (!body->applies("arith.mulf"))
    return std::nullopt;
  for (unsigned side : {0, 1}) {
    Expr input = body->operands[1 - side];
    if (row->is(Kind::Loop) && input->dependsOn(row->level))
      continue;
    if (std::optional<WeightPlace> weight = place(body->operands[side], row, column))
      return ExpertProduct{input, column, *weight, std::nullopt};
  }
  return std::nullopt;
}

std::optional<ExpertProduct> FunctionMatcher::product(Expr e, Expr row) {
  if (std::optional<ExpertProduct> bare = bareProduct(e, row))
    return bare;
  if (e->is(Kind::Read))
    if (Expr opened = elements.open(e))
      e = opened;
  if (!e->applies("arith.addf"))
    return std::nullopt;
  for (unsigned side : {0, 1})
    if (std::optional<WeightPlace> bias = place(e->operands[side], row, nullptr))
      if (std::optional<ExpertProduct> bare = bareProduct(e->operands[1 - side], row)) {
        bare->bias = bias;
        return bare;
      }
  return std::nullopt;
}

bool FunctionMatcher::isProduct(Expr e) {
  auto [known, isNew] = products.try_emplace(e);
  if (isNew) {
    std::optional<ExpertProduct> found = product(e, innerRow);
    products[e] = found;
    return found.has_value();
  }
  return known->second.has_value();
}

/// `e`, or what it is made of where that is arithmetic on single elements.
Expr FunctionMatcher::view(Expr e) {
  while (e->is(Kind::Read) && !isProduct(e)) {
    Expr opened = elements.open(e);
    if (!opened)
      break;
    e = opened;
  }
  return e;
}

void FunctionMatcher::addFactors(Expr e, bool divides, Factors &all) {
  e = view(e);
  if (!isProduct(e)) {
    if (e->applies("arith.mulf") || e->applies("arith.divf")) {
      addFactors(e->operands[0], divides, all);
      return addFactors(e->operands[1], divides != e->applies("arith.divf"), all);
    }
    if (e->applies("arith.negf")) {
      all.number = -all.number;
      return addFactors(e->operands[0], divides, all);
    }
    if (std::optional<double> number = e->real()) {
      all.number = divides ? all.number / *number : all.number * *number;
      return;
    }
  }
  (divides ? all.divisors : all.factors).push_back(e);
}

Factors FunctionMatcher::factorsOf(Expr e) {
  Factors all;
  addFactors(e, /*divides=*/false, all);
  return all;
}

std::optional<Operand> FunctionMatcher::operand(Expr e) {
  e = view(e);
  if (isProduct(e))
    return Operand{e, std::nullopt, std::nullopt};
  if (!e->is(Kind::Apply) || e->operands.size() != 2)
    return std::nullopt;
  for (unsigned side : {0, 1}) {
    std::optional<double> number = view(e->operands[side])->real();
    if (!number)
      continue;
    std::optional<Operand> inner = operand(e->operands[1 - side]);
    if (!inner || inner->shift != 0)
      return std::nullopt;
    if (e->applies("arith.addf"))
      inner->shift = *number;
    else if (e->applies("arith.minimumf") && !inner->most)
      inner->most = *number;
    else if (e->applies("arith.maximumf") && !inner->least)
      inner->least = *number;
    else
      return std::nullopt;
    return inner;
  }
  return std::nullopt;
}

/// x and s where `divisor` is 1 + exp(-s x).
std::optional<std::pair<Expr, double>> FunctionMatcher::sigmoid(Expr divisor) {
  divisor = view(divisor);
  if (!divisor->applies("arith.addf"))
    return std::nullopt;
  for (unsigned side : {0, 1}) {
    Expr power = view(divisor->operands[side]);
    if (!power->applies("math.exp") || view(divisor->operands[1 - side])->real() != 1)
      continue;
    Factors exponent = factorsOf(power->operands[0]);
    if (exponent.factors.size() == 1 && exponent.divisors.empty() && exponent.number < 0)
      return std::pair(exponent.factors[0], -exponent.number);
  }
  return std::nullopt;
}

/// Which of the two `factor`, half of which times the gate is a GELU, belongs to.
std::optional<moe::ActivationKind> FunctionMatcher::gelu(Expr factor, Expr gate) {
  factor = view(factor);
  if (!factor->applies("arith.addf"))
    return std::nullopt;
  for (unsigned side : {0, 1}) {
    Expr curve = view(factor->operands[side]);
    if (view(factor->operands[1 - side])->real() != 1 || !curve->is(Kind::Apply) ||
        curve->operands.size() != 1)
      continue;
    Factors inside = factorsOf(curve->operands[0]);
    if (!inside.divisors.empty() || inside.factors.empty())
      return std::nullopt;
    if (curve->applies("math.erf"))
      return inside.factors.size() == 1 && inside.factors[0] == gate &&
                     isNear(inside.number, std::sqrt(0.5))
                 ? std::optional(moe::ActivationKind::Gelu)
                 : std::nullopt;
    if (!curve->applies("math.tanh") || inside.factors.size() != 1 ||
        !isNear(inside.number, std::sqrt(2 / M_PI)))
      return std::nullopt;
    Expr sum = view(inside.factors[0]);
    if (!sum->applies("arith.addf"))
      return std::nullopt;
    for (unsigned of : {0, 1}) {
      Factors cube = factorsOf(sum->operands[of]);
      if (view(sum->operands[1 - of]) == gate && cube.factors.size() == 3 &&
          cube.divisors.empty() && isNear(cube.number, 0.044715) &&
          llvm::all_of(cube.factors, [&](Expr each) { return each == gate; }))
        return moe::ActivationKind::GeluTanh;
    }
  }
  return std::nullopt;
}

/// g sigmoid(s g) u, with bounds.
bool FunctionMatcher::matchSilu(Factors &all, ExpertActivation &activation, Expr &gate, Expr &up) {
  auto curve = all.divisors.size() == 1 ? sigmoid(all.divisors[0]) : std::nullopt;
  if (!curve || all.number != 1 || all.factors.size() > 2)
    return false;
  auto place = llvm::find(all.factors, curve->first);
  if (place == all.factors.end())
    return false;
  all.factors.erase(place);
  std::optional<Operand> bounded = operand(curve->first);
  if (!bounded || bounded->least || bounded->shift != 0)
    return false;
  activation.kind = moe::ActivationKind::Silu;
  activation.slope = curve->second;
  activation.limit = bounded->most.value_or(0);
  if (all.factors.empty()) {
    up = bounded->product;
    return !bounded->most;
  }
  gate = bounded->product;
  std::optional<Operand> other = operand(all.factors[0]);
  if (!other || other->most != bounded->most ||
      other->least.has_value() != other->most.has_value() ||
      (other->least && *other->least != -*other->most) || (other->most && *other->most <= 0))
    return false;
  up = other->product;
  activation.shift = other->shift;
  return true;
}

/// Activations without a sigmoid.
bool FunctionMatcher::matchPlain(Factors &all, ExpertActivation &activation, Expr &gate, Expr &up) {
  if (!all.divisors.empty() || all.factors.empty())
    return false;
  SmallVector<Expr> plain, positive, others;
  for (Expr factor : all.factors) {
    std::optional<Operand> found = operand(factor);
    if (!found || found->shift != 0 || found->most || found->least.value_or(0) != 0)
      others.push_back(factor);
    else
      (found->least ? positive : plain).push_back(found->product);
  }
  if (others.size() == 1 && positive.empty() && all.number == 0.5) {
    for (Expr product : plain)
      if (std::optional<moe::ActivationKind> kind = gelu(others[0], product)) {
        activation.kind = *kind;
        plain.erase(llvm::find(plain, product));
        gate = product;
        break;
      }
    if (!gate)
      return false;
  } else if (!others.empty() || all.number != 1 || positive.size() > 2) {
    return false;
  } else if (!positive.empty()) {
    if (positive.front() != positive.back())
      return false;
    activation.kind =
        positive.size() == 2 ? moe::ActivationKind::ReluSquared : moe::ActivationKind::Relu;
    gate = positive.front();
  } else {
    gate = plain.front();
    plain.erase(plain.begin());
  }
  if (plain.size() > 1)
    return false;
  up = plain.empty() ? std::exchange(gate, nullptr) : plain.front();
  return true;
}

bool FunctionMatcher::matchActivation(Expr inner, ExpertActivation &activation, Expr &gate,
                                      Expr &up) {
  Factors all = factorsOf(inner);
  return all.divisors.empty() ? matchPlain(all, activation, gate, up)
                              : matchSilu(all, activation, gate, up);
}

std::optional<ExpertFunction> FunctionMatcher::match(Expr result, Expr row) {
  std::optional<ExpertProduct> down = product(result, row);
  if (!down) {
    reason = "does not end with a product by a tensor of the model";
    return std::nullopt;
  }
  innerRow = down->column;
  ExpertFunction function;
  Expr gate = nullptr, up = nullptr;
  if (!matchActivation(down->input, function.activation, gate, up)) {
    reason = "has no activation that is known between its products";
    return std::nullopt;
  }
  const ExpertProduct &ups = *products[up];
  function.width = *down->column->operands[0]->integer();
  function.input = ups.input;
  function.inputColumn = ups.column;
  function.up = ups.weight;
  function.upBias = ups.bias;
  function.down = down->weight;
  function.downBias = down->bias;
  if (gate) {
    const ExpertProduct &gates = *products[gate];
    if (gates.input != ups.input || gates.column != ups.column) {
      reason = "multiplies two inputs";
      return std::nullopt;
    }
    function.gate = gates.weight;
    function.gateBias = gates.bias;
  }
  return function;
}

std::optional<ExpertFunction> moec::matchExpertFunction(TensorElements &elements, Expr result,
                                                        Expr row, Expr id, int64_t experts,
                                                        std::string &reason) {
  FunctionMatcher matcher(elements, id, experts);
  std::optional<ExpertFunction> function = matcher.match(result, row);
  reason = matcher.reason;
  return function;
}
