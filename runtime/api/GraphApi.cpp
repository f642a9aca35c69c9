// The C interface of graphs.

#include "runtime/include/moec/moec.h"

#include "runtime/api/LastFailure.h"
#include "runtime/api/LibraryPath.h"
#include "runtime/core/Graph.h"
#include "runtime/core/Safetensors.h"

#include <fmt/format.h>

#include <optional>

using namespace moec;

namespace {

/// What moec_tensor_info points to.
struct Signature {
  std::vector<moec_tensor_info> tensors;
  std::vector<std::vector<int64_t>> shapes;
  std::vector<std::vector<const char *>> dimensions;
};

} // namespace

struct moec_graph {
  std::unique_ptr<Graph> graph;
  Signature inputs, outputs;
  std::vector<GraphInput> given;
};

static std::optional<moec_type> typeOf(std::string_view name) {
  std::optional<DataType> type = parseDataType(name);
  if (!type)
    return std::nullopt;
  switch (*type) {
  case DataType::Bool:
    return MOEC_BOOL;
  case DataType::U8:
    return MOEC_U8;
  case DataType::I8:
    return MOEC_I8;
  case DataType::U16:
    return MOEC_U16;
  case DataType::I16:
    return MOEC_I16;
  case DataType::U32:
    return MOEC_U32;
  case DataType::I32:
    return MOEC_I32;
  case DataType::U64:
    return MOEC_U64;
  case DataType::I64:
    return MOEC_I64;
  case DataType::F16:
    return MOEC_F16;
  case DataType::BF16:
    return MOEC_BF16;
  case DataType::F32:
    return MOEC_F32;
  case DataType::F64:
    return MOEC_F64;
  case DataType::F8E4M3:
    return MOEC_F8E4M3;
  case DataType::F8E5M2:
    return MOEC_F8E5M2;
  default:
    return std::nullopt;
  }
}

static Status describe(const std::vector<ManifestTensor> &tensors, Signature &into) {
  for (const ManifestTensor &tensor : tensors) {
    std::optional<moec_type> type = typeOf(tensor.type);
    if (!type)
      return {Code::Unsupported,
              fmt::format("'{}' is of {}, which C has no name for", tensor.name, tensor.type)};
    std::vector<int64_t> &shape = into.shapes.emplace_back();
    std::vector<const char *> &dimensions = into.dimensions.emplace_back();
    for (const ManifestSize &size : tensor.shape) {
      shape.push_back(size.size < 0 ? -1 : size.size);
      dimensions.push_back(size.dimension.c_str());
    }
    into.tensors.push_back({tensor.name.c_str(), static_cast<uint32_t>(*type),
                            static_cast<uint32_t>(shape.size()), shape.data(), dimensions.data()});
  }
  return {};
}

static Status openGraph(const moec_model_options *options, moec_graph **graph) {
  ModelOptions wanted;
  wanted.weights.program = libraryPath();
  if (options) {
    if (options->context || options->numa)
      return {Code::Usage, "a graph is opened with a context or numa, wanted 0 for both"};
    wanted.weights.file = options->weights_file ? options->weights_file : "";
    wanted.weights.directory = options->model_directory ? options->model_directory : "";
    wanted.threads = options->threads;
  }
  Result<std::unique_ptr<Graph>> opened = Graph::open(wanted);
  if (!opened.ok())
    return opened.status();
  auto handle = std::make_unique<moec_graph>();
  handle->graph = std::move(*opened);
  const ManifestGraph &signature = handle->graph->signature();
  if (Status status = describe(signature.inputs, handle->inputs); !status.ok())
    return status;
  if (Status status = describe(signature.outputs, handle->outputs); !status.ok())
    return status;
  handle->given.resize(signature.inputs.size());
  *graph = handle.release();
  return {};
}

moec_status moec_graph_open(const moec_model_options *options, moec_graph **graph) {
  *graph = nullptr;
  return reportFailure(openGraph(options, graph));
}

void moec_graph_close(moec_graph *graph) { delete graph; }

const moec_tensor_info *moec_graph_inputs(const moec_graph *graph, size_t *count) {
  *count = graph->inputs.tensors.size();
  return graph->inputs.tensors.data();
}

const moec_tensor_info *moec_graph_outputs(const moec_graph *graph, size_t *count) {
  *count = graph->outputs.tensors.size();
  return graph->outputs.tensors.data();
}

moec_status moec_graph_run(moec_graph *graph, const moec_tensor *inputs, moec_tensor *outputs) {
  for (size_t i = 0; i < graph->given.size(); ++i) {
    GraphInput &given = graph->given[i];
    given.shape.assign(inputs[i].shape, inputs[i].shape + inputs[i].rank);
    for (int64_t size : given.shape)
      if (size < 0)
        return reportFailure({Code::Usage, fmt::format("input '{}' has a negative size",
                                                       graph->inputs.tensors[i].name)});
    given.data = {static_cast<const uint8_t *>(inputs[i].data), 0}; // as long as its shape says
  }
  Status status = graph->graph->run(graph->given);
  if (!status.ok())
    return reportFailure(std::move(status));
  for (size_t i = 0; i < graph->outputs.tensors.size(); ++i) {
    std::span<const int64_t> shape = graph->graph->shape(i);
    outputs[i] = {graph->graph->data(i).data(), shape.data(), static_cast<uint32_t>(shape.size())};
  }
  return reportFailure({});
}
