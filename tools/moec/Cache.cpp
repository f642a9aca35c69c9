// The cache: one folder per key, one lock per folder; what is not used for long makes room for what
// is new.

#include "tools/moec/Cache.h"

#include "compiler/targets/cpu/CpuTarget.h"
#include "runtime/core/AtomicFile.h"
#include "runtime/core/Digest.h"
#include "runtime/core/File.h"
#include "tools/moec/CacheFolder.h"
#include "tools/moec/Mapping.h"
#include "tools/moec/Progress.h"
#include "tools/moec/TextOutput.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace moec;
namespace fs = std::filesystem;

/// Adds what tells one state of a file from another without reading it.
static Status addFile(Hasher &hasher, const std::string &name, const fs::path &path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0)
    return {Code::Model, fmt::format("cannot read '{}': {}", path.string(), strerror(errno))};
  hasher.addField(name);
  for (uint64_t number :
       {static_cast<uint64_t>(info.st_size), static_cast<uint64_t>(info.st_mtim.tv_sec),
        static_cast<uint64_t>(info.st_mtim.tv_nsec), static_cast<uint64_t>(info.st_ctim.tv_sec),
        static_cast<uint64_t>(info.st_ctim.tv_nsec), static_cast<uint64_t>(info.st_ino),
        static_cast<uint64_t>(info.st_dev)})
    hasher.add(number);
  return {};
}

/// Adds every file below `folder`; links count as what they lead to, dead ones as nothing.
static Status addFolder(Hasher &hasher, const fs::path &folder) {
  std::error_code error;
  std::vector<fs::path> files;
  for (fs::recursive_directory_iterator entry(folder, error), end; entry != end && !error;
       entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_regular_file(ignored))
      files.push_back(entry->path());
  }
  if (error)
    return {Code::Model,
            fmt::format("cannot read the directory '{}': {}", folder.string(), error.message())};
  std::sort(files.begin(), files.end());
  for (const fs::path &file : files)
    if (Status status = addFile(hasher, file.string(), file); !status.ok())
      return status;
  return {};
}

static constexpr size_t kEntryNameSize = 32; // hexadecimal digits

/// The name of the entry for `request`, whose paths are absolute: of this moec, of the options,
/// and of the state of every file of the model.
static Result<std::string> entryName(const CompileRequest &request,
                                     llvm::ArrayRef<const CpuTarget *> levels) {
  Hasher hasher;
  Result<std::string> linkFiles = findLinkFiles(request.program, levels.front()->arch);
  if (!linkFiles.ok())
    return linkFiles.status();
  if (Status status = addFile(hasher, request.program, request.program); !status.ok())
    return status;
  if (Status status = addFolder(hasher, *linkFiles); !status.ok())
    return status;
  const std::string names = levelNames(levels);
  for (std::string_view option :
       {std::string_view(names), std::string_view(request.activations),
        std::string_view(request.cache), std::string_view(request.quantize),
        weightsModeName(request.weights)})
    hasher.addField(option);
  for (const std::string &pass : request.without)
    hasher.addField(pass);
  for (uint64_t number : {static_cast<uint64_t>(request.context), uint64_t(request.reference),
                          uint64_t(request.followLinks), uint64_t(request.libc),
                          static_cast<uint64_t>(request.latentForm.value_or(LatentForm::Absorbed))})
    hasher.add(number);
  if (Status status = addFolder(hasher, request.input); !status.ok())
    return status;
  return digestText(hasher.finish()).substr(0, kEntryNameSize);
}

/// Where the program for `request` is or will be. It gets its name when it is whole, weights
/// included: where it is, it can be run, also from a cache that nobody may write.
static Result<fs::path> programPath(const CompileRequest &request,
                                    llvm::ArrayRef<const CpuTarget *> levels,
                                    const fs::path &cache) {
  Result<std::string> name = entryName(request, levels);
  if (!name.ok())
    return name.status();
  return cache / *name / "program";
}

/// Whether `program` is there, with the weights that it needs beside it.
static bool isComplete(const fs::path &program, WeightsMode weights) {
  std::error_code error;
  return fs::exists(program, error) &&
         (weights != WeightsMode::Pack || fs::exists(program.string() + ".weights", error));
}

/// Whether an entry's folder has been used or written to of late, or another process is at it.
static bool isInUse(const fs::path &entry) {
  std::error_code error;
  fs::file_time_type last = fs::last_write_time(entry, error);
  for (fs::directory_iterator file(entry, error), end; !error && file != end; file.increment(error))
    last = std::max(last, file->last_write_time(error));
  if (error || isRecent(last))
    return true;
  int lock = ::open((entry / "lock").c_str(), O_RDWR | O_CLOEXEC);
  if (lock < 0)
    return errno != ENOENT;
  const bool isHeld = ::flock(lock, LOCK_EX | LOCK_NB) != 0;
  ::close(lock);
  return isHeld;
}

