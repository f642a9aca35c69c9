// What the packer makes: every packed weight, where it lies in the blob, and the stored rows it is
// made of.

#ifndef MOEC_COMPILER_EMIT_WEIGHTPLAN_H
#define MOEC_COMPILER_EMIT_WEIGHTPLAN_H

#include "runtime/core/Digest.h"
#include "runtime/core/Quantization.h"
#include "runtime/core/Safetensors.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

enum class PackedLayout : uint8_t {
  Rows,   ///< row-major, as stored
  Panels, ///< see PackedLayout.h
  Bands,  ///< of quantised weights: see BandLayout.h
};

/// `Byte`: of a tensor of any type, held as it is stored.
enum class PackedElement : uint8_t { F32, BF16, F16, Byte };

std::string_view packedElementName(PackedElement element);
constexpr uint64_t packedElementBytes(PackedElement element) {
  return element == PackedElement::F32 ? 4 : element == PackedElement::Byte ? 1 : 2;
}

/// Rows of each matrix of a weight that come from one stored tensor. Tensors are seen as one stack
/// of rows of K elements: row n of the piece of expert or head e is row `e * rowsPerMatrix +
/// firstRow + n * rowStep`. Where they lie side by side, rows have K elements of each, and those of
/// e start at element `e * K`. Of transposed tensors row n of the piece is column `firstRow + n *
/// rowStep` instead, of K elements from row `e * rowsPerMatrix` on. A source may be for some of a
/// layer only: e counts from the first of them, and as 0 where each has its own tensor.
struct StoredRows {
  std::string pattern;             ///< `{l}` stands for the layer of the ordinal, `{e}` for e
  DataType stored = DataType::F32; ///< F32, F16, BF16, or with scales F8E4M3 or F4; of bytes U8
  int64_t rows = 0;
  int64_t firstRow = 0;
  int64_t rowStep = 1;
  int64_t rowsPerMatrix = 0; ///< 0: each has its own tensor, or there is one only
  bool transposed = false;
  bool sideBySide = false;
  int64_t firstMatrix = 0;
  int64_t matrices = 0; ///< 0: all from `firstMatrix` on
  /// Of codes: the tensors of their scales, and how many adjacent stored rows and columns of a
  /// matrix, or of each of a layer, share one (0: all). F4 lies in tensors of U8, two codes in a
  /// byte, the first in its low half.
  std::string scales = {};
  int64_t scaleRows = 0, scaleColumns = 0;
};

/// A stack [ordinal][expert or head] of matrices of N rows and K columns. A vector has one row.
struct PackedWeight {
  std::string name;
  uint64_t offset = 0; ///< from the start of the blob
  PackedLayout layout = PackedLayout::Rows;
  PackedElement element = PackedElement::F32;
  std::optional<QuantFormat> quantized; ///< in place of `element`, in panels or bands
  std::vector<int64_t>
      layers; ///< one per ordinal; empty: one ordinal, and no `{l}` in the patterns
  int64_t matricesPerLayer = 0;    ///< one per expert or head; 0: one, that is of neither
  int64_t rows = 0;                ///< N, the sum of those of each matrix's `sources`
  int64_t columns = 0;             ///< K
  std::vector<StoredRows> sources; ///< of the first matrices from the first row on, then of others

  /// Matrices of one ordinal.
  int64_t layerMatrices() const { return std::max<int64_t>(matricesPerLayer, 1); }
  /// How many of them `source` is for.
  int64_t matricesOf(const StoredRows &source) const {
    return source.matrices ? source.matrices : layerMatrices() - source.firstMatrix;
  }
  /// The name of what elements become.
  std::string_view elementName() const {
    return quantized ? traitsOf(*quantized).name : packedElementName(element);
  }
  /// K as packed, in bytes: what one row takes; not of bands.
  uint64_t depthBytes() const;
  uint64_t ordinals() const { return layers.empty() ? 1 : layers.size(); }
  /// Matrices in the stack.
  uint64_t matrices() const { return ordinals() * static_cast<uint64_t>(layerMatrices()); }
  /// Bytes of one matrix as packed, from one to the next.
  uint64_t matrixBytes() const;
  /// Bytes of the stack.
  uint64_t bytes() const { return matrices() * matrixBytes(); }
};

/// Raised with every change of the bytes that are made of a weight: else a file of packed weights
/// from before would count as up to date.
inline constexpr uint64_t kPackRevision = 3;

/// All weights of a program, in the order of their offsets.
struct WeightPlan {
  std::vector<PackedWeight> weights;

  /// Places `weight` after those already there and returns its offset.
  uint64_t append(PackedWeight weight);
  /// Bytes of the blob, a multiple of kPackedAlignment.
  uint64_t totalBytes() const;
  /// Digest of everything above: equal plans, and only they, have equal digests.
  Digest digest() const;
  /// Code::Internal where sizes are not positive or too large, offsets overlap or are not aligned,
  /// or the rows or matrices of the sources do not add up.
  Status check() const;
};

} // namespace moec

#endif // MOEC_COMPILER_EMIT_WEIGHTPLAN_H
