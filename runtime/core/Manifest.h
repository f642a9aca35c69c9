// What a compiled program says of itself: the JSON that the compiler writes and the runtime reads.

#ifndef MOEC_RUNTIME_CORE_MANIFEST_H
#define MOEC_RUNTIME_CORE_MANIFEST_H

#include "runtime/core/Result.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace moec {

/// One MoE layer: its index in the model, its experts, and how many each token picks.
struct ManifestMoeLayer {
  int64_t layer = 0;
  int64_t experts = 0;
  int64_t picked = 0;
};

/// A group of layers whose keys and values live and die together.
struct ManifestCache {
  std::string name;
  std::vector<int64_t> layers = {};
  int64_t bytesPerBlock = 0; ///< of all layers of the group, for `blockTokens` positions
  int64_t window = 0;        ///< a token sees this many positions, itself included; 0: all
  int64_t chunk = 0;         ///< or those from the last multiple of this on; 0: all
  int64_t chosen = 0;        ///< of these it reads this many at most; 0: all

  /// The first position of a sequence that its token at `position` sees; does not descend.
  int64_t oldestSeen(int64_t position) const {
    if (chunk > 0)
      return position / chunk * chunk;
    return window > 0 && position >= window ? position - window + 1 : 0;
  }
  /// Most positions of a sequence of `tokens` that a token sees.
  int64_t mostSeen(int64_t tokens) const {
    int64_t most = chunk > 0 ? chunk : window;
    return most > 0 && most < tokens ? most : tokens;
  }
  /// Blocks that a sequence of `tokens` holds, in a step with `rows` of them. Those behind what is
  /// seen are freed: one more than fit, as it seldom starts at a block.
  int64_t mostBlocks(int64_t tokens, int64_t rows, int64_t blockTokens) const {
    const int64_t held = std::min(tokens, mostSeen(tokens) + rows + blockTokens);
    return (held + blockTokens - 1) / blockTokens;
  }
};

/// Stored matrices that share a name pattern, in the order layers, then experts or heads.
struct ManifestPiece {
  std::string name;    ///< of the weight: `experts.up`
  std::string pattern; ///< of stored tensors; `{l}` stands for a layer, `{e}` for an expert or head
  std::vector<int64_t> layers = {}; ///< empty: one tensor, without `{l}`
  int64_t matricesPerLayer = 0;     ///< one per expert or head; 0: one, that is of neither
  bool areHeads = false;            ///< one per head: a token uses all of a layer's
  std::string stored;               ///< element type, as safetensors names it
  std::vector<int64_t> shape;       ///< of one matrix or vector
  int64_t firstRow = 0;
  int64_t rowsPerMatrix = 0; ///< where all of a layer share a tensor: rows from one to the next
  int64_t matrixBytes = 0;   ///< of one matrix or vector as the program holds it
  bool isMultiplied = false; ///< by a product, which reads all of it; else single rows are read

  int64_t bytes() const { return matrices() * matrixBytes; }
  /// How many there are.
  int64_t matrices() const {
    return std::max<int64_t>(static_cast<int64_t>(layers.size()), 1) *
           std::max<int64_t>(matricesPerLayer, 1);
  }
};

/// Packed matrices of one shape in panels, one after another.
struct ManifestPanels {
  int64_t offset = 0; ///< of the first, in the packed form
  int64_t matrices = 0;
  int64_t matrixBytes = 0;
  int64_t panelBytes = 0; ///< of each panel but the last, which may be narrower
};

enum class WeightsMode { Pack, Embed, Map };
std::string_view weightsModeName(WeightsMode mode);

struct ManifestWeights {
  WeightsMode mode = WeightsMode::Pack;
  uint64_t bytes = 0; ///< of the packed form; 0 where weights are mapped
  std::string digest = {};
  std::string file = {}; ///< recorded name of the side file (pack only)
  std::vector<ManifestPiece> pieces = {};
  std::vector<ManifestPanels> panels = {}; ///< empty where weights are mapped
};

/// What CPUs do of a program for GPUs. Its weights come behind those of the GPU.
struct ManifestHost {
  std::vector<int64_t> layers; ///< whose routed experts they compute
  uint64_t firstByte = 0;      ///< of its weights in the packed form, where nothing is mapped
  uint64_t firstPiece = 0;     ///< of its weights' pieces in the list of them
};

struct ManifestSource {
  std::string path; ///< relative to the model's directory
  uint64_t bytes = 0;
  std::string digest = {};
};

