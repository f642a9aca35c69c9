// Verifies and folds the ops of the lm dialect, and states their effects.

#include "dialects/lm/LmDialect.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Interfaces/ShapedOpInterfaces.h"

using namespace mlir;

/// An array of f32 in brackets. MLIR's own form of it prints six digits, which loses bits: at a
/// position of a million a frequency read back would turn by a tenth of a radian too much.
static ParseResult parseExactFloats(OpAsmParser &parser, DenseF32ArrayAttr &array) {
  SmallVector<float> values;
  auto parseOne = [&]() -> ParseResult {
    APFloat value(APFloat::IEEEsingle());
    if (parser.parseFloat(APFloat::IEEEsingle(), value))
      return failure();
    values.push_back(value.convertToFloat());
    return success();
  };
  if (parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, parseOne))
    return failure();
  array = DenseF32ArrayAttr::get(parser.getContext(), values);
  return success();
}

static void printExactFloats(OpAsmPrinter &printer, Operation *, DenseF32ArrayAttr array) {
  printer << '[';
  llvm::interleaveComma(array.asArrayRef(), printer,
                        [&](float value) { printer.printFloat(APFloat(value)); });
  printer << ']';
}

#include "dialects/lm/LmEnums.cpp.inc"
#define GET_OP_CLASSES
#include "dialects/lm/LmOps.cpp.inc"

using namespace moec;
using namespace moec::lm;

