// LLVM's optimiser and code generator, set up for generated kernels.

#include "compiler/emit/ObjectCode.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/GPU/GPUToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Verifier.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"

using namespace moec;

static void initializeTargets() {
  // The dylib holds every target; a program of moec's and its kernels run on these.
  static const bool initialized = [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser();
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
    LLVMInitializeAArch64AsmParser();
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
    return true;
  }();
  (void)initialized;
}

void moec::registerLlvmTranslations(mlir::DialectRegistry &registry) {
  mlir::registerBuiltinDialectTranslation(registry);
  mlir::registerLLVMDialectTranslation(registry);
  mlir::registerGPUDialectTranslation(registry);
  mlir::registerNVVMDialectTranslation(registry);
}

/// Makes code for `gpu`, or, where that is null, for the CPUs that functions name, else for any of
/// the architecture.
static Result<std::unique_ptr<llvm::TargetMachine>>
makeMachine(const llvm::Triple &triple, const MachineTarget *gpu = nullptr,
            llvm::CodeGenOptLevel effort = llvm::CodeGenOptLevel::Aggressive) {
  initializeTargets();
  std::string error;
  const llvm::Target *found = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!found)
    return Status{Code::Unsupported, "no code generator for '" + triple.str() +
                                         "'; wanted x86_64 or aarch64 Linux, or nvptx64"};
  llvm::TargetOptions options;
  options.FunctionSections = true;
  options.DataSections = true;
  options.UseInitArray = true;
  // Only what the lowering wrote as a multiply-add may be one: results then do not depend on what
  // the optimiser happened to see.
  options.AllowFPOpFusion = llvm::FPOpFusion::Standard;
  return std::unique_ptr<llvm::TargetMachine>(
      found->createTargetMachine(triple, gpu ? gpu->cpu : "", gpu ? gpu->features : "", options,
                                 llvm::Reloc::PIC_, llvm::CodeModel::Small, effort));
}

Result<std::unique_ptr<llvm::Module>> moec::translateToLlvm(mlir::ModuleOp module,
                                                            llvm::LLVMContext &context,
                                                            const MachineTarget &target) {
  Result<std::unique_ptr<llvm::TargetMachine>> machine = makeMachine(llvm::Triple(target.triple));
  if (!machine.ok())
    return machine.status();
  std::unique_ptr<llvm::Module> translated = mlir::translateModuleToLLVMIR(module, context, "moec");
  if (!translated)
    return Status{Code::Internal, "the module does not translate to LLVM IR"};
  translated->setSourceFileName("moec");
  translated->setTargetTriple((*machine)->getTargetTriple());
  translated->setDataLayout((*machine)->createDataLayout());
  translated->setPICLevel(llvm::PICLevel::BigPIC);
  for (llvm::Function &function : *translated) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", target.cpu);
    if (!target.features.empty())
      function.addFnAttr("target-features", target.features);
  }
  return translated;
}

Result<std::unique_ptr<llvm::Module>> moec::translateKernels(mlir::ModuleOp module,
                                                             llvm::LLVMContext &context,
                                                             const MachineTarget &gpu) {
  auto kernels = module.getOps<mlir::gpu::GPUModuleOp>();
  if (kernels.empty())
    return Status{Code::Internal, "the module has no kernels"};
  Result<std::unique_ptr<llvm::TargetMachine>> machine =
      makeMachine(llvm::Triple(gpu.triple), &gpu);
  if (!machine.ok())
    return machine.status();
  std::unique_ptr<llvm::Module> translated =
      mlir::translateModuleToLLVMIR(*kernels.begin(), context, "moec");
  if (!translated)
    return Status{Code::Internal, "the kernels do not translate to LLVM IR"};
  translated->setSourceFileName("moec");
  translated->setTargetTriple((*machine)->getTargetTriple());
  translated->setDataLayout((*machine)->createDataLayout());
  return translated;
}

