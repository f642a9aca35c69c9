// The product function of weights quantised to integers: integer sums within a group, then its
// scales.

#include "compiler/targets/cpu/MatrixTiles.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include <array>

using namespace mlir;
using namespace moec;

static constexpr int64_t kWordBytes = 4;

/// How a level multiplies integers of a format.
enum class Multiplication {
  Bytes,      ///< four bytes of a lane, into i32
  BytePairs,  ///< two bytes of a lane, into i16, and some of these sums into i32
  Magnitudes, ///< the same of codes without their signs, which the activations take in
  Words,      ///< two i16 of a lane, into i32
};

/// The middle of the doubled floats of 4 bits, which are multiplied as what they are above the
/// least.
static constexpr int64_t kFloatMiddle = doubledFloat4(7);

/// How many sums of two products of bytes are sure to fit an i16 together, of activations from -127
/// to 127, as lm.quantize gives them.
static int64_t fittingPairs(const QuantTraits &traits) {
  const int64_t most =
      traits.codes == QuantCodes::Floats4 ? 2 * kFloatMiddle : (1 << traits.bits) - 1;
  return 0x7fff / (2 * most * 127);
}

static Multiplication multiplicationOf(const CpuTarget &target, QuantFormat format) {
  if (target.integerDot == IntegerDot::Bytes)
    return Multiplication::Bytes;
  if (target.integerDot == IntegerDot::Words &&
      fittingPairs(traitsOf(format)) >= quantQuadsPerWord(format))
    return Multiplication::BytePairs;
  return target.integerDot == IntegerDot::Words && target.vectorBytes == 32
             ? Multiplication::Magnitudes
             : Multiplication::Words;
}

/// Activations of a chunk as the multiplication takes them. Bytes as they are: four in a word. Else
/// two words for four of them, the first and third as i16, and all the chunk's words of second and
/// fourth ones behind.
static int64_t preparedChunkBytes(const CpuTarget &target, QuantFormat format) {
  return multiplicationOf(target, format) == Multiplication::Words ? 2 * kQuantChunk : kQuantChunk;
}

/// The code that stands for 0 once a kernel has read it.
static int64_t zeroOf(const QuantTraits &traits, Multiplication multiplication) {
  if (multiplication == Multiplication::Magnitudes)
    return 0;
  return traits.codes == QuantCodes::Floats4 ? kFloatMiddle : traits.zero;
}

static int64_t chunksPerGroup(const PanelShape &shape) {
  return quantGroup(*quantFormatOf(shape.element), shape.depth) / kQuantChunk;
}

/// Chunks that a step of the matrix registers takes: as many as they hold, if a group has so many.
static int64_t chunksPerStep(const PanelShape &shape) { return chunksPerGroup(shape) % 2 ? 1 : 2; }

/// Groups of one chunk that matrix registers multiply before their sums are scaled: as many as
/// leave room in the first cache, 24 KB of sums and 6 of codes.
static constexpr int64_t kGroupsAtOnce = 4;

int64_t moec::preparedRowBytes(const CpuTarget &target, const PanelShape &shape) {
  const QuantFormat format = *quantFormatOf(shape.element);
  return quantGroups(format, shape.depth) *
         (chunksPerGroup(shape) * preparedChunkBytes(target, format) + kBlockTailBytes);
}

