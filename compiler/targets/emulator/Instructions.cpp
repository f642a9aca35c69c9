// What each instruction of NVVM becomes: a register of the thread, a call of the emulator, or plain
// code.

#include "compiler/targets/emulator/EmulatedCode.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace moec;
namespace emu = moec::emulator;

/// The special register that an op reads; none if it is not emulated.
static std::optional<uint32_t> registerOf(StringRef name) {
  if (!name.consume_front("nvvm.read.ptx.sreg."))
    return std::nullopt;
  const uint32_t found =
      llvm::StringSwitch<uint32_t>(name)
          .Case("tid.x", emu::ThreadX)
          .Case("tid.y", emu::ThreadX + 1)
          .Case("tid.z", emu::ThreadX + 2)
          .Case("ntid.x", emu::BlockDimX)
          .Case("ntid.y", emu::BlockDimX + 1)
          .Case("ntid.z", emu::BlockDimX + 2)
          .Case("ctaid.x", emu::BlockX)
          .Case("ctaid.y", emu::BlockX + 1)
          .Case("ctaid.z", emu::BlockX + 2)
          .Case("nctaid.x", emu::GridDimX)
          .Case("nctaid.y", emu::GridDimX + 1)
          .Case("nctaid.z", emu::GridDimX + 2)
          .Case("laneid", emu::Lane)
          .Case("warpid", emu::Warp)
          .Case("nwarpid", emu::WarpCount)
          .Case("lanemask.eq", emu::LaneMaskEqual)
          .Case("lanemask.lt", emu::LaneMaskLess)
          .Case("lanemask.le", emu::LaneMaskLessEqual)
          .Case("lanemask.gt", emu::LaneMaskGreater)
          .Case("lanemask.ge", emu::LaneMaskGreaterEqual)
          .Case("total.smem.size", emu::SharedBytes)
          .Case("dynamic.smem.size", emu::DynamicSharedBytes)
          .Cases({"clock", "clock64", "globaltimer", "globaltimer.lo"}, emu::Clock)
          .Default(emu::RegisterCount);
  return found == emu::RegisterCount ? std::nullopt : std::optional(found);
}

static std::optional<emu::MatrixType> matrixType(NVVM::MMATypes type) {
  switch (type) {
  case NVVM::MMATypes::f16:
    return emu::MatrixType::F16;
  case NVVM::MMATypes::bf16:
    return emu::MatrixType::BF16;
  case NVVM::MMATypes::tf32:
    return emu::MatrixType::TF32;
  case NVVM::MMATypes::s8:
    return emu::MatrixType::S8;
  case NVVM::MMATypes::u8:
    return emu::MatrixType::U8;
  case NVVM::MMATypes::f32:
    return emu::MatrixType::F32;
  case NVVM::MMATypes::s32:
    return emu::MatrixType::S32;
  default:
    return std::nullopt;
  }
}

static emu::Reduction reductionOf(NVVM::ReduxKind kind) {
  switch (kind) {
  case NVVM::ReduxKind::ADD:
    return emu::Reduction::Add;
  case NVVM::ReduxKind::AND:
    return emu::Reduction::And;
  case NVVM::ReduxKind::MAX:
    return emu::Reduction::Max;
  case NVVM::ReduxKind::MIN:
    return emu::Reduction::Min;
  case NVVM::ReduxKind::OR:
    return emu::Reduction::Or;
  case NVVM::ReduxKind::UMAX:
    return emu::Reduction::UnsignedMax;
  case NVVM::ReduxKind::UMIN:
    return emu::Reduction::UnsignedMin;
  case NVVM::ReduxKind::XOR:
    return emu::Reduction::Xor;
  case NVVM::ReduxKind::FMIN:
    return emu::Reduction::FloatMin;
  case NVVM::ReduxKind::FMAX:
    return emu::Reduction::FloatMax;
  }
  llvm_unreachable("all kinds are above");
}

/// The rest of its block runs after the op, and the op only where `predicate` holds.
static void executeIf(Operation *op, Value predicate) {
  Block *before = op->getBlock();
  Block *after = before->splitBlock(op->getNextNode());
  Block *inside = before->splitBlock(op);
  OpBuilder builder = OpBuilder::atBlockEnd(before);
  LLVM::CondBrOp::create(builder, op->getLoc(), predicate, inside, after);
  builder.setInsertionPointToEnd(inside);
  LLVM::BrOp::create(builder, op->getLoc(), after);
}

