// Small files, and the lists of numbers that they hold.

#include "runtime/cpu/SystemFiles.h"

#include <charconv>
#include <cstdlib>
#include <fcntl.h>
#include <unistd.h>

namespace moec {

std::string readSmallFile(const std::string &path) {
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return {};
  std::string text(16384, '\0');
  ssize_t size = read(file, text.data(), text.size());
  close(file);
  text.resize(size > 0 ? size : 0);
  return text;
}

std::optional<double> numberIn(const std::string &text) {
  char *end = nullptr;
  double number = strtod(text.c_str(), &end);
  return end == text.c_str() ? std::nullopt : std::optional(number);
}

std::optional<double> fieldIn(const std::string &text, std::string_view name) {
  for (size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
    if (text.compare(at, name.size(), name) == 0)
      return numberIn(text.substr(at + name.size()));
    if (text.find('\n', at) == std::string::npos)
      break;
  }
  return std::nullopt;
}

std::vector<int> parseNumberList(std::string_view text) {
  constexpr int most = 1 << 16; // more than any system has of what it numbers
  std::vector<int> numbers;
  const char *at = text.data(), *end = at + text.size();
  for (;;) {
    int first = 0, last = 0;
    std::from_chars_result read = std::from_chars(at, end, first);
    if (read.ec != std::errc() || first < 0 || first > most)
      return numbers;
    last = first;
    if (read.ptr != end && *read.ptr == '-') {
      read = std::from_chars(read.ptr + 1, end, last);
      if (read.ec != std::errc() || last < first || last > most)
        return numbers;
    }
    for (int number = first; number <= last; ++number)
      numbers.push_back(number);
    if (read.ptr == end || *read.ptr != ',')
      return numbers;
    at = read.ptr + 1;
  }
}

} // namespace moec
