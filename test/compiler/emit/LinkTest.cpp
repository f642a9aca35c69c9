// Programs and libraries made from tiny steps and a fake runtime: they run, and hold what they
// should.

#include "compiler/emit/Link.h"
#include "compiler/emit/EmbeddedWeights.h"
#include "compiler/emit/JoinLevels.h"
#include "compiler/emit/ObjectCode.h"
#include "compiler/emit/ProgramData.h"
#include "compiler/emit/ScratchFile.h"
#include "runtime/core/Step.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Parser/Parser.h"
#include "llvm/TargetParser/Host.h"
#include "gtest/gtest.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace fs = std::filesystem;
using namespace moec;

namespace {

/// A step that writes NUMBER as the only logit.
constexpr const char *stepText = R"(
  llvm.func @moec_program_step(%arguments: !llvm.ptr, %thread: i64) {
    %offset = llvm.mlir.constant(OFFSET : i64) : i64
    %field = llvm.getelementptr %arguments[%offset] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    %logits = llvm.load %field : !llvm.ptr -> !llvm.ptr
    %answer = llvm.mlir.constant(NUMBER.0 : f32) : f32
    llvm.store %answer, %logits : f32, !llvm.ptr
    llvm.return
  })";

std::string run(const std::string &command) {
  FILE *pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::string text;
  char buffer[4096];
  while (size_t count = std::fread(buffer, 1, sizeof(buffer), pipe))
    text.append(buffer, count);
  int status = ::pclose(pipe);
  return status == 0 ? text : text + "[status " + std::to_string(status) + "]";
}

