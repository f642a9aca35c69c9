// The two directions of one table, which is worked out at compile time.

#include "runtime/text/ByteLevel.h"

#include "runtime/text/Utf8.h"

#include <array>
#include <cstdint>

using namespace moec;

namespace {

struct Alphabet {
  std::array<uint16_t, 256> characters{}; ///< of each byte
  std::array<int16_t, 512> bytes{};       ///< of each character, or negative

  constexpr Alphabet() {
    bytes.fill(-1);
    uint16_t next = 256;
    for (int byte = 0; byte < 256; ++byte) {
      bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
      uint16_t character = printable ? static_cast<uint16_t>(byte) : next++;
      characters[byte] = character;
      bytes[character] = static_cast<int16_t>(byte);
    }
  }
};

constexpr Alphabet alphabet;

} // namespace

std::string moec::bytesToCharacters(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() + bytes.size() / 4);
  for (char byte : bytes)
    utf8::append(text, alphabet.characters[static_cast<uint8_t>(byte)]);
  return text;
}

void moec::charactersToBytes(std::string_view text, std::string &bytes) {
  size_t before = bytes.size();
  for (std::string_view rest = text; !rest.empty();) {
    utf8::Character character = utf8::first(rest);
    int byte = character.bytes && character.value < alphabet.bytes.size()
                   ? alphabet.bytes[character.value]
                   : -1;
    if (byte < 0) {
      bytes.resize(before);
      bytes += text;
      return;
    }
    bytes += static_cast<char>(byte);
    rest.remove_prefix(character.bytes);
  }
}
