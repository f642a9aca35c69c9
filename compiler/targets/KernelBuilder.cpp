// Short spellings for the operations that kernels of every target are made of.

#include "compiler/targets/KernelBuilder.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/BuiltinOps.h"
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

int64_t moec::alignmentOf(Type type) {
  return isa<LLVM::LLVMPointerType>(type) ? kPointerBytes : bytesOf(getElementTypeOrSelf(type));
}

Value KernelBuilder::load(Type type, Value from, int64_t alignment) {
  return LLVM::LoadOp::create(builder, loc, type, from, alignment ? alignment : alignmentOf(type));
}

void KernelBuilder::store(Value value, Value to) {
  LLVM::StoreOp::create(builder, loc, value, to, alignmentOf(value.getType()));
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

Value KernelBuilder::constantTable(DenseElementsAttr entries) {
  auto module = builder.getInsertionBlock()->getParentOp()->getParentOfType<ModuleOp>();
  LLVM::GlobalOp global;
  int64_t count = 0;
  for (auto other : module.getOps<LLVM::GlobalOp>()) {
    count += other.getSymName().starts_with("table_");
    if (other.getValueOrNull() == entries)
      global = other;
  }
  if (!global) {
    OpBuilder symbols = OpBuilder::atBlockBegin(module.getBody());
    auto type = LLVM::LLVMArrayType::get(entries.getElementType(), entries.getNumElements());
    global = LLVM::GlobalOp::create(symbols, loc, type, /*isConstant=*/true, LLVM::Linkage::Private,
                                    "table_" + std::to_string(count), entries);
  }
  return LLVM::AddressOfOp::create(builder, loc, global);
}

Type moec::withElement(Type type, Type element) {
  if (auto vector = dyn_cast<VectorType>(type))
    return vector.clone(element);
  return element;
}

Value KernelBuilder::widen(Value value) {
  if (getElementTypeOrSelf(value) == f32())
    return value;
  return arith::ExtFOp::create(builder, loc, withElement(value.getType(), f32()), value);
}

Value KernelBuilder::round(Type element, Value value) {
  if (element == f32())
    return value;
  Type type = withElement(value.getType(), element);
  if (element != bf16() || roundsToBf16())
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
  const int64_t lanes = laneCount(), whole = columns / lanes * lanes;
  SmallVector<Value> values(carried);
  beginColumns();
  if (whole > 0)
    values = loop(integer(0), integer(whole), lanes, values,
                  [&](Value column, ValueRange now) { return body(column, lanes, now); });
  if (whole < columns)
    values = body(integer(whole), columns - whole, values);
  endColumns();
  return values;
}

void KernelBuilder::forEach(int64_t count, function_ref<void(Value)> body) {
  loop(integer(0), integer(count), 1, body);
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
