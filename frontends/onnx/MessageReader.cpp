// One function per message. Tensors, graphs and lists of nodes are walked over in the file; what
// remains of each message goes through its class.

#include "frontends/onnx/MessageReader.h"

#include "frontends/onnx/MessageFields.h"

using namespace moec;
using Bytes = std::span<const uint8_t>;

static constexpr int kMostGraphs = 32;         // one in another
static constexpr size_t kMostAttributes = 100; // of a node or a function
static constexpr size_t kMostDomains = 1000;

static std::string_view withoutAlias(std::string_view domain) {
  return domain == "ai.onnx" ? std::string_view() : domain;
}

static Status twice(std::string_view what) {
  return {Code::Model, fmt::format("has {} twice", what)};
}

Status MessageReader::count(size_t more) {
  items += more;
  if (items <= mostItems)
    return {};
  return {Code::Unsupported,
          fmt::format("has more than {} nodes, values, attributes and tensors", mostItems)};
}

void MessageReader::note(const std::string &notice) {
  if (std::find(model.notices.begin(), model.notices.end(), notice) == model.notices.end())
    model.notices.push_back(notice);
}

// Models ----------------------------------------------------------------------------------------

Status MessageReader::read() {
  ::onnx::ModelProto message;
  std::optional<Bytes> graph;
  std::vector<Bytes> bodies;
  auto walk = [&](const WireField &field) -> Status {
    if (Status status = checkLength(field, "onnx.ModelProto"); !status.ok())
      return status;
    switch (field.number) {
    case 7:
      if (graph)
        return twice("a graph");
      graph = field.payload;
      return {};
    case 20:
      note("what is for training alone (training_info) is not read");
      return {};
    case 25:
      bodies.push_back(field.payload);
      return count(1);
    case 26:
      note("devices that the model was divided over (configuration) are not read");
      return {};
    default: // for people
      return {};
    }
  };
  if (Status status = readFields(model.message, fieldSet({6, 7, 14, 20, 25, 26}), message, walk);
      !status.ok())
    return status;
  model.irVersion = message.ir_version();
  model.producer = model.names.intern(message.producer_name());
  model.producerVersion = model.names.intern(message.producer_version());
  if (Status status = readSets(message.opset_import(), model.operatorSets); !status.ok())
    return status;
  if (!graph)
    return {Code::Model, "not an ONNX model: it has no graph"};
  isFunction = true;
  for (Bytes body : bodies)
    if (Status status = readFunction(body); !status.ok())
      return status;
  isFunction = false;
  return readGraph(*graph, model.graph);
}

Status MessageReader::readSets(
    const google::protobuf::RepeatedPtrField<::onnx::OperatorSetIdProto> &messages,
    std::vector<OnnxOperatorSet> &sets) {
  for (const ::onnx::OperatorSetIdProto &message : messages) {
    if (Status status = checkKnown(message); !status.ok())
      return status;
    std::string_view domain = model.names.intern(withoutAlias(message.domain()));
    auto isSame = [&](const OnnxOperatorSet &set) { return set.domain == domain; };
    auto known = std::find_if(sets.begin(), sets.end(), isSame);
    if (known == sets.end())
      sets.push_back({domain, message.version()});
    else if (known->version != message.version())
      return {Code::Model,
              fmt::format("imports versions {} and {} of {}", known->version, message.version(),
                          domain.empty() ? "ai.onnx" : shownName(domain))};
    if (sets.size() > kMostDomains)
      return {Code::Unsupported,
              fmt::format("imports operators of more than {} domains", kMostDomains)};
  }
  return {};
}

