// Goes through a step as it would run, with sizes in place of data.

#include "compiler/analysis/StepCost.h"

#include "compiler/analysis/PackedWeights.h"
#include "dialects/moe/MoeDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/TypeSwitch.h"

#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace moec;

namespace {

class StepWalk {
public:
  StepWalk(ModuleOp module, const StepShape &shape) : module(module), shape(shape) {
    // Not those of a module in the module, which are no kernels.
    if (auto step = module.lookupSymbol<func::FuncOp>("step")) {
      step.walk([&](lm::PhaseOp phase) {
        numbers[phase] = phases.size();
        phases.emplace_back().name = phase.getName().str();
      });
      run(step.getBody().front());
    }
  }

  std::vector<PhaseCost> take() { return std::move(phases); }

private:
  void run(Block &block);
  int64_t valueOf(Value value) const { return values.lookup(value); }
  int64_t valueOf(OpFoldResult value) const {
    if (std::optional<int64_t> constant = getConstantIntValue(value))
      return *constant;
    return valueOf(cast<Value>(value));
  }
  int64_t extent(Value buffer, unsigned dimension) const {
    auto type = cast<ShapedType>(buffer.getType());
    if (!type.isDynamicDim(dimension))
      return type.getDimSize(dimension);
    auto found = extents.find(buffer);
    return found == extents.end() ? 0 : found->second[dimension];
  }

  void runArithmetic(Operation &op);
  void runView(Operation &op);
  void runControl(Operation &op);
  void addPhase(lm::PhaseOp phase);
  void addOperands(Operation &op, PhaseCost &cost, int64_t rows);
  void addOperations(Operation &op, PhaseCost &cost);
  void addAttention(lm::CacheOp cache, Value queries, int64_t chosen, PhaseCost &cost) const;
  int64_t blocksOfSequence();
  double usedShare(Operation &op, Value buffer) const;

  ModuleOp module;
  const StepShape shape;
  std::vector<PhaseCost> phases;
  llvm::DenseMap<Operation *, size_t> numbers;
  llvm::DenseMap<Value, int64_t> values;               ///< of indices and conditions
  llvm::DenseMap<Value, SmallVector<int64_t>> extents; ///< of buffers
};

} // namespace

void StepWalk::runArithmetic(Operation &op) {
  auto operand = [&](unsigned i) { return valueOf(op.getOperand(i)); };
  auto unsignedDiv = [](int64_t a, int64_t b) { return b > 0 ? a / b : 0; };
  std::optional<int64_t> value =
      llvm::TypeSwitch<Operation *, std::optional<int64_t>>(&op)
          .Case(
              [&](arith::ConstantOp constant) { return getConstantIntValue(constant.getResult()); })
          .Case([&](arith::AddIOp) { return operand(0) + operand(1); })
          .Case([&](arith::SubIOp) { return operand(0) - operand(1); })
          .Case([&](arith::MulIOp) { return operand(0) * operand(1); })
          .Case([&](arith::DivUIOp) { return unsignedDiv(operand(0), operand(1)); })
          .Case([&](arith::CeilDivUIOp) {
            return unsignedDiv(operand(0) + operand(1) - 1, operand(1));
          })
          .Case([&](arith::MinUIOp) { return std::min(operand(0), operand(1)); })
          .Case([&](arith::MaxUIOp) { return std::max(operand(0), operand(1)); })
          .Case([&](arith::CmpIOp compare) -> int64_t {
            return arith::applyCmpPredicate(compare.getPredicate(), APInt(64, operand(0)),
                                            APInt(64, operand(1)));
          })
          .Case([&](lm::TokenCountOp) { return shape.rows; })
          .Case([&](lm::OutputCountOp) { return shape.outputs; })
          .Case([&](lm::QueryTileCountOp) { return int64_t(1); })
          .Case([&](lm::BlockCountOp) { return blocksOfSequence(); })
          .Case([&](lm::LayerKindOp kind) { return kind.getKinds()[operand(0)]; })
          .Case([&](memref::DimOp dim) { return extent(dim.getSource(), operand(1)); })
          .Default(std::optional<int64_t>());
  if (value)
    values[op.getResult(0)] = *value;
}

