// SHA-256, and the digest that ties programs and packed weights to the files they were made from.

#ifndef MOEC_RUNTIME_CORE_DIGEST_H
#define MOEC_RUNTIME_CORE_DIGEST_H

#include "runtime/core/File.h"
#include "runtime/core/Result.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace moec {

/// The 32 bytes of a SHA-256.
using Digest = std::array<uint8_t, 32>;

/// 64 lower-case hexadecimal digits.
std::string digestText(const Digest &digest);
/// The digest of such a text; none for anything else.
std::optional<Digest> parseDigest(std::string_view text);

/// Which code computes a SHA-256; the result is the same.
enum class HashCode {
  Fastest,  ///< the CPU's instructions where it has them
  Portable, ///< none of them
};

/// SHA-256 (FIPS 180-4) of bytes that arrive in pieces.
class Hasher {
public:
  explicit Hasher(HashCode code = HashCode::Fastest);

  void add(std::span<const uint8_t> bytes);
  void add(std::string_view text);
  /// A number, as 8 bytes, lowest first.
  void add(uint64_t number);
  /// A text after its length: lists of texts then differ where any text does.
  void addField(std::string_view text);
  /// The digest of all that was added. Ends the hasher.
  Digest finish();

private:
  void compress(const uint8_t *data, size_t blocks);

  [[maybe_unused]] HashCode code;
  std::array<uint32_t, 8> state;
  std::array<uint8_t, 64> pending;
  uint64_t total = 0;
};

/// The digest of a safetensors file as it takes part in a source digest: its size, its header, and
/// 16 blocks of 64 KiB spread evenly over its data (all of it, where that is no longer).
/// `dataStart` is where the header ends. Files cut short are taken as far as they go.
Result<Digest> sampleDigest(const File &file, uint64_t dataStart);

} // namespace moec

#endif // MOEC_RUNTIME_CORE_DIGEST_H
