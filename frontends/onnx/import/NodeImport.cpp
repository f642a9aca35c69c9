// Inputs and attributes of a node, checked against its version of the operator.

#include "frontends/onnx/import/NodeImport.h"

#include "frontends/onnx/import/GraphImporter.h"
#include "llvm/ADT/StringExtras.h"

using namespace llvm;
using namespace moec;

std::string moec::describeNode(const OnnxModel &model, const OnnxNode &node) {
  return fmt::format("node '{}' ({}, version {})", model.nameOf(node),
                     shownOp(node.domain, node.op), node.version);
}

std::string moec::shapeText(ArrayRef<Size> shape) {
  if (shape.empty())
    return "a scalar";
  std::string text;
  for (const Size &size : shape)
    text += (text.empty() ? "" : " x ") + (size.isKnown() ? std::to_string(size.value()) : "?");
  return text;
}

void NodeImport::fail(Code code, const std::string &what) {
  keep({code, describeNode(model, node) + ": " + what});
}

static std::string rangeText(size_t least, size_t most, const char *what) {
  if (most == kAny)
    return fmt::format("{} or more {}", least, what);
  if (least == most)
    return fmt::format("{} {}", least, what);
  return fmt::format("{} to {} {}", least, most, what);
}

/// How tables spell the kind of an attribute's value.
static std::string_view kindOf(const OnnxAttribute::Value &value) {
  struct Kinds {
    std::string_view operator()(std::monostate) { return "nothing"; }
    std::string_view operator()(float) { return "f"; }
    std::string_view operator()(int64_t) { return "i"; }
    std::string_view operator()(const std::string &) { return "s"; }
    std::string_view operator()(const std::shared_ptr<const OnnxTensor> &) { return "t"; }
    std::string_view operator()(const std::unique_ptr<OnnxGraph> &) { return "g"; }
    std::string_view operator()(const std::vector<float> &) { return "fs"; }
    std::string_view operator()(const std::vector<int64_t> &) { return "is"; }
    std::string_view operator()(const std::vector<std::string> &) { return "ss"; }
    std::string_view operator()(const OnnxReference &) { return "nothing"; }
  };
  return std::visit(Kinds(), value);
}

static std::string_view kindText(std::string_view kind) {
  static constexpr std::pair<std::string_view, std::string_view> words[] = {
      {"f", "a float"},
      {"i", "an integer"},
      {"s", "a string"},
      {"t", "a tensor"},
      {"g", "a graph"},
      {"fs", "a list of floats"},
      {"is", "a list of integers"},
      {"ss", "a list of strings"}};
  for (auto [letter, text] : words)
    if (letter == kind)
      return text;
  return "nothing";
}

void NodeImport::checkAttributes() {
  SmallVector<StringRef> known;
  StringRef(rules.attributes).split(known, ' ', -1, /*KeepEmpty=*/false);
  for (const OnnxAttribute &attribute : node.attributes) {
    StringRef wanted;
    for (StringRef entry : known)
      if (auto [name, kind] = entry.split(':'); name == StringRef(attribute.name))
        wanted = kind;
    if (wanted.empty())
      return unsupported("has an attribute `{}`, which that version does not have",
                         shownName(attribute.name));
    // A list without elements does not say of what.
    if (const std::string_view kind = kindOf(attribute.value); kind != std::string_view(wanted))
      return malformed("`{}` is {}, wanted {}", shownName(attribute.name), kindText(kind),
                       kindText(wanted));
  }
}

void NodeImport::check() {
  if (node.inputs.size() < rules.leastInputs || node.inputs.size() > rules.mostInputs)
    return malformed("has {} inputs, wanted {}", node.inputs.size(),
                     rangeText(rules.leastInputs, rules.mostInputs, "inputs"));
  for (size_t place = 0; place < rules.leastInputs; ++place)
    if (!has(place) && !(rules.optionalInputs >> place & 1))
      return malformed("leaves out input {}, which it needs", place);
  for (uint32_t value : node.inputs)
    if (value != kAbsent && !importer.isDefined(value))
      return unsupported("reads '{}', an output that moec does not compute", model.nameOf(value));
  if (node.outputs.size() < rules.leastOutputs || node.outputs.size() > rules.mostOutputs)
    return malformed("has {} outputs, wanted {}", node.outputs.size(),
                     rangeText(rules.leastOutputs, rules.mostOutputs, "outputs"));
  checkAttributes();
}

const GraphValue &NodeImport::input(size_t place) { return importer.value(node.inputs[place]); }

std::vector<GraphValue> NodeImport::inputs() {
  std::vector<GraphValue> values;
  for (size_t place = 0; place < node.inputs.size(); ++place)
    if (has(place))
      values.push_back(input(place));
  return values;
}

