// The face of the model frontend: a checkpoint in, a module of unfused moe and lm ops out.

#ifndef MOEC_FRONTENDS_MODELS_IMPORT_H
#define MOEC_FRONTENDS_MODELS_IMPORT_H

#include "frontends/checkpoint/Checkpoint.h"
#include "frontends/models/LatentAttention.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include <functional>
#include <optional>
#include <string>

namespace moec {

struct ImportOptions {
  /// Most positions of a sequence; 0: what config.json says, and never more than that.
  int64_t context = 0;
  /// What the model is called; empty: the last part of the checkpoint's directory.
  std::string name = {};
  /// Of attention to latent vectors; none: absorbed. A model without such attention is refused as
  /// Code::Usage where one is asked for.
  std::optional<LatentForm> latentForm = {};
  /// Called with what the user should know, a line each.
  std::function<void(const std::string &)> notice = {};
};

/// The model of `checkpoint` as a module:
///
/// - `moec.model`, a dictionary of what is known of it as a whole: name, architecture, vocabulary,
///   hidden, layers, context, parameters and active_parameters, moe_layers (their indices), experts
///   and picked (0 where there is no such layer), and, where attention is to latent vectors, its
///   form as `mla`;
/// - an `lm.weight` per kind of weight, and an `lm.cache` per kind of keys and values: of all
///   positions, of a window, of a chunk, or of an indexer;
/// - `func.func private @layer_KIND(!lm.batch, index, tensor<?xHxf32>, cosines, sines)` per kind of
///   layer;
/// - `func.func @step(!lm.batch)`, which loops over them.
///
/// Its text is as long for many layers and experts as for few, but for lists of layer numbers.
/// Every tensor of the checkpoint is checked for presence, shape and type, in time linear in their
/// number. Loads the dialects it needs into `context`.
Result<mlir::OwningOpRef<mlir::ModuleOp>> importModel(const Checkpoint &checkpoint,
                                                      mlir::MLIRContext &context,
                                                      const ImportOptions &options = {});

} // namespace moec

#endif // MOEC_FRONTENDS_MODELS_IMPORT_H
