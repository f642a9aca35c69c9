// The product function of quantised weights: integer sums within a group, then its scales.

#include "compiler/targets/cpu/ProductFunctions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include <array>

using namespace mlir;
using namespace moec;

static constexpr int64_t kWordBytes = 4;

/// How a level multiplies integers of a format.
enum class Multiplication {
  Bytes,     ///< four bytes of a lane, into i32
  BytePairs, ///< two bytes of a lane, into i16, and some of these sums into i32
  Words,     ///< two i16 of a lane, into i32
};

/// The middle of the doubled floats of 4 bits, which are multiplied as what they are above the
/// least.
static constexpr int64_t kFloatMiddle = doubledFloat4(7);

/// How many sums of two bytes' products are sure to fit an i16; 0 where none is.
static int64_t fittingPairs(const QuantTraits &traits) {
  const int64_t most = traits.isFloat ? 2 * kFloatMiddle : (1 << traits.bits) - 1;
  return 0x7fff / (2 * most * 127);
}

static Multiplication multiplicationOf(const CpuTarget &target, QuantFormat format) {
  if (target.integerDot == IntegerDot::Bytes)
    return Multiplication::Bytes;
  return target.integerDot == IntegerDot::Words && fittingPairs(traitsOf(format)) > 0
             ? Multiplication::BytePairs
             : Multiplication::Words;
}

/// Activations of a chunk as the multiplication takes them. Bytes as they are: four in a word. Else
/// two words for four of them, the first and third as i16, and all the chunk's words of second and
/// fourth ones behind.
static int64_t preparedChunkBytes(const CpuTarget &target, QuantFormat format) {
  return multiplicationOf(target, format) == Multiplication::Words ? 2 * kQuantChunk : kQuantChunk;
}

/// The code that stands for 0 once a kernel has read it.
static int64_t zeroOf(const QuantTraits &traits) {
  return traits.isFloat ? kFloatMiddle : traits.zero;
}

static int64_t chunksPerGroup(const PanelShape &shape) {
  return quantGroup(*quantFormatOf(shape.element), shape.depth) / kQuantChunk;
}

int64_t moec::preparedRowBytes(const CpuTarget &target, const PanelShape &shape) {
  const QuantFormat format = *quantFormatOf(shape.element);
  return quantGroups(format, shape.depth) *
         (chunksPerGroup(shape) * preparedChunkBytes(target, format) + kBlockTailBytes);
}

void moec::prepareRows(KernelBuilder &kernel, const PanelShape &shape, Value rows, Value height,
                       Value room) {
  const QuantFormat format = *quantFormatOf(shape.element);
  if (multiplicationOf(kernel.target, format) != Multiplication::Words)
    return;
  const int64_t chunks = chunksPerGroup(shape), chunkBytes = 2 * kQuantChunk;
  const int64_t fromBytes = chunks * kQuantChunk + kBlockTailBytes,
                toBytes = chunks * chunkBytes + kBlockTailBytes;
  const Value groups = kernel.integer(quantGroups(format, shape.depth));
  const VectorType words = kernel.lanes(kernel.i16(), kLanes), tail = kernel.lanes(kernel.i32(), 2);
  const Value rowBytes = kernel.integer(preparedRowBytes(kernel.target, shape));
  kernel.loop(kernel.integer(0), height, 1, [&](Value row) {
    Value place = kernel.address(rows, kernel.pointer(), row);
    Value from = kernel.load(kernel.pointer(), place);
    Value to = kernel.addressBytes(room, kernel.mul(row, rowBytes));
    kernel.store(to, place);
    kernel.loop(kernel.integer(0), groups, 1, [&](Value group) {
      Value source = kernel.addressBytes(from, kernel.mul(group, kernel.integer(fromBytes)));
      Value target = kernel.addressBytes(to, kernel.mul(group, kernel.integer(toBytes)));
      kernel.loop(kernel.integer(0), kernel.integer(chunks), 1, [&](Value chunk) {
        Value pairs = kernel.load(
            words, kernel.addressBytes(source, kernel.mul(chunk, kernel.integer(kQuantChunk))), 1);
        Value out = kernel.addressBytes(target, kernel.mul(chunk, kernel.integer(chunkBytes)));
        Value eight = kernel.integer(words, 8);
        auto upper = [&](Value value) -> Value {
          return arith::ShRSIOp::create(kernel.builder, kernel.loc, value, eight);
        };
        kernel.store(upper(kernel.shiftLeft(pairs, 8)), out);
        kernel.store(upper(pairs), kernel.address(out, kQuantChunk));
      });
      kernel.store(kernel.load(tail, kernel.address(source, chunks * kQuantChunk)),
                   kernel.address(target, chunks * chunkBytes));
    });
  });
}

