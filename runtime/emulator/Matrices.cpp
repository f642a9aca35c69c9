// Matrix instructions: 8 x 8 matrices from and to shared memory, and products of 16 x 8 x k.

#include "runtime/emulator/SmallFloats.h"
#include "runtime/emulator/Warps.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace moec::emulator {

constexpr uint32_t kRowBytes = 16; // of a matrix in shared memory: 8 elements of 16 bits

void moveMatrices(Launch &launch, const WarpLanes &warp, uint32_t lanes) {
  const WarpCall &any = *warp.threads[0]->call;
  const bool isStore = any.instruction == WarpInstruction::StoreMatrix,
             transposed = any.qualifiers & 1;
  const uint32_t count = any.qualifiers >> 1, location = any.location;
  Block &block = *warp.threads[0]->block;
  for (uint32_t matrix = 0; matrix < count; ++matrix) {
    uint16_t elements[8][8] = {};
    if (isStore)
      warp.each(lanes, [&](uint32_t lane, WarpCall &call) {
        for (uint32_t half = 0; half < 2; ++half) {
          const uint32_t row = lane / 4, column = lane % 4 * 2 + half;
          (transposed ? elements[column][row] : elements[row][column]) =
              uint16_t(call.a[matrix] >> 16 * half);
        }
      });
    uint32_t addresses[kWarpLanes] = {}, counted = 0;
    for (uint32_t row = 0; row < 8; ++row) {
      // Lane 8 m + r has the address of row r of matrix m.
      const uint32_t lane = matrix * 8 + row;
      Thread &thread = *warp.threads[lane];
      char *data = launch.check(thread, thread.call->address, kRowBytes, kRowBytes, isStore, false,
                                location);
      if (!data)
        continue;
      if (isStore)
        std::memcpy(data, elements[row], kRowBytes);
      else
        std::memcpy(elements[row], data, kRowBytes);
      addresses[row] = uint32_t(data - block.arena->data);
      counted |= 1u << row;
    }
    if (launch.options.countBankConflicts) {
      const BankPasses passes = countBankPasses(addresses, counted, kRowBytes);
      BankUse &use = launch.memory.bankUses[location];
      use.location = location;
      use.isWrite = isStore;
      use.instructions += matrix == 0;
      use.passes += passes.passes;
      use.fewest += passes.fewest;
    }
    if (!isStore)
      warp.each(lanes, [&](uint32_t lane, WarpCall &call) {
        const uint32_t row = lane / 4, column = lane % 4 * 2;
        const uint32_t low = transposed ? elements[column][row] : elements[row][column];
        const uint32_t high = transposed ? elements[column + 1][row] : elements[row][column + 1];
        call.registers[matrix] = low | high << 16;
      });
  }
}

/// Element `index` of a register that holds several of this type.
static double element(uint32_t bits, MatrixType type, uint32_t index) {
  switch (type) {
  case MatrixType::F16:
    return decodeHalf(uint16_t(bits >> 16 * index));
  case MatrixType::BF16:
    return std::bit_cast<float>(bits >> 16 * index << 16);
  case MatrixType::TF32:
    return std::bit_cast<float>(bits & 0xffffe000);
  case MatrixType::S8:
    return int8_t(bits >> 8 * index);
  case MatrixType::U8:
    return uint8_t(bits >> 8 * index);
  case MatrixType::E4M3:
    return decodeE4M3(uint8_t(bits >> 8 * index));
  case MatrixType::E5M2:
    return decodeHalf(uint16_t((bits >> 8 * index & 0xff) << 8));
  case MatrixType::F32:
    return std::bit_cast<float>(bits);
  case MatrixType::S32:
    return int32_t(bits);
  }
  return 0;
}

static uint32_t elementsPerRegister(MatrixType type) {
  switch (type) {
  case MatrixType::F16:
  case MatrixType::BF16:
    return 2;
  case MatrixType::S8:
  case MatrixType::U8:
  case MatrixType::E4M3:
  case MatrixType::E5M2:
    return 4;
  default:
    return 1;
  }
}

/// A sum as it is stored. Sums of integers are exact up to here, and wrap or saturate once.
static uint32_t rounded(double value, MatrixType type, bool saturate) {
  if (type == MatrixType::F32)
    return std::bit_cast<uint32_t>(float(value));
  if (type == MatrixType::F16)
    return encodeHalf(float(value));
  auto whole = int64_t(value);
  if (saturate)
    whole = std::clamp<int64_t>(whole, INT32_MIN, INT32_MAX);
  return uint32_t(uint64_t(whole));
}

void multiplyMatrices(const WarpLanes &warp) {
  constexpr uint32_t kRows = 16, kColumns = 8, kMostK = 32;
  const WarpCall &any = *warp.threads[0]->call;
  const uint32_t types = any.qualifiers, k = any.offset;
  const auto typeA = MatrixType(types & 15), typeB = MatrixType(types >> 4 & 15),
             typeC = MatrixType(types >> 8 & 15), typeD = MatrixType(types >> 12 & 15);
  const bool saturate = types >> 16 & 1;
  double a[kRows][kMostK], b[kMostK][kColumns];
  // A lane holds, of A, rows g and g + 8 and, of B, column g, where g is lane / 4; along k as many
  // elements as a register has, from (lane % 4) of that on, and again after four times as many.
  const uint32_t perA = elementsPerRegister(typeA), perB = elementsPerRegister(typeB);
  const uint32_t registersA = k / (4 * perA) * 2, registersB = k / (4 * perB);
  warp.each(UINT32_MAX, [&](uint32_t lane, WarpCall &call) {
    const uint32_t group = lane / 4, place = lane % 4;
    for (uint32_t i = 0; i < registersA; ++i)
      for (uint32_t e = 0; e < perA; ++e)
        a[group + i % 2 * 8][(i / 2 * 4 + place) * perA + e] = element(call.a[i], typeA, e);
    for (uint32_t i = 0; i < registersB; ++i)
      for (uint32_t e = 0; e < perB; ++e)
        b[(i * 4 + place) * perB + e][group] = element(call.b[i], typeB, e);
  });
  const uint32_t perC = elementsPerRegister(typeC), perD = elementsPerRegister(typeD);
  warp.each(UINT32_MAX, [&](uint32_t lane, WarpCall &call) {
    for (uint32_t i = 0; i < 4 / perD; ++i)
      call.registers[i] = 0;
    for (uint32_t i = 0; i < 4; ++i) {
      const uint32_t row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
      // Products are exact; their sum is rounded once, which no order of sums in f32 is far from.
      double sum = 0;
      for (uint32_t inner = 0; inner < k; ++inner)
        sum += a[row][inner] * b[inner][column];
      sum += element(call.c[i / perC], typeC, i % perC);
      call.registers[i / perD] |= rounded(sum, typeD, saturate) << 32 / perD * (i % perD);
    }
  });
}

} // namespace moec::emulator

uint32_t moec_emulator_widen(moec_emulated_thread *, uint32_t type, uint32_t pair) {
  using namespace moec::emulator;
  auto half = [&](uint32_t index) {
    return uint32_t(encodeHalf(float(element(pair, MatrixType(type), index))));
  };
  return half(0) | half(1) << 16;
}
