// Strings in blocks, found by open addressing.

#include "frontends/onnx/NameTable.h"

#include <cstring>
#include <functional>

using namespace moec;

static constexpr uint32_t kFree = UINT32_MAX;
static constexpr size_t kBlockBytes = 1 << 16;

NameTable::NameTable() : slots(64, kFree) { number(""); }

size_t NameTable::slotOf(std::string_view name, size_t hash) const {
  size_t slot = hash & (slots.size() - 1);
  while (slots[slot] != kFree && texts[slots[slot]] != name)
    slot = (slot + 1) & (slots.size() - 1);
  return slot;
}

uint32_t NameTable::number(std::string_view name) {
  const size_t hash = std::hash<std::string_view>()(name);
  size_t slot = slotOf(name, hash);
  if (slots[slot] != kFree)
    return slots[slot];
  if (2 * (texts.size() + 1) > slots.size()) {
    grow();
    slot = slotOf(name, hash);
  }
  const auto number = static_cast<uint32_t>(texts.size());
  slots[slot] = number;
  texts.push_back(keep(name));
  return number;
}

void NameTable::grow() {
  slots.assign(2 * slots.size(), kFree);
  for (uint32_t number = 0; number < texts.size(); ++number)
    slots[slotOf(texts[number], std::hash<std::string_view>()(texts[number]))] = number;
}

std::string_view NameTable::keep(std::string_view name) {
  if (name.empty())
    return "";
  if (name.size() > room) {
    room = std::max(kBlockBytes, name.size());
    blocks.push_back(std::make_unique_for_overwrite<char[]>(room));
    next = blocks.back().get();
  }
  std::memcpy(next, name.data(), name.size());
  std::string_view kept(next, name.size());
  next += name.size();
  room -= name.size();
  return kept;
}
