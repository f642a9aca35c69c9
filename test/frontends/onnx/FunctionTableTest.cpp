// Functions: inlined with their attributes and operator sets; circles and explosions refused.

#include "test/frontends/onnx/OnnxFolder.h"

#include <gtest/gtest.h>

using namespace moec;
using Attribute = ::onnx::AttributeProto;

namespace {
/// A model whose node `F_0` calls f: x, w -> y.
struct FunctionTest : testing::Test, OnnxFolder {
  ::onnx::ModelProto model = emptyModel();
  ::onnx::GraphProto &graph = *model.mutable_graph();
  ::onnx::FunctionProto &function;
  ::onnx::NodeProto &call;

  FunctionTest()
      : function(addFunction("f", 21)), call(addNode(graph, "f", {"x", "x"}, {"y"}, "own")) {
    call.set_name("call");
    addOutput(graph, "y");
  }
  ::onnx::FunctionProto &addFunction(const std::string &name, int64_t version) {
    model.mutable_functions()->Reserve(100); // references stay
    ::onnx::FunctionProto &added = *model.add_functions();
    added.set_name(name);
    added.set_domain("own");
    importOperators(*added.mutable_opset_import(), "", version);
    for (const char *input : {"a", "b"})
      added.add_input(input);
    added.add_output("c");
    return added;
  }
  void expectFailure(const std::string &words, Code code = Code::Model) const {
    EXPECT_FAILS(read(model), code, words);
  }
};
} // namespace

TEST_F(FunctionTest, ACallBecomesTheBody) {
  function.mutable_opset_import(0)->set_version(18);
  addNode(function, "Add", {"a", "b"}, {"sum"});
  addNode(function, "Relu", {"sum"}, {"c"});
  addNode(graph, "Neg", {"y"}, {"sum"});
  Result<OnnxModel> read = this->read(model);
  ASSERT_TRUE(read.ok()) << read.status().message;
  const OnnxGraph &main = read->graph;
  ASSERT_EQ(main.nodes.size(), 3u);
  const uint32_t x = main.inputs[0].value;
  EXPECT_EQ(main.nodes[0].inputs, (std::vector<uint32_t>{x, x}));
  EXPECT_EQ(main.nodes[0].version, 18);
  EXPECT_EQ(main.nodes[1].inputs, main.nodes[0].outputs);
  EXPECT_EQ(main.nodes[2].inputs, main.nodes[1].outputs);
  EXPECT_EQ(main.nodes[2].version, 21);
  EXPECT_EQ(main.outputs[0].value, main.nodes[1].outputs[0]);
  EXPECT_EQ(main.outputs[0].name, "y");
  EXPECT_EQ(read->nameOf(main.nodes[0].outputs[0]), "call/sum");
  EXPECT_EQ(read->nameOf(main.nodes[0]), "call/Add_0");
  EXPECT_EQ(read->nameOf(main.nodes[2].outputs[0]), "sum");
  ASSERT_EQ(read->functions.size(), 1u);
  EXPECT_EQ(read->functions[0].calls, 1u);
}

TEST_F(FunctionTest, AFunctionHidesAnOperator) {
  function.set_domain("ai.onnx");
  function.set_name("Gelu");
  addNode(function, "Relu", {"a"}, {"c"});
  call.set_domain("");
  call.set_op_type("Gelu");
  Result<OnnxModel> read = this->read(model);
  ASSERT_TRUE(read.ok()) << read.status().message;
  EXPECT_EQ(read->graph.nodes.at(0).op, "Relu");
}

TEST_F(FunctionTest, OverloadsAreOthers) {
  addNode(function, "Relu", {"a"}, {"c"});
  ::onnx::FunctionProto &other = addFunction("f", 21);
  addNode(other, "Neg", {"a"}, {"c"});
  expectFailure("function own::f is there twice");
  other.set_overload("2");
  call.set_overload("2");
  Result<OnnxModel> read = this->read(model);
  ASSERT_TRUE(read.ok()) << read.status().message;
  EXPECT_EQ(read->graph.nodes.at(0).op, "Neg");
  call.set_overload("3");
  expectFailure("calls the overload `3` of a function that the model lacks");
}

