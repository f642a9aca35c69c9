// Opening the program's model, and reading tokens step by step.

#include "runtime/core/Model.h"

#include "runtime/core/WeightPlacement.h"
#include "runtime/cpu/CpuFeatures.h"
#include "runtime/cpu/Resources.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace moec {

Sequence::Sequence(Model &model) : blocks(model.cache) {}

bool Sequence::rewind(int64_t position) {
  if (position >= next)
    return true;
  bool possible = blocks.truncate(position);
  if (!possible)
    blocks.truncate(0);
  next = possible ? position : 0;
  return possible;
}

Result<Manifest> programManifest() {
  return parseManifest({reinterpret_cast<const char *>(moec_program_manifest),
                        static_cast<size_t>(moec_program_manifest_size)});
}

static Result<size_t> findLevel(const Manifest &manifest, std::string_view name) {
  std::string known;
  for (size_t index = 0; index < manifest.cpuLevels.size(); ++index) {
    const ManifestCpuLevel &level = manifest.cpuLevels[index];
    if (level.name == name) {
      std::string missing = missingCpuFeatures(level.features);
      if (missing.empty())
        return index;
      return Status{Code::Mismatch, fmt::format("MOEC_CPU asks for '{}', and this CPU lacks what "
                                                "that needs: {}",
                                                name, missing)};
    }
    known += (known.empty() ? "" : ", ") + level.name;
  }
  return Status{Code::Usage, fmt::format("MOEC_CPU asks for '{}', and this program was compiled "
                                         "for: {}",
                                         name, known)};
}

Result<size_t> chooseCpuLevel(const Manifest &manifest) {
  if (const char *wanted = getenv("MOEC_CPU"); wanted && *wanted)
    return findLevel(manifest, wanted);
  std::string missing; // from the least demanding level
  for (size_t index = manifest.cpuLevels.size(); index-- > 0;)
    if (missing = missingCpuFeatures(manifest.cpuLevels[index].features); missing.empty())
      return index;
  return Status{Code::Mismatch, fmt::format("this CPU lacks what the program was compiled for: {}; "
                                            "compile again with --cpu=native on this machine",
                                            missing)};
}

/// What asks a program of the CUDA target for something that it has not.
static Status checkDevice(const Manifest &manifest, const ModelOptions &options) {
  auto usage = [](std::string message) { return Status{Code::Usage, std::move(message)}; };
  if (options.device == DeviceChoice::Cpu)
    return usage("--device=cpu: this program was compiled with --target=cuda");
  if (options.device == DeviceChoice::Emulated && !moec_program_device->open_emulated)
    return usage("--device=emulated: this program has no emulated kernels; compile it with "
                 "--emulate");
  if (!manifest.host && (options.threads || options.numa != NumaPolicy::Default))
    return usage(fmt::format("{}: it is for programs that compute on CPUs, and this one was "
                             "compiled with --target=cuda, all of it for the GPU",
                             options.threads ? "--threads" : "--numa"));
  return {};
}

static Result<size_t> chooseLevel(const Manifest &manifest, const ModelOptions &options) {
  if (moec_program_device) {
    if (Status status = checkDevice(manifest, options); !status.ok())
      return status;
    return manifest.host ? chooseCpuLevel(manifest) : Result<size_t>(size_t(0));
  }
  const DeviceChoice device = options.device;
  if (device != DeviceChoice::Default && device != DeviceChoice::Cpu)
    return Status{Code::Usage, "--device: this program computes on CPUs; for a GPU compile it with "
                               "--target=cuda"};
  return chooseCpuLevel(manifest);
}

Result<std::unique_ptr<Model>> Model::open(const ModelOptions &options) {
  Result<Manifest> manifest = programManifest();
  if (!manifest.ok())
    return manifest.status();
  if (manifest->graph)
    return Status{Code::Usage, "this program is a graph of tensors, and no language model: it has "
                               "the commands graph and inspect"};
  Result<size_t> level = chooseLevel(*manifest, options);
  if (!level.ok())
    return level.status();
  if (options.context < 0 || options.context > manifest->context)
    return Status{Code::Usage, fmt::format("a context of {} positions asked for, the model has {}",
                                           options.context, manifest->context)};
  std::unique_ptr<Model> model(new Model(std::move(*manifest)));
  model->levelIndex = *level;
  model->stepRows = model->description.stepTokens;
  model->positions = options.context ? options.context : model->description.context;
  Result<std::unique_ptr<Weights>> weights = Weights::open(model->description, options.weights);
  if (!weights.ok())
    return weights.status();
  model->openWeights = std::move(*weights);
  Status opened = moec_program_device ? model->openDevice(options) : model->openCpus(options);
  if (!opened.ok())
    return opened;
  if (int64_t phases = static_cast<int64_t>(model->description.phases.size()))
    model->noted = std::make_unique<Profile>(phases, model->threads());
  return model;
}

