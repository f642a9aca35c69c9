// What this machine can do at most, measured: reading memory, and multiplying and adding.

#ifndef MOEC_RUNTIME_CPU_LIMITS_H
#define MOEC_RUNTIME_CPU_LIMITS_H

#include "runtime/core/Result.h"
#include "runtime/cpu/Threads.h"

#include <string_view>

namespace moec {

enum class Arithmetic {
  F32Fma,  ///< f32 multiply-add, the widest that the CPU has
  Bf16Dot, ///< dot products of bf16 pairs
};

/// Whether the CPU has the instruction.
bool hasArithmetic(Arithmetic kind);
std::string_view arithmeticName(Arithmetic kind);

/// Bytes per second that all threads of `threads` together read from memory, each as four streams,
/// the median of a few rounds. Code::Resource where there is no memory for that.
Result<double> measureReading(Threads &threads);

/// Operations per second (a multiply-add counts as two) of all threads together, the median of a
/// few rounds.
double measureArithmetic(Threads &threads, Arithmetic kind);

} // namespace moec

#endif // MOEC_RUNTIME_CPU_LIMITS_H
