// Matrix products, and sums of products of any shape.

#include "frontends/onnx/import/NodeImport.h"

#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace moec;

GraphValue moec::matmul(NodeImport &node, GraphValue a, GraphValue b) {
  TensorBuilder &build = node.build();
  const bool isRow = a.rank() == 1, isColumn = b.rank() == 1;
  if (isRow)
    a = build.unsqueeze(a, 0);
  if (isColumn)
    b = build.unsqueeze(b, 1);
  node.requireEqual(a.shape.back(), b.shape[b.shape.size() - 2], "columns of a and rows of b");
  if (node.failed())
    return a;
  const ArrayRef<Size> aStack = ArrayRef<Size>(a.shape).drop_back(2),
                       bStack = ArrayRef<Size>(b.shape).drop_back(2);
  std::optional<Sizes> stack = build.broadcastShape({aStack, bStack});
  if (!stack) {
    node.malformed("multiplies {} by {}", shapeText(a.shape), shapeText(b.shape));
    return a;
  }
  // Whether a size is 1 may show only when it is there.
  auto settled = [&](const GraphValue &value) {
    Sizes shape = value.shape;
    const size_t missing = stack->size() + 2 - shape.size();
    bool isSettled = true;
    for (size_t dim = 0; dim + 2 < shape.size(); ++dim)
      if (!shape[dim].is(1) && shape[dim] != (*stack)[missing + dim]) {
        shape[dim] = (*stack)[missing + dim];
        isSettled = false;
      }
    return isSettled ? value : build.broadcast(value, shape);
  };
  a = settled(a);
  b = settled(b);
  const auto rank = static_cast<int64_t>(stack->size());
  const int64_t row = rank, column = rank + 1, inner = rank + 2;
  auto loopsOf = [&](const GraphValue &value, int64_t last2, int64_t last) {
    SmallVector<int64_t> loops;
    const int64_t missing = rank + 2 - value.rank();
    for (int64_t dim = 0; dim + 2 < value.rank(); ++dim)
      loops.push_back(value.shape[dim] == (*stack)[missing + dim] ? missing + dim : -1);
    loops.push_back(last2);
    loops.push_back(last);
    return loops;
  };
  Sizes loops = *stack;
  loops.append({a.shape[a.shape.size() - 2], b.shape.back(), a.shape.back()});
  SmallVector<int64_t> resultLoops = llvm::to_vector(llvm::seq<int64_t>(0, rank + 2));
  GraphValue product =
      build.contract(a, loopsOf(a, row, inner), b, loopsOf(b, inner, column), resultLoops, loops);
  SmallVector<int64_t> dropped;
  if (isRow)
    dropped.push_back(rank);
  if (isColumn)
    dropped.push_back(rank + 1);
  return dropped.empty() ? product : build.squeeze(product, dropped);
}

static void importMatMul(NodeImport &node) {
  const GraphValue a = node.input(0), b = node.input(1);
  node.requireSameElement({a, b});
  for (const GraphValue *value : {&a, &b})
    if (value->rank() == 0)
      node.malformed("multiplies a scalar");
  if (node.failed())
    return;
  GraphValue product = matmul(node, a, b);
  if (!node.failed())
    node.result(node.build().convert(product, a.element));
}

static void importGemm(NodeImport &node) {
  const GraphValue a = node.input(0), b = node.input(1);
  node.requireSameElement(node.inputs());
  node.requireRank(a, 2, 2, "a");
  node.requireRank(b, 2, 2, "b");
  if (node.failed())
    return;
  const bool aTurned = node.integer("transA", 0) != 0, bTurned = node.integer("transB", 0) != 0;
  const float alpha = node.real("alpha", 1), beta = node.real("beta", 1);
  node.requireEqual(a.shape[aTurned ? 0 : 1], b.shape[bTurned ? 1 : 0],
                    "columns of a and rows of b");
  if (node.failed())
    return;
  TensorBuilder &build = node.build();
  const Sizes loops{a.shape[aTurned ? 1 : 0], b.shape[bTurned ? 0 : 1], a.shape[aTurned ? 0 : 1]};
  const int64_t aLoops[] = {aTurned ? 2 : 0, aTurned ? 0 : 2},
                bLoops[] = {bTurned ? 1 : 2, bTurned ? 2 : 1};
  GraphValue result = build.contract(a, aLoops, b, bLoops, {0, 1}, loops);
  auto scaled = [&](const GraphValue &value, float by) {
    return by == 1 ? value
                   : build.map(value.element, value, [&](ElementBuilder &make, ValueRange x) {
                       return make.mul(x[0], make.number(x[0], by));
                     });
  };
  result = scaled(result, alpha);
  if (node.has(2) && beta != 0) {
    Sizes shape = node.broadcastShape({result, node.input(2)});
    if (!node.failed() && shape != result.shape)
      node.malformed("adds {} to a product of {}", shapeText(node.input(2).shape),
                     shapeText(result.shape));
    if (node.failed())
      return;
    result = build.add(result, build.convert(scaled(node.input(2), beta), result.element));
  }
  node.result(build.convert(result, a.element));
}