Status Model::openCpus(const ModelOptions &options) {
  int64_t threads = options.threads ? options.threads : defaultThreads(options.root);
  nodeUse = chooseNodeUse(options.numa, threads, allowedProcessors(), options.root);
  Result<std::unique_ptr<Threads>> started = Threads::start(threads, nodeUse.split);
  if (!started.ok())
    return started.status();
  pool = std::move(*started);
  if (nodeUse.policy != NumaPolicy::Off)
    useNodes(options);
  else if (options.numa != NumaPolicy::Default && options.numa != NumaPolicy::Off)
    notice = fmt::format("--numa={}: there is one node that this process has {} on",
                         numaPolicyName(options.numa),
                         options.numa == NumaPolicy::Split ? "threads" : "memory");
  return {};
}

/// Those of the architecture that MOEC_GPU names; all without it.
static Result<std::span<const moec_device_code>> chooseCodes(const moec_device_program &program) {
  const std::span all(program.codes, program.code_count);
  const char *wanted = getenv("MOEC_GPU");
  if (!wanted || !*wanted)
    return all;
  std::string known;
  for (size_t index = 0; index < all.size(); ++index) {
    if (std::string_view(all[index].architecture) == wanted) {
      size_t count = 1; // its PTX may come behind its cubin
      while (index + count < all.size() &&
             std::string_view(all[index + count].architecture) == wanted)
        ++count;
      return all.subspan(index, count);
    }
    if (index == 0 || std::string_view(all[index].architecture) != all[index - 1].architecture)
      known += fmt::format("{}{}", known.empty() ? "" : ", ", all[index].architecture);
  }
  return Status{Code::Usage, fmt::format("MOEC_GPU asks for '{}', and this program was compiled "
                                         "for: {}",
                                         wanted, known)};
}

/// Threads and memory for what CPUs do of a device's step.
Status Model::openHostPart(const ModelOptions &options) {
  if (Status status = openCpus(options); !status.ok())
    return status;
  const ManifestHost &host = *description.host;
  const moec_host_program &program = moec_program_device->host;
  HostPart::Code code{program.steps[levelIndex], program.arena_bytes, nullptr, nullptr};
  if (const uint8_t *packed = openWeights->packed()) {
    code.weights = packed + host.firstByte;
  } else {
    int64_t before = 0;
    for (const ManifestPiece &piece : description.devicePieces())
      before += piece.matrices();
    code.weightPieces = openWeights->pieces() + before;
  }
  onHost.emplace(*opening.device, *pool, code);
  onHost->setNodes(memoryNodes);
  return {};
}

/// The calling thread launches; there are no others but for what CPUs do of a step.
Status Model::openDevice(const ModelOptions &options) {
  const moec_device_program &program = *moec_program_device;
  const bool isEmulated = options.device == DeviceChoice::Emulated;
  Result<std::span<const moec_device_code>> codes = chooseCodes(program);
  if (!codes.ok())
    return codes.status();
  auto isSet = [](const char *variable) {
    const char *value = getenv(variable);
    return value && *value;
  };
  opening.codes = *codes;
  opening.weightBytes =
      openWeights->packed() ? description.deviceBytes() : description.deviceWeightBytes();
  opening.isNamed = isSet("MOEC_GPU") || isSet("CUDA_VISIBLE_DEVICES");
  (isEmulated ? program.open_emulated : program.open_cuda)(&opening);
  if (!opening.status.ok())
    return opening.status;
  if (description.host) {
    if (Status status = openHostPart(options); !status.ok())
      return status;
  } else {
    Result<std::unique_ptr<Threads>> started = Threads::start(1, {});
    if (!started.ok())
      return started.status();
    pool = std::move(*started);
  }
  if (!opening.notice.empty())
    notice = fmt::format("computing on {}: {}{}{}", opening.device->name(), opening.notice,
                         notice.empty() ? "" : "; ", notice);
  cache.setDevice(opening.device.get());
  onDevice.emplace(*opening.device, onHost ? &*onHost : nullptr);
  // What memory was planned for has its place from the start: growing would take it twice.
  if (description.deviceMemory) {
    const int64_t rows = std::min(description.stepTokens, positions);
    if (Status status = cache.reserve(positions, rows); !status.ok())
      return status;
    if (Status status = onDevice->reserve(moec_program_arena_bytes(rows, 1, 1, pool->count()));
        !status.ok())
      return status;
  }
  if (Status status = onDevice->takeWeights(*openWeights, description, options.progress);
      !status.ok())
    return status;
  stepRows = roomyStep();
  return {};
}

