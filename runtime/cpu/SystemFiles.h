// Reads what the system says of itself in /proc and /sys.

#ifndef MOEC_RUNTIME_CPU_SYSTEM_FILES_H
#define MOEC_RUNTIME_CPU_SYSTEM_FILES_H

#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// The first 16 KiB of a file; empty where it cannot be read.
std::string readSmallFile(const std::string &path);

/// The numbers of a list such as "0-3,8"; what comes behind anything else is left out.
std::vector<int> parseNumberList(std::string_view text);

} // namespace moec

#endif // MOEC_RUNTIME_CPU_SYSTEM_FILES_H
