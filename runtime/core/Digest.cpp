// SHA-256 in portable form and by the SHA instructions of x86, chosen at run time.

#include "runtime/core/Digest.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

using namespace moec;

// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
alignas(64) static constexpr uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t loadBig32(const uint8_t *bytes) {
  return uint32_t(bytes[0]) << 24 | uint32_t(bytes[1]) << 16 | uint32_t(bytes[2]) << 8 | bytes[3];
}

static void compressPortable(uint32_t *state, const uint8_t *data, size_t blocks) {
  for (; blocks != 0; --blocks, data += 64) {
    uint32_t schedule[64];
    for (int i = 0; i < 16; ++i)
      schedule[i] = loadBig32(data + 4 * i);
    for (int i = 16; i < 64; ++i) {
      uint32_t early = schedule[i - 15], late = schedule[i - 2];
      uint32_t sigma0 = std::rotr(early, 7) ^ std::rotr(early, 18) ^ early >> 3;
      uint32_t sigma1 = std::rotr(late, 17) ^ std::rotr(late, 19) ^ late >> 10;
      schedule[i] = schedule[i - 16] + sigma0 + schedule[i - 7] + sigma1;
    }
    uint32_t v[8];
    std::copy_n(state, 8, v);
    for (int i = 0; i < 64; ++i) {
      uint32_t sum1 = std::rotr(v[4], 6) ^ std::rotr(v[4], 11) ^ std::rotr(v[4], 25);
      uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
      uint32_t first = v[7] + sum1 + choice + kRound[i] + schedule[i];
      uint32_t sum0 = std::rotr(v[0], 2) ^ std::rotr(v[0], 13) ^ std::rotr(v[0], 22);
      uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
      std::copy_backward(v, v + 7, v + 8);
      v[4] += first;
      v[0] = first + sum0 + majority;
    }
    for (int i = 0; i < 8; ++i)
      state[i] += v[i];
  }
}

#if defined(__x86_64__)
static bool hasShaInstructions() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSE4_1) || !(c & bit_SSSE3))
    return false;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 29));
}

/// The instructions hold the state as (A B E F) and (C D G H), highest lane first.
__attribute__((target("sha,sse4.1,ssse3"))) static void
compressSha(uint32_t *state, const uint8_t *data, size_t blocks) {
  const __m128i bigEndian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i abef = _mm_set_epi32(int(state[0]), int(state[1]), int(state[4]), int(state[5]));
  __m128i cdgh = _mm_set_epi32(int(state[2]), int(state[3]), int(state[6]), int(state[7]));
  for (; blocks != 0; --blocks, data += 64) {
    __m128i abefBefore = abef, cdghBefore = cdgh;
    __m128i words[4];
    for (int i = 0; i < 4; ++i)
      words[i] = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i *>(data + 16 * i)),
                                  bigEndian);
#pragma GCC unroll 16
    for (int group = 0; group < 16; ++group) {
      __m128i current = words[group % 4];
      __m128i keyed = _mm_add_epi32(
          current, _mm_load_si128(reinterpret_cast<const __m128i *>(kRound + 4 * group)));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, keyed);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(keyed, 0x0e));
      if (group < 12) {
        // The words of four groups on, from those of this group and the three after it.
        __m128i one = words[(group + 1) % 4], two = words[(group + 2) % 4],
                three = words[(group + 3) % 4];
        __m128i sum =
            _mm_add_epi32(_mm_sha256msg1_epu32(current, one), _mm_alignr_epi8(three, two, 4));
        words[group % 4] = _mm_sha256msg2_epu32(sum, three);
      }
    }
    abef = _mm_add_epi32(abef, abefBefore);
    cdgh = _mm_add_epi32(cdgh, cdghBefore);
  }
  alignas(16) uint32_t first[4], second[4];
  _mm_store_si128(reinterpret_cast<__m128i *>(first), abef);
  _mm_store_si128(reinterpret_cast<__m128i *>(second), cdgh);
  for (int half = 0; half < 2; ++half) {
    state[1 - half] = first[2 + half];
    state[5 - half] = first[half];
    state[3 - half] = second[2 + half];
    state[7 - half] = second[half];
  }
}
#endif