/// What steps are not made smaller than for lack of memory, and most rows of one that give logits:
/// a step's other buffers take less.
static constexpr int64_t kLeastRows = 512, kMostOutputs = 512;

int64_t Model::roomyStep() const {
  const int64_t room = opening.device->freeBytes() / 4;
  int64_t rows = description.stepTokens;
  while (rows > kLeastRows && moec_program_arena_bytes(rows, 1, 1, /*threads=*/1) > room)
    rows /= 2;
  return rows;
}

std::string_view Model::level() const {
  return opening.code ? std::string_view(opening.code->architecture)
                      : description.cpuLevels[levelIndex].name;
}

/// Binds threads and places memory as `nodeUse` says. What the system refuses is no failure: all
/// works without, if slower.
void Model::useNodes(const ModelOptions &options) {
  std::string refused;
  bool isForbidden = false;
  auto tell = [&](std::string_view what) {
    refused += fmt::format("{}{}", refused.empty() ? "" : "; ", what);
  };
  auto note = [&](std::string_view what, int error) {
    if (error)
      tell(fmt::format("{} ({})", what, strerror(error)));
    isForbidden |= error == EPERM;
  };
  if (nodeUse.policy == NumaPolicy::Split) {
    int error = pool->bindToNodes();
    if (!error && options.bindsCaller)
      error = bindThread(pthread_self(), nodeUse.split.nodes.front().cpus);
    note("threads are not kept to the CPUs of their nodes", error);
  }
  std::vector<int> numbers;
  for (const NumaNode &node : nodeUse.memory())
    numbers.push_back(node.number);
  memoryNodes = NodeSet(numbers);
  note("cache and activations are where the system puts them", memoryNodes.tryInterleave());
  cache.setNodes(memoryNodes);
  arena.setNodes(memoryNodes);

  std::vector<PanelMatrix> matrices = panelMatrices(description, *openWeights);
  int64_t wanted = 0;
  for (const PanelMatrix &matrix : matrices)
    wanted += matrix.bytes;
  // Weights that memory has no room for would push out their own pages while they are read ahead.
  // They are read when they are needed, mostly by threads of the node that they belong to, where
  // the system then puts them.
  std::optional<int64_t> available = availableMemory(options.root);
  if (available && wanted > *available) {
    tell(fmt::format("weights of {} MiB are not read ahead onto their nodes, as {} MiB of memory "
                     "are available",
                     wanted >> 20, *available >> 20));
  } else {
    WeightPlacement placement = placeWeights(matrices, nodeUse, *pool);
    note("weights are where the system puts them", placement.error);
    if (!placement.error && placement.strayBytes > placement.placedBytes / 20)
      tell(fmt::format("{} MiB of {} MiB of weights lie on other nodes, which are full or share "
                       "them with other processes",
                       placement.strayBytes >> 20, placement.placedBytes >> 20));
  }
  if (!refused.empty())
    notice = fmt::format("--numa={} with {} nodes of memory: {}; {}--numa=off does without",
                         numaPolicyName(nodeUse.policy), numbers.size(), refused,
                         isForbidden ? "a container is allowed it by --cap-add=SYS_NICE; " : "");
}

int64_t Model::cacheBytes() const {
  int64_t bytes = 0;
  for (size_t group = 0; group < cache.groups(); ++group)
    bytes += cache.pool(group).used() * description.caches[group].bytesPerBlock;
  return bytes;
}

Status Model::check(std::span<const Feed> feeds) const {
  for (const Feed &feed : feeds) {
    int64_t count = static_cast<int64_t>(feed.tokens.size());
    assert(feed.outputs >= 0 && feed.outputs <= count && "logits of tokens that are not fed");
    if (count == 0)
      return {Code::Usage, "no tokens to read, wanted at least one"};
    if (feed.sequence->next + count > positions)
      return {Code::Usage, fmt::format("{} tokens do not fit the context of {} positions",
                                       feed.sequence->next + count, positions)};
    for (int32_t token : feed.tokens)
      if (token < 0 || token >= description.vocabulary)
        return {Code::Usage, fmt::format("token id {} is outside the vocabulary of {}", token,
                                         description.vocabulary)};
  }
  return {};
}