Status MessageReader::readFunction(Bytes bytes) {
  OnnxFunction function;
  std::vector<Bytes> nodes, presets;
  ::onnx::FunctionProto message;
  auto walk = [&](const WireField &field) -> Status {
    if (Status status = checkLength(field, "onnx.FunctionProto"); !status.ok())
      return status;
    if (field.number == 7)
      nodes.push_back(field.payload);
    else if (field.number == 11)
      presets.push_back(field.payload);
    return count(1);
  };
  if (Status status = readFields(bytes, fieldSet({7, 8, 11, 12, 14}), message, walk); !status.ok())
    return within("a function", status);
  function.domain = model.names.intern(withoutAlias(message.domain()));
  function.name = model.names.intern(message.name());
  function.overload = model.names.intern(message.overload());
  const std::string place = fmt::format("function {}", shownOp(function.domain, function.name));
  auto fail = [&](const Status &status) { return within(place, status); };
  if (message.name().empty())
    return fail({Code::Model, "has no name"});
  if (Status status = readSets(message.opset_import(), function.operatorSets); !status.ok())
    return fail(status);
  for (const std::string &name : message.input())
    function.inputs.push_back(number(name));
  for (const std::string &name : message.output())
    function.outputs.push_back(number(name));
  for (const std::string &name : message.attribute())
    function.attributes.push_back({model.names.intern(name), {}});
  for (Bytes preset : presets) {
    OnnxAttribute attribute;
    if (Status status = readAttribute(preset, attribute); !status.ok())
      return fail(status);
    if (std::holds_alternative<OnnxReference>(attribute.value))
      return fail({Code::Model, "refers to an attribute of another"});
    function.attributes.push_back(std::move(attribute));
  }
  if (Status status =
          count(function.inputs.size() + function.outputs.size() + function.attributes.size());
      !status.ok())
    return fail(status);
  if (function.attributes.size() > kMostAttributes)
    return fail({Code::Unsupported, fmt::format("has more than {} attributes", kMostAttributes)});
  std::set<std::string_view> seen;
  for (const OnnxAttribute &attribute : function.attributes)
    if (!seen.insert(attribute.name).second)
      return fail(twice(fmt::format("the attribute `{}`", shownName(attribute.name))));
  function.nodes.reserve(nodes.size());
  for (size_t place = 0; place < nodes.size(); ++place)
    if (Status status = readNodeAt(place, nodes[place], function.nodes); !status.ok())
      return fail(status);
  functions.push_back(std::move(function));
  return {};
}

// Graphs ----------------------------------------------------------------------------------------

Status MessageReader::readGraph(Bytes bytes, OnnxGraph &graph) {
  if (depth == kMostGraphs)
    return {Code::Unsupported, fmt::format("graphs are nested deeper than {} levels", kMostGraphs)};
  ++depth;
  ::onnx::GraphProto message;
  size_t place = 0;
  auto walk = [&](const WireField &field) -> Status {
    if (Status status = checkLength(field, "onnx.GraphProto"); !status.ok())
      return status;
    if (Status status = count(1); !status.ok())
      return status;
    switch (field.number) {
    case 1:
      return readNodeAt(place++, field.payload, graph.nodes);
    case 5: {
      Result<OnnxTensor> tensor = tensors.read(field.payload);
      if (!tensor.ok())
        return tensor.status();
      if (tensor->name.empty())
        return {Code::Model, "an initializer has no name"};
      const uint32_t value = model.names.number(tensor->name);
      graph.initializers.push_back({value, std::move(*tensor)});
      return {};
    }
    case 11: {
      OnnxInput &input = graph.inputs.emplace_back();
      Status status = readValue(field.payload, input.value, input.name, input.type);
      return status.ok() ? status
                         : within(fmt::format("input `{}`", shownName(input.name)), status);
    }
    case 12: {
      OnnxOutput &output = graph.outputs.emplace_back();
      Status status = readValue(field.payload, output.value, output.name, output.type);
      return status.ok() ? status
                         : within(fmt::format("output `{}`", shownName(output.name)), status);
    }
    case 14:
      note("hints about quantized tensors (quantization_annotation) are not read");
      return {};
    case 15:
      return {Code::Unsupported, "an initializer is sparse; save it as a dense tensor"};
    default: // for people, or inferred again: value_info
      return {};
    }
  };
  Status status = readFields(bytes, fieldSet({1, 5, 10, 11, 12, 13, 14, 15, 16}), message, walk);
  graph.name = model.names.intern(message.name());
  --depth;
  return status;
}

Status MessageReader::readValue(Bytes bytes, uint32_t &value, std::string_view &name,
                                OnnxType &type) {
  auto walk = [](const WireField &) { return Status(); };
  Status status = readFields(bytes, fieldSet({3, 4}), valueMessage, walk);
  value = number(valueMessage.name());
  name = model.names.text(value);
  if (!status.ok())
    return status;
  if (name.empty())
    return {Code::Model, "has no name"};
  return valueMessage.has_type() ? readType(valueMessage.type(), type) : Status();
}

