// What is said of how weights are stored.

#include "compiler/analysis/StoredWeights.h"

#include "dialects/lm/LmDialect.h"

#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"

using namespace moec;

namespace {

/// "NAME BYTES" of each kind, in order, of a module of these weights.
std::vector<std::string> storedKinds(const std::string &weights) {
  static mlir::MLIRContext context;
  context.loadDialect<lm::LmDialect>();
  mlir::OwningOpRef<mlir::ModuleOp> module =
      mlir::parseSourceString<mlir::ModuleOp>(weights, &context);
  EXPECT_TRUE(module);
  std::vector<std::string> lines;
  for (const StoredKind &kind : module ? describeStored(*module) : std::vector<StoredKind>())
    lines.push_back(kind.name + " " + std::to_string(kind.bytes));
  return lines;
}

/// A piece of codes; none of `scales` where they are empty.
std::string piece(const std::string &type, const std::string &scales = "") {
  return "[#lm.piece<pattern = \"p.{l}\", rows = 256, stored = " + type +
         (scales.empty() ? "" : ", scales = <pattern = \"s.{l}\", " + scales + ">") + ">]\n";
}

TEST(StoredWeightsTest, BytesOfAKindAreAddedAndTheMostComeFirst) {
  EXPECT_EQ(storedKinds("lm.weight @norm : !lm.weight<256xf32> layers [0] from " + piece("f32") +
                        "lm.weight @up : !lm.weight<4x256x64xbf16> layers [0, 1] from " +
                        piece("bf16") + "lm.weight @q : !lm.weight<256x64xbf16> layers [0] from " +
                        piece("bf16")),
            (std::vector<std::string>{"bf16 " + std::to_string(9 * 256 * 64 * 2), "f32 1024"}));
}

TEST(StoredWeightsTest, CodesAreNamedByWhatSharesAScale) {
  const std::string weight = "lm.weight @w : !lm.weight<256x64xf8E4M3FN> layers [0] from ";
  auto kind = [&](const std::string &scales) {
    return storedKinds(weight + piece("f8E4M3FN", scales));
  };
  using Lines = std::vector<std::string>;
  EXPECT_EQ(kind("rows = 128, columns = 32"), Lines{"fp8 by blocks of 128 x 32 16384"});
  EXPECT_EQ(kind("rows = 1, columns = 0"), Lines{"fp8 by rows 16384"});
  EXPECT_EQ(kind("rows = 0, columns = 0"), Lines{"fp8 by tensors 16384"});
}

TEST(StoredWeightsTest, ScalesOfMxfp4Count) {
  EXPECT_EQ(storedKinds("lm.weight @w : !lm.weight<256x64xf4E2M1FN> layers [0] from " +
                        piece("f4E2M1FN", "rows = 1, columns = 32")),
            std::vector<std::string>{"mxfp4 " + std::to_string(256 * 64 / 2 + 256 * 2)});
}

} // namespace
