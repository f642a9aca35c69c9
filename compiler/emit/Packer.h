// The packer: weights from a checkpoint into the layout of a plan, in parallel and with bounded
// memory.

#ifndef MOEC_COMPILER_EMIT_PACKER_H
#define MOEC_COMPILER_EMIT_PACKER_H

#include "compiler/emit/WeightPlan.h"
#include "frontends/checkpoint/Checkpoint.h"
#include "runtime/core/AtomicFile.h"
#include "runtime/core/PackedFile.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

struct PackOptions {
  unsigned threads = 0;             ///< 0: as many as the CPUs permit, and the memory below
  uint64_t memoryBytes = 128 << 20; ///< bound on all buffers together; one thread is always run
  /// Called with bytes of the blob done and in all; by one thread at a time, of any.
  std::function<void(uint64_t done, uint64_t total)> progress = {};
  std::function<void()> starting = {}; ///< called before a byte is written; not if none has to be
};

/// A weight whose packed elements are not all equal to the stored ones.
struct LossyWeight {
  std::string name;
  std::string_view element; ///< what elements became
  bool overflow = false;    ///< finite elements became infinite
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

/// Bytes that packToFile and packInto write.
uint64_t packedFileBytes(const WeightPlan &plan);

/// Makes the file of packed weights `path` (PackedFile.h). A file that is already there is kept if
/// it was made by an equal plan from the same bytes: its digests are equal, and none of the
/// checkpoint's files was touched since it was written. Code::Resource, naming --weights=map, where
/// the disk is too full.
Result<PackReport> packToFile(const Checkpoint &checkpoint, const WeightPlan &plan,
                              const std::string &path, const PackOptions &options = {});

/// Writes the same into the unfinished output `file`, from byte `begin` on: for `embed`.
Result<PackReport> packInto(const Checkpoint &checkpoint, const WeightPlan &plan,
                            const AtomicFile &file, uint64_t begin,
                            const PackOptions &options = {});

} // namespace moec

#endif // MOEC_COMPILER_EMIT_PACKER_H
