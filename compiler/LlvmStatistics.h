// Included before all else where our assertions are on but LLVM's are not: llvm::Statistic, of
// which passes have members, has another layout with NDEBUG than without.

#ifndef MOEC_COMPILER_LLVMSTATISTICS_H
#define MOEC_COMPILER_LLVMSTATISTICS_H

#if defined(__cplusplus) && !defined(NDEBUG)
#define NDEBUG
#include "llvm/ADT/Statistic.h"
#undef NDEBUG
#include <cassert> // assert as it is without NDEBUG
#endif

#endif // MOEC_COMPILER_LLVMSTATISTICS_H
