// Whole models: golden ones open, damaged ones are refused, and work is linear.

#include "test/frontends/onnx/OnnxFolder.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <ctime>
#include <limits>

using namespace moec;
namespace fs = std::filesystem;
using Attribute = ::onnx::AttributeProto;

static const std::string kGolden = std::string(MOEC_TEST_DIR) + "/golden/onnx/";

TEST(OnnxReader, OpensGoldenGraphs) {
  size_t count = 0;
  for (const fs::directory_entry &entry : fs::directory_iterator(kGolden)) {
    Result<OnnxModel> model = readOnnx(entry.path() / "model.onnx");
    ASSERT_TRUE(model.ok()) << model.status().message;
    std::ifstream file(entry.path() / "case.json");
    nlohmann::json facts = nlohmann::json::parse(file);
    EXPECT_EQ(model->irVersion, facts["ir_version"]);
    EXPECT_EQ(model->producer, facts["producer"].get<std::string>());
    for (const OnnxOperatorSet &set : model->operatorSets)
      EXPECT_EQ(set.version,
                facts["opset"][set.domain.empty() ? "ai.onnx" : std::string(set.domain)]);
    EXPECT_FALSE(model->graph.inputs.empty());
    EXPECT_FALSE(model->graph.outputs.empty());
    EXPECT_FALSE(model->graph.nodes.empty());
    ++count;
  }
  EXPECT_EQ(count, 40u);
}

TEST(OnnxReader, KeepsSymbols) {
  Result<OnnxModel> model = readOnnx(kGolden + "moe_relu/model.onnx");
  ASSERT_TRUE(model.ok()) << model.status().message;
  const OnnxInput &input = model->graph.inputs[0];
  EXPECT_EQ(input.name, "input");
  EXPECT_EQ(input.type.element, ElementType::Float);
  ASSERT_TRUE(input.type.shape);
  EXPECT_EQ((*input.type.shape)[0].symbol, "tokens");
  EXPECT_EQ((*input.type.shape)[1].size, 20);
  const OnnxNode &moe = model->graph.nodes[0];
  EXPECT_EQ(moe.domain, "com.microsoft");
  EXPECT_EQ(std::get<int64_t>(moe.find("k")->value), 2);
  EXPECT_EQ(std::get<std::string>(moe.find("activation_type")->value), "relu");
  EXPECT_EQ(moe.find("none"), nullptr);
}

TEST(OnnxReader, SaysWhichFile) {
  OnnxFolder folder;
  EXPECT_FAILS(readOnnx(folder.path("none.onnx")), Code::Model, "none.onnx: cannot be opened");
  EXPECT_FAILS(readOnnx(folder.path()), Code::Model, "is a directory");
  EXPECT_FAILS(folder.readBytes(""), Code::Model,
               folder.path("model.onnx") + ": not an ONNX model: it has no graph");
  EXPECT_FAILS(folder.readBytes("{\"model\": 1}"), Code::Model, "not a valid onnx.ModelProto");
}

TEST(OnnxReader, ATruncatedFileIsRefused) {
  OnnxFolder folder;
  ::onnx::ModelProto model = emptyModel();
  addTensor(*model.mutable_graph(), "w");
  addAttribute(addNode(*model.mutable_graph(), "Softmax", {"x"}, {"y"}), "axis", Attribute::INT)
      .set_i(1);
  addOutput(*model.mutable_graph(), "y");
  const std::string bytes = model.SerializeAsString();
  ASSERT_TRUE(folder.readBytes(bytes).ok());
  for (size_t length = 0; length < bytes.size(); ++length) {
    Result<OnnxModel> read = folder.readBytes(bytes.substr(0, length));
    ASSERT_FALSE(read.ok()) << length;
  }
}