#define MOEC_DESTINATION_EFFECTS(Op)                                                               \
  void Op::getEffects(SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {                   \
    addDestinationStyleEffects(*this, readsDestinations(), effects);                               \
  }
MOEC_DESTINATION_EFFECTS(EmbeddingOp)
MOEC_DESTINATION_EFFECTS(RmsNormOp)
MOEC_DESTINATION_EFFECTS(LinearOp)
MOEC_DESTINATION_EFFECTS(ClampOp)
MOEC_DESTINATION_EFFECTS(LayerNormOp)
MOEC_DESTINATION_EFFECTS(RopeTableOp)
MOEC_DESTINATION_EFFECTS(RopeOp)
MOEC_DESTINATION_EFFECTS(TemperatureOp)
MOEC_DESTINATION_EFFECTS(SliceHeadsOp)
MOEC_DESTINATION_EFFECTS(JoinHeadsOp)
MOEC_DESTINATION_EFFECTS(HeadLinearOp)
MOEC_DESTINATION_EFFECTS(JoinPiecesOp)
MOEC_DESTINATION_EFFECTS(ScaleRowsOp)
MOEC_DESTINATION_EFFECTS(AddOp)
MOEC_DESTINATION_EFFECTS(RoundOp)
MOEC_DESTINATION_EFFECTS(QuantizeOp)
MOEC_DESTINATION_EFFECTS(SelectRowsOp)
MOEC_DESTINATION_EFFECTS(RunPartOp)
#undef MOEC_DESTINATION_EFFECTS

void ChooseKeysOp::getEffects(SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  addDestinationStyleEffects(*this, readsDestinations(), effects);
  effects.emplace_back(MemoryEffects::Read::get(), CacheResource::get());
}

void AttentionOp::getEffects(SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  addDestinationStyleEffects(*this, readsDestinations(), effects);
  effects.emplace_back(MemoryEffects::Read::get(), CacheResource::get());
}

void AttendTilesOp::getEffects(SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  addDestinationStyleEffects(*this, readsDestinations(), effects);
  effects.emplace_back(MemoryEffects::Read::get(), CacheResource::get());
}

void AttendPiecesOp::getEffects(SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  addDestinationStyleEffects(*this, readsDestinations(), effects);
  effects.emplace_back(MemoryEffects::Read::get(), CacheResource::get());
}

/// Memref operands are read, `resource` is written.
static void addSinkEffects(Operation *op, SideEffects::Resource *resource,
                           EffectInstances &effects) {
  for (OpOperand &operand : op->getOpOperands())
    if (isa<BaseMemRefType>(operand.get().getType()))
      effects.emplace_back(MemoryEffects::Read::get(), &operand,
                           SideEffects::DefaultResource::get());
  effects.emplace_back(MemoryEffects::Write::get(), resource);
}

void CacheAppendOp::getEffects(SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  addSinkEffects(*this, CacheResource::get(), effects);
}

void RecordRoutingOp::getEffects(SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  addSinkEffects(*this, RecordResource::get(), effects);
}

void RecordLargestOp::getEffects(SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  addSinkEffects(*this, RecordResource::get(), effects);
}

int64_t RecordLargestOp::pieces() {
  const auto piece = static_cast<int64_t>(getPiece());
  return (extentOf(getLogits(), 1) + piece - 1) / piece;
}

LogicalResult RecordLargestOp::verify() {
  if (getCount() > getPiece())
    return emitOpError() << "gives " << getCount() << " of each " << getPiece() << " columns";
  return success();
}

/// Layers are ascending, so that each has one place among them.
static LogicalResult verifyLayers(Operation *op, ArrayRef<int64_t> layers) {
  for (auto [index, layer] : llvm::enumerate(layers))
    if (layer < 0 || layer >= kMostLayers || (index > 0 && layer <= layers[index - 1]))
      return op->emitOpError() << "lists layer " << layer << " as number " << index
                               << ", but layers are ascending from 0 to " << kMostLayers - 1;
  return success();
}

LogicalResult CacheOp::verify() {
  constexpr int64_t kBlockStep = 16; // positions that attention takes at a time
  if (getLayers().empty())
    return emitOpError("has no layers");
  if (getBlock() % kBlockStep != 0)
    return emitOpError() << "has blocks of " << getBlock() << " positions, no multiple of "
                         << kBlockStep;
  if (getLatent() && (!getValues() || *getValues() > getSize()))
    return emitOpError("is latent, so that its values are some of the elements of its keys");
  if (getIndexed() && (getWindow() > 0 || getChunk() > 0))
    return emitOpError("is indexed, so that rows see what they choose, but has a window or chunks");
  if (getWindow() > 0 && getChunk() > 0)
    return emitOpError("has both a window and chunks");
  return verifyLayers(*this, getLayers());
}

/// What the weight's layers and elements say of each piece.
static LogicalResult verifyPiece(WeightOp weight, PieceAttr piece) {
  if (piece.getPattern().contains("{l}") == weight.getLayers().empty())
    return weight.emitOpError() << "has " << (weight.getLayers().empty() ? "no layers" : "layers")
                                << ", but its piece \"" << piece.getPattern() << "\" has "
                                << (weight.getLayers().empty() ? "a '{l}'" : "no '{l}'");
  if (piece.getStored() != weight.getType().getElementType())
    return weight.emitOpError() << "is of " << weight.getType().getElementType()
                                << ", but its piece \"" << piece.getPattern() << "\" is stored as "
                                << piece.getStored();
  if (piece.getRows() < 1 || piece.getFirstRow() < 0 || piece.getRowStep() < 1 ||
      piece.getRowsPerExpert() < 0)
    return weight.emitOpError() << "has a piece \"" << piece.getPattern()
                                << "\" whose rows are none, below 0 or not ascending";
  if (piece.getTransposed() && piece.getSideBySide())
    return weight.emitOpError() << "has a piece \"" << piece.getPattern()
                                << "\" both transposed and side by side";
  const bool isFloat4 = isa<Float4E2M1FNType>(piece.getStored());
  if ((isFloat4 || isa<Float8E4M3FNType>(piece.getStored())) !=
      static_cast<bool>(piece.getScales()))
    return weight.emitOpError() << "has a piece \"" << piece.getPattern() << "\" of "
                                << piece.getStored() << " with" << (piece.getScales() ? "" : "out")
                                << " scales, which codes have and floats have not";
  if (ScalesAttr scales = piece.getScales();
      isFloat4 && (scales.getRows() != 1 || scales.getColumns() != 32))
    return weight.emitOpError() << "has a piece \"" << piece.getPattern() << "\" of "
                                << piece.getStored() << " with a scale for each "
                                << scales.getRows() << " x " << scales.getColumns()
                                << ", wanted 1 x 32";
  return success();
}

LogicalResult WeightOp::verify() {
  if (failed(verifyLayers(*this, getLayers())))
    return failure();
  for (PieceAttr piece : getPieces().getAsRange<PieceAttr>())
    if (failed(verifyPiece(*this, piece)))
      return failure();
  ArrayRef<int64_t> shape = getType().getShape();
  if (shape.empty() || shape.size() > 3)
    return emitOpError() << "has rank " << shape.size()
                         << ", but a weight has rank 1, 2 or 3 (experts first)";
  if (getHeads() && !isStack())
    return emitOpError() << "has heads, but rank " << shape.size() << ", wanted 3";
  if (getVectors() && (!isStack() || shape.back() != 1))
    return emitOpError() << "holds vectors of experts or heads, but its shape is not that of a "
                            "column for each";
  int64_t wanted = shape.size() == 1 ? shape[0] : shape[shape.size() - 2];
  int64_t total = getNumMatrices();
  const StringRef members = getHeads() ? "heads" : "experts";
  // Those that the pieces at hand are for, and the rows that these have so far.
  int64_t first = 0, count = 0, rows = 0;
  for (PieceAttr piece : getPieces().getAsRange<PieceAttr>()) {
    if (count == 0 || (rows == wanted && piece.getFirstExpert() == first + count)) {
      first += count;
      count = piece.getExperts() ? piece.getExperts() : total - first;
      rows = 0;
    }
    if (piece.getFirstExpert() != first || getNumMatrices(piece) != count || count < 1 ||
        count > total - first)
      return emitOpError() << "has a piece for " << getNumMatrices(piece) << " " << members
                           << " from " << piece.getFirstExpert() << " on, of " << total
                           << ", which neither goes on with nor follows the pieces before it";
    if (piece.getSideBySide() && (!isStack() || piece.getRowsPerExpert() != 0))
      return emitOpError() << "has a piece of " << members << " side by side, which needs "
                           << members << " and excludes rows_per_expert";
    rows += piece.getRows();
  }
  if (rows != wanted)
    return emitOpError() << "needs " << wanted << " rows, but its pieces have " << rows;
  if (first + count != total)
    return emitOpError() << "has " << total << " " << members << ", but its pieces are for "
                         << first + count;
  return success();
}

/// The symbol of kind `Symbol` that `op` uses; an error and null if there is none.
template <typename Symbol>
static Symbol lookup(Operation *op, FlatSymbolRefAttr name, SymbolTableCollection &symbols) {
  auto symbol = symbols.lookupNearestSymbolFrom<Symbol>(op, name);
  if (!symbol)
    op->emitOpError() << "finds no '" << Symbol::getOperationName() << "' of the name " << name;
  return symbol;
}

std::string WeightOp::getSourceNames() {
  std::string names;
  for (auto piece : getPieces().getAsRange<PieceAttr>()) {
    StringRef pattern = piece.getPattern();
    pattern.consume_back(".weight");
    names += (names.empty() ? "" : ", ") + pattern.substr(pattern.rfind('.') + 1).str();
  }
  return names;
}

LogicalResult LoadWeightOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto weight = lookup<WeightOp>(*this, getWeightAttr(), symbols);
  if (!weight)
    return failure();
  if (weight.getType() != getType())
    return emitOpError() << "is of type " << getType() << ", but " << getWeightAttr() << " holds "
                         << weight.getType();
  if (weight.getLayers().empty() == static_cast<bool>(getLayer()))
    return emitOpError() << (getLayer() ? "names a layer, but " : "names no layer, but ")
                         << getWeightAttr()
                         << (getLayer() ? " belongs to none" : " has one tensor per layer");
  if (!weight.getHeads() && llvm::any_of((*this)->getUsers(), llvm::IsaPred<HeadLinearOp>))
    return emitOpError() << "is multiplied head by head, but " << getWeightAttr()
                         << " has no heads";
  return success();
}

