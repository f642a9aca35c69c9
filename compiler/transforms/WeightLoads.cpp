// The weights of a module and where they are loaded.

#include "compiler/transforms/WeightLoads.h"

using namespace mlir;
using namespace moec;

WeightLoads::WeightLoads(ModuleOp module) : module(module) {
  module.walk([&](lm::LoadWeightOp load) { ++counts[load.getWeight()]; });
}

bool WeightLoads::isOwn(Value weight) const {
  lm::LoadWeightOp load = loadOf(weight);
  return load && load->hasOneUse() && counts.lookup(load.getWeight()) == 1;
}

bool WeightLoads::areOfSameLayers(Value a, Value b) const {
  return loadOf(a).getLayer() == loadOf(b).getLayer() &&
         symbolOf(a).getLayers() == symbolOf(b).getLayers();
}

Value WeightLoads::join(ArrayRef<Value> weights, ArrayRef<int64_t> shape,
                        ArrayRef<Attribute> pieces, OpBuilder &builder) {
  lm::WeightOp first = symbolOf(weights.front());
  std::string name;
  for (Value weight : weights)
    name += (name.empty() ? "" : "_") + symbolOf(weight).getSymName().str();
  auto type = lm::WeightType::get(builder.getContext(), shape, first.getType().getElementType());
  OpBuilder symbols(first);
  lm::WeightOp::create(symbols, first.getLoc(), symbols.getStringAttr(name), TypeAttr::get(type),
                       first.getLayersAttr(), symbols.getArrayAttr(pieces), /*packed=*/nullptr);
  for (Value weight : weights)
    symbolOf(weight).erase();
  counts[name] = 1;
  lm::LoadWeightOp load = loadOf(weights.front());
  return lm::LoadWeightOp::create(builder, load.getLoc(), type, name, load.getLayer());
}