std::string readFile(const fs::path &path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

class LinkTest : public testing::Test {
protected:
  void SetUp() override {
    folder = fs::path(testing::TempDir()) /
             ("moec-link-" + std::to_string(::getpid()) + "-" +
              testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder);
    fs::create_directories(folder / "link");
    // The real files, but for moec's own runtime.
    for (const fs::directory_entry &entry : fs::directory_iterator(MOEC_LINK_FILES))
      if (entry.path().filename().string().rfind("libMoec", 0) != 0 &&
          entry.path().filename() != "exports.txt")
        fs::create_symlink(entry.path(), folder / "link" / entry.path().filename());
    fs::create_symlink(MOEC_FAKE_RUNTIME, folder / "link" / "libFakeRuntime.a");
    std::ofstream(folder / "link" / "exports.txt") << "moec_test_answer\n";
    target = {llvm::sys::getProcessTriple(), llvm::sys::getHostCPUName().str(), /*features=*/""};
  }
  void TearDown() override { fs::remove_all(folder); }

  /// The object code of two levels.
  std::string makeSteps() {
    mlir::DialectRegistry registry;
    registerLlvmTranslations(registry);
    mlir::MLIRContext context(registry);
    context.loadDialect<mlir::LLVM::LLVMDialect>();
    llvm::LLVMContext llvmContext;
    std::vector<LevelCode> levels;
    for (std::string number : {"40", "2"}) {
      std::string text = stepText;
      text.replace(text.find("OFFSET"), 6, std::to_string(offsetof(moec_step_arguments, logits)));
      text.replace(text.find("NUMBER"), 6, number);
      mlir::OwningOpRef<mlir::ModuleOp> module =
          mlir::parseSourceString<mlir::ModuleOp>(text, &context);
      Result<std::unique_ptr<llvm::Module>> translated =
          translateToLlvm(*module, llvmContext, target);
      EXPECT_TRUE(translated.ok());
      levels.push_back({"level" + number, std::move(*translated)});
    }
    Result<std::unique_ptr<llvm::Module>> joined = joinLevels(std::move(levels));
    EXPECT_TRUE(joined.ok());
    EXPECT_TRUE(optimizeLlvm(**joined).ok());
    Result<std::string> object = emitObject(**joined);
    EXPECT_TRUE(object.ok());
    return *object;
  }

  LinkOptions prepare(uint64_t weightBytes = 0) {
    ProgramData data{.manifest = "{\"format\":1}",
                     .tokenizer = "tables",
                     .chatTemplate = {},
                     .generation = {},
                     .embeddedWeightBytes = weightBytes};
    Result<std::string> object = makeProgramDataObject(data, target.triple);
    EXPECT_TRUE(object.ok());
    EXPECT_TRUE(writeFile(folder / "data.o", *object).ok());
    EXPECT_TRUE(writeFile(folder / "step.o", makeSteps()).ok());
    return {.triple = target.triple,
            .linkFiles = folder / "link",
            .objects = {folder / "step.o", folder / "data.o"}};
  }

  void expectLinks(const LinkOptions &options, const std::string &name) {
    Status status = link(options, folder / name);
    ASSERT_TRUE(status.ok()) << status.message;
  }

  fs::path folder;
  MachineTarget target;
};

constexpr const char *expectedOutput = "answer 42\nmanifest {\"format\":1}\ntokenizer 0\n"
                                       "template 0\nweights 0\ncosine 0.540 end\n";

TEST_F(LinkTest, ObjectCodeIsTheSameEachTime) { EXPECT_EQ(makeSteps(), makeSteps()); }

TEST_F(LinkTest, StaticExecutableNeedsNothing) {
  LinkOptions options = prepare();
  options.strip = true;
  expectLinks(options, "program");
  EXPECT_EQ(run(folder / "program"), expectedOutput);
  EXPECT_NE(run("readelf -d " + (folder / "program").string()).find("no dynamic section"),
            std::string::npos);
  EXPECT_LT(fs::file_size(folder / "program"), 1000000u);
}

TEST_F(LinkTest, OutputPathDoesNotMatter) {
  LinkOptions options = prepare();
  expectLinks(options, "program");
  expectLinks(options, "another");
  EXPECT_EQ(readFile(folder / "program"), readFile(folder / "another"));
}

TEST_F(LinkTest, SystemCompilerLinksToo) {
  LinkOptions options = prepare();
  options.linker = Linker::SystemCompiler;
  expectLinks(options, "program");
  EXPECT_EQ(run(folder / "program"), expectedOutput);
}

TEST_F(LinkTest, DynamicExecutableNeedsLibcAndLibmOnly) {
  LinkOptions options = prepare();
  options.libc = LibcLink::Dynamic;
  expectLinks(options, "program");
  EXPECT_EQ(run(folder / "program"), expectedOutput);
  std::string needed = run("readelf -d " + (folder / "program").string() + " | grep NEEDED");
  EXPECT_EQ(std::count(needed.begin(), needed.end(), '\n'), 2);
  EXPECT_NE(needed.find("libc.so.6"), std::string::npos) << needed;
  EXPECT_NE(needed.find("libm.so.6"), std::string::npos) << needed;
}

TEST_F(LinkTest, SharedLibraryExportsTheInterfaceOnly) {
  LinkOptions options = prepare();
  options.artifact = Artifact::SharedLibrary;
  for (Linker linker : {Linker::Lld, Linker::SystemCompiler}) {
    options.linker = linker;
    expectLinks(options, "library.so");
    EXPECT_EQ(run("nm -D --defined-only --format=just-symbols " + (folder / "library.so").string()),
              "moec_test_answer\n");
  }
}

TEST_F(LinkTest, StaticLibraryDefinesTheInterfaceOnly) {
  LinkOptions options = prepare();
  options.artifact = Artifact::StaticLibrary;
  std::ofstream(folder / "user.c") << "int moec_test_answer(void);\n"
                                      "int main(void) { return moec_test_answer() != 42; }\n";
  for (Linker linker : {Linker::Lld, Linker::SystemCompiler}) {
    options.linker = linker;
    expectLinks(options, "moec.o");
    Status status = makeArchive(folder / "moec.o", folder / "library.a");
    ASSERT_TRUE(status.ok()) << status.message;
    EXPECT_EQ(run("nm --extern-only --defined-only --format=just-symbols " +
                  (folder / "library.a").string()),
              "moec_test_answer\n");
    EXPECT_EQ(run("cd " + folder.string() + " && cc user.c library.a -lm -o user && ./user"), "");
  }
}

/// Makes room for `bytes` of weights in `program` and writes the first and the last.
void embed(const fs::path &program, uint64_t bytes) {
  Result<uint64_t> offset = openEmbeddedWeights(program, bytes);
  ASSERT_TRUE(offset.ok()) << offset.status().message;
  EXPECT_EQ(*offset % 4096, 0u);
  std::fstream file(program, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(*offset)).put(7);
  file.seekp(static_cast<std::streamoff>(*offset + bytes - 1)).put(9);
}

TEST_F(LinkTest, EmbeddedWeightsMayBeLarge) {
  // More than a reference can reach across; the file has a hole for most of it.
  const uint64_t bytes = uint64_t(5) << 30;
  for (Linker linker : {Linker::Lld, Linker::SystemCompiler}) {
    LinkOptions options = prepare(bytes);
    options.linker = linker;
    expectLinks(options, "program");
    embed(folder / "program", bytes);
    EXPECT_NE(run(folder / "program").find("weights 5368709120 0 7 9\n"), std::string::npos)
        << run(folder / "program");
  }
}

TEST_F(LinkTest, EmbeddedWeightsSurviveStrip) {
  for (Linker linker : {Linker::Lld, Linker::SystemCompiler}) {
    LinkOptions options = prepare(1 << 20);
    options.linker = linker;
    expectLinks(options, "program");
    embed(folder / "program", 1 << 20);
    EXPECT_EQ(run("strip " + (folder / "program").string()), "");
    EXPECT_NE(run(folder / "program").find("weights 1048576 0 7 9\n"), std::string::npos);
  }
}

TEST_F(LinkTest, LinkerErrorsAreReported) {
  LinkOptions options = prepare();
  options.objects.pop_back();
  Status status = link(options, folder / "program");
  EXPECT_EQ(status.code, Code::Internal);
  EXPECT_NE(status.message.find("moec_program_manifest"), std::string::npos) << status.message;
  EXPECT_FALSE(fs::exists(folder / "program"));
}

} // namespace