void moec::prepareRows(CpuKernelBuilder &kernel, const PanelShape &shape, Value rows, Value height,
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
  /// Matrix registers, where there are any, take `stepChunks` at a time.
  QuantizedProduct(CpuKernelBuilder &kernel, QuantFormat format, const TileOperands &tile,
                   Value groups, Value chunks, Value vectors, int64_t stepChunks)
      : kernel(kernel), format(format), traits(traitsOf(format)), tile(tile), groups(groups),
        chunks(chunks), vectors(vectors), stepChunks(stepChunks),
        multiplication(multiplicationOf(kernel.target, format)),
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
  /// Whether a chunk's sums are of pairs, in i16, until its end.
  bool sumsPairs() const {
    return multiplication == Multiplication::BytePairs && fittingPairs(traits) >= kQuantChunk / 4;
  }

  /// What is multiplied at once: codes, or what stands for them, a vector for each of the columns'
  /// vectors; the activations that they meet are `offset` bytes behind those of the word.
  struct Part {
    int64_t offset;
    SmallVector<Value> factors;
    SmallVector<Value> signs; ///< for the activations to take in; empty unless Magnitudes
  };

  /// The integer sums of a group: of its record in the panel, and of its blocks of activations,
  /// from those to start with.
  using GroupSums = function_ref<SmallVector<Value>(
      Value group, Value record, ArrayRef<Value> blocks, ArrayRef<Value> starts)>;
  SmallVector<Value> addGroups(ArrayRef<Value> rows, int64_t taken, Value from, Value begin,
                               Value end, ArrayRef<Value> sums, GroupSums groupSums);
  void emitPass(ArrayRef<Value> rows, int64_t taken, Value from);
  void emitMatrices();
  void unpackGroup(Value record, Value room);
  void scaleSums(Value begin, Value end, Value integers);
  SmallVector<Value> addChunk(ArrayRef<Value> activations, Value chunk, int64_t taken,
                              SmallVector<Value> sums);
  SmallVector<SmallVector<Value>> loadCodes(Value chunk, Value word, int64_t taken);
  SmallVector<Part> partsOf(ArrayRef<Value> codes, int64_t quad);
  SmallVector<Value> addWord(ArrayRef<Value> activations, ArrayRef<Part> parts,
                             SmallVector<Value> sums);
  Value addPairs(Value sum, Value pairs);
  SmallVector<Value> scaleGroup(ArrayRef<Value> blocks, Value record, Value from, int64_t taken,
                                ArrayRef<Value> integers, ArrayRef<Value> sums);
  Value loadBytes(Value at);

  CpuKernelBuilder &kernel;
  const QuantFormat format;
  const QuantTraits &traits;
  const TileOperands &tile;
  const Value groups;
  const Value chunks;  // of a group
  const Value vectors; // of the panel
  const int64_t stepChunks;
  const Multiplication multiplication;
  const int64_t chunkBytes;
  const Value wordStride;  // bytes of the panel's words of one number
  const Value chunkStride; // of all its words of a chunk
  const Value codeBytes;   // of a group in the panel
  const Value blockBytes;  // of a row's activations for a group
  Value groupBytes;        // of a group in the panel
};

} // namespace

/// What a kernel reads a float of 4 bits as.
static std::array<uint8_t, 16> floatTable() {
  std::array<uint8_t, 16> table;
  for (int64_t code = 0; code < 8; ++code) {
    table[code] = static_cast<uint8_t>(kFloatMiddle + doubledFloat4(code));
    table[code + 8] = static_cast<uint8_t>(kFloatMiddle - doubledFloat4(code));
  }
  return table;
}

/// The codes of word `word` (i64) of a chunk, which begins at `chunk`: of each quad a vector of
/// bytes, seen as i16, for each of the columns' vectors.
SmallVector<SmallVector<Value>> QuantizedProduct::loadCodes(Value chunk, Value word,
                                                            int64_t taken) {
  const VectorType halves = kernel.lanes(kernel.i16(), 2 * kLanes);
  const int64_t above = quantBitsAbove(format), mask = ((1 << above) - 1) << 4;
  auto load = [&](Value number, int64_t v) {
    Value at = kernel.addressBytes(chunk, kernel.mul(number, wordStride));
    return kernel.load(halves, kernel.address(at, v * kLanes * kWordBytes), 1);
  };
  SmallVector<SmallVector<Value>> quads(quantQuadsPerWord(format));
  for (int64_t v = 0; v < taken; ++v) {
    Value low = load(word, v), high;
    if (above > 0) {
      Value bit = kernel.mul(word, kernel.integer(quantQuadsPerWord(format) * above));
      Value number =
          kernel.add(kernel.div(bit, kernel.integer(8)), kernel.integer(quantLowWords(format)));
      Value shift = arith::TruncIOp::create(kernel.builder, kernel.loc, kernel.i16(),
                                            kernel.rem(bit, kernel.integer(8)));
      high = arith::ShRUIOp::create(kernel.builder, kernel.loc, load(number, v),
                                    kernel.broadcast(shift, 2 * kLanes));
    }
    for (auto [quad, codes] : llvm::enumerate(quads)) {
      Value code = low;
      if (traits.bits < 8)
        code = kernel.bitAnd(quad == 1 ? kernel.shiftRight(code, 4) : code,
                             kernel.integer(halves, 0x0f0f));
      if (above > 0) {
        Value rest = kernel.shiftLeft(high, 4 - static_cast<int64_t>(quad) * above);
        code = kernel.bitOr(code, kernel.bitAnd(rest, kernel.integer(halves, mask << 8 | mask)));
      }
      if (traits.codes == QuantCodes::Floats4)
        code = kernel.bitcast(halves, kernel.lookUp(floatTable(), code));
      codes.push_back(code);
    }
  }
  return quads;
}

