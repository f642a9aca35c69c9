// Counts over graphs, functions and tensors.

#include "frontends/onnx/OnnxSummary.h"
#include "test/frontends/onnx/OnnxFolder.h"

#include <gtest/gtest.h>

using namespace moec;
using Attribute = ::onnx::AttributeProto;

TEST(OnnxSummary, CountsAllGraphs) {
  OnnxFolder folder;
  ::onnx::ModelProto model = emptyModel();
  ::onnx::GraphProto &graph = *model.mutable_graph();
  importOperators(*model.mutable_opset_import(), "com.microsoft", 1);
  addTensor(graph, "small");
  addTensor(graph, "large", std::string(16, 'x'), {4});
  ::onnx::TensorProto &outside = addTensor(graph, "outside");
  outside.clear_raw_data();
  outside.set_data_location(::onnx::TensorProto::EXTERNAL);
  ::onnx::StringStringEntryProto &entry = *outside.add_external_data();
  entry.set_key("location");
  entry.set_value("none");
  addNode(graph, "MoE", {"x"}, {"y"}, "com.microsoft");
  addNode(graph, "Add", {"x", "y"}, {"z"});
  ::onnx::GraphProto &branch =
      *addAttribute(addNode(graph, "If", {"x"}, {"w"}), "then_branch", Attribute::GRAPH)
           .mutable_g();
  addTensor(branch, "inner");
  addNode(branch, "Add", {"inner", "x"}, {"sum"});
  addOutput(branch, "sum");
  Result<OnnxModel> read = folder.read(model, {.headersOnly = true});
  ASSERT_TRUE(read.ok()) << read.status().message;
  const OnnxSummary summary = summarize(*read, 2);
  EXPECT_EQ(summary.nodes, 4u);
  EXPECT_EQ(summary.graphs, 2u);
  EXPECT_EQ(summary.initializers, 4u);
  ASSERT_EQ(summary.ops.size(), 3u);
  EXPECT_EQ(summary.ops[0].op, "Add");
  EXPECT_EQ(summary.ops[0].nodes, 2u);
  EXPECT_EQ(summary.ops[2].domain, "com.microsoft");
  ASSERT_EQ(summary.types.size(), 1u);
  EXPECT_EQ(summary.types[0].tensors, 4u);
  EXPECT_EQ(summary.types[0].inlineBytes, 8u + 16 + 8);
  EXPECT_EQ(summary.types[0].externalBytes, 8u);
  ASSERT_EQ(summary.largest.size(), 2u);
  EXPECT_EQ(summary.largest[0]->name, "large");
  EXPECT_EQ(summary.largest[1]->name, "inner"); // of equal ones by name
}

TEST(OnnxSummary, ShowsTypes) {
  EXPECT_EQ(typeText({ElementType::Float, std::nullopt}), "FLOAT");
  EXPECT_EQ(typeText({ElementType::Int4, {{{-1, "tokens"}, {-1, ""}, {20, ""}}}}),
            "INT4 [tokens, ?, 20]");
  EXPECT_EQ(typeText({ElementType::Bool, std::vector<OnnxDim>()}), "BOOL []");
}