Status Model::feed(std::span<const Feed> feeds, const FeedOptions &options) {
  if (Status status = check(feeds); !status.ok())
    return status;
  starts.clear();
  for (const Feed &feed : feeds)
    starts.push_back(feed.sequence->next);
  Status status = runSteps(feeds, options);
  for (size_t i = 0; i < feeds.size(); ++i) {
    Sequence &sequence = *feeds[i].sequence;
    if (!status.ok()) {
      sequence.next = starts[i];
      // Also what was reserved for a step that did not run. No block from before was released.
      [[maybe_unused]] bool possible = sequence.blocks.truncate(starts[i]);
      assert(possible && "a feed that failed gave back what it started with");
    } else {
      sequence.blocks.release(sequence.next);
    }
  }
  return status;
}

Status Model::runSteps(std::span<const Feed> feeds, const FeedOptions &options) {
  for (;;) {
    const int64_t most = stepRows;
    const int64_t chunk = options.chunk > 0 ? std::min(options.chunk, most) : most;
    shares.clear();
    bool routing = false;
    int64_t rows = 0, allOutputs = 0;
    for (size_t i = 0; i < feeds.size() && rows < most; ++i) {
      const Feed &feed = feeds[i];
      int64_t begin = feed.sequence->next - starts[i];
      int64_t total = static_cast<int64_t>(feed.tokens.size());
      int64_t end = begin + std::min({total - begin, chunk, most - rows});
      // Before the first that gives logits, or so many of them.
      const int64_t silent = std::max(total - feed.outputs, begin);
      end = std::min(end, silent + kMostOutputs - allOutputs);
      if (begin == end)
        continue;
      if (Status status = feed.sequence->blocks.reserve(starts[i] + end); !status.ok())
        return status;
      int64_t outputs = std::min(end - begin, std::max<int64_t>(end - (total - feed.outputs), 0));
      shares.push_back({&feed, begin, end, outputs});
      routing |= feed.experts != nullptr;
      rows += end - begin;
      allOutputs += outputs;
    }
    if (shares.empty())
      return {};
    if (options.stop && options.stop())
      return {Code::Interrupted, "interrupted"};
    if (Status status = runStep(routing); !status.ok()) {
      if (status.code != Code::Resource || !onDevice || rows <= kLeastRows)
        return status;
      stepRows = std::max(rows / 2, kLeastRows); // it lacked memory before it began
      continue;
    }
    for (const Share &share : shares) {
      Sequence &sequence = *share.feed->sequence;
      sequence.next += share.end - share.begin;
      // What was held before this feed stays until it has succeeded.
      sequence.blocks.release(sequence.next, starts[share.feed - feeds.data()]);
    }
  }
}

/// Runs a step whose inputs and results are given.
Status Model::compute(moec_step_arguments arguments) {
  const int64_t arenaBytes = moec_program_arena_bytes(arguments.tokens, arguments.sequences,
                                                      arguments.outputs, pool->count());
  if (onDevice)
    return onDevice->run(
        opening.code->step, arguments,
        {.cacheGroups = static_cast<int64_t>(cache.groups()),
         .arena = arenaBytes,
         .logits = arguments.outputs * description.vocabulary * static_cast<int64_t>(sizeof(float)),
         .largest = arguments.largest ? arguments.outputs * largestPerRow() *
                                            static_cast<int64_t>(sizeof(moec_largest))
                                      : 0,
         .routing = arguments.experts ? routingBytes(arguments.tokens) : 0});
  if (Status status = arena.ensure(arenaBytes, "the activations of a step"); !status.ok())
    return status;
  arguments.arena = arena.data();
  arguments.weights = openWeights->packed();
  arguments.weight_pieces = openWeights->pieces();
  arguments.team = &pool->team();
  arguments.profile = noted.get();
  pool->step(moec_program_steps[levelIndex], arguments);
  return {};
}

/// Of the experts of all MoE layers for so many tokens, and of their weights likewise.
int64_t Model::routingBytes(int64_t tokens) const {
  return static_cast<int64_t>(description.moeLayers.size() * sizeof(int32_t)) * tokens *
         description.mostPicked();
}

