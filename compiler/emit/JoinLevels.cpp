// Links the levels' modules in LLVM IR, all that they define under names of their own.

#include "compiler/emit/JoinLevels.h"

#include "llvm/IR/Constants.h"
#include "llvm/Linker/Linker.h"

using namespace moec;

/// What tells of sizes, and is the same for all levels.
static constexpr llvm::StringLiteral kSizes[] = {"moec_program_arena_bytes",
                                                 "moec_program_graph_sizes"};

/// Makes these, which the runtime asks before it knows whether the CPU has any of the levels, code
/// for all CPUs; drops them where another level's module has defined them.
static void shareSizes(llvm::Module &module, bool isDefined) {
  for (llvm::StringRef name : kSizes) {
    llvm::Function *function = module.getFunction(name);
    if (!function)
      continue;
    function->removeFnAttr("target-cpu");
    function->removeFnAttr("target-features");
    if (isDefined)
      function->eraseFromParent();
  }
}

/// Adds the table of `steps`.
static void addTable(llvm::Module &module, llvm::ArrayRef<std::string> steps) {
  llvm::SmallVector<llvm::Constant *> entries;
  for (const std::string &step : steps)
    entries.push_back(module.getFunction(step));
  auto *type =
      llvm::ArrayType::get(llvm::PointerType::getUnqual(module.getContext()), entries.size());
  new llvm::GlobalVariable(module, type, /*isConstant=*/true, llvm::GlobalValue::ExternalLinkage,
                           llvm::ConstantArray::get(type, entries), "moec_program_steps");
}

Result<std::unique_ptr<llvm::Module>> moec::joinLevels(std::vector<LevelCode> levels) {
  std::unique_ptr<llvm::Module> joined;
  std::vector<std::string> steps;
  for (LevelCode &code : levels) {
    llvm::Function *step = code.module->getFunction("moec_program_step");
    if (!step && levels.size() == 1)
      return std::move(code.module);
    if (!step)
      return Status{Code::Internal, "the module of level '" + code.level + "' has no step"};
    shareSizes(*code.module, /*isDefined=*/joined != nullptr);
    for (llvm::GlobalObject &object : code.module->global_objects())
      if (!object.isDeclaration() && !llvm::is_contained(kSizes, object.getName()))
        object.setName(object.getName() + "." + code.level);
    steps.push_back(step->getName().str());
    if (!joined)
      joined = std::move(code.module);
    else if (llvm::Linker::linkModules(*joined, std::move(code.module)))
      return Status{Code::Internal, "the code of level '" + code.level + "' does not join"};
  }
  addTable(*joined, steps);
  return joined;
}

Status moec::addHostPart(llvm::Module &program, std::unique_ptr<llvm::Module> host) {
  for (auto [own, name] : {std::pair("moec_program_steps", "moec_host_steps"),
                           std::pair("moec_program_arena_bytes", "moec_host_arena_bytes")}) {
    llvm::GlobalValue *value = host->getNamedValue(own);
    if (!value)
      return {Code::Internal, std::string("what CPUs do has no ") + own};
    value->setName(name);
  }
  if (llvm::Linker::linkModules(program, std::move(host)))
    return {Code::Internal, "what CPUs do does not join the program"};
  return {};
}
