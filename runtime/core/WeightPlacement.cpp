// Goes through the matrices as the tiles of a step do.

#include "runtime/core/WeightPlacement.h"

#include "runtime/core/PackedLayout.h"
#include "runtime/core/Safetensors.h"
#include "runtime/cpu/NodeMemory.h"

#include <algorithm>
#include <mutex>

namespace moec {

static constexpr int64_t largePage = INT64_C(2) << 20;

/// Mapped matrices: rows as they are stored, of which a panel is 48.
static void addStored(const ManifestPiece &piece, const uint8_t *const *pointers, size_t count,
                      std::vector<PanelMatrix> &matrices) {
  int64_t rowBytes = piece.shape.back() * dataTypeBits(*parseDataType(piece.stored)) / 8;
  for (size_t index = 0; index < count; ++index) {
    int64_t before = matrices.empty() ? 0 : matrices.back().before + matrices.back().bytes;
    matrices.push_back(
        {pointers[index], piece.shape.front() * rowBytes, kPanelColumns * rowBytes, before});
  }
}

std::vector<PanelMatrix> panelMatrices(const Manifest &manifest, const Weights &weights) {
  std::vector<PanelMatrix> matrices;
  if (const uint8_t *packed = weights.packed()) {
    for (const ManifestPanels &stack : manifest.weights.panels)
      for (int64_t index = 0; index < stack.matrices; ++index) {
        int64_t offset = stack.offset + index * stack.matrixBytes;
        matrices.push_back({packed + offset, stack.matrixBytes, stack.panelBytes, offset});
      }
    return matrices;
  }
  const uint8_t *const *pointers = weights.pieces();
  const ManifestPiece *firstOfHost =
      manifest.weights.pieces.data() + (manifest.host ? manifest.host->firstPiece : 0);
  for (const ManifestPiece &piece : manifest.weights.pieces) {
    const auto count = static_cast<size_t>(piece.matrices());
    if (piece.isMultiplied && &piece >= firstOfHost)
      addStored(piece, pointers, count, matrices);
    pointers += count;
  }
  return matrices;
}

void forEachPart(const PanelMatrix &matrix, const NodeUse &use,
                 const std::function<void(const uint8_t *, const uint8_t *, size_t)> &place) {
  const uint8_t *end = matrix.base + matrix.bytes;
  if (use.policy == NumaPolicy::Interleave) {
    for (int64_t begin = matrix.before, last = begin + matrix.bytes; begin < last;) {
      int64_t number = begin / largePage, next = std::min((number + 1) * largePage, last);
      const uint8_t *base = matrix.base - matrix.before;
      place(base + begin, base + next, number % use.memory().size());
      begin = next;
    }
    return;
  }
  int64_t threads = 0, before = 0;
  for (int64_t count : use.split.threads)
    threads += count;
  for (size_t node = 0; node < use.split.nodes.size(); ++node) {
    int64_t first = sliceBegin(matrix.panels(), before, threads) * matrix.panelBytes;
    before += use.split.threads[node];
    int64_t last = sliceBegin(matrix.panels(), before, threads) * matrix.panelBytes;
    place(matrix.base + first, std::min(matrix.base + last, end), node);
  }
}

WeightPlacement placeWeights(const std::vector<PanelMatrix> &matrices, const NodeUse &use,
                             Threads &threads) {
  struct Job {
    const std::vector<PanelMatrix> &matrices;
    const NodeUse &use;
    int64_t threads;
    std::mutex lock = {};
    WeightPlacement sum = {};
  } job{matrices, use, threads.count()};
  threads.run(
      [](void *context, int64_t thread) {
        Job &job = *static_cast<Job *>(context);
        const NodeUse &use = job.use;
        bool isSplit = use.policy == NumaPolicy::Split;
        // The threads that share the matrices: those of a node, or all.
        size_t node = 0;
        int64_t place = thread, among = job.threads;
        if (isSplit) {
          while (place >= use.split.threads[node])
            place -= use.split.threads[node++];
          among = use.split.threads[node];
        }
        PagePlacer placer;
        for (size_t index = place; index < job.matrices.size(); index += among)
          forEachPart(job.matrices[index], use,
                      [&](const uint8_t *begin, const uint8_t *end, size_t part) {
                        if (!isSplit || part == node)
                          placer.place(begin, end, use.memory()[part].number);
                      });
        std::lock_guard<std::mutex> guard(job.lock);
        job.sum.placedBytes += placer.placedBytes();
        job.sum.strayBytes += placer.strayBytes();
        if (placer.error())
          job.sum.error = placer.error();
      },
      &job);
  return job.sum;
}

} // namespace moec
