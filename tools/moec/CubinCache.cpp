// A file for each cubin: the digest of what follows, then the assembler's report after its length,
// then the cubin. One that is not so is as good as none.

#include "tools/moec/CubinCache.h"

#include "runtime/core/AtomicFile.h"
#include "runtime/core/Digest.h"
#include "runtime/core/File.h"
#include "tools/moec/CacheFolder.h"

#include "llvm/ADT/StringRef.h"

#include <fmt/format.h>

#include <optional>

using namespace moec;
namespace fs = std::filesystem;

/// Larger ones are not kept.
static constexpr uint64_t kMostBytes = 256 << 20;
static constexpr size_t kDigestDigits = 64;

static std::string digestOf(std::string_view text) {
  Hasher hasher;
  hasher.add(text);
  return digestText(hasher.finish());
}

/// Where the cubin is or will be, if there is a cache.
static std::optional<fs::path> entryPath(const Ptxas &ptxas, std::string_view ptx,
                                         std::string_view architecture) {
  Result<fs::path> cache = cacheFolder();
  if (!cache.ok())
    return std::nullopt;
  Hasher hasher;
  for (std::string_view field : {std::string_view(ptxas.version), architecture, ptx})
    hasher.addField(field);
  return *cache / "cubins" / digestText(hasher.finish());
}

static std::optional<Cubin> readEntry(const fs::path &path) {
  Result<std::string> text = readFile(path.string(), kMostBytes);
  if (!text.ok() || text->size() <= kDigestDigits)
    return std::nullopt;
  llvm::StringRef rest = llvm::StringRef(*text).drop_front(kDigestDigits);
  uint64_t size = 0;
  if (digestOf(rest) != llvm::StringRef(*text).take_front(kDigestDigits) ||
      rest.consumeInteger(10, size) || !rest.consume_front("\n") || size > rest.size())
    return std::nullopt;
  return Cubin{rest.drop_front(size).str(), rest.take_front(size).str()};
}

static void writeEntry(const fs::path &path, const Cubin &cubin) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  const std::string rest = fmt::format("{}\n{}{}", cubin.report.size(), cubin.report, cubin.bytes);
  if (error || rest.size() + kDigestDigits > kMostBytes)
    return;
  Result<AtomicFile> file = AtomicFile::create(path.string());
  if (file.ok() && file->append(digestOf(rest)).ok() && file->append(rest).ok())
    static_cast<void>(file->commit());
}

static void removeUnused(const fs::path &folder) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    const fs::file_time_type last = entry->last_write_time(ignored);
    if (!ignored && entry->path().filename().string().size() == kDigestDigits && !isRecent(last))
      fs::remove(entry->path(), ignored);
  }
}

Result<Cubin> moec::cachedCubin(const Ptxas &ptxas, std::string_view ptx,
                                std::string_view architecture) {
  const std::optional<fs::path> path = entryPath(ptxas, ptx, architecture);
  if (path) {
    if (std::optional<Cubin> kept = readEntry(*path)) {
      noteUse(*path);
      return std::move(*kept);
    }
  }
  Result<Cubin> cubin = assemblePtx(ptxas, ptx, architecture);
  if (cubin.ok() && path) {
    writeEntry(*path, *cubin);
    removeUnused(path->parent_path());
  }
  return cubin;
}
