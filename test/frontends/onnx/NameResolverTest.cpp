// What names stand for: order, scopes, captures, and each way to get these wrong.

#include "test/frontends/onnx/OnnxFolder.h"

#include <gtest/gtest.h>

using namespace moec;
using Attribute = ::onnx::AttributeProto;

namespace {
struct ResolverTest : testing::Test, OnnxFolder {
  ::onnx::ModelProto model = emptyModel();
  ::onnx::GraphProto &graph = *model.mutable_graph();

  void expectFailure(const std::string &words) const {
    EXPECT_FAILS(read(model), Code::Model, words);
  }
  /// A graph that an `If` of the main graph holds.
  ::onnx::GraphProto &addBranch(const char *output) {
    return *addAttribute(addNode(graph, "If", {"x"}, {output}), "then_branch", Attribute::GRAPH)
                .mutable_g();
  }
};
} // namespace

TEST_F(ResolverTest, ValuesAreNumbered) {
  addTensor(graph, "w");
  addNode(graph, "Add", {"x", "w"}, {"y"});
  addNode(graph, "Clip", {"y", "", "w"}, {"", "z"});
  addOutput(graph, "z");
  Result<OnnxModel> read = this->read(model);
  ASSERT_TRUE(read.ok()) << read.status().message;
  const OnnxGraph &main = read->graph;
  const uint32_t x = main.inputs[0].value, w = main.initializers[0].value;
  EXPECT_EQ(main.nodes[0].inputs, (std::vector<uint32_t>{x, w}));
  const uint32_t y = main.nodes[0].outputs[0];
  EXPECT_EQ(main.nodes[1].inputs, (std::vector<uint32_t>{y, kAbsent, w}));
  EXPECT_EQ(main.nodes[1].outputs[0], kAbsent);
  EXPECT_EQ(main.outputs[0].value, main.nodes[1].outputs[1]);
  EXPECT_EQ(read->nameOf(y), "y");
  EXPECT_EQ(main.nodes[0].version, 21);
  EXPECT_TRUE(main.captures.empty());
}

TEST_F(ResolverTest, NamesAreDefinedOnce) {
  addNode(graph, "Relu", {"x"}, {"x"});
  expectFailure("node `Relu_0` (Relu): `x` is defined twice in one graph");
  graph.mutable_node(0)->set_output(0, "y");
  addNode(graph, "Relu", {"x"}, {"y"});
  expectFailure("node `Relu_1` (Relu): `y` is defined twice");
  graph.mutable_node()->RemoveLast();
  addInput(graph, "x");
  expectFailure("inputs: `x` is defined twice");
  graph.mutable_input()->RemoveLast();
  addTensor(graph, "w");
  addTensor(graph, "w");
  expectFailure("initializers: `w` is defined twice");
  graph.mutable_initializer()->RemoveLast();
  EXPECT_TRUE(read(model).ok());
  addOutput(graph, "y");
  addOutput(graph, "y");
  expectFailure("two outputs are called `y`");
}

TEST_F(ResolverTest, NodesStandInTheOrderOfTheirData) {
  addNode(graph, "Neg", {"b"}, {"a"});
  addNode(graph, "Relu", {"x"}, {"b"});
  expectFailure("node `Neg_0` (Neg): reads `b`, which comes of node `Relu_1` (Relu) behind it");
  graph.mutable_node(1)->set_input(0, "a");
  expectFailure("reads `b`, which depends on what the node makes: the graph has a cycle");
  graph.mutable_node(0)->set_input(0, "a");
  expectFailure("reads `a`, which depends on what the node makes: the graph has a cycle");
  graph.mutable_node(0)->set_input(0, "none");
  graph.mutable_node(0)->clear_name();
  expectFailure("node 0 (Neg): reads `none`, which nothing makes");
  graph.mutable_node(0)->set_input(0, "x");
  addOutput(graph, "none");
  expectFailure("output `none` is made by nothing");
}