namespace {
/// Replaces one op; each function returns what stands for its results.
class Instruction {
public:
  Instruction(Operation *op, LocationTable &locations, EmulatorFunctions &functions)
      : op(op), code(op, locations, functions) {}

  FailureOr<SmallVector<Value>> replace();

private:
  using Values = FailureOr<SmallVector<Value>>;

  Values none() { return SmallVector<Value>(); }
  Values one(Value value) { return SmallVector<Value>{value}; }
  /// The op does not do that: says so.
  Values unsupported(const Twine &what) { return op->emitOpError("has no emulation") << what; }

  Values barrier(NVVM::BarrierOp barrier);
  Values shuffle(NVVM::ShflOp shuffle);
  Values vote(NVVM::VoteSyncOp vote);
  Values match(NVVM::MatchSyncOp match);
  Values reduce(NVVM::ReduxOp reduce);
  Values loadMatrix(NVVM::LdMatrixOp load);
  Values storeMatrix(NVVM::StMatrixOp store);
  Values multiply(NVVM::MmaOp multiply);
  Values copy(NVVM::CpAsyncOp copy);
  Values arrive(Value object, Value count, Value bytes, bool drop);
  Values test(Value object, Value phase);
  Values toTf32(NVVM::ConvertFloatToTF32Op convert);
  /// A pair of f32 rounded to f16 or bf16; the second operand is the low half.
  Values toPair(Value high, Value low, Type type);
  Values permute(NVVM::PermuteOp permute);
  Values widen(NVVM::ConvertF8x2ToF16x2Op convert);

  Value integer(Value value) { return code.toBits(value); }

  Operation *op;
  EmulatedCode code;
};
} // namespace

FailureOr<SmallVector<Value>> Instruction::barrier(NVVM::BarrierOp barrier) {
  Value id = barrier.getBarrierId() ? Value(barrier.getBarrierId()) : code.constant(0u);
  Value threads =
      barrier.getNumberOfThreads() ? Value(barrier.getNumberOfThreads()) : code.constant(0u);
  auto reduction = emu::BarrierReduction::None;
  Value predicate = code.constant(0u);
  if (barrier.getReductionOp()) {
    switch (*barrier.getReductionOp()) {
    case NVVM::BarrierReduction::POPC:
      reduction = emu::BarrierReduction::Count;
      break;
    case NVVM::BarrierReduction::AND:
      reduction = emu::BarrierReduction::And;
      break;
    case NVVM::BarrierReduction::OR:
      reduction = emu::BarrierReduction::Or;
      break;
    }
    predicate = barrier.getReductionPredicate();
  }
  Value result = code.call("moec_emulator_barrier",
                           {id, threads, code.code(reduction), predicate, code.location()});
  return barrier->getNumResults() ? one(result) : none();
}

FailureOr<SmallVector<Value>> Instruction::shuffle(NVVM::ShflOp shuffle) {
  const auto mode = [&] {
    switch (shuffle.getKind()) {
    case NVVM::ShflKind::bfly:
      return emu::ShuffleMode::Butterfly;
    case NVVM::ShflKind::up:
      return emu::ShuffleMode::Up;
    case NVVM::ShflKind::down:
      return emu::ShuffleMode::Down;
    case NVVM::ShflKind::idx:
      return emu::ShuffleMode::Index;
    }
    llvm_unreachable("all kinds are above");
  }();
  Value result = code.call("moec_emulator_shuffle",
                           {code.code(mode), shuffle.getThreadMask(), integer(shuffle.getVal()),
                            shuffle.getOffset(), shuffle.getMaskAndClamp(), code.location()});
  Value value = code.fromBits(code.half(result, false), shuffle.getVal().getType());
  if (!shuffle.getReturnValueAndIsValid())
    return one(value);
  return one(code.makeStruct(shuffle.getType(), {value, code.isSet(code.half(result, true))}));
}

