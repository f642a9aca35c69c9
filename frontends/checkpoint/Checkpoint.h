// A model directory: its config, and where every tensor lies. Reads headers only.

#ifndef MOEC_FRONTENDS_CHECKPOINT_CHECKPOINT_H
#define MOEC_FRONTENDS_CHECKPOINT_CHECKPOINT_H

#include "frontends/checkpoint/Config.h"
#include "frontends/checkpoint/WeightIndex.h"
#include "runtime/core/Safetensors.h"

#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

struct CheckpointOptions {
  bool headersOnly = false; ///< files may end anywhere after their header
  bool followLinks = false; ///< links may lead anywhere
};

/// One file of tensors.
struct CheckpointFile {
  std::string name; ///< as the index spells it, relative to the directory
  std::string path; ///< to open it by, links resolved
  uint64_t bytes = 0;
  uint64_t dataStart = 0; ///< length of its header
};

/// Where one tensor lies, and what it is; name and shape belong to the Checkpoint.
struct CheckpointTensor {
  std::string_view name;
  uint32_t file = 0; ///< in Checkpoint::files()
  DataType type = DataType::F32;
  std::span<const int64_t> shape;
  uint64_t offset = 0; ///< of the first byte, in the file
  uint64_t bytes = 0;
};

/// A tensor for Checkpoint::ofTensors().
struct TensorPlace {
  std::string_view name;
  uint32_t file = 0;
  DataType type = DataType::F32;
  std::vector<int64_t> shape;
  uint64_t offset = 0, bytes = 0;
};

/// An opened model directory; immutable.
class Checkpoint {
public:
  /// The tensors of a safetensors file, without config.
  static Result<Checkpoint> openTensors(const std::string &path);
  /// Tensors of different names in files that were looked at before, without config. Names are
  /// copied.
  static Result<Checkpoint> ofTensors(std::string directory, std::vector<CheckpointFile> files,
                                      std::span<const TensorPlace> tensors);
  /// Opens config.json and model.safetensors, or the files that model.safetensors.index.json lists.
  static Result<Checkpoint> open(const std::string &directory,
                                 const CheckpointOptions &options = {});

  Checkpoint(Checkpoint &&) = default;
  Checkpoint &operator=(Checkpoint &&) = default;

  const std::string &directory() const { return root; }
  const Config &config() const { return settings; }
  std::span<const CheckpointFile> files() const { return shards; }
  /// In the order of files, and in each of its data.
  std::span<const CheckpointTensor> tensors() const { return table; }
  bool headersOnly() const { return partial; }

  /// The tensor of that name, or null.
  const CheckpointTensor *find(std::string_view name) const;
  /// The tensor of that name and shape; else Code::Model, naming the nearest present name, or what
  /// was found and wanted and in which file.
  Result<const CheckpointTensor *> require(std::string_view name,
                                           std::span<const int64_t> shape) const;

private:
  Checkpoint() = default;
  Status addFile(const std::string &name, const CheckpointOptions &options);
  Status indexNames();
  Status checkIndex(const WeightIndex &index) const;
  /// The slot of the tensor of that name, or the free one where it would be.
  size_t slotOf(std::string_view name) const;

  std::string root;
  Config settings;
  std::vector<CheckpointFile> shards;
  std::vector<CheckpointTensor> table;
  // What the table points into: the names in each shard, one after another, and all shapes.
  std::vector<std::vector<char>> names;
  std::set<std::vector<int64_t>> shapes;
  /// Where a name lies in the table: at the place that its hash says, or the next that is free. (A
  /// map takes some 60 bytes a tensor, this 8 to 16, and the largest models have 180,000.)
  std::vector<uint32_t> slots;
  bool partial = false;
};

/// The contents of a file of a model directory, of at most `limit` bytes; none where there is no
/// such file. Links are followed as in Checkpoint::open.
Result<std::optional<std::string>> readOptional(const std::string &directory, const char *name,
                                                uint64_t limit, bool followLinks);

} // namespace moec

#endif // MOEC_FRONTENDS_CHECKPOINT_CHECKPOINT_H