void Hasher::compress(const uint8_t *data, size_t blocks) {
#if defined(__x86_64__)
  static const bool fast = hasShaInstructions();
  if (fast && code == HashCode::Fastest)
    return compressSha(state.data(), data, blocks);
#endif
  compressPortable(state.data(), data, blocks);
}

// The first 32 bits of the fractional parts of the square roots of the first 8 primes.
Hasher::Hasher(HashCode code)
    : code(code), state{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19},
      pending{} {}

void Hasher::add(std::span<const uint8_t> bytes) {
  size_t held = total % 64;
  total += bytes.size();
  if (held != 0) {
    size_t taken = std::min(bytes.size(), 64 - held);
    std::copy_n(bytes.data(), taken, pending.data() + held);
    bytes = bytes.subspan(taken);
    if (held + taken < 64)
      return;
    compress(pending.data(), 1);
  }
  compress(bytes.data(), bytes.size() / 64);
  std::span<const uint8_t> rest = bytes.subspan(bytes.size() / 64 * 64);
  std::copy(rest.begin(), rest.end(), pending.begin());
}

void Hasher::add(std::string_view text) {
  add(std::span(reinterpret_cast<const uint8_t *>(text.data()), text.size()));
}

void Hasher::add(uint64_t number) {
  uint8_t bytes[8];
  for (int index = 0; index < 8; ++index)
    bytes[index] = static_cast<uint8_t>(number >> (8 * index));
  add(std::span<const uint8_t>(bytes));
}

void Hasher::addField(std::string_view text) {
  add(static_cast<uint64_t>(text.size()));
  add(text);
}

Digest Hasher::finish() {
  uint64_t bits = total * 8;
  uint8_t padding[72] = {0x80};
  size_t zeros = (119 - total % 64) % 64; // so that 8 bytes of length end a block
  for (int index = 0; index < 8; ++index)
    padding[1 + zeros + index] = static_cast<uint8_t>(bits >> (56 - 8 * index));
  add(std::span<const uint8_t>(padding, 9 + zeros));
  Digest digest;
  for (int index = 0; index < 32; ++index)
    digest[index] = static_cast<uint8_t>(state[index / 4] >> (24 - 8 * (index % 4)));
  return digest;
}

std::string moec::digestText(const Digest &digest) {
  std::string text;
  for (uint8_t byte : digest) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

std::optional<Digest> moec::parseDigest(std::string_view text) {
  Digest digest = {};
  if (text.size() != 2 * digest.size())
    return std::nullopt;
  for (size_t index = 0; index < text.size(); ++index) {
    size_t value = std::string_view("0123456789abcdef").find(text[index]);
    if (value == std::string_view::npos)
      return std::nullopt;
    digest[index / 2] = static_cast<uint8_t>(digest[index / 2] << 4 | value);
  }
  return digest;
}

Result<Digest> moec::sampleDigest(const File &file, uint64_t dataStart) {
  constexpr uint64_t kBlocks = 16, kBlockBytes = 64 << 10;
  Hasher hasher;
  hasher.add(file.size());
  std::vector<uint8_t> buffer;
  auto addRange = [&](uint64_t offset, uint64_t bytes) {
    buffer.resize(bytes);
    Status status = file.readAt(offset, buffer);
    if (status.ok())
      hasher.add(buffer);
    return status;
  };
  dataStart = std::min(dataStart, file.size());
  if (Status status = addRange(0, dataStart); !status.ok())
    return status;
  uint64_t data = file.size() - dataStart;
  if (data <= kBlocks * kBlockBytes) {
    if (Status status = addRange(dataStart, data); !status.ok())
      return status;
  } else {
    for (uint64_t block = 0; block < kBlocks; ++block) {
      // The quotient first: the product of a size and a count may not fit.
      uint64_t stride = (data - kBlockBytes) / (kBlocks - 1);
      uint64_t offset = block + 1 == kBlocks ? data - kBlockBytes : block * stride;
      if (Status status = addRange(dataStart + offset, kBlockBytes); !status.ok())
        return status;
    }
  }
  return hasher.finish();
}
