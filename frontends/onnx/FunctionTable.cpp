// Looks for circles of calls before anything is copied, and bounds what copies make.

#include "frontends/onnx/FunctionTable.h"

#include "frontends/onnx/MessageFields.h"

using namespace moec;

static constexpr size_t kGraphKind = 5; // of OnnxAttribute::Value
static_assert(std::is_same_v<std::variant_alternative_t<kGraphKind, OnnxAttribute::Value>,
                             std::unique_ptr<OnnxGraph>>);

Status FunctionTable::check() {
  for (uint32_t number = 0; number < functions.size(); ++number) {
    const OnnxFunction &function = functions[number];
    if (!byName.try_emplace({function.domain, function.name, function.overload}, number).second)
      return {Code::Model,
              fmt::format("function {} is there twice", shownOp(function.domain, function.name))};
  }
  return checkCircles();
}

std::optional<uint32_t> FunctionTable::find(const OnnxNode &node) const {
  if (byName.empty())
    return std::nullopt;
  auto found = byName.find({node.domain, node.op, node.overload});
  if (found == byName.end())
    return std::nullopt;
  return found->second;
}

void FunctionTable::addCallees(const std::vector<OnnxNode> &nodes,
                               std::vector<uint32_t> &callees) const {
  for (const OnnxNode &node : nodes) {
    if (std::optional<uint32_t> callee = find(node))
      callees.push_back(*callee);
    for (const OnnxAttribute &attribute : node.attributes)
      if (const auto *graph = std::get_if<std::unique_ptr<OnnxGraph>>(&attribute.value))
        addCallees((*graph)->nodes, callees);
  }
}

Status FunctionTable::checkCircles() const {
  enum class State : uint8_t { New, Open, Done };
  struct Visit {
    uint32_t function;
    std::vector<uint32_t> callees;
  };
  std::vector<State> states(functions.size(), State::New);
  for (uint32_t root = 0; root < functions.size(); ++root) {
    std::vector<Visit> open; // without recursion, as chains may be long
    auto enter = [&](uint32_t function) {
      states[function] = State::Open;
      addCallees(functions[function].nodes, open.emplace_back(Visit{function, {}}).callees);
    };
    if (states[root] == State::New)
      enter(root);
    while (!open.empty()) {
      std::vector<uint32_t> &callees = open.back().callees;
      if (callees.empty()) {
        states[open.back().function] = State::Done;
        open.pop_back();
        continue;
      }
      const uint32_t callee = callees.back();
      callees.pop_back();
      if (states[callee] == State::New)
        enter(callee);
      else if (states[callee] == State::Open)
        return {Code::Model, fmt::format("function {} calls itself, by way of {}",
                                         shownOp(functions[callee].domain, functions[callee].name),
                                         shownOp(functions[open.back().function].domain,
                                                 functions[open.back().function].name))};
    }
  }
  return {};
}

// Copies ----------------------------------------------------------------------------------------

Status FunctionTable::count(size_t more) {
  items += more;
  if (items <= mostItems)
    return {};
  return {Code::Unsupported,
          fmt::format("functions expand to more than {} nodes, values and attributes", mostItems)};
}

Result<std::vector<OnnxNode>> FunctionTable::copyBody(uint32_t function, const OnnxNode &node) {
  const Call call{functions[function], node};
  // Empty bodies, and inputs that the call leaves out, take time too.
  if (Status status = count(1 + call.function.inputs.size()); !status.ok())
    return status;
  for (const OnnxAttribute &attribute : node.attributes) {
    const std::vector<OnnxAttribute> &known = call.function.attributes;
    auto isSame = [&](const OnnxAttribute &each) { return each.name == attribute.name; };
    if (std::none_of(known.begin(), known.end(), isSame))
      return Status{Code::Model, fmt::format("has the attribute `{}`, which the function does not",
                                             shownName(attribute.name))};
  }
  std::vector<OnnxNode> body;
  for (const OnnxNode &each : call.function.nodes)
    if (Status status = copyNode(call, each, body.emplace_back()); !status.ok())
      return within(fmt::format("function {}: node `{}` ({})",
                                shownOp(call.function.domain, call.function.name),
                                shownName(each.name), shownOp(each.domain, each.op)),
                    status);
  return body;
}

