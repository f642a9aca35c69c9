// Lowers a kernel with upstream passes and loads it by ORC.

#include "test/compiler/targets/cpu/KernelJit.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "mlir/Transforms/Passes.h"

#include "llvm/ExecutionEngine/Orc/JITTargetMachineBuilder.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/IR/Module.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/TargetParser/Host.h"

using namespace mlir;
using namespace moec;

[[noreturn]] static void die(const llvm::Twine &what) {
  llvm::errs() << "kernel does not compile: " << what << "\n";
  std::abort();
}

bool moec::runsHere(const CpuTarget &target) {
  const llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  return llvm::Triple(llvm::sys::getProcessTriple()).getArchName() == target.arch &&
         llvm::all_of(target.needed,
                      [&](llvm::StringRef feature) { return features.lookup(feature); });
}

static OwningOpRef<ModuleOp> makeModule(MLIRContext &context, const CpuTarget &target,
                                        llvm::StringRef signature,
                                        function_ref<void(KernelBuilder &, ValueRange)> body) {
  OpBuilder builder(&context);
  Location loc = builder.getUnknownLoc();
  OwningOpRef<ModuleOp> module = ModuleOp::create(loc);
  builder.setInsertionPointToEnd(module->getBody());
  KernelBuilder kernel(builder, loc, target);
  SmallVector<Type> types;
  for (char kind : signature)
    types.push_back(kind == 'p' ? kernel.pointer() : kernel.i64());
  auto function = func::FuncOp::create(builder, loc, "kernel", builder.getFunctionType(types, {}));
  builder.setInsertionPointToStart(function.addEntryBlock());
  body(kernel, function.getArguments());
  func::ReturnOp::create(builder, loc);
  return module;
}

static void lower(ModuleOp module) {
  PassManager passes(module.getContext());
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
  passes.addPass(createSCFToControlFlowPass());
  passes.addPass(createConvertVectorToLLVMPass());
  passes.addPass(createArithToLLVMConversionPass());
  passes.addPass(createConvertFuncToLLVMPass());
  passes.addPass(createConvertControlFlowToLLVMPass());
  passes.addPass(createReconcileUnrealizedCastsPass());
  if (failed(verify(module)) || failed(passes.run(module)))
    die("MLIR passes failed");
}

static void optimize(llvm::Module &module, llvm::TargetMachine &machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  llvm::PipelineTuningOptions tuning;
  tuning.LoopVectorization = tuning.SLPVectorization = false;
  llvm::PassBuilder builder(&machine, tuning);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O2).run(module, modules);
}

KernelJit::KernelJit(const CpuTarget &target, llvm::StringRef signature,
                     function_ref<void(KernelBuilder &, ValueRange)> body) {
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  DialectRegistry registry;
  registry.insert<arith::ArithDialect, cf::ControlFlowDialect, func::FuncDialect, LLVM::LLVMDialect,
                  scf::SCFDialect, vector::VectorDialect>();
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  MLIRContext context(registry);
  context.loadAllAvailableDialects();
  OwningOpRef<ModuleOp> module = makeModule(context, target, signature, body);
  if (std::getenv("MOEC_PRINT_KERNEL"))
    module->dump();
  lower(*module);

  auto llvmContext = std::make_unique<llvm::LLVMContext>();
  std::unique_ptr<llvm::Module> code = translateModuleToLLVMIR(*module, *llvmContext);
  if (!code)
    die("no LLVM IR");
  llvm::orc::JITTargetMachineBuilder machine{llvm::Triple(llvm::sys::getProcessTriple())};
  machine.setCPU(target.processor.str());
  SmallVector<llvm::StringRef> features;
  target.features.split(features, ',', -1, /*KeepEmpty=*/false);
  for (llvm::StringRef feature : features)
    machine.getFeatures().AddFeature(feature.drop_front(), feature.front() == '+');
  machine.setCodeGenOptLevel(llvm::CodeGenOptLevel::Aggressive);
  std::unique_ptr<llvm::TargetMachine> made = llvm::cantFail(machine.createTargetMachine());
  code->setDataLayout(made->createDataLayout());
  code->setTargetTriple(made->getTargetTriple());
  for (llvm::Function &function : *code) {
    function.addFnAttr("target-cpu", target.processor);
    if (!target.features.empty())
      function.addFnAttr("target-features", target.features);
  }
  optimize(*code, *made);
  if (std::getenv("MOEC_PRINT_KERNEL_LLVM"))
    code->print(llvm::errs(), nullptr);
  for (llvm::Function &function : *code)
    if (function.isDeclaration() && !function.isIntrinsic())
      undefinedNames += function.getName().str() + "\n";

  jit = llvm::cantFail(llvm::orc::LLJITBuilder().setJITTargetMachineBuilder(machine).create());
  llvm::cantFail(
      jit->addIRModule(llvm::orc::ThreadSafeModule(std::move(code), std::move(llvmContext))));
  address = llvm::cantFail(jit->lookup("kernel")).toPtr<void *>();
}

KernelJit::~KernelJit() = default;
