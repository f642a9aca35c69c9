// Weights used where the checkpoint has them: files checked against the manifest, mapped, and a
// pointer per piece.

#ifndef MOEC_RUNTIME_CORE_MAPPEDWEIGHTS_H
#define MOEC_RUNTIME_CORE_MAPPEDWEIGHTS_H

#include "runtime/core/File.h"
#include "runtime/core/Manifest.h"
#include "runtime/core/Result.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace moec {

/// The mapped files of a model directory.
class MappedWeights {
public:
  /// Maps `sources` of `directory` and finds `pieces` in them. Code::Mismatch where a file is
  /// missing, or is not the one that the program was compiled from (size and digest), or where a
  /// tensor is not as the piece says. Code::Unsupported, naming --weights=pack, where elements do
  /// not lie at multiples of their size.
  static Result<MappedWeights> open(std::span<const ManifestPiece> pieces,
                                    std::span<const ManifestSource> sources,
                                    const std::string &directory, bool followLinks);

  /// Where each matrix lies: pieces in their order, and of each its layers in theirs, and of each
  /// its experts or heads.
  std::span<const uint8_t *const> pointers() const { return table; }
  /// Paths of the files, links resolved.
  std::span<const std::string> paths() const { return names; }
  /// Bytes of all files.
  uint64_t bytes() const;

private:
  std::vector<MappedFile> files;
  std::vector<std::string> names;
  std::vector<const uint8_t *> table;
};

} // namespace moec

#endif // MOEC_RUNTIME_CORE_MAPPEDWEIGHTS_H