LogicalResult CacheAppendOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto cache = lookup<CacheOp>(*this, getCacheAttr(), symbols);
  if (!cache)
    return failure();
  const int64_t heads = cache.getHeads();
  if (failed(verifyExtents(*this, "columns of the keys", extentOf(getKeys(), 1),
                           "elements of the cache's heads",
                           heads * static_cast<int64_t>(cache.getSize()))))
    return failure();
  if (cache.getLatent() != !getValues())
    return emitOpError() << (getValues() ? "has" : "has no") << " values for the cache, which is "
                         << (cache.getLatent() ? "latent" : "not latent");
  return getValues() ? verifyExtents(*this, "columns of the values", extentOf(getValues(), 1),
                                     "elements of the cache's heads", heads * cache.getValueSize())
                     : success();
}

LogicalResult ChooseKeysOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto cache = lookup<CacheOp>(*this, getCacheAttr(), symbols);
  if (!cache)
    return failure();
  if (cache.getHeads() != 1 || !cache.getLatent() || cache.getIndexed())
    return emitOpError("compares with a cache that is not one of one head of keys alone");
  if (cache.getWindow() > 0 || cache.getChunk() > 0)
    return emitOpError("compares with all positions, but its cache has a window or chunks and "
                       "keeps the latest alone");
  const int64_t size = cache.getSize();
  return verifyExtents(*this, "columns of the queries", extentOf(getQueries(), 1),
                       "elements of the heads", extentOf(getWeights(), 1) * size);
}

