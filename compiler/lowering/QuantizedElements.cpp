// What panels and bands hold, code by code.

#include "compiler/lowering/QuantizedElements.h"
#include "compiler/analysis/PackedWeights.h"

using namespace mlir;
using namespace moec;

PanelRow moec::panelRow(KernelBuilder &kernel, const Matrix &matrix, Value row) {
  Value panelWidth = kernel.integer(kPanelColumns);
  Value panel = kernel.div(row, panelWidth);
  int64_t full = matrix.rows / kPanelColumns;
  int64_t last = panelColumns(matrix.rows) - full * kPanelColumns;
  Value width =
      last == 0
          ? panelWidth
          : kernel.select(kernel.compare(arith::CmpIPredicate::slt, panel, kernel.integer(full)),
                          panelWidth, kernel.integer(last));
  return {panel, width, kernel.rem(row, panelWidth)};
}

static Value loadByte(KernelBuilder &kernel, Value base, Value offset) {
  return arith::ExtUIOp::create(kernel.builder, kernel.loc, kernel.i64(),
                                kernel.load(kernel.i8(), kernel.addressBytes(base, offset)));
}

static Value toFloat(KernelBuilder &kernel, Value integer) {
  return arith::SIToFPOp::create(kernel.builder, kernel.loc, kernel.f32(), integer);
}

/// Code `inGroup` (i64) of a row, of a group that begins at `record`; not of fp8.
static Value quantizedCode(KernelBuilder &kernel, QuantFormat format, const PanelRow &row,
                           Value record, Value inGroup) {
  // `bits` bits, from `bit` on, of that byte of the row's word `word` which has a part of the code.
  auto loadField = [&](Value word, Value bit, int64_t bits) -> Value {
    Value place = kernel.add(kernel.mul(word, row.width), row.lane);
    Value byte =
        kernel.add(kernel.mul(place, kernel.integer(4)), kernel.rem(inGroup, kernel.integer(4)));
    Value shifted =
        arith::ShRUIOp::create(kernel.builder, kernel.loc, loadByte(kernel, record, byte), bit);
    return kernel.bitAnd(shifted, kernel.integer((1 << bits) - 1));
  };
  Value chunk = kernel.div(inGroup, kernel.integer(kQuantChunk));
  Value quad = kernel.div(kernel.rem(inGroup, kernel.integer(kQuantChunk)), kernel.integer(4));
  Value quadsPerWord = kernel.integer(quantQuadsPerWord(format));
  Value words = kernel.mul(chunk, kernel.integer(quantChunkWords(format)));
  Value code = loadField(kernel.add(words, kernel.div(quad, quadsPerWord)),
                         kernel.mul(kernel.rem(quad, quadsPerWord), kernel.integer(4)),
                         traitsOf(format).bits == 8 ? 8 : 4);
  const int64_t above = quantBitsAbove(format);
  if (above == 0)
    return code;
  Value bit = kernel.mul(quad, kernel.integer(above)), eight = kernel.integer(8);
  Value highWords = kernel.add(words, kernel.integer(quantLowWords(format)));
  Value rest =
      loadField(kernel.add(highWords, kernel.div(bit, eight)), kernel.rem(bit, eight), above);
  return kernel.add(code, kernel.shiftLeft(rest, 4));
}

/// What a code of mxfp4 stands for with the exponent `b` (i64) of its group.
static Value floatElement(KernelBuilder &kernel, Value code, Value b) {
  // The scale is 2^(b - 128), the magnitude 0 to 3, or 2 or 3 times a power of two.
  Value magnitude = kernel.bitAnd(code, kernel.integer(7)), two = kernel.integer(2);
  Value odd = kernel.add(two, kernel.bitAnd(code, kernel.integer(1)));
  Value power =
      kernel.max(kernel.sub(kernel.shiftRight(magnitude, 1), kernel.integer(1)), kernel.integer(0));
  Value large = arith::ShLIOp::create(kernel.builder, kernel.loc, odd, power);
  Value isSmall = kernel.compare(arith::CmpIPredicate::slt, magnitude, kernel.integer(4));
  Value value = kernel.select(isSmall, magnitude, large);
  Value isNegative = kernel.compare(arith::CmpIPredicate::sge, code, kernel.integer(8));
  value = kernel.select(isNegative, kernel.sub(kernel.integer(0), value), value);
  Value bits =
      arith::TruncIOp::create(kernel.builder, kernel.loc, kernel.i32(), kernel.shiftLeft(b, 23));
  Value scale = kernel.mul(kernel.bitcast(kernel.f32(), bits), kernel.number(kernel.f32(), 0.5));
  return kernel.mul(toFloat(kernel, value), scale);
}

