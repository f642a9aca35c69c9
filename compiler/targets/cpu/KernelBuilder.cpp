// Short spellings for the operations that CPU kernels are made of.

#include "compiler/targets/cpu/KernelBuilder.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Interfaces/LoopLikeInterface.h"

using namespace mlir;
using namespace moec;

Value KernelBuilder::integer(int64_t value) { return integer(i64(), value); }

Value KernelBuilder::integer(Type type, int64_t value) {
  auto scalar = builder.getIntegerAttr(getElementTypeOrSelf(type), value);
  if (auto vector = dyn_cast<VectorType>(type))
    return arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(vector, scalar));
  return arith::ConstantOp::create(builder, loc, scalar);
}

Value KernelBuilder::number(Type type, double value) {
  auto scalar = builder.getFloatAttr(getElementTypeOrSelf(type), value);
  if (auto vector = dyn_cast<VectorType>(type))
    return arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(vector, scalar));
  return arith::ConstantOp::create(builder, loc, scalar);
}

static bool isFloat(Value value) { return isa<FloatType>(getElementTypeOrSelf(value)); }

Value KernelBuilder::add(Value a, Value b) {
  if (isFloat(a))
    return arith::AddFOp::create(builder, loc, a, b);
  return arith::AddIOp::create(builder, loc, a, b);
}

Value KernelBuilder::sub(Value a, Value b) {
  if (isFloat(a))
    return arith::SubFOp::create(builder, loc, a, b);
  return arith::SubIOp::create(builder, loc, a, b);
}

Value KernelBuilder::mul(Value a, Value b) {
  if (isFloat(a))
    return arith::MulFOp::create(builder, loc, a, b);
  return arith::MulIOp::create(builder, loc, a, b);
}

Value KernelBuilder::div(Value a, Value b) {
  if (isFloat(a))
    return arith::DivFOp::create(builder, loc, a, b);
  return arith::DivUIOp::create(builder, loc, a, b);
}

Value KernelBuilder::rem(Value a, Value b) { return arith::RemUIOp::create(builder, loc, a, b); }

// Compare and select is what vminps and vmaxps do; llvm.minnum costs more.
Value KernelBuilder::min(Value a, Value b) {
  if (isFloat(a))
    return select(arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OLT, a, b), a, b);
  return arith::MinSIOp::create(builder, loc, a, b);
}

Value KernelBuilder::max(Value a, Value b) {
  if (isFloat(a))
    return select(arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OGT, a, b), a, b);
  return arith::MaxSIOp::create(builder, loc, a, b);
}

Value KernelBuilder::fma(Value a, Value b, Value c) {
  return LLVM::FMAOp::create(builder, loc, a.getType(), a, b, c);
}

static Value callIntrinsic(KernelBuilder &kernel, StringRef name, Type result,
                           ValueRange operands) {
  return LLVM::CallIntrinsicOp::create(kernel.builder, kernel.loc, result,
                                       kernel.builder.getStringAttr(name), operands)
      .getResult(0);
}

/// The lanes [first, first + count) of `vector`.
static Value someLanes(KernelBuilder &kernel, Value vector, int64_t first, int64_t count) {
  if (cast<VectorType>(vector.getType()).getNumElements() == count)
    return vector;
  return kernel.shuffle(vector, vector, llvm::to_vector(llvm::seq(first, first + count)));
}

