// Small pieces of code for the host, and names of places.

#include "compiler/targets/emulator/EmulatedCode.h"

#include "compiler/lowering/PrototypeTypes.h"

#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace moec;

/// `file:line:column`, the name of a value, or both; of what was inlined the inner place.
static std::string nameOf(Location location) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  if (auto file = dyn_cast<FileLineColLoc>(location))
    stream << file.getFilename().getValue() << ":" << file.getLine() << ":" << file.getColumn();
  else if (auto name = dyn_cast<NameLoc>(location)) {
    stream << name.getName().getValue();
    if (!isa<UnknownLoc>(name.getChildLoc()))
      stream << " (" << nameOf(name.getChildLoc()) << ")";
  } else if (auto site = dyn_cast<CallSiteLoc>(location))
    return nameOf(site.getCallee());
  else if (auto fused = dyn_cast<FusedLoc>(location)) {
    for (Location part : fused.getLocations())
      if (std::string name = nameOf(part); name != "unknown")
        return name;
    return "unknown";
  } else
    return "unknown";
  return text;
}

uint32_t LocationTable::add(Location location) {
  auto [entry, isNew] = known.try_emplace(location, 0);
  if (!isNew)
    return entry->second;
  const std::string name = nameOf(location);
  auto [named, isFirst] = byName.try_emplace(name, uint32_t(begins.size()));
  if (isFirst) {
    begins.push_back(int64_t(names.size()));
    names += name;
    names.push_back('\0');
  }
  return entry->second = named->second;
}

static LLVM::LLVMFunctionType typeOf(MLIRContext *context, StringRef name) {
#define MOEC_EMULATOR(function, result, parameters)                                                \
  if (name == #function)                                                                           \
    return prototypeFunctionType(context, static_cast<result(*) parameters>(nullptr));
#include "runtime/emulator/emulator.def"
#undef MOEC_EMULATOR
  llvm_unreachable("emulator.def has no such function");
}

LLVM::LLVMFuncOp EmulatorFunctions::get(StringRef name) {
  LLVM::LLVMFuncOp &function = declared[name];
  if (!function)
    function = module.lookupSymbol<LLVM::LLVMFuncOp>(name);
  if (!function) {
    OpBuilder builder = OpBuilder::atBlockBegin(module.getBody());
    function =
        LLVM::LLVMFuncOp::create(builder, module.getLoc(), name, typeOf(module.getContext(), name));
  }
  return function;
}

EmulatedCode::EmulatedCode(Operation *op, LocationTable &locations, EmulatorFunctions &functions)
    : builder(op), loc(op->getLoc()),
      thread(op->getParentOfType<LLVM::LLVMFuncOp>().getArgument(0)), op(op), locations(locations),
      functions(functions) {}

Value EmulatedCode::constant(Type type, int64_t value) {
  return LLVM::ConstantOp::create(builder, loc, type, builder.getIntegerAttr(type, value));
}

Value EmulatedCode::call(StringRef name, ValueRange arguments) {
  SmallVector<Value> all{thread};
  llvm::append_range(all, arguments);
  auto call = LLVM::CallOp::create(builder, loc, functions.get(name), all);
  return call.getNumResults() ? call.getResult() : Value();
}

Value EmulatedCode::readRegister(uint32_t index) {
  Value address =
      LLVM::GEPOp::create(builder, loc, pointer(), i32(), thread, LLVM::GEPArg(int32_t(index)));
  return LLVM::LoadOp::create(builder, loc, i32(), address);
}

Value EmulatedCode::extend(Value value, Type type) {
  return value.getType() == type ? value : LLVM::ZExtOp::create(builder, loc, type, value);
}

Value EmulatedCode::truncate(Value value, Type type) {
  return value.getType() == type ? value : LLVM::TruncOp::create(builder, loc, type, value);
}

Value EmulatedCode::half(Value value, bool isHigh) {
  if (isHigh)
    value = LLVM::LShrOp::create(builder, loc, value, constant(i64(), 32));
  return truncate(value, i32());
}

Value EmulatedCode::isSet(Value value) {
  return LLVM::ICmpOp::create(builder, loc, LLVM::ICmpPredicate::ne, value,
                              constant(value.getType(), 0));
}

Value EmulatedCode::toBits(Value value) {
  return value.getType() == i32() ? value : LLVM::BitcastOp::create(builder, loc, i32(), value);
}

Value EmulatedCode::fromBits(Value bits, Type type) {
  return bits.getType() == type ? bits : LLVM::BitcastOp::create(builder, loc, type, bits);
}

Value EmulatedCode::room(uint32_t registers) {
  // At the function's start: in a loop it would grow the stack.
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(&op->getParentOfType<LLVM::LLVMFuncOp>().getBody().front());
  return LLVM::AllocaOp::create(builder, loc, pointer(), i32(), constant(i64(), registers));
}

Value EmulatedCode::stored(ValueRange values) {
  Value begin = room(uint32_t(values.size()));
  for (auto [i, value] : llvm::enumerate(values)) {
    Value address =
        LLVM::GEPOp::create(builder, loc, pointer(), i32(), begin, LLVM::GEPArg(int32_t(i)));
    LLVM::StoreOp::create(builder, loc, toBits(value), address);
  }
  return begin;
}

Value EmulatedCode::load(Value begin, uint32_t index) {
  Value address =
      LLVM::GEPOp::create(builder, loc, pointer(), i32(), begin, LLVM::GEPArg(int32_t(index)));
  return LLVM::LoadOp::create(builder, loc, i32(), address);
}

Value EmulatedCode::makeStruct(Type type, ValueRange values) {
  auto structure = dyn_cast<LLVM::LLVMStructType>(type);
  if (!structure)
    return fromBits(values[0], type);
  Value result = LLVM::PoisonOp::create(builder, loc, type);
  for (auto [i, value] : llvm::enumerate(values))
    result = LLVM::InsertValueOp::create(builder, loc, result, value, int64_t(i));
  return result;
}

Value EmulatedCode::loadStruct(Value begin, Type type) {
  auto structure = dyn_cast<LLVM::LLVMStructType>(type);
  SmallVector<Value> values;
  for (uint32_t i = 0; i < (structure ? structure.getBody().size() : 1); ++i)
    values.push_back(fromBits(load(begin, i), structure ? structure.getBody()[i] : type));
  return makeStruct(type, values);
}
