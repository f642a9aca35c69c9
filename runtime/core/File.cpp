// Opening and mapping files; see File.h for what is refused.

#include "runtime/core/File.h"

#include <fmt/format.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace moec;

static std::string reason(int error) { return std::strerror(error); }

Code moec::codeOfError(int number, Code otherwise) {
  switch (number) {
  case ENOMEM:
  case ENOSPC:
  case EDQUOT:
  case EFBIG:
  case EMFILE:
  case ENFILE:
    return Code::Resource;
  default:
    return otherwise;
  }
}

// File ------------------------------------------------------------------------------------------

static std::string_view kindOf(mode_t mode) {
  if (S_ISDIR(mode))
    return "a directory";
  if (S_ISFIFO(mode))
    return "a FIFO";
  if (S_ISSOCK(mode))
    return "a socket";
  if (S_ISCHR(mode) || S_ISBLK(mode))
    return "a device";
  return "a special file";
}

// Without O_NONBLOCK the open of a FIFO would wait for a writer.
static constexpr int kReadOnly = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

Result<File> File::open(const std::string &path, Code code) {
  return take(::open(path.c_str(), kReadOnly), path, code);
}

Result<File> File::openResolved(const std::string &path, Code code) {
  assert(path.starts_with('/') && "resolved paths are absolute");
  int directory = ::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  for (size_t begin = 1; directory >= 0;) {
    const size_t end = path.find('/', begin);
    const std::string part = path.substr(begin, end - begin);
    const bool isLast = end == path.npos;
    int next = ::openat(directory, part.c_str(),
                        O_NOFOLLOW | (isLast ? kReadOnly : O_PATH | O_DIRECTORY | O_CLOEXEC));
    int error = errno;
    ::close(directory);
    errno = error;
    directory = next;
    if (isLast)
      break;
    begin = end + 1;
  }
  return take(directory, path, code);
}

Result<File> File::take(int descriptor, const std::string &path, Code code) {
  if (descriptor < 0) {
    int error = errno;
    if (error == ENXIO)
      return Status{code, fmt::format("{}: is a socket or a device, not a regular file", path)};
    return Status{codeOfError(error, code),
                  fmt::format("{}: cannot be opened: {}", path, reason(error))};
  }
  struct stat info = {};
  if (fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(descriptor);
    return Status{code, fmt::format("{}: is {}, not a regular file", path, kindOf(info.st_mode))};
  }
  return File(descriptor, static_cast<uint64_t>(info.st_size), path, code);
}

File &File::operator=(File &&other) noexcept {
  std::swap(descriptor, other.descriptor);
  std::swap(length, other.length);
  std::swap(name, other.name);
  std::swap(code, other.code);
  return *this;
}

File::~File() {
  if (descriptor >= 0)
    ::close(descriptor);
}

