// From the nodes of a graph to a function.

#include "frontends/onnx/import/GraphImporter.h"

#include "dialects/lm/LmDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <algorithm>

using namespace mlir;
using namespace moec;

/// Integers that are an arith.constant rather than a stored tensor.
static constexpr int64_t kMostKnown = 1024;

GraphImporter::GraphImporter(const OnnxModel &model, ModuleOp module,
                             std::vector<OnnxSource> &sources)
    : model(model), module(module), sources(sources),
      tensors(module.getContext(),
              [this](const OnnxTensor &tensor) { return loadConstant(tensor); }),
      values(model.values.size()) {}

static Location named(MLIRContext *context, const std::string &name) {
  return NameLoc::get(StringAttr::get(context, name));
}

// Constants

/// Bits of an element, which may be less than a byte, from the packed bytes of a tensor.
static uint64_t bitsOf(std::span<const uint8_t> bytes, int64_t place, int64_t bits) {
  if (bits < 8)
    return (bytes[place * bits / 8] >> (place * bits % 8)) & ((1u << bits) - 1);
  uint64_t result = 0;
  for (int64_t byte = 0; byte < bits / 8; ++byte)
    result |= static_cast<uint64_t>(bytes[place * bits / 8 + byte]) << (8 * byte);
  return result;
}

static int64_t numberOf(std::span<const uint8_t> bytes, int64_t place, ElementType type) {
  const int64_t bits = elementTypeBits(type);
  const uint64_t raw = bitsOf(bytes, place, bits);
  if (isBool(type))
    return raw != 0;
  if (isUnsigned(type) || bits == 64)
    return static_cast<int64_t>(raw);
  return static_cast<int64_t>(raw << (64 - bits)) >> (64 - bits);
}

Result<GraphValue> GraphImporter::constant(const OnnxTensor &tensor, const std::string &name) {
  if (!tensors.typeOf(tensor.type))
    return Status{Code::Unsupported,
                  fmt::format("tensor '{}' is of {}, which moec does not compute with", name,
                              elementTypeName(tensor.type))};
  names.try_emplace(&tensor, name);
  GraphValue value;
  value.element = tensor.type;
  value.constant = &tensor;
  for (int64_t dim : tensor.dims)
    value.shape.push_back(Size(dim));
  const std::span<const uint8_t> bytes = model.bytesOf(tensor);
  const bool isThere = bytes.size() == tensor.bytes;
  if (!isFloat(tensor.type) && tensor.dims.size() <= 1 && tensor.elements <= kMostKnown &&
      isThere) {
    value.elements.emplace();
    for (int64_t place = 0; place < tensor.elements; ++place)
      value.elements->push_back(Size(numberOf(bytes, place, tensor.type)));
  }
  if (tensor.elements == 1 && isThere && !value.elements) {
    auto type = tensors.typeOf(value.element, value.shape);
    Attribute element;
    if (auto floats = dyn_cast<FloatType>(type.getElementType()))
      element = FloatAttr::get(
          floats, APFloat(floats.getFloatSemantics(),
                          APInt(floats.getWidth(), bitsOf(bytes, 0, floats.getWidth()))));
    else
      element =
          tensors.ops().getIntegerAttr(type.getElementType(), numberOf(bytes, 0, tensor.type));
    value.tensor = arith::ConstantOp::create(tensors.ops(), tensors.where(),
                                             DenseElementsAttr::get(type, element));
  }
  return value;
}