/// Has LLVM make vectors of no loop whose indices it would first have to check for wrapping. LLVM
/// 22 takes such a check of an index for one of another that has fewer bits, and of `i % 8` beside
/// `i % 4` then reads 8 elements of what has 4.
static void avoidIndexChecks() {
  static const bool isSet = [] {
    auto *threshold = static_cast<llvm::cl::opt<unsigned> *>(
        llvm::cl::getRegisteredOptions().lookup("vectorize-scev-check-threshold"));
    assert(threshold && "LLVM has the option");
    threshold->setValue(0);
    return true;
  }();
  static_cast<void>(isSet);
}

Status moec::optimizeLlvm(llvm::Module &module, const MachineTarget *gpu) {
  Result<std::unique_ptr<llvm::TargetMachine>> machine = makeMachine(module.getTargetTriple(), gpu);
  if (!machine.ok())
    return machine.status();

  // Kernels come as vectors and unrolled as far as they should be: LLVM's vectorisers find nothing,
  // in much time. Graphs come as loops over elements.
  const bool isGraph = module.getFunction("moec_program_graph_sizes") != nullptr;
  if (isGraph)
    avoidIndexChecks();
  llvm::PipelineTuningOptions tuning;
  tuning.LoopVectorization = isGraph;
  tuning.LoopInterleaving = isGraph;
  tuning.SLPVectorization = false;
  tuning.LoopUnrolling = isGraph;
  llvm::PassBuilder builder(machine->get(), tuning);
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager callGraph;
  llvm::ModuleAnalysisManager modules;
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(callGraph);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, callGraph, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3).run(module, modules);
  return {};
}

static Result<std::string> emitFile(llvm::Module &module, llvm::TargetMachine &machine,
                                    llvm::CodeGenFileType type) {
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream stream(bytes);
  llvm::legacy::PassManager passes;
  if (machine.addPassesToEmitFile(passes, stream, nullptr, type))
    return Status{Code::Internal, "no code for '" + module.getTargetTriple().str() + "'"};
  passes.run(module);
  return std::string(bytes.begin(), bytes.end());
}

Result<std::string> moec::emitObject(llvm::Module &module, llvm::CodeGenOptLevel effort) {
  Result<std::unique_ptr<llvm::TargetMachine>> machine =
      makeMachine(module.getTargetTriple(), /*gpu=*/nullptr, effort);
  if (!machine.ok())
    return machine.status();
  return emitFile(module, **machine, llvm::CodeGenFileType::ObjectFile);
}

/// What kernels load as a pointer, from the step's arguments and the tables these name, is into
/// global memory: nothing else is ever stored. Of a cast there and back the code generator learns
/// it, and makes LDG and STG of accesses, not LD and ST, which look where each one points. (Casts
/// in the kernels as they come would be folded away.)
static void noteLoadedPointers(llvm::Module &module) {
  constexpr unsigned kGlobal = 1;
  auto *global = llvm::PointerType::get(module.getContext(), kGlobal);
  for (llvm::Function &function : module)
    for (llvm::Instruction &instruction : llvm::make_early_inc_range(llvm::instructions(function)))
      if (auto *load = llvm::dyn_cast<llvm::LoadInst>(&instruction);
          load && load->getType()->isPointerTy() &&
          load->getType()->getPointerAddressSpace() == 0) {
        llvm::IRBuilder<> builder(load->getNextNode());
        llvm::Value *known = builder.CreateAddrSpaceCast(load, global);
        llvm::Value *generic = builder.CreateAddrSpaceCast(known, load->getType());
        load->replaceUsesWithIf(generic, [&](llvm::Use &use) { return use.getUser() != known; });
      }
}

Result<std::string> moec::emitPtx(llvm::Module &module, const MachineTarget &gpu) {
  Result<std::unique_ptr<llvm::TargetMachine>> machine =
      makeMachine(module.getTargetTriple(), &gpu);
  if (!machine.ok())
    return machine.status();
  noteLoadedPointers(module);
  return emitFile(module, **machine, llvm::CodeGenFileType::AssemblyFile);
}

std::string moec::printLlvm(const llvm::Module &module) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  module.print(stream, nullptr);
  return text;
}
