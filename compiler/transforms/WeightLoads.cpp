// The weights of a module and where they are loaded.

#include "compiler/transforms/WeightLoads.h"

using namespace mlir;
using namespace moec;

WeightLoads::WeightLoads(ModuleOp module) : module(module) {
  module.walk([&](lm::LoadWeightOp load) { ++counts[load.getWeight()]; });
}

bool WeightLoads::isUsedOnce(Value weight) {
  lm::LoadWeightOp load = loadOf(weight);
  return load && load->hasOneUse();
}

bool WeightLoads::areOfSameLayers(Value a, Value b) const {
  return loadOf(a).getLayer() == loadOf(b).getLayer() &&
         symbolOf(a).getLayers() == symbolOf(b).getLayers();
}

lm::WeightOp WeightLoads::join(ArrayRef<Value> weights, ArrayRef<int64_t> shape,
                               ArrayRef<Attribute> pieces) {
  lm::WeightOp first = symbolOf(weights.front());
  std::string name;
  for (Value weight : weights)
    name += (name.empty() ? "" : "_") + symbolOf(weight).getSymName().str();
  counts[name] = countLoads(weights.front());
  OpBuilder builder(first);
  auto type = lm::WeightType::get(builder.getContext(), shape, first.getType().getElementType());
  auto joined = lm::WeightOp::create(builder, first.getLoc(), builder.getStringAttr(name),
                                     TypeAttr::get(type), first.getHeadsAttr(),
                                     first.getVectorsAttr(), first.getLayersAttr(),
                                     builder.getArrayAttr(pieces), /*quantized=*/nullptr,
                                     /*packed=*/nullptr);
  for (Value weight : weights)
    symbolOf(weight).erase();
  return joined;
}

Value WeightLoads::loadLike(Value former, lm::WeightOp weight, OpBuilder &builder) {
  lm::LoadWeightOp like = loadOf(former);
  return lm::LoadWeightOp::create(builder, like.getLoc(), weight.getType(), weight.getSymName(),
                                  like.getLayer());
}
