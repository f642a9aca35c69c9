// Takes a sum apart into what each expert adds, and looks whether it is the sum over all picks.

#include "compiler/transforms/ExpertLayerMatch.h"

#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace moec;
using Kind = Element::Kind;

namespace {
/// A part of a sum: the product of `factors` under `conditions`, summed over `loops`.
struct Term {
  SmallVector<Expr> loops, conditions, factors;
};

/// What one term says of the layer.
struct Pick {
  Expr expert = nullptr; ///< which it is of: a number, or an expression for any
  Expr slot = nullptr, weight = nullptr, result = nullptr;
};

class LayerMatcher {
public:
  LayerMatcher(TensorElements &elements, linalg_ext::TopKOp choice, Value result,
               MatchFailure &failure)
      : elements(elements), table(elements.table()), choice(choice), result(result),
        failure(failure), place(loopsOver(elements, result)) {}

  std::optional<MatchedExperts> match();

private:
  using Terms = SmallVector<Term>;
  Terms termsOf(Expr e);
  Terms productTerms(Expr e);
  bool multiply(Term &term, Expr factor);
  bool isOfModel(Expr e);
  bool mentions(Expr e, Value tensor);
  Expr choiceIn(Expr condition);
  std::optional<Pick> pickOf(const Term &term);
  bool splitFactors(const Term &term, Pick &pick);
  bool expertOf(const Term &term, Pick &pick);
  bool addTerms(const Terms &terms);
  bool addPick(const Pick &pick);
  bool checkAll();
  bool findTensors();
  bool fail(const Twine &reason) {
    failure.reason = reason.str();
    return false;
  }

  TensorElements &elements;
  ElementTable &table;
  linalg_ext::TopKOp choice;
  Value result;
  MatchFailure &failure;
  SmallVector<Expr> place;
  MatchedExperts layer;
  std::vector<std::optional<ExpertFunction>> functions; ///< by expert
  SmallVector<int64_t> twice;
  Expr addend = nullptr;
  llvm::DenseMap<std::pair<Expr, Value>, bool> mentioned;
};
} // namespace

SmallVector<Expr> moec::loopsOver(TensorElements &elements, Value tensor) {
  SmallVector<Expr> loops;
  const auto rank = static_cast<unsigned>(cast<RankedTensorType>(tensor.getType()).getRank());
  for (unsigned each = 0; each < rank; ++each)
    loops.push_back(elements.table().loop(each, elements.sizeOf(tensor, each)));
  return loops;
}

/// Whether it is a sum of products with a tensor of the model, which is one factor.
bool LayerMatcher::isOfModel(Expr e) {
  if (!e->folds("arith.addf") || !e->operands[1]->applies("arith.mulf"))
    return false;
  return llvm::any_of(e->operands[1]->operands, [](Expr factor) {
    return factor->is(Kind::Read) && factor->tensor.getDefiningOp<lm::LoadTensorOp>();
  });
}

/// Multiplies by a factor that is one term. Returns false where it has to stay what it is.
bool LayerMatcher::multiply(Term &term, Expr factor) {
  if (!factor->folds("arith.addf") && !factor->applies("select"))
    return false;
  Terms terms = termsOf(factor);
  if (terms.size() != 1)
    return false;
  for (Expr loop : terms[0].loops)
    for (const auto *list : {&term.loops, &term.conditions, &term.factors})
      if (llvm::any_of(*list, [&](Expr e) { return e->dependsOn(loop->level); }))
        return false;
  term.loops.append(terms[0].loops);
  term.conditions.append(terms[0].conditions);
  term.factors.append(terms[0].factors);
  return true;
}

LayerMatcher::Terms LayerMatcher::productTerms(Expr e) {
  SmallVector<Expr> factors{e};
  Term term;
  SmallVector<Expr> others;
  while (!factors.empty()) {
    Expr factor = factors.pop_back_val();
    if (factor->applies("arith.mulf"))
      factors.append({factor->operands[1], factor->operands[0]});
    else
      others.push_back(factor);
  }
  // Those that stay come first, so that it shows which loops they depend on.
  auto isSum = [&](Expr e) { return e->applies("select") || (e->is(Kind::Fold) && !isOfModel(e)); };
  for (Expr factor : others)
    if (!isSum(factor))
      term.factors.push_back(factor);
  for (Expr factor : others)
    if (isSum(factor) && !multiply(term, factor))
      term.factors.push_back(factor);
  if (llvm::any_of(term.factors, [](Expr factor) { return factor->isZero(); }))
    return {};
  return {term};
}

