// Switches stacks: saves what a call must keep, on x86-64 and AArch64.

#include "runtime/emulator/Fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MOEC_FIBER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#endif

// moec_emulator_switch(void **from, void *to) stores its stack pointer through `from` and continues
// on `to`. A fresh stack continues in moec_emulator_start, which calls a saved register with
// another as argument.
extern "C" void moec_emulator_switch(void **from, void *to);
extern "C" void moec_emulator_start();

#if defined(__x86_64__)
asm(R"(
  .text
  .globl moec_emulator_switch
  .hidden moec_emulator_switch
  .type moec_emulator_switch, @function
moec_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size moec_emulator_switch, .-moec_emulator_switch
  .globl moec_emulator_start
  .hidden moec_emulator_start
  .type moec_emulator_start, @function
moec_emulator_start:
  movq %rbx, %rdi
  call *%r12
  ud2
  .size moec_emulator_start, .-moec_emulator_start
)");

static void *freshStack(uintptr_t top, void (*function)(void *), void *argument) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  auto *words = reinterpret_cast<void **>(top) - 9; // 16-aligned once 7 are popped
  for (int i = 0; i < 6; ++i)
    words[i] = nullptr;
  words[3] = reinterpret_cast<void *>(function); // r12
  words[4] = argument;                           // rbx
  words[6] = reinterpret_cast<void *>(moec_emulator_start);
  words[7] = nullptr;
  return static_cast<void *>(words);
}
#elif defined(__aarch64__)
asm(R"(
  .text
  .globl moec_emulator_switch
  .hidden moec_emulator_switch
  .type moec_emulator_switch, %function
moec_emulator_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
  .size moec_emulator_switch, .-moec_emulator_switch
  .globl moec_emulator_start
  .hidden moec_emulator_start
  .type moec_emulator_start, %function
moec_emulator_start:
  mov x0, x19
  blr x20
  brk #0
  .size moec_emulator_start, .-moec_emulator_start
)");

static void *freshStack(uintptr_t top, void (*function)(void *), void *argument) {
  auto *words = reinterpret_cast<void **>(top) - 20;
  for (int i = 0; i < 20; ++i)
    words[i] = nullptr;
  words[0] = argument;                                       // x19
  words[1] = reinterpret_cast<void *>(function);             // x20
  words[11] = reinterpret_cast<void *>(moec_emulator_start); // x30
  return words;
}
#else
#error "fibers are written for x86-64 and AArch64"
#endif

namespace moec::emulator {

StackPool::StackPool(size_t bytes) : stackBytes(bytes) {}

StackPool::~StackPool() {
  const size_t page = size_t(sysconf(_SC_PAGESIZE));
  for (char *stack : all)
    munmap(stack - page, stackBytes + page);
}

char *StackPool::take() {
  if (!unused.empty()) {
    char *stack = unused.back();
    unused.pop_back();
    return stack;
  }
  const size_t page = size_t(sysconf(_SC_PAGESIZE));
  void *mapped = mmap(nullptr, stackBytes + page, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED)
    return nullptr;
  if (mprotect(mapped, page, PROT_NONE) != 0) {
    munmap(mapped, stackBytes + page);
    return nullptr;
  }
  all.push_back(static_cast<char *>(mapped) + page);
  return all.back();
}

void Fiber::enter(void *fiber) {
  auto *self = static_cast<Fiber *>(fiber);
#ifdef MOEC_FIBER_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &self->callerLow, &self->callerSize);
#endif
  self->body(self->bodyArgument);
}

void Fiber::start(char *stack, size_t bytes, void (*function)(void *), void *argument) {
  low = stack;
  size = bytes;
  body = function;
  bodyArgument = argument;
#ifdef MOEC_FIBER_ASAN
  __asan_unpoison_memory_region(stack, bytes); // a fiber that was abandoned leaves its frames
#endif
  inside = freshStack(uintptr_t(stack) + bytes, enter, this);
}

void Fiber::resume() {
#ifdef MOEC_FIBER_ASAN
  void *fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, low, size);
#endif
  moec_emulator_switch(&outside, inside);
#ifdef MOEC_FIBER_ASAN
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

void Fiber::switchBack(bool forGood) {
#ifdef MOEC_FIBER_ASAN
  __sanitizer_start_switch_fiber(forGood ? nullptr : &insideFake, callerLow, callerSize);
#else
  (void)forGood;
#endif
  moec_emulator_switch(&inside, outside);
#ifdef MOEC_FIBER_ASAN
  __sanitizer_finish_switch_fiber(insideFake, &callerLow, &callerSize);
#endif
}

void Fiber::suspend() { switchBack(false); }
void Fiber::leave() { switchBack(true); }

} // namespace moec::emulator
