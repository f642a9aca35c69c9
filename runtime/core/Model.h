// A compiled model that is open, and sequences of tokens that it reads.

#ifndef MOEC_RUNTIME_CORE_MODEL_H
#define MOEC_RUNTIME_CORE_MODEL_H

#include "runtime/core/Batch.h"
#include "runtime/core/KvCache.h"
#include "runtime/core/Manifest.h"
#include "runtime/core/PageBuffer.h"
#include "runtime/core/Profile.h"
#include "runtime/core/Result.h"
#include "runtime/core/Weights.h"
#include "runtime/cpu/Threads.h"
#include "runtime/device/DeviceStep.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace moec {

class Model;

/// What a model is opened with; zero and empty ask for the default.
struct ModelOptions {
  WeightsPlace weights = {};
  int64_t threads = 0; ///< the physical cores that the process may use
  int64_t context = 0; ///< positions per sequence; at most and by default the model's
  DeviceChoice device = DeviceChoice::Default;
  /// Gets a share from 0 to 1 while weights are copied to a device.
  std::function<void(double)> progress = {};
  NumaPolicy numa = NumaPolicy::Default;
  bool bindsCaller = false; ///< the calling thread, which takes part in steps, is ours to bind
  std::string root = {}; ///< put in front of /proc and /sys where CPUs, nodes and memory are read
};

/// Tokens that the model has read, as the keys and values of its layers. The model must outlive it.
class Sequence {
public:
  explicit Sequence(Model &model);

  /// Tokens read so far: the position of the next one.
  int64_t position() const { return next; }

  /// Forgets the tokens from `position` on. False where a sliding window no longer holds what the
  /// next token would see; all is forgotten then.
  bool rewind(int64_t position);

private:
  friend class Model;

  CacheBlocks blocks;
  int64_t next = 0;
};

/// Tokens for one sequence to read, and where results go.
struct Feed {
  Sequence *sequence = nullptr;
  std::span<const int32_t> tokens;
  int64_t outputs = 0;     ///< the last that many tokens give logits
  float *logits = nullptr; ///< outputs x vocabulary
  /// In place of logits, where the model gives them: outputs x Model::largestPerRow().
  moec_largest *largest = nullptr;
  /// Null, or MoE layers x tokens x Manifest::mostPicked(); both or neither.
  int32_t *experts = nullptr;
  float *expertWeights = nullptr;
};

/// How a feed is carried out; none of it changes a result.
struct FeedOptions {
  int64_t chunk = 0;        ///< most tokens of a sequence in one step; 0: as many as fit
  bool (*stop)() = nullptr; ///< asked between steps; true ends the feed with Code::Interrupted
};

/// The model that is linked into this program: manifest, weights, threads and caches.
class Model {
public:
  static Result<std::unique_ptr<Model>> open(const ModelOptions &options);

  const Manifest &manifest() const { return description; }
  const Weights &weights() const { return *openWeights; }
  int64_t threads() const { return pool->count(); }
  /// The CPU level or GPU architecture whose code runs.
  std::string_view level() const;
  /// What computes the steps; null where CPUs do.
  const Device *device() const { return opening.device.get(); }
  /// Positions that a sequence can have.
  int64_t context() const { return positions; }
  /// Most tokens that one step reads. On a device the manifest's number is halved until a step of
  /// one sequence works in a quarter of the memory that the weights leave free, and again whenever
  /// a step finds less.
  int64_t stepTokens() const { return stepRows; }
  /// Bytes of the key/value cache in use, and of what a step works in.
  int64_t cacheBytes() const;
  int64_t arenaBytes() const { return onDevice ? onDevice->arenaBytes() : arena.size(); }
  /// What became of the nodes of memory.
  const NodeUse &nodes() const { return nodeUse; }
  /// What users should know of how the model was opened, in a line: which of this was not possible,
  /// or which GPUs were passed over. May be empty.
  const std::string &openNotice() const { return notice; }
  Threads &threadPool() { return *pool; }
  /// Of all steps since it was cleared last; null without --profile.
  Profile *profile() {
    if (noted)
      pool->settle(); // a late thread may be writing to it
    return noted.get();
  }

  /// Reads all `feeds`, each of another sequence, in as few steps as the options allow. One call at
  /// a time. On failure every sequence is as it was: Code::Usage for a token that the vocabulary
  /// lacks or more tokens than the context holds, Code::Resource without memory. Allocates nothing
  /// but cache blocks, and what a larger step than any before needs.
  Status feed(std::span<const Feed> feeds, const FeedOptions &options = {});

  /// Entries of the largest logits of a token (Step.h); 0 where feeds are given all of them.
  int64_t largestPerRow() const;
  /// All logits of the last token of a feed that had the last step for itself, and asked for the
  /// largest.
  Status lastLogits(float *to);

private:
  friend class Sequence;

  explicit Model(Manifest manifest)
      : description(std::move(manifest)), cache(description.caches, description.blockTokens),
        batch(description.queryTile) {}
  Status check(std::span<const Feed> feeds) const;
  Status runSteps(std::span<const Feed> feeds, const FeedOptions &options);
  /// One feed's part of a step: tokens [begin, end), the last `outputs` of which give logits.
  struct Share {
    const Feed *feed;
    int64_t begin, end, outputs;
  };
  Status runStep(bool routing);
  Status placeResults(moec_step_arguments &arguments, const Share *only);
  void returnResults(const moec_step_arguments &arguments, const Share *only);
  Status compute(moec_step_arguments arguments);
  int64_t routingBytes(int64_t tokens) const;
  Status openDevice(const ModelOptions &options);
  Status openHostPart(const ModelOptions &options);
  int64_t roomyStep() const;
  Status openCpus(const ModelOptions &options);
  void useNodes(const ModelOptions &options);

  Manifest description;
  size_t levelIndex = 0;
  int64_t positions = 0;
  int64_t stepRows = 0;
  std::unique_ptr<Weights> openWeights;
  NodeUse nodeUse;
  NodeSet memoryNodes; ///< over which what steps work in is spread
  std::string notice;
  std::unique_ptr<Profile> noted;
  std::unique_ptr<Threads> pool;  ///< its threads may still go through a step that is over
  DeviceOpening opening;          ///< without a device where CPUs compute
  std::optional<HostPart> onHost; ///< of a device's step
  std::optional<DeviceStep> onDevice;
  KvCache cache;
  Batch batch;
  PageBuffer arena, logits, largest, experts, expertWeights;
  int64_t lastOutputs = 0; ///< rows of the last step that gave logits
  // Kept from feed to feed, so that a step allocates nothing.
  std::vector<int64_t> starts; ///< where each feed's sequence was
  std::vector<Share> shares;   ///< of the step at hand
};

/// The manifest that is linked into this program.
Result<Manifest> programManifest();

/// Which of the manifest's CPU levels runs here: the one that MOEC_CPU names, else the last that
/// this CPU has all features of. Code::Usage for a name that the program has no level of,
/// Code::Mismatch where the CPU lacks what the level needs.
Result<size_t> chooseCpuLevel(const Manifest &manifest);

} // namespace moec

#endif // MOEC_RUNTIME_CORE_MODEL_H
