// eval: tokens in, logits out; what every comparison with a reference runs.

#include "runtime/core/AtomicFile.h"
#include "runtime/core/File.h"
#include "runtime/core/Safetensors.h"
#include "runtime/core/Weights.h"
#include "runtime/program/Commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace moec {

namespace {

/// One sequence of the input, and all that is computed for it.
struct EvalSequence {
  std::string name;
  std::vector<int32_t> tokens;
  std::vector<float> logits;
  std::vector<int32_t> experts;
  std::vector<float> expertWeights;
  std::vector<int64_t> greedy;
};

constexpr std::string_view inputSuffix = ".input_ids";

} // namespace

/// Reads the ids of one tensor, checking that each is in the vocabulary.
static Status readTokens(const File &file, const SafetensorsHeader &header,
                         const SafetensorsTensor &tensor, const Manifest &manifest,
                         std::vector<int32_t> &tokens) {
  if (tensor.type != DataType::I64 || tensor.shape.size() != 1)
    return {Code::Usage,
            fmt::format("{}: tensor '{}' is {} {}, wanted I64 of one dimension", file.path(),
                        tensor.name, dataTypeName(tensor.type), shapeText(tensor.shape))};
  std::vector<uint8_t> bytes(tensor.bytes());
  if (Status status = file.readAt(header.dataStart() + tensor.begin, bytes); !status.ok())
    return status;
  for (size_t offset = 0; offset < bytes.size(); offset += sizeof(int64_t)) {
    int64_t id;
    memcpy(&id, bytes.data() + offset, sizeof id);
    if (id < 0 || id >= manifest.vocabulary)
      return {Code::Usage, fmt::format("{}: tensor '{}' holds token id {}, the vocabulary has {}",
                                       file.path(), tensor.name, id, manifest.vocabulary)};
    tokens.push_back(static_cast<int32_t>(id));
  }
  return {};
}

static Result<std::vector<EvalSequence>> readInput(const EvalOptions &options, const Model &model) {
  Result<File> file = File::open(options.input, Code::Usage);
  if (!file.ok())
    return file.status();
  Result<SafetensorsHeader> header = SafetensorsHeader::read(*file);
  if (!header.ok()) // malformed input is the user's, not the model's
    return Status{header.status().code == Code::Model ? Code::Usage : header.status().code,
                  header.status().message};
  std::vector<EvalSequence> sequences;
  for (const SafetensorsTensor &tensor : header->tensors()) {
    if (!tensor.name.ends_with(inputSuffix))
      continue;
    EvalSequence sequence;
    sequence.name = tensor.name.substr(0, tensor.name.size() - inputSuffix.size());
    Status status = readTokens(*file, *header, tensor, model.manifest(), sequence.tokens);
    if (!status.ok())
      return status;
    int64_t count = static_cast<int64_t>(sequence.tokens.size());
    int64_t wanted = count + std::max<int64_t>(options.greedy - 1, 0);
    if (count == 0)
      return Status{Code::Usage, fmt::format("{}: tensor '{}' is empty, wanted at least one token",
                                             options.input, tensor.name)};
    if (wanted > model.context())
      return Status{Code::Usage,
                    fmt::format("{}: tensor '{}' has {} tokens and {} follow, the context has room "
                                "for {}",
                                options.input, tensor.name, count, wanted - count,
                                model.context())};
    sequences.push_back(std::move(sequence));
  }
  if (sequences.empty())
    return Status{Code::Usage,
                  fmt::format("{}: no tensor is called NAME{}", options.input, inputSuffix)};
  return sequences;
}

/// The id of the largest logit; of equal ones the lowest.
static int32_t largestOf(const float *logits, int64_t vocabulary) {
  return static_cast<int32_t>(std::max_element(logits, logits + vocabulary) - logits);
}

/// The same of what a step gives of the largest logits of pieces.
static int32_t largestOf(std::span<const moec_largest> pieces) {
  const moec_largest *best = &pieces.front();
  for (const moec_largest &entry : pieces)
    if (entry.id >= 0 && entry.logit > best->logit)
      best = &entry;
  return best->id;
}

/// Runs some sequences through the model, together.
static Status evaluate(Model &model, const EvalOptions &options, std::span<EvalSequence> inputs) {
  const Manifest &manifest = model.manifest();
  int64_t vocabulary = manifest.vocabulary;
  int64_t moeLayers = static_cast<int64_t>(manifest.moeLayers.size());
  std::vector<Sequence> sequences;
  sequences.reserve(inputs.size());
  std::vector<Feed> feeds;
  for (EvalSequence &input : inputs) {
    int64_t count = static_cast<int64_t>(input.tokens.size());
    sequences.emplace_back(model);
    input.logits.resize(count * vocabulary);
    Feed feed{.sequence = &sequences.back(),
              .tokens = input.tokens,
              .outputs = count,
              .logits = input.logits.data()};
    if (options.routing && moeLayers > 0) {
      input.experts.resize(moeLayers * count * manifest.mostPicked());
      input.expertWeights.resize(input.experts.size());
      feed.experts = input.experts.data();
      feed.expertWeights = input.expertWeights.data();
    }
    feeds.push_back(feed);
  }
  if (Status status = model.feed(feeds, {.chunk = options.chunk}); !status.ok())
    return status;

  std::vector<int32_t> next(inputs.size());
  const auto entries = static_cast<size_t>(model.largestPerRow());
  const bool goesOn = options.greedy > 1;
  std::vector<float> logits(goesOn && !entries ? inputs.size() * vocabulary : 0);
  std::vector<moec_largest> largest(goesOn ? inputs.size() * entries : 0);
  for (int64_t made = 0; made < options.greedy; ++made) {
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (made == 0)
        next[i] = largestOf(&inputs[i].logits[inputs[i].logits.size() - vocabulary], vocabulary);
      else
        next[i] = entries ? largestOf(std::span(largest).subspan(i * entries, entries))
                          : largestOf(&logits[i * vocabulary], vocabulary);
      inputs[i].greedy.push_back(next[i]);
    }
    if (made + 1 == options.greedy)
      break;
    for (size_t i = 0; i < inputs.size(); ++i)
      feeds[i] = {.sequence = &sequences[i],
                  .tokens = {&next[i], 1},
                  .outputs = 1,
                  .logits = entries ? nullptr : &logits[i * vocabulary],
                  .largest = entries ? &largest[i * entries] : nullptr};
    if (Status status = model.feed(feeds); !status.ok())
      return status;
  }
  return {};
}

