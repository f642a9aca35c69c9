// The weights of this program: found, checked and mapped, whichever way they were stored.

#ifndef MOEC_RUNTIME_CORE_WEIGHTS_H
#define MOEC_RUNTIME_CORE_WEIGHTS_H

#include "runtime/core/Manifest.h"
#include "runtime/core/Result.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace moec {

/// The path of the program that runs, links resolved; as it was started where the system does not
/// say.
std::string programPath();

/// Where to look for weights; empty fields mean the places that need no telling.
struct WeightsPlace {
  std::string file = {};      ///< the packed file; then nothing else is tried
  std::string directory = {}; ///< the model's directory, where weights are mapped from it
  std::string program = {}; ///< path of the program that packed files lie beside; default: this one
};

/// Weights that a step can read; mapped, never copied.
class Weights {
public:
  /// Finds what `manifest` calls for. Packed: `place.file`, or beside the program under the
  /// recorded name, then as PROGRAM.weights, then MOEC_WEIGHTS. Mapped: `place.directory`,
  /// MOEC_MODEL_DIR, or where the model was at compile time; links are followed as they were then.
  /// Code::Mismatch where it is missing, cut short or another program's. Code::Usage where `place`
  /// has what the manifest's mode has no use for.
  static Result<std::unique_ptr<Weights>> open(const Manifest &manifest, const WeightsPlace &place);

  virtual ~Weights() = default;

  /// The packed weights; null where they are mapped.
  virtual const uint8_t *packed() const { return nullptr; }
  /// Mapped: where each piece lies, in the manifest's order; else null.
  virtual const uint8_t *const *pieces() const { return nullptr; }
  /// Files that the weights are in; the program itself where they are embedded.
  virtual std::vector<std::string> files() const = 0;
  /// Bytes of weights.
  virtual uint64_t bytes() const = 0;
  /// Reads everything and compares digests: of every byte where weights are packed, of headers and
  /// samples where they are the model's own files. `progress` (may be empty) gets a share from 0 to
  /// 1.
  virtual Status verify(const std::function<void(double)> &progress) const = 0;

  Weights() = default;
  Weights(const Weights &) = delete;
  Weights &operator=(const Weights &) = delete;
};

} // namespace moec

#endif // MOEC_RUNTIME_CORE_WEIGHTS_H