/// Values of less than a byte out of bytes that hold several, the first one lowest.
static Value unpack(TensorBuilder &tensors, const OnnxTensor &tensor, Value bytes) {
  const int64_t bits = elementTypeBits(tensor.type), perByte = 8 / bits;
  Sizes shape;
  for (int64_t dim : tensor.dims)
    shape.push_back(Size(dim));
  return tensors.tensorOf(
      tensors.build(tensor.type, shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
        Value number = make.index(0);
        for (auto [dim, index] : llvm::zip_equal(tensor.dims, place))
          number = make.add(make.mul(number, make.index(dim)), index);
        Value many = make.index(perByte);
        Value byte = TensorBuilder::extract(make, bytes, make.make<arith::DivUIOp>(number, many));
        Value first = make.mul(make.make<arith::RemUIOp>(number, many), make.index(bits));
        // Up to the top, then down with the sign, if there is one.
        Value up = make.make<arith::SubIOp>(make.index(8 - bits), first);
        Value high = make.make<arith::ShLIOp>(byte, make.fromIndex(up, byte.getType()));
        Value down = make.integer(byte.getType(), 8 - bits);
        return isUnsigned(tensor.type) ? make.make<arith::ShRUIOp>(high, down)
                                       : make.make<arith::ShRSIOp>(high, down);
      }));
}

Value GraphImporter::loadConstant(const OnnxTensor &tensor) {
  const bool isPacked = elementTypeBits(tensor.type) < 8;
  RankedTensorType type =
      isPacked
          ? RankedTensorType::get(static_cast<int64_t>(tensor.bytes), tensors.ops().getI8Type())
          : RankedTensorType::get(tensor.dims, tensors.typeOf(tensor.type));
  std::string &symbol = symbols[&tensor];
  if (symbol.empty()) {
    std::string source = names.lookup(&tensor);
    // Names are of one graph or function each; those of all are told apart.
    if (unsigned &count = sourceNames[source]; count++ > 0)
      source += fmt::format("#{}", count);
    symbol = fmt::format("t{}", sources.size());
    OpBuilder top = OpBuilder::atBlockBegin(module.getBody());
    if (!module.getBody()->empty())
      if (auto function = llvm::dyn_cast<func::FuncOp>(module.getBody()->back()))
        top.setInsertionPoint(function);
    lm::TensorOp::create(top, named(top.getContext(), source), symbol, type, source,
                         /*offset=*/IntegerAttr());
    sources.push_back({source, &tensor});
  }
  Value loaded = lm::LoadTensorOp::create(tensors.ops(), tensors.where(), type, symbol);
  return isPacked ? unpack(tensors, tensor, loaded) : loaded;
}

// Nodes

Status GraphImporter::importNode(const OnnxNode &node) {
  const OpRule *rule = table.find(node.domain, node.op);
  if (!rule)
    return {Code::Unsupported, describeNode(model, node) + ": moec does not know the operator"};
  const OpVersion *version = nullptr;
  for (const OpVersion &each : rule->versions)
    if (each.since <= node.version)
      version = &each;
  if (!version)
    return {Code::Unsupported,
            describeNode(model, node) + fmt::format(": moec knows the operator from version {} on",
                                                    rule->versions.front().since)};
  tensors.setLocation(named(module.getContext(), model.nameOf(node)));
  NodeImport import(*this, tensors, model, node, *version);
  import.check();
  if (!import.failed())
    rule->import(import);
  if (import.failed())
    return import.status();
  for (auto [place, output] : llvm::enumerate(node.outputs)) {
    if (output == kAbsent)
      continue;
    values[output] = import.made()[place]; // none where moec does not compute it
  }
  return {};
}

Status GraphImporter::importNodes(const OnnxGraph &graph) {
  for (const OnnxInitializer &initializer : graph.initializers) {
    Result<GraphValue> value = constant(initializer.tensor, model.nameOf(initializer.value));
    if (!value.ok())
      return value.status();
    values[initializer.value] = std::move(*value);
  }
  for (const OnnxNode &node : graph.nodes)
    if (Status status = importNode(node); !status.ok())
      return status;
  for (const OnnxOutput &output : graph.outputs)
    if (!isDefined(output.value))
      return {Code::Unsupported,
              fmt::format("output '{}' is one that moec does not compute", shownName(output.name))};
  return {};
}

// Inputs and outputs

