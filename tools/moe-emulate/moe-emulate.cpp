// The command moe-emulate: lowers a kernel, runs it on the emulated GPU and prints what was found.

#include "compiler/emit/ObjectCode.h"
#include "compiler/targets/emulator/Passes.h"
#include "runtime/core/File.h"
#include "tools/moe-emulate/Arguments.h"
#include "tools/moe-emulate/CommandLine.h"
#include "tools/moe-emulate/Jit.h"
#include "tools/moec/TextOutput.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/SourceMgr.h"

#include <fmt/format.h>

#include <csignal>

using namespace moec;

constexpr int kFaultsFound = 7; // the kernel did what it must not

static Status load(const EmulateOptions &options, mlir::MLIRContext &context,
                   llvm::SourceMgr &sources, mlir::OwningOpRef<mlir::ModuleOp> &module) {
  Result<std::string> text = readFile(options.input, uint64_t(1) << 30, Code::Usage);
  if (!text.ok())
    return text.status();
  sources.AddNewSourceBuffer(llvm::MemoryBuffer::getMemBufferCopy(*text, options.input),
                             llvm::SMLoc());
  module = mlir::parseSourceFile<mlir::ModuleOp>(sources, &context);
  if (!module)
    return {Code::Model, options.input + " is no valid MLIR"};
  return {};
}

/// Erases the host's part of the file and the kernels that are not run.
static void keepOnly(mlir::ModuleOp module, const KernelSignature &signature) {
  for (mlir::Operation &op : llvm::make_early_inc_range(module.getOps())) {
    auto kernels = mlir::dyn_cast<mlir::gpu::GPUModuleOp>(op);
    if (!kernels || kernels.getName() != signature.module) {
      op.erase();
      continue;
    }
    for (auto function : llvm::make_early_inc_range(kernels.getOps<mlir::FunctionOpInterface>()))
      if (isKernel(function) && function.getName() != signature.name)
        function.erase();
  }
}

/// Leaves what the emulator can run.
static Status lower(const EmulateOptions &options, mlir::ModuleOp module) {
  if (failed(lowerGpuModules(module)))
    return {Code::Unsupported,
            options.input + ": upstream's passes do not lower this kernel to nvvm"};
  mlir::PassManager passes(module.getContext());
  passes.addPass(createEmulateGpu({.checks = options.checks}));
  if (failed(passes.run(module)))
    return {Code::Unsupported, options.input + ": this kernel cannot be emulated"};
  return {};
}

static std::string bankText(const emulator::BankUse &use, const moec_emulated_module &module) {
  return fmt::format(
      "{}: {} of shared memory: {} instructions, {} passes over the banks, {} without conflicts\n",
      emulator::locationName(module, use.location), use.isWrite ? "writes" : "reads",
      use.instructions, use.passes, use.fewest);
}

static Result<int> emulate(const EmulateOptions &options) {
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  registerLlvmTranslations(registry);
  mlir::MLIRContext context(registry, mlir::MLIRContext::Threading::DISABLED);
  llvm::SourceMgr sources;
  mlir::SourceMgrDiagnosticHandler diagnostics(sources, &context);
  mlir::OwningOpRef<mlir::ModuleOp> module;
  if (Status status = load(options, context, sources, module); !status.ok())
    return status;
  Result<KernelSignature> signature = findSignature(*module, options.kernel);
  if (!signature.ok())
    return signature.status();
  Result<std::unique_ptr<KernelArguments>> arguments =
      KernelArguments::read(*signature, options.arguments);
  if (!arguments.ok())
    return arguments.status();
  keepOnly(*module, *signature);
  if (Status status = lower(options, *module); !status.ok())
    return status;
  Result<std::unique_ptr<EmulatedProgram>> program = EmulatedProgram::compile(*module);
  if (!program.ok())
    return program.status();
  Result<const moec_emulated_module *> found = (*program)->find(signature->module);
  if (!found.ok())
    return found.status();
  const moec_emulated_module &kernels = **found;

  emulator::Gpu gpu({.checkBounds = options.checks,
                     .checkRaces = options.checks,
                     .checkInitialized = options.checks,
                     .countBankConflicts = options.bankConflicts,
                     .seed = options.seed});
  (*arguments)->addTo(gpu);
  const Status launched = gpu.launch(kernels, *emulator::findKernel(kernels, signature->name),
                                     {.grid = options.grid,
                                      .block = options.block,
                                      .dynamicSharedBytes = options.dynamicSharedBytes,
                                      .arguments = (*arguments)->pointers()});
  if (!launched.ok())
    return launched;
  std::string text;
  for (const emulator::Report &report : gpu.reports())
    text += emulator::reportText(report, kernels) + "\n";
  for (const emulator::BankUse &use : gpu.bankUses())
    text += bankText(use, kernels);
  if (Status status = writeText("-", text); !status.ok())
    return status;
  if (!options.output.empty())
    if (Status status = (*arguments)->write(options.output); !status.ok())
      return status;
  return gpu.reports().empty() ? 0 : kFaultsFound;
}

int main(int count, char **words) {
  openStandardStreams();
  std::signal(SIGPIPE, SIG_IGN); // a reader that went away is no failure
  auto fail = [](const Status &status) {
    writeMessage(fmt::format("moe-emulate: error: {}\n", status.message));
    return int(status.code);
  };
  auto parsed = parseCommandLine(count, words);
  if (!parsed.ok())
    return fail(parsed.status());
  if (const auto *help = std::get_if<std::string>(&*parsed)) {
    const Status status = writeText("-", *help);
    return status.ok() ? 0 : fail(status);
  }
  Result<int> result = emulate(std::get<EmulateOptions>(*parsed));
  return result.ok() ? *result : fail(result.status());
}
