// Looking things up in a model, and what people are shown of it.

#include "frontends/onnx/OnnxModel.h"

#include <fmt/format.h>

using namespace moec;

static constexpr size_t kMostShown = 200;

const OnnxAttribute *OnnxNode::find(std::string_view attribute) const {
  for (const OnnxAttribute &candidate : attributes)
    if (candidate.name == attribute)
      return &candidate;
  return nullptr;
}

std::span<const uint8_t> OnnxModel::bytesOf(const OnnxTensor &tensor) const {
  if (tensor.file == kAbsent)
    return tensor.decoded;
  const std::span<const uint8_t> bytes =
      tensor.file == 0 ? message : files[tensor.file].map.bytes();
  if (tensor.offset > bytes.size() || tensor.bytes > bytes.size() - tensor.offset)
    return {};
  return bytes.subspan(tensor.offset, tensor.bytes);
}

/// "outer/inner/" for a call of a call.
static std::string callPath(const OnnxModel &model, uint32_t call) {
  std::string path;
  for (; call != kAbsent; call = model.calls[call].caller) {
    const OnnxCall &each = model.calls[call];
    path =
        shownName(each.node.empty() ? model.functions[each.function].name : each.node) + "/" + path;
  }
  return path;
}

std::string OnnxModel::nameOf(uint32_t value) const {
  return callPath(*this, values[value].call) + shownName(values[value].name);
}

std::string OnnxModel::nameOf(const OnnxNode &node) const {
  return callPath(*this, node.call) + shownName(node.name.empty() ? node.op : node.name);
}

std::string moec::shownName(std::string_view name) {
  std::string text;
  for (char character : name.substr(0, kMostShown)) {
    const auto byte = static_cast<unsigned char>(character);
    text += byte < 0x20 || byte == 0x7f ? '?' : character;
  }
  if (name.size() <= kMostShown)
    return text;
  while (!text.empty() && (text.back() & 0x80)) // no half of a character
    text.pop_back();
  return text + "...";
}

std::string moec::shownOp(std::string_view domain, std::string_view op) {
  return domain.empty() ? shownName(op) : fmt::format("{}::{}", shownName(domain), shownName(op));
}
