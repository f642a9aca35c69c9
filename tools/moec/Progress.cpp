// Rewrites one line of a terminal.

#include "tools/moec/Progress.h"

#include "tools/moec/TextOutput.h"

#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <unistd.h>

using namespace moec;

static bool isTerminal() {
  const char *kind = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) && kind && std::strcmp(kind, "dumb") != 0;
}

Progress::Progress() : shown(isTerminal()) {}

Progress::~Progress() { clear(); }

void Progress::start(std::string name) {
  if (!shown)
    return;
  std::lock_guard<std::mutex> lock(mutex);
  step = std::move(name);
  lastPercent = -1;
  onLine = true;
  writeMessage(fmt::format("\r\033[K{} ...", step));
}

void Progress::advance(uint64_t done, uint64_t total) {
  if (!shown || total == 0)
    return;
  int percent = static_cast<int>(static_cast<double>(done) / static_cast<double>(total) * 100);
  std::lock_guard<std::mutex> lock(mutex);
  if (percent == lastPercent)
    return;
  lastPercent = percent;
  onLine = true;
  writeMessage(fmt::format("\r\033[K{} {} % ({} of {})", step, percent, formatBytes(done),
                           formatBytes(total)));
}

void Progress::clear() {
  std::lock_guard<std::mutex> lock(mutex);
  if (!onLine)
    return;
  onLine = false;
  writeMessage("\r\033[K");
}

std::string moec::formatBytes(uint64_t bytes) {
  const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
  double amount = static_cast<double>(bytes);
  size_t unit = 0;
  while (amount >= 1000 && unit + 1 < std::size(units)) {
    amount /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} bytes", bytes) : fmt::format("{:.1f} {}", amount, units[unit]);
}
