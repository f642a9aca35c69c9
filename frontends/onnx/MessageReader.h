// The messages of a model's file as plain data, before names become values.

#ifndef MOEC_FRONTENDS_ONNX_MESSAGEREADER_H
#define MOEC_FRONTENDS_ONNX_MESSAGEREADER_H

#include "frontends/onnx/OnnxModel.h"
#include "frontends/onnx/TensorReader.h"
#include "runtime/core/Result.h"

#include <set>
#include <vector>

namespace moec {

/// A function as its message says it.
struct OnnxFunction {
  std::string_view domain, name, overload;
  std::vector<uint32_t> inputs, outputs;
  std::vector<OnnxAttribute> attributes; ///< with the value that calls may leave it at, if any
  std::vector<OnnxOperatorSet> operatorSets;
  std::vector<OnnxNode> nodes;
};

/// Reads `model.message` into the model and its functions. Numbers of values are numbers of names
/// then, and nodes have no versions; OnnxLinker goes on from that.
class MessageReader {
public:
  /// At most `mostItems` nodes, values, attributes and tensors are read.
  MessageReader(OnnxModel &model, ExternalFiles external, size_t mostItems)
      : model(model), tensors(model, std::move(external)), mostItems(mostItems) {}

  Status read();
  std::vector<OnnxFunction> takeFunctions() { return std::move(functions); }

private:
  using Bytes = std::span<const uint8_t>;

  Status readGraph(Bytes bytes, OnnxGraph &graph);
  Status readNode(Bytes bytes, OnnxNode &node);
  Status readNodeAt(size_t place, Bytes bytes, std::vector<OnnxNode> &nodes);
  Status readAttribute(Bytes bytes, OnnxAttribute &attribute);
  Status readValue(Bytes bytes, uint32_t &value, std::string_view &name, OnnxType &type);
  Status readType(const ::onnx::TypeProto &message, OnnxType &type);
  Status readFunction(Bytes bytes);
  Status readSets(const google::protobuf::RepeatedPtrField<::onnx::OperatorSetIdProto> &messages,
                  std::vector<OnnxOperatorSet> &sets);
  Status count(size_t more);
  uint32_t number(const std::string &name) { return model.names.number(name); }
  void note(const std::string &notice);

  OnnxModel &model;
  TensorReader tensors;
  std::vector<OnnxFunction> functions;
  size_t mostItems, items = 0;
  int depth = 0; ///< of graphs
  bool isFunction = false;
  // Kept for their memory.
  ::onnx::NodeProto nodeMessage;
  ::onnx::AttributeProto attributeMessage;
  ::onnx::ValueInfoProto valueMessage;
};

} // namespace moec

#endif // MOEC_FRONTENDS_ONNX_MESSAGEREADER_H