/// Notes the extents of a buffer.
void StepWalk::runView(Operation &op) {
  llvm::TypeSwitch<Operation *>(&op)
      .Case([&](memref::ViewOp view) {
        auto sizes = view.getSizes().begin();
        SmallVector<int64_t> &own = extents[view];
        own.assign(view.getType().getShape());
        for (int64_t &size : own)
          if (ShapedType::isDynamic(size))
            size = valueOf(*sizes++);
      })
      .Case([&](memref::SubViewOp view) {
        SmallVector<int64_t> own;
        for (OpFoldResult size : view.getMixedSizes())
          own.push_back(valueOf(size));
        extents[view] = own;
      })
      .Case([&](memref::CastOp cast) {
        SmallVector<int64_t> own;
        for (unsigned i = 0; i < static_cast<unsigned>(cast.getType().getRank()); ++i)
          own.push_back(extent(cast.getSource(), i));
        extents[cast] = own;
      })
      .Case<lm::TokenIdsOp, lm::PositionsOp>(
          [&](auto ids) { extents[ids->getResult(0)] = {shape.rows}; })
      .Case([&](lm::OutputRowsOp ids) { extents[ids->getResult(0)] = {shape.outputs}; })
      .Case([&](lm::LogitsOp logits) {
        extents[logits->getResult(0)] = {shape.outputs, extentOf(logits->getResult(0), 1)};
      });
}

void StepWalk::runControl(Operation &op) {
  llvm::TypeSwitch<Operation *>(&op)
      .Case([&](lm::PhaseOp phase) { addPhase(phase); })
      .Case([&](scf::ForOp loop) {
        for (int64_t i = valueOf(loop.getLowerBound()), end = valueOf(loop.getUpperBound());
             i < end; i += std::max<int64_t>(valueOf(loop.getStep()), 1)) {
          values[loop.getInductionVar()] = i;
          run(*loop.getBody());
        }
      })
      .Case([&](scf::IfOp branch) {
        Region &region =
            valueOf(branch.getCondition()) ? branch.getThenRegion() : branch.getElseRegion();
        if (!region.empty())
          run(region.front());
      })
      .Case([&](scf::IndexSwitchOp choice) {
        const int64_t value = valueOf(choice.getArg());
        for (auto [index, which] : llvm::enumerate(choice.getCases()))
          if (which == value)
            return run(choice.getCaseBlock(static_cast<unsigned>(index)));
        run(choice.getDefaultBlock());
      });
}

void StepWalk::run(Block &block) {
  for (Operation &op : block) {
    if (op.getNumRegions() > 0)
      runControl(op);
    else if (op.getNumResults() == 1 && isa<MemRefType>(op.getResult(0).getType()))
      runView(op);
    else if (op.getNumResults() == 1)
      runArithmetic(op);
  }
}

void StepWalk::addPhase(lm::PhaseOp phase) {
  PhaseCost &cost = phases[numbers.lookup(phase)];
  ++cost.runs;
  for (Operation &op : phase.getBody().front()) {
    const int64_t rows =
        op.getNumOperands() > 0 && isa<MemRefType>(op.getOperands().back().getType())
            ? extent(op.getOperands().back(), 0)
            : shape.rows;
    addOperands(op, cost, rows);
    addOperations(op, cost);
    // Tiles of products that are for blocks of threads have many columns.
    cost.isOnTensorCores |= isa<lm::AttendTilesOp, lm::AttendPiecesOp>(op) ||
                            (phase.getWarps() > 0 && phase.getPanels() > 0);
  }
}

/// How much of `buffer` is used: there is room for more pieces than a sequence may have.
double StepWalk::usedShare(Operation &op, Value buffer) const {
  return llvm::TypeSwitch<Operation *, double>(&op)
      .Case<lm::AttendPiecesOp, lm::JoinPiecesOp>([&](auto piecewise) {
        if (piecewise.getParts() != buffer)
          return 1.0;
        const auto positions = static_cast<double>(shape.first + shape.rows);
        return std::min(1.0, std::ceil(positions / static_cast<double>(piecewise.getPiece())) /
                                 static_cast<double>(piecewise.getPieces()));
      })
      .Default(1.0);
}

/// Buffers, and of weights what `rows` rows of the result need.
void StepWalk::addOperands(Operation &op, PhaseCost &cost, int64_t rows) {
  const bool looksUp = isa<lm::EmbeddingOp>(op), selects = isa<lm::SelectRowsOp>(op);
  for (Value operand : op.getOperands()) {
    if (auto type = dyn_cast<MemRefType>(operand.getType())) {
      double bytes = type.getElementTypeBitWidth() / 8.0;
      for (unsigned i = 0; i < static_cast<unsigned>(type.getRank()); ++i)
        bytes *= static_cast<double>(i == 0 && selects ? rows : extent(operand, i));
      cost.bytes += bytes * usedShare(op, operand);
    }
    auto load = operand.getDefiningOp<lm::LoadWeightOp>();
    if (!load)
      continue;
    auto weight = module.lookupSymbol<lm::WeightOp>(load.getWeight());
    ArrayRef<int64_t> sizes = cast<ShapedType>(operand.getType()).getShape();
    const int64_t matrixRows = sizes.size() == 1 ? 1 : sizes[sizes.size() - 2];
    double bytes = static_cast<double>(packedBytes(weight.getPackedAttr().getLayout(),
                                                   weight.getPackedAttr().getElement(), matrixRows,
                                                   sizes.back()));
    if (looksUp)
      bytes *= static_cast<double>(std::min(rows, matrixRows)) / static_cast<double>(matrixRows);
    auto matrices = static_cast<double>(weight.getNumMatrices());
    if (weight.getNumExperts() > 0) {
      const double picked = static_cast<double>(rows) / static_cast<double>(shape.rows);
      matrices *= 1 - std::pow(1 - std::min(picked / matrices, 1.0), double(shape.rows));
    }
    cost.bytes += bytes * matrices;
  }
}