namespace {

/// The body of a product function: register tiles of some rows by some vectors of columns, over all
/// groups.
class QuantizedProduct {
public:
  QuantizedProduct(KernelBuilder &kernel, QuantFormat format, const TileOperands &tile,
                   Value groups, Value chunks, Value vectors)
      : kernel(kernel), traits(traitsOf(format)), tile(tile), groups(groups), chunks(chunks),
        vectors(vectors), multiplication(multiplicationOf(kernel.target, format)),
        chunkBytes(preparedChunkBytes(kernel.target, format)),
        wordStride(kernel.mul(vectors, kernel.integer(kLanes * kWordBytes))),
        chunkStride(kernel.mul(wordStride, kernel.integer(quantChunkWords(format)))),
        codeBytes(kernel.mul(chunks, chunkStride)),
        blockBytes(kernel.add(kernel.mul(chunks, kernel.integer(chunkBytes)),
                              kernel.integer(kBlockTailBytes))) {
    Value tails =
        kernel.mul(vectors, kernel.integer(kLanes * (quantScaleBytes(format) + traits.hasZeros)));
    groupBytes = kernel.add(codeBytes, tails);
  }

  void emit();

private:
  /// Words of a chunk that hold codes, or the low four bits of them; and the quads of each.
  int64_t lowWords() const { return traits.bits == 8 ? 8 : 4; }
  int64_t quadsPerWord() const { return traits.bits == 8 ? 1 : 2; }
  /// Of codes whose low four bits lie apart, the bits above.
  int64_t bitsAbove() const { return traits.bits - 4; }
  bool hasHighWords() const { return traits.bits == 5 || traits.bits == 6; }

  void emitPass(ArrayRef<Value> rows, int64_t taken, Value from);
  SmallVector<Value> addChunk(ArrayRef<Value> activations, Value words, int64_t taken,
                              SmallVector<Value> sums);
  SmallVector<Value> loadQuad(int64_t quad, Value words, Value highWords, int64_t taken);
  SmallVector<Value> addQuad(ArrayRef<Value> activations, int64_t quad, ArrayRef<Value> codes,
                             SmallVector<Value> sums);
  SmallVector<Value> scaleGroup(ArrayRef<Value> blocks, Value record, Value from, int64_t taken,
                                ArrayRef<Value> integers, ArrayRef<Value> sums);
  Value loadBytes(Value at);

  KernelBuilder &kernel;
  const QuantTraits &traits;
  const TileOperands &tile;
  const Value groups;
  const Value chunks;  // of a group
  const Value vectors; // of the panel
  const Multiplication multiplication;
  const int64_t chunkBytes;
  const Value wordStride;  // bytes of the panel's words of one number
  const Value chunkStride; // of all its words of a chunk
  const Value codeBytes;   // of a group in the panel
  const Value blockBytes;  // of a row's activations for a group
  Value groupBytes;        // of a group in the panel
};

} // namespace

