// A GPU's memory: buffers, shared memory of blocks, what was done to both, and what was found.

#ifndef MOEC_RUNTIME_EMULATOR_MEMORY_H
#define MOEC_RUNTIME_EMULATOR_MEMORY_H

#include "runtime/emulator/Emulator.h"
#include "runtime/emulator/Fiber.h"
#include "runtime/emulator/Shadow.h"

#include <map>
#include <memory>
#include <tuple>
#include <unordered_map>
#include <vector>

namespace moec::emulator {

/// The shared memory of one block; used again by others.
struct SharedArena {
  struct Object {
    uint64_t begin, bytes;
  };
  char *data = nullptr;
  uint64_t bytes = 0;
  std::vector<Object> objects;  ///< ascending, with room between
  std::vector<uint8_t> written; ///< of each byte whether the block wrote it
  std::vector<Cell> cells;

  /// The object that the bytes lie in; null if they do not lie in one.
  const Object *find(uint64_t begin, uint64_t count) const;
};

class Memory {
public:
  explicit Memory(size_t stackBytes) : stacks(stackBytes) {}
  ~Memory();

  void add(const Buffer &buffer) {
    buffers[uintptr_t(buffer.address)] = buffer;
    last = nullptr;
  }
  void remove(const void *address);
  /// The buffer that `address` lies in; null if in none.
  const Buffer *find(uintptr_t address);
  /// Where a byte of a buffer is in this process.
  static char *hostOf(const Buffer &buffer, void *address) {
    return buffer.host ? buffer.host + (uintptr_t(address) - uintptr_t(buffer.address))
                       : static_cast<char *>(address);
  }
  /// The buffer that begins at or below `address`; null if none does.
  const Buffer *findBelow(uintptr_t address) const;

  /// An arena of at least so many bytes; null where memory is out.
  SharedArena *takeArena(uint64_t bytes);
  void giveArena(SharedArena *arena) { unusedArenas.push_back(arena); }

  void report(Fault fault, const Site &site, std::string detail, std::optional<Site> other);

  StackPool stacks;
  Shadow shadow;                                        ///< of buffers
  std::unordered_map<uintptr_t, KnowledgeRef> released; ///< at addresses of buffers
  std::vector<Report> reports;
  std::map<uint32_t, BankUse> bankUses;
  uint32_t nextSerial = 1; ///< of a block

private:
  friend class Gpu;
  using ReportKey = std::tuple<Fault, uint32_t, uint32_t, bool, bool>;
  std::map<uintptr_t, Buffer> buffers;
  const Buffer *last = nullptr;
  std::vector<std::unique_ptr<SharedArena>> arenas;
  std::vector<SharedArena *> unusedArenas;
  std::map<ReportKey, size_t> reportIndex;
};

} // namespace moec::emulator

#endif // MOEC_RUNTIME_EMULATOR_MEMORY_H
