// Each function of joined levels is for the CPU that it was made for; what runs before the choice
// is for all.

#include "compiler/emit/JoinLevels.h"
#include "compiler/emit/ObjectCode.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Parser/Parser.h"
#include "llvm/IR/Instructions.h"
#include "gtest/gtest.h"

using namespace moec;

namespace {

/// Levels have inner functions of the same names.
constexpr const char *levelText = R"(
  llvm.func @phase() attributes {no_inline} { llvm.return }
  llvm.func @moec_program_step(%arguments: !llvm.ptr, %thread: i64) {
    llvm.call @phase() : () -> ()
    llvm.return
  }
  llvm.func @moec_program_arena_bytes(%tokens: i64) -> i64 { llvm.return %tokens : i64 })";

class JoinLevelsTest : public testing::Test {
protected:
  JoinLevelsTest() {
    mlir::DialectRegistry registry;
    registerLlvmTranslations(registry);
    mlirContext.appendDialectRegistry(registry);
    mlirContext.loadDialect<mlir::LLVM::LLVMDialect>();
  }

  LevelCode level(const std::string &name, const MachineTarget &target,
                  const char *text = levelText) {
    mlir::OwningOpRef<mlir::ModuleOp> module =
        mlir::parseSourceString<mlir::ModuleOp>(text, &mlirContext);
    Result<std::unique_ptr<llvm::Module>> translated =
        translateToLlvm(*module, llvmContext, target);
    EXPECT_TRUE(translated.ok());
    return {name, std::move(*translated)};
  }

  std::unique_ptr<llvm::Module> joinTwo() {
    std::vector<LevelCode> levels;
    levels.push_back(level("low", {"x86_64-unknown-linux-gnu", "x86-64-v3", ""}));
    levels.push_back(level("high", {"x86_64-unknown-linux-gnu", "x86-64-v4", "+avx512bf16"}));
    Result<std::unique_ptr<llvm::Module>> joined = joinLevels(std::move(levels));
    EXPECT_TRUE(joined.ok());
    return std::move(*joined);
  }

  mlir::MLIRContext mlirContext;
  llvm::LLVMContext llvmContext;
};

std::string cpuOf(const llvm::Function *function) {
  return function->getFnAttribute("target-cpu").getValueAsString().str();
}

const llvm::Function *calledBy(const llvm::Function *function) {
  return llvm::cast<llvm::CallInst>(function->getEntryBlock().front()).getCalledFunction();
}

// A GPU's program has the host's code of its architectures, and what CPUs do, each with a table and
// a size of its own.
TEST_F(JoinLevelsTest, WhatCpusDoOfAGpusProgramHasNamesOfItsOwn) {
  std::vector<LevelCode> architectures;
  architectures.push_back(level("sm_80", {"x86_64-unknown-linux-gnu", "x86-64", ""}));
  Result<std::unique_ptr<llvm::Module>> program = joinLevels(std::move(architectures));
  ASSERT_TRUE(program.ok());
  Status added = addHostPart(**program, joinTwo());
  ASSERT_TRUE(added.ok()) << added.message;
  for (const char *name : {"moec_program_steps", "moec_host_steps"})
    EXPECT_TRUE((*program)->getGlobalVariable(name)) << name;
  for (const char *name :
       {"moec_program_arena_bytes", "moec_host_arena_bytes", "moec_program_step.sm_80",
        "moec_program_step.low", "moec_program_step.high"})
    EXPECT_TRUE((*program)->getFunction(name)) << name;
  EXPECT_EQ((*program)->getGlobalVariable("moec_host_steps")->getInitializer()->getOperand(0),
            (*program)->getFunction("moec_program_step.low"));
}

TEST_F(JoinLevelsTest, EachStepCallsItsOwnFunctions) {
  std::unique_ptr<llvm::Module> joined = joinTwo();
  const llvm::Function *low = joined->getFunction("moec_program_step.low"),
                       *high = joined->getFunction("moec_program_step.high");
  ASSERT_TRUE(low && high);
  for (const llvm::Function *function : {low, calledBy(low)})
    EXPECT_EQ(cpuOf(function), "x86-64-v3");
  for (const llvm::Function *function : {high, calledBy(high)}) {
    EXPECT_EQ(cpuOf(function), "x86-64-v4");
    EXPECT_EQ(function->getFnAttribute("target-features").getValueAsString(), "+avx512bf16");
  }
  const llvm::GlobalVariable *table = joined->getGlobalVariable("moec_program_steps");
  ASSERT_TRUE(table);
  EXPECT_EQ(table->getInitializer()->getOperand(0), low);
  EXPECT_EQ(table->getInitializer()->getOperand(1), high);
}

TEST_F(JoinLevelsTest, TheArenaIsAskedForOnAnyCpu) {
  std::unique_ptr<llvm::Module> joined = joinTwo();
  const llvm::Function *arena = joined->getFunction("moec_program_arena_bytes");
  ASSERT_TRUE(arena);
  EXPECT_FALSE(arena->hasFnAttribute("target-cpu"));
  EXPECT_FALSE(arena->hasFnAttribute("target-features"));
}

TEST_F(JoinLevelsTest, WhatIsNoProgramIsLeftAlone) {
  const char *other = "llvm.func @other() { llvm.return }";
  std::vector<LevelCode> levels;
  levels.push_back(level("low", {"x86_64-unknown-linux-gnu", "x86-64-v3", ""}, other));
  Result<std::unique_ptr<llvm::Module>> joined = joinLevels(std::move(levels));
  ASSERT_TRUE(joined.ok());
  EXPECT_EQ(cpuOf((*joined)->getFunction("other")), "x86-64-v3");
  EXPECT_FALSE((*joined)->getGlobalVariable("moec_program_steps"));
}

} // namespace