LogicalResult AttentionOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto cache = lookup<CacheOp>(*this, getCacheAttr(), symbols);
  if (!cache)
    return failure();
  Type element = cast<ShapedType>(getQueries().getType()).getElementType();
  if (!element.isF32() && element != cache.getElement())
    return emitOpError() << "has queries of " << element
                         << ", neither f32 nor what the cache holds, " << cache.getElement();
  int64_t width = extentOf(getQueries(), 1);
  if (width % static_cast<int64_t>(cache.getHeads() * cache.getSize()) != 0)
    return emitOpError() << "columns of the queries are " << width
                         << ", which is no multiple of the cache's " << cache.getHeads()
                         << " heads of " << cache.getSize();
  if (cache.getIndexed() != bool(getChosen()))
    return emitOpError() << (getChosen() ? "chooses from a cache that is not indexed"
                                         : "reads all of a cache that is indexed");
  const int64_t heads = width / static_cast<int64_t>(cache.getSize());
  if (getSinks() && failed(verifyExtents(*this, "entries of the sinks", extentOf(getSinks(), 0),
                                         "heads of the queries", heads)))
    return failure();
  return verifyExtents(*this, "columns of the result", extentOf(getOut(), 1),
                       "elements of the heads' values", heads * cache.getValueSize());
}

/// What the ops on pieces ask of the cache that they name; null after a report.
static CacheOp verifyPieces(Operation *op, FlatSymbolRefAttr name, int64_t piece,
                            SymbolTableCollection &symbols) {
  constexpr int64_t kPieceStep = 64; // positions; no step of the kernels straddles it
  auto cache = lookup<CacheOp>(op, name, symbols);
  if (!cache)
    return {};
  if (!cache.getElement().isBF16() || !cache.getRows() || cache.getIndexed()) {
    op->emitOpError("is to a cache that is not of bf16 in rows, or is indexed");
    return {};
  }
  if (piece % kPieceStep != 0 || !llvm::isPowerOf2_64(static_cast<uint64_t>(piece))) {
    op->emitOpError() << "has pieces of " << piece << " positions, no power of two from "
                      << kPieceStep << " on";
    return {};
  }
  return cache;
}

/// How many query heads there are; 0 after a report.
static int64_t verifyQueries(Operation *op, Value queries, CacheOp cache) {
  const int64_t width = extentOf(queries, 1), size = cache.getSize(), heads = cache.getHeads();
  if (getElementTypeOrSelf(queries) == cache.getElement() && width > 0 &&
      width % (heads * size) == 0)
    return width / size;
  op->emitOpError() << "has queries of " << width << " " << getElementTypeOrSelf(queries)
                    << ", wanted bf16 for a multiple of the cache's " << heads << " heads of "
                    << size;
  return 0;
}

