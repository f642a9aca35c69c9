// Builds a layer in the terms of the papers: norm, linear, rope, attention, experts, residual.

#ifndef MOEC_FRONTENDS_MODELS_LAYERBUILDER_H
#define MOEC_FRONTENDS_MODELS_LAYERBUILDER_H

#include "frontends/models/DecoderConfig.h"
#include "frontends/models/WeightTable.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace moec {

/// Where a checkpoint keeps what makes up an expert layer, below `model.layers.{l}.`.
struct ExpertTensors {
  std::string router;
  std::string gate, up, down; ///< one per expert, with `{e}`
};

/// Names of symbols and of the checkpoint's tensors that all decoders share.
inline constexpr const char *kCacheSymbol = "attention";
inline constexpr const char *kLayerPrefix = "model.layers.{l}.";

/// A new tensor of f32, to be written by an op: `rows` x `columns`.
mlir::Value emptyRows(mlir::OpBuilder &builder, mlir::Location location, mlir::Value rows,
                      int64_t columns, mlir::Type element = {});

/// Builds the function of a kind of layer, op by op. Names are those of tensors or modules below
/// `model.layers.{l}.`, and go into the ops' locations. Every result is T rows of f32.
class LayerBuilder {
public:
  /// Builds into `function`, which stands for `layers`. The ordinal of an expert layer is its place
  /// in `moeLayers`.
  LayerBuilder(WeightTable &weights, const DecoderConfig &decoder,
               llvm::ArrayRef<int64_t> moeLayers, mlir::func::FuncOp function,
               llvm::ArrayRef<int64_t> layers);

  /// The residual stream as the layer gets it.
  mlir::Value input() const { return residual; }
  /// Ends the function.
  void finish(mlir::Value output);

  /// `x / sqrt(mean(x * x) + epsilon) * weight`, for each of `heads` parts of a row.
  mlir::Value norm(mlir::Value x, const std::string &module, int64_t heads = 1);
  /// `x * transpose(weight)`, of `columns` columns, plus a bias if there is one.
  mlir::Value linear(mlir::Value x, const std::string &module, int64_t columns, bool bias = false);
  /// Limits every entry to +-limit.
  mlir::Value clamp(mlir::Value x, double limit, const std::string &module);
  /// Rotates each of `heads` parts of a row by the row's position, half against half.
  mlir::Value rope(mlir::Value x, int64_t heads, const std::string &module);
  /// Stores keys and values in the cache, and attends to it.
  mlir::Value attention(mlir::Value queries, mlir::Value keys, mlir::Value values,
                        const std::string &module);
  /// `down(silu(gate x) * up x)`, with an inner width of `width`.
  mlir::Value gatedMlp(mlir::Value x, const std::string &module, int64_t width);
  /// The router's softmax, its top K, and the weighted sum of those experts' gated products. Reads
  /// the tensors of `published`, or those in which transformers 5 keeps all experts of a layer.
  mlir::Value experts(mlir::Value x, const ExpertConfig &config, const ExpertTensors &published);
  /// Each row of x times the sigmoid of its one entry of `gate`.
  mlir::Value scaleRows(mlir::Value x, mlir::Value gate, const std::string &module);
  mlir::Value add(mlir::Value left, mlir::Value right, const std::string &module);

private:
  mlir::Location at(const std::string &name);
  /// A destination of as many rows as the step has.
  mlir::Value destination(mlir::Location location, int64_t columns, mlir::Type element = {});
  mlir::Value load(const Weight &weight);
  /// Each pick's row times the weight of its expert; `rows` says which row of x that is, if it is
  /// not the pick's own.
  mlir::Value groupedMatmul(mlir::Value x, const Weight &weight, mlir::Value tiles,
                            mlir::Value rows, mlir::Value picks);

  WeightTable &weights;
  const DecoderConfig &decoder;
  llvm::ArrayRef<int64_t> moeLayers, layers;
  mlir::OpBuilder builder;
  mlir::Value batch, layer, residual, cosines, sines, tokens;
};

} // namespace moec

#endif // MOEC_FRONTENDS_MODELS_LAYERBUILDER_H