FailureOr<SmallVector<Value>> Instruction::vote(NVVM::VoteSyncOp vote) {
  const auto mode = [&] {
    switch (vote.getKind()) {
    case NVVM::VoteSyncKind::any:
      return emu::VoteMode::Any;
    case NVVM::VoteSyncKind::all:
      return emu::VoteMode::All;
    case NVVM::VoteSyncKind::ballot:
      return emu::VoteMode::Ballot;
    case NVVM::VoteSyncKind::uni:
      return emu::VoteMode::Uniform;
    }
    llvm_unreachable("all kinds are above");
  }();
  Value result =
      code.call("moec_emulator_vote", {code.code(mode), vote.getMask(),
                                       code.extend(vote.getPred(), code.i32()), code.location()});
  return one(mode == emu::VoteMode::Ballot ? result : code.isSet(result));
}

FailureOr<SmallVector<Value>> Instruction::match(NVVM::MatchSyncOp match) {
  const bool isAll = match.getKind() == NVVM::MatchSyncKind::all;
  Value result =
      code.call("moec_emulator_match",
                {code.code(isAll ? emu::MatchMode::All : emu::MatchMode::Any),
                 match.getThreadMask(), code.extend(match.getVal(), code.i64()), code.location()});
  Value mask = code.half(result, false);
  return one(isAll ? code.makeStruct(match.getType(), {mask, code.isSet(code.half(result, true))})
                   : mask);
}

FailureOr<SmallVector<Value>> Instruction::reduce(NVVM::ReduxOp reduce) {
  if (reduce.getAbs() || reduce.getNan())
    return unsupported(" with abs or nan");
  Value result = code.call("moec_emulator_reduce",
                           {code.code(reductionOf(reduce.getKind())), reduce.getMaskAndClamp(),
                            integer(reduce.getVal()), code.location()});
  return one(code.fromBits(result, reduce.getType()));
}

FailureOr<SmallVector<Value>> Instruction::loadMatrix(NVVM::LdMatrixOp load) {
  if (load.getEltType() != NVVM::LdStMatrixEltType::B16 || load.getShape().getM() != 8 ||
      load.getShape().getN() != 8)
    return unsupported(" but for 8 x 8 elements of 16 bits");
  Value room = code.room(load.getNum());
  code.call("moec_emulator_load_matrix",
            {load.getPtr(), code.constant(load.getNum()),
             code.constant(uint32_t(load.getLayout() == NVVM::MMALayout::col)), room,
             code.location()});
  return one(code.loadStruct(room, load.getType()));
}

FailureOr<SmallVector<Value>> Instruction::storeMatrix(NVVM::StMatrixOp store) {
  if (store.getEltType() != NVVM::LdStMatrixEltType::B16 || store.getShape().getM() != 8 ||
      store.getShape().getN() != 8)
    return unsupported(" but for 8 x 8 elements of 16 bits");
  code.call("moec_emulator_store_matrix",
            {store.getPtr(), code.constant(uint32_t(store.getSources().size())),
             code.constant(uint32_t(store.getLayout() == NVVM::MMALayout::col)),
             code.stored(store.getSources()), code.location()});
  return none();
}

FailureOr<SmallVector<Value>> Instruction::multiply(NVVM::MmaOp multiply) {
  const NVVM::MMAShapeAttr shape = multiply.getShape();
  std::optional<emu::MatrixType> types[4];
  const std::optional<NVVM::MMATypes> typeA = multiply.getMultiplicandAPtxType(),
                                      typeB = multiply.getMultiplicandBPtxType();
  if (typeA && typeB) {
    types[0] = matrixType(*typeA);
    types[1] = matrixType(*typeB);
    types[2] = matrixType(multiply.accumPtxType());
    types[3] = matrixType(multiply.resultPtxType());
  }
  const bool known = types[0] && types[1] && types[2] && types[3];
  if (!known || shape.getM() != 16 || shape.getN() != 8 ||
      multiply.getLayoutA() != NVVM::MMALayout::row ||
      multiply.getLayoutB() != NVVM::MMALayout::col)
    return unsupported(" but for m16n8 with f16, bf16, tf32, s8 or u8, rows of A and columns of B");
  const bool saturate = multiply.getIntOverflowBehavior() == NVVM::MMAIntOverflow::satfinite;
  Value room = code.room(4);
  code.call("moec_emulator_multiply",
            {code.constant(uint32_t(shape.getK())),
             code.constant(emu::matrixTypes(*types[0], *types[1], *types[2], *types[3], saturate)),
             code.stored(multiply.getOperandA()), code.stored(multiply.getOperandB()),
             code.stored(multiply.getOperandC()), room, code.location()});
  return one(code.loadStruct(room, multiply.getType()));
}

