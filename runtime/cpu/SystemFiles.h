// Reads what the system says of itself in /proc and /sys.

#ifndef MOEC_RUNTIME_CPU_SYSTEM_FILES_H
#define MOEC_RUNTIME_CPU_SYSTEM_FILES_H

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// The first 16 KiB of a file; empty where it cannot be read.
std::string readSmallFile(const std::string &path);

/// The number that `text` begins with; nothing where there is none, such as in "max".
std::optional<double> numberIn(const std::string &text);

/// Of a file of lines "NAME NUMBER" or "NAME: NUMBER UNIT" the number of `name`, given with what
/// stands between.
std::optional<double> fieldIn(const std::string &text, std::string_view name);

/// The numbers of a list such as "0-3,8"; what comes behind anything else is left out.
std::vector<int> parseNumberList(std::string_view text);

} // namespace moec

#endif // MOEC_RUNTIME_CPU_SYSTEM_FILES_H
