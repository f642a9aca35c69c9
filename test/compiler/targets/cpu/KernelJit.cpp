// Lowers a kernel with upstream passes, and loads it by ORC or links it into an emulated program.

#include "test/compiler/targets/cpu/KernelJit.h"

#include "compiler/emit/ObjectCode.h"
#include "compiler/lowering/Passes.h"
#include "dialects/lm/LmDialect.h"
#include "dialects/moe/MoeDialect.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/TargetParser/Host.h"

#include <cstring>

using namespace mlir;
using namespace moec;

[[noreturn]] static void die(const llvm::Twine &what) {
  llvm::errs() << "kernel does not compile: " << what << "\n";
  std::abort();
}

static bool runsNatively(const CpuTarget &target) {
  const llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  return llvm::Triple(llvm::sys::getProcessTriple()).getArchName() == target.arch &&
         llvm::all_of(target.needed(),
                      [&](const CpuFeature &feature) { return features.lookup(feature.name); });
}

/// The emulator for the target's architecture, of a CPU that has all levels; "" if there is none,
/// or no libc to link a program for it with.
static std::string findEmulator(const CpuTarget &target) {
  if (target.arch != "aarch64" || !llvm::sys::fs::exists("/usr/aarch64-linux-gnu/lib/libc.a"))
    return "";
  return llvm::sys::findProgramByName("qemu-aarch64").get();
}

/// The level whose code stands for that of `target`: itself, or where the machine lacks it and its
/// instructions can be written as plain code, the lowest of the architecture.
static const CpuTarget &standIn(const CpuTarget &target) {
  if (runsNatively(target) || target.arch != "x86_64")
    return target;
  return **llvm::find_if(llvm::make_pointer_range(cpuTargets()),
                         [&](const CpuTarget *level) { return level->arch == target.arch; });
}

bool moec::runsHere(const CpuTarget &target) {
  return runsNatively(standIn(target)) || !findEmulator(target).empty();
}

static OwningOpRef<ModuleOp> makeModule(MLIRContext &context, const CpuTarget &target,
                                        llvm::StringRef signature,
                                        function_ref<void(CpuKernelBuilder &, ValueRange)> body) {
  OpBuilder builder(&context);
  Location loc = builder.getUnknownLoc();
  OwningOpRef<ModuleOp> module = ModuleOp::create(loc);
  builder.setInsertionPointToEnd(module->getBody());
  CpuKernelBuilder kernel(builder, loc, target);
  SmallVector<Type> types;
  for (char kind : signature)
    types.push_back(kind == 'p' ? kernel.pointer() : kernel.i64());
  auto function = func::FuncOp::create(builder, loc, "kernel", builder.getFunctionType(types, {}));
  builder.setInsertionPointToStart(function.addEntryBlock());
  body(kernel, function.getArguments());
  func::ReturnOp::create(builder, loc);
  return module;
}

static void lower(ModuleOp module, bool plainInstructions, bool plainBf16) {
  PassManager passes(module.getContext());
  if (plainBf16) { // for which LLVM would call a library
    passes.addPass(arith::createArithEmulateUnsupportedFloats(
        {.sourceTypeStrs = {"bf16"}, .targetTypeStr = "f32"}));
    passes.addPass(arith::createArithExpandOpsPass({.includeBf16 = true}));
  }
  if (plainInstructions)
    passes.addPass(createPlainInstructions());
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
  passes.addPass(createSCFToControlFlowPass());
  passes.addPass(createFinalizeMemRefToLLVMConversionPass());
  passes.addPass(createConvertVectorToLLVMPass());
  passes.addPass(createArithToLLVMConversionPass());
  passes.addPass(createConvertFuncToLLVMPass());
  passes.addPass(createConvertControlFlowToLLVMPass());
  passes.addPass(createReconcileUnrealizedCastsPass());
  if (failed(verify(module)) || failed(passes.run(module)))
    die("MLIR passes failed");
}

/// A file that goes away with the test process.
static std::string temporaryFile(llvm::StringRef suffix) {
  llvm::SmallString<128> path;
  if (std::error_code error = llvm::sys::fs::createTemporaryFile("kernel", suffix, path))
    die(error.message());
  llvm::sys::RemoveFileOnSignal(path);
  return path.str().str();
}

static void writeFile(const std::string &path, llvm::StringRef bytes) {
  std::error_code error;
  llvm::raw_fd_ostream stream(path, error);
  stream << bytes;
  stream.close();
  if (error || stream.has_error())
    die("cannot write " + path);
}