namespace {
/// An operand of an equation: a letter for each of its dimensions.
struct Subscripts {
  std::string letters;
};

class EinsumImport {
public:
  explicit EinsumImport(NodeImport &node) : node(node), build(node.build()) {}
  void run();

private:
  bool parse();
  bool addOperand(StringRef text, const GraphValue &value);
  std::optional<std::string> expand(StringRef text, int64_t rank);
  GraphValue diagonal(const GraphValue &value, std::string &letters);
  GraphValue sumAbsent(const GraphValue &value, std::string &letters, StringRef kept);
  GraphValue arranged(const GraphValue &value, StringRef letters);

  NodeImport &node;
  TensorBuilder &build;
  std::vector<GraphValue> values;
  std::vector<std::string> subscripts;
  std::string result;
  int64_t dotted = 0; ///< dimensions that an ellipsis stands for
};
} // namespace

/// Letters of the ellipsis are numbers, counted from its end.
static char dottedLetter(int64_t fromEnd) { return static_cast<char>(1 + fromEnd); }

std::optional<std::string> EinsumImport::expand(StringRef text, int64_t rank) {
  std::string letters;
  const auto plain =
      static_cast<int64_t>(text.size()) - 3 * static_cast<int64_t>(text.count("..."));
  for (size_t place = 0; place < text.size(); ++place) {
    if (text.substr(place).starts_with("...")) {
      const int64_t count = rank - plain;
      if (count < 0 || count > 20 || text.count("...") != 1)
        return std::nullopt;
      for (int64_t dim = count; dim-- > 0;)
        letters += dottedLetter(dim);
      dotted = std::max(dotted, count);
      place += 2;
    } else if (llvm::isAlpha(text[place])) {
      letters += text[place];
    } else {
      return std::nullopt;
    }
  }
  if (static_cast<int64_t>(letters.size()) != rank)
    return std::nullopt;
  return letters;
}

bool EinsumImport::parse() {
  std::string equation = node.text("equation", "");
  llvm::erase(equation, ' ');
  auto [left, right] = StringRef(equation).split("->");
  SmallVector<StringRef> operands;
  left.split(operands, ',');
  values = node.inputs();
  if (operands.size() != values.size()) {
    node.malformed("`equation` '{}' is for {} operands, and it has {}", shownName(equation),
                   operands.size(), values.size());
    return false;
  }
  for (auto [text, value] : llvm::zip_equal(operands, values)) {
    std::optional<std::string> letters = expand(text, value.rank());
    if (!letters) {
      node.malformed("'{}' of `equation` is not for {}", shownName(std::string_view(text)),
                     shapeText(value.shape));
      return false;
    }
    subscripts.push_back(std::move(*letters));
  }
  if (equation.find("->") != std::string::npos) {
    const auto plain =
        static_cast<int64_t>(right.size()) - 3 * static_cast<int64_t>(right.count("..."));
    std::optional<std::string> letters =
        expand(right, plain + (right.contains("...") ? dotted : 0));
    if (!letters) {
      node.malformed("'{}' of `equation` is no result", shownName(std::string_view(right)));
      return false;
    }
    result = std::move(*letters);
    return true;
  }
  // By default, what occurs once, by the alphabet.
  for (int64_t dim = dotted; dim-- > 0;)
    result += dottedLetter(dim);
  std::string all;
  for (const std::string &letters : subscripts)
    all += letters;
  std::string once;
  for (char letter : all)
    if (llvm::isAlpha(letter) && std::count(all.begin(), all.end(), letter) == 1)
      once += letter;
  llvm::sort(once);
  result += once;
  return true;
}

/// Of letters that occur twice, the elements where both indices are one.
GraphValue EinsumImport::diagonal(const GraphValue &value, std::string &letters) {
  std::string kept;
  Sizes shape;
  for (auto [dim, letter] : llvm::enumerate(letters))
    if (kept.find(letter) == std::string::npos) {
      kept += letter;
      shape.push_back(value.shape[dim]);
    } else {
      node.requireEqual(shape[kept.find(letter)], value.shape[dim], "sizes of one letter");
    }
  if (kept == letters || node.failed())
    return value;
  Value tensor = build.tensorOf(value);
  GraphValue made =
      build.build(value.element, shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
        SmallVector<Value> from;
        for (char letter : letters)
          from.push_back(place[kept.find(letter)]);
        return TensorBuilder::extract(make, tensor, from);
      });
  letters = kept;
  return made;
}

