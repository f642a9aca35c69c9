// The lanes of a warp, and the matrix instructions that they execute together.

#ifndef MOEC_RUNTIME_EMULATOR_WARPS_H
#define MOEC_RUNTIME_EMULATOR_WARPS_H

#include "runtime/emulator/Launch.h"

namespace moec::emulator {

struct WarpLanes {
  WarpLanes(Block &block, uint32_t warp);

  Thread *threads[kWarpLanes] = {}; ///< null beyond the block's end
  uint32_t present = 0, live = 0;

  template <typename Function> void eachThread(uint32_t lanes, Function function) const {
    for (uint32_t lane = 0; lane < kWarpLanes; ++lane)
      if (lanes >> lane & 1)
        function(*threads[lane]);
  }
  /// Of lanes that wait in a call: function(lane, call).
  template <typename Function> void each(uint32_t lanes, Function function) const {
    eachThread(lanes, [&](Thread &thread) { function(thread.lane(), *thread.call); });
  }
};

/// ldmatrix and stmatrix, by all lanes.
void moveMatrices(Launch &launch, const WarpLanes &warp, uint32_t lanes);
/// mma.sync, by all lanes.
void multiplyMatrices(const WarpLanes &warp);

} // namespace moec::emulator

#endif // MOEC_RUNTIME_EMULATOR_WARPS_H
