// The strings of a model, each kept once and known by a number.

#ifndef MOEC_FRONTENDS_ONNX_NAMETABLE_H
#define MOEC_FRONTENDS_ONNX_NAMETABLE_H

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace moec {

/// Numbers strings in the order in which they come. What it gives out stays valid, also when the
/// table is moved.
class NameTable {
public:
  NameTable();

  /// The number of `name`, a new one if it has none. Numbers begin at 0, which is the empty name.
  uint32_t number(std::string_view name);
  /// The table's own copy of `name`.
  std::string_view intern(std::string_view name) { return texts[number(name)]; }
  std::string_view text(uint32_t number) const { return texts[number]; }
  size_t size() const { return texts.size(); }

private:
  /// A place in `slots` that holds `name`, or is free.
  size_t slotOf(std::string_view name, size_t hash) const;
  void grow();
  std::string_view keep(std::string_view name);

  std::vector<std::string_view> texts;
  std::vector<uint32_t> slots; ///< numbers, by hash; a power of two of them, at most half used
  std::vector<std::unique_ptr<char[]>> blocks;
  size_t room = 0; ///< in the last block
  char *next = nullptr;
};

} // namespace moec

#endif // MOEC_FRONTENDS_ONNX_NAMETABLE_H
