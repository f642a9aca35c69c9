// PTX to machine code of a GPU, by the CUDA toolkit's assembler.

#ifndef MOEC_COMPILER_EMIT_PTXAS_H
#define MOEC_COMPILER_EMIT_PTXAS_H

#include "runtime/core/Result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// What the assembler says of a kernel.
struct KernelResources {
  std::string name;
  int64_t registers = 0;   ///< of a thread
  int64_t sharedBytes = 0; ///< of a block
  int64_t stackBytes = 0;  ///< of a thread
  int64_t spillBytes = 0;  ///< stored and loaded for lack of registers
};

struct Cubin {
  std::string bytes;
  std::string report; ///< of `ptxas -v`
};

struct Ptxas {
  std::string path;
  std::string version; ///< all that it says of it
  int release = 0;     ///< of CUDA, as that counts: 13000 is 13.0
};

/// The assembler, on PATH or where the toolkit is: in CUDA_HOME, else where it is by default.
/// Code::Usage where there is none.
Result<std::string> findPtxas();

/// Asks the assembler at `path` which it is.
Result<Ptxas> identifyPtxas(std::string path);

/// Assembles `ptx` for `architecture` (sm_80); Code::Usage where the assembler is too old for it.
/// May run several times at once.
Result<Cubin> assemblePtx(const Ptxas &ptxas, std::string_view ptx, std::string_view architecture);

/// Reads what `ptxas -v` reports, in its order.
std::vector<KernelResources> parseResources(std::string_view report);

} // namespace moec

#endif // MOEC_COMPILER_EMIT_PTXAS_H
