// Launches as graphs: those of a step that comes again cost one call of the driver.

#ifndef MOEC_RUNTIME_DEVICE_CUDAGRAPHS_H
#define MOEC_RUNTIME_DEVICE_CUDAGRAPHS_H

#include "runtime/device/CudaDriver.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

namespace moec {

/// Launches one after another, in one piece of memory.
class LaunchList {
public:
  void add(int64_t kernel, int64_t blocks, std::span<const uint8_t> arguments) {
    const Header header{kernel, blocks, arguments.size()};
    append(&header, sizeof header);
    append(arguments.data(), arguments.size());
  }
  bool empty() const { return bytes.empty(); }
  void clear() { bytes.clear(); }
  bool operator==(const LaunchList &other) const = default;
  size_t size() const { return bytes.size(); }
  /// Equal for equal lists, and hardly ever for others.
  size_t hash() const {
    return std::hash<std::string_view>()(
        {reinterpret_cast<const char *>(bytes.data()), bytes.size()});
  }

  /// Calls launch(kernel, blocks, arguments), which gives a CudaStatus, for each until one fails.
  template <typename Function> CudaStatus each(Function launch) const {
    CudaStatus status = 0;
    for (size_t at = 0; status == 0 && at < bytes.size();) {
      Header header;
      memcpy(&header, bytes.data() + at, sizeof header);
      at += sizeof header;
      status = launch(header.kernel, header.blocks, std::span(bytes).subspan(at, header.size));
      at += header.size;
    }
    return status;
  }

private:
  struct Header {
    int64_t kernel, blocks;
    uint64_t size; ///< of the arguments, in bytes
  };
  void append(const void *from, size_t size) {
    const auto *first = static_cast<const uint8_t *>(from);
    bytes.insert(bytes.end(), first, first + size);
  }

  std::vector<uint8_t> bytes;
};

/// The graphs of lists that came again. The driver and the stream must outlive it.
class CudaGraphs {
public:
  explicit CudaGraphs(const CudaDriver &driver) : driver(driver) {}
  ~CudaGraphs();
  CudaGraphs(const CudaGraphs &) = delete;
  CudaGraphs &operator=(const CudaGraphs &) = delete;

  /// Has `list` run in `stream`: the first time by launch() for each of its launches; when it comes
  /// again, equal to the byte, as a graph that is then made of these.
  template <typename Function>
  CudaStatus run(const LaunchList &list, CudaStream *stream, Function launch) {
    Entry *entry = find(list);
    if (!entry) {
      remember(list);
      return list.each(launch);
    }
    if (!entry->graph) {
      CudaStatus status = driver.StreamBeginCapture_v2(stream, kThreadLocal);
      if (status == 0)
        status = list.each(launch);
      if (status = finishCapture(*entry, stream, status); status != 0)
        return status;
    }
    return driver.GraphLaunch(entry->graph, stream);
  }

private:
  /// More than a program's steps are likely to go round among. A step is one list, or, where CPUs
  /// do a part of it, several short ones.
  static constexpr size_t kMostEntries = 1024, kMostBytes = size_t(2) << 20;
  static constexpr int kThreadLocal = 1; ///< a capture that minds calls of its own thread only

  struct Entry {
    LaunchList list;
    size_t hash = 0;
    uint64_t lastUse = 0;           ///< by the count of uses
    CudaGraphExec *graph = nullptr; ///< once it has come again
  };
  Entry *find(const LaunchList &list);
  void remember(const LaunchList &list);
  /// Ends a capture in which `status` was the first failure, and keeps what was captured.
  CudaStatus finishCapture(Entry &entry, CudaStream *stream, CudaStatus status);
  void forget(Entry &entry);

  const CudaDriver &driver;
  std::vector<Entry> entries;
  size_t heldBytes = 0; ///< of their lists
  uint64_t uses = 0;
};

} // namespace moec

#endif // MOEC_RUNTIME_DEVICE_CUDAGRAPHS_H
