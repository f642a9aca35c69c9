// Quantised rows as bands, codes in the order in which the lanes of a warp multiply them.

#include "compiler/emit/PanelCopy.h"
#include "compiler/emit/Quantizer.h"

#include "compiler/analysis/BandLayout.h"

#include <algorithm>
#include <array>
#include <cstring>

using namespace moec;

/// Codes of a chunk, one a byte.
using Chunk = std::array<uint8_t, kQuantChunk>;

/// What packCodes() of Quantizer.cpp made words of.
static Chunk unpackChunk(const QuantTraits &traits, const uint8_t *words) {
  Chunk codes;
  const auto above = static_cast<size_t>(quantBitsAbove(traits.format));
  const uint8_t *high = words + 4 * quantLowWords(traits.format);
  for (size_t quad = 0; quad < codes.size() / 4; ++quad)
    for (size_t byte = 0; byte < 4; ++byte) {
      unsigned code = words[quad / 2 * 4 + byte] >> (quad % 2 * 4) & 15;
      if (above > 0) {
        const unsigned bit = static_cast<unsigned>(quad * above);
        code |= (high[bit / 8 * 4 + byte] >> bit % 8 & ((1u << above) - 1)) << 4;
      }
      codes[4 * quad + byte] = static_cast<uint8_t>(code);
    }
  return codes;
}

/// The low four bits of a chunk's integers, 16 bytes.
static void putLowBits(const Chunk &codes, uint8_t *to) {
  for (size_t i = 0; i < 16; ++i)
    to[i] = static_cast<uint8_t>((codes[i] & 15) | codes[16 + i] << 4);
}

/// Those above.
static void putHighBits(const Chunk &codes, size_t above, uint8_t *to) {
  for (size_t byte = 0; byte < 4 * above; ++byte) {
    unsigned bits = 0;
    for (size_t t = 0; t < 4; ++t) {
      if (above == 1)
        bits |= (codes[4 * t + byte] >> 4 & 1u) << t | (codes[16 + 4 * t + byte] >> 4 & 1u)
                                                           << (4 + t);
      else
        bits |= (codes[byte / 4 * 16 + 4 * t + byte % 4] >> 4 & 3u) << (2 * t);
    }
    to[byte] = static_cast<uint8_t>(bits);
  }
}

static void putFloats4(const Chunk &codes, uint8_t *to) {
  for (size_t t = 0; t < 4; ++t)
    for (size_t byte = 0; byte < 4; ++byte) {
      const size_t k = byte % 2 * 16 + 2 * t + byte / 2;
      to[4 * t + byte] = static_cast<uint8_t>(codes[k] | codes[k + 8] << 4);
    }
}

MOEC_WIDE static void putFloats8(const uint8_t *codes, size_t chunks, uint8_t *to) {
  for (size_t chunk = 0; chunk < chunks; ++chunk, codes += 16, to += 16)
    for (size_t t = 0; t < 4; ++t) {
      to[4 * t] = codes[2 * t];
      to[4 * t + 1] = codes[2 * t + 8];
      to[4 * t + 2] = codes[2 * t + 1];
      to[4 * t + 3] = codes[2 * t + 9];
    }
}

MOEC_WIDE static void putBytes(const uint8_t *codes, size_t count, uint8_t turned, uint8_t *to) {
  for (size_t i = 0; i < count; ++i)
    to[i] = codes[i] ^ turned;
}

/// The codes of a row of bandRowBytes.
static void putRow(const QuantTraits &traits, size_t columns, const uint8_t *words, uint8_t *to) {
  const auto depth = static_cast<int64_t>(columns);
  const auto turned = static_cast<uint8_t>(bandTurned(traits.format));
  if (traits.codes == QuantCodes::Floats8) {
    const size_t whole = columns / 16, rest = columns % 16;
    putFloats8(words, whole, to);
    if (rest > 0) {
      std::array<uint8_t, 16> last = {};
      std::copy_n(words + 16 * whole, rest, last.begin());
      putFloats8(last.data(), 1, to + 16 * whole);
    }
    return;
  }
  if (traits.bits == 8)
    return putBytes(words, static_cast<size_t>(bandRowBytes(traits.format, depth)), turned, to);
  const auto above = static_cast<size_t>(quantBitsAbove(traits.format)),
             chunkBytes = static_cast<size_t>(4 * quantChunkWords(traits.format));
  uint8_t *high = to + bandLowBytes(traits.format, depth);
  std::fill(high, to + bandRowBytes(traits.format, depth), uint8_t(0));
  const auto chunks = static_cast<size_t>(quantGroups(traits.format, depth));
  for (size_t chunk = 0; chunk < chunks; ++chunk) {
    Chunk codes = unpackChunk(traits, words + chunk * chunkBytes);
    if (traits.codes == QuantCodes::Floats4) {
      putFloats4(codes, to + 16 * chunk);
      continue;
    }
    for (uint8_t &code : codes)
      code ^= turned;
    putLowBits(codes, to + 16 * chunk);
    if (above > 0)
      putHighBits(codes, above, high + 4 * above * chunk);
  }
}

void moec::layOutBand(QuantFormat format, size_t columns, const QuantizedRow *rows, uint8_t *out) {
  const QuantTraits &traits = traitsOf(format);
  const auto depth = static_cast<int64_t>(columns), group = quantGroup(format, depth);
  const auto rowBytes = static_cast<size_t>(bandRowBytes(format, depth)),
             scaleBytes = static_cast<size_t>(bandScaleBytes(format));
  uint8_t *scales = out + bandScalesAt(format, depth), *zeros = out + bandZerosAt(format, depth);
  std::fill(scales, out + bandBytes(format, depth), uint8_t(0)); // a run may lack groups
  for (int64_t n = 0; n < kBandRows; ++n) {
    putRow(traits, columns, rows[n].words, out + static_cast<size_t>(n) * rowBytes);
    for (int64_t number = 0; number < quantGroups(format, depth); ++number) {
      const auto from = static_cast<size_t>(number),
                 place = static_cast<size_t>(bandScaleOf(format, depth, n, number * group));
      if (n % traits.scaleRows == 0)
        std::memcpy(scales + place * scaleBytes, rows[n].scales + from * scaleBytes, scaleBytes);
      if (traits.hasZeros)
        zeros[place] = rows[n].zeros[from];
    }
  }
}