/// Picks of one layer as the file wants them: tokens x that layer's own number of picks.
template <typename To, typename From>
static std::vector<To> layerPicks(const std::vector<From> &all, int64_t layer, int64_t tokens,
                                  int64_t picked, int64_t mostPicked) {
  std::vector<To> picks;
  picks.reserve(tokens * picked);
  for (int64_t token = 0; token < tokens; ++token) {
    const From *row = &all[(layer * tokens + token) * mostPicked];
    picks.insert(picks.end(), row, row + picked);
  }
  return picks;
}

template <typename T> static std::span<const uint8_t> bytesOf(const std::vector<T> &values) {
  return {reinterpret_cast<const uint8_t *>(values.data()), values.size() * sizeof(T)};
}

static Status writeResults(const EvalOptions &options, const Manifest &manifest,
                           const std::vector<EvalSequence> &sequences) {
  std::vector<SafetensorsOutput> outputs;
  std::vector<std::vector<int64_t>> experts;
  std::vector<std::vector<float>> weights;
  for (const EvalSequence &sequence : sequences) {
    int64_t count = static_cast<int64_t>(sequence.tokens.size());
    outputs.push_back({sequence.name + ".logits",
                       DataType::F32,
                       {count, manifest.vocabulary},
                       bytesOf(sequence.logits)});
    if (options.greedy)
      outputs.push_back({sequence.name + ".greedy_ids",
                         DataType::I64,
                         {options.greedy},
                         bytesOf(sequence.greedy)});
    for (size_t i = 0; options.routing && i < manifest.moeLayers.size(); ++i) {
      const ManifestMoeLayer &layer = manifest.moeLayers[i];
      std::string name = fmt::format("{}.router.{}", sequence.name, layer.layer);
      experts.push_back(
          layerPicks<int64_t>(sequence.experts, i, count, layer.picked, manifest.mostPicked()));
      weights.push_back(
          layerPicks<float>(sequence.expertWeights, i, count, layer.picked, manifest.mostPicked()));
      outputs.push_back(
          {name + ".experts", DataType::I64, {count, layer.picked}, bytesOf(experts.back())});
      outputs.push_back(
          {name + ".weights", DataType::F32, {count, layer.picked}, bytesOf(weights.back())});
    }
  }
  return writeSafetensors(options.output, std::move(outputs));
}

/// Code::Model where a logit is no finite number. Written they are all the same, to be looked at.
static Status checkLogits(const EvalOptions &options, const Manifest &manifest,
                          const std::vector<EvalSequence> &sequences) {
  for (const EvalSequence &sequence : sequences) {
    auto odd = std::find_if_not(sequence.logits.begin(), sequence.logits.end(),
                                [](float logit) { return std::isfinite(logit); });
    if (odd != sequence.logits.end())
      return {Code::Model,
              fmt::format("{}: the logits after token {} of {} are not finite; there are weights "
                          "that are not, or too large",
                          options.output, (odd - sequence.logits.begin()) / manifest.vocabulary,
                          sequence.name)};
  }
  return {};
}

Status runEval(const EvalOptions &options) {
  const std::string program = programPath();
  for (const std::string &needed : {options.input, program})
    if (isSameFile(options.output, needed))
      return {Code::Usage, fmt::format("--output: '{}' is still needed", options.output)};
  // Hours of work must not end at a folder that is not there.
  if (Result<AtomicFile> probe = AtomicFile::create(options.output); !probe.ok())
    return probe.status();
  Result<std::unique_ptr<Model>> model = openModel(options.open);
  if (!model.ok())
    return model.status();
  for (const std::string &needed : (*model)->weights().files())
    if (isSameFile(options.output, needed))
      return {Code::Usage, fmt::format("--output: '{}' holds weights", options.output)};
  Result<std::vector<EvalSequence>> sequences = readInput(options, **model);
  if (!sequences.ok())
    return sequences.status();
  size_t together = options.batch ? sequences->size() : 1;
  for (size_t first = 0; first < sequences->size(); first += together) {
    Status status = evaluate(**model, options, std::span(*sequences).subspan(first, together));
    if (!status.ok())
      return status;
  }
  if (Status status = writeResults(options, (*model)->manifest(), *sequences); !status.ok())
    return status;
  return checkLogits(options, (*model)->manifest(), *sequences);
}

} // namespace moec