LayerMatcher::Terms LayerMatcher::termsOf(Expr e) {
  if (e->isZero())
    return {};
  if (e->applies("arith.addf")) {
    Terms terms = termsOf(e->operands[0]);
    terms.append(termsOf(e->operands[1]));
    return terms;
  }
  if (e->applies("arith.mulf"))
    return productTerms(e);
  if (e->applies("select") && (e->operands[1]->isZero() || e->operands[2]->isZero())) {
    const bool isYes = e->operands[2]->isZero();
    Terms terms = termsOf(e->operands[isYes ? 1 : 2]);
    for (Term &term : terms)
      term.conditions.push_back(isYes ? e->operands[0] : table.negation(e->operands[0]));
    return terms;
  }
  if (e->folds("arith.addf") && !isOfModel(e)) {
    Terms terms = termsOf(e->operands[1]);
    for (Term &term : terms)
      term.loops.push_back(table.loop(e->level, e->operands[0]));
    return terms;
  }
  if (e->real() == 1.0)
    return {Term()};
  return {Term{{}, {}, {e}}};
}

bool LayerMatcher::mentions(Expr e, Value tensor) {
  if (e->is(Kind::Read) && e->tensor == tensor)
    return true;
  auto [known, isNew] = mentioned.try_emplace({e, tensor}, false);
  if (!isNew)
    return known->second;
  const bool found =
      llvm::any_of(e->operands, [&](Expr operand) { return mentions(operand, tensor); });
  return mentioned[{e, tensor}] = found;
}

/// The element of the choice that a condition, or an expression, compares or reads by.
Expr LayerMatcher::choiceIn(Expr e) {
  if (e->is(Kind::Read) && e->tensor == choice->getResult(1))
    return e;
  for (Expr operand : e->operands)
    if (mentions(operand, choice->getResult(1)))
      return choiceIn(operand);
  return nullptr;
}

/// Parts the factors into the expert's result, which depends on the column, and the weight.
bool LayerMatcher::splitFactors(const Term &term, Pick &pick) {
  const unsigned column = place.back()->level;
  for (Expr factor : term.factors) {
    if (factor->applies("put"))
      return fail("rows take the place of others, to which they are not added");
    if (!factor->dependsOn(column)) {
      pick.weight = pick.weight ? table.apply("arith.mulf", {pick.weight, factor}) : factor;
      continue;
    }
    if (pick.result)
      return fail("what an expert gives is multiplied by more than a weight");
    pick.result = factor;
  }
  if (!pick.result)
    return fail("a part of the sum has no expert's result");
  if (!pick.weight)
    return fail("what an expert gives is not multiplied by a weight");
  if (!mentions(pick.weight, choice->getResult(0)) && !mentions(pick.weight, choice->getResult(1)))
    return fail("the weights are not those of the experts' choice");
  return true;
}

/// Which expert a term is of, and the loop over the slots of the choice.
bool LayerMatcher::expertOf(const Term &term, Pick &pick) {
  Expr chosen = nullptr;
  if (term.conditions.empty()) {
    chosen = choiceIn(pick.result); // weights are read by it
    if (!chosen)
      return fail("a part of the sum is of no expert that is chosen");
    pick.expert = chosen;
  } else {
    if (term.conditions.size() != 1 || !term.conditions[0]->applies("is_zero"))
      return fail("an expert is added under more than one condition");
    chosen = choiceIn(term.conditions[0]);
    if (!chosen)
      return fail("the experts are those of another choice than the weights");
    // The condition is that a difference is zero: the choice and an expert's id.
    Expr difference = term.conditions[0]->operands[0];
    pick.expert = difference == chosen ? table.number(0) : nullptr;
    for (int64_t sign : {1, -1})
      if (Expr rest = table.add(chosen, table.mul(table.number(sign), difference));
          !mentions(rest, choice->getResult(1)))
        pick.expert = rest;
    if (!pick.expert || !(pick.expert->integer() || pick.expert->is(Kind::Loop)))
      return fail("an expert is added under a condition that is not that it is chosen");
  }
  if (llvm::ArrayRef(chosen->operands).drop_back() != llvm::ArrayRef(place).drop_back())
    return fail("a token is added what was chosen for another one");
  pick.slot = chosen->operands.back();
  return true;
}

std::optional<Pick> LayerMatcher::pickOf(const Term &term) {
  Pick pick;
  if (!splitFactors(term, pick) || !expertOf(term, pick))
    return std::nullopt;
  SmallVector<Expr> loops(term.loops);
  Expr picked = elements.sizeOf(choice->getResult(1), place.size() - 1);
  auto slot = llvm::find(loops, pick.slot);
  if (picked->integer() == 1) {
    assert(pick.slot->integer() == 0 && "there is one slot");
  } else if (slot == loops.end() || pick.slot->operands[0] != picked) {
    fail("not all picks of a token are added up");
    return std::nullopt;
  } else {
    loops.erase(slot);
  }
  // What is left is a loop over all experts, of which a pick is one.
  if (pick.expert->is(Kind::Loop)) {
    auto expert = llvm::find(loops, pick.expert);
    if (expert == loops.end() || pick.expert->operands[0]->integer() != layer.experts) {
      fail("not all experts are added up");
      return std::nullopt;
    }
    loops.erase(expert);
  }
  if (!loops.empty()) {
    fail("what an expert gives is added up over more than the picks");
    return std::nullopt;
  }
  return pick;
}

