// Products of codes and rows that are integers, as lm.quantize makes them: exact sums of a group,
// then its scales.

#include "compiler/targets/cuda/CodeFragments.h"
#include "compiler/targets/cuda/CodeStages.h"
#include "dialects/DestinationStyle.h"

using namespace mlir;
using namespace moec;

/// Elements of K that the instruction multiplies: as many as a group has, where it is not all of K.
static constexpr int64_t kStepDepth = 2 * kMmaDepth;
static_assert(kStepDepth == kQuantChunk);
static constexpr int64_t kSteps = kCodesDepth / kStepDepth;

/// 1.5 * 2^23: integers below 2^22 added to its bits make bits of floats that are as much larger.
/// A group's sums are.
static constexpr int64_t kMagicBits = 0x4b400000;
static constexpr double kMagic = 0x1.8p23;

/// Whether all of K is one group, whose sums stay integers to the end.
static bool isOneGroup(QuantFormat format) { return traitsOf(format).group == 0; }

/// Bytes of a row of activations in memory from one step to the next.
static int64_t blockBytes(QuantFormat format) {
  return kStepDepth + (isOneGroup(format) ? 0 : kBlockTailBytes);
}
/// Bytes of a row in a stage, and from one row to the next: so that 8 rows' words of the same place
/// are in as many banks as there are.
static int64_t rowStageBytes(QuantFormat format) { return kSteps * blockBytes(format); }
static int64_t rowPitch(QuantFormat format) { return rowStageBytes(format) + 16; }

int64_t moec::integerCodesStageBytes(const MmaTile &tile, QuantFormat format) {
  return roundUpTo(codesStageBytes(tile, format) + tile.rows * rowPitch(format), 128);
}

namespace {

class IntegerCodesKernel final : public CodesKernel {
public:
  using CodesKernel::CodesKernel;

private:
  int64_t stageBytes() const override { return integerCodesStageBytes(tile, format); }
  Type sumType() override { return isOneGroup(format) ? kernel.i32() : kernel.f32(); }
  void findSources() override {
    findCodes();
    findRows();
  }
  void copyStage(Value step, Value stage) override {
    copyCodes(step, stage);
    copyRows(step, stage);
  }
  Values multiplyStage(Value stage, ValueRange sums) override;
  Value finished(Value sum, int64_t matrix, Value row, Value column) override;

  void findRows();
  void copyRows(Value step, Value stage);
  int64_t copiesPerRow() const { return rowStageBytes(format) / rows.alignment; }
  /// Where a stage has byte `byte` of row `row` (i64) of the tile.
  Value rowAt(Value stage, Value row, int64_t byte) {
    Value place = kernel.mul(row, kernel.integer(rowPitch(format)));
    return sharedAt(sharedAt(stage, place), codesStageBytes(tile, format) + byte);
  }

  SmallVector<Values> loadWeights(Value stage, int64_t part);
  /// Of a lane's column of a part, for each step, by what products with it are multiplied, and what
  /// is added for each unit of the activations' sum.
  struct ColumnScales {
    Values scales, zeros;
  };
  ColumnScales loadScales(Value stage, Value column);
  void scaleSums(ArrayRef<Value> integers, ArrayRef<Value> rowScales, ArrayRef<Value> rowSums,
                 ArrayRef<ColumnScales> columns, int64_t step, MutableArrayRef<Value> sums);

  /// Where a thread's copy of a part of a row comes from and goes to in a stage.
  struct PartSource {
    Value from, to, byte, isThere; ///< `byte`: which of the row's in a stage
  };
  SmallVector<PartSource> parts; ///< of each pass of copies
};

} // namespace

void IntegerCodesKernel::findRows() {
  const int64_t all = tile.rows * copiesPerRow();
  for (int64_t begin = 0; begin < all; begin += threads()) {
    Value number = kernel.add(thread, kernel.integer(begin));
    Value row = kernel.div(number, kernel.integer(copiesPerRow()));
    Value byte = kernel.mul(kernel.rem(number, kernel.integer(copiesPerRow())),
                            kernel.integer(rows.alignment));
    auto [offset, isRow] = findRow(row);
    Value to = kernel.add(kernel.mul(row, kernel.integer(rowPitch(format))), byte);
    parts.push_back(
        {kernel.addressBytes(kernel.addressBytes(rows.base, offset), byte), to, byte, isRow});
  }
}

