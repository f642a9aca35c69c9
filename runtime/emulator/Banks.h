// Counts how often a warp's access to shared memory has to go over the banks.

#ifndef MOEC_RUNTIME_EMULATOR_BANKS_H
#define MOEC_RUNTIME_EMULATOR_BANKS_H

#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <utility>

namespace moec::emulator {

struct BankUse;

/// Passes over 32 banks of 4 bytes that lanes take which access `bytes` each (at most 16) at these
/// addresses. Wide accesses are made by as many lanes at once as fill the banks.
struct BankPasses {
  uint32_t passes = 0, fewest = 0;
};
/// `lanes` has a bit for each lane that takes part.
BankPasses countBankPasses(std::span<const uint32_t, 32> addresses, uint32_t lanes, uint32_t bytes);

/// Puts together what a warp's lanes do one after another: the n-th time that each lane executes an
/// instruction since the lanes last met is one instruction of the warp.
class WarpAccesses {
public:
  void add(uint32_t lane, uint32_t location, uint32_t part, bool isWrite, uint32_t address,
           uint32_t bytes);
  /// All lanes have met, or are done: adds what they did to `uses`.
  void meet(std::map<uint32_t, BankUse> &uses);

private:
  struct Instruction {
    uint32_t lanes = 0;
    uint32_t addresses[32];
  };
  struct Place {
    uint32_t bytes = 0;
    bool isWrite = false;
    uint32_t counts[32] = {};
    std::deque<Instruction> instructions;
  };
  std::map<std::pair<uint32_t, uint32_t>, Place> places; // location and part of a wide access
};

} // namespace moec::emulator

#endif // MOEC_RUNTIME_EMULATOR_BANKS_H
