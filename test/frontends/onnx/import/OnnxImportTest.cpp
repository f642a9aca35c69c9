// What becomes of nodes, and what is said of those that cannot be imported.

#include "frontends/onnx/import/OnnxImport.h"
#include "mlir/IR/MLIRContext.h"
#include "test/frontends/onnx/OnnxFolder.h"

#include <gtest/gtest.h>

using namespace moec;
using ::onnx::AttributeProto;

namespace {
struct Imported {
  Status status;
  std::string text;
};
} // namespace

static Imported import(const ::onnx::ModelProto &message) {
  OnnxFolder folder;
  Result<OnnxModel> model = folder.read(message);
  if (!model.ok())
    return {model.status(), ""};
  mlir::MLIRContext context;
  Result<OnnxImport> made = importOnnx(*model, context, "model");
  if (!made.ok())
    return {made.status(), ""};
  Imported result;
  llvm::raw_string_ostream stream(result.text);
  made->module->print(stream);
  return result;
}

static size_t count(const std::string &text, std::string_view what) {
  size_t found = 0;
  for (size_t place = text.find(what); place != std::string::npos;
       place = text.find(what, place + 1))
    ++found;
  return found;
}

/// x of `tokens` x 40, and `y` as what is wanted.
static ::onnx::ModelProto symbolicModel() {
  ::onnx::ModelProto model;
  model.set_ir_version(10);
  importOperators(*model.mutable_opset_import(), "", 21);
  ::onnx::GraphProto &graph = *model.mutable_graph();
  graph.set_name("main");
  addInput(graph, "x", {1, 40});
  graph.mutable_input(0)
      ->mutable_type()
      ->mutable_tensor_type()
      ->mutable_shape()
      ->mutable_dim(0)
      ->set_dim_param("tokens");
  addOutput(graph, "y");
  return model;
}

static void addIntegers(::onnx::GraphProto &graph, const std::string &name,
                        std::initializer_list<int64_t> values) {
  ::onnx::TensorProto &tensor = *graph.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(::onnx::TensorProto::INT64);
  tensor.add_dims(static_cast<int64_t>(values.size()));
  for (int64_t value : values)
    tensor.add_int64_data(value);
}

TEST(OnnxImportTest, ASizeStaysASymbol) {
  ::onnx::ModelProto model = symbolicModel();
  addNode(*model.mutable_graph(), "Exp", {"x"}, {"y"});
  Imported made = import(model);
  ASSERT_TRUE(made.status.ok()) << made.status.message;
  EXPECT_EQ(count(made.text, "lm.dimension"), 1u);
  EXPECT_NE(made.text.find("lm.graph_input %arg0 \"x\""), std::string::npos) << made.text;
  EXPECT_NE(made.text.find("math.exp"), std::string::npos) << made.text;
  EXPECT_NE(made.text.find("shape = [\"tokens\", 40]"), std::string::npos) << made.text;
}

TEST(OnnxImportTest, ShapesAreComputedWhileItIsImported) {
  // x as (tokens, 8, 5) by a shape that the graph makes of x's own.
  ::onnx::ModelProto model = symbolicModel();
  ::onnx::GraphProto &graph = *model.mutable_graph();
  addIntegers(graph, "first", {0});
  addIntegers(graph, "rest", {8, 5});
  addNode(graph, "Shape", {"x"}, {"shape"});
  addNode(graph, "Gather", {"shape", "first"}, {"tokens"});
  ::onnx::NodeProto &join = addNode(graph, "Concat", {"tokens", "rest"}, {"wanted"});
  addAttribute(join, "axis", AttributeProto::INT).set_i(0);
  addNode(graph, "Reshape", {"x", "wanted"}, {"y"});
  Imported made = import(model);
  ASSERT_TRUE(made.status.ok()) << made.status.message;
  EXPECT_NE(made.text.find("tensor<?x40xf32> into tensor<?x8x5xf32>"), std::string::npos)
      << made.text;
  EXPECT_EQ(count(made.text, "tensor.extract "), 0u) << made.text;
  EXPECT_EQ(count(made.text, "cf.assert"), 0u) << made.text;
}