/// What a code of fp8 (i64) stands for.
static Value float8Value(KernelBuilder &kernel, Value code) {
  // The value is ±2^(exponent - 10) times 8 and the mantissa, but ±2^-9 times the mantissa where
  // the exponent is 0.
  Value exponent = kernel.bitAnd(kernel.shiftRight(code, 3), kernel.integer(15)),
        mantissa = kernel.bitAnd(code, kernel.integer(7)), one = kernel.integer(1);
  Value isSmall = kernel.compare(arith::CmpIPredicate::eq, exponent, kernel.integer(0));
  Value eighths = kernel.select(isSmall, mantissa, kernel.add(mantissa, kernel.integer(8)));
  Value power = kernel.add(kernel.max(exponent, one), kernel.integer(127 - 10));
  Value unit =
      kernel.bitcast(kernel.f32(), arith::TruncIOp::create(kernel.builder, kernel.loc, kernel.i32(),
                                                           kernel.shiftLeft(power, 23)));
  Value isNegative = kernel.compare(arith::CmpIPredicate::sge, code, kernel.integer(128));
  eighths = kernel.select(isNegative, kernel.sub(kernel.integer(0), eighths), eighths);
  return kernel.mul(toFloat(kernel, eighths), unit);
}

/// What a code of integers (i64) stands for, with scale and zero, where there are zeros, from these
/// places.
static Value integerElement(KernelBuilder &kernel, const QuantTraits &traits, Value code,
                            Value scaleAt, Value zeroAt) {
  Value scale = kernel.widen(kernel.load(kernel.builder.getF16Type(), scaleAt));
  Value zero = kernel.number(kernel.f32(), static_cast<double>(traits.zero));
  if (traits.hasZeros)
    zero = kernel.div(toFloat(kernel, loadByte(kernel, zeroAt, kernel.integer(0))),
                      kernel.number(kernel.f32(), static_cast<double>(kZeroSteps)));
  return kernel.mul(kernel.sub(toFloat(kernel, code), zero), scale);
}

/// An element in panels.
static Value panelElement(KernelBuilder &kernel, const Matrix &matrix, QuantFormat format,
                          Value row, Value column) {
  const QuantTraits &traits = traitsOf(format);
  Value size = kernel.integer(quantGroup(format, matrix.columns));
  const PanelRow place = panelRow(kernel, matrix, row);
  Value start = kernel.add(
      kernel.mul(place.panel,
                 kernel.integer(panelBytes(matrix.element, kPanelColumns, matrix.columns))),
      kernel.mul(kernel.div(column, size),
                 kernel.mul(place.width, kernel.integer(quantGroupBytes(format, matrix.columns)))));
  Value record = kernel.addressBytes(matrix.base, start);
  Value inGroup = kernel.rem(column, size),
        codeBytes = kernel.integer(quantCodeBytes(format, matrix.columns));
  Value rest = kernel.sub(kernel.integer(quantRowCodeBytes(format, matrix.columns)),
                          kernel.mul(kernel.div(column, size), codeBytes));
  Value scales = kernel.addressBytes(record, kernel.mul(place.width, kernel.min(codeBytes, rest)));
  if (traits.codes == QuantCodes::Floats8) {
    Value first = kernel.sub(place.lane, kernel.rem(place.lane, kernel.integer(traits.scaleRows)));
    Value scale = kernel.load(
        kernel.f32(),
        kernel.addressBytes(scales, kernel.mul(first, kernel.integer(quantScaleBytes(format)))));
    Value two = kernel.integer(2);
    Value word = kernel.add(kernel.mul(kernel.div(inGroup, two), place.width), place.lane);
    Value code =
        loadByte(kernel, record, kernel.add(kernel.mul(word, two), kernel.rem(inGroup, two)));
    return kernel.mul(float8Value(kernel, code), scale);
  }
  Value code = quantizedCode(kernel, format, place, record, inGroup);
  if (traits.codes == QuantCodes::Floats4)
    return floatElement(kernel, code, loadByte(kernel, scales, place.lane));
  return integerElement(
      kernel, traits, code, kernel.address(scales, kernel.builder.getF16Type(), place.lane),
      kernel.addressBytes(scales,
                          kernel.add(kernel.mul(place.width, kernel.integer(2)), place.lane)));
}

/// The bits `number` of the code whose row starts at `codes`, from bit `bit` of byte `byte` on.
static Value bandBits(KernelBuilder &kernel, Value codes, Value byte, Value bit, int64_t number) {
  Value shifted =
      arith::ShRUIOp::create(kernel.builder, kernel.loc, loadByte(kernel, codes, byte), bit);
  return kernel.bitAnd(shifted, kernel.integer((1 << number) - 1));
}

