// Which weights experts have of a graph's tensors, and which ops their layer is made of.

#include "dialects/layers/ExpertLayer.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"

using namespace moec;

namespace {

/// A graph with tensors of three experts, at the end of whose function ops are built.
class ExpertLayerTest : public testing::Test {
protected:
  void SetUp() override {
    context.loadDialect<lm::LmDialect, moe::MoeDialect, mlir::func::FuncDialect,
                        mlir::tensor::TensorDialect, mlir::arith::ArithDialect>();
    module = mlir::parseSourceString<mlir::ModuleOp>(R"(
      lm.tensor @both : tensor<3x8x5xf16> from "layer.both"
      lm.tensor @turned : tensor<3x5x4xf32> from "layer.turned"
      lm.tensor @bias : tensor<3x8xf32> from "layer.bias"
      lm.tensor @a : tensor<4x5xf32> from "a"
      lm.tensor @b : tensor<4x5xf32> from "b"
      lm.tensor @c : tensor<4x5xf32> from "c"
      func.func @graph(%x: tensor<?x5xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>,
                       %gate: tensor<3x4x5xf32>, %down: tensor<3x5x4xf32>) { return })",
                                                     &context);
    ASSERT_TRUE(module);
    symbols.emplace(*module);
    graph = module->lookupSymbol<mlir::func::FuncOp>("graph");
    builder.setInsertionPoint(graph.getBody().front().getTerminator());
  }

  lm::TensorOp tensor(llvm::StringRef name) { return module->lookupSymbol<lm::TensorOp>(name); }

  /// The symbol that a weight of three experts is loaded from.
  lm::WeightOp load(const ExpertWeight &weight) {
    mlir::Value value = loadExpertWeight(builder, builder.getUnknownLoc(), *symbols, 3, weight);
    EXPECT_TRUE(mlir::succeeded(module->verify()));
    return symbols->lookup<lm::WeightOp>(value.getDefiningOp<lm::LoadWeightOp>().getWeight());
  }

  std::string text() {
    std::string text;
    llvm::raw_string_ostream line(text);
    graph.print(line);
    return text;
  }

  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  mlir::OpBuilder builder{&context};
  std::optional<mlir::SymbolTable> symbols;
  mlir::func::FuncOp graph;
};

lm::PieceAttr pieceOf(lm::WeightOp weight, size_t place = 0) {
  return llvm::cast<lm::PieceAttr>(weight.getPieces()[place]);
}

TEST_F(ExpertLayerTest, AStackIsOnePiece) {
  lm::WeightOp weight =
      load({.tensors = {tensor("both")}, .rows = 4, .columns = 5, .firstRow = 1, .rowStep = 2});
  ASSERT_EQ(weight.getPieces().size(), 1u);
  lm::PieceAttr piece = pieceOf(weight);
  EXPECT_EQ(weight.getType().getShape(), llvm::ArrayRef<int64_t>({3, 4, 5}));
  EXPECT_TRUE(piece.getStored().isF16());
  EXPECT_EQ(piece.getPattern(), "layer.both");
  EXPECT_EQ(piece.getFirstRow(), 1);
  EXPECT_EQ(piece.getRowStep(), 2);
  EXPECT_EQ(piece.getRowsPerExpert(), 8);
  EXPECT_EQ(piece.getExperts(), 0);
  EXPECT_FALSE(piece.getTransposed());
}

// The rows of a turned tensor are its experts' columns.
TEST_F(ExpertLayerTest, ATurnedStackBeginsEachExpertAfterItsColumns) {
  lm::PieceAttr piece =
      pieceOf(load({.tensors = {tensor("turned")}, .rows = 4, .columns = 5, .isTransposed = true}));
  EXPECT_TRUE(piece.getTransposed());
  EXPECT_EQ(piece.getRowsPerExpert(), 5);
}

TEST_F(ExpertLayerTest, ATensorForEachExpertIsAPieceForEach) {
  lm::WeightOp weight =
      load({.tensors = {tensor("a"), tensor("b"), tensor("c")}, .rows = 4, .columns = 5});
  ASSERT_EQ(weight.getPieces().size(), 3u);
  EXPECT_EQ(pieceOf(weight, 1).getPattern(), "b");
  EXPECT_EQ(pieceOf(weight, 1).getFirstExpert(), 1);
  EXPECT_EQ(pieceOf(weight, 1).getExperts(), 1);
}

TEST_F(ExpertLayerTest, BiasesAreVectors) {
  lm::WeightOp weight =
      load({.tensors = {tensor("bias")}, .rows = 4, .areBiases = true, .firstRow = 4});
  EXPECT_TRUE(weight.holdsVectors());
  EXPECT_EQ(weight.getType().getShape(), llvm::ArrayRef<int64_t>({3, 4, 1}));
  EXPECT_EQ(pieceOf(weight).getRowsPerExpert(), 8);
}

TEST_F(ExpertLayerTest, EqualWeightsAreOne) {
  const ExpertWeight half{.tensors = {tensor("both")}, .rows = 4, .columns = 5};
  ExpertWeight turns = half;
  turns.rowStep = 2;
  lm::WeightOp weight = load(half);
  EXPECT_EQ(load(half), weight);
  EXPECT_NE(load(turns), weight);
}

TEST_F(ExpertLayerTest, AGatedLayerHasThreeProducts) {
  const auto silu = moe::ActivationAttr::get(&context, moe::ActivationKind::Silu);
  mlir::ValueRange given = graph.getArguments();
  buildExpertLayer(builder, builder.getUnknownLoc(),
                   {.tokens = given[0],
                    .experts = given[1],
                    .weights = given[2],
                    .gate = given[3],
                    .up = given[3],
                    .down = given[4],
                    .activation = silu});
  EXPECT_TRUE(mlir::succeeded(module->verify()));
  const std::string made = text();
  EXPECT_EQ(llvm::StringRef(made).count("= moe.grouped_matmul"), 3u) << made;
  EXPECT_EQ(llvm::StringRef(made).count("moe.gated_activation"), 1u) << made;
}

TEST_F(ExpertLayerTest, ALayerWithoutAGateHasTwo) {
  const auto relu = moe::ActivationAttr::get(&context, moe::ActivationKind::Relu);
  mlir::ValueRange given = graph.getArguments();
  buildExpertLayer(builder, builder.getUnknownLoc(),
                   {.tokens = given[0],
                    .experts = given[1],
                    .weights = given[2],
                    .up = given[3],
                    .down = given[4],
                    .activation = relu,
                    .weighsInput = true});
  EXPECT_TRUE(mlir::succeeded(module->verify()));
  const std::string made = text();
  EXPECT_EQ(llvm::StringRef(made).count(" relu ins"), 1u) << made;
  EXPECT_EQ(llvm::StringRef(made).count("picks("), 1u) << made;
  EXPECT_EQ(llvm::StringRef(made).count("moe.combine picked 2"), 1u) << made;
}

} // namespace