/// A set of instructions that the program has code for.
struct ManifestCpuLevel {
  std::string name;
  std::vector<std::string> features; ///< what a CPU must have; names as in /proc/cpuinfo
};

/// A phase of the step, of a program that was compiled with --profile.
struct ManifestPhase {
  std::string name;  ///< "linear (q_proj, k_proj, v_proj)"
  int64_t bytes = 0; ///< of weights that it reads in a step of one token, each time that it runs
};

/// One size of a graph's input or output.
struct ManifestSize {
  int64_t size = -1;     ///< negative where it is not fixed
  std::string dimension; ///< then its name; empty for an output's that is computed
};

struct ManifestTensor {
  std::string name;
  std::string type; ///< as safetensors names it
  std::vector<ManifestSize> shape = {};
};

/// What a program of a graph of tensors takes and gives.
struct ManifestGraph {
  std::vector<std::string> dimensions; ///< symbolic sizes, each of some input
  std::vector<ManifestTensor> inputs, outputs;
  std::vector<std::string> failures; ///< what may be wrong with inputs, in words
};

struct Manifest {
  static constexpr int64_t supportedFormat = 1;

  std::string name;
  std::vector<std::pair<std::string, std::string>> versions; ///< sorted by name
  std::vector<std::pair<std::string, std::string>> options;  ///< sorted by name
  std::string architecture;
  int64_t vocabulary = 0;
  int64_t hidden = 0;
  int64_t layers = 0;
  int64_t context = 0;
  int64_t queryTile = 0;   ///< most rows in one entry of the step's tiles
  int64_t blockTokens = 0; ///< positions in one cache block
  int64_t stepTokens = 0;  ///< most rows that the runtime puts into one step
  int64_t totalParameters = 0;
  int64_t activeParameters = 0;       ///< read for one token
  std::optional<ManifestGraph> graph; ///< else it is a language model, which all this is about
  std::vector<ManifestMoeLayer> moeLayers;
  std::vector<ManifestCpuLevel> cpuLevels; ///< the least demanding first; none where GPUs do all
  std::vector<std::string> gpus;    ///< architectures, the oldest first; none where CPUs compute
  std::optional<ManifestHost> host; ///< none where GPUs do all, or CPUs
  int64_t deviceMemory = 0;         ///< bytes of a GPU that the program was made to fit; 0: any
  std::vector<ManifestCache> caches;
  std::vector<ManifestPhase> phases; ///< in the order of the step's text; empty without --profile
  ManifestWeights weights;
  std::vector<ManifestSource> sources;
  std::string modelDirectory; ///< map only
  bool followLinks = false;   ///< map only: links of a model's directory may lead anywhere

  /// The largest `picked` of all MoE layers, 0 without any.
  int64_t mostPicked() const;
  /// Bytes of key/value cache when a sequence has `tokens`, in a step with `rows` of them.
  int64_t cacheBytes(int64_t tokens, int64_t rows) const;
  /// Of the packed weights, those that the device has.
  int64_t deviceBytes() const {
    return static_cast<int64_t>(host ? host->firstByte : weights.bytes);
  }
  /// Bytes of the weights that CPUs have of a program for GPUs, and of those that the GPU has.
  int64_t hostWeightBytes() const {
    return host ? bytesOf(std::span(weights.pieces).subspan(host->firstPiece)) : 0;
  }
  int64_t deviceWeightBytes() const { return bytesOf(devicePieces()); }
  /// The pieces of the weights that the device has.
  std::span<const ManifestPiece> devicePieces() const {
    return std::span(weights.pieces).first(host ? host->firstPiece : weights.pieces.size());
  }

private:
  static int64_t bytesOf(std::span<const ManifestPiece> pieces) {
    int64_t bytes = 0;
    for (const ManifestPiece &piece : pieces)
      bytes += piece.bytes();
    return bytes;
  }
};

/// "0 to 3, 7" for 0, 1, 2, 3 and 7.
std::string rangesText(std::span<const int64_t> numbers);

/// Reads and checks a manifest: every field that must be there is, of its type and in bounds, and
/// those that belong together agree. Fails with Code::Mismatch for another format, else with
/// Code::Model naming the field.
Result<Manifest> parseManifest(std::string_view json);

/// The text that `parseManifest` reads; equal manifests give equal bytes.
std::string writeManifest(const Manifest &manifest);

} // namespace moec

#endif // MOEC_RUNTIME_CORE_MANIFEST_H
