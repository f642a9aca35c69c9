// How many bytes and operations a token costs, by the manifest.

#ifndef MOEC_RUNTIME_PROGRAM_TRAFFIC_H
#define MOEC_RUNTIME_PROGRAM_TRAFFIC_H

#include "runtime/core/Manifest.h"

namespace moec {

/// The cost of one step.
struct Traffic {
  double bytes = 0;      ///< weights and cache read from memory, each once
  double operations = 0; ///< of products with weights; a multiply-add counts as two
};

/// The cost of a step of `tokens` rows, of `sequences` sequences that have `depth` tokens before
/// and ask for one row of logits each. Experts are taken as chosen at random.
Traffic stepTraffic(const Manifest &manifest, int64_t tokens, int64_t depth, int64_t sequences = 1);

} // namespace moec

#endif // MOEC_RUNTIME_PROGRAM_TRAFFIC_H