Size GraphImporter::dimension(const std::string &name) {
  // Some exporters write sizes that are known as if they were names.
  if (!name.empty() && name.size() < 18 &&
      std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; }))
    return Size(std::stoll(name));
  auto [place, isNew] = dimensions.try_emplace(name);
  if (isNew) {
    place->second =
        tensors.sizeTable().add(lm::DimensionOp::create(tensors.ops(), tensors.where(),
                                                        tensors.ops().getIndexType(), batch, name),
                                /*isNegativePossible=*/false);
    dimensionNames[*place->second.asUnknown()] = name;
  }
  return place->second;
}

/// As safetensors calls element types; empty for those that it has not.
static std::string_view storedName(ElementType type) {
  switch (type) {
  case ElementType::Float:
    return "F32";
  case ElementType::Double:
    return "F64";
  case ElementType::Float16:
    return "F16";
  case ElementType::Bfloat16:
    return "BF16";
  case ElementType::Float8E4M3FN:
    return "F8_E4M3";
  case ElementType::Float8E5M2:
    return "F8_E5M2";
  case ElementType::Int8:
    return "I8";
  case ElementType::Int16:
    return "I16";
  case ElementType::Int32:
    return "I32";
  case ElementType::Int64:
    return "I64";
  case ElementType::Uint8:
    return "U8";
  case ElementType::Uint16:
    return "U16";
  case ElementType::Uint32:
    return "U32";
  case ElementType::Uint64:
    return "U64";
  case ElementType::Bool:
    return "BOOL";
  default:
    return "";
  }
}

Attribute GraphImporter::describe(const std::string &name, ElementType element,
                                  ArrayRef<Size> shape) {
  OpBuilder &builder = tensors.ops();
  SmallVector<Attribute> dims;
  for (const Size &size : shape) {
    if (size.isKnown()) {
      dims.push_back(builder.getI64IntegerAttr(size.value()));
      continue;
    }
    std::optional<uint32_t> unknown = size.asUnknown();
    dims.push_back(builder.getStringAttr(unknown ? dimensionNames.lookup(*unknown) : ""));
  }
  return builder.getDictionaryAttr(
      {builder.getNamedAttr("name", builder.getStringAttr(name)),
       builder.getNamedAttr("type", builder.getStringAttr(std::string(storedName(element)))),
       builder.getNamedAttr("shape", builder.getArrayAttr(dims))});
}

Result<GraphValue> GraphImporter::importInput(const OnnxInput &input) {
  const std::string name(input.name);
  if (storedName(input.type.element).empty())
    return Status{Code::Unsupported,
                  fmt::format("input '{}' is of {}, and a program's inputs are of types that "
                              "safetensors has",
                              shownName(name), elementTypeName(input.type.element))};
  if (!input.type.shape)
    return Status{
        Code::Unsupported,
        fmt::format("input '{}' has no shape; wanted at least its rank", shownName(name))};
  tensors.setLocation(named(module.getContext(), shownName(name)));
  Sizes shape;
  SmallVector<Value> open;
  for (auto [place, dim] : llvm::enumerate(*input.type.shape)) {
    if (dim.size >= 0)
      shape.push_back(Size(dim.size));
    else
      shape.push_back(dimension(dim.symbol.empty() ? fmt::format("{}.{}", name, place)
                                                   : std::string(dim.symbol)));
    if (!shape.back().isKnown())
      open.push_back(tensors.indexOf(shape.back()));
  }
  inputs.push_back(describe(name, input.type.element, shape));
  Value tensor = lm::GraphInputOp::create(
      tensors.ops(), tensors.where(), tensors.typeOf(input.type.element, shape), batch, name, open);
  return tensors.ofTensor(tensor, input.type.element, std::move(shape));
}

Status GraphImporter::importInputs() {
  for (const OnnxInput &input : model.graph.inputs) {
    if (input.preset != kAbsent)
      continue; // an initializer
    Result<GraphValue> value = importInput(input);
    if (!value.ok())
      return value.status();
    define(input.value, std::move(*value));
  }
  return {};
}

