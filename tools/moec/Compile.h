// `moec compile`: a model directory, or a module of some stage, into what --emit names.

#ifndef MOEC_TOOLS_MOEC_COMPILE_H
#define MOEC_TOOLS_MOEC_COMPILE_H

#include "compiler/emit/Link.h"
#include "frontends/models/LatentAttention.h"
#include "runtime/core/Manifest.h"
#include "runtime/core/Result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace moec {

/// Where a compile stops: after the import, after one of stages() in their order, or later.
enum class Emit {
  Import,
  Optimized,
  Scheduled,
  Lowered,
  Llvm,
  Ptx,
  Cubin,
  Obj,
  Static,
  Shared,
  Exe
};

/// What computes.
enum class Device { Cpu, Cuda };

/// Everything that the command line says.
struct CompileRequest {
  std::string program; ///< path of moec itself, to find its files by
  std::string input;
  std::string output; ///< "-": stdout
  Emit emit = Emit::Exe;

  std::string cpu = "native";
  Device device = Device::Cpu;
  std::string gpu;                      ///< architectures, separated by commas, of Device::Cuda
  bool emulate = false;                 ///< the program can also run its kernels without a GPU
  int64_t deviceMemory = 0;             ///< bytes that a GPU has for the program; 0: enough
  std::string activations;              ///< empty: chosen by weight type and target
  std::string cache;                    ///< likewise; the type of keys and values
  std::string quantize;                 ///< CLASS:FORMAT,...
  int64_t context = 0;                  ///< 0: the model's own
  std::optional<LatentForm> latentForm; ///< none: not said
  bool reference = false;
  bool profile = false;             ///< the program's bench tells the time of each phase
  std::vector<std::string> without; ///< passes to leave out, by name

  WeightsMode weights = WeightsMode::Pack;
  bool weightsGiven = false; ///< by the user
  /// With WeightsMode::Map, of cachedProgram(): weights that cannot be mapped are packed.
  bool packsUnmappable = false;
  bool headersOnly = false;
  bool followLinks = false;
  std::string tensors;  ///< of a module: a safetensors file with its tensors; or empty
  unsigned threads = 0; ///< of the packer; 0: what the CPUs permit

  LibcLink libc = LibcLink::Static;
  Linker linker = Linker::Lld;
  bool strip = false;

  std::string dumpStages; ///< a folder, or empty
  bool report = false;
  bool strict = false;
  bool quiet = false; ///< nothing on stderr but errors
};

/// Carries out the request. On failure the output is as it was before.
Status compile(const CompileRequest &request);

} // namespace moec

#endif // MOEC_TOOLS_MOEC_COMPILE_H