TEST_F(ResolverTest, InnerGraphsCaptureOuterValues) {
  addTensor(graph, "w");
  addNode(graph, "Relu", {"x"}, {"y"});
  ::onnx::GraphProto &branch = addBranch("z");
  addNode(branch, "Add", {"y", "y"}, {"inner"});
  ::onnx::GraphProto &innermost =
      *addAttribute(addNode(branch, "If", {"inner"}, {"out"}), "then_branch", Attribute::GRAPH)
           .mutable_g();
  addNode(innermost, "Mul", {"w", "inner"}, {"deep"});
  addOutput(innermost, "deep");
  addOutput(branch, "out");
  Result<OnnxModel> read = this->read(model);
  ASSERT_TRUE(read.ok()) << read.status().message;
  const OnnxNode &node = read->graph.nodes[1];
  const OnnxGraph &outer = *std::get<std::unique_ptr<OnnxGraph>>(node.find("then_branch")->value);
  const OnnxGraph &inner =
      *std::get<std::unique_ptr<OnnxGraph>>(outer.nodes[1].find("then_branch")->value);
  const uint32_t w = read->graph.initializers[0].value, y = read->graph.nodes[0].outputs[0];
  const uint32_t between = outer.nodes[0].outputs[0];
  EXPECT_EQ(outer.nodes[0].inputs, (std::vector<uint32_t>{y, y}));
  EXPECT_EQ(outer.captures, (std::vector<uint32_t>{w, y}));
  EXPECT_EQ(inner.captures, (std::vector<uint32_t>{w, between}));
}

TEST_F(ResolverTest, InnerNamesHideOuterOnes) {
  addNode(graph, "Relu", {"x"}, {"y"});
  ::onnx::GraphProto &branch = addBranch("z");
  addNode(branch, "Neg", {"x"}, {"y"});
  addNode(branch, "Abs", {"y"}, {"out"});
  addOutput(branch, "out");
  addNode(graph, "Abs", {"y"}, {"last"});
  Result<OnnxModel> read = this->read(model);
  ASSERT_TRUE(read.ok()) << read.status().message;
  const OnnxGraph &inner =
      *std::get<std::unique_ptr<OnnxGraph>>(read->graph.nodes[1].find("then_branch")->value);
  EXPECT_EQ(inner.nodes[1].inputs, inner.nodes[0].outputs);
  EXPECT_EQ(read->graph.nodes[2].inputs, read->graph.nodes[0].outputs);

  // Not once the outer one was read, be it by a graph inside.
  branch.mutable_node(0)->set_input(0, "y");
  expectFailure("attribute `then_branch`: node `Neg_0` (Neg): `y` is defined after a value of that "
                "name of an outer graph was read");
  branch.mutable_node(0)->set_op_type("If");
  branch.mutable_node(0)->set_input(0, "x");
  ::onnx::GraphProto &deep =
      *addAttribute(*branch.mutable_node(0), "then_branch", Attribute::GRAPH).mutable_g();
  addNode(deep, "Abs", {"y"}, {"deep"});
  expectFailure("(If): `y` is defined after a value of that name of an outer graph was read");
}

TEST_F(ResolverTest, InnerValuesAreNotSeenOutside) {
  ::onnx::GraphProto &branch = addBranch("z");
  addNode(branch, "Neg", {"x"}, {"inner"});
  addOutput(branch, "inner");
  addNode(graph, "Abs", {"inner"}, {"last"});
  expectFailure("node `Abs_1` (Abs): reads `inner`, which nothing makes");
  // Nor what comes later in the outer graph, or of the node itself.
  graph.mutable_node()->RemoveLast();
  branch.mutable_node(0)->set_input(0, "z");
  expectFailure("reads `z`, which nothing makes");
}