static void runCommand(llvm::ArrayRef<llvm::StringRef> words) {
  std::string error;
  if (llvm::sys::ExecuteAndWait(words[0], words, std::nullopt, {}, 0, 0, &error) != 0)
    die(llvm::join(words, " ") + " failed " + error);
}

/// Links `object` with KernelRunner.c into a program of another architecture.
static std::string linkProgram(const CpuTarget &target, llvm::StringRef object) {
  const std::string code = temporaryFile("o"), program = temporaryFile("exe");
  writeFile(code, object);
  const std::string arch = ("--target=" + target.arch + "-linux-gnu").str();
  runCommand({MOEC_C_COMPILER, arch, "-O1", "-static", "-fuse-ld=lld", MOEC_KERNEL_RUNNER, code,
              "-o", program});
  llvm::sys::fs::remove(code);
  return program;
}

KernelJit::KernelJit(const CpuTarget &target, llvm::StringRef signature,
                     function_ref<void(CpuKernelBuilder &, ValueRange)> body) {
  DialectRegistry registry;
  registry.insert<arith::ArithDialect, cf::ControlFlowDialect, func::FuncDialect, LLVM::LLVMDialect,
                  scf::SCFDialect, vector::VectorDialect, lm::LmDialect, memref::MemRefDialect,
                  moe::MoeDialect>();
  registerLlvmTranslations(registry);
  MLIRContext context(registry);
  context.loadAllAvailableDialects();
  OwningOpRef<ModuleOp> module = makeModule(context, target, signature, body);
  if (std::getenv("MOEC_PRINT_KERNEL"))
    module->dump();
  const CpuTarget &runs = standIn(target);
  const bool standsIn = &runs != &target;
  lower(*module, standsIn, !target.hasBf16Dot());

  llvm::LLVMContext llvmContext;
  Result<std::unique_ptr<llvm::Module>> code = translateToLlvm(
      *module, llvmContext,
      {(runs.arch + "-unknown-linux-gnu").str(), runs.processor.str(), runs.features.str()});
  if (!code.ok())
    die(code.status().message);
  // What stands in for another level's code is compiled to be right, in little time.
  if (!standsIn)
    if (Status status = optimizeLlvm(**code); !status.ok())
      die(status.message);
  if (std::getenv("MOEC_PRINT_KERNEL_LLVM"))
    (*code)->print(llvm::errs(), nullptr);
  for (llvm::Function &function : **code)
    if (function.isDeclaration() && !function.isIntrinsic())
      undefinedNames += function.getName().str() + "\n";
  Result<std::string> object = emitObject(**code, standsIn ? llvm::CodeGenOptLevel::None
                                                           : llvm::CodeGenOptLevel::Aggressive);
  if (!object.ok())
    die(object.status().message);
  if (!runsNatively(runs)) {
    emulator = findEmulator(target);
    program = linkProgram(target, *object);
    return;
  }
  jit = llvm::cantFail(llvm::orc::LLJITBuilder().create());
  llvm::cantFail(jit->addObjectFile(llvm::MemoryBuffer::getMemBufferCopy(*object)));
  address = llvm::cantFail(jit->lookup("kernel")).toPtr<void *>();
}

/// The file that KernelRunner.c reads and writes: for each argument whether it is memory, the
/// number or how many bytes, and these.
void KernelJit::emulate(std::span<const KernelArgument> arguments) const {
  std::string text;
  auto append = [&](int64_t number) {
    text.append(reinterpret_cast<const char *>(&number), sizeof(number));
  };
  append(arguments.size());
  for (const KernelArgument &argument : arguments) {
    append(argument.isMemory);
    append(argument.isMemory ? argument.bytes : argument.value);
    if (argument.isMemory)
      text.append(reinterpret_cast<const char *>(argument.value), argument.bytes);
  }
  const std::string file = temporaryFile("arguments");
  writeFile(file, text);
  runCommand({emulator, "-cpu", "max", program, file});
  auto after = llvm::cantFail(llvm::errorOrToExpected(llvm::MemoryBuffer::getFile(file)));
  llvm::sys::fs::remove(file);
  const char *at = after->getBufferStart() + sizeof(int64_t);
  for (const KernelArgument &argument : arguments) {
    at += 2 * sizeof(int64_t);
    char *memory = reinterpret_cast<char *>(argument.value);
    // What is only read may be constant; an argument that is no memory, null.
    if (argument.bytes > 0 && std::memcmp(memory, at, argument.bytes) != 0)
      std::memcpy(memory, at, argument.bytes);
    at += argument.bytes;
  }
}

KernelJit::~KernelJit() {
  if (!program.empty())
    llvm::sys::fs::remove(program);
}
