// Kernels of compiler/targets/cpu compiled and run by the test, so that their numbers can be
// checked: in the test's own process, or by an emulator of their architecture.

#ifndef MOEC_TEST_COMPILER_TARGETS_CPU_KERNELJIT_H
#define MOEC_TEST_COMPILER_TARGETS_CPU_KERNELJIT_H

#include "compiler/targets/cpu/CpuKernelBuilder.h"

#include <initializer_list>
#include <memory>
#include <ranges>
#include <span>
#include <string>
#include <utility>

namespace llvm::orc {
class LLJIT;
}

namespace moec {

/// What a kernel is given: an integer, or the address of memory that belongs to it meanwhile.
struct KernelArgument {
  KernelArgument(std::integral auto number) : value(number) {}
  KernelArgument(std::ranges::contiguous_range auto &&range)
      : value(reinterpret_cast<int64_t>(std::ranges::data(range))),
        bytes(std::as_bytes(std::span(range)).size()), isMemory(true) {}

  int64_t value;
  size_t bytes = 0;
  bool isMemory = false;
};

/// One function made by a kernel builder. Its arguments are pointers and int64_t, in the order of
/// `signature`.
class KernelJit {
public:
  /// Compiles for `target` the function that `body` emits; a 'p' of `signature` is a pointer, an
  /// 'i' an int64_t. A failure ends the test program with its diagnostics.
  KernelJit(const CpuTarget &target, llvm::StringRef signature,
            llvm::function_ref<void(CpuKernelBuilder &, mlir::ValueRange arguments)> body);
  ~KernelJit();

  /// Calls the function with integers and, for pointers, ranges: where they begin, up to where the
  /// kernel may read and write.
  template <typename... Arguments> void operator()(Arguments &&...arguments) const {
    call({KernelArgument(arguments)...}, std::index_sequence_for<Arguments...>());
  }

  /// Names of functions that the compiled code calls and does not define.
  const std::string &undefined() const { return undefinedNames; }
  bool isEmulated() const { return !emulator.empty(); }

private:
  /// What was compiled just now has no mark of its type, which a sanitizer would look for in front.
  template <size_t... numbers>
  __attribute__((no_sanitize("function"))) void
  call(std::initializer_list<KernelArgument> arguments,
       std::index_sequence<numbers...> /*of arguments*/) const {
    const KernelArgument *given = arguments.begin();
    if (address) // pointers and 64-bit integers are passed alike
      reinterpret_cast<void (*)(decltype(given[numbers].value)...)>(address)(
          given[numbers].value...);
    else
      emulate(arguments);
  }
  void emulate(std::span<const KernelArgument> arguments) const;

  std::unique_ptr<llvm::orc::LLJIT> jit;
  void *address = nullptr;
  std::string emulator, program; ///< of an emulated kernel
  std::string undefinedNames;
};

/// Whether this machine can run code for `target`, by itself or by an emulator; tests skip the
/// levels that it cannot.
bool runsHere(const CpuTarget &target);

} // namespace moec

#endif // MOEC_TEST_COMPILER_TARGETS_CPU_KERNELJIT_H
