// A compiled graph of tensors that is open: tensors in, tensors out.

#ifndef MOEC_RUNTIME_CORE_GRAPH_H
#define MOEC_RUNTIME_CORE_GRAPH_H

#include "runtime/core/Model.h"

#include <memory>
#include <span>
#include <vector>

namespace moec {

/// What a graph is given for an input: rows one after another. Elements are at multiples of their
/// size, and a boolean is a byte, 0 or 1.
struct GraphInput {
  std::vector<int64_t> shape;
  std::span<const uint8_t> data;
};

/// The graph that is linked into this program: manifest, weights and threads.
class Graph {
public:
  /// Code::Usage where the program is a language model.
  static Result<std::unique_ptr<Graph>> open(const ModelOptions &options);

  const Manifest &manifest() const { return description; }
  const ManifestGraph &signature() const { return *description.graph; }

  /// Computes the outputs of `inputs`, which are in the signature's order. One call at a time.
  /// Code::Usage, naming the input, where a shape does not fit the signature or another input's;
  /// Code::Resource without memory.
  Status run(std::span<const GraphInput> inputs);

  /// Of the last run, valid until the next: the shape of an output, and its elements.
  std::span<const int64_t> shape(size_t output) const { return results[output].shape; }
  std::span<const uint8_t> data(size_t output) const;

private:
  struct Output {
    std::vector<int64_t> shape;
    int64_t elementBytes = 0;
    std::unique_ptr<PageBuffer> room;
  };

  explicit Graph(Manifest manifest) : description(std::move(manifest)) {}
  Status bindDimensions(std::span<const GraphInput> inputs);
  Status makeRoom(size_t output);
  void finishShape(size_t output);

  Manifest description;
  size_t levelIndex = 0;
  std::unique_ptr<Weights> weights;
  std::vector<int64_t> dimensions, sizes;
  std::vector<const uint8_t *> inputPlaces;
  std::vector<uint8_t *> outputPlaces;
  std::vector<Output> results;
  int64_t failure = 0; ///< its number in the signature, from 1 on
  moec_graph_arguments given = {};
  PageBuffer arena;
  std::unique_ptr<Threads> pool; ///< last, as its threads read the above
};

} // namespace moec

#endif // MOEC_RUNTIME_CORE_GRAPH_H
