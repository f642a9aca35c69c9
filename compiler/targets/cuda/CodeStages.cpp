// Copies of bands into stages.

#include "compiler/targets/cuda/CodeStages.h"

using namespace mlir;
using namespace moec;

/// Bytes that a column has in a stage.
static constexpr int64_t lowStageBytes(QuantFormat format) {
  return kCodesDepth / (traitsOf(format).bits == 8 ? 1 : 2);
}
static constexpr int64_t highStageBytes(QuantFormat format) {
  return kCodesDepth * quantBitsAbove(format) / 8;
}

/// Whether a stage has scales: else all of K is one group.
static constexpr bool hasScales(QuantFormat format) { return traitsOf(format).group != 0; }
/// Bytes of a band's scales and zeros in a stage.
static constexpr int64_t scaleStageBytes(QuantFormat format) {
  return hasScales(format) ? bandRunBytes(format) : 0;
}
static constexpr int64_t zeroStageBytes(QuantFormat format) {
  return traitsOf(format).hasZeros ? kBandRows * bandRun(format) : 0;
}

static int64_t bandsOf(const MmaTile &tile) { return tile.columns(1) / kBandRows; }

// Where the parts of a stage begin.
static int64_t highStart(const MmaTile &tile, QuantFormat format) {
  return tile.columns(1) * lowStageBytes(format);
}
static int64_t scaleStart(const MmaTile &tile, QuantFormat format) {
  return highStart(tile, format) + tile.columns(1) * highStageBytes(format);
}
static int64_t zeroStart(const MmaTile &tile, QuantFormat format) {
  return scaleStart(tile, format) + bandsOf(tile) * scaleStageBytes(format);
}

int64_t moec::codesStageBytes(const MmaTile &tile, QuantFormat format) {
  // What follows is in rows of 128 bytes.
  return roundUpTo(zeroStart(tile, format) + bandsOf(tile) * zeroStageBytes(format), 128);
}

CodesKernel::CodesKernel(ThreadBuilder &kernel, const MmaOperands &operands)
    : MmaKernel(kernel, operands), format(*matrices.front().format) {
  assert(width % kBandRows == 0 && "tiles are of whole bands");
}

Value CodesKernel::bandOf(int64_t matrix, Value column) {
  Value number = kernel.div(column, kernel.integer(kBandRows));
  return kernel.addressBytes(matrices[static_cast<size_t>(matrix)].base,
                             kernel.mul(number, kernel.integer(bandBytes(format, depth))));
}

void CodesKernel::findCodes() {
  const int64_t lowCopies = lowStageBytes(format) / kCopyBytes,
                highCopies = highStageBytes(format) / kCopyBytes;
  const int64_t all = matrices.front().columns, size = bandBytes(format, depth);
  Value lowRow = kernel.div(thread, kernel.integer(lowCopies)),
        lowChunk = kernel.rem(thread, kernel.integer(lowCopies));
  SmallVector<Value> starts;
  for (int64_t matrix = 0; matrix < count(); ++matrix) {
    Value start = bandOf(matrix, first);
    for (int64_t i = 0; i < bandsPerMatrix(); ++i) {
      Band band{};
      Value at = start;
      if (i > 0) {
        Value skipped = kernel.integer(i * size);
        if (bandCount(all) % bandsPerMatrix() != 0) {
          Value column = kernel.add(first, kernel.integer(i * kBandRows));
          band.isThere = kernel.compare(arith::CmpIPredicate::slt, column, kernel.integer(all));
          skipped = kernel.select(band.isThere, skipped, kernel.integer(0));
        }
        at = kernel.addressBytes(start, skipped);
      }
      starts.push_back(at);
      Value offset = kernel.add(kernel.mul(lowRow, kernel.integer(rowBytes())),
                                kernel.mul(lowChunk, kernel.integer(kCopyBytes)));
      band.low = kernel.addressBytes(at, offset);
      if (highCopies > 0) {
        Value row = kernel.div(thread, kernel.integer(highCopies)),
              chunk = kernel.rem(thread, kernel.integer(highCopies));
        offset = kernel.add(kernel.mul(row, kernel.integer(rowBytes())),
                            kernel.mul(chunk, kernel.integer(kCopyBytes)));
        band.high = kernel.addressBytes(kernel.address(at, bandLowBytes(format, depth)), offset);
      }
      bands.push_back(band);
    }
  }
  // Of scales and zeros the first threads copy the first band's, the next ones the next one's. One
  // that is not there has those of the first.
  auto ownPart = [&](int64_t start, int64_t bytes) {
    const int64_t copies = bytes / kCopyBytes;
    Value number = kernel.div(thread, kernel.integer(copies)), base = starts.front();
    for (size_t i = 1; i < starts.size(); ++i) {
      Value isThis =
          kernel.compare(arith::CmpIPredicate::eq, number, kernel.integer(static_cast<int64_t>(i)));
      base = kernel.select(isThis, starts[i], base);
    }
    Value offset =
        kernel.mul(kernel.rem(thread, kernel.integer(copies)), kernel.integer(kCopyBytes));
    return kernel.addressBytes(kernel.address(base, start), offset);
  };
  if (hasScales(format))
    scales = ownPart(bandScalesAt(format, depth), scaleStageBytes(format));
  if (traitsOf(format).hasZeros)
    zeros = ownPart(bandZerosAt(format, depth), zeroStageBytes(format));
}