Status MessageReader::readType(const ::onnx::TypeProto &message, OnnxType &type) {
  if (Status status = checkKnown(message); !status.ok())
    return status;
  auto refuse = [](std::string_view kind) {
    return Status{Code::Unsupported, fmt::format("is {}, wanted a tensor", kind)};
  };
  switch (message.value_case()) {
  case ::onnx::TypeProto::kTensorType:
    break;
  case ::onnx::TypeProto::kSequenceType:
    return refuse("a sequence");
  case ::onnx::TypeProto::kMapType:
    return refuse("a map");
  case ::onnx::TypeProto::kOptionalType:
    return refuse("an optional");
  case ::onnx::TypeProto::kSparseTensorType:
    return refuse("a sparse tensor");
  case ::onnx::TypeProto::kOpaqueType:
    return refuse("opaque");
  case ::onnx::TypeProto::VALUE_NOT_SET:
    return {};
  }
  const ::onnx::TypeProto::Tensor &tensor = message.tensor_type();
  if (Status status = checkKnown(tensor); !status.ok())
    return status;
  if (tensor.elem_type() != 0) {
    std::optional<ElementType> element = elementTypeOf(tensor.elem_type());
    if (!element)
      return {Code::Unsupported,
              fmt::format("has the element type {}, wanted one of 1 to 28", tensor.elem_type())};
    type.element = *element;
  }
  if (!tensor.has_shape())
    return {};
  if (Status status = checkKnown(tensor.shape()); !status.ok())
    return status;
  std::vector<OnnxDim> &shape = type.shape.emplace();
  for (const ::onnx::TensorShapeProto::Dimension &dim : tensor.shape().dim()) {
    if (Status status = checkKnown(dim); !status.ok())
      return status;
    if (dim.value_case() == ::onnx::TensorShapeProto::Dimension::kDimValue) {
      if (dim.dim_value() < -1) // some writers have -1 for a size that is not known
        return {Code::Model, fmt::format("has a size of {}", dim.dim_value())};
      shape.push_back({dim.dim_value(), {}});
    } else {
      shape.push_back({-1, model.names.intern(dim.dim_param())});
    }
  }
  return count(shape.size());
}

// Nodes -----------------------------------------------------------------------------------------

Status MessageReader::readNodeAt(size_t place, Bytes bytes, std::vector<OnnxNode> &nodes) {
  OnnxNode node;
  if (Status status = readNode(bytes, node); !status.ok()) {
    std::string name =
        node.name.empty() ? std::to_string(place) : fmt::format("`{}`", shownName(node.name));
    return within(fmt::format("node {} ({})", name, shownOp(node.domain, node.op)), status);
  }
  nodes.push_back(std::move(node));
  return {};
}

Status MessageReader::readNode(Bytes bytes, OnnxNode &node) {
  std::vector<Bytes> attributes;
  auto walk = [&](const WireField &field) -> Status {
    if (Status status = checkLength(field, "onnx.NodeProto"); !status.ok())
      return status;
    if (field.number == 5)
      attributes.push_back(field.payload);
    else if (field.number == 10)
      note("which devices nodes were meant for (device_configurations) is not read");
    return count(1);
  };
  Status status = readFields(bytes, fieldSet({5, 6, 9, 10}), nodeMessage, walk);
  node.name = model.names.intern(nodeMessage.name());
  node.op = model.names.intern(nodeMessage.op_type());
  node.domain = model.names.intern(withoutAlias(nodeMessage.domain()));
  node.overload = model.names.intern(nodeMessage.overload());
  if (!status.ok())
    return status;
  if (node.op.empty())
    return {Code::Model, "has no op_type"};
  node.inputs.reserve(static_cast<size_t>(nodeMessage.input_size()));
  for (const std::string &name : nodeMessage.input())
    node.inputs.push_back(number(name));
  node.outputs.reserve(static_cast<size_t>(nodeMessage.output_size()));
  for (const std::string &name : nodeMessage.output())
    node.outputs.push_back(number(name));
  if (Status more = count(node.inputs.size() + node.outputs.size()); !more.ok())
    return more;
  if (attributes.size() > kMostAttributes)
    return {Code::Unsupported, fmt::format("has more than {} attributes", kMostAttributes)};
  node.attributes.resize(attributes.size());
  for (size_t index = 0; index < attributes.size(); ++index) {
    OnnxAttribute &attribute = node.attributes[index];
    if (Status failure = readAttribute(attributes[index], attribute); !failure.ok())
      return within(fmt::format("attribute `{}`", shownName(attribute.name)), failure);
  }
  for (const OnnxAttribute &attribute : node.attributes)
    if (node.find(attribute.name) != &attribute)
      return twice(fmt::format("the attribute `{}`", shownName(attribute.name)));
  return {};
}