TEST_F(FunctionTest, AttributesComeOfTheCall) {
  ::onnx::NodeProto &node = addNode(function, "LeakyRelu", {"a"}, {"c"});
  addAttribute(node, "alpha", Attribute::FLOAT).set_ref_attr_name("slope");
  expectFailure("attribute `alpha`: refers to `slope`, which is no attribute of the function");
  // Without a default, a call that says nothing leaves the operator's own.
  function.add_attribute("slope");
  Result<OnnxModel> read = this->read(model);
  ASSERT_TRUE(read.ok()) << read.status().message;
  EXPECT_EQ(read->graph.nodes[0].find("alpha"), nullptr);
  // With one, that.
  function.clear_attribute();
  ::onnx::AttributeProto &preset = *function.add_attribute_proto();
  preset.set_name("slope");
  preset.set_type(Attribute::FLOAT);
  preset.set_f(0.25);
  read = this->read(model);
  ASSERT_TRUE(read.ok()) << read.status().message;
  EXPECT_EQ(std::get<float>(read->graph.nodes[0].find("alpha")->value), 0.25);
  Attribute &given = addAttribute(call, "slope", Attribute::FLOAT);
  given.set_f(0.5);
  read = this->read(model);
  ASSERT_TRUE(read.ok()) << read.status().message;
  EXPECT_EQ(std::get<float>(read->graph.nodes[0].find("alpha")->value), 0.5);

  given.clear_f();
  given.set_type(Attribute::INT);
  expectFailure("attribute `alpha`: refers to `slope`, which is of another type");
  given.set_name("other");
  expectFailure("node `call` (own::f): has the attribute `other`, which the function does not");
  call.clear_attribute();
  function.add_attribute("slope");
  expectFailure("function own::f: has the attribute `slope` twice");
}

TEST_F(FunctionTest, ReferencesAreForFunctionsAlone) {
  addNode(function, "Relu", {"a"}, {"c"});
  addAttribute(call, "slope", Attribute::FLOAT).set_ref_attr_name("alpha");
  expectFailure("refers to an attribute of a function, but is in none");
}

TEST_F(FunctionTest, InputsMayBeLeftOut) {
  addNode(function, "Clip", {"a", "b"}, {"c"});
  call.mutable_input()->RemoveLast();
  Result<OnnxModel> read = this->read(model);
  ASSERT_TRUE(read.ok()) << read.status().message;
  EXPECT_EQ(read->graph.nodes[0].inputs.at(1), kAbsent);
  call.add_input("");
  call.add_input("x");
  expectFailure("has 3 inputs and 1 outputs, the function 2 and 1");
}

TEST_F(FunctionTest, AnOutputMayBeAnInput) {
  function.set_output(0, "b");
  addNode(graph, "Neg", {"y"}, {"z"});
  Result<OnnxModel> read = this->read(model);
  ASSERT_TRUE(read.ok()) << read.status().message;
  EXPECT_EQ(read->graph.outputs[0].value, read->graph.inputs[0].value);
  EXPECT_EQ(read->graph.nodes.at(0).inputs[0], read->graph.inputs[0].value);
  call.set_input(1, "");
  expectFailure("function own::f: output `b` is made by nothing");
}

TEST_F(FunctionTest, BodiesSeeTheirInputsAlone) {
  addNode(function, "Relu", {"x"}, {"c"});
  expectFailure("node `call` (own::f): function own::f: node `Relu_0` (Relu): reads `x`, which "
                "nothing makes");
  function.mutable_node(0)->set_input(0, "a");
  function.clear_opset_import();
  expectFailure("is of the operators of ai.onnx, which the function does not import");
}

