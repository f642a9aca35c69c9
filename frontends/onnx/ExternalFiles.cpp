// Checks names, opens files that these lead to, and checks ranges against what was opened.

#include "frontends/onnx/ExternalFiles.h"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <sys/stat.h>

using namespace moec;

static constexpr size_t kMostFiles = 10'000; // each takes a mapping, of which a process has 65,530

/// A number in digits alone.
static std::optional<uint64_t> parseDigits(std::string_view text) {
  uint64_t value = 0;
  if (text.empty() || text.find_first_not_of("0123456789") != text.npos)
    return std::nullopt;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc())
    return std::nullopt;
  return value;
}

Status ExternalFiles::place(std::span<const ExternalEntry> entries, OnnxTensor &tensor,
                            std::vector<OnnxFile> &files) {
  static constexpr std::string_view kKeys[] = {"location", "offset", "length", "checksum",
                                               "basepath"};
  std::optional<std::string_view> given[std::size(kKeys)];
  for (const auto &[key, value] : entries) {
    const auto *known = std::find(std::begin(kKeys), std::end(kKeys), key);
    if (known == std::end(kKeys))
      return {Code::Model,
              fmt::format("external data has the key `{}`, wanted location, offset, length, "
                          "checksum or basepath",
                          shownName(key))};
    std::optional<std::string_view> &slot = given[known - std::begin(kKeys)];
    if (slot)
      return {Code::Model, fmt::format("external data has the key `{}` twice", key)};
    slot = value;
  }
  const auto &[location, offset, length, checksum, basepath] = given;
  if (!location)
    return {Code::Model, "external data has no location"};
  std::optional<uint64_t> begin = parseDigits(offset.value_or("0"));
  if (!begin)
    return {Code::Model, fmt::format("external data has the offset `{}`, wanted digits of a number "
                                     "below 2^64",
                                     shownName(*offset))};
  if (length) {
    std::optional<uint64_t> bytes = parseDigits(*length);
    if (!bytes)
      return {Code::Model, fmt::format("external data has the length `{}`, wanted digits of a "
                                       "number below 2^64",
                                       shownName(*length))};
    if (*bytes != tensor.bytes)
      return {Code::Model, fmt::format("external data has {} bytes, its type and shape want {}",
                                       *bytes, tensor.bytes)};
  }
  Result<uint32_t> number = find(*location, files);
  if (!number.ok())
    return number.status();
  const OnnxFile &file = files[*number];
  uint64_t end = 0;
  const bool isInside =
      !__builtin_add_overflow(*begin, tensor.bytes, &end) && (mayLack || end <= file.size);
  if (!isInside)
    return {Code::Model,
            fmt::format("external data is bytes {} to {} of {}, which holds {}", *begin,
                        *begin + tensor.bytes, shownName(file.name), file.size)};
  tensor.file = *number;
  tensor.offset = *begin;
  return {};
}

Result<uint32_t> ExternalFiles::find(std::string_view location, std::vector<OnnxFile> &files) {
  if (auto known = found.find(location); known != found.end())
    return known->second;
  if (files.size() > kMostFiles)
    return Status{Code::Unsupported,
                  fmt::format("external data lies in more than {} files", kMostFiles)};
  Result<OnnxFile> file = open(location);
  if (!file.ok())
    return file.status();
  const auto number = static_cast<uint32_t>(files.size());
  files.push_back(std::move(*file));
  found.emplace(location, number);
  return number;
}

Result<OnnxFile> ExternalFiles::open(std::string_view location) const {
  auto refuse = [&](std::string_view why) {
    return Status{Code::Model,
                  fmt::format("external data lies in `{}`, {}", shownName(location), why)};
  };
  if (Status status = checkRelativeName(directory, location); !status.ok())
    return status;
  if (location.find('\\') != location.npos)
    return refuse("a name with a backslash; wanted parts joined by `/`");
  if (location.size() > 1 && location[1] == ':')
    return refuse("a name with a drive; wanted one inside the model's directory");
  if (location.find("_ORT_MEM_ADDR_") != location.npos)
    return refuse("an address in a process that is gone; wanted a file");

  OnnxFile file;
  file.name = location;
  struct stat info;
  if (mayLack && lstat((directory + "/" + file.name).c_str(), &info) != 0 && errno == ENOENT) {
    file.path = directory + "/" + file.name;
    file.isPresent = false;
    return file;
  }
  Result<std::string> path = resolveInside(directory, location, followLinks);
  if (!path.ok())
    return path.status();
  Result<File> opened = followLinks ? File::open(*path) : File::openResolved(*path);
  if (!opened.ok())
    return opened.status();
  if (fstat(opened->fd(), &info) != 0 || (info.st_nlink != 1 && !followLinks))
    return Status{Code::Model, fmt::format("{}: has {} hard links, so it may belong elsewhere; "
                                           "--follow-links permits that",
                                           *path, info.st_nlink)};
  Result<MappedFile> map = MappedFile::map(*opened);
  if (!map.ok())
    return map.status();
  file.path = std::move(*path);
  file.size = opened->size();
  file.map = std::move(*map);
  return file;
}
