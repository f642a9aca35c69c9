// Checks plain and atomic accesses: bounds, alignment, races, copies not waited for, memory that
// nobody wrote.

#include "runtime/emulator/Launch.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

namespace moec::emulator {

bool Launch::isShared(const Block &block, const void *address) {
  return uintptr_t(address) - uintptr_t(block.arena->data) < block.arena->bytes;
}

static std::string_view verb(bool isWrite) { return isWrite ? "write" : "read"; }

/// Where an address lies, for a report.
static std::string placeOf(const SharedArena &arena, uint64_t offset) {
  const SharedArena::Object *nearest = nullptr;
  for (const SharedArena::Object &object : arena.objects)
    if (object.begin <= offset || !nearest)
      nearest = &object;
  if (!nearest)
    return "shared memory of a block that has none";
  return fmt::format("byte {} of a shared object of {}", int64_t(offset - nearest->begin),
                     nearest->bytes);
}

/// The same of an address elsewhere; past a buffer's end, that buffer is what was meant.
static std::string placeOf(const Memory &memory, uintptr_t address) {
  const Buffer *buffer = memory.findBelow(address);
  constexpr uint64_t kNear = 1 << 20;
  if (!buffer || address - uintptr_t(buffer->address) > buffer->bytes + kNear)
    return fmt::format("{:#x}, where no buffer is", address);
  return fmt::format("byte {} of a buffer of {}", address - uintptr_t(buffer->address),
                     buffer->bytes);
}

char *Launch::check(Thread &thread, void *address, uint64_t bytes, uint32_t alignment, bool isWrite,
                    bool isStrong, uint32_t location, bool isCopy) {
  ++thread.registers[Clock];
  auto *data = static_cast<char *>(address);
  const bool checksAny = options.checkBounds || options.checkRaces || options.checkInitialized;
  if (!checksAny || thread.fiber.owns(address))
    return data;
  Block &block = *thread.block;
  SharedArena &arena = *block.arena;
  const bool shared = isShared(block, address);
  const Buffer *buffer = shared ? nullptr : memory.find(uintptr_t(address));
  const uint64_t offset = uint64_t(data - arena.data);
  auto place = [&](uintptr_t at) {
    return shared ? placeOf(arena, at - uintptr_t(arena.data)) : placeOf(memory, at);
  };
  const bool inBounds =
      shared ? arena.find(offset, bytes) != nullptr
             : buffer && bytes <= buffer->bytes - (uintptr_t(address) - uintptr_t(buffer->address));
  if (options.checkBounds) {
    const Site site = thread.site(location, isWrite);
    if (!inBounds)
      report(Fault::OutOfBounds, site,
             fmt::format("{} of {} bytes at {}", verb(isWrite), bytes, place(uintptr_t(address))));
    else if (uintptr_t(address) % alignment != 0)
      report(Fault::Misaligned, site,
             fmt::format("{} at {}, which is no multiple of {}", verb(isWrite),
                         place(uintptr_t(address)), alignment));
    else if (buffer && buffer->readOnly && isWrite)
      report(Fault::ReadOnlyWrite, site, place(uintptr_t(address)));
    if (!inBounds || uintptr_t(address) % alignment != 0 || (buffer && buffer->readOnly && isWrite))
      return nullptr;
  }
  if (!inBounds) // nothing is known of what lies there
    return data;
  if (buffer)
    data = Memory::hostOf(*buffer, address);
  if (shared && options.checkInitialized) {
    auto first = arena.written.begin() + std::ptrdiff_t(offset),
         last = first + std::ptrdiff_t(bytes);
    if (isWrite)
      std::fill(first, last, 1);
    else if (auto unwritten = std::find(first, last, 0); unwritten != last) {
      report(Fault::Uninitialized, thread.site(location),
             fmt::format("read at {}, which nobody wrote",
                         placeOf(arena, uint64_t(unwritten - arena.written.begin()))));
      std::fill(first, last, 1); // said once
    }
  }
  if (!options.checkRaces || (buffer && buffer->readOnly))
    return data;

  const uint32_t threads = uint32_t(block.threads.size());
  const Accessor accessor{&thread.view,
                          block.serial,
                          isCopy ? threads + thread.index : thread.index,
                          isCopy ? thread.copyClock : thread.view.now(),
                          location,
                          firstSerial,
                          isWrite,
                          isStrong,
                          shared};
  for (uint64_t done = 0; done < bytes;) {
    const uintptr_t at = uintptr_t(address) + done;
    const uint64_t inCell = std::min<uint64_t>(4 - at % 4, bytes - done);
    const auto mask = uint8_t(((1u << inCell) - 1) << at % 4);
    Cell &cell = shared ? arena.cells[(offset + done) / 4] : memory.shadow.at(at);
    done += inCell;
    std::optional<Conflict> conflict = touch(cell, mask, accessor, randomState);
    if (!conflict)
      continue;
    const bool ofCopy = conflict->past.slot >= threads;
    const Fault fault = ofCopy ? Fault::UnwaitedCopy : Fault::Race;
    report(fault, thread.site(location, isWrite),
           fmt::format("{} at {}{}", verb(isWrite), place(at),
                       ofCopy ? ", which an asynchronous copy may still " +
                                    std::string(conflict->isWrite ? "write" : "read")
                              : ""),
           siteOf(conflict->past, conflict->isWrite));
  }
  return data;
}

/// Counts an access to shared memory, in parts that an instruction can do.
static void countBanks(Thread &thread, const char *data, uint64_t bytes, uint32_t alignment,
                       bool isWrite, uint32_t location) {
  const Block &block = *thread.block;
  const auto part = uint32_t(std::min<uint64_t>({bytes, alignment, 16}));
  const auto offset = uint32_t(data - block.arena->data);
  for (uint32_t done = 0, index = 0; done < bytes; done += part, ++index)
    thread.block->warps[thread.index / kWarpLanes].add(thread.lane(), location, index, isWrite,
                                                       offset + done, part);
}

/// Where what an atomic access released is kept.
static KnowledgeRef &releasedAt(Launch &launch, Thread &thread, void *address) {
  return Launch::isShared(*thread.block, address) ? thread.block->released[uintptr_t(address)]
                                                  : launch.memory.released[uintptr_t(address)];
}

} // namespace moec::emulator

