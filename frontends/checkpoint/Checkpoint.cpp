// Opening a model directory, finding its tensors, and counting which of them are read.

#include "frontends/checkpoint/Checkpoint.h"

#include "runtime/core/Json.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <sys/stat.h>

using namespace moec;
using nlohmann::json;

static constexpr uint64_t kMaxConfigBytes = 16 << 20;
static constexpr uint64_t kMaxIndexBytes = 100'000'000;
static constexpr size_t kMaxFiles = 10'000;
static constexpr const char *kSingle = "model.safetensors";
static constexpr const char *kIndex = "model.safetensors.index.json";

/// Whether something of that name is there, be it a link that leads nowhere.
static bool isPresent(const std::string &path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0;
}

Result<std::optional<std::string>> moec::readOptional(const std::string &directory,
                                                      const char *name, uint64_t limit,
                                                      bool followLinks) {
  if (!isPresent(directory + "/" + name))
    return std::optional<std::string>();
  Result<std::string> path = resolveInside(directory, name, followLinks);
  if (!path.ok())
    return path.status();
  Result<std::string> text = readFile(*path, limit);
  if (!text.ok())
    return text.status();
  return std::optional<std::string>(std::move(*text));
}

/// Which file holds which tensor, in the order of file names.
using WeightMap = std::map<std::string, std::vector<std::string>>;

static Result<WeightMap> readIndex(const std::string &directory, bool followLinks) {
  Result<std::string> path = resolveInside(directory, kIndex, followLinks);
  if (!path.ok())
    return path.status();
  Result<std::string> text = readFile(*path, kMaxIndexBytes);
  if (!text.ok())
    return text.status();
  std::string file = directory + "/" + kIndex;
  Result<json> index = parseJson(*text, file, {.maxDepth = 8});
  if (!index.ok())
    return index.status();
  auto map = index->is_object() ? index->find("weight_map") : index->end();
  if (!index->is_object() || map == index->end() || !map->is_object() || map->empty())
    return Status{Code::Model,
                  fmt::format("{}: wanted an object `weight_map`, from tensor names to "
                              "file names",
                              file)};
  WeightMap tensors;
  for (const auto &[name, shard] : map->items()) {
    if (!shard.is_string())
      return Status{Code::Model,
                    fmt::format("{}: tensor {} has no file name", file, json(name).dump())};
    tensors[shard.get_ref<const std::string &>()].push_back(name);
    if (tensors.size() > kMaxFiles)
      return Status{Code::Model, fmt::format("{}: names more than {} files", file, kMaxFiles)};
  }
  return tensors;
}

