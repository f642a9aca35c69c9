// The steps of reading: map, messages, names.

#include "frontends/onnx/OnnxReader.h"

#include "frontends/onnx/MessageFields.h"
#include "frontends/onnx/MessageReader.h"
#include "frontends/onnx/NameResolver.h"
#include "runtime/text/Utf8.h"

using namespace moec;

static constexpr uint64_t kMostBytes = INT32_MAX; // of a message of Protobuf

static Status readMessage(OnnxModel &model, const std::string &directory,
                          const OnnxOptions &options) {
  MessageReader messages(model, {directory, options.followLinks, options.headersOnly},
                         options.mostItems);
  if (Status status = messages.read(); !status.ok())
    return status;
  for (uint32_t number = 0; number < model.names.size(); ++number)
    if (!utf8::isValid(model.names.text(number)))
      return {Code::Model, fmt::format("a name begins with `{}` and goes on with what is not UTF-8",
                                       shownName(model.names.text(number).substr(
                                           0, utf8::validPrefix(model.names.text(number)))))};
  return NameResolver(model, {messages.takeFunctions(), options.mostItems}).resolve();
}

Result<OnnxModel> moec::readOnnx(std::span<const uint8_t> message, const std::string &directory,
                                 const OnnxOptions &options) {
  if (message.size() > kMostBytes)
    return Status{Code::Model,
                  fmt::format("holds {} bytes; ONNX files hold at most {}, save the model with "
                              "external data",
                              message.size(), kMostBytes)};
  OnnxModel model;
  model.message = message;
  model.files.push_back({.name = {}, .path = {}, .size = message.size(), .map = {}});
  if (Status status = readMessage(model, directory, options); !status.ok())
    return status;
  return model;
}

Result<OnnxModel> moec::readOnnx(const std::string &path, const OnnxOptions &options) {
  Result<File> file = File::open(path);
  if (!file.ok())
    return file.status();
  Result<MappedFile> map = MappedFile::map(*file);
  if (!map.ok())
    return map.status();
  const size_t slash = path.rfind('/');
  const std::string directory = slash == path.npos ? "." : path.substr(0, slash ? slash : 1);
  Result<OnnxModel> model = readOnnx(map->bytes(), directory, options);
  if (!model.ok())
    return within(path, model.status());
  model->files[0].name = slash == path.npos ? path : path.substr(slash + 1);
  model->files[0].path = path;
  model->files[0].map = std::move(*map);
  return model;
}