TEST(OnnxImportTest, SizesThatMayDifferAreCheckedWhenItRuns) {
  ::onnx::ModelProto model = symbolicModel();
  ::onnx::GraphProto &graph = *model.mutable_graph();
  addIntegers(graph, "wanted", {5, 8, 10});
  addNode(graph, "Reshape", {"x", "wanted"}, {"y"});
  Imported made = import(model);
  ASSERT_TRUE(made.status.ok()) << made.status.message;
  EXPECT_EQ(count(made.text, "cf.assert"), 1u) << made.text;
}

TEST(OnnxImportTest, StoredTensorsAreSymbolsAndOnlyThoseThatAreRead) {
  ::onnx::ModelProto model = symbolicModel();
  ::onnx::GraphProto &graph = *model.mutable_graph();
  addTensor(graph, "bias", std::string(160, 'x'), {40});
  addTensor(graph, "unread", std::string(160, 'x'), {40});
  addNode(graph, "Add", {"x", "bias"}, {"sum"});
  addNode(graph, "Mul", {"sum", "bias"}, {"y"});
  Imported made = import(model);
  ASSERT_TRUE(made.status.ok()) << made.status.message;
  EXPECT_EQ(count(made.text, "lm.tensor @"), 1u) << made.text;
  EXPECT_NE(made.text.find("from \"bias\""), std::string::npos) << made.text;
}

static void expectFailure(const ::onnx::ModelProto &model, Code code,
                          std::initializer_list<const char *> parts) {
  Imported made = import(model);
  EXPECT_EQ(made.status.code, code) << made.status.message;
  for (const char *part : parts)
    EXPECT_NE(made.status.message.find(part), std::string::npos) << made.status.message;
}

TEST(OnnxImportTest, AnUnknownOperatorIsNamed) {
  ::onnx::ModelProto model = symbolicModel();
  addNode(*model.mutable_graph(), "Nonesuch", {"x"}, {"y"});
  expectFailure(model, Code::Unsupported,
                {"node 'Nonesuch_0' (Nonesuch, version 21)", "does not know the operator"});
}

TEST(OnnxImportTest, AttributesAreThoseOfTheVersion) {
  ::onnx::ModelProto model = symbolicModel();
  ::onnx::NodeProto &node = addNode(*model.mutable_graph(), "Softmax", {"x"}, {"y"});
  addAttribute(node, "beta", AttributeProto::INT).set_i(0);
  expectFailure(model, Code::Unsupported, {"Softmax_0", "`beta`"});
  node.mutable_attribute(0)->set_name("axis");
  node.mutable_attribute(0)->set_type(AttributeProto::FLOAT);
  node.mutable_attribute(0)->clear_i();
  node.mutable_attribute(0)->set_f(0);
  expectFailure(model, Code::Model, {"`axis` is a float, wanted an integer"});
}

TEST(OnnxImportTest, InputsAreCountedAndTyped) {
  ::onnx::ModelProto model = symbolicModel();
  addNode(*model.mutable_graph(), "Add", {"x"}, {"y"});
  expectFailure(model, Code::Model, {"has 1 inputs, wanted 2 inputs"});
  model = symbolicModel();
  addIntegers(*model.mutable_graph(), "n", {1, 2});
  addNode(*model.mutable_graph(), "Add", {"x", "n"}, {"y"});
  expectFailure(model, Code::Model, {"FLOAT and INT64; wanted one type"});
}

TEST(OnnxImportTest, ShapesThatDoNotSuitAreShown) {
  ::onnx::ModelProto model = symbolicModel();
  addTensor(*model.mutable_graph(), "w", std::string(48, 'x'), {3, 4});
  addNode(*model.mutable_graph(), "MatMul", {"x", "w"}, {"y"});
  expectFailure(model, Code::Model, {"columns of a and rows of b differ: 40 and 3"});
  model = symbolicModel();
  ::onnx::NodeProto &node = addNode(*model.mutable_graph(), "Softmax", {"x"}, {"y"});
  addAttribute(node, "axis", AttributeProto::INT).set_i(2);
  expectFailure(model, Code::Model, {"axis 2 is no dimension of a tensor of rank 2"});
}
