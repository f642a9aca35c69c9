// Looks for the weights in the places that the manifest's mode allows.

#include "runtime/core/Weights.h"

#include "runtime/core/File.h"
#include "runtime/core/MappedWeights.h"
#include "runtime/core/PackedFile.h"
#include "runtime/core/Step.h"

#include <fmt/format.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <sys/auxv.h>
#include <unistd.h>

namespace moec {

/// Reads `paths` to their ends.
static Status readEverything(const std::vector<std::string> &paths,
                             const std::function<void(double)> &progress) {
  std::vector<File> files;
  uint64_t total = 0, done = 0;
  for (const std::string &path : paths) {
    Result<File> file = File::open(path, Code::Mismatch);
    if (!file.ok())
      return file.status();
    total += file->size();
    files.push_back(std::move(*file));
  }
  std::vector<uint8_t> block(size_t(4) << 20);
  for (const File &file : files)
    for (uint64_t offset = 0; offset < file.size(); offset += block.size()) {
      size_t size = std::min<uint64_t>(block.size(), file.size() - offset);
      if (Status status = file.readAt(offset, std::span(block).first(size)); !status.ok())
        return status;
      done += size;
      if (progress)
        progress(static_cast<double>(done) / static_cast<double>(total));
    }
  return {};
}

namespace {

/// A file beside the program, wherever the user says, or inside the program.
class PackedWeights final : public Weights {
public:
  explicit PackedWeights(PackedFile file) : file(std::move(file)) {}

  const uint8_t *packed() const override { return file.data(); }
  std::vector<std::string> files() const override { return {file.path()}; }
  uint64_t bytes() const override { return file.header().blobBytes; }
  Status verify(const std::function<void(double)> &progress) const override {
    return file.verify(progress);
  }

private:
  PackedFile file;
};

/// The files of the model's directory, whose digests were compared when they were opened.
class DirectoryWeights final : public Weights {
public:
  explicit DirectoryWeights(MappedWeights weights) : weights(std::move(weights)) {}

  const uint8_t *const *pieces() const override { return weights.pointers().data(); }
  std::vector<std::string> files() const override {
    return {weights.paths().begin(), weights.paths().end()};
  }
  uint64_t bytes() const override { return weights.bytes(); }
  Status verify(const std::function<void(double)> &progress) const override {
    return readEverything(files(), progress);
  }

private:
  MappedWeights weights;
};

} // namespace

std::string programPath() {
  char path[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  if (length > 0 && length < static_cast<ssize_t>(sizeof path))
    return {path, static_cast<size_t>(length)};
  // Without /proc: the name that the kernel was given.
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel gives addresses as numbers
  const char *given = reinterpret_cast<const char *>(getauxval(AT_EXECFN));
  return given ? given : "";
}

static std::string environment(const char *name) {
  const char *value = getenv(name);
  return value ? value : "";
}

static Result<std::unique_ptr<Weights>> openPacked(const Manifest &manifest,
                                                   const WeightsPlace &place) {
  std::vector<std::string> candidates;
  if (!place.file.empty()) {
    candidates = {place.file};
  } else {
    std::string program = place.program.empty() ? programPath() : place.program;
    size_t slash = program.rfind('/');
    std::string folder = slash == std::string::npos ? "" : program.substr(0, slash + 1);
    candidates = {folder + manifest.weights.file, program + ".weights",
                  environment("MOEC_WEIGHTS")};
  }
  // The first that is there must be right: one that is stale would else hide behind another.
  std::vector<std::string> tried;
  for (const std::string &candidate : candidates) {
    if (candidate.empty())
      continue;
    if (place.file.empty() && access(candidate.c_str(), F_OK) != 0) {
      if (std::find(tried.begin(), tried.end(), candidate) == tried.end())
        tried.push_back(candidate);
      continue;
    }
    Result<PackedFile> file =
        PackedFile::open(candidate, manifest.weights.digest, manifest.weights.bytes);
    if (!file.ok())
      return file.status();
    return std::unique_ptr<Weights>(new PackedWeights(std::move(*file)));
  }
  return Status{
      Code::Mismatch,
      fmt::format("the program's weights are not there: tried {}; say where they are with "
                  "--weights-file or MOEC_WEIGHTS",
                  fmt::join(tried, ", "))};
}

static Result<std::unique_ptr<Weights>> openEmbedded(const Manifest &manifest) {
  Result<PackedFile> file =
      PackedFile::embedded({moec_program_weights, static_cast<size_t>(moec_program_weights_size)},
                           programPath(), manifest.weights.digest, manifest.weights.bytes);
  if (!file.ok())
    return file.status();
  return std::unique_ptr<Weights>(new PackedWeights(std::move(*file)));
}

static Result<std::unique_ptr<Weights>> openMapped(const Manifest &manifest,
                                                   const WeightsPlace &place) {
  std::string directory = place.directory;
  if (directory.empty())
    directory = environment("MOEC_MODEL_DIR");
  if (directory.empty())
    directory = manifest.modelDirectory;
  Result<MappedWeights> weights = MappedWeights::open(manifest.weights.pieces, manifest.sources,
                                                      directory, manifest.followLinks);
  if (!weights.ok())
    return weights.status();
  return std::unique_ptr<Weights>(new DirectoryWeights(std::move(*weights)));
}

/// Refuses a place for weights that are found in another way.
static Status checkPlace(WeightsMode mode, const WeightsPlace &place) {
  if (!place.file.empty() && mode != WeightsMode::Pack)
    return {Code::Usage, fmt::format("'{}' was named as the file of packed weights, but the "
                                     "program was compiled with --weights={}",
                                     place.file, weightsModeName(mode))};
  if (!place.directory.empty() && mode != WeightsMode::Map)
    return {Code::Usage, fmt::format("'{}' was named as the model's directory, but the program was "
                                     "compiled with --weights={}",
                                     place.directory, weightsModeName(mode))};
  return {};
}

Result<std::unique_ptr<Weights>> Weights::open(const Manifest &manifest,
                                               const WeightsPlace &place) {
  if (Status status = checkPlace(manifest.weights.mode, place); !status.ok())
    return status;
  switch (manifest.weights.mode) {
  case WeightsMode::Pack:
    return openPacked(manifest, place);
  case WeightsMode::Embed:
    return openEmbedded(manifest);
  case WeightsMode::Map:
    return openMapped(manifest, place);
  }
  return Status{Code::Internal, "weights of no known mode"};
}

} // namespace moec
