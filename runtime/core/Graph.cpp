// Opening the program's graph, and running it.

#include "runtime/core/Graph.h"

#include "runtime/core/Safetensors.h"
#include "runtime/cpu/Resources.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace moec {

/// Most entries along a dimension: so products of two of them fit.
static constexpr int64_t mostEntries = INT64_C(1) << 31;
/// What the compiler gives for sizes that are too large to be told.
static constexpr int64_t mostBytes = INT64_C(1) << 50;

Result<std::unique_ptr<Graph>> Graph::open(const ModelOptions &options) {
  Result<Manifest> manifest = programManifest();
  if (!manifest.ok())
    return manifest.status();
  if (!manifest->graph || !moec_program_graph_sizes)
    return Status{Code::Usage, "this program is a language model, and no graph of tensors"};
  if (options.device != DeviceChoice::Default && options.device != DeviceChoice::Cpu)
    return Status{Code::Usage, "--device: this program computes on CPUs"};
  Result<size_t> level = chooseCpuLevel(*manifest);
  if (!level.ok())
    return level.status();
  std::unique_ptr<Graph> graph(new Graph(std::move(*manifest)));
  graph->levelIndex = *level;
  Result<std::unique_ptr<Weights>> weights = Weights::open(graph->description, options.weights);
  if (!weights.ok())
    return weights.status();
  graph->weights = std::move(*weights);
  Result<std::unique_ptr<Threads>> started =
      Threads::start(options.threads ? options.threads : defaultThreads(options.root));
  if (!started.ok())
    return started.status();
  graph->pool = std::move(*started);
  for (const ManifestTensor &output : graph->signature().outputs)
    graph->results.push_back({.shape = {},
                              .elementBytes = dataTypeBits(*parseDataType(output.type)) / 8,
                              .room = std::make_unique<PageBuffer>()});
  graph->outputPlaces.resize(graph->results.size() + 1);
  graph->outputPlaces.back() = reinterpret_cast<uint8_t *>(&graph->failure);
  return graph;
}

/// Gives each dimension the size that the inputs' shapes have there.
Status Graph::bindDimensions(std::span<const GraphInput> inputs) {
  const ManifestGraph &wanted = signature();
  assert(inputs.size() == wanted.inputs.size() && "an input is missing");
  dimensions.assign(wanted.dimensions.size(), -1);
  std::vector<std::string_view> givers(dimensions.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ManifestTensor &tensor = wanted.inputs[i];
    const std::vector<int64_t> &shape = inputs[i].shape;
    auto fail = [&](std::string why) {
      return Status{Code::Usage,
                    fmt::format("input '{}' has shape {}, {}", tensor.name, shapeText(shape), why)};
    };
    if (shape.size() != tensor.shape.size())
      return fail(fmt::format("wanted {} dimensions", tensor.shape.size()));
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      const ManifestSize &size = tensor.shape[axis];
      if (shape[axis] > mostEntries)
        return fail(fmt::format("wanted at most {} in dimension {}", mostEntries, axis));
      if (size.size >= 0) {
        if (size.size != shape[axis])
          return fail(fmt::format("wanted {} in dimension {}", size.size, axis));
        continue;
      }
      const size_t number =
          std::find(wanted.dimensions.begin(), wanted.dimensions.end(), size.dimension) -
          wanted.dimensions.begin();
      if (dimensions[number] >= 0 && dimensions[number] != shape[axis])
        return fail(fmt::format("wanted {} in dimension {}, '{}', as input '{}' has",
                                dimensions[number], axis, size.dimension, givers[number]));
      dimensions[number] = shape[axis];
      givers[number] = tensor.name;
    }
  }
  for (size_t number = 0; number < dimensions.size(); ++number)
    if (dimensions[number] < 0)
      return {Code::Model,
              fmt::format("no input has the dimension '{}'", wanted.dimensions[number])};
  return {};
}

