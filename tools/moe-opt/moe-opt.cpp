// Runs passes over MLIR: upstream's, ours, and each stage of the compiler as a pipeline.

#include "dialects/lm/LmDialect.h"
#include "dialects/moe/MoeDialect.h"

#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::registerAllPasses();
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  registry.insert<moec::lm::LmDialect, moec::moe::MoeDialect>();
  moec::lm::registerBufferization(registry);
  moec::moe::registerBufferization(registry);
  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, "moec's modular optimizer driver\n", registry));
}
