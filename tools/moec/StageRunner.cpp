// One pass manager per stage, so that each can be stopped after, dumped and reproduced alone.

#include "tools/moec/StageRunner.h"

#include "runtime/core/AtomicFile.h"
#include "tools/moec/TextOutput.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

#include <fmt/format.h>

using namespace moec;

/// A location in the user's words: the checkpoint's tensor, or the place in a file.
static std::string describe(mlir::Location location) {
  if (auto name = llvm::dyn_cast<mlir::NameLoc>(location))
    return name.getName().str() + ": ";
  if (auto file = llvm::dyn_cast<mlir::FileLineColLoc>(location))
    return fmt::format("{}:{}:{}: ", file.getFilename().str(), file.getLine(), file.getColumn());
  return {};
}

/// Whether these are the pass manager's own words beside a reproducer, which run() says for users.
static bool isAboutReproducer(const mlir::Diagnostic &diagnostic) {
  return llvm::StringRef(diagnostic.str())
      .starts_with("Failures have been detected while processing an MLIR pass pipeline");
}

static std::string describe(const mlir::Diagnostic &diagnostic) {
  std::string text = describe(diagnostic.getLocation()) + diagnostic.str();
  for (const mlir::Diagnostic &note : diagnostic.getNotes())
    text += "\n  " + describe(note.getLocation()) + note.str();
  return text;
}

DiagnosticLog::DiagnosticLog(mlir::MLIRContext &context)
    : handler(&context, [this](mlir::Diagnostic &diagnostic) {
        if (isAboutReproducer(diagnostic))
          return;
        if (diagnostic.getSeverity() == mlir::DiagnosticSeverity::Error)
          errorText += (errorText.empty() ? "" : "\n") + describe(diagnostic);
        else
          remarkLines.push_back(describe(diagnostic));
      }) {}

std::string DiagnosticLog::errors(std::string_view otherwise) const {
  return errorText.empty() ? std::string(otherwise) : errorText;
}

std::string moec::stageOf(mlir::ModuleOp module) {
  auto name = module->getAttrOfType<mlir::StringAttr>("moec.stage");
  return name ? name.str() : std::string();
}

std::string moec::printModule(mlir::ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  module.print(stream);
  text += "\n";
  return text;
}

StageRunner::StageRunner(mlir::MLIRContext &context, std::string dumpFolder, std::string reproducer)
    : context(context), dumpFolder(std::move(dumpFolder)), reproducer(std::move(reproducer)),
      log(context) {}

Status StageRunner::prepare() {
  if (dumpFolder.empty())
    return {};
  if (std::error_code error = llvm::sys::fs::create_directories(
          dumpFolder, /*IgnoreExisting=*/true, llvm::sys::fs::all_all)) // the umask decides
    return outputFailure(error.value(), dumpFolder, "cannot be made");
  return {};
}

Status StageRunner::dump(const std::string &name, llvm::function_ref<std::string()> print) {
  if (dumpFolder.empty())
    return {};
  return writeText(fmt::format("{}/{}-{}", dumpFolder, ++dumps, name), print());
}

Status StageRunner::run(mlir::ModuleOp module, const Stage &stage, const PipelineOptions &options,
                        std::string_view variant) {
  mlir::PassManager passes(&context, mlir::ModuleOp::getOperationName());
  addStage(passes, stage, options);
  passes.enableCrashReproducerGeneration(reproducer);
  std::string name = stage.name.str();
  if (failed(passes.run(module))) {
    std::string message = log.errors("a pass of this stage failed without saying why");
    if (llvm::sys::fs::exists(reproducer))
      message += fmt::format("\n  to see it again: moe-opt --run-reproducer '{}'", reproducer);
    return {log.hasErrors() ? Code::Unsupported : Code::Internal,
            fmt::format("stage {}: {}", name, message)};
  }
  return dump(fmt::format("{}{}{}.mlir", name, variant.empty() ? "" : "-", variant),
              [&] { return printModule(module); });
}
