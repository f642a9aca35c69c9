// Looks an address up in the system's list of mappings, by what a handler of signals may call.

#include "runtime/program/MissingPage.h"

#include <climits>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <string_view>
#include <unistd.h>

namespace {

/// Reads /proc/self/maps byte by byte: "BEGIN-END FLAGS OFFSET DEVICE INODE  PATH", in hexadecimal.
class MappingReader {
public:
  explicit MappingReader(const void *address) : wanted(reinterpret_cast<uintptr_t>(address)) {}

  /// Whether `c` ends the line of the mapping with the address.
  bool isFoundAt(char c) {
    if (c == '\n') {
      if (bounds[0] <= wanted && wanted < bounds[1])
        return true;
      bounds[0] = bounds[1] = 0;
      field = length = 0;
    } else if (field < 2 && (c == '-' || c == ' ')) {
      ++field;
    } else if (field < 2) {
      bounds[field] =
          bounds[field] * 16 + static_cast<uintptr_t>(c <= '9' ? c - '0' : c - 'a' + 10);
    } else if ((c == '/' || length > 0) && length < sizeof path) {
      path[length++] = c;
    }
    return false;
  }

  std::string_view found() const { return {path, length}; }

private:
  const uintptr_t wanted;
  uintptr_t bounds[2] = {};
  size_t field = 0; ///< 0 and 1: that bound; 2: what follows
  char path[PATH_MAX];
  size_t length = 0;
};

} // namespace

static void say(std::string_view text) {
  ssize_t ignored = write(STDERR_FILENO, text.data(), text.size());
  static_cast<void>(ignored);
}

void moec::reportMissingPage(const void *address) {
  MappingReader reader(address);
  const int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  char buffer[512];
  bool isFound = false;
  for (ssize_t size; !isFound && (size = read(maps, buffer, sizeof buffer)) > 0;)
    for (ssize_t at = 0; !isFound && at < size; ++at)
      isFound = reader.isFoundAt(buffer[at]);
  say("error: ");
  say(isFound && !reader.found().empty() ? reader.found() : "a mapped file");
  say(" became shorter or unreadable while it was in use; copy or make it again\n");
}
