// What was last done to each byte of memory, to find accesses that nothing orders.

#ifndef MOEC_RUNTIME_EMULATOR_SHADOW_H
#define MOEC_RUNTIME_EMULATOR_SHADOW_H

#include "runtime/emulator/Clock.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>

namespace moec::emulator {

/// One past access to some of the four bytes of a cell.
struct PastAccess {
  uint32_t block = 0; ///< serial number over all launches; 0: none
  uint32_t clock = 0;
  uint32_t location = 0;
  uint16_t slot = 0; ///< thread, or N plus the thread whose copy it was
  uint8_t bytes = 0; ///< a bit for each
  bool isStrong = false;
};

/// Four bytes: two writes and two reads that nothing subsumes. Where more would be kept, chance
/// decides which are forgotten, so that another seed may find what one overlooks.
struct Cell {
  PastAccess writes[2], reads[2];
};

/// Who makes an access, and what it knows.
struct Accessor {
  const View *view = nullptr;
  uint32_t block = 0, slot = 0, clock = 0, location = 0;
  uint32_t firstBlock = 0; ///< of this launch; launches are ordered
  bool isWrite = false;
  bool isStrong = false; ///< atomic or volatile: no race with others of its kind
  bool isShared = false; ///< to memory that other blocks used before, for themselves
};

/// A past access that races with the one made.
struct Conflict {
  PastAccess past;
  bool isWrite = false;
};

/// Notes an access to `bytes` of `cell`. Returns one that it races with, if any.
std::optional<Conflict> touch(Cell &cell, uint8_t bytes, const Accessor &accessor,
                              uint64_t &random);

/// Cells of memory anywhere, made where it is touched.
class Shadow {
public:
  Cell &at(uintptr_t address) {
    const uintptr_t page = address / kPageBytes;
    if (page != lastPage) {
      auto &cells = pages[page];
      if (!cells)
        cells = std::make_unique<Cell[]>(kPageBytes / 4);
      lastPage = page;
      lastCells = cells.get();
    }
    return lastCells[address % kPageBytes / 4];
  }
  /// Forgets all that was done from `begin` to `end`.
  void forget(uintptr_t begin, uintptr_t end);

private:
  static constexpr uintptr_t kPageBytes = 4096;
  std::unordered_map<uintptr_t, std::unique_ptr<Cell[]>> pages;
  uintptr_t lastPage = UINTPTR_MAX;
  Cell *lastCells = nullptr;
};

/// The next of a sequence of random numbers.
inline uint64_t nextRandom(uint64_t &state) {
  state += 0x9e3779b97f4a7c15;
  uint64_t mixed = state;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

} // namespace moec::emulator

#endif // MOEC_RUNTIME_EMULATOR_SHADOW_H
