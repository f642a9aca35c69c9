// Implements moec-emulate-gpu: moves kernels out of their gpu.module and turns each op into host
// code.

#include "compiler/targets/emulator/EmulatedCode.h"
#include "compiler/targets/emulator/Passes.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/AttrTypeSubElements.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/DataLayoutInterfaces.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cstddef>

namespace moec {
#define GEN_PASS_DEF_EMULATEGPU
#include "compiler/targets/emulator/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

constexpr unsigned kSharedSpace = 3, kConstantSpace = 4;
constexpr int64_t kWidestAccess = 16; // bytes that one instruction reads or writes

/// The alignment that the GPU wants of an access for which the op promises none.
static int64_t naturalAlignment(Type type, const DataLayout &layout) {
  if (auto array = dyn_cast<LLVM::LLVMArrayType>(type))
    return naturalAlignment(array.getElementType(), layout);
  if (auto structure = dyn_cast<LLVM::LLVMStructType>(type)) {
    int64_t most = 1;
    for (Type field : structure.getBody())
      most = std::max(most, naturalAlignment(field, layout));
    return most;
  }
  return std::min<int64_t>(llvm::PowerOf2Ceil(layout.getTypeSize(type).getFixedValue()),
                           kWidestAccess);
}

/// What the pointer was reckoned from.
static Value rootOf(Value pointer) {
  while (true) {
    if (auto step = pointer.getDefiningOp<LLVM::GEPOp>())
      pointer = step.getBase();
    else if (auto cast = pointer.getDefiningOp<LLVM::AddrSpaceCastOp>())
      pointer = cast.getArg();
    else
      return pointer;
  }
}

/// Whether the pointer is into the thread's own stack or a parameter, which no other thread sees.
static bool isPrivate(Value pointer) {
  Value root = rootOf(pointer);
  if (root.getDefiningOp<LLVM::AllocaOp>())
    return true;
  auto argument = dyn_cast<BlockArgument>(root);
  auto function =
      argument ? dyn_cast<LLVM::LLVMFuncOp>(argument.getOwner()->getParentOp()) : nullptr;
  return function && argument.getOwner()->isEntryBlock() &&
         function.getArgAttr(argument.getArgNumber(), LLVM::LLVMDialect::getByValAttrName());
}

static uint32_t orderOf(LLVM::AtomicOrdering ordering) {
  using emulator::Order;
  switch (ordering) {
  case LLVM::AtomicOrdering::acquire:
    return Order::Acquire;
  case LLVM::AtomicOrdering::release:
    return Order::Release;
  case LLVM::AtomicOrdering::acq_rel:
  case LLVM::AtomicOrdering::seq_cst:
    return Order::Acquire | Order::Release;
  default:
    return Order::Relaxed;
  }
}

namespace {
/// One gpu.module on its way out.
class ModuleEmulation {
public:
  ModuleEmulation(ModuleOp host, gpu::GPUModuleOp module, bool checks)
      : host(host), module(module), layout(host), functions(host), checks(checks) {}

  LogicalResult run();

private:
  LogicalResult checkOps();
  void moveGlobals();
  void moveFunctions();
  LogicalResult rewrite(Operation *op);
  LogicalResult rewriteMemory(Operation *op);
  LogicalResult rewriteCall(LLVM::CallOp call);
  void checkDivision(Operation *op);
  void checkAccess(Operation *op, OpOperand &pointer, Type type, std::optional<uint64_t> alignment,
                   bool isWrite);
  void checkVariable(Operation *op, OpOperand &pointer, int64_t bytes, bool isWrite);
  void checkAtomic(Operation *op, OpOperand &pointer, Type type, uint32_t order);
  void addRunFunction(LLVM::LLVMFuncOp function, EmulatedKernel &kernel);
  void findObjects();