/// Adds the products of four columns of K; each of `codes` holds theirs in its lanes.
SmallVector<Value> QuantizedProduct::addQuad(ArrayRef<Value> activations, int64_t quad,
                                             ArrayRef<Value> codes, SmallVector<Value> sums) {
  const int64_t taken = codes.size();
  auto forSums = [&](int64_t offset, ArrayRef<Value> operands,
                     function_ref<Value(Value sum, Value a, Value b)> accumulate) {
    for (auto [row, base] : llvm::enumerate(activations)) {
      Value four = kernel.broadcast(
          kernel.load(kernel.i32(), kernel.address(base, offset + quad * kWordBytes)));
      for (int64_t v = 0; v < taken; ++v) {
        Value &sum = sums[row * taken + v];
        sum = accumulate(sum, operands[v], four);
      }
    }
  };
  if (multiplication == Multiplication::Bytes) {
    forSums(0, codes, [&](Value sum, Value a, Value b) { return kernel.byteDot(sum, a, b); });
    return sums;
  }
  if (multiplication == Multiplication::BytePairs) {
    forSums(0, codes,
            [&](Value sum, Value a, Value b) { return kernel.add(sum, kernel.bytePairs(a, b)); });
    return sums;
  }
  // The first and third code of each lane as i16, then the second and fourth.
  const VectorType words = kernel.lanes(kernel.i16(), 2 * kLanes);
  for (bool second : {false, true}) {
    SmallVector<Value> operands;
    for (Value code : codes) {
      Value pairs = kernel.bitcast(words, code);
      operands.push_back(second ? kernel.shiftRight(pairs, 8)
                                : kernel.bitAnd(pairs, kernel.integer(words, 0xff)));
    }
    forSums(second ? kQuantChunk : 0, operands,
            [&](Value sum, Value a, Value b) { return kernel.wordDot(sum, a, b); });
  }
  return sums;
}

/// What a kernel reads a float of 4 bits as.
static std::array<uint8_t, 16> floatTable() {
  std::array<uint8_t, 16> table;
  for (int64_t code = 0; code < 8; ++code) {
    table[code] = static_cast<uint8_t>(kFloatMiddle + doubledFloat4(code));
    table[code + 8] = static_cast<uint8_t>(kFloatMiddle - doubledFloat4(code));
  }
  return table;
}

/// The codes of four columns of K, a byte each; `words` and `highWords` are where those words of
/// the chunk are that have them, or their low four bits and the rest.
SmallVector<Value> QuantizedProduct::loadQuad(int64_t quad, Value words, Value highWords,
                                              int64_t taken) {
  const VectorType halves = kernel.lanes(kernel.i16(), 2 * kLanes);
  SmallVector<Value> codes;
  for (int64_t v = 0; v < taken; ++v) {
    auto load = [&](Value from) {
      return kernel.load(halves, kernel.address(from, v * kLanes * kWordBytes), 1);
    };
    Value code = load(words);
    if (traits.bits < 8) {
      if (quad % 2 == 1)
        code = kernel.shiftRight(code, 4);
      code = kernel.bitAnd(code, kernel.integer(halves, 0x0f0f));
    }
    if (hasHighWords()) {
      const int64_t bit = quad * bitsAbove() % 8, mask = ((1 << bitsAbove()) - 1) << 4;
      Value high = load(highWords);
      high = bit < 4 ? kernel.shiftLeft(high, 4 - bit) : kernel.shiftRight(high, bit - 4);
      code = kernel.bitOr(code, kernel.bitAnd(high, kernel.integer(halves, mask << 8 | mask)));
    }
    if (traits.isFloat)
      code = kernel.lookUp(floatTable(), code);
    codes.push_back(kernel.bitcast(kernel.lanes(kernel.i32()), code));
  }
  return codes;
}

