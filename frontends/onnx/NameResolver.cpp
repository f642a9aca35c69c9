// One pass over all graphs in the order of their nodes, with what each name stands for at hand.

#include "frontends/onnx/NameResolver.h"

#include "frontends/onnx/MessageFields.h"
#include "runtime/core/Safetensors.h"

#include <algorithm>
#include <set>
#include <unordered_map>

using namespace moec;

static constexpr int kMostDepth = 64;
static constexpr int64_t kOldestOperators = 11, kNewestOperators = 28;
static constexpr int64_t kOldestIr = 3, kNewestIr = 14; // before 3 there were no operator sets
static_assert(::onnx::IR_VERSION == kNewestIr,
              "onnx.proto is of another release than the tables here");

static std::string placeOf(const OnnxNode &node, size_t place) {
  return fmt::format("node {} ({})",
                     node.name.empty() ? std::to_string(place)
                                       : fmt::format("`{}`", shownName(node.name)),
                     shownOp(node.domain, node.op));
}

static Status checkVersions(std::span<const OnnxOperatorSet> sets) {
  for (const auto &[domain, version] : sets) {
    int64_t oldest = 1, newest = INT64_MAX;
    if (domain.empty()) {
      oldest = kOldestOperators;
      newest = kNewestOperators;
    } else if (domain == "com.microsoft") {
      newest = 1;
    }
    if (version < oldest || version > newest)
      return {Code::Unsupported,
              fmt::format("imports version {} of the operators of {}, wanted {}{}", version,
                          domain.empty() ? "ai.onnx" : shownName(domain), oldest,
                          newest == oldest      ? std::string()
                          : newest == INT64_MAX ? std::string(" or newer")
                                                : fmt::format(" to {}", newest))};
  }
  return {};
}

Status NameResolver::resolve() {
  if (model.irVersion < kOldestIr || model.irVersion > kNewestIr)
    return {Code::Unsupported, fmt::format("is of IR version {}, wanted {} to {}", model.irVersion,
                                           kOldestIr, kNewestIr)};
  if (Status status = checkVersions(model.operatorSets); !status.ok())
    return status;
  for (const OnnxFunction &function : functions.all()) {
    if (Status status = checkVersions(function.operatorSets); !status.ok())
      return within(fmt::format("function {}", shownOp(function.domain, function.name)), status);
    model.functions.push_back(
        {function.domain, function.name, function.overload, function.nodes.size(), 0});
  }
  if (Status status = functions.check(); !status.ok())
    return status;
  bindings.resize(model.names.size());
  Scope scope = newScope(kAbsent, model.operatorSets);
  if (Status status = resolveGraph(model.graph, scope); !status.ok())
    return status;
  return checkMainGraph();
}

Status NameResolver::checkMainGraph() const {
  for (const OnnxInput &input : model.graph.inputs)
    if (input.type.element == ElementType::Undefined)
      return {Code::Model, fmt::format("input `{}` has no element type", shownName(input.name))};
  std::set<std::string_view> seen;
  for (const OnnxOutput &output : model.graph.outputs)
    if (!seen.insert(output.name).second)
      return {Code::Model, fmt::format("two outputs are called `{}`", shownName(output.name))};
  if (model.irVersion >= 4)
    return {};
  for (const OnnxInitializer &initializer : model.graph.initializers)
    if (initializer.value >= model.graph.inputs.size()) // inputs have the first values
      return {Code::Model,
              fmt::format("initializer `{}` is no input of the graph, as IR version {} "
                          "wants it",
                          shownName(initializer.tensor.name), model.irVersion)};
  return {};
}

// Names -----------------------------------------------------------------------------------------

NameResolver::Scope NameResolver::newScope(uint32_t call,
                                           std::span<const OnnxOperatorSet> operatorSets) {
  Scope scope;
  scope.number = scope.outermost = ++lastScope;
  scope.call = call;
  scope.operatorSets = operatorSets;
  return scope;
}

uint32_t NameResolver::read(uint32_t name, Scope &scope) {
  Binding &binding = bindings[name];
  if (binding.scope != scope.number && binding.capturedBy != scope.number) {
    scope.captures.push_back({name, binding.value, binding.capturedBy});
    binding.capturedBy = scope.number;
  }
  return binding.value;
}

Status NameResolver::define(uint32_t name, uint32_t value, Scope &scope) {
  Binding &binding = bindings[name];
  if (binding.scope == scope.number)
    return {Code::Model,
            fmt::format("`{}` is defined twice in one graph", shownName(model.names.text(name)))};
  if (binding.capturedBy == scope.number)
    return {Code::Model, fmt::format("`{}` is defined after a value of that name of an outer graph "
                                     "was read",
                                     shownName(model.names.text(name)))};
  scope.definitions.push_back({name, binding.value, binding.scope});
  binding.value = value;
  binding.scope = scope.number;
  return {};
}

Result<uint32_t> NameResolver::defineNew(uint32_t name, Scope &scope) {
  const auto value = static_cast<uint32_t>(model.values.size());
  if (Status status = define(name, value, scope); !status.ok())
    return status;
  model.values.push_back({model.names.text(name), scope.call});
  return value;
}