Value KernelBuilder::bf16Dot(Value sum, Value a, Value b) {
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
static Value callWide(KernelBuilder &kernel, StringRef narrow, StringRef wide, VectorType result,
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

Value KernelBuilder::wordDot(Value sum, Value a, Value b) {
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

Value KernelBuilder::bytePairs(Value a, Value b) {
  const VectorType bytes = lanes(i8(), 4 * kLanes);
  return callWide(*this, "llvm.x86.avx2.pmadd.ub.sw", "llvm.x86.avx512.pmaddubs.w.512",
                  lanes(i16(), 2 * kLanes), bitcast(bytes, a), bitcast(bytes, b));
}

Value KernelBuilder::takeSigns(Value a, Value b) {
  assert(target.vectorBytes == 32 && "no instruction of 512 bits does that");
  const VectorType bytes = lanes(i8(), 4 * kLanes);
  return callWide(*this, "llvm.x86.avx2.psign.b", /*avx512=*/"", bytes, bitcast(bytes, a),
                  bitcast(bytes, b));
}

Value KernelBuilder::lookUp(ArrayRef<uint8_t> table, Value indices) {
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

Value KernelBuilder::pick(ArrayRef<float> table, Value indices) {
  const VectorType floats = lanes(f32());
  Value constant = arith::ConstantOp::create(
      builder, loc, DenseElementsAttr::get(cast<ShapedType>(floats), table));
  return callIntrinsic(*this, "llvm.x86.avx512.permvar.sf.512", floats, {constant, indices});
}

Value KernelBuilder::pickHalves(ArrayRef<float> table, Value indices) {
  const VectorType halves = lanes(i16(), 2 * kLanes);
  SmallVector<int16_t> repeated; // the instruction takes five bits for an index
  for (int64_t i = 0; i < 2 * kLanes; ++i)
    repeated.push_back(static_cast<int16_t>(llvm::bit_cast<uint32_t>(table[i % 16]) >> 16));
  Value constant = arith::ConstantOp::create(
      builder, loc, DenseElementsAttr::get(cast<ShapedType>(halves), ArrayRef(repeated)));
  return callIntrinsic(*this, "llvm.x86.avx512.permvar.hi.512", halves,
                       {constant, bitcast(halves, indices)});
}

Value KernelBuilder::byteDot(Value sum, Value a, Value b) {
  const VectorType bytes = lanes(i8(), 4 * kLanes);
  return callIntrinsic(*this, "llvm.x86.avx512.vpdpbusd.512", sum.getType(),
                       {sum, bitcast(bytes, a), bitcast(bytes, b)});
}

Value KernelBuilder::matrixZero(MatrixShape shape) {
  return callIntrinsic(*this, "llvm.x86.tilezero.internal", matrix(), {shape.rows, shape.bytes});
}

Value KernelBuilder::matrixLoad(MatrixShape shape, Value from, Value stride) {
  return callIntrinsic(*this, "llvm.x86.tileloadd64.internal", matrix(),
                       {shape.rows, shape.bytes, from, stride});
}

Value KernelBuilder::matrixDot(MatrixShape shape, Value depth, Value sums, Value a, Value b,
                               bool integers) {
  return callIntrinsic(*this,
                       integers ? "llvm.x86.tdpbsud.internal" : "llvm.x86.tdpbf16ps.internal",
                       matrix(), {shape.rows, shape.bytes, depth, sums, a, b});
}

void KernelBuilder::matrixStore(MatrixShape shape, Value matrix, Value to, Value stride) {
  Value arguments[] = {shape.rows, shape.bytes, to, stride, matrix};
  LLVM::CallIntrinsicOp::create(builder, loc,
                                builder.getStringAttr("llvm.x86.tilestored64.internal"), arguments);
}

Value KernelBuilder::bitcast(Type type, Value value) {
  return LLVM::BitcastOp::create(builder, loc, type, value);
}

Value KernelBuilder::bitAnd(Value a, Value b) { return arith::AndIOp::create(builder, loc, a, b); }

Value KernelBuilder::bitOr(Value a, Value b) { return arith::OrIOp::create(builder, loc, a, b); }

Value KernelBuilder::shiftLeft(Value value, int64_t bits) {
  return arith::ShLIOp::create(builder, loc, value, integer(value.getType(), bits));
}

Value KernelBuilder::shiftRight(Value value, int64_t bits) {
  return arith::ShRUIOp::create(builder, loc, value, integer(value.getType(), bits));
}

Value KernelBuilder::compare(arith::CmpIPredicate how, Value a, Value b) {
  return arith::CmpIOp::create(builder, loc, how, a, b);
}

Value KernelBuilder::select(Value condition, Value a, Value b) {
  return arith::SelectOp::create(builder, loc, condition, a, b);
}

Value KernelBuilder::address(Value base, Type element, Value offset) {
  return LLVM::GEPOp::create(builder, loc, pointer(), element, base,
                             ArrayRef<LLVM::GEPArg>{offset});
}

Value KernelBuilder::address(Value base, int64_t bytes) {
  if (bytes == 0)
    return base;
  if (!llvm::isInt<32>(bytes))
    return addressBytes(base, integer(bytes));
  return LLVM::GEPOp::create(builder, loc, pointer(), builder.getI8Type(), base,
                             ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(bytes)});
}

Value KernelBuilder::addressBytes(Value base, Value bytes) {
  return address(base, builder.getI8Type(), bytes);
}

static unsigned alignmentOf(Type type) {
  return isa<LLVM::LLVMPointerType>(type) ? kPointerBytes : bytesOf(getElementTypeOrSelf(type));
}

Value KernelBuilder::load(Type type, Value from, int64_t alignment) {
  return LLVM::LoadOp::create(builder, loc, type, from, alignment ? alignment : alignmentOf(type));
}

void KernelBuilder::store(Value value, Value to) {
  LLVM::StoreOp::create(builder, loc, value, to, alignmentOf(value.getType()));
}

static Value firstLanes(KernelBuilder &kernel, int64_t count, int64_t total) {
  SmallVector<bool> mask(total, false);
  std::fill_n(mask.begin(), count, true);
  VectorType type = kernel.lanes(kernel.builder.getI1Type(), total);
  return arith::ConstantOp::create(kernel.builder, kernel.loc, DenseElementsAttr::get(type, mask));
}

Value KernelBuilder::loadLanes(Type element, Value from, int64_t count, int64_t total,
                               int64_t alignment) {
  Type type = lanes(element, total);
  if (count == total)
    return load(type, from, alignment);
  Value zero = isa<FloatType>(element) ? number(type, 0) : integer(type, 0);
  return LLVM::MaskedLoadOp::create(builder, loc, type, from, firstLanes(*this, count, total), zero,
                                    alignment ? alignment : alignmentOf(type));
}

void KernelBuilder::storeLanes(Value vector, Value to, int64_t count) {
  if (count == kLanes)
    return store(vector, to);
  LLVM::MaskedStoreOp::create(builder, loc, vector, to, firstLanes(*this, count, kLanes),
                              alignmentOf(vector.getType()));
}

void KernelBuilder::prefetch(Value at, int64_t cache) {
  LLVM::Prefetch::create(builder, loc, at, /*rw=*/0, /*hint=*/4 - cache, /*cache=data*/ 1);
}

Value KernelBuilder::scratch(int64_t bytes) {
  // A loop is a scope of its own upstream, but room taken anew in every iteration adds up.
  Operation *scope = builder.getInsertionBlock()->getParentOp();
  while (isa<LoopLikeOpInterface>(scope) || !scope->hasTrait<OpTrait::AutomaticAllocationScope>())
    scope = scope->getParentOp();
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(&scope->getRegion(0).front());
  return LLVM::AllocaOp::create(builder, loc, pointer(), builder.getI8Type(), integer(bytes),
                                /*alignment=*/64);
}

Value KernelBuilder::broadcast(Value scalar, int64_t count) {
  return vector::BroadcastOp::create(builder, loc, lanes(scalar.getType(), count), scalar);
}

Value KernelBuilder::shuffle(Value a, Value b, ArrayRef<int64_t> lanes) {
  return vector::ShuffleOp::create(builder, loc, a, b, lanes);
}

static Type withElement(Type type, Type element) {
  if (auto vector = dyn_cast<VectorType>(type))
    return vector.clone(element);
  return element;
}

Value KernelBuilder::widen(Value value) {
  if (getElementTypeOrSelf(value) == f32())
    return value;
  return arith::ExtFOp::create(builder, loc, withElement(value.getType(), f32()), value);
}

Value KernelBuilder::widenHalf(Value words, bool second) {
  Value bits =
      second ? bitAnd(words, integer(words.getType(), int32_t(0xffff0000))) : shiftLeft(words, 16);
  return bitcast(withElement(words.getType(), f32()), bits);
}

Value KernelBuilder::round(Type element, Value value) {
  if (element == f32())
    return value;
  Type type = withElement(value.getType(), element);
  if (element != bf16() || target.hasBf16Dot())
    return arith::TruncFOp::create(builder, loc, type, value);
  // Without the instruction LLVM would call a library: half of the last place, less a bit where the
  // result is even, carries into the upper half.
  Type words = withElement(value.getType(), i32());
  Value bits = bitcast(words, value);
  auto shift = [&](Value word) -> Value {
    return arith::ShRUIOp::create(builder, loc, word, integer(words, 16));
  };
  Value odd = arith::AndIOp::create(builder, loc, shift(bits), integer(words, 1));
  Value rounded = shift(add(bits, add(odd, integer(words, 0x7fff))));
  Value quiet = arith::OrIOp::create(builder, loc, shift(bits), integer(words, 0x40));
  Value isNan = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::UNO, value, value);
  Value upper = select(isNan, quiet, rounded);
  return bitcast(type,
                 arith::TruncIOp::create(builder, loc, withElement(value.getType(), i16()), upper));
}

static Value foldLanes(KernelBuilder &kernel, Value vector,
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

Value KernelBuilder::sumOfLanes(Value vector) {
  return foldLanes(*this, vector, [&](Value a, Value b) { return add(a, b); });
}

Value KernelBuilder::maxOfLanes(Value vector) {
  return foldLanes(*this, vector, [&](Value a, Value b) { return max(a, b); });
}

SmallVector<Value> KernelBuilder::loop(Value begin, Value end, int64_t step, ValueRange carried,
                                       LoopBody body) {
  auto loop = scf::ForOp::create(builder, loc, begin, end, integer(step), carried);
  OpBuilder::InsertionGuard guard(builder);
  if (carried.empty())
    builder.setInsertionPoint(loop.getBody()->getTerminator());
  else
    builder.setInsertionPointToEnd(loop.getBody());
  SmallVector<Value> results = body(loop.getInductionVar(), loop.getRegionIterArgs());
  if (!carried.empty())
    scf::YieldOp::create(builder, loc, results);
  return SmallVector<Value>(loop.getResults());
}

void KernelBuilder::loop(Value begin, Value end, int64_t step, function_ref<void(Value)> body) {
  loop(begin, end, step, {}, [&](Value index, ValueRange) {
    body(index);
    return SmallVector<Value>();
  });
}

void KernelBuilder::forColumns(int64_t columns, function_ref<void(Value, int64_t)> body) {
  forColumns(columns, {}, [&](Value column, int64_t lanes, ValueRange) -> SmallVector<Value> {
    body(column, lanes);
    return {};
  });
}

SmallVector<Value>
KernelBuilder::forColumns(int64_t columns, ValueRange carried,
                          function_ref<SmallVector<Value>(Value, int64_t, ValueRange)> body) {
  const int64_t whole = columns / kLanes * kLanes;
  SmallVector<Value> values(carried);
  if (whole > 0)
    values = loop(integer(0), integer(whole), kLanes, values,
                  [&](Value column, ValueRange now) { return body(column, kLanes, now); });
  if (whole < columns)
    values = body(integer(whole), columns - whole, values);
  return values;
}

void KernelBuilder::when(Value condition, function_ref<void()> body) {
  auto branch = scf::IfOp::create(builder, loc, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(branch.thenBlock());
  body();
}

void KernelBuilder::dispatch(Value value, int64_t first, int64_t last,
                             function_ref<void(int64_t)> body) {
  SmallVector<int64_t> cases;
  for (int64_t i = first; i <= last; ++i)
    cases.push_back(i);
  Value index = arith::IndexCastOp::create(builder, loc, builder.getIndexType(), value);
  auto choice = scf::IndexSwitchOp::create(builder, loc, TypeRange(), index, cases, cases.size());
  OpBuilder::InsertionGuard guard(builder);
  for (auto [i, region] : llvm::enumerate(choice.getCaseRegions())) {
    builder.setInsertionPointToEnd(&region.emplaceBlock());
    body(cases[i]);
    scf::YieldOp::create(builder, loc);
  }
  builder.setInsertionPointToEnd(&choice.getDefaultRegion().emplaceBlock());
  scf::YieldOp::create(builder, loc);
}

void KernelBuilder::call(StringRef name, ValueRange arguments, FunctionBody body) {
  auto module = builder.getInsertionBlock()->getParentOp()->getParentOfType<ModuleOp>();
  auto function = module.lookupSymbol<func::FuncOp>(name);
  if (!function) {
    OpBuilder inside(module.getBodyRegion());
    KernelBuilder kernel(inside, module.getLoc(), target);
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
