// Looks for the weights in the places that the manifest's mode allows.

#include "runtime/core/Weights.h"

#include "runtime/core/PackedFile.h"
#include "runtime/core/Step.h"

#include <fmt/format.h>

#include <climits>
#include <cstdlib>
#include <sys/auxv.h>
#include <unistd.h>

namespace moec {

namespace {

/// A section of the program, which the loader has mapped.
class EmbeddedWeights final : public Weights {
public:
  const uint8_t *packed() const override { return moec_program_weights; }
  std::vector<std::string> files() const override { return {programPath()}; }
  uint64_t bytes() const override { return moec_program_weights_size; }
  Status verify(const std::function<void(double)> &) const override {
    return {}; // they are the program: what could differ from it
  }
};

/// A file beside the program, or wherever the user says.
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

} // namespace

std::string programPath() {
  char path[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  if (length > 0 && length < static_cast<ssize_t>(sizeof path))
    return {path, static_cast<size_t>(length)};
  // Without /proc: the name that the kernel was given.
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
  std::string tried;
  for (const std::string &candidate : candidates) {
    if (candidate.empty())
      continue;
    if (place.file.empty() && access(candidate.c_str(), F_OK) != 0) {
      if (tried.find(candidate) == std::string::npos)
        tried += (tried.empty() ? "" : ", ") + candidate;
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
                  tried)};
}

Result<std::unique_ptr<Weights>> Weights::open(const Manifest &manifest,
                                               const WeightsPlace &place) {
  switch (manifest.weights.mode) {
  case WeightsMode::Pack:
    return openPacked(manifest, place);
  case WeightsMode::Embed:
    if (moec_program_weights_size != manifest.weights.bytes)
      return Status{Code::Mismatch,
                    fmt::format("{} bytes of weights inside the program, its manifest says {}",
                                moec_program_weights_size, manifest.weights.bytes)};
    return std::unique_ptr<Weights>(new EmbeddedWeights);
  case WeightsMode::Map:
    break;
  }
  return Status{Code::Internal, "mapped weights"};
}

} // namespace moec
