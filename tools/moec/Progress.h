// How far a long step is: one line on stderr, rewritten, and only where that is a terminal.

#ifndef MOEC_TOOLS_MOEC_PROGRESS_H
#define MOEC_TOOLS_MOEC_PROGRESS_H

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace moec {

class Progress {
public:
  Progress();
  /// Takes the line away.
  ~Progress();
  Progress(const Progress &) = delete;
  Progress &operator=(const Progress &) = delete;

  /// Starts a step: "linking".
  void start(std::string step);
  /// Bytes of the step that are done, of how many. Any thread may call this.
  void advance(uint64_t done, uint64_t total);
  /// Takes the line away until the next call, so that something else can be printed.
  void clear();

private:
  const bool shown;
  std::mutex mutex;
  std::string step;
  int lastPercent = -1;
  bool onLine = false;
};

/// "3.1 GB"; decimal units.
std::string formatBytes(uint64_t bytes);

} // namespace moec

#endif // MOEC_TOOLS_MOEC_PROGRESS_H
