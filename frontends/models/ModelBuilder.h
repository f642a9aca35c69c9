// Builds the module of a decoder: its layers, kind by kind, and the step that runs them.

#ifndef MOEC_FRONTENDS_MODELS_MODELBUILDER_H
#define MOEC_FRONTENDS_MODELS_MODELBUILDER_H

#include "frontends/models/LatentAttention.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"

#include <functional>
#include <optional>

namespace moec {

/// What a model is called, and what the user wants of it.
struct ModelIdentity {
  std::string name, architecture;
  int64_t context = 0;                       ///< 0: all positions that the model is made for
  std::optional<LatentForm> latentForm = {}; ///< none: absorbed
  std::function<void(const std::string &)> notice = {};
};

/// Builds a module of layers and the step that runs them. Failures are kept until finish().
class ModelBuilder {
public:
  /// Loads the dialects it needs into `context`.
  ModelBuilder(const Checkpoint &checkpoint, QuantizationConfig quantization,
               mlir::MLIRContext &context, ModelIdentity identity);

  /// Most positions of a sequence that the user wants, of the `positions` that the model is made
  /// for.
  int64_t contextOf(int64_t positions) const {
    return identity.context > 0 ? identity.context : positions;
  }

  /// The form of attention to latent vectors that the user wants; asking for it says that the model
  /// has such attention.
  LatentForm latentForm() {
    isLatent = true;
    return identity.latentForm.value_or(LatentForm::Absorbed);
  }

  /// States what surrounds the experts; comes first.
  void begin(const DecoderConfig &decoder);
  /// Tensors whose names match are not needed, but are told of: they are `what`. `*` stands for any
  /// characters.
  void skip(const std::vector<std::string> &patterns, const std::string &what);
  /// States the expert layers' numbers, and which layers those are; before the first layer is
  /// built.
  void setExperts(const ExpertConfig &experts, std::vector<int64_t> layers);
  /// Builds what all of `layers` do to the residual stream, in the function `layer_KIND`; nothing
  /// if there are none of the kind.
  void addLayers(std::string_view kind, std::vector<int64_t> layers,
                 llvm::function_ref<mlir::Value(LayerBuilder &, mlir::Value)> build);
  /// Builds the step, and gives the verified module, or the first failure.
  Result<mlir::OwningOpRef<mlir::ModuleOp>> finish();

private:
  struct LayerKind {
    mlir::func::FuncOp function;
    std::vector<int64_t> layers;
  };

  void buildStep();
  /// A weight that is no layer's.
  mlir::Value load(mlir::OpBuilder &builder, const Weight &weight);
  /// The embeddings of the step's `tokens` rows.
  mlir::Value embed(mlir::OpBuilder &builder, mlir::Value batch, mlir::Value tokens);
  /// The cosines and sines of their positions.
  lm::RopeTableOp tabulateAngles(mlir::OpBuilder &builder, mlir::Value batch, mlir::Value tokens);
  /// The logits of the rows that are wanted, from the residual stream after all layers.
  void writeLogits(mlir::OpBuilder &builder, mlir::Value batch, mlir::Value stream);
  /// The residual stream after layer `layer`, by the function of its kind.
  mlir::Value runLayer(mlir::OpBuilder &builder, mlir::Value layer, mlir::ValueRange arguments);
  /// What config.json says of layers, where a tensor is of one behind the last.
  std::string explainLayer(std::string_view tensor) const;
  /// Sets `moec.model`.
  void describe();

  const Checkpoint &checkpoint;
  const QuantizationConfig quantization;
  ModelIdentity identity;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  std::optional<WeightTable> weights;
  std::optional<CacheTable> caches;
  DecoderConfig decoder{};
  ExpertConfig experts{};
  std::vector<int64_t> moeLayers;
  std::vector<LayerKind> kinds;
  bool isLatent = false;
  Status failure;
};

} // namespace moec

#endif // MOEC_FRONTENDS_MODELS_MODELBUILDER_H
