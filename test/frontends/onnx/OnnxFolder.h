// A folder with an ONNX model that a test builds.

#ifndef MOEC_TEST_FRONTENDS_ONNX_ONNXFOLDER_H
#define MOEC_TEST_FRONTENDS_ONNX_ONNXFOLDER_H

#include "frontends/onnx/OnnxReader.h"
#include "frontends/onnx/onnx.pb.h"
#include "test/ScratchFolder.h"

#include <initializer_list>
#include <string>

namespace moec {

using Names = std::initializer_list<const char *>;

inline void addInput(::onnx::GraphProto &graph, const std::string &name,
                     std::initializer_list<int64_t> shape = {2}) {
  ::onnx::ValueInfoProto &input = *graph.add_input();
  input.set_name(name);
  auto &tensor = *input.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(::onnx::TensorProto::FLOAT);
  for (int64_t size : shape)
    tensor.mutable_shape()->add_dim()->set_dim_value(size);
}

inline void addOutput(::onnx::GraphProto &graph, const std::string &name) {
  graph.add_output()->set_name(name);
}

/// Into a graph or a function.
template <typename Body>
::onnx::NodeProto &addNode(Body &body, const std::string &op, Names inputs, Names outputs,
                           const std::string &domain = "") {
  ::onnx::NodeProto &node = *body.add_node();
  node.set_op_type(op);
  node.set_domain(domain);
  node.set_name(op + "_" + std::to_string(body.node_size() - 1));
  for (const char *name : inputs)
    node.add_input(name);
  for (const char *name : outputs)
    node.add_output(name);
  return node;
}

inline ::onnx::AttributeProto &addAttribute(::onnx::NodeProto &node, const std::string &name,
                                            ::onnx::AttributeProto::AttributeType type) {
  ::onnx::AttributeProto &attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(type);
  return attribute;
}

/// Floats in raw_data.
inline ::onnx::TensorProto &addTensor(::onnx::GraphProto &graph, const std::string &name,
                                      const std::string &raw = std::string(8, 'x'),
                                      std::initializer_list<int64_t> dims = {2}) {
  ::onnx::TensorProto &tensor = *graph.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(::onnx::TensorProto::FLOAT);
  for (int64_t size : dims)
    tensor.add_dims(size);
  tensor.set_raw_data(raw);
  return tensor;
}

inline void importOperators(google::protobuf::RepeatedPtrField<::onnx::OperatorSetIdProto> &sets,
                            const std::string &domain, int64_t version) {
  ::onnx::OperatorSetIdProto &set = *sets.Add();
  set.set_domain(domain);
  set.set_version(version);
}

/// x, of 2 floats, is all that there is.
inline ::onnx::ModelProto emptyModel() {
  ::onnx::ModelProto model;
  model.set_ir_version(10);
  importOperators(*model.mutable_opset_import(), "", 21);
  model.mutable_graph()->set_name("main");
  addInput(*model.mutable_graph(), "x");
  return model;
}

struct OnnxFolder : ScratchFolder {
  Result<OnnxModel> read(const ::onnx::ModelProto &model, const OnnxOptions &options = {}) const {
    return readBytes(model.SerializeAsString(), options);
  }
  Result<OnnxModel> readBytes(const std::string &bytes, const OnnxOptions &options = {}) const {
    return readOnnx(write("model.onnx", bytes), options);
  }
};

} // namespace moec

#endif // MOEC_TEST_FRONTENDS_ONNX_ONNXFOLDER_H
