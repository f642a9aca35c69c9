// Keeps the lists that were used last, and captures those that came again.

#include "runtime/device/CudaGraphs.h"

#include <algorithm>

namespace moec {

CudaGraphs::~CudaGraphs() {
  for (Entry &entry : entries)
    forget(entry);
}

void CudaGraphs::forget(Entry &entry) {
  if (entry.graph)
    driver.GraphExecDestroy(entry.graph);
  entry.graph = nullptr;
}

CudaGraphs::Entry *CudaGraphs::find(const LaunchList &list) {
  const size_t hash = list.hash();
  auto found = std::find_if(entries.begin(), entries.end(), [&](const Entry &entry) {
    return entry.hash == hash && entry.list == list;
  });
  if (found == entries.end())
    return nullptr;
  found->lastUse = ++uses;
  return &*found;
}

void CudaGraphs::remember(const LaunchList &list) {
  while (entries.size() == kMostEntries ||
         (!entries.empty() && heldBytes + list.size() > kMostBytes)) {
    auto oldest =
        std::min_element(entries.begin(), entries.end(), [](const Entry &left, const Entry &right) {
          return left.lastUse < right.lastUse;
        });
    forget(*oldest);
    heldBytes -= oldest->list.size();
    entries.erase(oldest);
  }
  entries.push_back({.list = list, .hash = list.hash(), .lastUse = ++uses});
  heldBytes += list.size();
}

CudaStatus CudaGraphs::finishCapture(Entry &entry, CudaStream *stream, CudaStatus status) {
  CudaGraph *captured = nullptr;
  const CudaStatus ended = driver.StreamEndCapture(stream, &captured);
  if (status == 0)
    status = ended;
  if (status == 0)
    status = driver.GraphInstantiateWithFlags(&entry.graph, captured, /*flags=*/0);
  if (captured)
    driver.GraphDestroy(captured);
  return status;
}

} // namespace moec