Status Graph::makeRoom(size_t output) {
  const ManifestTensor &tensor = signature().outputs[output];
  Output &result = results[output];
  result.shape.clear();
  int64_t bytes = result.elementBytes;
  for (size_t axis = 0; axis < tensor.shape.size(); ++axis) {
    int64_t &size = sizes[output * MOEC_MOST_RANK + axis];
    if (tensor.shape[axis].size >= 0) // also of an output that nothing is written to
      size = tensor.shape[axis].size;
    result.shape.push_back(size);
    if (size < 0 || __builtin_mul_overflow(bytes, size, &bytes) || bytes >= mostBytes)
      return {Code::Resource, fmt::format("output '{}' would have shape {}, for which there is no "
                                          "memory",
                                          tensor.name, shapeText(result.shape))};
  }
  if (Status status = result.room->ensure(std::max<int64_t>(bytes, 1), "an output"); !status.ok())
    return status;
  outputPlaces[output] = result.room->data();
  return {};
}

/// Where the result is smaller than its buffer, its rows are moved together.
void Graph::finishShape(size_t output) {
  Output &result = results[output];
  const std::vector<int64_t> full = result.shape;
  for (size_t axis = 0; axis < full.size(); ++axis)
    result.shape[axis] = std::clamp<int64_t>(sizes[output * MOEC_MOST_RANK + axis], 0, full[axis]);
  if (result.shape == full)
    return;
  for (int64_t size : result.shape)
    if (size == 0)
      return;
  std::vector<int64_t> place(full.size(), 0);
  const int64_t run = result.shape.back() * result.elementBytes;
  uint8_t *to = result.room->data();
  for (bool more = true; more; to += run) {
    int64_t row = 0;
    for (size_t axis = 0; axis < full.size(); ++axis)
      row = row * full[axis] + place[axis];
    memmove(to, result.room->data() + row * result.elementBytes, run);
    more = false;
    for (size_t axis = full.size() - 1; axis-- > 0 && !more;) {
      more = ++place[axis] < result.shape[axis];
      if (!more)
        place[axis] = 0;
    }
  }
}

Status Graph::run(std::span<const GraphInput> inputs) {
  pool->settle(); // a late thread may be reading the dimensions
  if (Status status = bindDimensions(inputs); !status.ok())
    return status;
  sizes.assign(std::max<size_t>(results.size(), 1) * MOEC_MOST_RANK, 0);
  inputPlaces.clear();
  for (const GraphInput &input : inputs)
    inputPlaces.push_back(input.data.data());
  given = {.dimensions = dimensions.data(),
           .inputs = inputPlaces.data(),
           .outputs = outputPlaces.data(),
           .output_sizes = sizes.data()};
  moec_step_arguments arguments = {};
  arguments.graph = &given;
  const int64_t arenaBytes = moec_program_graph_sizes(&arguments);
  for (size_t output = 0; output < results.size(); ++output)
    if (Status status = makeRoom(output); !status.ok())
      return status;
  if (arenaBytes >= mostBytes)
    return {Code::Resource, "what the graph computes on the way does not fit any memory"};
  if (Status status = arena.ensure(std::max<int64_t>(arenaBytes, 1), "what the graph computes on "
                                                                     "the way");
      !status.ok())
    return status;
  arguments.arena = arena.data();
  arguments.weights = weights->packed();
  arguments.weight_pieces = weights->pieces();
  arguments.team = &pool->team();
  failure = 0;
  pool->step(moec_program_steps[levelIndex], arguments);
  if (const std::vector<std::string> &failures = signature().failures;
      failure > 0 && failure <= static_cast<int64_t>(failures.size()))
    return {Code::Usage, failures[failure - 1]};
  for (size_t output = 0; output < results.size(); ++output)
    finishShape(output);
  return {};
}

std::span<const uint8_t> Graph::data(size_t output) const {
  const Output &result = results[output];
  int64_t bytes = result.elementBytes;
  for (int64_t size : result.shape)
    bytes *= size;
  return {result.room->data(), static_cast<size_t>(bytes)};
}

} // namespace moec