Result<Checkpoint> Checkpoint::open(const std::string &directory,
                                    const CheckpointOptions &options) {
  struct stat info;
  if (stat(directory.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
    return Status{Code::Model,
                  fmt::format("{}: is not a directory; wanted one with config.json and "
                              "safetensors files",
                              directory)};
  Checkpoint checkpoint;
  checkpoint.root = directory;
  while (checkpoint.root.size() > 1 && checkpoint.root.back() == '/')
    checkpoint.root.pop_back();
  const std::string &root = checkpoint.root;
  checkpoint.partial = options.headersOnly;

  Result<std::string> configPath = resolveInside(root, "config.json", options.followLinks);
  if (!configPath.ok())
    return configPath.status();
  Result<std::string> text = readFile(*configPath, kMaxConfigBytes);
  if (!text.ok())
    return text.status();
  Result<Config> config = Config::parse(*text, root + "/config.json");
  if (!config.ok())
    return config.status();
  checkpoint.settings = std::move(*config);

  WeightMap wanted;
  if (isPresent(root + "/" + kSingle)) {
    wanted[kSingle];
  } else if (isPresent(root + "/" + kIndex)) {
    Result<WeightMap> index = readIndex(root, options.followLinks);
    if (!index.ok())
      return index.status();
    wanted = std::move(*index);
  } else {
    bool pickled =
        isPresent(root + "/pytorch_model.bin") || isPresent(root + "/pytorch_model.bin.index.json");
    return Status{
        Code::Model,
        fmt::format("{}: holds neither {} nor {}{}", root, kSingle, kIndex,
                    pickled ? "; its weights are pickled, convert them to safetensors" : "")};
  }

  FileLength length = options.headersOnly ? FileLength::Partial : FileLength::Exact;
  for (const auto &[name, names] : wanted) {
    Result<std::string> path = resolveInside(root, name, options.followLinks);
    if (!path.ok())
      return path.status();
    Result<File> file = File::open(*path);
    if (!file.ok())
      return file.status();
    Result<SafetensorsHeader> header = SafetensorsHeader::read(*file, length);
    if (!header.ok())
      return header.status();
    for (const std::string &tensor : names)
      if (!header->find(tensor))
        return Status{Code::Model, fmt::format("{}/{}: lacks the tensor {}, which {} places there",
                                               root, name, json(tensor).dump(), kIndex)};
    for (const SafetensorsTensor &tensor : header->tensors())
      checkpoint.table.push_back({.name = tensor.name,
                                  .file = checkpoint.shards.size(),
                                  .type = tensor.type,
                                  .shape = tensor.shape,
                                  .offset = header->dataStart() + tensor.begin,
                                  .bytes = tensor.bytes()});
    checkpoint.shards.push_back({name, std::move(*path), file->size(), header->dataStart()});
  }

  std::vector<CheckpointTensor> &table = checkpoint.table;
  std::sort(table.begin(), table.end(), [](const CheckpointTensor &a, const CheckpointTensor &b) {
    return std::tie(a.name, a.file) < std::tie(b.name, b.file);
  });
  auto twice = std::adjacent_find(table.begin(), table.end(),
                                  [](const auto &a, const auto &b) { return a.name == b.name; });
  if (twice != table.end())
    return Status{Code::Model, fmt::format("{}: tensor `{}` lies both in {} and in {}", root,
                                           twice->name, checkpoint.shards[twice->file].name,
                                           checkpoint.shards[(twice + 1)->file].name)};
  return checkpoint;
}

const CheckpointTensor *Checkpoint::find(std::string_view name) const {
  auto place = std::lower_bound(
      table.begin(), table.end(), name,
      [](const CheckpointTensor &tensor, std::string_view wanted) { return tensor.name < wanted; });
  return place != table.end() && place->name == name ? &*place : nullptr;
}

/// How many characters must be changed, added or removed to make `a` of `b`; anything above `limit`
/// is alike.
static size_t editDistance(std::string_view a, std::string_view b, size_t limit) {
  if (std::max(a.size(), b.size()) - std::min(a.size(), b.size()) > limit)
    return limit + 1;
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j)
    row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0], least = row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t kept = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({kept, row[j] + 1, row[j - 1] + 1});
      least = std::min(least, row[j]);
    }
    if (least > limit)
      return limit + 1;
  }
  return row[b.size()];
}

Result<const CheckpointTensor *> Checkpoint::require(std::string_view name,
                                                     std::span<const int64_t> shape) const {
  const CheckpointTensor *tensor = find(name);
  if (!tensor) {
    const CheckpointTensor *nearest = nullptr;
    size_t distance = 64;
    if (name.size() <= 512)
      for (const CheckpointTensor &candidate : table)
        if (size_t other = editDistance(candidate.name, name, distance - 1); other < distance) {
          nearest = &candidate;
          distance = other;
        }
    return Status{Code::Model,
                  fmt::format("{}: tensor `{}` is missing{}", root, name,
                              nearest ? fmt::format("; the nearest name is `{}`", nearest->name)
                                      : std::string())};
  }
  if (!std::equal(shape.begin(), shape.end(), tensor->shape.begin(), tensor->shape.end()))
    return Status{Code::Model, fmt::format("{}/{}: tensor `{}` has shape {}, wanted {}", root,
                                           shards[tensor->file].name, name,
                                           shapeText(tensor->shape), shapeText(shape))};
  return tensor;
}
