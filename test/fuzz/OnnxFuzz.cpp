// ONNX models: a model that is read holds values that are there and tensors that lie in it.

#include "frontends/onnx/OnnxReader.h"
#include "frontends/onnx/OnnxSummary.h"

#include <cstdlib>

using namespace moec;

static void require(bool good) {
  if (!good)
    std::abort();
}

static void check(const OnnxModel &model, const OnnxTensor &tensor) {
  if (tensor.type != ElementType::String)
    require(model.bytesOf(tensor).size() == tensor.bytes);
  else
    require(tensor.strings.size() == static_cast<size_t>(tensor.elements));
}

static void check(const OnnxModel &model, const OnnxGraph &graph) {
  auto checkValue = [&](uint32_t value) { require(value < model.values.size()); };
  for (const OnnxInput &input : graph.inputs)
    checkValue(input.value);
  for (const OnnxOutput &output : graph.outputs)
    checkValue(output.value);
  for (const OnnxInitializer &initializer : graph.initializers)
    check(model, initializer.tensor);
  for (uint32_t value : graph.captures)
    checkValue(value);
  for (const OnnxNode &node : graph.nodes) {
    require(node.version > 0);
    for (uint32_t value : node.inputs)
      if (value != kAbsent)
        checkValue(value);
    for (uint32_t value : node.outputs)
      if (value != kAbsent)
        (void)model.nameOf(value);
    (void)model.nameOf(node);
    for (const OnnxAttribute &attribute : node.attributes) {
      require(attribute.value.index() != 0);
      require(!std::holds_alternative<OnnxReference>(attribute.value));
      if (const auto *inner = std::get_if<std::unique_ptr<OnnxGraph>>(&attribute.value))
        check(model, **inner);
      if (const auto *tensor = std::get_if<std::shared_ptr<const OnnxTensor>>(&attribute.value))
        check(model, **tensor);
    }
  }
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Result<OnnxModel> model = readOnnx({data, size}, "none", {.mostItems = 100'000});
  if (!model.ok())
    return 0;
  check(*model, model->graph);
  (void)summarize(*model);
  return 0;
}
