// Short spellings for the operations that CPU kernels are made of.

#include "compiler/targets/cpu/CpuKernelBuilder.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Interfaces/LoopLikeInterface.h"

using namespace mlir;
using namespace moec;

static Value callIntrinsic(CpuKernelBuilder &kernel, StringRef name, Type result,
                           ValueRange operands) {
  return LLVM::CallIntrinsicOp::create(kernel.builder, kernel.loc, result,
                                       kernel.builder.getStringAttr(name), operands)
      .getResult(0);
}

/// The lanes [first, first + count) of `vector`.
static Value someLanes(CpuKernelBuilder &kernel, Value vector, int64_t first, int64_t count) {
  if (cast<VectorType>(vector.getType()).getNumElements() == count)
    return vector;
  return kernel.shuffle(vector, vector, llvm::to_vector(llvm::seq(first, first + count)));
}

Value CpuKernelBuilder::bf16Dot(Value sum, Value a, Value b) {
  const int64_t lanes = target.bf16Dot.lanes;
  SmallVector<Value> parts;
  for (int64_t first = 0; first < kLanes; first += lanes) {
    Value given[] = {someLanes(*this, sum, first, lanes), someLanes(*this, a, 2 * first, 2 * lanes),
                     someLanes(*this, b, 2 * first, 2 * lanes)};
    parts.push_back(callIntrinsic(*this, target.bf16Dot.intrinsic, given[0].getType(), given));
  }
  for (int64_t joined = lanes; parts.size() > 1; joined *= 2) {
    SmallVector<Value> wider;
    for (size_t i = 0; i < parts.size(); i += 2)
      wider.push_back(
          shuffle(parts[i], parts[i + 1], llvm::to_vector(llvm::seq<int64_t>(0, 2 * joined))));
    parts = wider;
  }
  return parts.front();
}

static SmallVector<int64_t> numbers(int64_t first, int64_t count, int64_t step = 1) {
  SmallVector<int64_t> list;
  for (int64_t i = 0; i < count; ++i)
    list.push_back(first + i * step);
  return list;
}

/// Calls an intrinsic of two operands that has a form for 256 and one for 512 bits.
static Value callWide(CpuKernelBuilder &kernel, StringRef narrow, StringRef wide, VectorType result,
                      Value a, Value b) {
  if (kernel.target.vectorBytes == 64)
    return callIntrinsic(kernel, wide, result, {a, b});
  const int64_t lanes = result.getNumElements(),
                operandLanes = cast<VectorType>(a.getType()).getNumElements();
  auto half = [&](int64_t which) {
    SmallVector<int64_t> part = numbers(which * operandLanes / 2, operandLanes / 2);
    return callIntrinsic(kernel, narrow, kernel.lanes(result.getElementType(), lanes / 2),
                         {kernel.shuffle(a, a, part), kernel.shuffle(b, b, part)});
  };
  return kernel.shuffle(half(0), half(1), numbers(0, lanes));
}

Value CpuKernelBuilder::wordDot(Value sum, Value a, Value b) {
  const VectorType words = lanes(i16(), 2 * kLanes), sums = lanes(i32());
  a = bitcast(words, a);
  b = bitcast(words, b);
  if (target.integerDot != IntegerDot::None)
    return add(
        sum, callWide(*this, "llvm.x86.avx2.pmadd.wd", "llvm.x86.avx512.pmaddw.d.512", sums, a, b));
  auto half = [&](Value pairs, int64_t first) -> Value {
    return arith::ExtSIOp::create(builder, loc, sums,
                                  shuffle(pairs, pairs, numbers(first, kLanes, 2)));
  };
  for (int64_t first : {0, 1})
    sum = add(sum, mul(half(a, first), half(b, first)));
  return sum;
}

Value CpuKernelBuilder::bytePairs(Value a, Value b) {
  const VectorType bytes = lanes(i8(), 4 * kLanes);
  return callWide(*this, "llvm.x86.avx2.pmadd.ub.sw", "llvm.x86.avx512.pmaddubs.w.512",
                  lanes(i16(), 2 * kLanes), bitcast(bytes, a), bitcast(bytes, b));
}

Value CpuKernelBuilder::takeSigns(Value a, Value b) {
  assert(target.vectorBytes == 32 && "no instruction of 512 bits does that");
  const VectorType bytes = lanes(i8(), 4 * kLanes);
  return callWide(*this, "llvm.x86.avx2.psign.b", /*avx512=*/"", bytes, bitcast(bytes, a),
                  bitcast(bytes, b));
}

