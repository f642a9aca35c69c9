// A pass of one's own, as a plugin of moe-opt: says of every routing how many experts a token
// picks.

#include "dialects/moe/MoeDialect.h"

#include "mlir/Pass/Pass.h"
#include "mlir/Tools/Plugins/PassPlugin.h"

using namespace mlir;

namespace {
struct CountPicks final : PassWrapper<CountPicks, OperationPass<ModuleOp>> {
  // The name of the type, which must be the same in the plugin and in moe-opt.
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(CountPicks)

  StringRef getArgument() const final { return "count-picks"; }
  StringRef getDescription() const final { return "say how many experts a token picks"; }

  void runOnOperation() override {
    getOperation()->walk([](moec::moe::RouteOp route) {
      int64_t picked = cast<ShapedType>(route.getExperts().getType()).getDimSize(1);
      int64_t experts = cast<ShapedType>(route.getScores().getType()).getDimSize(1);
      route.emitRemark() << "each token picks " << picked << " of " << experts << " experts";
    });
  }
};
} // namespace

/// What moe-opt looks for when it loads the plugin.
extern "C" LLVM_ATTRIBUTE_WEAK PassPluginLibraryInfo mlirGetPassPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "CountPicks", "0.1", [] { PassRegistration<CountPicks>(); }};
}
