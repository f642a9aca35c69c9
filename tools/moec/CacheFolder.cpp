// The cache's place, and the ages of its entries by their files' times.

#include "tools/moec/CacheFolder.h"

#include <chrono>
#include <cstdlib>

using namespace moec;
namespace fs = std::filesystem;

Result<fs::path> moec::cacheFolder() {
  const char *cache = std::getenv("XDG_CACHE_HOME");
  if (cache && fs::path(cache).is_absolute())
    return fs::path(cache) / "moec";
  const char *home = std::getenv("HOME");
  if (home && fs::path(home).is_absolute())
    return fs::path(home) / ".cache" / "moec";
  return Status{Code::Usage, "no folder for the cache: set XDG_CACHE_HOME or HOME to an absolute "
                             "path, or use moec compile"};
}

void moec::noteUse(const fs::path &file) {
  std::error_code ignored;
  fs::last_write_time(file, fs::file_time_type::clock::now(), ignored);
}

bool moec::isRecent(fs::file_time_type last) {
  return last > fs::file_time_type::clock::now() - std::chrono::hours(24 * kDaysKept);
}