TEST(OnnxReader, UnknownFieldsAreRefused) {
  OnnxFolder folder;
  ::onnx::ModelProto model = emptyModel();
  auto refused = [&](std::string &unknown, const std::string &words) {
    unknown = std::string("\xb8\x01\x01", 3); // field 23, which no message has as a number
    EXPECT_FAILS(folder.read(model), Code::Unsupported, words);
    unknown.clear();
    EXPECT_TRUE(folder.read(model).ok());
  };
  ::onnx::NodeProto &node = addNode(*model.mutable_graph(), "Relu", {"x"}, {"y"});
  ::onnx::AttributeProto &attribute = addAttribute(node, "a", Attribute::INT);
  refused(*model.mutable_unknown_fields(), "field 23 of onnx.ModelProto is unknown");
  refused(*model.mutable_graph()->mutable_unknown_fields(), "field 23 of onnx.GraphProto");
  refused(*node.mutable_unknown_fields(), "node `Relu_0` (Relu): field 23 of onnx.NodeProto");
  attribute.set_i(1);
  refused(*model.mutable_opset_import(0)->mutable_unknown_fields(), "onnx.OperatorSetIdProto");
  ::onnx::TypeProto &type = *model.mutable_graph()->mutable_input(0)->mutable_type();
  refused(*type.mutable_unknown_fields(), "input `x`: field 23 of onnx.TypeProto");
  refused(*type.mutable_tensor_type()->mutable_shape()->mutable_dim(0)->mutable_unknown_fields(),
          "onnx.TensorShapeProto.Dimension");
  refused(*addTensor(*model.mutable_graph(), "w").mutable_unknown_fields(),
          "tensor `w`: field 23 of onnx.TensorProto");
  // What is for people may be of any kind.
  *model.add_metadata_props()->mutable_unknown_fields() = std::string("\xb8\x01\x01", 3);
  model.set_doc_string("text");
  EXPECT_TRUE(folder.read(model).ok());
}

TEST(OnnxReader, AttributesHoldWhatTheySay) {
  OnnxFolder folder;
  ::onnx::ModelProto model = emptyModel();
  ::onnx::NodeProto &node = addNode(*model.mutable_graph(), "Op", {"x"}, {"y"});
  ::onnx::AttributeProto &attribute = addAttribute(node, "a", Attribute::FLOAT);
  Result<OnnxModel> read = folder.read(model); // a 0 that was left out
  ASSERT_TRUE(read.ok()) << read.status().message;
  EXPECT_EQ(std::get<float>(read->graph.nodes[0].find("a")->value), 0);
  attribute.set_i(1);
  EXPECT_FAILS(folder.read(model), Code::Model,
               "attribute `a`: has a value of another type than it says");
  attribute.clear_i();
  attribute.set_type(Attribute::GRAPH);
  EXPECT_FAILS(folder.read(model), Code::Model, "has no graph");
  attribute.set_type(Attribute::TENSOR);
  EXPECT_FAILS(folder.read(model), Code::Model, "has no tensor");
  attribute.set_type(Attribute::TENSORS);
  EXPECT_FAILS(folder.read(model), Code::Unsupported, "is of type 9");
  attribute.clear_type();
  EXPECT_FAILS(folder.read(model), Code::Model, "has no type");
  attribute.set_type(Attribute::INTS);
  attribute.add_ints(-3);
  read = folder.read(model);
  ASSERT_TRUE(read.ok()) << read.status().message;
  EXPECT_EQ(std::get<std::vector<int64_t>>(read->graph.nodes[0].find("a")->value),
            std::vector<int64_t>{-3});
  addAttribute(node, "a", Attribute::INTS);
  EXPECT_FAILS(folder.read(model), Code::Model, "has the attribute `a` twice");
  node.clear_attribute();
  for (int index = 0; index < 101; ++index)
    addAttribute(node, "a" + std::to_string(index), Attribute::INT);
  EXPECT_FAILS(folder.read(model), Code::Unsupported, "has more than 100 attributes");
  node.clear_attribute();
  node.clear_op_type();
  EXPECT_FAILS(folder.read(model), Code::Model, "has no op_type");
}

TEST(OnnxReader, InputsAreTensors) {
  OnnxFolder folder;
  ::onnx::ModelProto model = emptyModel();
  ::onnx::TypeProto &type = *model.mutable_graph()->mutable_input(0)->mutable_type();
  auto &dim = *type.mutable_tensor_type()->mutable_shape()->mutable_dim(0);
  dim.set_dim_value(-1);
  Result<OnnxModel> read = folder.read(model);
  ASSERT_TRUE(read.ok()) << read.status().message;
  EXPECT_EQ((*read->graph.inputs[0].type.shape)[0].size, -1);
  dim.set_dim_value(-2);
  EXPECT_FAILS(folder.read(model), Code::Model, "input `x`: has a size of -2");
  type.mutable_tensor_type()->clear_shape();
  type.mutable_tensor_type()->set_elem_type(77);
  EXPECT_FAILS(folder.read(model), Code::Unsupported, "has the element type 77");
  type.mutable_tensor_type()->clear_elem_type();
  EXPECT_FAILS(folder.read(model), Code::Model, "input `x` has no element type");
  *type.mutable_sequence_type()->mutable_elem_type() = ::onnx::TypeProto();
  EXPECT_FAILS(folder.read(model), Code::Unsupported, "input `x`: is a sequence, wanted a tensor");
  ::onnx::TypeProto *nested = &type;
  for (int level = 0; level < 200; ++level)
    nested = nested->mutable_sequence_type()->mutable_elem_type();
  EXPECT_FAILS(folder.read(model), Code::Model, "not a valid onnx.ValueInfoProto");
}

