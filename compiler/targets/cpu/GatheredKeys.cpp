// Sixteen rows by sixteen columns at a time.

#include "compiler/targets/cpu/GatheredKeys.h"

using namespace mlir;
using namespace moec;

void moec::emitTranspose(CpuKernelBuilder &kernel, SmallVectorImpl<Value> &vectors) {
  for (int64_t step = 1; step < kLanes; step *= 2)
    for (int64_t i = 0; i < kLanes; ++i) {
      if (i & step)
        continue;
      SmallVector<int64_t> low, high;
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        low.push_back(lane & step ? kLanes + lane - step : lane);
        high.push_back(lane & step ? kLanes + lane : lane + step);
      }
      Value a = vectors[i], b = vectors[i + step];
      vectors[i] = kernel.shuffle(a, b, low);
      vectors[i + step] = kernel.shuffle(a, b, high);
    }
}

void moec::emitGatheredColumns(CpuKernelBuilder &kernel, Type element, ArrayRef<Value> rows,
                               int64_t begin, int64_t end, Value keys, Value values,
                               int64_t block) {
  Type floats = kernel.lanes(kernel.f32());
  auto layOut = [&](Value column, int64_t lanes) {
    SmallVector<Value> vectors;
    for (Value row : rows)
      vectors.push_back(
          kernel.widen(kernel.loadLanes(element, kernel.address(row, element, column), lanes)));
    Value panel = kernel.mul(kernel.div(column, kernel.integer(kLanes)), kernel.integer(block));
    for (size_t row = 0; values && row < vectors.size(); ++row)
      kernel.store(vectors[row],
                   kernel.address(values, floats,
                                  kernel.add(panel, kernel.integer(static_cast<int64_t>(row)))));
    if (!keys)
      return;
    emitTranspose(kernel, vectors);
    for (int64_t i = 0; i < lanes; ++i)
      kernel.store(vectors[i], kernel.address(keys, floats, kernel.add(column, kernel.integer(i))));
  };
  const int64_t rest = (end - begin) % kLanes, whole = end - rest;
  kernel.loop(kernel.integer(begin), kernel.integer(whole), kLanes,
              [&](Value column) { layOut(column, kLanes); });
  if (rest > 0)
    layOut(kernel.integer(whole), rest);
}