static LogicalResult verifySinks(Operation *op, Value sinks, int64_t heads) {
  return sinks ? verifyExtents(op, "entries of the sinks", extentOf(sinks, 0),
                               "heads of the queries", heads)
               : success();
}

LogicalResult AttendTilesOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto cache = verifyPieces(*this, getCacheAttr(), static_cast<int64_t>(getPiece()), symbols);
  const int64_t heads = cache ? verifyQueries(*this, getQueries(), cache) : 0;
  if (heads == 0 || failed(verifySinks(*this, getSinks(), heads)))
    return failure();
  for (Value buffer : {getOut(), getRoom()})
    if (failed(verifyExtents(*this, "columns of a result", extentOf(buffer, 1),
                             "elements of the heads' values", heads * cache.getValueSize())))
      return failure();
  return success();
}

LogicalResult AttendPiecesOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto cache = verifyPieces(*this, getCacheAttr(), static_cast<int64_t>(getPiece()), symbols);
  const int64_t heads = cache ? verifyQueries(*this, getQueries(), cache) : 0;
  if (heads == 0)
    return failure();
  return verifyExtents(
      *this, "columns of the parts", extentOf(getParts(), 1), "elements of the heads' pieces",
      heads * static_cast<int64_t>(getPieces()) * (cache.getValueSize() + kPieceNumbers));
}

LogicalResult JoinPiecesOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto cache = verifyPieces(*this, getCacheAttr(), static_cast<int64_t>(getPiece()), symbols);
  if (!cache)
    return failure();
  const int64_t width = extentOf(getOut(), 1), heads = width / cache.getValueSize();
  if (failed(verifyExtents(*this, "columns of the result", width, "elements of the heads' values",
                           heads * cache.getValueSize())) ||
      failed(verifySinks(*this, getSinks(), heads)))
    return failure();
  return verifyExtents(
      *this, "columns of the parts", extentOf(getParts(), 1), "elements of the heads' pieces",
      heads * static_cast<int64_t>(getPieces()) * (cache.getValueSize() + kPieceNumbers));
}

OpFoldResult LayerKindOp::fold(FoldAdaptor adaptor) {
  ArrayRef<int64_t> kinds = getKinds();
  if (llvm::all_equal(kinds) && !kinds.empty())
    return IntegerAttr::get(getType(), kinds.front());
  if (auto layer = dyn_cast_or_null<IntegerAttr>(adaptor.getLayer()))
    if (layer.getInt() >= 0 && layer.getInt() < static_cast<int64_t>(kinds.size()))
      return IntegerAttr::get(getType(), kinds[layer.getInt()]);
  return {};
}

/// That rows of `columns` can be cut into equal parts.
static LogicalResult verifyHeads(Operation *op, int64_t columns, int64_t heads) {
  if (columns % heads == 0)
    return success();
  return op->emitOpError() << "cannot cut " << columns << " columns into " << heads << " heads";
}

LogicalResult EmbeddingOp::verify() {
  return verifyExtents(*this, "columns of the table", extentOf(getTable(), 1),
                       "columns of the result", extentOf(getOut(), 1));
}

LogicalResult RmsNormOp::verify() {
  int64_t columns = extentOf(getInput(), 1), heads = getHeads();
  if (failed(verifyExtents(*this, "columns of the input", columns, "columns of the result",
                           extentOf(getOut(), 1))))
    return failure();
  if (failed(verifyHeads(*this, columns, heads)))
    return failure();
  return getWeight() ? verifyExtents(*this, "elements of the weight", extentOf(getWeight(), 0),
                                     "columns of a head", columns / heads)
                     : success();
}

LogicalResult LayerNormOp::verify() {
  const int64_t columns = extentOf(getInput(), 1);
  for (Value weight : {getWeight(), getBias()})
    if (failed(verifyExtents(*this, "elements of weight or bias", extentOf(weight, 0),
                             "columns of the input", columns)))
      return failure();
  return verifyExtents(*this, "columns of the input", columns, "columns of the result",
                       extentOf(getOut(), 1));
}

