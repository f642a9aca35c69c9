// Included before everything else where assertions are on. LLVM's packages are built without, and
// llvm::Statistic, of which passes have members, is another class then.

#ifndef MOEC_DIALECTS_LLVMSTATISTICS_H
#define MOEC_DIALECTS_LLVMSTATISTICS_H

#ifdef __cplusplus
#ifndef NDEBUG
#define NDEBUG
#include "llvm/ADT/Statistic.h"
#undef NDEBUG
#include <cassert> // assert as it is without NDEBUG
#endif
#endif

#endif // MOEC_DIALECTS_LLVMSTATISTICS_H