/// The parts of quad `quad` of a word.
SmallVector<QuantizedProduct::Part> QuantizedProduct::partsOf(ArrayRef<Value> codes, int64_t quad) {
  const VectorType halves = kernel.lanes(kernel.i16(), 2 * kLanes),
                   bytes = kernel.lanes(kernel.i8(), 4 * kLanes);
  Part part{quad * kWordBytes, {}, {}}, second{part.offset + kQuantChunk, {}, {}};
  for (Value code : codes)
    switch (multiplication) {
    case Multiplication::Bytes:
    case Multiplication::BytePairs:
      part.factors.push_back(code);
      break;
    case Multiplication::Magnitudes: {
      // The code less its zero, 128: of bytes the same as with -128 added. The magnitude of -128
      // reads as 128.
      Value number = kernel.add(kernel.bitcast(bytes, code), kernel.integer(bytes, -128));
      part.factors.push_back(kernel.max(number, kernel.sub(kernel.integer(bytes, 0), number)));
      part.signs.push_back(number);
      break;
    }
    case Multiplication::Words:
      // The first and third code of each lane as i16, then the second and fourth.
      part.factors.push_back(kernel.bitAnd(code, kernel.integer(halves, 0xff)));
      second.factors.push_back(kernel.shiftRight(code, 8));
      break;
    }
  if (second.factors.empty())
    return {part};
  return {part, second};
}

/// Adds the products of a word: all of one sum before the next, so that few values wait.
SmallVector<Value> QuantizedProduct::addWord(ArrayRef<Value> activations, ArrayRef<Part> parts,
                                             SmallVector<Value> sums) {
  const size_t taken = parts.front().factors.size();
  for (auto [row, base] : llvm::enumerate(activations)) {
    SmallVector<Value> fours;
    for (const Part &part : parts)
      fours.push_back(
          kernel.broadcast(kernel.load(kernel.i32(), kernel.address(base, part.offset))));
    for (size_t v = 0; v < taken; ++v) {
      Value &sum = sums[row * taken + v];
      Value pairs = sumsPairs() ? sum : Value();
      for (auto [part, four] : llvm::zip(parts, fours)) {
        if (multiplication == Multiplication::Bytes) {
          sum = kernel.byteDot(sum, part.factors[v], four);
        } else if (multiplication == Multiplication::Words) {
          sum = kernel.wordDot(sum, part.factors[v], four);
        } else {
          Value factor = part.signs.empty() ? four : kernel.takeSigns(four, part.signs[v]);
          Value more = kernel.bytePairs(part.factors[v], factor);
          pairs = pairs ? kernel.add(pairs, more) : more;
        }
      }
      if (pairs)
        sum = sumsPairs() ? pairs : addPairs(sum, pairs);
    }
  }
  return sums;
}

/// Sums in i32 with those of pairs in i16 added.
Value QuantizedProduct::addPairs(Value sum, Value pairs) {
  return kernel.wordDot(sum, pairs, kernel.integer(pairs.getType(), 1));
}

