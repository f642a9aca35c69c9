// A stack of its own for each emulated thread, and the switch between two.

#ifndef MOEC_RUNTIME_EMULATOR_FIBER_H
#define MOEC_RUNTIME_EMULATOR_FIBER_H

#include <cstddef>
#include <cstdint>
#include <vector>

namespace moec::emulator {

/// Stacks of one size, each above a page that traps; mapped once and used again.
class StackPool {
public:
  explicit StackPool(size_t bytes);
  ~StackPool();
  StackPool(const StackPool &) = delete;
  StackPool &operator=(const StackPool &) = delete;

  /// The lowest address of a stack; null where memory is out.
  char *take();
  void give(char *stack) { unused.push_back(stack); }
  size_t bytes() const { return stackBytes; }

private:
  size_t stackBytes;
  std::vector<char *> all, unused;
};

/// A function that runs on a stack of its own, a part at a time.
class Fiber {
public:
  /// Will call `function(argument)`, which never returns, on `stack`.
  void start(char *stack, size_t bytes, void (*function)(void *), void *argument);
  /// From outside: runs it until it suspends.
  void resume();
  /// From inside: back to who resumed it.
  void suspend();
  /// The same for the last time; its stack may be used again.
  void leave();

  bool owns(const void *address) const { return uintptr_t(address) - uintptr_t(low) < size; }

private:
  static void enter(void *fiber);
  void switchBack(bool forGood);

  void *inside = nullptr; // stack pointers of the side that waits
  void *outside = nullptr;
  char *low = nullptr;
  size_t size = 0;
  void (*body)(void *) = nullptr;
  void *bodyArgument = nullptr;
  // What the address sanitizer wants to know.
  [[maybe_unused]] const void *callerLow = nullptr;
  [[maybe_unused]] size_t callerSize = 0;
  [[maybe_unused]] void *insideFake = nullptr;
};

} // namespace moec::emulator

#endif // MOEC_RUNTIME_EMULATOR_FIBER_H
