// The code of a program's CPU levels, as one module.

#ifndef MOEC_COMPILER_EMIT_JOINLEVELS_H
#define MOEC_COMPILER_EMIT_JOINLEVELS_H

#include "runtime/core/Result.h"

#include "llvm/IR/Module.h"

#include <memory>
#include <string>
#include <vector>

namespace moec {

/// One level's module of LLVM IR, as `translateToLlvm` gives it.
struct LevelCode {
  std::string level;
  std::unique_ptr<llvm::Module> module;
};

/// Joins the modules, of one context and at least one, into what runtime/core/Step.h declares: the
/// table of their steps in this order, and moec_program_arena_bytes, which is the same for all and
/// runs on any CPU of the architecture. Modules without a step, which are no program's, may be
/// joined only alone, and stay as they are.
Result<std::unique_ptr<llvm::Module>> joinLevels(std::vector<LevelCode> levels);

/// Adds to a program for GPUs what CPUs do of it: `host`, the joined modules of its CPU levels,
/// whose table and function are `moec_host_steps` and `moec_host_arena_bytes` then.
Status addHostPart(llvm::Module &program, std::unique_ptr<llvm::Module> host);

} // namespace moec

#endif // MOEC_COMPILER_EMIT_JOINLEVELS_H