/// The index in OnnxAttribute::Value of what an attribute of that type holds; 0 where moec reads
/// none.
static size_t kindOf(::onnx::AttributeProto::AttributeType type) {
  switch (type) {
  case ::onnx::AttributeProto::FLOAT:
    return 1;
  case ::onnx::AttributeProto::INT:
    return 2;
  case ::onnx::AttributeProto::STRING:
    return 3;
  case ::onnx::AttributeProto::TENSOR:
    return 4;
  case ::onnx::AttributeProto::GRAPH:
    return 5;
  case ::onnx::AttributeProto::FLOATS:
    return 6;
  case ::onnx::AttributeProto::INTS:
    return 7;
  case ::onnx::AttributeProto::STRINGS:
    return 8;
  default:
    return 0;
  }
}

Status MessageReader::readAttribute(Bytes bytes, OnnxAttribute &attribute) {
  std::optional<Bytes> tensor, graph;
  bool hasOther = false;
  auto walk = [&](const WireField &field) -> Status {
    if (Status status = checkLength(field, "onnx.AttributeProto"); !status.ok())
      return status;
    if (field.number == 5 || field.number == 6) {
      std::optional<Bytes> &slot = field.number == 5 ? tensor : graph;
      if (slot)
        return twice(field.number == 5 ? "a tensor" : "a graph");
      slot = field.payload;
    } else if (field.number != 13) { // for people
      hasOther = true;
    }
    return {};
  };
  ::onnx::AttributeProto &message = attributeMessage;
  Status status = readFields(bytes, fieldSet({5, 6, 10, 11, 13, 14, 15, 22, 23}), message, walk);
  attribute.name = model.names.intern(message.name());
  if (!status.ok())
    return status;
  if (attribute.name.empty())
    return {Code::Model, "has no name"};
  const size_t kind = kindOf(message.type());
  if (message.type() == ::onnx::AttributeProto::UNDEFINED)
    return {Code::Model, "has no type"};
  if (kind == 0 || hasOther)
    return {Code::Unsupported, fmt::format("is of type {}, wanted a number, string, tensor or "
                                           "graph, or a list of numbers or strings",
                                           static_cast<int>(message.type()))};

  const bool has[] = {false,
                      message.has_f(),
                      message.has_i(),
                      message.has_s(),
                      tensor.has_value(),
                      graph.has_value(),
                      message.floats_size() > 0,
                      message.ints_size() > 0,
                      message.strings_size() > 0};
  const bool isReference = !message.ref_attr_name().empty();
  for (size_t other = 1; other < std::size(has); ++other)
    if (has[other] && (other != kind || isReference))
      return {Code::Model, "has a value of another type than it says"};
  if (isReference) {
    if (!isFunction)
      return {Code::Model, "refers to an attribute of a function, but is in none"};
    attribute.value = OnnxReference{model.names.intern(message.ref_attr_name()), kind};
    return {};
  }

  // Some writers leave out a number that is 0, or an empty string.
  switch (kind) {
  case 1:
    attribute.value = message.f();
    return {};
  case 2:
    attribute.value = static_cast<int64_t>(message.i());
    return {};
  case 3:
    attribute.value = message.s();
    return {};
  case 4: {
    if (!tensor)
      return {Code::Model, "has no tensor"};
    Result<OnnxTensor> read = tensors.read(*tensor);
    if (!read.ok())
      return read.status();
    attribute.value = std::make_shared<const OnnxTensor>(std::move(*read));
    return count(1);
  }
  case 5: {
    if (!graph)
      return {Code::Model, "has no graph"};
    auto read = std::make_unique<OnnxGraph>();
    if (Status failure = readGraph(*graph, *read); !failure.ok())
      return failure;
    attribute.value = std::move(read);
    return {};
  }
  case 6:
    attribute.value = std::vector<float>(message.floats().begin(), message.floats().end());
    return count(static_cast<size_t>(message.floats_size()) / 16);
  case 7:
    attribute.value = std::vector<int64_t>(message.ints().begin(), message.ints().end());
    return count(static_cast<size_t>(message.ints_size()) / 8);
  default:
    attribute.value = std::vector<std::string>(message.strings().begin(), message.strings().end());
    return count(static_cast<size_t>(message.strings_size()));
  }
}
