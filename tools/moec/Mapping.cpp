// Looks for weights that are not stored as products take them.

#include "tools/moec/Mapping.h"

#include "compiler/analysis/StoredWeights.h"
#include "compiler/pipeline/Stages.h"
#include "frontends/models/Import.h"
#include "runtime/core/TensorPattern.h"

#include <fmt/format.h>

#include <algorithm>

using namespace moec;

std::string moec::obstacleToMapping(mlir::ModuleOp module) {
  mlir::SymbolTable symbols(module);
  std::string found;
  module.walk([&](lm::LoadWeightOp load) {
    auto weight = symbols.lookup<lm::WeightOp>(load.getWeight());
    const std::string why = whyNotMapped(weight);
    if (why.empty())
      return mlir::WalkResult::advance();
    auto piece = mlir::cast<lm::PieceAttr>(weight.getPieces()[0]);
    found = fmt::format("`{}` {}", piece.getPattern().str(), why);
    return mlir::WalkResult::interrupt();
  });
  return found;
}

Result<std::string> moec::whyNotMapped(const CompileRequest &request) {
  Result<Checkpoint> checkpoint =
      Checkpoint::open(request.input, {.followLinks = request.followLinks});
  if (!checkpoint.ok())
    return checkpoint.status();
  mlir::DialectRegistry registry;
  registerDialects(registry);
  mlir::MLIRContext context(registry, mlir::MLIRContext::Threading::DISABLED);
  Result<mlir::OwningOpRef<mlir::ModuleOp>> module = importModel(
      *checkpoint, context,
      {.context = request.context, .name = {}, .latentForm = request.latentForm, .notice = {}});
  if (!module.ok())
    return module.status();
  std::string obstacle = obstacleToMapping(**module);
  if (!obstacle.empty())
    return obstacle;
  auto check = [&](const std::string &name, int64_t /*expert*/) -> Status {
    const CheckpointTensor *tensor = checkpoint->find(name);
    const int64_t bytes = tensor ? std::max<int64_t>(dataTypeBits(tensor->type) / 8, 1) : 1;
    if (tensor && tensor->offset % static_cast<uint64_t>(bytes) != 0)
      obstacle = fmt::format("`{}` does not lie at a multiple of {} bytes", name, bytes);
    return {};
  };
  for (auto weight : (*module)->getOps<lm::WeightOp>())
    for (auto piece : weight.getPieces().getAsRange<lm::PieceAttr>()) {
      const bool isOneEach = piece.getPattern().contains("{e}");
      static_cast<void>(forEachName(piece.getPattern(), weight.getLayers(),
                                    isOneEach ? weight.getNumMatrices(piece) : 0, check));
    }
  return obstacle;
}