/// Which of a feed's outputs is the first of the share's.
static int64_t firstOutput(int64_t end, int64_t outputs, const Feed &feed) {
  return end - outputs - (static_cast<int64_t>(feed.tokens.size()) - feed.outputs);
}

/// Results go straight to `only` where that is not null.
Status Model::placeResults(moec_step_arguments &arguments, const Share *only) {
  const int64_t vocabulary = description.vocabulary, entries = largestPerRow(),
                outputs = arguments.outputs;
  auto asks = [&](auto wants) {
    return std::any_of(shares.begin(), shares.end(),
                       [&](const Share &share) { return share.outputs && wants(*share.feed); });
  };
  if (asks([](const Feed &feed) { return feed.largest == nullptr; })) {
    if (only) {
      arguments.logits =
          only->feed->logits + firstOutput(only->end, only->outputs, *only->feed) * vocabulary;
    } else {
      if (Status status =
              logits.ensure(outputs * vocabulary * int64_t(sizeof(float)), "the logits of a step");
          !status.ok())
        return status;
      arguments.logits = reinterpret_cast<float *>(logits.data());
    }
  }
  if (asks([](const Feed &feed) { return feed.largest != nullptr; })) {
    if (Status status = largest.ensure(outputs * entries * int64_t(sizeof(moec_largest)),
                                       "the largest logits of a step");
        !status.ok())
      return status;
    arguments.largest = reinterpret_cast<moec_largest *>(largest.data());
  }
  return {};
}

void Model::returnResults(const moec_step_arguments &arguments, const Share *only) {
  const int64_t vocabulary = description.vocabulary, entries = largestPerRow();
  const int64_t picks = description.mostPicked(), rows = arguments.tokens;
  const int64_t moeLayers = static_cast<int64_t>(description.moeLayers.size());
  int64_t row = 0, output = 0;
  for (const Share &share : shares) {
    const Feed &feed = *share.feed;
    const int64_t count = share.end - share.begin,
                  first = firstOutput(share.end, share.outputs, feed);
    if (share.outputs && feed.largest)
      std::copy_n(arguments.largest + output * entries, share.outputs * entries,
                  feed.largest + first * entries);
    else if (share.outputs && !only)
      std::copy_n(arguments.logits + output * vocabulary, share.outputs * vocabulary,
                  feed.logits + first * vocabulary);
    for (int64_t layer = 0; feed.experts && layer < moeLayers; ++layer) {
      int64_t total = static_cast<int64_t>(feed.tokens.size());
      int64_t to = (layer * total + share.begin) * picks, from = (layer * rows + row) * picks;
      memcpy(feed.experts + to, arguments.experts + from, count * picks * sizeof(int32_t));
      memcpy(feed.expertWeights + to, arguments.expert_weights + from,
             count * picks * sizeof(float));
    }
    row += count;
    output += share.outputs;
  }
}

Status Model::runStep(bool routing) {
  batch.clear();
  for (const Share &share : shares)
    batch.add(share.feed->tokens.subspan(share.begin, share.end - share.begin),
              share.feed->sequence->next, share.outputs, share.feed->sequence->blocks);
  moec_step_arguments arguments = batch.arguments(cache);
  lastOutputs = arguments.outputs;

  const Share *only = nullptr; // that all logits are for
  for (const Share &share : shares)
    if (share.outputs && share.outputs == arguments.outputs)
      only = &share;
  if (Status status = placeResults(arguments, only); !status.ok())
    return status;
  if (routing) {
    for (PageBuffer *buffer : {&experts, &expertWeights})
      if (Status status = buffer->ensure(routingBytes(arguments.tokens), "the routing of a step");
          !status.ok())
        return status;
    arguments.experts = reinterpret_cast<int32_t *>(experts.data());
    arguments.expert_weights = reinterpret_cast<float *>(expertWeights.data());
  }
  if (Status status = compute(arguments); !status.ok())
    return status;
  returnResults(arguments, only);
  return {};
}

int64_t Model::largestPerRow() const {
  if (!onDevice)
    return 0;
  const int64_t pieces =
      (description.vocabulary + MOEC_LARGEST_PIECE - 1) / int64_t(MOEC_LARGEST_PIECE);
  return pieces * MOEC_LARGEST_COUNT;
}

Status Model::lastLogits(float *to) {
  assert(onDevice && lastOutputs > 0 && "a device has logits that were not asked for");
  const int64_t bytes = description.vocabulary * int64_t(sizeof(float));
  return onDevice->copyLogits((lastOutputs - 1) * bytes, to, bytes);
}

} // namespace moec