/// The code of column `k` (i64) of a row of a band, as bandCode() and bandCodeAbove() place it,
/// with its highest bit as it was.
static Value bandCode(KernelBuilder &kernel, const Matrix &matrix, QuantFormat format, Value codes,
                      Value k) {
  const QuantTraits &traits = traitsOf(format);
  auto part = [&](int64_t divisor, int64_t modulus, int64_t factor) {
    Value number = kernel.rem(kernel.div(k, kernel.integer(divisor)), kernel.integer(modulus));
    return kernel.mul(number, kernel.integer(factor));
  };
  Value none = kernel.integer(0);
  Value chunk = kernel.div(k, kernel.integer(kQuantChunk));
  if (traits.codes == QuantCodes::Floats8) {
    Value byte = kernel.mul(kernel.div(k, kernel.integer(16)), kernel.integer(16));
    for (Value more : {part(2, 4, 4), part(1, 2, 2), part(8, 2, 1)})
      byte = kernel.add(byte, more);
    return bandBits(kernel, codes, byte, none, 8);
  }
  if (traits.codes == QuantCodes::Floats4) {
    Value byte = kernel.mul(chunk, kernel.integer(16));
    for (Value more : {part(2, 4, 4), part(1, 2, 2), part(16, 2, 1)})
      byte = kernel.add(byte, more);
    return bandBits(kernel, codes, byte, part(8, 2, 4), 4);
  }
  Value code;
  if (traits.bits == 8) {
    code = bandBits(kernel, codes, k, none, 8);
  } else {
    Value byte = kernel.add(kernel.mul(chunk, kernel.integer(16)), part(1, 16, 1));
    code = bandBits(kernel, codes, byte, part(16, 2, 4), 4);
  }
  if (const int64_t above = quantBitsAbove(format); above > 0) {
    Value byte = kernel.add(kernel.mul(chunk, kernel.integer(4 * above)), part(1, 4, 1));
    byte = kernel.add(byte, kernel.integer(bandLowBytes(format, matrix.columns)));
    Value bit = above == 1 ? kernel.add(part(4, 4, 1), part(16, 2, 4)) : part(4, 4, 2);
    if (above == 2)
      byte = kernel.add(byte, part(16, 2, 4));
    Value high = bandBits(kernel, codes, byte, bit, above);
    code = kernel.add(code, kernel.shiftLeft(high, 4));
  }
  return arith::XOrIOp::create(kernel.builder, kernel.loc, code,
                               kernel.integer(bandTurned(format)));
}

/// An element in bands.
static Value bandElement(KernelBuilder &kernel, const Matrix &matrix, QuantFormat format, Value row,
                         Value column) {
  const QuantTraits &traits = traitsOf(format);
  const int64_t columns = matrix.columns;
  Value rows = kernel.integer(kBandRows), inBand = kernel.rem(row, rows);
  Value band = kernel.addressBytes(
      matrix.base, kernel.mul(kernel.div(row, rows), kernel.integer(bandBytes(format, columns))));
  Value codes =
      kernel.addressBytes(band, kernel.mul(inBand, kernel.integer(bandRowBytes(format, columns))));
  Value group = kernel.div(column, kernel.integer(quantGroup(format, columns))),
        run = kernel.integer(bandRun(format));
  Value place =
      kernel.add(kernel.mul(kernel.div(group, run), kernel.integer(bandScaleRows(format))),
                 kernel.div(inBand, kernel.integer(traits.scaleRows)));
  place = kernel.add(kernel.mul(place, run), kernel.rem(group, run));
  Value scales = kernel.address(band, bandScalesAt(format, columns));
  Value code = bandCode(kernel, matrix, format, codes, column);
  if (traits.codes == QuantCodes::Floats8)
    return kernel.mul(float8Value(kernel, code),
                      kernel.load(kernel.f32(), kernel.address(scales, kernel.f32(), place)));
  if (traits.codes == QuantCodes::Floats4)
    return floatElement(kernel, code, loadByte(kernel, scales, place));
  return integerElement(
      kernel, traits, code, kernel.address(scales, kernel.builder.getF16Type(), place),
      kernel.addressBytes(kernel.address(band, bandZerosAt(format, columns)), place));
}

Value moec::quantizedElement(KernelBuilder &kernel, const Matrix &matrix, Value row, Value column) {
  const QuantFormat format = *quantFormatOf(matrix.element);
  if (isInBands(matrix.layout, matrix.element))
    return bandElement(kernel, matrix, format, row, column);
  return panelElement(kernel, matrix, format, row, column);
}
