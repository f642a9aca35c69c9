// Where moec keeps what it has made, from one call to the next.

#ifndef MOEC_TOOLS_MOEC_CACHEFOLDER_H
#define MOEC_TOOLS_MOEC_CACHEFOLDER_H

#include "runtime/core/Result.h"

#include <filesystem>

namespace moec {

/// The folder of all entries, by the XDG base directory rules: a relative path is as good as none.
Result<std::filesystem::path> cacheFolder();

/// How long an entry is kept that nobody uses.
inline constexpr int kDaysKept = 30;

/// Notes that the entry `file` is used, where the cache may be written.
void noteUse(const std::filesystem::path &file);

/// Whether something that was last used at `last` is to be kept.
bool isRecent(std::filesystem::file_time_type last);

} // namespace moec

#endif // MOEC_TOOLS_MOEC_CACHEFOLDER_H