void IntegerCodesKernel::copyRows(Value step, Value stage) {
  const int64_t stageBytes = rowStageBytes(format),
                groups = roundUpTo(depth, kStepDepth) / kStepDepth,
                inMemory = groups * blockBytes(format), all = tile.rows * copiesPerRow();
  Value from = kernel.mul(step, kernel.integer(stageBytes));
  Value base = sharedAt(stage, codesStageBytes(tile, format));
  for (auto [pass, part] : llvm::enumerate(parts)) {
    auto put = [&, &part = part] {
      Value isThere = part.isThere, at = from;
      if (inMemory % stageBytes != 0) {
        Value isInside = kernel.compare(arith::CmpIPredicate::slt, kernel.add(from, part.byte),
                                        kernel.integer(inMemory));
        at = kernel.select(isInside, from, kernel.integer(0));
        isThere = kernel.bitAnd(isThere, isInside);
      }
      copy(sharedAt(base, part.to), kernel.addressBytes(part.from, at),
           presentIf(isThere, {}, rows.alignment), rows.alignment);
    };
    const int64_t left = all - static_cast<int64_t>(pass) * threads();
    if (left >= threads())
      put();
    else
      kernel.when(kernel.compare(arith::CmpIPredicate::slt, thread, kernel.integer(left)), put);
  }
}

/// Registers of a part for each step.
SmallVector<MmaKernel::Values> IntegerCodesKernel::loadWeights(Value stage, int64_t part) {
  SmallVector<Values> weights;
  Value t = arith::TruncIOp::create(kernel.builder, kernel.loc, kernel.i32(),
                                    kernel.rem(lane, kernel.integer(4)));
  auto addWords = [&](std::array<std::array<Value, 2>, 2> words) {
    weights.push_back({words[0][0], words[1][0], words[0][1], words[1][1]});
  };
  const auto above = static_cast<size_t>(quantBitsAbove(format));
  Values low;
  for (int64_t step = 0; step < kSteps; ++step) {
    if (traitsOf(format).bits == 8) {
      weights.push_back(loadCodes(stage, part, 2 * step, 4));
      continue;
    }
    std::array<std::array<Value, 2>, 2> words;
    if (traitsOf(format).codes == QuantCodes::Integers && step % 2 == 0)
      low = loadCodes(stage, part, step, 4);
    for (size_t eight = 0; eight < 2; ++eight) {
      Value column = laneColumn(part, 8 * static_cast<int64_t>(eight));
      if (traitsOf(format).codes == QuantCodes::Floats4) {
        Value byte = kernel.mul(kernel.rem(lane, kernel.integer(2)), kernel.integer(8));
        Value at = lowAt(stage, column, step, byte);
        words[eight] = emitFloat4Integers(
            kernel, {kernel.load(kernel.i32(), at), kernel.load(kernel.i32(), sharedAt(at, 4))}, t);
        continue;
      }
      Values others;
      for (size_t i = 0; i < above; ++i)
        others.push_back(kernel.load(kernel.i32(), highAt(stage, column,
                                                          4 * (step * static_cast<int64_t>(above) +
                                                               static_cast<int64_t>(i)))));
      words[eight] =
          emitIntegers(kernel, format, low[static_cast<size_t>(step % 2 * 2) + eight], others, t);
    }
    addWords(words);
  }
  return weights;
}

IntegerCodesKernel::ColumnScales IntegerCodesKernel::loadScales(Value stage, Value column) {
  ColumnScales found;
  const Type i32 = kernel.i32(), f32 = kernel.f32();
  auto byteOf = [&](Value word, int64_t number) {
    return kernel.bitAnd(number ? kernel.shiftRight(word, 8 * number) : word,
                         kernel.integer(i32, 255));
  };
  if (traitsOf(format).codes == QuantCodes::Floats4) { // exponents, as floats have theirs
    Value word = kernel.load(i32, scaleAt(stage, column));
    for (int64_t step = 0; step < kSteps; ++step)
      found.scales.push_back(kernel.mul(
          kernel.bitcast(f32, kernel.shiftLeft(byteOf(word, step), 23)), kernel.number(f32, 0.5)));
    return found;
  }
  const Type f16 = kernel.builder.getF16Type();
  Value scales = kernel.widen(kernel.load(VectorType::get(kSteps, f16), scaleAt(stage, column), 8));
  for (int64_t step = 0; step < kSteps; ++step) {
    Value scale = LLVM::ExtractElementOp::create(kernel.builder, kernel.loc, scales,
                                                 kernel.integer(i32, step));
    found.scales.push_back(
        kernel.mul(scale, kernel.number(f32, 1.0 / static_cast<double>(integerUnit(format)))));
  }
  if (!traitsOf(format).hasZeros)
    return found;
  // Codes were made signed by taking their middle, which counts in sixteenths as zeros do.
  static_assert(kZeroSteps == integerUnit(QuantFormat::Int4Asymmetric));
  Value word = kernel.load(i32, zeroAt(stage, column)),
        middle = kernel.integer(i32, bandTurned(format) * kZeroSteps);
  for (int64_t step = 0; step < kSteps; ++step)
    found.zeros.push_back(arith::SIToFPOp::create(kernel.builder, kernel.loc, f32,
                                                  kernel.sub(middle, byteOf(word, step))));
  return found;
}