/// Removes the entries that are not in use, and says so.
static void removeUnused(const fs::path &cache, bool quiet) {
  std::error_code error;
  std::vector<fs::path> unused;
  for (fs::directory_iterator entry(cache, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.size() == kEntryNameSize &&
        name.find_first_not_of("0123456789abcdef") == std::string::npos &&
        entry->symlink_status(error).type() == fs::file_type::directory && !isInUse(entry->path()))
      unused.push_back(entry->path());
  }
  uint64_t bytes = 0;
  for (const fs::path &entry : unused) {
    for (fs::directory_iterator file(entry, error), end; !error && file != end;
         file.increment(error))
      if (uint64_t size = file->file_size(error); !error)
        bytes += size;
    fs::remove_all(entry, error);
  }
  if (!unused.empty() && !quiet)
    writeMessage(fmt::format("moec: removed {} from the cache, of programs that were not run for "
                             "{} days\n",
                             formatBytes(bytes), kDaysKept));
}

/// Makes `program`, in a folder of its own, unless another process did so while this one waited.
static Status makeEntry(CompileRequest request, const fs::path &program) {
  auto fail = [&](int number, const fs::path &path, const char *what) {
    Status status = outputFailure(number, path.string(), what);
    status.message += kCacheHint;
    return status;
  };
  std::error_code error;
  fs::path entry = program.parent_path();
  fs::create_directories(entry, error);
  if (error)
    return fail(error.value(), entry, "cannot be made");
  fs::path lockPath = entry / "lock";
  int lock = ::open(lockPath.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock < 0)
    return fail(errno, lockPath, "cannot be opened");
  while (::flock(lock, LOCK_EX) != 0)
    if (errno != EINTR) {
      Status status = fail(errno, lockPath, "cannot be locked");
      ::close(lock);
      return status;
    }
  Status status;
  if (!isComplete(program, request.weights)) {
    request.output = program.string();
    status = compile(request);
    if (status.ok())
      removeUnused(entry.parent_path(), request.quiet);
  }
  ::close(lock);
  return status;
}

/// What keeps the model of `request` from being mapped, empty where nothing does: as an earlier run
/// noted beside where the mapped `program` would be, or as found now and noted for later ones.
static Result<std::string> obstacleTo(const CompileRequest &request, const fs::path &program) {
  const fs::path note = program.parent_path() / "unmappable";
  if (Result<std::string> noted = readFile(note.string(), 1 << 16); noted.ok() && !noted->empty())
    return noted;
  Result<std::string> obstacle = whyNotMapped(request);
  if (!obstacle.ok() || obstacle->empty())
    return obstacle;
  // A note only saves time: where none can be made, that it cannot is told of the program.
  std::error_code error;
  fs::create_directories(note.parent_path(), error);
  if (Result<AtomicFile> file = AtomicFile::create(note.string());
      file.ok() && file->append(*obstacle).ok())
    static_cast<void>(file->commit());
  return obstacle;
}

Result<std::string> moec::cachedProgram(CompileRequest request) {
  std::error_code error;
  fs::path model = fs::canonical(request.input, error);
  if (error || !fs::is_directory(model, error))
    return Status{Code::Model, fmt::format("'{}' is no model directory", request.input)};
  request.input = model.string();
  Result<std::vector<const CpuTarget *>> levels = findCpuTargets(request.cpu);
  if (!levels.ok())
    return levels.status();
  Result<fs::path> cache = cacheFolder();
  if (!cache.ok())
    return cache.status();
  Result<fs::path> program = programPath(request, *levels, *cache);
  if (!program.ok())
    return program.status();
  if (!isComplete(*program, request.weights) && request.packsUnmappable) {
    Result<std::string> obstacle = obstacleTo(request, *program);
    if (!obstacle.ok())
      return obstacle.status();
    if (!obstacle->empty()) {
      request.weights = WeightsMode::Pack;
      program = programPath(request, *levels, *cache);
      if (!program.ok())
        return program.status();
      if (!isComplete(*program, request.weights) && !request.quiet)
        writeMessage(fmt::format("moec: packs the weights into the cache, since they cannot be "
                                 "used where they lie: {}\n",
                                 *obstacle));
    }
  }
  if (!isComplete(*program, request.weights))
    if (Status status = makeEntry(std::move(request), *program); !status.ok())
      return status;
  noteUse(*program);
  return program->string();
}