FailureOr<SmallVector<Value>> Instruction::copy(NVVM::CpAsyncOp copy) {
  Value bytes = code.constant(copy.getSize());
  code.call("moec_emulator_copy",
            {copy.getDst(), copy.getSrc(), bytes,
             copy.getCpSize() ? Value(copy.getCpSize()) : bytes, code.location()});
  return none();
}

FailureOr<SmallVector<Value>> Instruction::arrive(Value barrier, Value count, Value bytes,
                                                  bool drop) {
  Value token =
      code.call("moec_emulator_object_arrive",
                {barrier, count ? count : code.constant(1u), bytes ? bytes : code.constant(0u),
                 code.constant(uint32_t(drop)), code.location()});
  return op->getNumResults() ? one(token) : none();
}

FailureOr<SmallVector<Value>> Instruction::test(Value barrier, Value phase) {
  const bool isParity = phase.getType().isInteger(32);
  return one(code.isSet(code.call("moec_emulator_object_test",
                                  {barrier, code.extend(phase, code.i64()),
                                   code.constant(uint32_t(isParity)), code.location()})));
}

FailureOr<SmallVector<Value>> Instruction::toTf32(NVVM::ConvertFloatToTF32Op convert) {
  if (convert.getRnd() != NVVM::FPRoundingMode::RNA ||
      convert.getSat() != NVVM::SaturationMode::NONE || convert.getRelu())
    return unsupported(" but for rounding rna without saturation or relu");
  // To the nearest, ties away from zero: half of the last place is added to the magnitude.
  Value bits = code.toBits(convert.getSrc());
  Value up = LLVM::AddOp::create(code.builder, code.loc, bits, code.constant(0x1000u));
  return one(LLVM::AndOp::create(code.builder, code.loc, up,
                                 code.constant(code.i32(), int32_t(0xffffe000))));
}

FailureOr<SmallVector<Value>> Instruction::toPair(Value high, Value low, Type type) {
  Type element = cast<VectorType>(type).getElementType();
  Value pair = LLVM::PoisonOp::create(code.builder, code.loc, type);
  for (auto [i, value] : llvm::enumerate(ValueRange{low, high}))
    pair = LLVM::InsertElementOp::create(
        code.builder, code.loc, pair,
        LLVM::FPTruncOp::create(code.builder, code.loc, element, value),
        code.constant(uint32_t(i)));
  return one(pair);
}

FailureOr<SmallVector<Value>> Instruction::permute(NVVM::PermuteOp permute) {
  if (permute.getMode() != NVVM::PermuteMode::DEFAULT)
    return unsupported(" but in the default mode");
  OpBuilder &builder = code.builder;
  Value low = code.extend(permute.getLo(), code.i64()),
        high = code.extend(permute.getHi(), code.i64());
  Value pool = LLVM::OrOp::create(
      builder, code.loc, low,
      LLVM::ShlOp::create(builder, code.loc, high, code.constant(code.i64(), 32)));
  Value result = code.constant(0u);
  for (uint32_t i = 0; i < 4; ++i) {
    // Three bits of the selector name a byte; the fourth replicates its sign.
    Value nibble =
        LLVM::LShrOp::create(builder, code.loc, permute.getSelector(), code.constant(4 * i));
    Value shift = LLVM::ShlOp::create(
        builder, code.loc, LLVM::AndOp::create(builder, code.loc, nibble, code.constant(7u)),
        code.constant(3u));
    Value byte = LLVM::TruncOp::create(
        builder, code.loc, builder.getI8Type(),
        LLVM::LShrOp::create(builder, code.loc, pool, code.extend(shift, code.i64())));
    Value sign =
        LLVM::AShrOp::create(builder, code.loc, byte, code.constant(builder.getI8Type(), 7));
    Value isSign = code.isSet(LLVM::AndOp::create(builder, code.loc, nibble, code.constant(8u)));
    byte = LLVM::SelectOp::create(builder, code.loc, isSign, sign, byte);
    result =
        LLVM::OrOp::create(builder, code.loc, result,
                           LLVM::ShlOp::create(builder, code.loc, code.extend(byte, code.i32()),
                                               code.constant(8 * i)));
  }
  return one(result);
}

