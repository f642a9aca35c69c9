// Groups lanes as the hardware does and counts the words that meet in one bank.

#include "runtime/emulator/Banks.h"

#include "runtime/emulator/Emulator.h"

#include <algorithm>

namespace moec::emulator {

constexpr uint32_t kBanks = 32, kBankBytes = 4;

BankPasses countBankPasses(std::span<const uint32_t, 32> addresses, uint32_t lanes,
                           uint32_t bytes) {
  const uint32_t words = std::max(1u, bytes / kBankBytes);
  const uint32_t atOnce = kBanks / words;
  BankPasses result;
  for (uint32_t first = 0; first < 32; first += atOnce) {
    uint32_t perBank[kBanks][32], counts[kBanks] = {}; // different words of each bank
    uint32_t most = 0;
    for (uint32_t lane = first; lane < first + atOnce; ++lane) {
      if (!(lanes >> lane & 1))
        continue;
      for (uint32_t word = addresses[lane] / kBankBytes, end = word + words; word < end; ++word) {
        uint32_t *seen = perBank[word % kBanks], &count = counts[word % kBanks];
        if (std::find(seen, seen + count, word) == seen + count)
          seen[count++] = word;
        most = std::max(most, count);
      }
    }
    result.passes += most;
    result.fewest += most != 0;
  }
  return result;
}

void WarpAccesses::add(uint32_t lane, uint32_t location, uint32_t part, bool isWrite,
                       uint32_t address, uint32_t bytes) {
  Place &place = places[{location, part}];
  place.bytes = bytes;
  place.isWrite = isWrite;
  const uint32_t index = place.counts[lane]++;
  if (index >= place.instructions.size())
    place.instructions.resize(index + 1);
  Instruction &instruction = place.instructions[index];
  instruction.lanes |= 1u << lane;
  instruction.addresses[lane] = address;
}

void WarpAccesses::meet(std::map<uint32_t, BankUse> &uses) {
  for (auto &[key, place] : places) {
    if (place.instructions.empty())
      continue;
    BankUse &use = uses[key.first];
    use.location = key.first;
    use.isWrite = place.isWrite;
    for (const Instruction &instruction : place.instructions) {
      BankPasses counted = countBankPasses(instruction.addresses, instruction.lanes, place.bytes);
      ++use.instructions;
      use.passes += counted.passes;
      use.fewest += counted.fewest;
    }
    place.instructions.clear();
    std::fill(std::begin(place.counts), std::end(place.counts), 0);
  }
}

} // namespace moec::emulator