void NameResolver::leave(Scope &scope, Scope *outer) {
  for (auto each = scope.definitions.rbegin(); each != scope.definitions.rend(); ++each) {
    bindings[each->name].value = each->hiddenValue;
    bindings[each->name].scope = each->hiddenScope;
  }
  for (const Capture &capture : scope.captures) {
    bindings[capture.name].capturedBy = capture.capturedBefore;
    read(capture.name, *outer); // it passes through, unless it is defined there
  }
}

Status NameResolver::refuseUndefined(uint32_t name, std::span<const OnnxNode> nodeAndLater) const {
  const std::string shown = shownName(model.names.text(name));
  // What this node and later ones make, still by name.
  std::unordered_map<uint32_t, size_t> makers;
  for (size_t index = 0; index < nodeAndLater.size(); ++index)
    for (uint32_t output : nodeAndLater[index].outputs)
      makers.emplace(output, index);
  auto maker = makers.find(name);
  if (name == 0 || maker == makers.end())
    return {Code::Model, fmt::format("reads `{}`, which nothing makes", shown)};
  const OnnxNode &late = nodeAndLater[maker->second];
  std::vector<bool> seen(nodeAndLater.size());
  std::vector<size_t> open{maker->second};
  while (!open.empty()) {
    const size_t index = open.back();
    open.pop_back();
    if (index == 0)
      return {Code::Model, fmt::format("reads `{}`, which depends on what the node makes: the "
                                       "graph has a cycle",
                                       shown)};
    if (seen[index])
      continue;
    seen[index] = true;
    for (uint32_t input : nodeAndLater[index].inputs)
      if (auto found = makers.find(input); input != 0 && found != makers.end())
        open.push_back(found->second);
  }
  return {Code::Model, fmt::format("reads `{}`, which comes of node `{}` ({}) behind it; wanted "
                                   "nodes in the order of their data",
                                   shown, shownName(late.name), shownOp(late.domain, late.op))};
}

// Graphs ----------------------------------------------------------------------------------------

/// Whether the type says nothing else of the tensor.
static bool agrees(const OnnxType &type, const OnnxTensor &tensor) {
  if (type.element != ElementType::Undefined && type.element != tensor.type)
    return false;
  if (!type.shape)
    return true;
  if (type.shape->size() != tensor.dims.size())
    return false;
  for (size_t index = 0; index < tensor.dims.size(); ++index)
    if ((*type.shape)[index].size >= 0 && (*type.shape)[index].size != tensor.dims[index])
      return false;
  return true;
}

Status NameResolver::defineInputs(OnnxGraph &graph, Scope &scope) {
  const auto first = static_cast<uint32_t>(model.values.size());
  for (OnnxInput &input : graph.inputs) {
    Result<uint32_t> value = defineNew(input.value, scope);
    if (!value.ok())
      return within("inputs", value.status());
    input.value = *value;
  }
  for (uint32_t place = 0; place < graph.initializers.size(); ++place) {
    OnnxInitializer &initializer = graph.initializers[place];
    const Binding &binding = bindings[initializer.value];
    const uint32_t index = binding.value - first; // inputs have values in a row
    if (binding.scope == scope.number && index < graph.inputs.size() &&
        graph.inputs[index].preset == kAbsent) {
      OnnxInput &input = graph.inputs[index];
      if (!agrees(input.type, initializer.tensor))
        return {Code::Model,
                fmt::format("initializer `{}` is of {} and {}, the input of that name of another "
                            "type or shape",
                            shownName(initializer.tensor.name),
                            elementTypeName(initializer.tensor.type),
                            shapeText(initializer.tensor.dims))};
      input.preset = place;
      initializer.value = input.value;
      continue;
    }
    Result<uint32_t> value = defineNew(initializer.value, scope);
    if (!value.ok())
      return within("initializers", value.status());
    initializer.value = *value;
  }
  return {};
}

Status NameResolver::resolveGraph(OnnxGraph &graph, Scope &scope) {
  if (Status status = defineInputs(graph, scope); !status.ok())
    return status;
  if (Status status = resolveNodes(graph.nodes, scope); !status.ok())
    return status;
  for (OnnxOutput &output : graph.outputs) {
    if (!isDefined(output.value, scope))
      return {Code::Model, fmt::format("output `{}` is made by nothing", shownName(output.name))};
    output.value = read(output.value, scope);
    if (output.value == kAbsent)
      return {Code::Model,
              fmt::format("output `{}` is an input of a function that a call leaves out",
                          shownName(output.name))};
  }
  return {};
}