LogicalResult ChooseKeysOp::verify() {
  if (extentOf(getOut(), 1) < 2)
    return emitOpError("has no room for a position behind their number");
  if (extentOf(getWeights(), 1) < 1)
    return emitOpError("has no heads");
  if (static_cast<int64_t>(getContext()) > kMostScored)
    return emitOpError() << "chooses among " << getContext() << " positions, more than the "
                         << kMostScored << " that it can";
  return success();
}

LogicalResult LinearOp::verify() {
  if (failed(verifyProductInput(*this, "columns of the weight", extentOf(getWeight(), 1),
                                "columns of the input", getInput())))
    return failure();
  if (getBias() && failed(verifyExtents(*this, "elements of the bias", extentOf(getBias(), 0),
                                        "rows of the weight", extentOf(getWeight(), 0))))
    return failure();
  return verifyExtents(*this, "rows of the weight", extentOf(getWeight(), 0),
                       "columns of the result", extentOf(getOut(), 1));
}

/// Input and result of an op that works element by element.
template <typename Op> static LogicalResult verifyElementwise(Op op, Value input) {
  return verifyExtents(op, "columns of the input", extentOf(input, 1), "columns of the result",
                       extentOf(op.getOut(), 1));
}

LogicalResult ClampOp::verify() { return verifyElementwise(*this, getInput()); }
LogicalResult RoundOp::verify() { return verifyElementwise(*this, getInput()); }
LogicalResult TemperatureOp::verify() { return verifyElementwise(*this, getInput()); }
LogicalResult SelectRowsOp::verify() { return verifyElementwise(*this, getInput()); }

LogicalResult QuantizeOp::verify() {
  if (getBlock() % kBlockStep != 0)
    return emitOpError() << "has blocks of " << getBlock() << " elements, no multiple of "
                         << kBlockStep;
  return verifyExtents(*this, "columns of the result", extentOf(getOut(), 1),
                       "bytes of the input's blocks",
                       quantizedColumns(extentOf(getInput(), 1), getBlock()));
}

LogicalResult AddOp::verify() {
  if (failed(verifyElementwise(*this, getLeft())))
    return failure();
  return verifyExtents(*this, "columns of the right", extentOf(getRight(), 1),
                       "columns of the left", extentOf(getLeft(), 1));
}

LogicalResult ScaleRowsOp::verify() {
  if (failed(verifyElementwise(*this, getInput())))
    return failure();
  return verifyExtents(*this, "columns of the gate", extentOf(getGate(), 1), "gates of a row", 1);
}

LogicalResult RopeTableOp::verify() {
  int64_t count = getFrequencies().size();
  if (failed(verifyExtents(*this, "columns of the cosines", extentOf(getCosines(), 1),
                           "frequencies", count)))
    return failure();
  return verifyExtents(*this, "columns of the sines", extentOf(getSines(), 1), "frequencies",
                       count);
}

LogicalResult RopeOp::verify() {
  if (failed(verifyElementwise(*this, getInput())))
    return failure();
  int64_t columns = extentOf(getInput(), 1), heads = getHeads(), pairs = extentOf(getCosines(), 1);
  if (failed(verifyHeads(*this, columns, heads)))
    return failure();
  const int64_t first = getFirst();
  if (first + 2 * pairs > columns / heads)
    return emitOpError() << "rotates " << 2 * pairs << " entries from " << first
                         << " on of a head of " << columns / heads;
  return verifyExtents(*this, "columns of the sines", extentOf(getSines(), 1),
                       "columns of the cosines", pairs);
}

// Its cache says what else fits, see verifySymbolUses.
LogicalResult AttentionOp::verify() {
  if (extentOf(getQueries(), 1) < 1)
    return emitOpError("has no query heads");
  if (getChosen() && extentOf(getChosen(), 1) < 2)
    return emitOpError("is to what has no room for a position behind their number");
  return success();
}