using namespace moec;
using namespace moec::emulator;

void *moec_emulator_access(moec_emulated_thread *self, void *address, uint64_t bytes,
                           uint32_t alignment, uint32_t kind, uint32_t location) {
  Launch &launch = launchOf(self);
  Thread &thread = threadOf(self);
  const bool isWrite = kind == uint32_t(AccessKind::Write);
  char *data = launch.check(thread, address, bytes, alignment, isWrite, false, location);
  if (!data) {
    std::memset(thread.scratch, 0, sizeof thread.scratch);
    return thread.scratch;
  }
  if (launch.options.countBankConflicts && Launch::isShared(*thread.block, address))
    countBanks(thread, data, bytes, alignment, isWrite, location);
  return data;
}

void *moec_emulator_variable(moec_emulated_thread *self, void *address, uint64_t bytes, void *begin,
                             uint64_t room, uint32_t isWrite, uint32_t location) {
  const uint64_t offset = uintptr_t(address) - uintptr_t(begin);
  if (offset <= room && bytes <= room - offset)
    return address;
  Thread &thread = threadOf(self);
  launchOf(self).report(Fault::OutOfBounds, thread.site(location, isWrite != 0),
                        fmt::format("{} of {} bytes at byte {} of a variable of {}",
                                    verb(isWrite != 0), bytes, int64_t(offset), room));
  std::memset(thread.scratch, 0, sizeof thread.scratch);
  return thread.scratch;
}

void *moec_emulator_atomic(moec_emulated_thread *self, void *address, uint64_t bytes,
                           uint32_t order, uint32_t location) {
  Launch &launch = launchOf(self);
  Thread &thread = threadOf(self);
  thread.waitLocation = location;
  launch.pause(thread);
  const bool reads = !(order & WriteOnly), writes = !(order & ReadOnly);
  char *data = launch.check(thread, address, bytes, uint32_t(bytes), writes, true, location);
  if (!data) {
    std::memset(thread.scratch, 0, sizeof thread.scratch);
    return thread.scratch;
  }
  if (writes) {
    thread.watched = data;
    thread.watchedBytes = uint32_t(std::min<uint64_t>(bytes, sizeof thread.watchedValue));
    std::memcpy(thread.watchedValue, data, thread.watchedBytes);
  }
  if (!launch.options.checkRaces)
    return data;
  KnowledgeRef &released = releasedAt(launch, thread, address);
  const KnowledgeRef before = released;
  if (reads) {
    if (order & Acquire)
      thread.view.acquire(before);
    else
      thread.seen = joinKnowledge(thread.seen, before);
  }
  if (writes) {
    KnowledgeRef mine = order & Release ? thread.view.release() : thread.fenced;
    released = reads ? joinKnowledge(before, mine) : mine;
  }
  return data;
}

void moec_emulator_fence(moec_emulated_thread *self) {
  Thread &thread = threadOf(self);
  if (!launchOf(self).options.checkRaces)
    return;
  thread.view.acquire(thread.seen);
  thread.seen.reset();
  thread.fenced = thread.view.release();
}

void moec_emulator_move(moec_emulated_thread *self, void *to, void *from, uint64_t bytes,
                        uint32_t location) {
  Launch &launch = launchOf(self);
  Thread &thread = threadOf(self);
  if (bytes == 0)
    return;
  const char *source = launch.check(thread, from, bytes, 1, false, false, location);
  char *target = launch.check(thread, to, bytes, 1, true, false, location);
  if (source && target)
    std::memmove(target, source, bytes);
}

void moec_emulator_fill(moec_emulated_thread *self, void *to, uint32_t value, uint64_t bytes,
                        uint32_t location) {
  if (bytes == 0)
    return;
  if (char *target = launchOf(self).check(threadOf(self), to, bytes, 1, true, false, location))
    std::memset(target, int(value & 0xff), bytes);
}

void moec_emulator_division(moec_emulated_thread *self, uint32_t byZero, uint32_t overflows,
                            uint32_t location) {
  if (byZero || overflows)
    launchOf(self).report(Fault::Division, threadOf(self).site(location),
                          byZero ? "by zero" : "of the least number by -1, which overflows");
}

void moec_emulator_pause(moec_emulated_thread *self) { launchOf(self).pause(threadOf(self)); }

void moec_emulator_exit(moec_emulated_thread *self) { launchOf(self).finish(threadOf(self)); }

void moec_emulator_trap(moec_emulated_thread *self, uint32_t location) {
  Launch &launch = launchOf(self);
  launch.report(Fault::Trap, threadOf(self).site(location), "the kernel executes a trap");
  launch.finish(threadOf(self));
}