  ModuleOp host;
  gpu::GPUModuleOp module;
  DataLayout layout;
  EmulatorFunctions functions;
  bool checks;
  LocationTable locations;
  llvm::MapVector<StringAttr, EmulatedObject> objects;
  SmallVector<EmulatedGlobal> globals;
  SmallVector<LLVM::LLVMFuncOp> moved;
  SmallVector<std::pair<LLVM::LLVMFuncOp, EmulatedKernel>> kernels;
  DenseMap<StringAttr, StringAttr> renamed;
};
} // namespace

/// Ops of LLVM whose effects on memory are looked at below, or that have none on what threads
/// share.
static bool isHostOp(Operation *op) {
  if (isMemoryEffectFree(op) || op->hasTrait<OpTrait::IsTerminator>())
    return true;
  return isa<LLVM::LoadOp, LLVM::StoreOp, LLVM::AtomicRMWOp, LLVM::AtomicCmpXchgOp, LLVM::MemcpyOp,
             LLVM::MemcpyInlineOp, LLVM::MemmoveOp, LLVM::MemsetOp, LLVM::MemsetInlineOp,
             LLVM::AllocaOp, LLVM::CallOp, LLVM::CallIntrinsicOp, LLVM::FenceOp, LLVM::InlineAsmOp,
             LLVM::AssumeOp, LLVM::LifetimeStartOp, LLVM::LifetimeEndOp, LLVM::StackSaveOp,
             LLVM::StackRestoreOp, LLVM::Trap, LLVM::UBSanTrap, LLVM::DebugTrap, LLVM::LLVMFuncOp,
             LLVM::GlobalOp, LLVM::AddressOfOp>(op);
}

LogicalResult ModuleEmulation::checkOps() {
  WalkResult result = module.walk([&](Operation *op) {
    if (op == module)
      return WalkResult::advance();
    if (isa<NVVM::NVVMDialect>(op->getDialect()) ||
        (isa<LLVM::LLVMDialect>(op->getDialect()) && isHostOp(op)))
      return WalkResult::advance();
    if (isa<LLVM::LLVMDialect>(op->getDialect()))
      op->emitOpError("has no emulation");
    else
      op->emitOpError("is neither of llvm nor of nvvm; kernels are emulated as they are before "
                      "they become PTX");
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

/// Shared variables become objects of a block, others variables of the host.
void ModuleEmulation::moveGlobals() {
  for (auto global : llvm::make_early_inc_range(module.getOps<LLVM::GlobalOp>())) {
    const auto bytes = int64_t(layout.getTypeSize(global.getType()).getFixedValue());
    if (global.getAddrSpace() == kSharedSpace) {
      const int64_t alignment = std::max<int64_t>(int64_t(global.getAlignment().value_or(1)),
                                                  naturalAlignment(global.getType(), layout));
      objects[global.getSymNameAttr()] = {bytes, alignment};
      global.erase();
      continue;
    }
    auto name = StringAttr::get(host.getContext(), module.getName() + "." + global.getSymName());
    renamed[global.getSymNameAttr()] = name;
    globals.push_back(
        {name.str(), bytes, global.getConstant() || global.getAddrSpace() == kConstantSpace});
    global.setSymNameAttr(name);
    global.setAddrSpace(0);
    global.setLinkage(LLVM::Linkage::Internal);
    global->moveBefore(module);
  }
}

void ModuleEmulation::moveFunctions() {
  auto pointer = LLVM::LLVMPointerType::get(host.getContext());
  for (auto function : llvm::make_early_inc_range(module.getOps<LLVM::LLVMFuncOp>())) {
    if (function.isExternal())
      continue; // calls of it are errors unless the device library has it
    auto name = StringAttr::get(host.getContext(), module.getName() + "." + function.getSymName());
    renamed[function.getSymNameAttr()] = name;
    const bool isKernel = function->hasAttr(NVVM::NVVMDialect::getKernelFuncAttrName());
    EmulatedKernel kernel;
    kernel.name = function.getSymName().str();
    for (auto attribute : {"nvvm.reqntid", "gpu.known_block_size"})
      if (auto sizes = function->getAttrOfType<DenseI32ArrayAttr>(attribute))
        for (auto [i, size] : llvm::enumerate(sizes.asArrayRef().take_front(3)))
          kernel.blockDim[i] = size;
    if (auto sizes = function->getAttrOfType<DenseI32ArrayAttr>("nvvm.maxntid")) {
      kernel.maxThreads = 1;
      for (int32_t size : sizes.asArrayRef())
        kernel.maxThreads *= size;
    }
    for (auto [i, type] : llvm::enumerate(function.getArgumentTypes())) {
      auto byValue = function.getArgAttrOfType<TypeAttr>(i, LLVM::LLVMDialect::getByValAttrName());
      kernel.argumentBytes.push_back(
          int64_t(layout.getTypeSize(byValue ? byValue.getValue() : type).getFixedValue()));
    }
    function->moveBefore(module);
    function.setSymNameAttr(name);
    function.setLinkage(LLVM::Linkage::Internal);
    function.setCConv(LLVM::CConv::C);
    for (NamedAttribute attribute : llvm::to_vector(function->getDiscardableAttrs()))
      function->removeDiscardableAttr(attribute.getName());
    moved.push_back(function);
    if (isKernel)
      kernels.emplace_back(function, std::move(kernel));
  }
  // Only after all are known: accesses ask for byval, and calls for new names.
  for (LLVM::LLVMFuncOp function : moved) {
    SmallVector<Type> parameters{pointer};
    llvm::append_range(parameters, function.getArgumentTypes());
    auto type = LLVM::LLVMFunctionType::get(function.getFunctionType().getReturnType(), parameters);
    function.getBody().insertArgument(0u, pointer, function.getLoc());
    SmallVector<Attribute> arguments(1, DictionaryAttr::get(host.getContext()));
    if (std::optional<ArrayAttr> old = function.getArgAttrs())
      llvm::append_range(arguments, old->getValue());
    else
      arguments.append(parameters.size() - 1, DictionaryAttr::get(host.getContext()));
    function.setFunctionType(type);
    function.setArgAttrsAttr(ArrayAttr::get(host.getContext(), arguments));
  }
}

/// The function that the emulator calls: it takes the arguments' values from where they are.
void ModuleEmulation::addRunFunction(LLVM::LLVMFuncOp function, EmulatedKernel &kernel) {
  auto pointer = LLVM::LLVMPointerType::get(host.getContext());
  OpBuilder builder = OpBuilder::atBlockEnd(host.getBody());
  Location loc = function.getLoc();
  kernel.function = function.getSymName().str() + ".run";
  auto run = LLVM::LLVMFuncOp::create(
      builder, loc, kernel.function,
      LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(host.getContext()), {pointer, pointer}),
      LLVM::Linkage::Internal);
  Block *body = run.addEntryBlock(builder);
  builder.setInsertionPointToStart(body);
  SmallVector<Value> arguments{body->getArgument(0)};
  for (unsigned i = 1; i < function.getNumArguments(); ++i) {
    Value place = LLVM::GEPOp::create(builder, loc, pointer, pointer, body->getArgument(1),
                                      LLVM::GEPArg(int32_t(i - 1)));
    Value value = LLVM::LoadOp::create(builder, loc, pointer, place);
    if (!function.getArgAttr(i, LLVM::LLVMDialect::getByValAttrName()))
      value = LLVM::LoadOp::create(builder, loc, function.getArgument(i).getType(), value);
    arguments.push_back(value);
  }
  LLVM::CallOp::create(builder, loc, function, arguments);
  LLVM::ReturnOp::create(builder, loc, ValueRange());
}

/// Of a variable of the thread's own only the bounds can be missed.
void ModuleEmulation::checkVariable(Operation *op, OpOperand &pointer, int64_t bytes,
                                    bool isWrite) {
  Value begin = rootOf(pointer.get());
  auto variable = begin.getDefiningOp<LLVM::AllocaOp>();
  llvm::APInt count;
  if (!checks || !variable || !matchPattern(variable.getArraySize(), m_ConstantInt(&count)))
    return;
  const int64_t room =
      count.getSExtValue() * int64_t(layout.getTypeSize(variable.getElemType()).getFixedValue());
  if (begin == pointer.get() && bytes <= room)
    return;
  EmulatedCode code(op, locations, functions);
  pointer.set(
      code.call("moec_emulator_variable", {pointer.get(), code.constant(code.i64(), bytes), begin,
                                           code.constant(code.i64(), room),
                                           code.constant(uint32_t(isWrite)), code.location()}));
}

void ModuleEmulation::checkAccess(Operation *op, OpOperand &pointer, Type type,
                                  std::optional<uint64_t> alignment, bool isWrite) {
  const auto bytes = int64_t(layout.getTypeSize(type).getFixedValue());
  if (isPrivate(pointer.get()))
    return checkVariable(op, pointer, bytes, isWrite);
  if (!checks)
    return;
  EmulatedCode code(op, locations, functions);
  const int64_t aligned = std::min<int64_t>(
      alignment ? int64_t(*alignment) : naturalAlignment(type, layout), kWidestAccess);
  using emulator::AccessKind;
  pointer.set(
      code.call("moec_emulator_access",
                {pointer.get(), code.constant(code.i64(), bytes), code.constant(uint32_t(aligned)),
                 code.code(isWrite ? AccessKind::Write : AccessKind::Read), code.location()}));
}

void ModuleEmulation::checkAtomic(Operation *op, OpOperand &pointer, Type type, uint32_t order) {
  const auto bytes = int64_t(layout.getTypeSize(type).getFixedValue());
  if (isPrivate(pointer.get()))
    return checkVariable(op, pointer, bytes, !(order & emulator::Order::ReadOnly));
  EmulatedCode code(op, locations, functions);
  pointer.set(code.call("moec_emulator_atomic", {pointer.get(), code.constant(code.i64(), bytes),
                                                 code.constant(order), code.location()}));
}

static Value splat(EmulatedCode &code, Type type, const llvm::APInt &number) {
  Attribute attribute = code.builder.getIntegerAttr(getElementTypeOrSelf(type), number);
  if (auto vector = dyn_cast<ShapedType>(type))
    attribute = DenseElementsAttr::get(vector, attribute);
  return LLVM::ConstantOp::create(code.builder, code.loc, type, cast<TypedAttr>(attribute));
}

/// Where there is no quotient hosts stop, and GPUs give some number.
void ModuleEmulation::checkDivision(Operation *op) {
  const bool isSigned = isa<LLVM::SDivOp, LLVM::SRemOp>(op);
  Value dividend = op->getOperand(0), divisor = op->getOperand(1);
  llvm::APInt constant;
  if (matchPattern(divisor, m_ConstantInt(&constant)) && !constant.isZero() &&
      !(isSigned && constant.isAllOnes()))
    return;
  EmulatedCode code(op, locations, functions);
  Type type = divisor.getType();
  const unsigned width = getElementTypeOrSelf(type).getIntOrFloatBitWidth();
  auto equals = [&](Value value, const llvm::APInt &number) -> Value {
    return LLVM::ICmpOp::create(code.builder, code.loc, LLVM::ICmpPredicate::eq, value,
                                splat(code, type, number));
  };
  auto any = [&](Value bits) {
    if (isa<VectorType>(bits.getType()))
      bits = LLVM::vector_reduce_or::create(code.builder, code.loc, code.builder.getI1Type(), bits);
    return code.extend(bits, code.i32());
  };
  Value undefined = equals(divisor, llvm::APInt::getZero(width)), byZero = any(undefined),
        overflows = code.constant(0u);
  if (isSigned) {
    Value both = LLVM::AndOp::create(code.builder, code.loc,
                                     equals(dividend, llvm::APInt::getSignedMinValue(width)),
                                     equals(divisor, llvm::APInt::getAllOnes(width)));
    overflows = any(both);
    undefined = LLVM::OrOp::create(code.builder, code.loc, undefined, both);
  }
  code.call("moec_emulator_division", {byZero, overflows, code.location()});
  op->setOperand(1, LLVM::SelectOp::create(code.builder, code.loc, undefined,
                                           splat(code, type, llvm::APInt(width, 1)), divisor));
}

LogicalResult ModuleEmulation::rewriteMemory(Operation *op) {
  using emulator::Order;
  if (auto load = dyn_cast<LLVM::LoadOp>(op)) {
    if (load.getVolatile_() || load.getOrdering() != LLVM::AtomicOrdering::not_atomic)
      checkAtomic(op, load.getAddrMutable(), load.getType(),
                  Order::ReadOnly | orderOf(load.getOrdering()));
    else
      checkAccess(op, load.getAddrMutable(), load.getType(), load.getAlignment(), false);
    // What the GPU may assume does not hold here: kernels run with other threads between.
    load.setInvariant(false);
    return success();
  }
  if (auto store = dyn_cast<LLVM::StoreOp>(op)) {
    Type type = store.getValue().getType();
    if (store.getVolatile_() || store.getOrdering() != LLVM::AtomicOrdering::not_atomic)
      checkAtomic(op, store.getAddrMutable(), type,
                  Order::WriteOnly | orderOf(store.getOrdering()));
    else
      checkAccess(op, store.getAddrMutable(), type, store.getAlignment(), true);
    return success();
  }
  if (auto atomic = dyn_cast<LLVM::AtomicRMWOp>(op)) {
    checkAtomic(op, atomic.getPtrMutable(), atomic.getVal().getType(),
                orderOf(atomic.getOrdering()));
    return success();
  }
  if (auto exchange = dyn_cast<LLVM::AtomicCmpXchgOp>(op)) {
    checkAtomic(op, exchange.getPtrMutable(), exchange.getVal().getType(),
                orderOf(exchange.getSuccessOrdering()));
    return success();
  }
  EmulatedCode code(op, locations, functions);
  if (isa<LLVM::MemcpyOp, LLVM::MemmoveOp, LLVM::MemcpyInlineOp>(op)) {
    Value bytes =
        op->getNumOperands() == 3
            ? code.extend(op->getOperand(2), code.i64())
            : code.constant(code.i64(), cast<LLVM::MemcpyInlineOp>(op).getLen().getSExtValue());
    code.call("moec_emulator_move", {op->getOperand(0), op->getOperand(1), bytes, code.location()});
  } else if (isa<LLVM::MemsetOp, LLVM::MemsetInlineOp>(op)) {
    Value bytes =
        op->getNumOperands() == 3
            ? code.extend(op->getOperand(2), code.i64())
            : code.constant(code.i64(), cast<LLVM::MemsetInlineOp>(op).getLen().getSExtValue());
    code.call("moec_emulator_fill", {op->getOperand(0), code.extend(op->getOperand(1), code.i32()),
                                     bytes, code.location()});
  } else
    code.call("moec_emulator_fence", {});
  op->erase();
  return success();
}

LogicalResult ModuleEmulation::rewriteCall(LLVM::CallOp call) {
  std::optional<StringRef> callee = call.getCallee();
  if (!callee)
    return call.emitOpError("goes through a pointer, which has no emulation");
  auto found = renamed.find(StringAttr::get(host.getContext(), *callee));
  if (found == renamed.end())
    return emulateDeviceLibrary(call);
  SmallVector<Value> arguments{call->getParentOfType<LLVM::LLVMFuncOp>().getArgument(0)};
  llvm::append_range(arguments, call.getArgOperands());
  OpBuilder builder(call);
  auto direct = LLVM::CallOp::create(builder, call.getLoc(),
                                     host.lookupSymbol<LLVM::LLVMFuncOp>(found->second), arguments);
  call->replaceAllUsesWith(direct->getResults());
  call.erase();
  return success();
}

LogicalResult ModuleEmulation::rewrite(Operation *op) {
  if (isa<NVVM::NVVMDialect>(op->getDialect()))
    return isa<NVVM::InlinePtxOp>(op) ? emulateInlinePtx(op, locations, functions)
                                      : emulateInstruction(op, locations, functions);
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case<LLVM::LoadOp, LLVM::StoreOp, LLVM::AtomicRMWOp, LLVM::AtomicCmpXchgOp, LLVM::MemcpyOp,
            LLVM::MemmoveOp, LLVM::MemcpyInlineOp, LLVM::MemsetOp, LLVM::MemsetInlineOp,
            LLVM::FenceOp>([&](Operation *memory) { return rewriteMemory(memory); })
      .Case([&](LLVM::CallOp call) { return rewriteCall(call); })
      .Case([&](LLVM::FMulOp product) {
        if (getElementTypeOrSelf(product.getType()).isBF16())
          emulateBf16Product(product);
        return success();
      })
      .Case<LLVM::SDivOp, LLVM::UDivOp, LLVM::SRemOp, LLVM::URemOp>([&](Operation *division) {
        checkDivision(division);
        return success();
      })
      .Case([&](LLVM::CallIntrinsicOp call) -> LogicalResult {
        if (call.getIntrin().starts_with("llvm.nvvm."))
          return call.emitOpError("of '")
                 << call.getIntrin() << "' has no emulation; use the op of nvvm";
        return success();
      })
      .Case([&](LLVM::InlineAsmOp) { return emulateInlinePtx(op, locations, functions); })
      .Case<LLVM::Trap, LLVM::UBSanTrap, LLVM::UnreachableOp>([&](Operation *end) {
        EmulatedCode code(end, locations, functions);
        code.call("moec_emulator_trap", {code.location()});
        if (!isa<LLVM::UnreachableOp>(end))
          end->erase();
        return success();
      })
      .Case([&](LLVM::DebugTrap trap) {
        trap.erase();
        return success();
      })
      .Case([&](LLVM::AddressOfOp address) {
        if (auto object = objects.find(address.getGlobalNameAttr().getAttr());
            object != objects.end()) {
          EmulatedCode code(op, locations, functions);
          Value table = LLVM::GEPOp::create(
              code.builder, code.loc, code.pointer(), code.builder.getI8Type(), code.thread,
              LLVM::GEPArg(int32_t(offsetof(moec_emulated_thread, objects))));
          table = LLVM::LoadOp::create(code.builder, code.loc, code.pointer(), table);
          Value place = LLVM::GEPOp::create(code.builder, code.loc, code.pointer(), code.pointer(),
                                            table, LLVM::GEPArg(int32_t(object - objects.begin())));
          address.replaceAllUsesWith(
              Value(LLVM::LoadOp::create(code.builder, code.loc, code.pointer(), place)));
          address.erase();
        } else if (auto name = renamed.find(address.getGlobalNameAttr().getAttr());
                   name != renamed.end())
          address.setGlobalNameAttr(FlatSymbolRefAttr::get(name->second));
        return success();
      })
      .Case([&](LLVM::AddrSpaceCastOp cast) {
        cast.replaceAllUsesWith(cast.getArg());
        cast.erase();
        return success();
      })
      .Default([](Operation *) { return success(); });
}

/// Of each kernel the objects that it, or a function that it may call, uses.
void ModuleEmulation::findObjects() {
  DenseMap<StringAttr, llvm::SetVector<int64_t>> uses;
  DenseMap<StringAttr, SmallVector<StringAttr>> calls;
  for (LLVM::LLVMFuncOp function : moved) {
    StringAttr name = function.getSymNameAttr();
    function.walk([&](Operation *op) {
      if (auto address = dyn_cast<LLVM::AddressOfOp>(op)) {
        if (auto object = objects.find(address.getGlobalNameAttr().getAttr());
            object != objects.end())
          uses[name].insert(object - objects.begin());
      } else if (auto call = dyn_cast<LLVM::CallOp>(op); call && call.getCallee()) {
        if (auto callee = renamed.find(call.getCalleeAttr().getAttr()); callee != renamed.end())
          calls[name].push_back(callee->second);
      }
    });
  }
  for (auto &[function, kernel] : kernels) {
    llvm::SetVector<StringAttr> reached;
    reached.insert(function.getSymNameAttr());
    llvm::SetVector<int64_t> used;
    for (size_t i = 0; i < reached.size(); ++i) {
      used.insert_range(uses[reached[i]]);
      reached.insert_range(calls[reached[i]]);
    }
    kernel.objects = llvm::to_vector(used.getArrayRef());
    llvm::sort(kernel.objects);
  }
}

LogicalResult ModuleEmulation::run() {
  if (failed(checkOps()))
    return failure();
  moveGlobals();
  moveFunctions();
  findObjects();

  // The host has one address space.
  AttrTypeReplacer replacer;
  auto pointer = LLVM::LLVMPointerType::get(host.getContext());
  replacer.addReplacement([&](LLVM::LLVMPointerType) { return pointer; });
  for (LLVM::LLVMFuncOp function : moved)
    replacer.recursivelyReplaceElementsIn(function, /*replaceAttrs=*/true, /*replaceLocs=*/false,
                                          /*replaceTypes=*/true);

  for (LLVM::LLVMFuncOp function : moved) {
    // A predicated instruction splits its block: ops are gathered first.
    SmallVector<Operation *> ops;
    function.getBody().walk([&](Operation *op) { ops.push_back(op); });
    for (Operation *op : ops)
      if (failed(rewrite(op)))
        return failure();
  }
  SmallVector<EmulatedKernel> described;
  for (auto &[function, kernel] : kernels) {
    addRunFunction(function, kernel);
    described.push_back(kernel);
  }
  for (LLVM::LLVMFuncOp function : moved)
    function.removeArgAttrsAttr();
  SmallVector<EmulatedObject> listed;
  for (auto &[name, object] : objects)
    listed.push_back(object);
  addDescriptor(host, module.getName(), described, listed, globals, locations);
  module.erase();
  return success();
}

namespace {
struct EmulateGpu final : moec::impl::EmulateGpuBase<EmulateGpu> {
  using EmulateGpuBase::EmulateGpuBase;

  void runOnOperation() override {
    for (auto module : llvm::to_vector(getOperation().getOps<gpu::GPUModuleOp>()))
      if (failed(ModuleEmulation(getOperation(), module, checks).run()))
        return signalPassFailure();
    getOperation()->removeAttr("gpu.container_module");
  }
};
} // namespace