bool LayerMatcher::addPick(const Pick &pick) {
  if (!layer.weight) {
    layer.weight = pick.weight;
    layer.slot = pick.slot;
  } else if (layer.weight != pick.weight || layer.slot != pick.slot) {
    return fail("not all experts are weighted alike");
  }
  std::optional<int64_t> id = pick.expert->integer();
  if (id && (*id < 0 || *id >= layer.experts))
    return fail("there is an expert " + Twine(*id) + " of " + Twine(layer.experts));
  const std::string expert = id ? "expert " + llvm::itostr(*id) : "an expert";
  if (mentions(pick.result, choice->getResult(0)))
    return fail(expert + " gets what a weight has multiplied, which multiplies what it gives too");
  std::string reason;
  std::optional<ExpertFunction> function =
      matchExpertFunction(elements, pick.result, place.back(), pick.expert, layer.experts, reason);
  if (!function)
    return fail(expert + " " + reason);
  if (!id) {
    if (!layer.functions.empty())
      return fail("experts are added twice");
    if (!function->isStacked())
      return fail("a weight is the same for all experts");
    layer.functions.push_back(*function);
    ++failure.progress;
    return true;
  }
  if (functions[*id])
    twice.push_back(*id);
  functions[*id] = function;
  ++failure.progress;
  return true;
}

bool LayerMatcher::addTerms(const Terms &terms) {
  functions.resize(layer.experts);
  for (const Term &term : terms) {
    const bool isRouted =
        !term.conditions.empty() || !term.loops.empty() ||
        llvm::any_of(term.factors, [&](Expr factor) {
          return mentions(factor, choice->getResult(0)) || mentions(factor, choice->getResult(1));
        });
    if (!isRouted && term.factors.size() == 1) {
      if (addend)
        return fail("more than one tensor is added to what the experts give");
      addend = term.factors[0];
      continue;
    }
    std::optional<Pick> pick = pickOf(term);
    if (!pick || !addPick(*pick))
      return false;
  }
  return true;
}

/// All experts, each once, and all the same function.
bool LayerMatcher::checkAll() {
  if (layer.functions.size() == 1)
    return llvm::none_of(functions, [](const auto &each) { return each.has_value(); }) ||
           fail("experts are added twice");
  std::string absent;
  for (auto [id, function] : llvm::enumerate(functions))
    if (!function)
      absent += (absent.empty() ? "" : ", ") + llvm::utostr(id);
  std::string repeated =
      llvm::join(llvm::map_range(twice, [](int64_t id) { return llvm::itostr(id); }), ", ");
  if (!absent.empty() || !repeated.empty())
    return fail("of " + Twine(layer.experts) + " experts " +
                (repeated.empty() ? "" : "there are twice: " + repeated + "; ") +
                (absent.empty() ? "" : "there are not: " + absent));
  for (auto [id, function] : llvm::enumerate(functions)) {
    if (std::string difference = function->differenceFrom(*functions[0]); !difference.empty())
      return fail("expert " + Twine(id) + " " + difference);
    layer.functions.push_back(*function);
  }
  return true;
}

bool LayerMatcher::findTensors() {
  const ExpertFunction &function = layer.functions[0];
  SmallVector<Expr> row(llvm::ArrayRef(place).drop_back());
  row.push_back(function.inputColumn);
  layer.tokens = elements.tensorOf(function.input, row);
  if (!layer.tokens)
    return fail("the experts of a token get something else than its row of a tensor");
  if (addend && !(layer.addend = elements.tensorOf(addend, place)))
    return fail("what the experts' sum is added to is no tensor of the same shape");
  return true;
}

std::optional<MatchedExperts> LayerMatcher::match() {
  layer.experts = cast<RankedTensorType>(choice.getInput().getType()).getShape().back();
  Expr all = elements.at(result, place);
  Terms terms = termsOf(all);
  failure.isLayer = llvm::any_of(terms, [&](const Term &term) {
    return llvm::any_of(term.conditions, [&](Expr e) { return choiceIn(e) != nullptr; }) ||
           llvm::any_of(term.factors, [&](Expr e) {
             return mentions(e, choice->getResult(0)) &&
                    (term.factors.size() > 1 || e->applies("put"));
           });
  });
  if (!addTerms(terms) || !checkAll() || !findTensors())
    return std::nullopt;
  return layer;
}

std::optional<MatchedExperts> moec::matchExperts(TensorElements &elements,
                                                 linalg_ext::TopKOp choice, Value result,
                                                 MatchFailure &failure) {
  return LayerMatcher(elements, choice, result, failure).match();
}
