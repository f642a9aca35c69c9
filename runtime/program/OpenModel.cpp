// Opens the program's own model by the options that all commands share.

#include "runtime/program/Commands.h"

namespace moec {

Result<std::unique_ptr<Model>> openModel(const OpenOptions &options) {
  ModelOptions model;
  model.weights.file = options.weightsFile;
  model.weights.directory = options.modelDirectory;
  model.threads = options.threads;
  model.context = options.context;
  return Model::open(model);
}

} // namespace moec
