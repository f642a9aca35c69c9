// Tells the classes of products apart by what they read and who reads them.

#include "compiler/analysis/ProductKinds.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace moec;

/// Whether a user of `value`, or of a part of it, is one of `Ops`.
template <typename... Ops> static bool isUsedBy(Value value) {
  return llvm::any_of(value.getUsers(), [](Operation *user) {
    if (auto part = dyn_cast<tensor::ExtractSliceOp>(user))
      return isUsedBy<Ops...>(part.getResult());
    return isa<Ops...>(user);
  });
}

std::optional<WeightClass> moec::weightClassOf(Operation *op) {
  if (isa<moe::ExpertFfnOp, moe::GroupedGluOp, moe::GroupedMatmulOp>(op))
    return WeightClass::Experts;
  if (isa<lm::EmbeddingOp>(op))
    return WeightClass::Embedding;
  auto linear = dyn_cast<lm::LinearOp>(op);
  if (!linear || linear->getNumResults() == 0 || isRouter(linear) ||
      extentOf(linear.getOut(), 1) == 1)
    return std::nullopt;
  Value result = linear.getResult(0);
  if (isUsedBy<bufferization::MaterializeInDestinationOp>(result))
    return WeightClass::Head;
  if (isUsedBy<moe::GatedActivationOp>(result) ||
      linear.getInput().getDefiningOp<moe::GatedActivationOp>())
    return WeightClass::Dense;
  return WeightClass::Attention;
}

std::vector<std::string> moec::headWeights(ModuleOp module) {
  std::vector<std::string> names;
  for (auto weight : module.getOps<lm::WeightOp>())
    if (weight.getHeads())
      names.push_back(weight.getSymName().str());
  return names;
}

OpOperand *moec::productInput(Operation *op) {
  return llvm::TypeSwitch<Operation *, OpOperand *>(op)
      .Case<lm::LinearOp, lm::HeadLinearOp, moe::GroupedMatmulOp, moe::GroupedGluOp>(
          [](auto product) { return &product.getInputMutable(); })
      .Case([](moe::ExpertFfnOp layer) { return &layer.getTokensMutable(); })
      .Default(nullptr);
}
