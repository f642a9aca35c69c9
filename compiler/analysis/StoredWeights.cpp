// Compares how weights are stored with how they are packed.

#include "compiler/analysis/StoredWeights.h"

#include "llvm/ADT/MapVector.h"
#include "llvm/Support/raw_ostream.h"

#include <map>

using namespace mlir;
using namespace moec;

bool moec::isStoredAsCodes(lm::WeightOp weight) {
  return isa<Float8E4M3FNType, Float4E2M1FNType>(weight.getType().getElementType());
}

/// Whether all rows of a weight of fp8 that lie in the same lanes' vector of a panel have the same
/// scales.
static bool sharesScales(lm::WeightOp weight) {
  auto isWhole = [](int64_t rows) { return rows % kPanelLanes == 0; };
  int64_t begin = 0; // in the matrix
  for (auto piece : weight.getPieces().getAsRange<lm::PieceAttr>()) {
    const lm::ScalesAttr scales = piece.getScales();
    const bool isStacked =
        weight.getNumMatrices(piece) > 1 && !piece.getSideBySide() && !piece.getTransposed();
    const int64_t block = piece.getTransposed() ? scales.getColumns() : scales.getRows();
    if (!isWhole(begin) || (block != 0 && (!isWhole(block) || !isWhole(piece.getFirstRow()) ||
                                           piece.getRowStep() != 1 ||
                                           (isStacked && !isWhole(piece.getRowsPerExpert())))))
      return false;
    begin += piece.getRows();
  }
  return true;
}

std::optional<QuantFormat> moec::storedFormatOf(lm::WeightOp weight) {
  if (!isStoredAsCodes(weight))
    return std::nullopt;
  const QuantFormat format = isa<Float4E2M1FNType>(weight.getType().getElementType())
                                 ? QuantFormat::Mxfp4
                                 : QuantFormat::Fp8;
  const int64_t depth = weight.getType().getShape().back();
  for (auto piece : weight.getPieces().getAsRange<lm::PieceAttr>()) {
    // What the weight has in a row lies in stored rows, or columns; those of a second expert may
    // begin within what has one scale.
    const int64_t next = piece.getSideBySide()   ? depth
                         : piece.getTransposed() ? piece.getRowsPerExpert()
                                                 : 0;
    lm::ScalesAttr scales = piece.getScales();
    if (!quantKeepsScales(format, piece.getTransposed() ? scales.getRows() : scales.getColumns(),
                          weight.getNumMatrices(piece) > 1 ? next : 0))
      return std::nullopt;
  }
  return format == QuantFormat::Fp8 && sharesScales(weight) ? QuantFormat::Fp8Block : format;
}

/// The name of how a piece is stored.
static std::string storedName(lm::PieceAttr piece) {
  const Type type = piece.getStored();
  if (isa<Float4E2M1FNType>(type))
    return std::string(traitsOf(QuantFormat::Mxfp4).name);
  std::string name;
  llvm::raw_string_ostream line(name);
  const lm::ScalesAttr scales = piece.getScales();
  if (!scales)
    line << type;
  else if (scales.getRows() && scales.getColumns())
    line << "fp8 by blocks of " << scales.getRows() << " x " << scales.getColumns();
  else
    line << "fp8 by " << (scales.getRows() ? "rows" : "tensors");
  return name;
}

std::vector<StoredKind> moec::describeStored(ModuleOp module) {
  std::map<std::string, int64_t> bytesOf;
  for (auto weight : module.getOps<lm::WeightOp>()) {
    const int64_t columns = weight.getType().getShape().back();
    const bool isVector = weight.getType().getShape().size() == 1;
    for (auto piece : weight.getPieces().getAsRange<lm::PieceAttr>()) {
      const int64_t numbers = piece.getRows() * (isVector ? 1 : columns) *
                              weight.getNumMatrices(piece) * weight.getNumOrdinals();
      int64_t bits = numbers * piece.getStored().getIntOrFloatBitWidth();
      if (isa<Float4E2M1FNType>(piece.getStored()))
        bits += numbers / piece.getScales().getColumns() * 8;
      bytesOf[storedName(piece)] += bits / 8;
    }
  }
  std::vector<StoredKind> kinds;
  for (const auto &[name, bytes] : bytesOf)
    kinds.push_back({name, bytes});
  llvm::sort(kinds, [](const StoredKind &left, const StoredKind &right) {
    return std::tie(right.bytes, left.name) < std::tie(left.bytes, right.name);
  });
  return kinds;
}

std::string moec::whyNotMapped(lm::WeightOp weight) {
  if (weight.getQuantized())
    return "is to be quantized";
  std::string why;
  llvm::raw_string_ostream line(why);
  if (isStoredAsCodes(weight)) {
    line << "is stored as " << weight.getType().getElementType() << " with scales";
    return why;
  }
  if (weight.getPieces().size() != 1) {
    line << "is made of " << weight.getPieces().size() << " stored tensors";
    return why;
  }
  auto piece = cast<lm::PieceAttr>(weight.getPieces()[0]);
  if (piece.getSideBySide())
    return "has experts side by side in a stored row";
  if (piece.getTransposed())
    return "is stored transposed";
  return piece.getRowStep() != 1 ? "is every so many rows of a stored tensor" : "";
}

std::string moec::refusalToMap(StringRef why) {
  return (why + ", and mapped weights are used as they lie; use --weights=pack").str();
}

std::vector<std::string> moec::describeChangedCodes(ModuleOp module) {
  llvm::MapVector<std::pair<Type, Type>, SmallVector<StringRef>> kinds; // stored and packed
  for (auto weight : module.getOps<lm::WeightOp>()) {
    if (!isStoredAsCodes(weight) || !weight.getPacked())
      continue;
    Type element = weight.getPackedAttr().getElement();
    if (!storedFormatOf(weight) || quantFormatOf(element) != storedFormatOf(weight))
      kinds[{weight.getType().getElementType(), element}].push_back(weight.getSymName());
  }
  std::vector<std::string> lines;
  for (auto &[types, names] : kinds) {
    auto [stored, element] = types;
    llvm::raw_string_ostream line(lines.emplace_back());
    line << names.size() << " of the weights stored as "
         << (isa<Float4E2M1FNType>(stored) ? "mxfp4 " : "fp8 ");
    if (std::optional<QuantFormat> format = quantFormatOf(element))
      line << "quantized anew, to " << traitsOf(*format).name;
    else
      line << "widened to " << element << ", as scales change within a group of columns";
    line << ": " << names.front() << (names.size() > 1 ? " and others" : "");
  }
  return lines;
}