template <typename T> static const T *valueOf(const OnnxNode &node, std::string_view name) {
  const OnnxAttribute *attribute = node.find(name);
  return attribute ? std::get_if<T>(&attribute->value) : nullptr;
}

int64_t NodeImport::integer(std::string_view name, int64_t otherwise) const {
  const auto *value = valueOf<int64_t>(node, name);
  return value ? *value : otherwise;
}
float NodeImport::real(std::string_view name, float otherwise) const {
  const auto *value = valueOf<float>(node, name);
  return value ? *value : otherwise;
}
std::string NodeImport::text(std::string_view name, std::string_view otherwise) const {
  const auto *value = valueOf<std::string>(node, name);
  return value ? *value : std::string(otherwise);
}
std::optional<std::vector<int64_t>> NodeImport::integers(std::string_view name) const {
  const auto *value = valueOf<std::vector<int64_t>>(node, name);
  return value ? std::optional(*value) : std::nullopt;
}
const std::vector<float> *NodeImport::reals(std::string_view name) const {
  return valueOf<std::vector<float>>(node, name);
}
const OnnxTensor *NodeImport::tensor(std::string_view name) const {
  const auto *value = valueOf<std::shared_ptr<const OnnxTensor>>(node, name);
  return value ? value->get() : nullptr;
}
const OnnxGraph *NodeImport::graph(std::string_view name) const {
  const auto *value = valueOf<std::unique_ptr<OnnxGraph>>(node, name);
  return value ? value->get() : nullptr;
}

std::optional<SmallVector<Size, 1>> NodeImport::numbers(size_t place, std::string_view what) {
  std::optional<SmallVector<Size, 1>> numbers = tensors.numbersOf(input(place));
  if (!numbers)
    unsupported("{} (input {}) is a {} tensor, {}; wanted a few whole numbers, of a known count",
                what, place, elementTypeName(input(place).element), shapeText(input(place).shape));
  return numbers;
}

std::optional<std::vector<int64_t>> NodeImport::knownNumbers(size_t place, std::string_view what) {
  const GraphValue &value = input(place);
  if (!value.isKnown()) {
    unsupported("{} (input {}) must be known when the model is compiled, and here is computed",
                what, place);
    return std::nullopt;
  }
  std::vector<int64_t> known;
  for (const Size &element : *value.elements)
    known.push_back(element.value());
  return known;
}

int64_t NodeImport::dim(int64_t dim, int64_t rank, std::string_view what) {
  std::optional<int64_t> found = normalizedDim(dim, rank);
  if (!found)
    malformed("{} {} is no dimension of a tensor of rank {}", what, dim, rank);
  return found.value_or(0);
}

SmallVector<int64_t> NodeImport::dims(ArrayRef<int64_t> dims, int64_t rank, std::string_view what) {
  SmallVector<int64_t> result;
  for (int64_t each : dims)
    result.push_back(dim(each, rank, what));
  llvm::sort(result);
  if (!failed() && std::adjacent_find(result.begin(), result.end()) != result.end())
    malformed("{} names a dimension twice", what);
  return result;
}

Sizes NodeImport::broadcastShape(TensorBuilder::Values values) {
  SmallVector<ArrayRef<Size>> shapes;
  for (const GraphValue &value : values)
    shapes.push_back(value.shape);
  std::optional<Sizes> shape = tensors.broadcastShape(shapes);
  if (!shape) {
    std::string text;
    for (ArrayRef<Size> each : shapes)
      text += (text.empty() ? "" : " and ") + shapeText(each);
    malformed("its inputs are of shapes that do not broadcast: {}", text);
  }
  return shape.value_or(Sizes());
}

void NodeImport::requireSameElement(TensorBuilder::Values values) {
  for (const GraphValue &value : values)
    if (value.element != values.front().element)
      return malformed("its inputs are of {} and {}; wanted one type",
                       elementTypeName(values.front().element), elementTypeName(value.element));
}

void NodeImport::requireRank(const GraphValue &value, int64_t least, int64_t most,
                             std::string_view what) {
  if (value.rank() < least || value.rank() > most)
    malformed("{} is of rank {}, wanted {}", what, value.rank(),
              least == most ? std::to_string(least) : fmt::format("{} to {}", least, most));
}

void NodeImport::requireFloat(const GraphValue &value, std::string_view what) {
  if (!isFloat(value.element))
    malformed("{} is of {}, wanted floats", what, elementTypeName(value.element));
}

void NodeImport::requireEqual(const Size &a, const Size &b, std::string_view what) {
  if (a.isKnown() && b.isKnown()) {
    if (a != b)
      malformed("{} differ: {} and {}", what, a.value(), b.value());
    return;
  }
  tensors.requireEqual(a, b, describeNode(model, node) + ": " + std::string(what) + " differ");
}
