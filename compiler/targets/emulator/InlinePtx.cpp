// The inline PTX that has an emulation, and the functions of CUDA's device library that the host
// has too.

#include "compiler/targets/emulator/EmulatedCode.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace moec;
namespace emu = moec::emulator;

namespace {
struct PtxCall {
  EmulatedCode &code;
  ValueRange operands;
  Type result; ///< null if none
};

/// An instruction as the statement must spell it, with operands in order, and what it becomes.
struct PtxEmulation {
  StringRef instruction;
  StringRef operands;
  Value (*build)(PtxCall &call);
};
} // namespace

template <typename Op> static Value unary(PtxCall &call) {
  return Op::create(call.code.builder, call.code.loc, call.result, call.operands[0]);
}

static Value reciprocalOf(PtxCall &call, Value value) {
  Value one = LLVM::ConstantOp::create(call.code.builder, call.code.loc,
                                       call.code.builder.getF32FloatAttr(1.0f));
  return LLVM::FDivOp::create(call.code.builder, call.code.loc, one, value);
}

static Value reciprocal(PtxCall &call) { return reciprocalOf(call, call.operands[0]); }
static Value reciprocalRoot(PtxCall &call) { return reciprocalOf(call, unary<LLVM::SqrtOp>(call)); }

/// Of two f32 the first becomes the high half.
static Value roundPair(PtxCall &call, Type element) {
  EmulatedCode &code = call.code;
  auto type = VectorType::get(2, element);
  Value pair = LLVM::PoisonOp::create(code.builder, code.loc, type);
  for (auto [i, value] : llvm::enumerate(llvm::reverse(call.operands)))
    pair = LLVM::InsertElementOp::create(
        code.builder, code.loc, pair,
        LLVM::FPTruncOp::create(code.builder, code.loc, element, value),
        code.constant(uint32_t(i)));
  return code.fromBits(code.toBits(pair), call.result);
}

static Value toBf16Pair(PtxCall &call) { return roundPair(call, call.code.builder.getBF16Type()); }
static Value toF16Pair(PtxCall &call) { return roundPair(call, call.code.builder.getF16Type()); }

template <emu::MatrixType T> static Value widenPair(PtxCall &call) {
  EmulatedCode &code = call.code;
  Value pair = code.extend(call.operands[0], code.i32());
  return code.fromBits(code.call("moec_emulator_widen", {code.code(T), pair}), call.result);
}

/// A product of 16 x 8 x 32 of floats of 8 bits, which mma.sync of NVVM does not have.
template <emu::MatrixType A, emu::MatrixType B> static Value multiplyBytes(PtxCall &call) {
  EmulatedCode &code = call.code;
  Value room = code.room(4);
  code.call(
      "moec_emulator_multiply",
      {code.constant(32u),
       code.constant(emu::matrixTypes(A, B, emu::MatrixType::F32, emu::MatrixType::F32, false)),
       code.stored(call.operands.take_front(4)), code.stored(call.operands.slice(4, 2)),
       code.stored(call.operands.slice(6, 4)), room, code.location()});
  return code.loadStruct(room, call.result);
}

static Value fence(PtxCall &call) {
  call.code.call("moec_emulator_fence", {});
  return {};
}

static Value nothing(PtxCall &) { return {}; }
static Value same(PtxCall &call) { return call.operands[0]; }

static Value waitForAllCopies(PtxCall &call) {
  call.code.call("moec_emulator_copy_commit", {});
  call.code.call("moec_emulator_copy_wait", {call.code.constant(0u)});
  return {};
}

constexpr StringRef kProduct = "{$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13}";

static const PtxEmulation kTable[] = {
    {"ex2.approx.f32", "$0, $1", unary<LLVM::Exp2Op>},
    {"ex2.approx.ftz.f32", "$0, $1", unary<LLVM::Exp2Op>},
    {"lg2.approx.f32", "$0, $1", unary<LLVM::Log2Op>},
    {"lg2.approx.ftz.f32", "$0, $1", unary<LLVM::Log2Op>},
    {"tanh.approx.f32", "$0, $1", unary<LLVM::TanhOp>},
    {"sqrt.approx.f32", "$0, $1", unary<LLVM::SqrtOp>},
    {"sqrt.approx.ftz.f32", "$0, $1", unary<LLVM::SqrtOp>},
    {"rcp.approx.f32", "$0, $1", reciprocal},
    {"rcp.approx.ftz.f32", "$0, $1", reciprocal},
    {"rsqrt.approx.f32", "$0, $1", reciprocalRoot},
    {"rsqrt.approx.ftz.f32", "$0, $1", reciprocalRoot},
    {"cvt.rn.bf16x2.f32", "$0, $1, $2", toBf16Pair},
    {"cvt.rn.f16x2.f32", "$0, $1, $2", toF16Pair},
    {"cvt.rn.f16x2.e4m3x2", "$0, $1", widenPair<emu::MatrixType::E4M3>},
    {"cvt.rn.f16x2.e5m2x2", "$0, $1", widenPair<emu::MatrixType::E5M2>},
    {"mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32", kProduct,
     multiplyBytes<emu::MatrixType::E4M3, emu::MatrixType::E4M3>},
    {"mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e5m2.f32", kProduct,
     multiplyBytes<emu::MatrixType::E4M3, emu::MatrixType::E5M2>},
    {"mma.sync.aligned.m16n8k32.row.col.f32.e5m2.e4m3.f32", kProduct,
     multiplyBytes<emu::MatrixType::E5M2, emu::MatrixType::E4M3>},
    {"mma.sync.aligned.m16n8k32.row.col.f32.e5m2.e5m2.f32", kProduct,
     multiplyBytes<emu::MatrixType::E5M2, emu::MatrixType::E5M2>},
    {"mov.b64", "$0, $1", same},
    {"fence.acq_rel.gpu", "", fence},
    {"fence.sc.gpu", "", fence},
    {"membar.gl", "", fence},
    {"membar.cta", "", fence},
    {"cp.async.wait_all", "", waitForAllCopies},
    {"prefetch.global.L1", "[$0]", nothing},
    {"prefetch.global.L2", "[$0]", nothing},
};