Status FunctionTable::copyNode(const Call &call, const OnnxNode &from, OnnxNode &to) {
  if (Status status = count(1 + from.inputs.size() + from.outputs.size()); !status.ok())
    return status;
  to.name = from.name;
  to.domain = from.domain;
  to.op = from.op;
  to.overload = from.overload;
  to.inputs = from.inputs;
  to.outputs = from.outputs;
  for (const OnnxAttribute &attribute : from.attributes)
    if (Status status = copyAttribute(call, attribute, to); !status.ok())
      return within(fmt::format("attribute `{}`", shownName(attribute.name)), status);
  return {};
}

/// What a copy of a value takes, next to a node.
static size_t weightOf(const OnnxAttribute::Value &value) {
  if (const auto *text = std::get_if<std::string>(&value))
    return 1 + text->size() / 64;
  if (const auto *floats = std::get_if<std::vector<float>>(&value))
    return 1 + floats->size() / 16;
  if (const auto *ints = std::get_if<std::vector<int64_t>>(&value))
    return 1 + ints->size() / 8;
  if (const auto *strings = std::get_if<std::vector<std::string>>(&value)) {
    size_t weight = 1;
    for (const std::string &text : *strings)
      weight += 1 + text.size() / 64;
    return weight;
  }
  return 1;
}

/// A value other than a graph.
static OnnxAttribute::Value copyOf(const OnnxAttribute::Value &value) {
  return std::visit(
      [](const auto &each) -> OnnxAttribute::Value {
        using Each = std::decay_t<decltype(each)>;
        if constexpr (std::is_same_v<Each, std::unique_ptr<OnnxGraph>>) {
          assert(false && "graphs are copied with what they refer to");
          return {};
        } else {
          return each;
        }
      },
      value);
}

Status FunctionTable::copyAttribute(const Call &call, const OnnxAttribute &from, OnnxNode &to) {
  if (const auto *graph = std::get_if<std::unique_ptr<OnnxGraph>>(&from.value)) {
    auto copy = std::make_unique<OnnxGraph>();
    if (Status status = copyGraph(call, **graph, *copy); !status.ok())
      return status;
    to.attributes.push_back({from.name, std::move(copy)});
    return count(1);
  }
  const OnnxAttribute::Value *value = &from.value;
  if (const auto *reference = std::get_if<OnnxReference>(&from.value)) {
    const OnnxAttribute *given = call.node.find(reference->attribute);
    const std::vector<OnnxAttribute> &known = call.function.attributes;
    if (!given) {
      auto isSame = [&](const OnnxAttribute &each) { return each.name == reference->attribute; };
      auto preset = std::find_if(known.begin(), known.end(), isSame);
      if (preset == known.end())
        return {Code::Model, fmt::format("refers to `{}`, which is no attribute of the function",
                                         shownName(reference->attribute))};
      if (std::holds_alternative<std::monostate>(preset->value))
        return {}; // then the operator's own default holds
      given = &*preset;
    }
    if (given->value.index() != reference->kind)
      return {Code::Model, fmt::format("refers to `{}`, which is of another type",
                                       shownName(reference->attribute))};
    if (reference->kind == kGraphKind)
      return {Code::Unsupported, "refers to a graph that calls of the function give"};
    value = &given->value;
  }
  to.attributes.push_back({from.name, copyOf(*value)});
  return count(weightOf(*value));
}

Status FunctionTable::copyGraph(const Call &call, const OnnxGraph &from, OnnxGraph &to) {
  size_t decoded = 0;
  for (const OnnxInitializer &initializer : from.initializers)
    decoded += initializer.tensor.decoded.size() + initializer.tensor.strings.size() * 64;
  if (Status status =
          count(from.inputs.size() + from.outputs.size() + from.initializers.size() + decoded / 64);
      !status.ok())
    return status;
  to.name = from.name;
  to.inputs = from.inputs;
  to.outputs = from.outputs;
  to.initializers = from.initializers;
  for (const OnnxNode &node : from.nodes)
    if (Status status = copyNode(call, node, to.nodes.emplace_back()); !status.ok())
      return status;
  return {};
}
