// What code generators of CPUs without bf16 call to round to it.

#include "runtime/emulator/SmallFloats.h"

float moec_emulator_truncate_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return std::bit_cast<float>(bits >> 16 | 64);
  return std::bit_cast<float>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Compilers' support libraries have it from GCC 13 on.
extern "C" __attribute__((weak, visibility("default"))) float
moec_emulator_support_bf16(float value) asm("__truncsfbf2");
float moec_emulator_support_bf16(float value) { return moec_emulator_truncate_bf16(value); }
