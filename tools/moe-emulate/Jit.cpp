// Makes object code of a module and links it into this process.

#include "tools/moe-emulate/Jit.h"

#include "compiler/emit/ObjectCode.h"
#include "runtime/emulator/SmallFloats.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/ExecutionEngine/Orc/ExecutionUtils.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/TargetParser/Host.h"

using namespace moec;

EmulatedProgram::EmulatedProgram() = default;
EmulatedProgram::~EmulatedProgram() = default;

static Status internal(llvm::Error error) {
  return {Code::Internal, llvm::toString(std::move(error))};
}

static MachineTarget thisMachine() {
  MachineTarget target;
  target.triple = llvm::sys::getDefaultTargetTriple();
  target.cpu = llvm::sys::getHostCPUName().str();
  for (const auto &feature : llvm::sys::getHostCPUFeatures())
    target.features += (target.features.empty() ? "" : ",") +
                       std::string(feature.second ? "+" : "-") + feature.first().str();
  return target;
}

Result<std::unique_ptr<EmulatedProgram>> EmulatedProgram::compile(mlir::ModuleOp module) {
  llvm::LLVMContext context;
  Result<std::unique_ptr<llvm::Module>> translated =
      translateToLlvm(module, context, thisMachine());
  if (!translated.ok())
    return translated.status();
  if (Status status = optimizeLlvm(**translated); !status.ok())
    return status;
  Result<std::string> object = emitObject(**translated);
  if (!object.ok())
    return object.status();

  std::unique_ptr<EmulatedProgram> program(new EmulatedProgram);
  llvm::Expected<std::unique_ptr<llvm::orc::LLJIT>> made = llvm::orc::LLJITBuilder().create();
  if (!made)
    return internal(made.takeError());
  program->jit = std::move(*made);
  llvm::orc::JITDylib &library = program->jit->getMainJITDylib();
  llvm::orc::SymbolMap symbols;
  auto define = [&](llvm::StringRef name, auto *function) {
    symbols[program->jit->mangleAndIntern(name)] = {llvm::orc::ExecutorAddr::fromPtr(function),
                                                    llvm::JITSymbolFlags::Exported |
                                                        llvm::JITSymbolFlags::Callable};
  };
#define MOEC_EMULATOR(name, result, parameters) define(#name, &name);
#include "runtime/emulator/emulator.def"
#undef MOEC_EMULATOR
  define("__truncsfbf2", &moec_emulator_truncate_bf16);
  if (llvm::Error error = library.define(llvm::orc::absoluteSymbols(std::move(symbols))))
    return internal(std::move(error));
  // Elementary functions come from this process' libm.
  auto process = llvm::orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(
      program->jit->getDataLayout().getGlobalPrefix());
  if (!process)
    return internal(process.takeError());
  library.addGenerator(std::move(*process));
  if (llvm::Error error =
          program->jit->addObjectFile(llvm::MemoryBuffer::getMemBufferCopy(*object, "kernels")))
    return internal(std::move(error));
  return program;
}

Result<const moec_emulated_module *> EmulatedProgram::find(llvm::StringRef name) {
  llvm::Expected<llvm::orc::ExecutorAddr> found = jit->lookup("moec_emulated_" + name.str());
  if (!found)
    return internal(found.takeError());
  return found->toPtr<const moec_emulated_module *>();
}
