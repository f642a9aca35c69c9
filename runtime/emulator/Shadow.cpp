// Compares an access with what a cell remembers, and makes it remember this one.

#include "runtime/emulator/Shadow.h"

namespace moec::emulator {

static bool happenedBefore(const PastAccess &past, const Accessor &accessor) {
  return past.block == accessor.block
             ? accessor.view->knows(past.slot, past.clock)
             : accessor.view->knowsOther(past.block, past.slot, past.clock);
}

std::optional<Conflict> touch(Cell &cell, uint8_t bytes, const Accessor &accessor,
                              uint64_t &random) {
  std::optional<Conflict> found;
  auto compare = [&](PastAccess &past, bool isWrite) {
    if (accessor.isShared ? past.block != accessor.block : past.block < accessor.firstBlock)
      past.bytes = 0;
    if (!(past.bytes & bytes))
      return;
    const bool isOrdered = happenedBefore(past, accessor);
    if (!isOrdered && (isWrite || accessor.isWrite) && !(past.isStrong && accessor.isStrong) &&
        !found)
      found = Conflict{past, isWrite};
    // What races with the past access races with this one too: no need to remember both.
    const bool isSame = past.block == accessor.block && past.slot == accessor.slot;
    if ((isOrdered || isSame) && (accessor.isWrite || !isWrite) &&
        (past.isStrong || !accessor.isStrong))
      past.bytes &= uint8_t(~bytes);
  };
  for (PastAccess &past : cell.writes)
    compare(past, true);
  for (PastAccess &past : cell.reads)
    compare(past, false);

  PastAccess *places = accessor.isWrite ? cell.writes : cell.reads;
  PastAccess &place = !places[0].bytes   ? places[0]
                      : !places[1].bytes ? places[1]
                                         : places[nextRandom(random) & 1];
  place = {accessor.block,          accessor.clock, accessor.location,
           uint16_t(accessor.slot), bytes,          accessor.isStrong};
  return found;
}

void Shadow::forget(uintptr_t begin, uintptr_t end) {
  for (uintptr_t address = begin & ~uintptr_t(3); address < end;) {
    auto page = pages.find(address / kPageBytes);
    if (page == pages.end()) {
      address = (address / kPageBytes + 1) * kPageBytes;
      continue;
    }
    page->second[address % kPageBytes / 4] = {};
    address += 4;
  }
}

} // namespace moec::emulator