TEST_F(ResolverTest, AnInitializerMayBeADefault) {
  addTensor(graph, "x");
  Result<OnnxModel> read = this->read(model);
  ASSERT_TRUE(read.ok()) << read.status().message;
  EXPECT_EQ(read->graph.inputs[0].preset, 0u);
  EXPECT_EQ(read->graph.initializers[0].value, read->graph.inputs[0].value);
  addTensor(graph, "x");
  expectFailure("initializers: `x` is defined twice");
  graph.mutable_initializer()->RemoveLast();
  graph.mutable_initializer(0)->set_dims(0, 1);
  graph.mutable_initializer(0)->set_raw_data("abcd");
  expectFailure("initializer `x` is of FLOAT and [1], the input of that name of another");
  graph.mutable_input(0)->mutable_type()->mutable_tensor_type()->clear_shape();
  EXPECT_TRUE(this->read(model).ok());
  graph.mutable_input(0)->mutable_type()->mutable_tensor_type()->set_elem_type(10);
  expectFailure("initializer `x` is of FLOAT and [1], the input of that name of another");
}

TEST_F(ResolverTest, OldModelsListInitializersAsInputs) {
  model.set_ir_version(3);
  addTensor(graph, "x");
  EXPECT_TRUE(read(model).ok());
  addTensor(graph, "w");
  expectFailure("initializer `w` is no input of the graph, as IR version 3 wants it");
}

TEST_F(ResolverTest, VersionsAreThoseWeKnow) {
  auto refused = [&](int64_t ir, const std::string &domain, int64_t version) {
    ::onnx::ModelProto changed = model;
    changed.set_ir_version(ir);
    changed.clear_opset_import();
    importOperators(*changed.mutable_opset_import(), domain, version);
    Result<OnnxModel> result = read(changed);
    EXPECT_TRUE(result.ok() || result.status().code == Code::Unsupported);
    return !result.ok();
  };
  for (int64_t ir : {3, 10, 14})
    EXPECT_FALSE(refused(ir, "", 21)) << ir;
  for (int64_t ir : {0, 2, 15, -1})
    EXPECT_TRUE(refused(ir, "", 21)) << ir;
  for (int64_t version : {11, 28})
    EXPECT_FALSE(refused(10, "ai.onnx", version)) << version;
  for (int64_t version : {10, 29, 0, -1})
    EXPECT_TRUE(refused(10, "", version)) << version;
  EXPECT_FALSE(refused(10, "com.microsoft", 1));
  EXPECT_TRUE(refused(10, "com.microsoft", 2));
  EXPECT_FALSE(refused(10, "org.example", 7));

  importOperators(*model.mutable_opset_import(), "ai.onnx", 21);
  EXPECT_TRUE(read(model).ok());
  importOperators(*model.mutable_opset_import(), "ai.onnx", 20);
  expectFailure("imports versions 21 and 20 of ai.onnx");
}

TEST_F(ResolverTest, DomainsAreImported) {
  addNode(graph, "MoE", {"x"}, {"y"}, "com.microsoft");
  expectFailure(
      "node `MoE_0` (com.microsoft::MoE): is of the operators of com.microsoft, which the "
      "model does not import");
  importOperators(*model.mutable_opset_import(), "com.microsoft", 1);
  addNode(graph, "Relu", {"x"}, {"z"}, "ai.onnx");
  Result<OnnxModel> read = this->read(model);
  ASSERT_TRUE(read.ok()) << read.status().message;
  EXPECT_EQ(read->graph.nodes[0].version, 1);
  EXPECT_EQ(read->graph.nodes[1].version, 21);
  EXPECT_EQ(read->graph.nodes[1].domain, "");
}

TEST_F(ResolverTest, NestingIsBounded) {
  ::onnx::GraphProto *inner = &graph;
  for (int level = 0; level < 31; ++level)
    inner = addAttribute(addNode(*inner, "If", {"x"}, {"y"}), "then_branch", Attribute::GRAPH)
                .mutable_g();
  EXPECT_TRUE(read(model).ok());
  addAttribute(addNode(*inner, "If", {"x"}, {"y"}), "then_branch", Attribute::GRAPH).mutable_g();
  EXPECT_FAILS(read(model), Code::Unsupported, "graphs are nested deeper than 32 levels");
}