FailureOr<SmallVector<Value>> Instruction::widen(NVVM::ConvertF8x2ToF16x2Op convert) {
  const bool isE4M3 = isa<Float8E4M3FNType>(convert.getSrcType());
  if (convert.getRelu() || (!isE4M3 && !isa<Float8E5M2Type>(convert.getSrcType())))
    return unsupported(" but for e4m3 and e5m2 without relu");
  Value pair =
      LLVM::BitcastOp::create(code.builder, code.loc, code.builder.getI16Type(), convert.getSrc());
  const auto type = isE4M3 ? emu::MatrixType::E4M3 : emu::MatrixType::E5M2;
  Value wide = code.call("moec_emulator_widen", {code.code(type), code.extend(pair, code.i32())});
  return one(code.fromBits(wide, convert.getType()));
}

FailureOr<SmallVector<Value>> Instruction::replace() {
  if (std::optional<uint32_t> index = registerOf(op->getName().getStringRef()))
    return one(code.extend(code.readRegister(*index), op->getResult(0).getType()));
  return llvm::TypeSwitch<Operation *, Values>(op)
      .Case([&](NVVM::WarpSizeOp) { return one(code.constant(32u)); })
      .Case([&](NVVM::Barrier0Op) {
        Value zero = code.constant(0u);
        code.call("moec_emulator_barrier", {zero, zero, zero, zero, code.location()});
        return none();
      })
      .Case([&](NVVM::BarrierOp barrier) { return this->barrier(barrier); })
      .Case([&](NVVM::BarrierArriveOp arrive) {
        code.call("moec_emulator_barrier_arrive",
                  {arrive.getBarrierId() ? Value(arrive.getBarrierId()) : code.constant(0u),
                   arrive.getNumberOfThreads(), code.location()});
        return none();
      })
      .Case([&](NVVM::SyncWarpOp sync) {
        code.call("moec_emulator_warp_barrier", {sync.getMask(), code.location()});
        return none();
      })
      .Case([&](NVVM::ShflOp shuffle) { return this->shuffle(shuffle); })
      .Case([&](NVVM::VoteSyncOp vote) { return this->vote(vote); })
      .Case([&](NVVM::MatchSyncOp match) { return this->match(match); })
      .Case([&](NVVM::ReduxOp reduce) { return this->reduce(reduce); })
      .Case([&](NVVM::ElectSyncOp elect) {
        Value mask =
            elect.getMembermask() ? Value(elect.getMembermask()) : code.constant(code.i32(), -1);
        return one(code.isSet(code.call("moec_emulator_elect", {mask, code.location()})));
      })
      .Case([&](NVVM::LdMatrixOp load) { return loadMatrix(load); })
      .Case([&](NVVM::StMatrixOp store) { return storeMatrix(store); })
      .Case([&](NVVM::MmaOp multiply) { return this->multiply(multiply); })
      .Case([&](NVVM::CpAsyncOp copy) { return this->copy(copy); })
      .Case([&](NVVM::CpAsyncCommitGroupOp) {
        code.call("moec_emulator_copy_commit", {});
        return none();
      })
      .Case([&](NVVM::CpAsyncWaitGroupOp wait) {
        code.call("moec_emulator_copy_wait", {code.constant(wait.getN())});
        return none();
      })
      .Case([&](NVVM::CpAsyncMBarrierArriveOp arrive) {
        code.call("moec_emulator_copy_arrive",
                  {arrive.getAddr(), code.constant(uint32_t(arrive.getNoinc())), code.location()});
        return none();
      })
      .Case([&](NVVM::MBarrierInitOp init) {
        code.call("moec_emulator_object_init", {init.getAddr(), init.getCount(), code.location()});
        return none();
      })
      .Case([&](NVVM::MBarrierInvalOp invalidate) {
        code.call("moec_emulator_object_invalidate", {invalidate.getAddr(), code.location()});
        return none();
      })
      .Case([&](NVVM::MBarrierExpectTxOp expect) {
        return arrive(expect.getAddr(), code.constant(0u), expect.getTxcount(), false);
      })
      .Case([&](NVVM::MBarrierCompleteTxOp complete) {
        code.call("moec_emulator_object_complete",
                  {complete.getAddr(), complete.getTxcount(), code.location()});
        return none();
      })
      .Case([&](NVVM::MBarrierArriveOp arrived) {
        return arrive(arrived.getAddr(), arrived.getCount(), {}, false);
      })
      .Case([&](NVVM::MBarrierArriveDropOp dropped) {
        return arrive(dropped.getAddr(), dropped.getCount(), {}, true);
      })
      .Case([&](NVVM::MBarrierArriveNocompleteOp arrived) {
        return arrive(arrived.getAddr(), arrived.getCount(), {}, false);
      })
      .Case([&](NVVM::MBarrierArriveExpectTxOp arrived) {
        return arrive(arrived.getAddr(), {}, arrived.getTxcount(), false);
      })
      .Case([&](NVVM::MBarrierTestWaitOp wait) {
        return test(wait.getAddr(), wait.getStateOrPhase());
      })
      .Case([&](NVVM::MBarrierTryWaitOp wait) {
        return test(wait.getAddr(), wait.getStateOrPhase());
      })
      .Case([&](NVVM::MBarrierTryWaitParityOp wait) {
        code.call("moec_emulator_object_wait", {wait.getAddr(), wait.getPhase(), code.location()});
        return none();
      })
      .Case<NVVM::MembarOp>([&](Operation *) {
        code.call("moec_emulator_fence", {});
        return none();
      })
      // Accesses here happen at once and in one memory: there is nothing for these to order or to
      // speed up.
      .Case<NVVM::FenceMbarrierInitOp, NVVM::FenceProxyOp, NVVM::PrefetchOp,
            NVVM::SetMaxRegisterOp>([&](Operation *) { return none(); })
      .Case([&](NVVM::NanosleepOp) {
        code.call("moec_emulator_pause", {});
        return none();
      })
      .Case([&](NVVM::Exit) {
        code.call("moec_emulator_exit", {});
        return none();
      })
      .Case([&](NVVM::RcpApproxFtzF32Op reciprocal) {
        Value one =
            LLVM::ConstantOp::create(code.builder, code.loc, code.builder.getF32FloatAttr(1.0f));
        return this->one(LLVM::FDivOp::create(code.builder, code.loc, one, reciprocal.getArg()));
      })
      .Case([&](NVVM::ConvertFloatToTF32Op convert) { return toTf32(convert); })
      .Case<NVVM::ConvertF32x2ToF16x2Op, NVVM::ConvertF32x2ToBF16x2Op>([&](auto convert) -> Values {
        if (convert.getRnd() != NVVM::FPRoundingMode::RN ||
            convert.getSat() != NVVM::SaturationMode::NONE || convert.getRelu())
          return unsupported(" but for rounding rn without saturation or relu");
        return toPair(convert.getSrcHi(), convert.getSrcLo(), convert.getType());
      })
      .Case([&](NVVM::ConvertF8x2ToF16x2Op convert) { return widen(convert); })
      .Case([&](NVVM::PermuteOp permute) { return this->permute(permute); })
      .Default([&](Operation *) { return unsupported(""); });
}

LogicalResult moec::emulateInstruction(Operation *op, LocationTable &locations,
                                       EmulatorFunctions &functions) {
  Value predicate;
  if (auto init = dyn_cast<NVVM::MBarrierInitOp>(op))
    predicate = init.getPredicate();
  else if (auto arrive = dyn_cast<NVVM::MBarrierArriveExpectTxOp>(op))
    predicate = arrive.getPredicate();
  if (predicate) {
    if (!op->use_empty())
      return op->emitOpError("has no emulation with a predicate and a result that is used");
    executeIf(op, predicate);
  }
  FailureOr<SmallVector<Value>> results = Instruction(op, locations, functions).replace();
  if (failed(results))
    return failure();
  if (!results->empty())
    op->replaceAllUsesWith(*results);
  op->erase();
  return success();
}