LogicalResult AttendTilesOp::verify() { return success(); }
LogicalResult AttendPiecesOp::verify() { return success(); }
LogicalResult JoinPiecesOp::verify() { return success(); }

LogicalResult SliceHeadsOp::verify() {
  const int64_t heads = getHeads(), from = extentOf(getInput(), 1), to = extentOf(getOut(), 1);
  if (failed(verifyHeads(*this, from, heads)) || failed(verifyHeads(*this, to, heads)))
    return failure();
  const int64_t first = getFirst();
  if (first + to / heads > from / heads)
    return emitOpError() << "takes " << to / heads << " entries from " << first
                         << " on of a head of " << from / heads;
  return success();
}

LogicalResult JoinHeadsOp::verify() {
  const int64_t heads = getHeads(), left = extentOf(getLeft(), 1), all = extentOf(getOut(), 1);
  if (failed(verifyHeads(*this, left, heads)) || failed(verifyHeads(*this, all, heads)))
    return failure();
  const int64_t right = extentOf(getRight(), 1), wanted = (all - left) / heads;
  if (right == wanted || right == heads * wanted)
    return success();
  return emitOpError() << "has " << right << " columns to the right, wanted " << wanted
                       << ", for all heads, or " << heads << " times as many";
}

LogicalResult HeadLinearOp::verify() {
  const int64_t heads = extentOf(getWeight(), 0);
  if (failed(verifyExtents(*this, "columns of the input", extentOf(getInput(), 1),
                           "columns of all matrices", heads * extentOf(getWeight(), 2))))
    return failure();
  return verifyExtents(*this, "columns of the result", extentOf(getOut(), 1),
                       "rows of all matrices", heads * extentOf(getWeight(), 1));
}

LogicalResult RunPartOp::verify() {
  const auto count = static_cast<int64_t>(getInputs().size()) + 1;
  if (count > kMostRows)
    return emitOpError() << "gives " << count << " buffers with that for the result, wanted "
                         << kMostRows << " at most";
  return success();
}

LogicalResult PartRowsOp::verify() {
  const auto number = static_cast<int64_t>(getNumber());
  auto type = dyn_cast<ShapedType>(getRows().getType());
  if (!type.hasRank() || type.getRank() != 2 || !type.isDynamicDim(0) || type.isDynamicDim(1))
    return emitOpError() << "is of type " << type << ", wanted rows of a fixed number of columns";
  if (number >= RunPartOp::kMostRows)
    return emitOpError() << "is buffer number " << number << " of a part, which has "
                         << RunPartOp::kMostRows << " at most";
  return success();
}

/// How many rows there are is the batch's count.
static LogicalResult foldExtent(ShapedDimOpInterface extent, PatternRewriter &rewriter) {
  auto rows = extent.getShapedValue().getDefiningOp<PartRowsOp>();
  if (!rows || getConstantIntValue(extent.getDimension()) != 0)
    return rewriter.notifyMatchFailure(extent, "is not of the rows of a part");
  rewriter.replaceOpWithNewOp<TokenCountOp>(extent, rewriter.getIndexType(), rows.getBatch());
  return success();
}

void PartRowsOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  struct FoldExtent final : OpInterfaceRewritePattern<ShapedDimOpInterface> {
    using OpInterfaceRewritePattern::OpInterfaceRewritePattern;
    LogicalResult matchAndRewrite(ShapedDimOpInterface extent,
                                  PatternRewriter &rewriter) const override {
      return foldExtent(extent, rewriter);
    }
  };
  patterns.add<FoldExtent>(context);
}

LogicalResult PhaseOp::verifyRegions() {
  Block &block = getBody().front();
  if (block.getNumArguments() != 1 || !block.getArgument(0).getType().isIndex())
    return emitOpError("needs a body of one argument, the tile, of type index");
  int64_t ops = llvm::count_if(block, llvm::IsaPred<DestinationStyleOpInterface>);
  if (getPanels() > 0 && ops > 1) // none once it is lowered
    return emitOpError() << "holds " << ops << " ops with results; cut into panels it holds one";
  return success();
}
