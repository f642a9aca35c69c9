// Builds a layer in the terms of the papers: norm, linear, rope, attention, experts, residual.

#ifndef MOEC_FRONTENDS_MODELS_LAYERBUILDER_H
#define MOEC_FRONTENDS_MODELS_LAYERBUILDER_H

#include "frontends/models/CacheTable.h"
#include "frontends/models/DecoderConfig.h"
#include "frontends/models/WeightTable.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <optional>

namespace moec {

/// Where a checkpoint keeps what makes up an expert layer, below `model.layers.{l}.`.
struct ExpertTensors {
  std::string router;
  TensorRows gate = {}, up = {}, down = {};
  std::string routerBias = {};                          ///< added to logits; empty: none
  std::string correction = {};                          ///< added to scores to choose; empty: none
  TensorRows gateBias = {}, upBias = {}, downBias = {}; ///< one entry a row; empty: none
};

/// What a row of attention sees, and how it weighs that.
struct AttentionConfig {
  int64_t keyHeads = 0; ///< 0: as many as the decoder's
  int64_t latent =
      0; ///< entries of a key that are its value, from the first on; 0: values are given
  int64_t window = 0;          ///< positions, its own included; 0: all
  int64_t chunk = 0;           ///< or those from the last multiple of this on; 0: all
  double scale = 0;            ///< of scores; 0: one over the root of the keys' size
  mlir::Value chosen = {};     ///< the positions that each row sees; null: all
  const char *sinks = nullptr; ///< a tensor of a score per query head that weighs no value
};

/// A new tensor of f32, to be written by an op: `rows` x `columns`.
mlir::Value emptyRows(mlir::OpBuilder &builder, mlir::Location location, mlir::Value rows,
                      int64_t columns, mlir::Type element = {});

/// Which entries of a head rope rotates together: of one half with the other, or each even one with
/// the next; and where they are, if not all are rotated.
enum class RopePairs { Halves, Neighbours };
enum class RopePlace { Last, First };

/// Builds the function of a kind of layer, op by op. Names are those of tensors or modules below
/// `model.layers.{l}.`, and go into the ops' locations. Every result is T rows of f32.
class LayerBuilder {
public:
  /// Builds into `function`, which stands for `layers`, of a program whose sequences have `context`
  /// positions at most. The ordinal of an expert layer is its place in `moeLayers`.
  LayerBuilder(WeightTable &weights, CacheTable &caches, const DecoderConfig &decoder,
               int64_t context, llvm::ArrayRef<int64_t> moeLayers, mlir::func::FuncOp function,
               llvm::ArrayRef<int64_t> layers);

  /// The residual stream as the layer gets it.
  mlir::Value input() const { return residual; }
  /// Ends the function.
  void finish(mlir::Value output);

  /// `x / sqrt(mean(x * x) + epsilon) * weight`, for each of `heads` parts of a row.
  mlir::Value norm(mlir::Value x, const std::string &module, int64_t heads = 1,
                   std::optional<double> epsilon = {});
  /// The same without a weight.
  mlir::Value plainNorm(mlir::Value x, int64_t heads, const std::string &module);
  /// `(x - mean) / sqrt(variance + epsilon) * weight + bias`.
  mlir::Value layerNorm(mlir::Value x, const std::string &module, double epsilon);
  /// `x * transpose(weight)`, of `columns` columns, plus a bias if there is one.
  mlir::Value linear(mlir::Value x, const std::string &module, int64_t columns, bool bias = false);
  /// Limits every entry to +-limit.
  mlir::Value clamp(mlir::Value x, double limit, const std::string &module);
  /// Rotates each of `heads` parts of a row by the row's position: as many entries as the table of
  /// angles has, the last or the first ones.
  mlir::Value rope(mlir::Value x, int64_t heads, const std::string &module,
                   RopePairs pairs = RopePairs::Halves, RopePlace place = RopePlace::Last);
  /// x times `1 + scale ln(1 + floor((position + 1) / interval))`.
  mlir::Value temperature(mlir::Value x, int64_t interval, double scale, const std::string &module);
  /// `size` entries from `first` on of each of `heads` parts of a row.
  mlir::Value sliceHeads(mlir::Value x, int64_t heads, int64_t first, int64_t size,
                         const std::string &module);
  /// Each of `heads` parts of `left`, followed by that of `right`; or by all of `right`, where that
  /// `isShared`.
  mlir::Value joinHeads(mlir::Value left, mlir::Value right, int64_t heads, bool isShared,
                        const std::string &module);
  /// Each part of a row times the transpose of a matrix of its own.
  mlir::Value headLinear(mlir::Value x, const std::string &symbol, std::vector<int64_t> shape,
                         TensorRows rows);
  /// Stores keys of one head, and chooses for each row the `count` positions of the best scores:
  /// `scale` times the sum, over the heads of `queries`, of `weights` times what is positive of
  /// their products with the keys.
  mlir::Value chooseKeys(mlir::Value queries, mlir::Value keys, mlir::Value weights, int64_t count,
                         double scale, const std::string &module);
  /// Stores keys and values in the cache, and attends to it.
  mlir::Value attention(mlir::Value queries, mlir::Value keys, mlir::Value values,
                        const AttentionConfig &config, const std::string &module);
  /// `down(silu(gate x) * up x)`, with an inner width of `width`.
  mlir::Value gatedMlp(mlir::Value x, const std::string &module, int64_t width);
  /// What the router chooses, and the weighted sum of those experts' gated products. Reads the
  /// tensors of `published`, or those in which transformers 5 keeps all experts of a layer.
  mlir::Value experts(mlir::Value x, const ExpertConfig &config, const ExpertTensors &published);
  /// Each row of x times the sigmoid of its one entry of `gate`.
  mlir::Value scaleRows(mlir::Value x, mlir::Value gate, const std::string &module);
  mlir::Value add(mlir::Value left, mlir::Value right, const std::string &module);

private:
  /// The name of a tensor or module of the layer, and a place named so.
  std::string nameOf(const std::string &name) const;
  TensorRows named(TensorRows rows) const;
  mlir::Location at(const std::string &name);
  /// A destination of as many rows as the step has.
  mlir::Value destination(mlir::Location location, int64_t columns, mlir::Type element = {});
  mlir::Value load(const Weight &weight);
  /// The choice of experts, and the weights of the chosen ones.
  std::pair<mlir::Value, mlir::Value> route(mlir::Value x, const ExpertConfig &config,
                                            const ExpertTensors &published);
  /// The bias of each row of an expert weight; null where none is named.
  mlir::Value expertBias(const Weight &weight, const TensorRows &bias);

  WeightTable &weights;
  CacheTable &caches;
  const DecoderConfig &decoder;
  const int64_t context;
  llvm::ArrayRef<int64_t> moeLayers, layers;
  mlir::OpBuilder builder;
  mlir::Value batch, layer, residual, cosines, sines, tokens;
};

} // namespace moec

#endif // MOEC_FRONTENDS_MODELS_LAYERBUILDER_H