/// Adds a group's sums of a part and a row tile, with their scales, to those so far.
void IntegerCodesKernel::scaleSums(ArrayRef<Value> integers, ArrayRef<Value> rowScales,
                                   ArrayRef<Value> rowSums, ArrayRef<ColumnScales> columns,
                                   int64_t step, MutableArrayRef<Value> sums) {
  for (size_t i = 0; i < 4; ++i) {
    const ColumnScales &column = columns[i / 2];
    Value value =
        kernel.sub(kernel.bitcast(kernel.f32(), integers[i]), kernel.number(kernel.f32(), kMagic));
    if (!column.zeros.empty())
      value = kernel.fma(column.zeros[static_cast<size_t>(step)], rowSums[i % 2], value);
    sums[i] = kernel.fma(kernel.mul(value, rowScales[i % 2]),
                         column.scales[static_cast<size_t>(step)], sums[i]);
  }
}

MmaKernel::Values IntegerCodesKernel::multiplyStage(Value stage, ValueRange sums) {
  Values after(sums);
  SmallVector<SmallVector<Values>> weights; // [part][step]
  SmallVector<std::array<ColumnScales, 2>> columns;
  for (int64_t part = 0; part < tile.columnTiles; ++part) {
    weights.push_back(loadWeights(stage, part));
    if (!isOneGroup(format))
      columns.push_back(
          {loadScales(stage, laneColumn(part, 0)), loadScales(stage, laneColumn(part, 8))});
  }
  Value laneRow = kernel.div(lane, kernel.integer(4)),
        four = kernel.mul(kernel.rem(lane, kernel.integer(4)), kernel.integer(4)),
        twoRows = kernel.mul(kernel.rem(lane, kernel.integer(4)), kernel.integer(2));
  const SmallVector<Value, 4> magic(4, kernel.integer(kernel.i32(), kMagicBits));
  for (int64_t step = 0; step < kSteps; ++step)
    for (int64_t row = 0; row < rowTiles(); ++row) {
      const int64_t block = step * blockBytes(format);
      Value at =
          sharedAt(rowAt(stage, kernel.add(laneRow, kernel.integer(row * kMmaRows)), block), four);
      const Value activations[] = {kernel.load(kernel.i32(), at),
                                   kernel.load(kernel.i32(), sharedAt(at, kStepDepth / 2))};
      Values rowScales, rowSums;
      for (int64_t i = 0; i < 2 && !isOneGroup(format); ++i) {
        Value tail = rowAt(stage, kernel.add(twoRows, kernel.integer(row * kMmaRows + i)),
                           block + kStepDepth);
        rowScales.push_back(kernel.load(kernel.f32(), tail));
        if (traitsOf(format).hasZeros)
          rowSums.push_back(arith::SIToFPOp::create(kernel.builder, kernel.loc, kernel.f32(),
                                                    kernel.load(kernel.i32(), sharedAt(tail, 4))));
      }
      for (int64_t part = 0; part < tile.columnTiles; ++part) {
        const Values &own = weights[static_cast<size_t>(part)][static_cast<size_t>(step)];
        auto these = MutableArrayRef(after).slice(sumsAt(part, row), 4);
        if (isOneGroup(format))
          llvm::copy(multiplyBytes(own, activations, these), these.begin());
        else
          scaleSums(multiplyBytes(own, activations, magic), rowScales, rowSums,
                    columns[static_cast<size_t>(part)], step, these);
      }
    }
  return after;
}

Value IntegerCodesKernel::finished(Value sum, int64_t matrix, Value row, Value column) {
  if (!isOneGroup(format))
    return sum;
  const Type f16 = kernel.builder.getF16Type();
  Value from = kernel.addressBytes(rows.base, findRow(row).first);
  Value rowScale = kernel.load(kernel.f32(), kernel.address(from, roundUpTo(depth, kStepDepth)));
  Value scales = kernel.address(bandOf(matrix, column), bandScalesAt(format, depth));
  Value scale = kernel.widen(
      kernel.load(f16, kernel.address(scales, f16, kernel.rem(column, kernel.integer(kBandRows)))));
  Value value = arith::SIToFPOp::create(kernel.builder, kernel.loc, kernel.f32(), sum);
  return kernel.mul(kernel.mul(value, rowScale), scale);
}

std::unique_ptr<MmaKernel> moec::makeIntegerCodesKernel(ThreadBuilder &kernel,
                                                        const MmaOperands &operands) {
  return std::make_unique<IntegerCodesKernel>(kernel, operands);
}
