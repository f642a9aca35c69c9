// Reads graphs of tensors and finds their weights.

#include "tools/moec/GraphInput.h"

#include "frontends/onnx/OnnxReader.h"
#include "frontends/onnx/import/OnnxImport.h"
#include "tools/moec/Artifact.h"

#include "llvm/Support/Path.h"

#include <fmt/format.h>

using namespace moec;

/// Of less than a byte: bytes that hold several.
static DataType storedType(ElementType type) {
  switch (type) {
  case ElementType::Float:
    return DataType::F32;
  case ElementType::Double:
    return DataType::F64;
  case ElementType::Float16:
    return DataType::F16;
  case ElementType::Bfloat16:
    return DataType::BF16;
  case ElementType::Float8E4M3FN:
    return DataType::F8E4M3;
  case ElementType::Float8E5M2:
    return DataType::F8E5M2;
  case ElementType::Int8:
    return DataType::I8;
  case ElementType::Int16:
    return DataType::I16;
  case ElementType::Uint16:
    return DataType::U16;
  case ElementType::Int32:
    return DataType::I32;
  case ElementType::Uint32:
    return DataType::U32;
  case ElementType::Int64:
    return DataType::I64;
  case ElementType::Uint64:
    return DataType::U64;
  case ElementType::Bool:
    return DataType::Bool;
  default:
    return DataType::U8;
  }
}

/// What the packer reads; `scratch` is for what lies in no file of the model.
static Result<Checkpoint> findTensors(const OnnxModel &model, llvm::ArrayRef<OnnxSource> sources,
                                      std::optional<ScratchFile> &scratch) {
  std::vector<CheckpointFile> files;
  for (const OnnxFile &file : model.files)
    files.push_back({.name = file.name, .path = file.path, .bytes = file.size, .dataStart = 0});
  std::vector<TensorPlace> places;
  std::string decoded;
  for (const OnnxSource &source : sources) {
    const OnnxTensor &tensor = *source.tensor;
    TensorPlace place{.name = source.name,
                      .file = tensor.file,
                      .type = storedType(tensor.type),
                      .shape = tensor.dims,
                      .offset = tensor.offset,
                      .bytes = tensor.bytes};
    if (elementTypeBits(tensor.type) < 8)
      place.shape = {static_cast<int64_t>(tensor.bytes)};
    if (tensor.file == kAbsent) {
      decoded.resize((decoded.size() + 7) / 8 * 8);
      place.file = static_cast<uint32_t>(files.size());
      place.offset = decoded.size();
      decoded.append(reinterpret_cast<const char *>(tensor.decoded.data()), tensor.decoded.size());
    }
    places.push_back(std::move(place));
  }
  if (!decoded.empty()) {
    Result<ScratchFile> file = ScratchFile::create(".tensors");
    if (!file.ok())
      return file.status();
    scratch.emplace(std::move(*file));
    if (Status status = writeFile(scratch->path(), decoded); !status.ok())
      return status;
    files.push_back({.name = "decoded tensors",
                     .path = scratch->path(),
                     .bytes = decoded.size(),
                     .dataStart = 0});
  }
  return Checkpoint::ofTensors("", std::move(files), places);
}

static Status checkTarget(const CompileRequest &request) {
  if (request.device != Device::Cuda)
    return {};
  return {Code::Unsupported, fmt::format("--target=cuda: '{}' is a graph of tensors, which are "
                                         "compiled for CPUs alone so far",
                                         request.input)};
}

Result<Checkpoint> moec::openGraphTensors(const CompileRequest &request) {
  if (Status status = checkTarget(request); !status.ok())
    return status;
  return request.tensors.empty() ? Checkpoint::ofTensors("", {}, {})
                                 : Checkpoint::openTensors(request.tensors);
}

Result<GraphInput> moec::openOnnx(const CompileRequest &request, mlir::MLIRContext &context) {
  for (auto [option, isGiven] : {std::pair("--context", request.context != 0),
                                 std::pair("--mla", request.latentForm.has_value())})
    if (isGiven)
      return Status{Code::Usage, fmt::format("{} is for reading a model directory, and '{}' is a "
                                             "graph",
                                             option, request.input)};
  if (Status status = checkTarget(request); !status.ok())
    return status;
  Result<OnnxModel> model = readOnnx(
      request.input, {.headersOnly = request.headersOnly, .followLinks = request.followLinks});
  if (!model.ok())
    return model.status();
  for (const OnnxFile &file : model->files)
    for (const std::string &path : {request.output, request.output + ".weights"})
      if (isSameFile(path, file.path))
        return Status{Code::Usage, fmt::format("-o: '{}' is a file of the model itself", path)};
  Result<OnnxImport> imported =
      importOnnx(*model, context, llvm::sys::path::stem(request.input).str());
  if (!imported.ok())
    return Status{imported.status().code, request.input + ": " + imported.status().message};
  std::optional<ScratchFile> decoded;
  Result<Checkpoint> tensors = findTensors(*model, imported->sources, decoded);
  if (!tensors.ok())
    return tensors.status();
  return GraphInput{.module = std::move(imported->module),
                    .tensors = std::move(*tensors),
                    .decoded = std::move(decoded),
                    .notices = std::move(imported->notices)};
}
