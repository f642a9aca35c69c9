// The alphabet of byte-level tokenizers: every byte has a printable character.

#ifndef MOEC_RUNTIME_TEXT_BYTELEVEL_H
#define MOEC_RUNTIME_TEXT_BYTELEVEL_H

#include <string>
#include <string_view>

namespace moec {

/// `bytes`, each as its character: itself if printable in Latin-1, else one from U+0100 upwards.
std::string bytesToCharacters(std::string_view bytes);

/// Appends to `bytes` what the characters of `text` stand for. Where one of them stands for no
/// byte, appends `text` itself: it was never made of bytes.
void charactersToBytes(std::string_view text, std::string &bytes);

} // namespace moec

#endif // MOEC_RUNTIME_TEXT_BYTELEVEL_H