void CodesKernel::copyCodes(Value step, Value stage) {
  const int64_t lowBytes = lowStageBytes(format), lowCopies = lowBytes / kCopyBytes,
                rowsPerPass = threads() / lowCopies, inMemory = bandLowBytes(format, depth);
  Value row = kernel.div(thread, kernel.integer(lowCopies)),
        chunk = kernel.rem(thread, kernel.integer(lowCopies));
  Value to = sharedAt(stage, placeIn(lowBytes, row, chunk));
  Value from = kernel.mul(step, kernel.integer(lowBytes));
  Value isInside; // of K; null where all is
  if (inMemory % lowBytes != 0) {
    Value at = kernel.add(from, kernel.mul(chunk, kernel.integer(kCopyBytes)));
    isInside = kernel.compare(arith::CmpIPredicate::slt, at, kernel.integer(inMemory));
    from = kernel.select(isInside, from, kernel.integer(0));
  }
  auto forThreads = [&](int64_t most, llvm::function_ref<void()> body) {
    if (most == threads())
      body();
    else
      kernel.when(kernel.compare(arith::CmpIPredicate::slt, thread, kernel.integer(most)), body);
  };
  for (auto [i, band] : llvm::enumerate(bands)) {
    const int64_t firstRow = static_cast<int64_t>(i) * kBandRows;
    Value low = kernel.addressBytes(band.low, from), present = presentIf(band.isThere, {});
    for (int64_t done = 0; done < kBandRows; done += rowsPerPass)
      copy(sharedAt(to, (firstRow + done) * lowBytes), kernel.address(low, done * rowBytes()),
           presentIf(isInside, present));
    if (const int64_t highBytes = highStageBytes(format); highBytes > 0)
      forThreads(kBandRows * highBytes / kCopyBytes, [&, &band = band] {
        Value place = sharedAt(stage, kernel.mul(thread, kernel.integer(kCopyBytes)));
        copy(sharedAt(place, highStart(tile, format) + firstRow * highBytes),
             kernel.addressBytes(band.high, kernel.mul(step, kernel.integer(highBytes))), present);
      });
  }
  auto copyParts = [&](Value source, int64_t start, int64_t bytes) {
    forThreads(bandsOf(tile) * bytes / kCopyBytes, [&] {
      Value place = sharedAt(stage, kernel.mul(thread, kernel.integer(kCopyBytes)));
      copy(sharedAt(place, start),
           kernel.addressBytes(source, kernel.mul(step, kernel.integer(bytes))), {});
    });
  };
  if (hasScales(format))
    copyParts(scales, scaleStart(tile, format), scaleStageBytes(format));
  if (traitsOf(format).hasZeros)
    copyParts(zeros, zeroStart(tile, format), zeroStageBytes(format));
}

Value CodesKernel::laneColumn(int64_t part, int64_t eight) {
  return kernel.add(columnOf(part),
                    kernel.add(kernel.div(lane, kernel.integer(4)), kernel.integer(eight)));
}

MmaKernel::Values CodesKernel::loadCodes(Value stage, int64_t part, int64_t chunk, int64_t number) {
  Value row = kernel.add(columnOf(part), kernel.rem(lane, kernel.integer(kMmaColumns)));
  Value own = kernel.integer(chunk);
  if (number == 4)
    own = kernel.add(own, kernel.div(lane, kernel.integer(kMmaColumns)));
  return loadFragments(sharedAt(stage, placeIn(lowStageBytes(format), row, own)), number);
}

Value CodesKernel::lowAt(Value stage, Value column, int64_t chunk, Value byte) {
  Value place = placeIn(lowStageBytes(format), column, kernel.integer(chunk));
  return sharedAt(stage, kernel.add(place, byte));
}

Value CodesKernel::highAt(Value stage, Value column, int64_t byte) {
  Value place = kernel.mul(column, kernel.integer(highStageBytes(format)));
  return sharedAt(sharedAt(stage, place), highStart(tile, format) + byte);
}

Value CodesKernel::scaleAt(Value stage, Value column) {
  // Bands follow one another, all with as many.
  Value number = kernel.div(column, kernel.integer(traitsOf(format).scaleRows));
  Value place = kernel.mul(number, kernel.integer(bandRun(format) * bandScaleBytes(format)));
  return sharedAt(sharedAt(stage, place), scaleStart(tile, format));
}

Value CodesKernel::zeroAt(Value stage, Value column) {
  Value place = kernel.mul(column, kernel.integer(bandRun(format)));
  return sharedAt(sharedAt(stage, place), zeroStart(tile, format));
}
