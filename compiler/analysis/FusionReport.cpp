// Walks a module for fused ops and for the ops that they are made of.

#include "compiler/analysis/FusionReport.h"

#include "compiler/analysis/ProductKinds.h"
#include "dialects/lm/LmDialect.h"
#include "dialects/moe/MoeDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace moec;

/// Whether an activation is that of a shared expert: experts beside it take the same tokens.
static bool isShared(moe::GatedActivationOp activation) {
  Value gate = activation.getGate();
  if (auto part = gate.getDefiningOp<tensor::ExtractSliceOp>()) // of a merged product
    gate = part.getSource();
  auto product = gate.getDefiningOp<lm::LinearOp>();
  return product &&
         llvm::any_of(product.getInput().getUsers(),
                      llvm::IsaPred<moe::ExpertFfnOp, moe::GroupedMatmulOp, moe::GroupedGluOp>);
}

/// What an op that stands alone should have become part of; empty for ops that may stand alone.
static StringRef fusionOf(Operation *op) {
  // A layer without experts has an activation of its own.
  if (auto activation = dyn_cast<moe::GatedActivationOp>(op))
    if (!activation.getGate().getDefiningOp<moe::GroupedMatmulOp>() && !isShared(activation))
      return "";
  // A router may be given logits that no product of the model makes.
  auto score = dyn_cast<moe::ScoreOp>(op);
  if (auto route = dyn_cast<moe::RouteOp>(op))
    score = route.getScores().getDefiningOp<moe::ScoreOp>();
  if (score && !score.getLogits().getDefiningOp<lm::LinearOp>())
    return "";
  return llvm::StringSwitch<StringRef>(op->getName().getStringRef())
      .Cases({"moe.score", "moe.route"}, "moe.gate")
      .Cases({"moe.dispatch", "moe.grouped_matmul", "moe.gated_activation", "moe.grouped_glu",
              "moe.combine"},
             "moe.expert_ffn")
      .Case("lm.add", "product, combination or expert layer")
      .Default("");
}

/// Whether other products of the same rows, that might be one with this one, stand beside it: not
/// those whose weights are stored as another type.
static bool hasPeer(lm::LinearOp linear) {
  return mayJoinOthers(linear) && llvm::any_of(linear.getInput().getUsers(), [&](Operation *user) {
           auto other = dyn_cast<lm::LinearOp>(user);
           return other && other != linear && mayJoinOthers(other) &&
                  user->getBlock() == linear->getBlock() && other.getInput() == linear.getInput() &&
                  getElementTypeOrSelf(other.getWeight()) ==
                      getElementTypeOrSelf(linear.getWeight());
         });
}

/// The weight of a product; null where it is not loaded.
static lm::WeightOp weightOf(lm::LinearOp linear, ModuleOp module) {
  auto load = linear.getWeight().getDefiningOp<lm::LoadWeightOp>();
  return load ? module.lookupSymbol<lm::WeightOp>(load.getWeight()) : lm::WeightOp();
}

FusionReport moec::reportFusions(ModuleOp module) {
  FusionReport report;
  module.walk([&](func::FuncOp function) {
    function.walk([&](Operation *op) {
      FusionEntry entry{.function = function.getSymName().str(),
                        .op = op->getName().getStringRef().str(),
                        .detail = {},
                        .fused = true,
                        .location = op->getLoc(),
                        .phases = {}};
      StringRef missed = fusionOf(op);
      if (isa<moe::GateOp>(op)) {
        entry.detail = "router product, score and route";
      } else if (isa<moe::ExpertFfnOp>(op)) {
        entry.detail = "dispatch, gate and up products, activation, down product, combine";
      } else if (auto picks = dyn_cast<moe::PickSharedOp>(op)) {
        entry.detail =
            "a shared expert as " +
            std::to_string(extentOf(picks.getAllExperts(), 1) - extentOf(picks.getExperts(), 1)) +
            " experts that every token picks";
      } else if (auto linear = dyn_cast<lm::LinearOp>(op)) {
        lm::WeightOp weight = weightOf(linear, module);
        entry.fused = !hasPeer(linear);
        if (entry.fused && (!weight || weight.getPieces().size() < 2))
          return;
        if (weight)
          entry.detail = weight.getSourceNames();
        if (!entry.fused)
          entry.detail +=
              (weight ? ", " : "") + std::string("apart from other products of the same rows");
      } else if (auto reason = op->getAttrOfType<StringAttr>(kNotRaisedAttr)) {
        entry.fused = false;
        entry.detail = "expert layer not raised: " + reason.str();
      } else if (!missed.empty()) {
        entry.fused = false;
        entry.detail = ("not part of a " + missed).str();
      } else {
        return;
      }
      report.entries.push_back(std::move(entry));
    });
  });
  return report;
}

void FusionReport::addPhases(ModuleOp scheduled) {
  scheduled.walk([&](lm::PhaseOp phase) {
    phase.getBody().walk([&](Operation *op) {
      for (FusionEntry &entry : entries)
        if (entry.location == op->getLoc() &&
            (entry.fused || entry.op == op->getName().getStringRef()) &&
            (entry.phases.empty() || entry.phases.back() != phase.getName()))
          entry.phases.push_back(phase.getName().str());
    });
  });
}

bool FusionReport::hasFallback() const {
  return llvm::any_of(entries, [](const FusionEntry &entry) { return !entry.fused; });
}

std::string FusionReport::text(const std::vector<std::string> &remarks) const {
  std::string text;
  for (const FusionEntry &entry : entries) {
    text += (entry.fused ? "fused      " : "not fused  ") + entry.function + ": " + entry.op +
            " (" + entry.detail + ")";
    if (!entry.phases.empty())
      text += "; phases: " + llvm::join(entry.phases, ", ");
    text += "\n";
  }
  for (const std::string &remark : remarks)
    text += "remark     " + remark + "\n";
  return text;
}
