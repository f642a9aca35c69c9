// Temporary names, the table of unfinished outputs, and what errors of writing mean.

#include "runtime/core/AtomicFile.h"

#include "runtime/core/File.h"

#include <fmt/format.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <utility>

using namespace moec;

// Names of unfinished outputs, where a signal handler can read them: it may neither lock nor
// allocate.
static constexpr int kSlots = 32;
enum SlotState : int { Free, Filling, Live };
static struct {
  std::atomic<int> state{Free};
  char path[PATH_MAX];
} unfinished[kSlots];

static int takeSlot(const std::string &path) {
  if (path.size() >= PATH_MAX)
    return -1;
  for (int slot = 0; slot < kSlots; ++slot) {
    int expected = Free;
    if (!unfinished[slot].state.compare_exchange_strong(expected, Filling))
      continue;
    std::memcpy(unfinished[slot].path, path.c_str(), path.size() + 1);
    unfinished[slot].state.store(Live);
    return slot;
  }
  return -1;
}

static void freeSlot(int slot) {
  if (slot >= 0)
    unfinished[slot].state.store(Free);
}

void moec::removeOutputs() {
  for (auto &entry : unfinished)
    if (entry.state.load() == Live)
      ::unlink(entry.path);
}

static void onInterrupt(int signal) {
  removeOutputs();
  ::_exit(128 + signal);
}

void moec::removeOutputsOnInterrupt() {
  struct sigaction action = {};
  action.sa_handler = onInterrupt;
  sigemptyset(&action.sa_mask);
  for (int signal : {SIGINT, SIGTERM, SIGHUP})
    sigaction(signal, &action, nullptr);
  // Past the limit on file sizes a write then fails, as it does on a full disk.
  std::signal(SIGXFSZ, SIG_IGN);
}

Status moec::outputFailure(int number, const std::string &path, std::string_view what) {
  return {codeOfError(number, Code::Usage),
          fmt::format("{}: {}: {}", path, what, std::strerror(number))};
}

/// Whether `name` is `stem`, a number, a hyphen and a number.
static bool isTemporary(std::string_view name, std::string_view stem) {
  if (!name.starts_with(stem))
    return false;
  name.remove_prefix(stem.size());
  const size_t hyphen = name.find('-');
  auto isNumber = [](std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
  };
  return hyphen != name.npos && isNumber(name.substr(0, hyphen)) &&
         isNumber(name.substr(hyphen + 1));
}

/// Removes what killed writers left: nobody has them locked, and they are too old to be new.
/// `directory` ends in a slash, or is empty.
static void removeLeftovers(const std::string &directory, std::string_view stem) {
  constexpr time_t kNew = 60; // seconds in which a writer locks what it has created
  DIR *entries = ::opendir(directory.empty() ? "." : directory.c_str());
  if (!entries)
    return;
  while (const dirent *entry = ::readdir(entries)) {
    if (!isTemporary(entry->d_name, stem))
      continue;
    const std::string path = directory + entry->d_name;
    int opened = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (opened < 0)
      continue;
    struct stat info;
    if (fstat(opened, &info) == 0 && S_ISREG(info.st_mode) &&
        info.st_mtime + kNew < time(nullptr) && flock(opened, LOCK_EX | LOCK_NB) == 0)
      ::unlink(path.c_str());
    ::close(opened);
  }
  ::closedir(entries);
}

Result<AtomicFile> AtomicFile::create(const std::string &path, unsigned mode) {
  if (path.empty())
    return Status{Code::Usage, "the output has no name"};
  struct stat info;
  bool exists = stat(path.c_str(), &info) == 0;
  if (path.back() == '/' || (exists && S_ISDIR(info.st_mode)))
    return Status{Code::Usage, fmt::format("{}: cannot be written: is a directory", path)};
  if (exists && !S_ISREG(info.st_mode))
    return Status{Code::Usage, fmt::format("{}: cannot be written: is not a regular file", path)};
  if (exists && access(path.c_str(), W_OK) != 0)
    return outputFailure(errno, path);
  AtomicFile output;
  output.finalPath = path;
  size_t name = path.rfind('/') + 1; // 0 where there is no slash
  static std::atomic<unsigned> counter{0};
  const std::string directory = path.substr(0, name), stem = "." + path.substr(name, 200) + ".";
  removeLeftovers(directory, stem);
  for (int attempt = 0; attempt < 100; ++attempt) {
    output.temporary = fmt::format("{}{}{}-{}", directory, stem, getpid(), counter.fetch_add(1));
    output.slot = takeSlot(output.temporary);
    output.descriptor =
        ::open(output.temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode_t(mode));
    if (output.descriptor >= 0) {
      flock(output.descriptor, LOCK_EX | LOCK_NB); // says that somebody writes it
      return output;
    }
    int error = errno;
    freeSlot(std::exchange(output.slot, -1));
    if (error != EEXIST)
      return outputFailure(error, path);
  }
  return outputFailure(EEXIST, path);
}

AtomicFile::AtomicFile(AtomicFile &&other) noexcept
    : descriptor(std::exchange(other.descriptor, -1)), slot(std::exchange(other.slot, -1)),
      finalPath(std::move(other.finalPath)), temporary(std::move(other.temporary)) {}

AtomicFile::~AtomicFile() {
  if (descriptor < 0)
    return;
  ::close(descriptor);
  ::unlink(temporary.c_str());
  freeSlot(slot);
}

Status AtomicFile::append(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    ssize_t count = ::write(descriptor, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      return outputFailure(errno, finalPath);
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return {};
}

Status AtomicFile::append(std::string_view text) {
  return append(std::span(reinterpret_cast<const uint8_t *>(text.data()), text.size()));
}

Status AtomicFile::writeAt(uint64_t offset, std::span<const uint8_t> bytes) const {
  while (!bytes.empty()) {
    ssize_t count = pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      return outputFailure(errno, finalPath);
    bytes = bytes.subspan(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
  return {};
}

Status AtomicFile::reserve(uint64_t offset, uint64_t bytes) const {
  int error = 0;
  do
    error = fallocate(descriptor, 0, static_cast<off_t>(offset), static_cast<off_t>(bytes)) == 0
                ? 0
                : errno;
  while (error == EINTR);
  // A file system that cannot reserve is no reason to stop: writing will tell.
  return codeOfError(error, Code::Ok) == Code::Resource ? outputFailure(error, finalPath)
                                                        : Status{};
}

Status AtomicFile::reopen() {
  int opened = ::open(temporary.c_str(), O_RDWR | O_CLOEXEC);
  if (opened < 0)
    return outputFailure(errno, finalPath);
  flock(opened, LOCK_EX | LOCK_NB);
  ::close(std::exchange(descriptor, opened));
  return {};
}

Status AtomicFile::commit() {
  int closed = ::close(std::exchange(descriptor, -1));
  int error = closed == 0 ? 0 : errno;
  if (error == 0 && ::rename(temporary.c_str(), finalPath.c_str()) != 0)
    error = errno;
  if (error != 0)
    ::unlink(temporary.c_str());
  freeSlot(std::exchange(slot, -1));
  return error == 0 ? Status{} : outputFailure(error, finalPath);
}

Result<uint64_t> moec::freeDiskBytes(const std::string &path) {
  struct statvfs info;
  if (statvfs(path.c_str(), &info) != 0) {
    size_t slash = path.rfind('/');
    std::string parent = slash == std::string::npos ? "."
                         : slash == 0               ? "/"
                                                    : path.substr(0, slash);
    if (statvfs(parent.c_str(), &info) != 0)
      return outputFailure(errno, path);
  }
  return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
}