/// Adds the products of a chunk; `activations` and `chunk` are where it begins. A loop over words,
/// since LLVM would cut a longer block in two, each for half of every vector.
SmallVector<Value> QuantizedProduct::addChunk(ArrayRef<Value> activations, Value chunk,
                                              int64_t taken, SmallVector<Value> sums) {
  const SmallVector<Value> none(sums.size(),
                                kernel.integer(kernel.lanes(kernel.i16(), 2 * kLanes), 0));
  const int64_t low = quantLowWords(format);
  const bool asksAhead = waitsForMemory(activations.size(), kernel.target.quantRows);
  for (int64_t word = low; asksAhead && word < quantChunkWords(format); ++word)
    askAhead(kernel, kernel.target.ahead,
             kernel.addressBytes(chunk, kernel.mul(kernel.integer(word), wordStride)),
             taken * kLanes * kWordBytes);
  SmallVector<Value> results =
      kernel.loop(kernel.integer(0), kernel.integer(low), 1, sumsPairs() ? none : sums,
                  [&](Value word, ValueRange now) {
                    Value ahead =
                        kernel.mul(word, kernel.integer(quantQuadsPerWord(format) * kWordBytes));
                    SmallVector<Value> starts;
                    for (Value row : activations)
                      starts.push_back(kernel.addressBytes(row, ahead));
                    if (asksAhead)
                      askAhead(kernel, kernel.target.ahead,
                               kernel.addressBytes(chunk, kernel.mul(word, wordStride)),
                               taken * kLanes * kWordBytes);
                    SmallVector<Part> parts;
                    for (auto [quad, codes] : llvm::enumerate(loadCodes(chunk, word, taken)))
                      llvm::append_range(parts, partsOf(codes, static_cast<int64_t>(quad)));
                    return addWord(starts, parts, SmallVector<Value>(now));
                  });
  if (sumsPairs())
    for (auto [sum, pairs] : llvm::zip(sums, results))
      pairs = addPairs(sum, pairs);
  return results;
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
    if (traits.codes == QuantCodes::Floats4) // an exponent, as floats have theirs, above a unit's
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
  if (waitsForMemory(blocks.size(), kernel.target.quantRows))
    askAhead(kernel, kernel.target.ahead, scalesAt,
             taken * kLanes * (quantScaleBytes(format) + traits.hasZeros));
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

/// The sums after the groups [begin, end).
SmallVector<Value> QuantizedProduct::addGroups(ArrayRef<Value> rows, int64_t taken, Value from,
                                               Value begin, Value end, ArrayRef<Value> sums,
                                               GroupSums groupSums) {
  return kernel.loop(begin, end, 1, sums, [&](Value group, ValueRange carried) {
    Value record = kernel.addressBytes(tile.panel, kernel.mul(group, groupBytes));
    Value skipped = kernel.mul(group, blockBytes);
    SmallVector<Value> blocks, starts;
    for (Value row : rows) {
      blocks.push_back(kernel.addressBytes(row, skipped));
      // Where zero is code z, a group's sum is that of the codes less z times that of the
      // activations.
      Value start = kernel.integer(kernel.i32(), 0);
      if (!traits.hasZeros) {
        Value at = kernel.addressBytes(blocks.back(), kernel.sub(blockBytes, kernel.integer(4)));
        start = kernel.mul(kernel.load(kernel.i32(), at),
                           kernel.integer(kernel.i32(), -zeroOf(traits, multiplication)));
      }
      starts.append(taken, kernel.broadcast(start));
    }
    SmallVector<Value> integers = groupSums(group, record, blocks, starts);
    return scaleGroup(blocks, record, from, taken, integers, SmallVector<Value>(carried));
  });
}

/// The product of the rows with the `taken` vectors from `from` (i64) on.
void QuantizedProduct::emitPass(ArrayRef<Value> rows, int64_t taken, Value from) {
  const SmallVector<Value> zeros(rows.size() * taken, kernel.number(kernel.lanes(kernel.f32()), 0));
  Value offset = kernel.mul(from, kernel.integer(kLanes * kWordBytes));
  SmallVector<Value> sums = addGroups(
      rows, taken, from, kernel.integer(0), groups, zeros,
      [&](Value, Value record, ArrayRef<Value> blocks, ArrayRef<Value> starts) {
        return kernel.loop(kernel.integer(0), chunks, 1, starts, [&](Value chunk, ValueRange now) {
          Value ahead = kernel.mul(chunk, kernel.integer(chunkBytes));
          SmallVector<Value> activations;
          for (Value block : blocks)
            activations.push_back(kernel.addressBytes(block, ahead));
          Value words = kernel.addressBytes(kernel.addressBytes(record, offset),
                                            kernel.mul(chunk, chunkStride));
          return addChunk(activations, words, taken, SmallVector<Value>(now));
        });
      });
  for (auto [index, sum] : llvm::enumerate(sums))
    kernel.store(sum, kernel.address(tile.sums, sum.getType(),
                                     sumVector(kernel, vectors, index, taken, from)));
}

/// Writes the codes of the chunk that `record` begins with to `room` as bytes, [8][width][4]: those
/// of 8 bits lie so in the panel.
void QuantizedProduct::unpackGroup(Value record, Value room) {
  kernel.loop(kernel.integer(0), kernel.integer(quantLowWords(format)), 1, [&](Value word) {
    kernel.loop(kernel.integer(0), vectors, 1, [&](Value vector) {
      Value column = kernel.mul(vector, kernel.integer(kLanes * kWordBytes));
      Value chunk = kernel.addressBytes(record, column), to = kernel.addressBytes(room, column);
      for (auto [quad, codes] : llvm::enumerate(loadCodes(chunk, word, 1))) {
        Value row = kernel.add(kernel.mul(word, kernel.integer(quantQuadsPerWord(format))),
                               kernel.integer(quad));
        kernel.store(codes.front(), kernel.addressBytes(to, kernel.mul(row, wordStride)));
      }
    });
  });
}

/// Adds to the sums of all rows those of the groups [begin, end), of which `integers` has those of
/// codes and activations, [end - begin][height][width].
void QuantizedProduct::scaleSums(Value begin, Value end, Value integers) {
  const VectorType words = kernel.lanes(kernel.i32()), floats = kernel.lanes(kernel.f32());
  Value groupSize = kernel.mul(tile.height, vectors);
  emitRowTiles(kernel, tile.height, kernel.target.quantRows, [&](Value first, Value height, Value) {
    Value skipped = kernel.mul(first, vectors);
    TileOperands some = tile;
    some.rows = kernel.address(tile.rows, kernel.pointer(), first);
    some.height = height;
    auto pass = [&](ArrayRef<Value> rows, int64_t taken, Value from) {
      SmallVector<Value> places, sums;
      for (size_t i = 0; i < rows.size() * taken; ++i)
        places.push_back(kernel.add(skipped, sumVector(kernel, vectors, i, taken, from)));
      auto addressOf = [&](Value place) { return kernel.address(tile.sums, floats, place); };
      for (Value place : places)
        sums.push_back(kernel.load(floats, addressOf(place)));
      sums = addGroups(rows, taken, from, begin, end, sums,
                       [&](Value group, Value, ArrayRef<Value>, ArrayRef<Value> starts) {
                         Value ahead = kernel.mul(kernel.sub(group, begin), groupSize);
                         SmallVector<Value> found;
                         for (auto [place, start] : llvm::zip(places, starts)) {
                           Value at = kernel.address(integers, words, kernel.add(ahead, place));
                           found.push_back(kernel.add(kernel.load(words, at), start));
                         }
                         return found;
                       });
      for (auto [place, sum] : llvm::zip(places, sums))
        kernel.store(sum, addressOf(place));
    };
    emitRegisterTiles(kernel, some, vectors, kernel.target.quantRows, kernel.target.quantLanes,
                      pass);
  });
}

/// Tiles of many rows, by matrix registers: of some groups at a time the codes as bytes, then their
/// sums of integers, then those times their scales.
void QuantizedProduct::emitMatrices() {
  MatrixTiles matrices(kernel, tile, vectors);
  const int64_t together = traits.group == kQuantChunk ? kGroupsAtOnce : 1;
  const bool unpacked = traits.bits < 8;
  Value codes = unpacked ? kernel.scratch(together * kQuantChunk * kPanelColumns) : Value();
  Value unpackedBytes = kernel.mul(vectors, kernel.integer(kQuantChunk * kLanes)); // of a group
  Value integers = kernel.scratch(together * kernel.target.matrixRows * kPanelColumns * kWordBytes);
  const VectorType floats = kernel.lanes(kernel.f32());
  Value groupSize = kernel.mul(tile.height, vectors); // sums of a group, in vectors
  kernel.loop(kernel.integer(0), groupSize, 1, [&](Value vector) {
    kernel.store(kernel.number(floats, 0), kernel.address(tile.sums, floats, vector));
  });
  kernel.loop(kernel.integer(0), groups, together, [&](Value begin) {
    Value end = kernel.min(kernel.add(begin, kernel.integer(together)), groups);
    Value first = kernel.addressBytes(tile.panel, kernel.mul(begin, groupBytes));
    if (unpacked)
      kernel.loop(begin, end, 1, [&](Value group) {
        Value record = kernel.addressBytes(tile.panel, kernel.mul(group, groupBytes));
        Value number = kernel.sub(group, begin);
        unpackGroup(record, kernel.addressBytes(codes, kernel.mul(number, unpackedBytes)));
      });
    matrices.emit({.rows = kernel.addressBytes(matrices.firstRow(), kernel.mul(begin, blockBytes)),
                   .weights = unpacked ? codes : first,
                   .sums = integers,
                   .groups = kernel.sub(end, begin),
                   .rowGroup = blockBytes,
                   .weightGroup = unpacked ? unpackedBytes : groupBytes,
                   .steps = kernel.div(chunks, kernel.integer(stepChunks)),
                   .stepBytes = stepChunks * kQuantChunk,
                   .integers = true});
    scaleSums(begin, end, integers);
  });
}

void QuantizedProduct::emit() {
  emitRegisterTiles(
      kernel, tile, vectors, kernel.target.quantRows, kernel.target.quantLanes,
      [&](ArrayRef<Value> rows, int64_t taken, Value from) { emitPass(rows, taken, from); });
  // Sums of integers are exact, so more rows may be multiplied in another way.
  if (kernel.target.hasMatrices())
    kernel.when(kernel.compare(arith::CmpIPredicate::sgt, tile.height,
                               kernel.integer(kernel.target.quantRows)),
                [&] { emitMatrices(); });
}

void moec::callQuantizedProduct(CpuKernelBuilder &kernel, const PanelShape &shape,
                                const TileOperands &tile) {
  const QuantFormat format = *quantFormatOf(shape.element);
  SmallVector<Value> arguments = tile.asArguments();
  arguments.push_back(kernel.integer(quantGroups(format, shape.depth)));
  const bool oneChunk = traitsOf(format).group == kQuantChunk;
  if (!oneChunk)
    arguments.push_back(kernel.integer(chunksPerGroup(shape)));
  arguments.push_back(kernel.integer(shape.width / kLanes));
  std::string name = "product_i8_" + std::string(traitsOf(format).name);
  const int64_t stepChunks = chunksPerStep(shape);
  if (kernel.target.hasMatrices() && stepChunks > 1)
    name += "_pairs";
  kernel.call(name, arguments, [&](CpuKernelBuilder &inside, ValueRange given) {
    const auto operands = TileOperands::fromArguments(given);
    given = given.drop_front(TileOperands::kCount);
    Value chunks = oneChunk ? inside.integer(1) : given[1];
    QuantizedProduct(inside, format, operands, given[0], chunks, given.back(), stepChunks).emit();
  });
}
