// Matches softmaxes, sigmoids and sums over the scores of a token.

#include "compiler/transforms/RouterMatch.h"

using namespace mlir;
using namespace moec;
using Kind = Element::Kind;

namespace {
class RouterMatcher {
public:
  RouterMatcher(TensorElements &elements, linalg_ext::TopKOp choice, const MatchedExperts &layer,
                ArrayRef<Expr> tokens)
      : elements(elements), table(elements.table()), choice(choice), layer(layer), tokens(tokens) {
    SmallVector<Expr> place(tokens);
    // Behind the loops over tokens, before those of folds.
    expert = table.loop(TensorElements::kFoldLevels - 1, table.number(layer.experts));
    place.push_back(expert);
    scores = elements.at(choice.getInput(), place);
    place.back() = layer.slot;
    chosen = elements.at(choice->getResult(0), place);
  }

  std::optional<MatchedRouter> match(MatchFailure &failure);

private:
  Expr view(Expr e);
  Expr softmaxOf(Expr e, Expr loop);
  Expr sigmoidOf(Expr e);
  bool isSumOver(Expr sum, Expr loop, Expr element);
  void matchScores(MatchedRouter &router);
  bool matchWeights(MatchedRouter &router);
  bool isOfToken(Expr e);

  TensorElements &elements;
  ElementTable &table;
  linalg_ext::TopKOp choice;
  const MatchedExperts &layer;
  ArrayRef<Expr> tokens;
  Expr expert, scores, chosen;
  unsigned steps = 0;
};
} // namespace

Expr RouterMatcher::view(Expr e) {
  if (e->is(Kind::Read))
    if (Expr opened = elements.open(e))
      return opened;
  return e;
}

/// Whether `sum` is that of `element` over `loop`.
bool RouterMatcher::isSumOver(Expr sum, Expr loop, Expr element) {
  sum = view(sum);
  if (!sum->folds("arith.addf") || !loop->is(Kind::Loop) || sum->operands[0] != loop->operands[0])
    return false;
  Expr moved = table.substitute(element, loop->level, table.loop(sum->level, sum->operands[0]));
  return moved && (moved == sum->operands[1] || moved == view(sum->operands[1]) ||
                   view(moved) == view(sum->operands[1]));
}

/// x where `e` is the softmax of x over `loop`; null where it is none.
Expr RouterMatcher::softmaxOf(Expr e, Expr loop) {
  e = view(e);
  if (!e->applies("arith.divf") || !isSumOver(e->operands[1], loop, e->operands[0]))
    return nullptr;
  Expr power = view(e->operands[0]);
  if (!power->applies("math.exp"))
    return nullptr;
  Expr exponent = view(power->operands[0]);
  // Anything that all have in common may be subtracted.
  if (exponent->applies("arith.subf") && !exponent->operands[1]->dependsOn(loop->level))
    return exponent->operands[0];
  return exponent;
}

Expr RouterMatcher::sigmoidOf(Expr e) {
  e = view(e);
  if (!e->applies("arith.divf") || view(e->operands[0])->real() != 1)
    return nullptr;
  Expr sum = view(e->operands[1]);
  if (!sum->applies("arith.addf"))
    return nullptr;
  for (unsigned side : {0, 1}) {
    Expr power = view(sum->operands[side]);
    if (!power->applies("math.exp") || view(sum->operands[1 - side])->real() != 1)
      continue;
    Expr exponent = view(power->operands[0]);
    return exponent->applies("arith.negf") ? exponent->operands[0] : nullptr;
  }
  return nullptr;
}

void RouterMatcher::matchScores(MatchedRouter &router) {
  SmallVector<Expr> place(tokens);
  place.push_back(expert);
  for (auto [function, logits] : {std::pair(moe::ScoreFunction::Softmax, softmaxOf(scores, expert)),
                                  std::pair(moe::ScoreFunction::Sigmoid, sigmoidOf(scores))}) {
    Value tensor = logits ? elements.tensorOf(logits, place) : Value();
    if (!tensor)
      continue;
    router.function = function;
    router.logits = tensor;
    return;
  }
  router.logits = choice.getInput();
}

bool RouterMatcher::matchWeights(MatchedRouter &router) {
  Expr weight = layer.weight;
  if (weight->applies("arith.mulf"))
    for (unsigned side : {0, 1})
      if (std::optional<double> scale = weight->operands[side]->real()) {
        router.scale = *scale;
        weight = weight->operands[1 - side];
        break;
      }
  if (weight == chosen)
    return true;
  if (sigmoidOf(weight) == chosen) {
    router.weighing = moe::Weighing::Sigmoid;
    return true;
  }
  if (!layer.slot->is(Kind::Loop))
    return false;
  if (softmaxOf(weight, layer.slot) == chosen) {
    router.weighing = moe::Weighing::Softmax;
    return true;
  }
  if (!weight->applies("arith.divf") || weight->operands[0] != chosen)
    return false;
  router.weighing = moe::Weighing::Renormalize;
  Expr sum = weight->operands[1];
  if (isSumOver(sum, layer.slot, chosen))
    return true;
  if (sum->applies("arith.addf"))
    for (unsigned side : {0, 1})
      if (std::optional<double> epsilon = sum->operands[side]->real()) {
        router.epsilon = *epsilon;
        return isSumOver(sum->operands[1 - side], layer.slot, chosen);
      }
  return false;
}

/// Whether nothing of other tokens goes into `e`, as far as it is arithmetic on scores.
bool RouterMatcher::isOfToken(Expr e) {
  if (++steps > 200)
    return true;
  if (e->is(Kind::Read)) {
    if (e->tensor.getDefiningOp<lm::LoadTensorOp>())
      return true;
    if (e->operands.size() < tokens.size() || e->operands.take_front(tokens.size()) != tokens)
      return false;
    Expr opened = elements.open(e);
    return !opened || isOfToken(opened);
  }
  // A product with a tensor of the model makes the logits, of whatever is before it.
  if (e->folds("arith.addf") && llvm::any_of(e->operands[1]->operands, [](Expr factor) {
        return factor->is(Kind::Read) && factor->tensor.getDefiningOp<lm::LoadTensorOp>();
      }))
    return true;
  return llvm::all_of(e->operands, [&](Expr operand) { return isOfToken(operand); });
}

std::optional<MatchedRouter> RouterMatcher::match(MatchFailure &failure) {
  if (!isOfToken(scores)) {
    failure.reason = "the scores of a token depend on other tokens";
    return std::nullopt;
  }
  steps = 0;
  if (!isOfToken(layer.weight)) {
    failure.reason = "the weights of a token depend on other tokens";
    return std::nullopt;
  }
  MatchedRouter router;
  matchScores(router);
  if (matchWeights(router))
    return router;
  SmallVector<Expr> place(tokens);
  place.push_back(layer.slot);
  router = MatchedRouter();
  router.weights = elements.tensorOf(layer.weight, place);
  if (router.weights && getElementTypeOrSelf(router.weights).isF32())
    return router;
  failure.reason = "the weights are no tensor of tokens by picks";
  return std::nullopt;
}

std::optional<MatchedRouter> moec::matchRouter(TensorElements &elements, linalg_ext::TopKOp choice,
                                               const MatchedExperts &layer, ArrayRef<Expr> tokens,
                                               MatchFailure &failure) {
  return RouterMatcher(elements, choice, layer, tokens).match(failure);
}
