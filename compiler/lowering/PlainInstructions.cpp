// Implements moec-plain-instructions: what each instruction computes, as its manual has it.

#include "compiler/lowering/Passes.h"
#include "compiler/targets/cpu/CpuKernelBuilder.h"

namespace moec {
#define GEN_PASS_DEF_PLAININSTRUCTIONS
#include "compiler/lowering/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

/// Of the registers with 512 bits.
static constexpr int64_t kWideBytes = 64;

/// Every `step`th lane from `first` on.
static Value everyLane(CpuKernelBuilder &kernel, Value vector, int64_t first, int64_t step) {
  SmallVector<int64_t> lanes;
  for (int64_t i = first; i < cast<VectorType>(vector.getType()).getNumElements(); i += step)
    lanes.push_back(i);
  return kernel.shuffle(vector, vector, lanes);
}

static Value widenIntegers(CpuKernelBuilder &kernel, Value vector, bool isSigned) {
  Type wide = cast<VectorType>(vector.getType()).clone(kernel.i32());
  if (isSigned)
    return arith::ExtSIOp::create(kernel.builder, kernel.loc, wide, vector);
  return arith::ExtUIOp::create(kernel.builder, kernel.loc, wide, vector);
}

/// In each lane of i32 the products of the integers of `a` and `b` that belong to it; with `sum`,
/// added to that.
static Value dotIntegers(CpuKernelBuilder &kernel, Value sum, Value a, bool isSignedA, Value b,
                         bool isSignedB, int64_t perLane) {
  for (int64_t i = 0; i < perLane; ++i) {
    Value product = kernel.mul(widenIntegers(kernel, everyLane(kernel, a, i, perLane), isSignedA),
                               widenIntegers(kernel, everyLane(kernel, b, i, perLane), isSignedB));
    sum = sum ? kernel.add(sum, product) : product;
  }
  return sum;
}

/// Of f32, denormals as zeros of their sign: what DAZ does to operands and FTZ to results.
static Value flushDenormals(CpuKernelBuilder &kernel, Value value) {
  Type words = cast<VectorType>(value.getType()).clone(kernel.i32());
  Value bits = kernel.bitcast(words, value), zero = kernel.integer(words, 0);
  Value isSmall = kernel.compare(arith::CmpIPredicate::eq,
                                 kernel.bitAnd(bits, kernel.integer(words, 0x7f800000)), zero);
  Value sign = kernel.bitAnd(bits, kernel.integer(words, int32_t(0x80000000)));
  return kernel.bitcast(value.getType(), kernel.select(isSmall, sign, bits));
}

/// sum + a * b as the bf16 instructions do it: rounded once, to nearest even, denormals zero.
static Value flushingFma(CpuKernelBuilder &kernel, Value a, Value b, Value sum) {
  return flushDenormals(kernel, kernel.fma(flushDenormals(kernel, a), flushDenormals(kernel, b),
                                           flushDenormals(kernel, sum)));
}

/// VPMADDWD.
static Value multiplyWords(CpuKernelBuilder &kernel, ValueRange operands) {
  return dotIntegers(kernel, {}, operands[0], true, operands[1], true, 2);
}

/// VPMADDUBSW: the sums saturate.
static Value multiplyBytes(CpuKernelBuilder &kernel, ValueRange operands) {
  Value sums = dotIntegers(kernel, {}, operands[0], false, operands[1], true, 2);
  sums = kernel.min(kernel.max(sums, kernel.integer(sums.getType(), INT16_MIN)),
                    kernel.integer(sums.getType(), INT16_MAX));
  return arith::TruncIOp::create(kernel.builder, kernel.loc,
                                 cast<VectorType>(sums.getType()).clone(kernel.i16()), sums);
}

/// VPSHUFB: looks up within each 16 bytes; zero where an index has its highest bit set.
static Value lookUpBytes(CpuKernelBuilder &kernel, ValueRange operands) {
  const Type bytes = operands[0].getType();
  Value result = kernel.integer(bytes, 0);
  Value indices = kernel.bitAnd(operands[1], kernel.integer(bytes, int8_t(0x8f)));
  for (int64_t i = 0; i < 16; ++i) {
    SmallVector<int64_t> lanes;
    for (int64_t lane = 0; lane < kWideBytes; ++lane)
      lanes.push_back(lane / 16 * 16 + i);
    Value found = kernel.shuffle(operands[0], operands[0], lanes);
    Value isHere = kernel.compare(arith::CmpIPredicate::eq, indices, kernel.integer(bytes, i));
    result = kernel.select(isHere, found, result);
  }
  return result;
}

/// VPERMPS and VPERMW: an index has as many bits as it takes to name a lane.
static Value pickLanes(CpuKernelBuilder &kernel, ValueRange operands) {
  auto [table, indices] = std::pair(operands[0], operands[1]);
  const auto type = cast<VectorType>(indices.getType());
  const int64_t count = type.getNumElements();
  indices = kernel.bitAnd(indices, kernel.integer(type, count - 1));
  Value result = table;
  for (int64_t i = 0; i < count; ++i) {
    Value found = kernel.shuffle(table, table, SmallVector<int64_t>(count, i));
    Value isHere = kernel.compare(arith::CmpIPredicate::eq, indices, kernel.integer(type, i));
    result = kernel.select(isHere, found, result);
  }
  return result;
}

/// VPDPBUSD.
static Value dotBytes(CpuKernelBuilder &kernel, ValueRange operands) {
  return dotIntegers(kernel, operands[0], operands[1], false, operands[2], true, 4);
}

/// VDPBF16PS: the second products first.
static Value dotBf16(CpuKernelBuilder &kernel, ValueRange operands) {
  Value sum = operands[0];
  for (bool second : {true, false})
    sum = flushingFma(kernel, kernel.widenHalf(operands[1], second),
                      kernel.widenHalf(operands[2], second), sum);
  return sum;
}

// A matrix register is a vector of its 16 rows of 64 bytes, one after another, all beyond its shape
// zero.

static constexpr int64_t kMatrixRowBytes = 64;

static VectorType plainMatrix(CpuKernelBuilder &kernel) {
  return kernel.lanes(kernel.i32(), kMatrixRows * kLanes);
}

/// A register in memory, where its rows can be told apart.
static Value roomFor(CpuKernelBuilder &kernel, Value matrix) {
  Value room = kernel.scratch(kMatrixRows * kMatrixRowBytes);
  kernel.store(matrix, room);
  return room;
}

static Value number(CpuKernelBuilder &kernel, Value value) {
  return arith::ExtUIOp::create(kernel.builder, kernel.loc, kernel.i64(), value);
}

/// Row `row` (i64) of a register in memory.
static Value rowOf(CpuKernelBuilder &kernel, Value room, Value row) {
  return kernel.addressBytes(room, kernel.mul(row, kernel.integer(kMatrixRowBytes)));
}

/// TILEZERO.
static Value zeroMatrix(CpuKernelBuilder &kernel, ValueRange) {
  return kernel.integer(plainMatrix(kernel), 0);
}

/// Copies rows of `bytes` (i16) bytes, a multiple of 4.
static void copyRows(CpuKernelBuilder &kernel, Value rows, Value bytes, Value from,
                     Value fromStride, Value to, Value toStride) {
  const VectorType words = kernel.lanes(kernel.i32());
  SmallVector<int32_t> offsets;
  for (int32_t lane = 0; lane < kLanes; ++lane)
    offsets.push_back(4 * lane);
  Value mask = kernel.compare(
      arith::CmpIPredicate::slt,
      arith::ConstantOp::create(kernel.builder, kernel.loc,
                                DenseElementsAttr::get(cast<ShapedType>(words), ArrayRef(offsets))),
      kernel.broadcast(arith::ExtUIOp::create(kernel.builder, kernel.loc, kernel.i32(), bytes)));
  kernel.loop(kernel.integer(0), number(kernel, rows), 1, [&](Value row) {
    Value source = kernel.addressBytes(from, kernel.mul(row, fromStride));
    Value target = kernel.addressBytes(to, kernel.mul(row, toStride));
    Value loaded = LLVM::MaskedLoadOp::create(kernel.builder, kernel.loc, words, source, mask,
                                              kernel.integer(words, 0), 1);
    LLVM::MaskedStoreOp::create(kernel.builder, kernel.loc, loaded, target, mask, 1);
  });
}

/// TILELOADD.
static Value loadMatrix(CpuKernelBuilder &kernel, ValueRange operands) {
  Value room = roomFor(kernel, zeroMatrix(kernel, {}));
  copyRows(kernel, operands[0], operands[1], operands[2], operands[3], room,
           kernel.integer(kMatrixRowBytes));
  return kernel.load(plainMatrix(kernel), room);
}

/// TILESTORED.
static Value storeMatrix(CpuKernelBuilder &kernel, ValueRange operands) {
  copyRows(kernel, operands[0], operands[1], roomFor(kernel, operands[4]),
           kernel.integer(kMatrixRowBytes), operands[2], operands[3]);
  return {};
}

/// Of each row of `a` and of the sums, with the rows of `b` that belong to its words:
/// body(sums, word in every lane, row of b), then finish(the row's sums before, and those).
static Value
multiplyMatrices(CpuKernelBuilder &kernel, ValueRange operands, ArrayRef<Value> starts,
                 function_ref<SmallVector<Value>(ValueRange sums, Value word, Value weights)> body,
                 function_ref<Value(Value before, ValueRange sums)> finish) {
  const VectorType words = kernel.lanes(kernel.i32());
  Value sums = roomFor(kernel, operands[3]), a = roomFor(kernel, operands[4]),
        b = roomFor(kernel, operands[5]);
  Value depth = kernel.div(number(kernel, operands[2]), kernel.integer(4));
  kernel.loop(kernel.integer(0), number(kernel, operands[0]), 1, [&](Value row) {
    SmallVector<Value> results =
        kernel.loop(kernel.integer(0), depth, 1, starts, [&](Value k, ValueRange now) {
          Value word = kernel.broadcast(
              kernel.load(kernel.i32(), kernel.address(rowOf(kernel, a, row), kernel.i32(), k)));
          return body(now, word, kernel.load(words, rowOf(kernel, b, k)));
        });
    Value place = rowOf(kernel, sums, row);
    kernel.store(finish(kernel.load(words, place), results), place);
  });
  return kernel.load(plainMatrix(kernel), sums);
}

/// TDPBF16PS, by the operation that volume 2 of Intel's manual gives: first and second products of
/// the pairs are summed apart, in order, then both sums together, then those with the older ones.
static Value multiplyBf16Matrices(CpuKernelBuilder &kernel, ValueRange operands) {
  const VectorType words = kernel.lanes(kernel.i32()), floats = kernel.lanes(kernel.f32());
  Value zero = kernel.number(floats, 0);
  return multiplyMatrices(
      kernel, operands, {zero, zero},
      [&](ValueRange sums, Value word, Value weights) {
        SmallVector<Value> results;
        for (bool second : {false, true})
          results.push_back(flushingFma(kernel, kernel.widenHalf(word, second),
                                        kernel.widenHalf(weights, second), sums[second]));
        return results;
      },
      [&](Value before, ValueRange sums) {
        Value added = flushDenormals(kernel, kernel.add(sums[0], sums[1]));
        Value older = flushDenormals(kernel, kernel.bitcast(floats, before));
        return kernel.bitcast(words, flushDenormals(kernel, kernel.add(older, added)));
      });
}

/// TDPBSUD: bytes with a sign by bytes without.
static Value multiplyByteMatrices(CpuKernelBuilder &kernel, ValueRange operands) {
  const VectorType bytes = kernel.lanes(kernel.i8(), 4 * kLanes);
  return multiplyMatrices(
      kernel, operands, {kernel.integer(kernel.lanes(kernel.i32()), 0)},
      [&](ValueRange sums, Value word, Value weights) -> SmallVector<Value> {
        return {dotIntegers(kernel, sums[0], kernel.bitcast(bytes, word), true,
                            kernel.bitcast(bytes, weights), false, 4)};
      },
      [&](Value before, ValueRange sums) { return kernel.add(before, sums[0]); });
}

/// Makes of `operands` the result, if the instruction has one.
using Expansion = Value (*)(CpuKernelBuilder &kernel, ValueRange operands);
static constexpr std::pair<StringRef, Expansion> kExpansions[] = {
    {"llvm.x86.avx512.pmaddw.d.512", multiplyWords},
    {"llvm.x86.avx512.pmaddubs.w.512", multiplyBytes},
    {"llvm.x86.avx512.pshuf.b.512", lookUpBytes},
    {"llvm.x86.avx512.permvar.sf.512", pickLanes},
    {"llvm.x86.avx512.permvar.hi.512", pickLanes},
    {"llvm.x86.avx512.vpdpbusd.512", dotBytes},
    {"llvm.x86.avx512bf16.dpbf16ps.512", dotBf16},
    {"llvm.x86.tilezero.internal", zeroMatrix},
    {"llvm.x86.tileloadd64.internal", loadMatrix},
    {"llvm.x86.tilestored64.internal", storeMatrix},
    {"llvm.x86.tdpbf16ps.internal", multiplyBf16Matrices},
    {"llvm.x86.tdpbsud.internal", multiplyByteMatrices},
};

/// VCVTNEPS2BF16, which takes denormals for zero.
static Value roundToBf16(CpuKernelBuilder &kernel, arith::TruncFOp op) {
  Value value = op.getIn();
  const bool isScalar = !isa<VectorType>(value.getType());
  Value vector = isScalar ? kernel.broadcast(value, 1) : value;
  Value rounded = kernel.round(kernel.bf16(), flushDenormals(kernel, vector));
  if (isScalar)
    return vector::ExtractOp::create(kernel.builder, kernel.loc, rounded, ArrayRef<int64_t>{0});
  return rounded;
}

/// Gives values that hold a matrix register their plain type, wherever control flow carries them.
static void retypeMatrices(Operation *op) {
  auto retype = [](Value value) {
    if (isa<LLVM::LLVMX86AMXType>(value.getType()))
      value.setType(
          VectorType::get({kMatrixRows * kLanes}, IntegerType::get(value.getContext(), 32)));
  };
  for (Value result : op->getResults())
    retype(result);
  for (Region &region : op->getRegions())
    for (Block &block : region)
      llvm::for_each(block.getArguments(), retype);
}

/// Makes of the intrinsic a call of a function that computes the same, which is made where the
/// module has none yet. Pairs of bf16 are words to it: LLVM would pass them as f32, and round
/// again.
static void callExpansion(CpuKernelBuilder &kernel, LLVM::CallIntrinsicOp op, Expansion expansion) {
  SmallVector<Value> arguments(op.getArgs());
  for (Value &argument : arguments)
    if (auto vector = dyn_cast<VectorType>(argument.getType());
        vector && vector.getElementType().isBF16())
      argument = kernel.bitcast(kernel.lanes(kernel.i32(), vector.getNumElements() / 2), argument);
  auto module = op->getParentOfType<ModuleOp>();
  const std::string name = ("plain." + op.getIntrin()).str();
  auto function = module.lookupSymbol<func::FuncOp>(name);
  if (!function) {
    auto builder = OpBuilder::atBlockEnd(module.getBody());
    CpuKernelBuilder inside(builder, op.getLoc(), kernel.target);
    const FunctionType type =
        builder.getFunctionType(ValueRange(arguments).getTypes(), op->getResultTypes());
    function = func::FuncOp::create(builder, inside.loc, name, type);
    function.setPrivate();
    builder.setInsertionPointToStart(function.addEntryBlock());
    Value result = expansion(inside, function.getArguments());
    func::ReturnOp::create(builder, inside.loc, result ? ValueRange(result) : ValueRange());
  }
  op->replaceAllUsesWith(func::CallOp::create(kernel.builder, kernel.loc, function, arguments));
  op->erase();
}

namespace {

struct PlainInstructions final : moec::impl::PlainInstructionsBase<PlainInstructions> {
  using PlainInstructionsBase::PlainInstructionsBase;

  void runOnOperation() override {
    Result<const CpuTarget *> target = findCpuTarget("avx2");
    assert(target.ok() && "the table lost its lowest level");
    getOperation().walk(retypeMatrices);
    SmallVector<LLVM::CallIntrinsicOp> calls;
    SmallVector<arith::TruncFOp> roundings;
    getOperation().walk([&](LLVM::CallIntrinsicOp op) { calls.push_back(op); });
    getOperation().walk([&](arith::TruncFOp op) {
      if (getElementTypeOrSelf(op.getType()).isBF16())
        roundings.push_back(op);
    });
    for (LLVM::CallIntrinsicOp op : calls) {
      const auto *found = llvm::find_if(
          kExpansions, [&](const auto &known) { return known.first == op.getIntrin(); });
      OpBuilder builder(op);
      CpuKernelBuilder kernel(builder, op.getLoc(), **target);
      if (found != std::end(kExpansions))
        callExpansion(kernel, op, found->second);
    }
    for (arith::TruncFOp op : roundings) {
      OpBuilder builder(op);
      CpuKernelBuilder kernel(builder, op.getLoc(), **target);
      op.replaceAllUsesWith(roundToBf16(kernel, op));
      op.erase();
    }
  }
};

} // namespace
