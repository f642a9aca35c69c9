// Model directories with a few small tensors, of which only headers exist: what tests of importing
// start from.

#ifndef MOEC_TEST_FRONTENDS_MODELS_TINYMODEL_H
#define MOEC_TEST_FRONTENDS_MODELS_TINYMODEL_H

#include "frontends/models/Import.h"
#include "mlir/IR/MLIRContext.h"

#include <nlohmann/json.hpp>

#include <map>
#include <string>
#include <vector>

namespace moec {

struct TinyTensor {
  std::vector<int64_t> shape;
  std::string type = "F32";
};

/// A config and tensors that fit each other; a test changes what it is about, and imports.
struct TinyModel {
  nlohmann::json config;
  std::map<std::string, TinyTensor> tensors;

  /// Writes the directory and imports it.
  Result<mlir::OwningOpRef<mlir::ModuleOp>> import(mlir::MLIRContext &context,
                                                   const ImportOptions &options = {}) const;
  /// The module's text; a failed test and an empty string if importing fails.
  std::string text(const ImportOptions &options = {}) const;
  /// The failure; a failed test if importing succeeds.
  Status failure(const ImportOptions &options = {}) const;

  /// Puts all experts of a layer in one tensor, as transformers 5 holds them. `gate`, `up` and
  /// `down` are the experts' own names.
  void fuseExperts(const std::string &gate, const std::string &up, const std::string &down);
};

/// 3 layers, 8 experts of which 2 are picked, heads whose width is not H.
TinyModel tinyMixtral();
/// 4 layers, of which 1 and 3 have experts.
TinyModel tinyQwen3Moe();
/// 3 layers, of which 1 is dense; a shared expert.
TinyModel tinyQwen2Moe();
/// 2 layers.
TinyModel tinyOlmoe();

/// 3 layers, of which the first is dense; 8 experts in 4 groups of which 2 count, 3 picked, 2
/// shared; queries of a latent vector.
TinyModel tinyDeepseekV3();
/// The same, with an indexer.
TinyModel tinyDeepseekV32();
/// The same sizes, with queries made of the layer's input, scores that are no sigmoids, and no
/// correction of them.
TinyModel tinyDeepseekV2();
/// The text model alone: 4 layers, of which 1 and 3 have experts and 3 is not rotated.
TinyModel tinyLlama4();
/// 3 layers, of which 0 and 2 see a window.
TinyModel tinyGptOss();

/// Sizes by which tensors are laid out; no two are equal.
struct TinySizes {
  int64_t vocabulary = 131, hidden = 64, heads = 4, keyHeads = 2, headSize = 24;
};
/// Embedding, last norm and output.
void addFrame(TinyModel &model, const TinySizes &sizes);
/// Norms and projections of attention in groups. Returns the layer's prefix.
std::string addAttention(TinyModel &model, const TinySizes &sizes, int64_t layer);
void addMlp(TinyModel &model, const std::string &prefix, const TinySizes &sizes, int64_t width,
            const char *gate = "gate_proj", const char *up = "up_proj",
            const char *down = "down_proj");

/// The model with `change` merged into its config (null removes) is refused by that code, with a
/// message of one line that has `part`.
void expectRefusal(TinyModel model, const nlohmann::json &change, Code code,
                   const std::string &part);

/// How often `part` stands in `text`.
int count(const std::string &text, const std::string &part);

} // namespace moec

#endif // MOEC_TEST_FRONTENDS_MODELS_TINYMODEL_H