Value CpuKernelBuilder::lookUp(ArrayRef<uint8_t> table, Value indices) {
  const VectorType bytes = lanes(i8(), 4 * kLanes);
  SmallVector<int8_t> repeated; // the instructions look up within 16 bytes
  for (int64_t i = 0; i < 4 * kLanes; ++i)
    repeated.push_back(static_cast<int8_t>(table[i % 16]));
  indices = bitcast(bytes, indices);
  if (target.integerDot != IntegerDot::None)
    return callWide(
        *this, "llvm.x86.avx2.pshuf.b", "llvm.x86.avx512.pshuf.b.512", bytes,
        arith::ConstantOp::create(
            builder, loc, DenseElementsAttr::get(cast<ShapedType>(bytes), ArrayRef(repeated))),
        indices);
  if (target.arch == "aarch64") {
    const VectorType narrow = lanes(i8(), 16);
    Value constant = arith::ConstantOp::create(
        builder, loc,
        DenseElementsAttr::get(cast<ShapedType>(narrow), ArrayRef(repeated).take_front(16)));
    SmallVector<Value> parts;
    for (int64_t first = 0; first < 4 * kLanes; first += 16)
      parts.push_back(callIntrinsic(*this, "llvm.aarch64.neon.tbl1.v16i8", narrow,
                                    {constant, shuffle(indices, indices, numbers(first, 16))}));
    return shuffle(shuffle(parts[0], parts[1], numbers(0, 32)),
                   shuffle(parts[2], parts[3], numbers(0, 32)), numbers(0, 4 * kLanes));
  }
  Value result = integer(bytes, 0);
  for (int64_t i = 0; i < 16; ++i)
    result = select(compare(arith::CmpIPredicate::eq, indices, integer(bytes, i)),
                    integer(bytes, static_cast<int8_t>(table[i])), result);
  return result;
}

Value CpuKernelBuilder::pick(ArrayRef<float> table, Value indices) {
  const VectorType floats = lanes(f32());
  Value constant = arith::ConstantOp::create(
      builder, loc, DenseElementsAttr::get(cast<ShapedType>(floats), table));
  return callIntrinsic(*this, "llvm.x86.avx512.permvar.sf.512", floats, {constant, indices});
}

Value CpuKernelBuilder::pickHalves(ArrayRef<float> table, Value indices) {
  const VectorType halves = lanes(i16(), 2 * kLanes);
  SmallVector<int16_t> repeated; // the instruction takes five bits for an index
  for (int64_t i = 0; i < 2 * kLanes; ++i)
    repeated.push_back(static_cast<int16_t>(llvm::bit_cast<uint32_t>(table[i % 16]) >> 16));
  Value constant = arith::ConstantOp::create(
      builder, loc, DenseElementsAttr::get(cast<ShapedType>(halves), ArrayRef(repeated)));
  return callIntrinsic(*this, "llvm.x86.avx512.permvar.hi.512", halves,
                       {constant, bitcast(halves, indices)});
}

Value CpuKernelBuilder::byteDot(Value sum, Value a, Value b) {
  const VectorType bytes = lanes(i8(), 4 * kLanes);
  return callIntrinsic(*this, "llvm.x86.avx512.vpdpbusd.512", sum.getType(),
                       {sum, bitcast(bytes, a), bitcast(bytes, b)});
}

Value CpuKernelBuilder::matrixZero(MatrixShape shape) {
  return callIntrinsic(*this, "llvm.x86.tilezero.internal", matrix(), {shape.rows, shape.bytes});
}

Value CpuKernelBuilder::matrixLoad(MatrixShape shape, Value from, Value stride) {
  return callIntrinsic(*this, "llvm.x86.tileloadd64.internal", matrix(),
                       {shape.rows, shape.bytes, from, stride});
}

Value CpuKernelBuilder::matrixDot(MatrixShape shape, Value depth, Value sums, Value a, Value b,
                                  bool integers) {
  return callIntrinsic(*this,
                       integers ? "llvm.x86.tdpbsud.internal" : "llvm.x86.tdpbf16ps.internal",
                       matrix(), {shape.rows, shape.bytes, depth, sums, a, b});
}

void CpuKernelBuilder::matrixStore(MatrixShape shape, Value matrix, Value to, Value stride) {
  Value arguments[] = {shape.rows, shape.bytes, to, stride, matrix};
  LLVM::CallIntrinsicOp::create(builder, loc,
                                builder.getStringAttr("llvm.x86.tilestored64.internal"), arguments);
}

static Value firstLanes(CpuKernelBuilder &kernel, int64_t count, int64_t total) {
  SmallVector<bool> mask(total, false);
  std::fill_n(mask.begin(), count, true);
  VectorType type = kernel.lanes(kernel.builder.getI1Type(), total);
  return arith::ConstantOp::create(kernel.builder, kernel.loc, DenseElementsAttr::get(type, mask));
}

Value CpuKernelBuilder::loadLanes(Type element, Value from, int64_t count) {
  return loadLanes(element, from, count, kLanes);
}