TEST_F(FunctionTest, BodiesAreNotSeenOutside) {
  addNode(function, "Add", {"a", "b"}, {"sum"});
  addNode(function, "Relu", {"sum"}, {"c"});
  addNode(graph, "Neg", {"sum"}, {"z"});
  expectFailure("node `Neg_1` (Neg): reads `sum`, which nothing makes");
}

TEST_F(FunctionTest, GraphsInBodiesCapture) {
  ::onnx::NodeProto &branches = addNode(function, "If", {"a"}, {"c"});
  ::onnx::GraphProto &branch = *addAttribute(branches, "then_branch", Attribute::GRAPH).mutable_g();
  ::onnx::NodeProto &leaky = addNode(branch, "LeakyRelu", {"b"}, {"d"});
  addAttribute(leaky, "alpha", Attribute::FLOAT).set_ref_attr_name("slope");
  addOutput(branch, "d");
  function.add_attribute("slope");
  addAttribute(call, "slope", Attribute::FLOAT).set_f(2);
  Result<OnnxModel> read = this->read(model);
  ASSERT_TRUE(read.ok()) << read.status().message;
  const OnnxGraph &inner =
      *std::get<std::unique_ptr<OnnxGraph>>(read->graph.nodes.at(0).find("then_branch")->value);
  EXPECT_EQ(inner.captures, (std::vector<uint32_t>{read->graph.inputs[0].value}));
  EXPECT_EQ(std::get<float>(inner.nodes[0].find("alpha")->value), 2);
  EXPECT_EQ(read->nameOf(inner.outputs[0].value), "call/d");
}

TEST_F(FunctionTest, CirclesAreRefused) {
  addNode(function, "g", {"a"}, {"c"}, "own");
  ::onnx::FunctionProto &other = addFunction("g", 21);
  ::onnx::NodeProto &branches = addNode(other, "If", {"a"}, {"c"});
  ::onnx::GraphProto &branch = *addAttribute(branches, "then_branch", Attribute::GRAPH).mutable_g();
  addNode(branch, "f", {"b"}, {"d"}, "own");
  expectFailure("function own::f calls itself, by way of own::g");
  // Also where nobody calls them.
  graph.clear_node();
  graph.clear_output();
  expectFailure("function own::f calls itself, by way of own::g");
}

TEST_F(FunctionTest, ExpansionIsBounded) {
  // f0 calls f1 twice, f1 f2 twice, and so on: 2^40 calls, of empty bodies at last.
  ::onnx::FunctionProto *outer = &function;
  for (int level = 1; level <= 40; ++level) {
    const std::string name = "f" + std::to_string(level);
    for (const char *output : {"c", "d"}) {
      ::onnx::NodeProto &node = addNode(*outer, name, {"a", "b"}, {}, "own");
      node.add_output(output);
    }
    outer = &addFunction(name, 21);
  }
  outer->set_output(0, "a");
  EXPECT_FAILS(read(model, {.mostItems = 100'000}), Code::Unsupported,
               "functions expand to more than 100000 nodes");
}

TEST_F(FunctionTest, SizesAreBounded) {
  function.set_output(0, "a");
  for (int index = 0; index < 1000; ++index) {
    function.add_input("i" + std::to_string(index));
    addNode(graph, "f", {"x"}, {}, "own");
  }
  EXPECT_FAILS(read(model, {.mostItems = 100'000}), Code::Unsupported,
               "functions expand to more than 100000 nodes");
  for (int index = 0; index < 101; ++index)
    function.add_attribute("a" + std::to_string(index));
  expectFailure("function own::f: has more than 100 attributes", Code::Unsupported);
}

TEST_F(FunctionTest, DepthIsBounded) {
  ::onnx::FunctionProto *outer = &function;
  for (int level = 1; level <= 70; ++level) {
    const std::string name = "f" + std::to_string(level);
    ::onnx::NodeProto &node = addNode(*outer, name, {"a", "b"}, {"c"}, "own");
    node.set_name("n");
    outer = &addFunction(name, 21);
  }
  addNode(*outer, "Relu", {"a"}, {"c"});
  expectFailure("nested deeper than 64", Code::Unsupported);
}
