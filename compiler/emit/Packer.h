// The packer: weights from a checkpoint into the layout of a plan, in parallel and with bounded
// memory.

#ifndef MOEC_COMPILER_EMIT_PACKER_H
#define MOEC_COMPILER_EMIT_PACKER_H

#include "compiler/emit/WeightPlan.h"
#include "frontends/checkpoint/Checkpoint.h"
#include "runtime/core/PackedFile.h"

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace moec {

struct PackOptions {
  unsigned threads = 0;             ///< 0: as many as the CPUs permit, and the memory below
  uint64_t memoryBytes = 128 << 20; ///< bound on all buffers together; one thread is always run
  /// Called with bytes of the blob done and in all; by one thread at a time, of any.
  std::function<void(uint64_t done, uint64_t total)> progress;
};

/// A weight whose packed elements are not all equal to the stored ones.
struct LossyWeight {
  std::string name;
  PackedElement element = PackedElement::F32;
  bool overflow = false; ///< finite elements became infinite
};

struct PackReport {
  bool reused = false; ///< the file was there already; `lossy` is not known then
  uint64_t bytes = 0;  ///< of the blob
  std::string digest;  ///< as the manifest spells it: packedWeightsDigest
  std::vector<LossyWeight> lossy;
  std::vector<PackedChunk> chunks;
};

/// Digests of the checkpoint's files, in their order.
Result<std::vector<SourceDigest>> digestSources(const Checkpoint &checkpoint);

/// Bytes of the file that packToFile makes.
uint64_t packedFileBytes(const WeightPlan &plan);

/// Makes the file of packed weights `path` (PackedFile.h). A file that is already there is kept if
/// it was made by an equal plan from the same bytes: its digests are equal, and none of the
/// checkpoint's files was touched since it was written. Code::Resource, naming --weights=map, where
/// the disk is too full.
Result<PackReport> packToFile(const Checkpoint &checkpoint, const WeightPlan &plan,
                              const std::string &path, const PackOptions &options = {});

/// Takes bytes of the blob at an offset; called by several threads at once, each byte once.
using PackSink = std::function<Status(uint64_t offset, std::span<const uint8_t> bytes)>;

/// Makes the blob alone and hands it to `sink`, every byte once, padding included: for `embed`.
Result<PackReport> packToSink(const Checkpoint &checkpoint, const WeightPlan &plan,
                              const PackSink &sink, const PackOptions &options = {});

/// packToSink into an open file, from byte `offset` on.
Result<PackReport> packToDescriptor(const Checkpoint &checkpoint, const WeightPlan &plan, int fd,
                                    uint64_t offset, const std::string &name,
                                    const PackOptions &options = {});

} // namespace moec

#endif // MOEC_COMPILER_EMIT_PACKER_H