TEST(OnnxReader, SparseTensorsAreRefused) {
  OnnxFolder folder;
  ::onnx::ModelProto model = emptyModel();
  model.mutable_graph()->add_sparse_initializer();
  EXPECT_FAILS(folder.read(model), Code::Unsupported, "an initializer is sparse");
}

TEST(OnnxReader, WhatIsLeftUnreadIsNoticed) {
  OnnxFolder folder;
  ::onnx::ModelProto model = emptyModel();
  model.add_training_info();
  model.add_configuration();
  model.mutable_graph()->add_quantization_annotation();
  addNode(*model.mutable_graph(), "Relu", {"x"}, {"y"}).add_device_configurations();
  addNode(*model.mutable_graph(), "Relu", {"x"}, {"z"}).add_device_configurations();
  Result<OnnxModel> read = folder.read(model);
  ASSERT_TRUE(read.ok()) << read.status().message;
  EXPECT_EQ(read->notices.size(), 4u);
}

TEST(OnnxReader, NamesAreText) {
  OnnxFolder folder;
  ::onnx::ModelProto model = emptyModel();
  addNode(*model.mutable_graph(), "Relu", {"x"}, {"y\xff"});
  EXPECT_FAILS(folder.read(model), Code::Model,
               "a name begins with `y` and goes on with what is not");
}

TEST(OnnxReader, ThereIsOneGraph) {
  OnnxFolder folder;
  const std::string bytes = emptyModel().SerializeAsString();
  EXPECT_FAILS(folder.readBytes(bytes + bytes), Code::Model, "has a graph twice");
  ::onnx::ModelProto none = emptyModel();
  none.clear_graph();
  EXPECT_FAILS(folder.read(none), Code::Model, "it has no graph");
}

TEST(OnnxReader, SizesAreBounded) {
  OnnxFolder folder;
  folder.write("model.onnx", "");
  fs::resize_file(folder.path("model.onnx"), uint64_t{1} << 31);
  EXPECT_FAILS(readOnnx(folder.path("model.onnx")), Code::Model,
               "ONNX files hold at most 2147483647, save the model with external data");
  ::onnx::ModelProto model = emptyModel();
  for (int index = 0; index < 100; ++index)
    addNode(*model.mutable_graph(), "Relu", {"x"}, {("y" + std::to_string(index)).c_str()});
  EXPECT_TRUE(folder.read(model, {.mostItems = 400}).ok());
  EXPECT_FAILS(folder.read(model, {.mostItems = 200}), Code::Unsupported,
               "has more than 200 nodes, values, attributes and tensors");
}

// Ten times the nodes take some ten times as long; work that grew with their square would take a
// hundred times. Counted is what this process computes, whatever else runs.
TEST(OnnxReader, WorkIsLinearInNodes) {
  auto work = [&](int nodes) {
    ::onnx::ModelProto model = emptyModel();
    ::onnx::GraphProto &graph = *model.mutable_graph();
    for (int index = 0; index < nodes; ++index) {
      const std::string last = index ? "y" + std::to_string(index - 1) : "x";
      ::onnx::NodeProto &node = addNode(graph, "Gemm", {}, {});
      node.add_input(last);
      node.add_input("x");
      node.add_output("y" + std::to_string(index));
      addAttribute(node, "transB", Attribute::INT).set_i(1);
      addAttribute(node, "alpha", Attribute::FLOAT).set_f(2);
    }
    const std::string bytes = model.SerializeAsString();
    std::span<const uint8_t> span(reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size());
    std::clock_t least = std::numeric_limits<std::clock_t>::max();
    for (int attempt = 0; attempt < 3; ++attempt) {
      const std::clock_t begin = std::clock();
      EXPECT_TRUE(readOnnx(span, ".").ok());
      least = std::min(least, std::clock() - begin);
    }
    return least;
  };
  EXPECT_LT(work(100'000), 50 * work(10'000));
}