/// Adds the products of a chunk; `activations` and `words` are where it begins.
SmallVector<Value> QuantizedProduct::addChunk(ArrayRef<Value> activations, Value words,
                                              int64_t taken, SmallVector<Value> sums) {
  const bool inPairs = multiplication == Multiplication::BytePairs;
  const VectorType pairs = kernel.lanes(kernel.i16(), 2 * kLanes);
  const SmallVector<Value> none(sums.size(), kernel.integer(pairs, 0));
  const int64_t quads = lowWords() * quadsPerWord();
  SmallVector<Value> inWords = none;
  Value highWords = kernel.addressBytes(words, kernel.mul(wordStride, kernel.integer(lowWords())));
  for (int64_t quad = 0; quad < quads; ++quad) {
    if (quad > 0 && quad % quadsPerWord() == 0)
      words = kernel.addressBytes(words, wordStride);
    if (hasHighWords() && quad > 0 && quad * bitsAbove() % 8 == 0)
      highWords = kernel.addressBytes(highWords, wordStride);
    const SmallVector<Value> codes = loadQuad(quad, words, highWords, taken);
    if (!inPairs) {
      sums = addQuad(activations, quad, codes, sums);
      continue;
    }
    inWords = addQuad(activations, quad, codes, inWords);
    const int64_t fitting = std::min(fittingPairs(traits), quads);
    if ((quad + 1) % fitting == 0 || quad + 1 == quads) {
      for (auto [sum, more] : llvm::zip(sums, inWords))
        sum = kernel.wordDot(sum, more, kernel.integer(pairs, 1));
      inWords = none;
    }
  }
  return sums;
}

/// A byte for each column, as i32.
Value QuantizedProduct::loadBytes(Value at) {
  return arith::ExtUIOp::create(kernel.builder, kernel.loc, kernel.lanes(kernel.i32()),
                                kernel.load(kernel.lanes(kernel.i8()), at));
}

/// Adds a group's integer sums, times their scales, to the sums so far.
SmallVector<Value> QuantizedProduct::scaleGroup(ArrayRef<Value> blocks, Value record, Value from,
                                                int64_t taken, ArrayRef<Value> integers,
                                                ArrayRef<Value> sums) {
  const VectorType floats = kernel.lanes(kernel.f32());
  const Type f16 = kernel.builder.getF16Type();
  Value column = kernel.mul(from, kernel.integer(kLanes));
  Value scalesAt = kernel.addressBytes(record, codeBytes);
  Value zerosAt = kernel.addressBytes(scalesAt, kernel.mul(vectors, kernel.integer(kLanes * 2)));
  SmallVector<Value> scales, zeros;
  for (int64_t v = 0; v < taken; ++v) {
    Value first = kernel.add(column, kernel.integer(v * kLanes));
    if (traits.isFloat) // an exponent above that of a unit, in whose place floats have theirs
      scales.push_back(kernel.mul(
          kernel.bitcast(floats,
                         kernel.shiftLeft(loadBytes(kernel.addressBytes(scalesAt, first)), 23)),
          kernel.number(floats, 0.5)));
    else
      scales.push_back(
          kernel.widen(kernel.load(kernel.lanes(f16), kernel.address(scalesAt, f16, first))));
    if (traits.hasZeros)
      zeros.push_back(arith::SIToFPOp::create(kernel.builder, kernel.loc, floats,
                                              loadBytes(kernel.addressBytes(zerosAt, first))));
  }
  SmallVector<Value> results(sums);
  for (auto [row, block] : llvm::enumerate(blocks)) {
    Value tail =
        kernel.addressBytes(block, kernel.sub(blockBytes, kernel.integer(kBlockTailBytes)));
    Value scale = kernel.broadcast(kernel.load(kernel.f32(), tail));
    Value shift;
    if (traits.hasZeros) {
      Value sum = arith::SIToFPOp::create(kernel.builder, kernel.loc, kernel.f32(),
                                          kernel.load(kernel.i32(), kernel.address(tail, 4)));
      shift = kernel.broadcast(
          kernel.mul(sum, kernel.number(kernel.f32(), -1.0 / static_cast<double>(kZeroSteps))));
    }
    for (int64_t v = 0; v < taken; ++v) {
      const int64_t index = static_cast<int64_t>(row) * taken + v;
      Value value = arith::SIToFPOp::create(kernel.builder, kernel.loc, floats, integers[index]);
      if (traits.hasZeros)
        value = kernel.fma(zeros[v], shift, value);
      results[index] = kernel.fma(kernel.mul(value, scale), scales[v], results[index]);
    }
  }
  return results;
}