Value CpuKernelBuilder::loadLanes(Type element, Value from, int64_t count, int64_t total,
                                  int64_t alignment) {
  Type type = lanes(element, total);
  if (count == total)
    return load(type, from, alignment);
  Value zero = isa<FloatType>(element) ? number(type, 0) : integer(type, 0);
  return LLVM::MaskedLoadOp::create(builder, loc, type, from, firstLanes(*this, count, total), zero,
                                    alignment ? alignment : alignmentOf(type));
}

void CpuKernelBuilder::storeLanes(Value vector, Value to, int64_t count) {
  if (count == kLanes)
    return store(vector, to);
  LLVM::MaskedStoreOp::create(builder, loc, vector, to, firstLanes(*this, count, kLanes),
                              alignmentOf(vector.getType()));
}

void CpuKernelBuilder::prefetch(Value at, int64_t cache) {
  LLVM::Prefetch::create(builder, loc, at, /*rw=*/0, /*hint=*/4 - cache, /*cache=data*/ 1);
}

Value CpuKernelBuilder::broadcast(Value scalar) { return broadcast(scalar, kLanes); }

Value CpuKernelBuilder::broadcast(Value scalar, int64_t count) {
  return vector::BroadcastOp::create(builder, loc, lanes(scalar.getType(), count), scalar);
}

Value CpuKernelBuilder::shuffle(Value a, Value b, ArrayRef<int64_t> lanes) {
  return vector::ShuffleOp::create(builder, loc, a, b, lanes);
}

Value CpuKernelBuilder::widenHalf(Value words, bool second) {
  Value bits =
      second ? bitAnd(words, integer(words.getType(), int32_t(0xffff0000))) : shiftLeft(words, 16);
  return bitcast(withElement(words.getType(), f32()), bits);
}

Value CpuKernelBuilder::fillLanes(Value values, int64_t count, double fill) {
  if (count == kLanes)
    return values;
  return select(firstLanes(*this, count, kLanes), values, number(values.getType(), fill));
}

Value CpuKernelBuilder::listedLanes(ArrayRef<float> list, int64_t first, int64_t count) {
  SmallVector<float> part(kLanes, 0.0f);
  std::copy_n(list.begin() + first, count, part.begin());
  return arith::ConstantOp::create(
      builder, loc, DenseElementsAttr::get(cast<ShapedType>(lanes(f32())), ArrayRef(part)));
}

Value CpuKernelBuilder::eachLane(int64_t count, function_ref<Value(Value)> body) {
  Value result = number(lanes(f32()), 0);
  for (int64_t lane = 0; lane < count; ++lane) {
    Value number = integer(lane), element = body(number);
    result = LLVM::InsertElementOp::create(builder, loc, result, element, number);
  }
  return result;
}

static Value foldLanes(CpuKernelBuilder &kernel, Value vector,
                       function_ref<Value(Value, Value)> join) {
  for (int64_t half = cast<VectorType>(vector.getType()).getNumElements() / 2; half > 0;
       half /= 2) {
    SmallVector<int64_t> low, high;
    for (int64_t i = 0; i < half; ++i) {
      low.push_back(i);
      high.push_back(half + i);
    }
    vector = join(kernel.shuffle(vector, vector, low), kernel.shuffle(vector, vector, high));
  }
  return vector::ExtractOp::create(kernel.builder, kernel.loc, vector, ArrayRef<int64_t>{0});
}

Value CpuKernelBuilder::sumOfLanes(Value vector) {
  return foldLanes(*this, vector, [&](Value a, Value b) { return add(a, b); });
}

Value CpuKernelBuilder::maxOfLanes(Value vector) {
  return foldLanes(*this, vector, [&](Value a, Value b) { return max(a, b); });
}

void CpuKernelBuilder::call(StringRef name, ValueRange arguments, FunctionBody body) {
  auto module = builder.getInsertionBlock()->getParentOp()->getParentOfType<ModuleOp>();
  auto function = module.lookupSymbol<func::FuncOp>(name);
  if (!function) {
    OpBuilder inside(module.getBodyRegion());
    CpuKernelBuilder kernel(inside, module.getLoc(), target);
    function = func::FuncOp::create(inside, module.getLoc(), name,
                                    inside.getFunctionType(arguments.getTypes(), /*results=*/{}));
    function.setPrivate();
    // Not func.func's own no_inline, which its conversion to LLVM drops.
    function->setAttr("passthrough", inside.getStrArrayAttr({"noinline"}));
    inside.setInsertionPointToStart(function.addEntryBlock());
    body(kernel, function.getArguments());
    func::ReturnOp::create(inside, kernel.loc);
  }
  assert(llvm::equal(function.getArgumentTypes(), arguments.getTypes()) &&
         "the name tells all of the body");
  func::CallOp::create(builder, loc, function, arguments);
}
