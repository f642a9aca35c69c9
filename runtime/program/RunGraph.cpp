// graph: tensors in, tensors out.

#include "runtime/core/File.h"
#include "runtime/core/Graph.h"
#include "runtime/core/Safetensors.h"
#include "runtime/program/Commands.h"

#include <fmt/format.h>

namespace moec {

namespace {

/// The inputs as they are in memory, one after another at multiples of 64 bytes.
struct InputTensors {
  std::vector<GraphInput> inputs;
  std::vector<uint8_t> bytes;
};

constexpr uint64_t alignment = 64;

} // namespace

/// That the file has the graph's inputs and nothing else, each of its type.
static Status checkNames(const std::string &path, const SafetensorsHeader &header,
                         const ManifestGraph &graph) {
  std::string wanted;
  for (const ManifestTensor &input : graph.inputs)
    wanted += (wanted.empty() ? "" : ", ") + input.name;
  auto isInput = [&](const std::string &name) {
    for (const ManifestTensor &input : graph.inputs)
      if (input.name == name)
        return true;
    return false;
  };
  for (const SafetensorsTensor &tensor : header.tensors())
    if (!isInput(tensor.name))
      return {Code::Usage, fmt::format("{}: tensor '{}' is none of the graph's inputs: {}", path,
                                       tensor.name, wanted)};
  for (const ManifestTensor &input : graph.inputs) {
    const SafetensorsTensor *tensor = header.find(input.name);
    if (!tensor)
      return {Code::Usage, fmt::format("{}: has no tensor '{}', which the graph takes: {}", path,
                                       input.name, wanted)};
    if (dataTypeName(tensor->type) != input.type)
      return {Code::Usage, fmt::format("{}: tensor '{}' is {}, wanted {}", path, input.name,
                                       dataTypeName(tensor->type), input.type)};
  }
  return {};
}

static Status readInputs(const std::string &path, const ManifestGraph &graph, InputTensors &into) {
  if (path.empty())
    return graph.inputs.empty()
               ? Status()
               : Status{Code::Usage, fmt::format("no --input, and the graph takes '{}'",
                                                 graph.inputs.front().name)};
  Result<File> file = File::open(path, Code::Usage);
  if (!file.ok())
    return file.status();
  Result<SafetensorsHeader> header = SafetensorsHeader::read(*file);
  if (!header.ok()) // malformed input is the user's, not the model's
    return {header.status().code == Code::Model ? Code::Usage : header.status().code,
            header.status().message};
  if (Status status = checkNames(path, *header, graph); !status.ok())
    return status;
  std::vector<uint64_t> offsets;
  uint64_t total = 0;
  for (const ManifestTensor &input : graph.inputs) {
    offsets.push_back(total);
    total += (header->find(input.name)->bytes() + alignment - 1) / alignment * alignment;
  }
  into.bytes.resize(total + alignment);
  uint8_t *base = into.bytes.data();
  base += (alignment - reinterpret_cast<uintptr_t>(base) % alignment) % alignment;
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const SafetensorsTensor &tensor = *header->find(graph.inputs[i].name);
    std::span<uint8_t> room(base + offsets[i], tensor.bytes());
    if (Status status = file->readAt(header->dataStart() + tensor.begin, room); !status.ok())
      return status;
    if (tensor.type == DataType::Bool)
      for (uint8_t &byte : room)
        byte = byte != 0;
    into.inputs.push_back({tensor.shape, room});
  }
  return {};
}

Status runGraph(const GraphOptions &options) {
  ModelOptions open;
  open.weights.file = options.open.weightsFile;
  open.weights.directory = options.open.modelDirectory;
  open.threads = options.open.threads;
  open.device = options.open.device;
  Result<std::unique_ptr<Graph>> graph = Graph::open(open);
  if (!graph.ok())
    return graph.status();
  const ManifestGraph &signature = (*graph)->signature();
  InputTensors given;
  if (Status status = readInputs(options.input, signature, given); !status.ok())
    return status;
  if (Status status = (*graph)->run(given.inputs); !status.ok())
    return status;
  std::vector<SafetensorsOutput> outputs;
  for (size_t i = 0; i < signature.outputs.size(); ++i) {
    std::span<const int64_t> shape = (*graph)->shape(i);
    outputs.push_back({signature.outputs[i].name,
                       *parseDataType(signature.outputs[i].type),
                       {shape.begin(), shape.end()},
                       (*graph)->data(i)});
  }
  return writeSafetensors(options.output, std::move(outputs));
}

} // namespace moec
