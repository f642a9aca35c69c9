// Where the weights' pages lie, where memory has several nodes.

#ifndef MOEC_RUNTIME_CORE_WEIGHT_PLACEMENT_H
#define MOEC_RUNTIME_CORE_WEIGHT_PLACEMENT_H

#include "runtime/core/Weights.h"
#include "runtime/cpu/Threads.h"

#include <functional>
#include <vector>

namespace moec {

/// A matrix in memory that a step's tiles read panel by panel.
struct PanelMatrix {
  const uint8_t *base = nullptr;
  int64_t bytes = 0;
  int64_t panelBytes = 0; ///< of each panel but the last, which may be narrower
  int64_t before = 0;     ///< bytes of weights in front of it, the same in every run

  int64_t panels() const { return (bytes + panelBytes - 1) / panelBytes; }
};

/// Those of `weights`, which `manifest` describes. Vectors are not among them, nor are tables of
/// which a token needs one row; the router's matrix is, as the few bytes that it has matter little.
std::vector<PanelMatrix> panelMatrices(const Manifest &manifest, const Weights &weights);

/// Calls `place(begin, end, node)` for the parts of `matrix` that lie on each node, an index into
/// `use.memory()`: by NumaPolicy::Split the panels whose tiles
/// are the node's threads', by Interleave stretches of the size of a large page, by turns: the same
/// ones in every run, so that nothing has to move.
void forEachPart(const PanelMatrix &matrix, const NodeUse &use,
                 const std::function<void(const uint8_t *, const uint8_t *, size_t)> &place);

/// What came of it.
struct WeightPlacement {
  int64_t placedBytes = 0;
  int64_t strayBytes = 0; ///< of these, on another node than wanted
  int error = 0;          ///< errno of what the system does not do for this process, else 0
};

/// Reads the matrices and puts them on nodes, on all threads at once, each for its own node; what
/// the system does not place is not read either.
/// A page lies on one node as a whole: the one that the byte at which it begins belongs to. So
/// slices of less than a page (4 KiB; or a large page, where the file system has the file in such)
/// cannot be told apart, and their matrices lie together; in a model whose weights are worth
/// placing, a node's slice of one expert's matrix has several hundred KiB.
WeightPlacement placeWeights(const std::vector<PanelMatrix> &matrices, const NodeUse &use,
                             Threads &threads);

} // namespace moec

#endif // MOEC_RUNTIME_CORE_WEIGHT_PLACEMENT_H