void StepWalk::addOperations(Operation &op, PhaseCost &cost) {
  // Each element of the result is one sum.
  auto product = [&](Value out, Value weight, int64_t matrices) {
    ArrayRef<int64_t> sizes = cast<ShapedType>(weight.getType()).getShape();
    cost.operations += 2.0 * static_cast<double>(extent(out, 0)) *
                       static_cast<double>(extent(out, 1)) * static_cast<double>(sizes.back()) *
                       static_cast<double>(matrices);
  };
  llvm::TypeSwitch<Operation *>(&op)
      .Case<lm::LinearOp, lm::HeadLinearOp, moe::GroupedMatmulOp>(
          [&](auto linear) { product(linear.getOut(), linear.getWeight(), 1); })
      .Case([&](moe::GroupedGluOp glu) { product(glu.getOut(), glu.getGate(), 2); })
      .Case([&](moe::GateOp gate) {
        ArrayRef<int64_t> sizes = cast<ShapedType>(gate.getRouter().getType()).getShape();
        cost.operations += 2.0 * static_cast<double>(extent(gate.getTokens(), 0)) *
                           static_cast<double>(sizes[0]) * static_cast<double>(sizes[1]);
      })
      .Case([&](lm::AttentionOp attention) {
        const int64_t chosen = attention.getChosen() ? extentOf(attention.getChosen(), 1) - 1 : 0;
        addAttention(lm::cacheOf(attention), attention.getQueries(), chosen, cost);
      })
      .Case<lm::ChooseKeysOp, lm::AttendTilesOp, lm::AttendPiecesOp>([&](auto attention) {
        addAttention(lm::cacheOf(attention), attention.getQueries(), 0, cost);
      });
}

/// Blocks of positions that the sequence has.
int64_t StepWalk::blocksOfSequence() {
  auto caches = module.getOps<lm::CacheOp>();
  if (caches.empty())
    return 0;
  const auto block = static_cast<int64_t>((*caches.begin()).getBlock());
  return (shape.first + shape.rows + block - 1) / block;
}

void StepWalk::addAttention(lm::CacheOp cache, Value queries, int64_t chosen,
                            PhaseCost &cost) const {
  const int64_t heads = extentOf(queries, 1) / static_cast<int64_t>(cache.getSize());
  const int64_t window = cache.getWindow(), chunk = cache.getChunk();
  double seen = 0; // positions, of all rows
  for (int64_t row = 0; row < shape.rows; ++row) {
    int64_t own = shape.first + row + 1;
    if (window > 0)
      own = std::min(own, window);
    if (chunk > 0)
      own = (own - 1) % chunk + 1;
    if (chosen > 0)
      own = std::min(own, chosen);
    seen += static_cast<double>(own);
  }
  const auto size = static_cast<double>(cache.getSize()),
             values = static_cast<double>(cache.getValueSize());
  cost.operations += 2 * seen * static_cast<double>(heads) * (size + values);
  // Each position once, if any row sees it.
  int64_t read = shape.first + shape.rows;
  for (int64_t most : {window, chunk})
    if (most > 0)
      read = std::min(read, most + shape.rows - 1);
  const double elements = size + (cache.getLatent() ? 0 : values);
  cost.bytes += std::min(static_cast<double>(read), seen) * static_cast<double>(cache.getHeads()) *
                elements * cache.getElement().getIntOrFloatBitWidth() / 8.0;
}

std::vector<PhaseCost> moec::costOfStep(ModuleOp scheduled, const StepShape &shape) {
  return StepWalk(scheduled, shape).take();
}

double moec::leastSeconds(const PhaseCost &phase, const MachineRates &rates) {
  const double rate = phase.isOnTensorCores ? rates.tensorOperations : rates.otherOperations;
  return std::max(phase.bytes / rates.bytes, phase.operations / rate) +
         static_cast<double>(phase.runs) * rates.secondsPerPhase;
}