Status File::readAt(uint64_t offset, std::span<uint8_t> into) const {
  while (!into.empty()) {
    ssize_t count = pread(descriptor, into.data(), into.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      return {codeOfError(errno, code),
              fmt::format("{}: cannot be read at byte {}: {}", name, offset, reason(errno))};
    if (count == 0)
      return {code, fmt::format("{}: ends at byte {}, {} bytes more were wanted", name, offset,
                                into.size())};
    into = into.subspan(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
  return {};
}

void moec::openStandardStreams() {
  for (int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (fcntl(descriptor, F_GETFD) == -1 && errno == EBADF)
      static_cast<void>(::open("/dev/null", O_RDWR)); // the lowest number that is free
}

// MappedFile ------------------------------------------------------------------------------------

Result<MappedFile> MappedFile::map(const File &file) {
  MappedFile mapped;
  if (file.size() == 0)
    return mapped;
  void *base = mmap(nullptr, file.size(), PROT_READ, MAP_SHARED, file.fd(), 0);
  if (base == MAP_FAILED)
    return Status{codeOfError(errno, file.failureCode()),
                  fmt::format("{}: cannot be mapped: {}", file.path(), reason(errno))};
  // What is read from the disk then comes in large pages, where the file system has them; if not,
  // nothing is lost.
  madvise(base, file.size(), MADV_HUGEPAGE);
  mapped.base = static_cast<const uint8_t *>(base);
  mapped.length = file.size();
  return mapped;
}

MappedFile &MappedFile::operator=(MappedFile &&other) noexcept {
  std::swap(base, other.base);
  std::swap(length, other.length);
  return *this;
}

MappedFile::~MappedFile() {
  if (base)
    munmap(const_cast<uint8_t *>(base), length);
}

// Whole files -----------------------------------------------------------------------------------

Result<std::string> moec::readFile(const std::string &path, uint64_t limit, Code code) {
  Result<File> file = File::open(path, code);
  if (!file.ok())
    return file.status();
  if (file->size() > limit)
    return Status{code, fmt::format("{}: holds {} bytes, more than the {} that are read", path,
                                    file->size(), limit)};
  std::string text(file->size(), '\0');
  if (Status status = file->readAt(0, {reinterpret_cast<uint8_t *>(text.data()), text.size()});
      !status.ok())
    return status;
  return text;
}

// Files named by other files --------------------------------------------------------------------

/// The path with all links resolved, or empty with errno set.
static std::string realPath(const std::string &path) {
  char *resolved = ::realpath(path.c_str(), nullptr);
  if (!resolved)
    return {};
  std::string text = resolved;
  std::free(resolved);
  return text;
}

static bool isInside(const std::string &path, const std::string &directory) {
  if (directory == "/")
    return true;
  return path.size() > directory.size() && path.starts_with(directory) &&
         path[directory.size()] == '/';
}

/// `REPOSITORY/blobs` where `directory` is `REPOSITORY/snapshots/REVISION`, as the Hub's cache lays
/// it out, or lies in such a directory.
static std::string blobsBeside(const std::string &directory) {
  static constexpr std::string_view kSnapshots = "/snapshots/";
  size_t snapshots = directory.rfind(kSnapshots);
  if (snapshots == std::string::npos)
    return {};
  return directory.substr(0, snapshots) + "/blobs";
}

bool moec::isSameFile(const std::string &a, const std::string &b) {
  struct stat first, second;
  return ::stat(a.c_str(), &first) == 0 && ::stat(b.c_str(), &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

Status moec::checkRelativeName(const std::string &directory, std::string_view relative) {
  auto refuse = [&](std::string_view why) {
    return Status{Code::Model, fmt::format("{}: the file name `{}` {}", directory, relative, why)};
  };
  if (relative.empty())
    return refuse("is empty");
  if (relative.size() >= PATH_MAX)
    return refuse("is too long");
  for (char character : relative)
    if (static_cast<unsigned char>(character) < 0x20 || character == 0x7f)
      return Status{Code::Model, directory + ": a file name holds a control character"};
  if (relative.front() == '/')
    return refuse("is absolute, wanted one inside the directory");
  for (size_t begin = 0; begin <= relative.size();) {
    size_t end = std::min(relative.find('/', begin), relative.size());
    if (relative.substr(begin, end - begin) == "..")
      return refuse("leaves the directory");
    begin = end + 1;
  }
  return {};
}

Result<std::string> moec::resolveInside(const std::string &directory, std::string_view relative,
                                        bool followLinks) {
  if (Status status = checkRelativeName(directory, relative); !status.ok())
    return status;
  std::string path = directory + "/" + std::string(relative);
  std::string resolved = realPath(path);
  if (resolved.empty())
    return Status{Code::Model, fmt::format("{}: cannot be opened: {}", path, reason(errno))};
  std::string base = realPath(directory);
  std::string blobs = blobsBeside(base);
  bool allowed =
      followLinks || isInside(resolved, base) || (!blobs.empty() && isInside(resolved, blobs));
  if (!allowed)
    return Status{Code::Model,
                  fmt::format("{}: is a link to {}, outside the model directory; compiling with "
                              "--follow-links permits that",
                              path, resolved)};
  struct stat info;
  if (stat(resolved.c_str(), &info) != 0)
    return Status{Code::Model, fmt::format("{}: cannot be opened: {}", path, reason(errno))};
  if (!S_ISREG(info.st_mode))
    return Status{Code::Model,
                  fmt::format("{}: is {}, not a regular file", path, kindOf(info.st_mode))};
  return resolved;
}