/// The only statement of a text, in instruction and operands, with $ before the operands' numbers;
/// none if there are more.
static std::optional<std::pair<StringRef, std::string>> onlyStatement(StringRef text) {
  text = text.trim();
  text.consume_back(";");
  if (text.contains(';'))
    return std::nullopt;
  auto [instruction, rest] = text.split(' ');
  std::string operands;
  for (char c : rest.trim())
    if (c != ' ' || (!operands.empty() && operands.back() == ','))
      operands += c == '%' ? '$' : c;
  return std::pair(instruction, operands);
}

LogicalResult moec::emulateInlinePtx(Operation *op, LocationTable &locations,
                                     EmulatorFunctions &functions) {
  StringRef text;
  ValueRange operands = op->getOperands();
  if (auto ptx = dyn_cast<NVVM::InlinePtxOp>(op)) {
    text = ptx.getPtxCode();
    if (ptx.getPredicate() || !ptx.getReadWriteArgs().empty())
      return op->emitOpError(
          "with a predicate or with operands that are read and written has no emulation");
  } else
    text = cast<LLVM::InlineAsmOp>(op).getAsmString();
  if (auto statement = onlyStatement(text))
    for (const PtxEmulation &known : kTable) {
      if (known.instruction != statement->first || known.operands != statement->second)
        continue;
      EmulatedCode code(op, locations, functions);
      const bool isOne = op->getNumResults() == 1;
      Type result;
      if (isOne)
        result = op->getResult(0).getType();
      else if (op->getNumResults() > 1)
        result = LLVM::LLVMStructType::getLiteral(op->getContext(),
                                                  llvm::to_vector(op->getResultTypes()));
      PtxCall call{code, operands, result};
      Value value = known.build(call);
      for (auto [i, old] : llvm::enumerate(op->getResults()))
        old.replaceAllUsesWith(
            isOne ? value
                  : Value(LLVM::ExtractValueOp::create(code.builder, code.loc, value, int64_t(i))));
      op->erase();
      return success();
    }
  return op->emitOpError("of '") << text << "' has no emulation";
}

namespace {
struct LibraryFunction {
  StringRef name;
  Value (*build)(OpBuilder &builder, Location loc, Type type, ValueRange operands);
};
} // namespace

template <typename Op>
static Value asOp(OpBuilder &builder, Location loc, Type type, ValueRange operands) {
  return Op::create(builder, loc, TypeRange(type), operands);
}

static Value reciprocalRootOf(OpBuilder &builder, Location loc, Type type, ValueRange operands) {
  Value one = LLVM::ConstantOp::create(builder, loc, type, builder.getFloatAttr(type, 1.0));
  return LLVM::FDivOp::create(builder, loc, one,
                              LLVM::SqrtOp::create(builder, loc, type, operands[0]));
}

/// For f32 with an f at the end, for f64 without.
static const LibraryFunction kLibrary[] = {
    {"exp", asOp<LLVM::ExpOp>},      {"exp2", asOp<LLVM::Exp2Op>},
    {"log", asOp<LLVM::LogOp>},      {"log2", asOp<LLVM::Log2Op>},
    {"log10", asOp<LLVM::Log10Op>},  {"sin", asOp<LLVM::SinOp>},
    {"cos", asOp<LLVM::CosOp>},      {"tan", asOp<LLVM::TanOp>},
    {"tanh", asOp<LLVM::TanhOp>},    {"sqrt", asOp<LLVM::SqrtOp>},
    {"rsqrt", reciprocalRootOf},     {"fabs", asOp<LLVM::FAbsOp>},
    {"floor", asOp<LLVM::FFloorOp>}, {"ceil", asOp<LLVM::FCeilOp>},
    {"trunc", asOp<LLVM::FTruncOp>}, {"rint", asOp<LLVM::RintOp>},
    {"pow", asOp<LLVM::PowOp>},      {"fma", asOp<LLVM::FMAOp>},
    {"fmin", asOp<LLVM::MinNumOp>},  {"fmax", asOp<LLVM::MaxNumOp>},
    {"fast_exp", asOp<LLVM::ExpOp>}, {"fast_log", asOp<LLVM::LogOp>},
    {"fast_sin", asOp<LLVM::SinOp>}, {"fast_cos", asOp<LLVM::CosOp>},
};

LogicalResult moec::emulateDeviceLibrary(LLVM::CallOp call) {
  StringRef name = *call.getCallee();
  if (name.consume_front("__nv_") && call.getNumResults() == 1 &&
      isa<FloatType>(call.getResult().getType())) {
    if (call.getResult().getType().isF32())
      name.consume_back("f");
    for (const LibraryFunction &known : kLibrary) {
      if (known.name != name)
        continue;
      OpBuilder builder(call);
      Value value =
          known.build(builder, call.getLoc(), call.getResult().getType(), call.getArgOperands());
      call->replaceAllUsesWith(ValueRange{value});
      call.erase();
      return success();
    }
  }
  return call.emitOpError("of '") << *call.getCallee() << "' has no emulation";
}
