// Products of codes that become bf16 in registers: fp8, and mxfp4 where rows are of bf16.

#include "compiler/targets/cuda/CodeFragments.h"
#include "compiler/targets/cuda/CodeStages.h"

using namespace mlir;
using namespace moec;

int64_t moec::floatCodesStageBytes(const MmaTile &tile, QuantFormat format) {
  return codesStageBytes(tile, format) + tile.rows * kCodesDepth * 2;
}

namespace {

class FloatCodesKernel final : public CodesKernel {
public:
  using CodesKernel::CodesKernel;

private:
  bool hasScaledElements() const { return traitsOf(format).codes == QuantCodes::Floats4; }
  int64_t stageBytes() const override { return floatCodesStageBytes(tile, format); }
  void findSources() override {
    findCodes();
    findBf16Rows();
  }
  void copyStage(Value step, Value stage) override {
    copyCodes(step, stage);
    copyBf16Rows(planesOf(stage), kernel.mul(step, kernel.integer(kCodesDepth)), 2);
  }
  Values multiplyStage(Value stage, ValueRange sums) override;

  Value planesOf(Value stage) { return sharedAt(stage, codesStageBytes(tile, format)); }
  Values loadExponents(Value stage, int64_t part);
  void promote(Value stage, ArrayRef<Value> products, MutableArrayRef<Value> sums);
};

} // namespace

/// Of a lane's two columns of a part the exponents of the four groups of a stage.
MmaKernel::Values FloatCodesKernel::loadExponents(Value stage, int64_t part) {
  Values exponents;
  for (int64_t eight : {0, 8})
    exponents.push_back(kernel.load(kernel.i32(), scaleAt(stage, laneColumn(part, eight))));
  return exponents;
}

/// Adds the sums of a stage, which is a group, with its scales to those so far.
void FloatCodesKernel::promote(Value stage, ArrayRef<Value> products, MutableArrayRef<Value> sums) {
  for (int64_t part = 0; part < tile.columnTiles; ++part) {
    std::array<Value, 2> scales;
    for (size_t i = 0; i < scales.size(); ++i)
      scales[i] =
          kernel.load(kernel.f32(), scaleAt(stage, laneColumn(part, 8 * static_cast<int64_t>(i))));
    for (int64_t row = 0; row < rowTiles(); ++row)
      for (size_t i = 0; i < 4; ++i) {
        Value &sum = sums[sumsAt(part, row) + i];
        sum = kernel.fma(products[sumsAt(part, row) + i], scales[i / 2], sum);
      }
  }
}

MmaKernel::Values FloatCodesKernel::multiplyStage(Value stage, ValueRange sums) {
  Values after(sums), products;
  if (hasScaledElements())
    products = after;
  else
    products.assign(sums.size(), kernel.number(kernel.f32(), 0));
  SmallVector<Values> exponents;
  for (int64_t part = 0; hasScaledElements() && part < tile.columnTiles; ++part)
    exponents.push_back(loadExponents(stage, part));
  // Of a part what ldmatrix gives at a time: two chunks of a row, and of one eight further on.
  const int64_t chunkSteps = kCopyBytes * 8 / traitsOf(format).bits / kMmaDepth;
  SmallVector<Values> words(static_cast<size_t>(tile.columnTiles));
  for (int64_t step = 0; step < kCodesDepth / kMmaDepth; ++step) {
    const int64_t chunk = step / chunkSteps;
    Values activations = loadBf16Rows(planesOf(stage), step);
    for (int64_t part = 0; part < tile.columnTiles; ++part) {
      Values &own = words[static_cast<size_t>(part)];
      if (step % (2 * chunkSteps) == 0)
        own = loadCodes(stage, part, chunk, 4);
      Value weights[4];
      for (size_t eight = 0; eight < 2; ++eight) {
        Value word = own[static_cast<size_t>(chunk % 2 * 2) + eight];
        std::array<Value, 2> pairs;
        if (hasScaledElements()) {
          Value scale = emitFloat4Scale(kernel, exponents[static_cast<size_t>(part)][eight], chunk);
          for (size_t i = 0; i < 2; ++i)
            pairs[i] = emitFloat4Pair(kernel, word, step % chunkSteps * 2 + static_cast<int64_t>(i),
                                      scale);
        } else {
          pairs = emitFloat8Pairs(kernel, word);
        }
        weights[eight] = pairs[0];
        weights[2 + eight] = pairs[1];
      }
      for (int64_t row = 0; row < rowTiles(); ++row)
        multiply(weights, ArrayRef(activations).slice(static_cast<size_t>(2 * row), 2),
                 MutableArrayRef(products).slice(sumsAt(part, row), 4));
    }
  }
  if (hasScaledElements())
    return products;
  promote(stage, products, after);
  return after;
}

std::unique_ptr<MmaKernel> moec::makeFloatCodesKernel(ThreadBuilder &kernel,
                                                      const MmaOperands &operands) {
  return std::make_unique<FloatCodesKernel>(kernel, operands);
}