/// The product of the rows with the `taken` vectors from `from` (i64) on.
void QuantizedProduct::emitPass(ArrayRef<Value> rows, int64_t taken, Value from) {
  const size_t count = rows.size() * taken;
  const SmallVector<Value> zeros(count, kernel.number(kernel.lanes(kernel.f32()), 0));
  Value offset = kernel.mul(from, kernel.integer(kLanes * kWordBytes));
  SmallVector<Value> sums =
      kernel.loop(kernel.integer(0), groups, 1, zeros, [&](Value group, ValueRange carried) {
        Value record = kernel.addressBytes(tile.panel, kernel.mul(group, groupBytes));
        Value skipped = kernel.mul(group, blockBytes);
        SmallVector<Value> blocks, starts;
        for (Value row : rows) {
          blocks.push_back(kernel.addressBytes(row, skipped));
          // Where zero is code z, a group's sum is that of the codes less z times that of the
          // activations.
          Value start = kernel.integer(kernel.i32(), 0);
          if (!traits.hasZeros) {
            Value at =
                kernel.addressBytes(blocks.back(), kernel.sub(blockBytes, kernel.integer(4)));
            start = kernel.mul(kernel.load(kernel.i32(), at),
                               kernel.integer(kernel.i32(), -zeroOf(traits)));
          }
          starts.append(taken, kernel.broadcast(start));
        }
        SmallVector<Value> integers =
            kernel.loop(kernel.integer(0), chunks, 1, starts, [&](Value chunk, ValueRange now) {
              Value ahead = kernel.mul(chunk, kernel.integer(chunkBytes));
              SmallVector<Value> activations;
              for (Value block : blocks)
                activations.push_back(kernel.addressBytes(block, ahead));
              Value words = kernel.addressBytes(kernel.addressBytes(record, offset),
                                                kernel.mul(chunk, chunkStride));
              return addChunk(activations, words, taken, SmallVector<Value>(now));
            });
        return scaleGroup(blocks, record, from, taken, integers, SmallVector<Value>(carried));
      });
  for (auto [index, sum] : llvm::enumerate(sums)) {
    Value vector = kernel.add(kernel.mul(kernel.integer(index / taken), vectors),
                              kernel.add(from, kernel.integer(index % taken)));
    kernel.store(sum, kernel.address(tile.sums, kernel.lanes(kernel.f32()), vector));
  }
}

void QuantizedProduct::emit() {
  emitRegisterTiles(
      kernel, tile, vectors, kernel.target.quantRows, kernel.target.quantLanes,
      [&](ArrayRef<Value> rows, int64_t taken, Value from) { emitPass(rows, taken, from); });
}

void moec::callQuantizedProduct(KernelBuilder &kernel, const PanelShape &shape,
                                const TileOperands &tile) {
  const QuantFormat format = *quantFormatOf(shape.element);
  SmallVector<Value> arguments = tile.asArguments();
  arguments.push_back(kernel.integer(quantGroups(format, shape.depth)));
  const bool oneChunk = traitsOf(format).group == kQuantChunk;
  if (!oneChunk)
    arguments.push_back(kernel.integer(chunksPerGroup(shape)));
  arguments.push_back(kernel.integer(shape.width / kLanes));
  kernel.call("product_i8_" + std::string(traitsOf(format).name), arguments,
              [&](KernelBuilder &inside, ValueRange given) {
                const auto operands = TileOperands::fromArguments(given);
                given = given.drop_front(TileOperands::kCount);
                Value chunks = oneChunk ? inside.integer(1) : given[1];
                QuantizedProduct(inside, format, operands, given[0], chunks, given.back()).emit();
              });
}