/// Sums over letters that nobody else has.
GraphValue EinsumImport::sumAbsent(const GraphValue &value, std::string &letters, StringRef kept) {
  SmallVector<int64_t> dims;
  std::string rest;
  for (auto [dim, letter] : llvm::enumerate(letters))
    if (kept.contains(letter))
      rest += letter;
    else
      dims.push_back(static_cast<int64_t>(dim));
  letters = rest;
  return dims.empty() ? value : build.sum(value, dims);
}

void EinsumImport::run() {
  node.requireSameElement(node.inputs());
  if (node.failed() || !parse())
    return;
  const ElementType element = values[0].element;
  for (auto [value, letters] : llvm::zip_equal(values, subscripts))
    value = diagonal(value, letters);
  if (node.failed())
    return;
  // From left to right, two operands at a time.
  GraphValue all = values[0];
  std::string letters = subscripts[0];
  for (size_t next = 1; next < values.size(); ++next) {
    std::string later = result;
    for (size_t other = next + 1; other < values.size(); ++other)
      later += subscripts[other];
    std::string kept = later + subscripts[next];
    all = sumAbsent(all, letters, kept);
    std::string loops, made;
    Sizes sizes;
    const std::string &its = subscripts[next];
    for (auto [letter, from] : llvm::concat<std::pair<char, Size>>(
             llvm::to_vector(llvm::map_range(
                 llvm::zip_equal(letters, all.shape),
                 [](auto pair) { return std::pair(std::get<0>(pair), std::get<1>(pair)); })),
             llvm::to_vector(
                 llvm::map_range(llvm::zip_equal(its, values[next].shape), [](auto pair) {
                   return std::pair(std::get<0>(pair), std::get<1>(pair));
                 })))) {
      const size_t place = loops.find(letter);
      if (place == std::string::npos) {
        loops += letter;
        sizes.push_back(from);
      } else if (sizes[place].is(1)) {
        sizes[place] = from;
      } else if (!from.is(1)) {
        node.requireEqual(sizes[place], from, "sizes of one letter");
      }
    }
    if (node.failed())
      return;
    auto loopsOf = [&](StringRef of, const GraphValue &value) {
      SmallVector<int64_t> result;
      for (auto [dim, letter] : llvm::enumerate(of)) {
        const size_t loop = loops.find(letter);
        result.push_back(value.shape[dim].is(1) && !sizes[loop].is(1) ? -1
                                                                      : static_cast<int64_t>(loop));
      }
      return result;
    };
    SmallVector<int64_t> resultLoops;
    for (char letter : loops)
      if (later.find(letter) != std::string::npos)
        made += letter;
    // The last product has the result's order at once.
    if (next + 1 == values.size() && made.size() == result.size())
      made = result;
    for (char letter : made) {
      const size_t loop = loops.find(letter);
      if (loop == std::string::npos)
        return node.malformed("the result has a letter that no operand has");
      resultLoops.push_back(static_cast<int64_t>(loop));
    }
    all = build.contract(build.convert(all, values[next].element), loopsOf(letters, all),
                         values[next], loopsOf(its, values[next]), resultLoops, sizes);
    letters = made;
  }
  all = sumAbsent(all, letters, result);
  if (letters.size() != result.size())
    return node.malformed("the result has a letter that no operand has");
  SmallVector<int64_t> order;
  for (char letter : result) {
    const size_t dim = letters.find(letter);
    if (dim == std::string::npos)
      return node.malformed("the result has a letter that no operand has");
    order.push_back(static_cast<int64_t>(dim));
  }
  node.dims(order, all.rank(), "the result");
  if (!node.failed())
    node.result(build.convert(build.transpose(all, order), element));
}

static void importEinsum(NodeImport &node) { EinsumImport(node).run(); }

llvm::ArrayRef<OpRule> moec::productOps() {
  static const OpRule rules[] = {
      {"", "MatMul", {{9, "", 2, 2}}, importMatMul},
      {"", "Gemm", {{11, "alpha:f beta:f transA:i transB:i", 2, 3}}, importGemm},
      {"", "Einsum", {{12, "equation:s", 1, kAny}}, importEinsum},
  };
  return rules;
}