Status GraphImporter::importOutputs() {
  OpBuilder &builder = tensors.ops();
  for (const OnnxOutput &output : model.graph.outputs) {
    const std::string name(output.name);
    tensors.setLocation(named(module.getContext(), shownName(name)));
    const GraphValue result = value(output.value);
    if (storedName(result.element).empty())
      return {Code::Unsupported,
              fmt::format("output '{}' is of {}, and a program's outputs are of types that "
                          "safetensors has",
                          shownName(name), elementTypeName(result.element))};
    if (output.type.element != ElementType::Undefined && output.type.element != result.element)
      return {Code::Model,
              fmt::format("output '{}' is said to be of {}, and is of {}", shownName(name),
                          elementTypeName(output.type.element), elementTypeName(result.element))};
    if (output.type.shape && output.type.shape->size() != result.shape.size())
      return {Code::Model,
              fmt::format("output '{}' is said to be of rank {}, and is {}", shownName(name),
                          output.type.shape->size(), shapeText(result.shape))};
    outputs.push_back(describe(name, result.element, result.shape));
    SmallVector<Value> open;
    SmallVector<int64_t> sizes;
    SmallVector<std::pair<int64_t, Size>> parts;
    for (auto [place, size] : llvm::enumerate(result.shape)) {
      std::optional<Size> bound = tensors.sizeTable().bound(size);
      if (!bound)
        return {Code::Unsupported,
                fmt::format("size {} of output '{}' follows from data, and how large it may become "
                            "is not known",
                            place, shownName(name))};
      if (*bound != size)
        parts.emplace_back(place, size);
      sizes.push_back(bound->isKnown() ? bound->value() : ShapedType::kDynamic);
      if (!bound->isKnown())
        open.push_back(tensors.indexOf(*bound));
    }
    auto type = MemRefType::get(sizes, tensors.typeOf(result.element));
    Value tensor = tensors.tensorOf(result);
    Value buffer = lm::GraphOutputOp::create(builder, tensors.where(), type, batch, name, open);
    if (!parts.empty()) { // the result fills the beginning of its buffer
      SmallVector<OpFoldResult> offsets(sizes.size(), builder.getIndexAttr(0)),
          steps(sizes.size(), builder.getIndexAttr(1)), extents;
      for (const Size &size : result.shape)
        extents.push_back(size.isKnown() ? OpFoldResult(builder.getIndexAttr(size.value()))
                                         : OpFoldResult(tensors.indexOf(size)));
      buffer = memref::SubViewOp::create(builder, tensors.where(), buffer, offsets, extents, steps);
    }
    bufferization::MaterializeInDestinationOp::create(builder, tensors.where(), TypeRange(), tensor,
                                                      buffer, /*restrict=*/true, /*writable=*/true);
    for (auto [place, size] : parts)
      lm::SetOutputSizeOp::create(builder, tensors.where(), batch, name, place,
                                  tensors.indexOf(size));
  }
  return {};
}

Status GraphImporter::importModel() {
  OpBuilder &builder = tensors.ops();
  builder.setInsertionPointToEnd(module.getBody());
  tensors.setLocation(module.getLoc());
  auto function =
      func::FuncOp::create(builder, module.getLoc(), "graph",
                           builder.getFunctionType(lm::BatchType::get(module.getContext()), {}));
  builder.setInsertionPointToEnd(function.addEntryBlock());
  batch = function.getArgument(0);
  if (Status status = importInputs(); !status.ok())
    return status;
  if (Status status = importNodes(model.graph); !status.ok())
    return status;
  if (Status status = importOutputs(); !status.ok())
    return status;
  func::ReturnOp::create(builder, function.getLoc());
  SmallVector<StringRef> dimensionsInOrder;
  for (const auto &[name, size] : dimensions)
    dimensionsInOrder.push_back(name);
  module->setAttr(
      "moec.graph",
      builder.getDictionaryAttr(
          {builder.getNamedAttr("dimensions", builder.getStrArrayAttr(dimensionsInOrder)),
           builder.getNamedAttr("inputs", builder.getArrayAttr(inputs)),
           builder.getNamedAttr("outputs", builder.getArrayAttr(outputs))}));
  return {};
}
