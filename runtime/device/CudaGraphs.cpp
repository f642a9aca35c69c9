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
  auto found = std::find_if(entries.begin(), entries.end(),
                            [&](const Entry &entry) { return entry.list == list; });
  if (found == entries.end())
    return nullptr;
  std::rotate(found, found + 1, entries.end());
  return &entries.back();
}

void CudaGraphs::remember(const LaunchList &list) {
  if (entries.size() == kMostEntries) {
    forget(entries.front());
    entries.erase(entries.begin());
  }
  entries.push_back({list});
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
