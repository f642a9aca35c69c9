// Kernels of compiler/targets/cpu compiled and loaded into the test, so that their numbers can be
// checked.

#ifndef MOEC_TEST_COMPILER_TARGETS_CPU_KERNELJIT_H
#define MOEC_TEST_COMPILER_TARGETS_CPU_KERNELJIT_H

#include "compiler/targets/cpu/KernelBuilder.h"

#include <memory>
#include <string>

namespace llvm::orc {
class LLJIT;
}

namespace moec {

/// One function made by a kernel builder. Its arguments are pointers and int64_t, in the order of
/// `signature`.
class KernelJit {
public:
  /// Compiles for `target` the function that `body` emits; a 'p' of `signature` is a pointer, an
  /// 'i' an int64_t. A failure ends the test program with its diagnostics.
  KernelJit(const CpuTarget &target, llvm::StringRef signature,
            llvm::function_ref<void(KernelBuilder &, mlir::ValueRange arguments)> body);
  ~KernelJit();

  template <typename... Arguments> void operator()(Arguments... arguments) const {
    reinterpret_cast<void (*)(Arguments...)>(address)(arguments...);
  }

  /// Names of functions that the compiled code calls and does not define.
  const std::string &undefined() const { return undefinedNames; }

private:
  std::unique_ptr<llvm::orc::LLJIT> jit;
  void *address = nullptr;
  std::string undefinedNames;
};

/// Whether this machine can run code for `target`; tests skip the levels that it cannot.
bool runsHere(const CpuTarget &target);

} // namespace moec

#endif // MOEC_TEST_COMPILER_TARGETS_CPU_KERNELJIT_H