Status NameResolver::resolveInnerGraph(OnnxGraph &graph, Scope &outer) {
  if (depth == kMostDepth)
    return {Code::Unsupported,
            fmt::format("graphs and calls of functions are nested deeper than {}", kMostDepth)};
  ++depth;
  Scope scope = newScope(outer.call, outer.operatorSets);
  scope.outermost = outer.outermost;
  if (Status status = resolveGraph(graph, scope); !status.ok())
    return status;
  for (const Capture &capture : scope.captures)
    if (capture.value != kAbsent)
      graph.captures.push_back(capture.value);
  std::sort(graph.captures.begin(), graph.captures.end());
  graph.captures.erase(std::unique(graph.captures.begin(), graph.captures.end()),
                       graph.captures.end());
  leave(scope, &outer);
  --depth;
  return {};
}

// Nodes -----------------------------------------------------------------------------------------

Status NameResolver::resolveNodes(std::vector<OnnxNode> &nodes, Scope &scope) {
  std::vector<OnnxNode> out;
  out.reserve(nodes.size());
  for (size_t place = 0; place < nodes.size(); ++place)
    if (Status status = resolveNode(std::span(nodes).subspan(place), scope, out); !status.ok())
      return within(placeOf(nodes[place], place), status);
  nodes = std::move(out);
  return {};
}

Status NameResolver::resolveNode(std::span<OnnxNode> nodeAndLater, Scope &scope,
                                 std::vector<OnnxNode> &out) {
  OnnxNode &node = nodeAndLater[0];
  for (uint32_t &input : node.inputs) {
    if (input == 0) {
      input = kAbsent;
      continue;
    }
    if (!isDefined(input, scope))
      return refuseUndefined(input, nodeAndLater);
    input = read(input, scope);
  }
  for (OnnxAttribute &attribute : node.attributes)
    if (auto *graph = std::get_if<std::unique_ptr<OnnxGraph>>(&attribute.value))
      if (Status status = resolveInnerGraph(**graph, scope); !status.ok())
        return within(fmt::format("attribute `{}`", shownName(attribute.name)), status);
  if (std::optional<uint32_t> function = functions.find(node))
    return inlineCall(*function, node, scope, out);
  if (!node.overload.empty())
    return {Code::Model, fmt::format("calls the overload `{}` of a function that the model lacks",
                                     shownName(node.overload))};

  auto isOfDomain = [&](const OnnxOperatorSet &set) { return set.domain == node.domain; };
  auto set = std::find_if(scope.operatorSets.begin(), scope.operatorSets.end(), isOfDomain);
  if (set == scope.operatorSets.end())
    return {Code::Model, fmt::format("is of the operators of {}, which the {} does not import",
                                     node.domain.empty() ? "ai.onnx" : shownName(node.domain),
                                     scope.call == kAbsent ? "model" : "function")};
  node.version = set->version;
  node.call = scope.call;
  for (uint32_t &output : node.outputs) {
    if (output == 0) {
      output = kAbsent;
      continue;
    }
    Result<uint32_t> value = defineNew(output, scope);
    if (!value.ok())
      return value.status();
    output = *value;
  }
  out.push_back(std::move(node));
  return {};
}

Status NameResolver::inlineCall(uint32_t number, const OnnxNode &node, Scope &scope,
                                std::vector<OnnxNode> &out) {
  const OnnxFunction &function = functions.all()[number];
  if (depth == kMostDepth)
    return {Code::Unsupported,
            fmt::format("graphs and calls of functions are nested deeper than {}", kMostDepth)};
  if (node.inputs.size() > function.inputs.size() || node.outputs.size() > function.outputs.size())
    return {Code::Model,
            fmt::format("has {} inputs and {} outputs, the function {} and {}", node.inputs.size(),
                        node.outputs.size(), function.inputs.size(), function.outputs.size())};
  Result<std::vector<OnnxNode>> body = functions.copyBody(number, node);
  if (!body.ok())
    return body.status();

  ++depth;
  ++model.functions[number].calls;
  const auto call = static_cast<uint32_t>(model.calls.size());
  model.calls.push_back({node.name, number, scope.call});
  Scope inner = newScope(call, function.operatorSets);
  auto fail = [&](const Status &status) {
    return within(fmt::format("function {}", shownOp(function.domain, function.name)), status);
  };
  for (size_t index = 0; index < function.inputs.size(); ++index) {
    const uint32_t value = index < node.inputs.size() ? node.inputs[index] : kAbsent;
    if (Status status = define(function.inputs[index], value, inner); !status.ok())
      return fail(status);
  }
  if (Status status = resolveNodes(*body, inner); !status.ok())
    return fail(status);
  std::vector<uint32_t> results;
  for (size_t index = 0; index < node.outputs.size(); ++index) {
    const uint32_t name = function.outputs[index];
    const uint32_t value = isDefined(name, inner) ? bindings[name].value : kAbsent;
    if (value == kAbsent && node.outputs[index] != 0)
      return fail({Code::Model, fmt::format("output `{}` is made by nothing",
                                            shownName(model.names.text(name)))});
    results.push_back(value);
  }
  leave(inner, nullptr);
  --depth;
  std::move(body->begin(), body->end(), std::back_inserter(out));
  for (size_t index = 0; index < node.outputs.size(); ++index)
    if (node.outputs[index] != 0)
      if (Status status = define(node.outputs[index], results[index], scope); !status.ok())
        return status;
  return {};
}
