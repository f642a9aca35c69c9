// Opening a model directory, finding its tensors, and counting which of them are read.

#include "frontends/checkpoint/Checkpoint.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <sys/stat.h>

using namespace moec;
using nlohmann::json;

static constexpr uint64_t kMaxConfigBytes = 16 << 20;
static constexpr uint64_t kMaxIndexBytes = 100'000'000;
/// In Checkpoint::slots: no tensor.
static constexpr uint32_t kFree = UINT32_MAX;
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

static Result<WeightIndex> readIndex(const std::string &directory, bool followLinks) {
  Result<std::string> path = resolveInside(directory, kIndex, followLinks);
  if (!path.ok())
    return path.status();
  Result<std::string> text = readFile(*path, kMaxIndexBytes);
  if (!text.ok())
    return text.status();
  return WeightIndex::parse(*text, directory + "/" + kIndex);
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

  std::optional<WeightIndex> index;
  std::vector<std::string> files{kSingle};
  if (!isPresent(root + "/" + kSingle)) {
    if (!isPresent(root + "/" + kIndex)) {
      bool pickled = isPresent(root + "/pytorch_model.bin") ||
                     isPresent(root + "/pytorch_model.bin.index.json");
      return Status{
          Code::Model,
          fmt::format("{}: holds neither {} nor {}{}", root, kSingle, kIndex,
                      pickled ? "; its weights are pickled, convert them to safetensors" : "")};
    }
    Result<WeightIndex> read = readIndex(root, options.followLinks);
    if (!read.ok())
      return read.status();
    index.emplace(std::move(*read));
    files = index->files();
  }

  for (const std::string &name : files)
    if (Status status = checkpoint.addFile(name, options); !status.ok())
      return status;
  if (Status status = checkpoint.indexNames(); !status.ok())
    return status;
  if (index)
    if (Status status = checkpoint.checkIndex(*index); !status.ok())
      return status;
  return checkpoint;
}

Result<Checkpoint> Checkpoint::openTensors(const std::string &path) {
  Checkpoint checkpoint;
  const size_t slash = path.rfind('/');
  checkpoint.root = slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
  // The user named the file, so that it may be a link to anywhere.
  if (Status status = checkpoint.addFile(path.substr(slash + 1), {.followLinks = true});
      !status.ok())
    return status;
  if (Status status = checkpoint.indexNames(); !status.ok())
    return status;
  return checkpoint;
}

Result<Checkpoint> Checkpoint::ofTensors(std::string directory, std::vector<CheckpointFile> files,
                                         std::span<const TensorPlace> tensors) {
  Checkpoint checkpoint;
  checkpoint.root = std::move(directory);
  checkpoint.shards = std::move(files);
  size_t characters = 0;
  for (const TensorPlace &tensor : tensors)
    characters += tensor.name.size();
  std::vector<char> &nameBytes = checkpoint.names.emplace_back();
  nameBytes.reserve(characters); // it must not move
  for (const TensorPlace &tensor : tensors) {
    const size_t begin = nameBytes.size();
    nameBytes.insert(nameBytes.end(), tensor.name.begin(), tensor.name.end());
    checkpoint.table.push_back({.name = {nameBytes.data() + begin, tensor.name.size()},
                                .file = tensor.file,
                                .type = tensor.type,
                                .shape = *checkpoint.shapes.insert(tensor.shape).first,
                                .offset = tensor.offset,
                                .bytes = tensor.bytes});
  }
  if (Status status = checkpoint.indexNames(); !status.ok())
    return status;
  return checkpoint;
}

Status Checkpoint::addFile(const std::string &name, const CheckpointOptions &options) {
  Result<std::string> path = resolveInside(root, name, options.followLinks);
  if (!path.ok())
    return path.status();
  Result<File> file = File::open(*path);
  if (!file.ok())
    return file.status();
  Result<SafetensorsHeader> header =
      SafetensorsHeader::read(*file, options.headersOnly ? FileLength::Partial : FileLength::Exact);
  if (!header.ok())
    return header.status();

  size_t characters = 0;
  for (const SafetensorsTensor &tensor : header->tensors())
    characters += tensor.name.size();
  std::vector<char> &nameBytes = names.emplace_back();
  nameBytes.reserve(characters); // it must not move
  for (const SafetensorsTensor &tensor : header->tensors()) {
    const size_t begin = nameBytes.size();
    nameBytes.insert(nameBytes.end(), tensor.name.begin(), tensor.name.end());
    table.push_back({.name = {nameBytes.data() + begin, tensor.name.size()},
                     .file = static_cast<uint32_t>(shards.size()),
                     .type = tensor.type,
                     .shape = *shapes.insert(tensor.shape).first,
                     .offset = header->dataStart() + tensor.begin,
                     .bytes = tensor.bytes()});
  }
  shards.push_back({name, std::move(*path), file->size(), header->dataStart()});
  return {};
}

Status Checkpoint::indexNames() {
  slots.assign(std::bit_ceil(2 * table.size() + 1), kFree);
  for (uint32_t number = 0; number < table.size(); ++number) {
    size_t slot = slotOf(table[number].name);
    if (slots[slot] != kFree) {
      const CheckpointTensor &other = table[slots[slot]];
      return {Code::Model,
              fmt::format("{}: tensor `{}` lies both in {} and in {}", root, other.name,
                          shards[other.file].name, shards[table[number].file].name)};
    }
    slots[slot] = number;
  }
  return {};
}

Status Checkpoint::checkIndex(const WeightIndex &index) const {
  std::vector<bool> isListed(table.size());
  for (const auto &[name, file] : index.entries()) {
    const CheckpointTensor *tensor = find(name);
    if (tensor && isListed[static_cast<size_t>(tensor - table.data())])
      return {Code::Model, fmt::format("{}/{}: key `{}` appears twice", root, kIndex, name)};
    // Both list files in the same order.
    if (!tensor || tensor->file != file)
      return {Code::Model, fmt::format("{}/{}: lacks the tensor {}, which {} places there", root,
                                       index.files()[file], json(name).dump(), kIndex)};
    isListed[static_cast<size_t>(tensor - table.data())] = true;
  }
  return {};
}

size_t Checkpoint::slotOf(std::string_view name) const {
  size_t slot = std::hash<std::string_view>()(name) & (slots.size() - 1);
  while (slots[slot] != kFree && table[slots[slot]].name != name)
    slot = (slot + 1) & (slots.size() - 1);
  return slot;
}

const CheckpointTensor *Checkpoint::find(std::string_view name) const {
  const uint32_t number = slots[slotOf(name)];
  return number == kFree ? nullptr : &table[number];
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
