// Branches and loops: graphs in nodes become regions.

#include "frontends/onnx/import/GraphImporter.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace moec;
using SizeOp = SizeTable::Operation;

namespace {
/// Sends what is imported into a region of its own, until it ends.
class InRegion {
public:
  InRegion(TensorBuilder &build, Block *block)
      : guard(build.ops()), scope(build.sizeTable()), first(build.sizeTable().count()) {
    build.ops().setInsertionPointToEnd(block);
  }
  /// The number of unknowns outside.
  size_t outside() const { return first; }

private:
  OpBuilder::InsertionGuard guard;
  SizeTable::Scope scope;
  size_t first;
};
} // namespace

/// Whether it has a meaning where only the first `outside` unknowns are.
static bool isOutside(const Size &size, size_t outside) {
  return llvm::all_of(size.parts(), [&](const Size::Term &term) {
    return llvm::all_of(term.unknowns, [&](uint32_t unknown) { return unknown < outside; });
  });
}

/// Results of a region op, of which some sizes show only afterwards; these are marked by a size of
/// -1 in `shape`.
static GraphValue resultOf(TensorBuilder &build, Value tensor, ElementType element, Sizes shape,
                           ArrayRef<std::optional<Size>> bounds) {
  for (auto [dim, size] : llvm::enumerate(shape))
    if (size.is(-1))
      size = build.sizeTable().addOfData(
          tensor::DimOp::create(build.ops(), build.where(), tensor, static_cast<int64_t>(dim)),
          /*isNegativePossible=*/false, bounds.empty() ? std::nullopt : bounds[dim]);
  return build.ofTensor(tensor, element, std::move(shape));
}

static RankedTensorType openType(TensorBuilder &build, ElementType element, ArrayRef<Size> shape) {
  SmallVector<int64_t> sizes;
  for (const Size &size : shape)
    sizes.push_back(size.isKnown() && size.value() >= 0 ? size.value() : ShapedType::kDynamic);
  return RankedTensorType::get(sizes, build.typeOf(element));
}

static Value castTo(TensorBuilder &build, Value tensor, RankedTensorType type) {
  if (tensor.getType() == type)
    return tensor;
  return tensor::CastOp::create(build.ops(), build.where(), type, tensor);
}

/// The outputs of a graph that was imported.
static std::vector<GraphValue> outputsOf(GraphImporter &importer, const OnnxGraph &graph) {
  std::vector<GraphValue> values;
  for (const OnnxOutput &output : graph.outputs)
    values.push_back(importer.value(output.value));
  return values;
}

// If

static void importIf(NodeImport &node) {
  TensorBuilder &build = node.build();
  GraphImporter &importer = node.owner();
  const OnnxGraph *graphs[] = {node.graph("then_branch"), node.graph("else_branch")};
  const GraphValue condition = node.input(0);
  if (!graphs[0] || !graphs[1])
    return node.malformed("has only one branch");
  if (!isBool(condition.element) || !productOf(condition.shape).is(1))
    return node.malformed("its condition is {} of {}, wanted one of BOOL",
                          shapeText(condition.shape), elementTypeName(condition.element));
  for (const OnnxGraph *graph : graphs)
    if (graph->outputs.size() != node.outputCount() || !graph->inputs.empty())
      return node.malformed("a branch has {} outputs and {} inputs, wanted {} and none",
                            graph->outputs.size(), graph->inputs.size(), node.outputCount());
  Location location = build.where();
  if (condition.isKnown()) {
    const OnnxGraph &taken = *graphs[condition.elements->front().is(0) ? 1 : 0];
    if (Status status = importer.importNodes(taken); !status.ok())
      return node.keep(std::move(status));
    for (auto [place, value] : llvm::enumerate(outputsOf(importer, taken)))
      node.result(std::move(value), place);
    return;
  }
  ElementBuilder make(build.ops(), location);
  Value truth = TensorBuilder::extract(make, build.tensorOf(build.reshape(condition, {})), {});
  Region regions[2];
  std::vector<GraphValue> made[2];
  size_t outside = build.sizeTable().count();
  for (int branch : {0, 1}) {
    Block *block = new Block;
    regions[branch].push_back(block);
    InRegion inside(build, block);
    if (Status status = importer.importNodes(*graphs[branch]); !status.ok())
      return node.keep(std::move(status));
    build.setLocation(location);
    made[branch] = outputsOf(importer, *graphs[branch]);
    for (GraphValue &value : made[branch])
      value.tensor = build.tensorOf(value);
  }
  SmallVector<Type> types;
  std::vector<Sizes> shapes;
  std::vector<SmallVector<std::optional<Size>>> bounds;
  for (auto [yes, no] : llvm::zip_equal(made[0], made[1])) {
    if (yes.element != no.element || yes.rank() != no.rank())
      return node.unsupported("its branches give {} of {} and {} of {}", shapeText(yes.shape),
                              elementTypeName(yes.element), shapeText(no.shape),
                              elementTypeName(no.element));
    Sizes shape;
    auto &most = bounds.emplace_back();
    for (auto [a, b] : llvm::zip_equal(yes.shape, no.shape)) {
      const bool isSame = a == b && isOutside(a, outside);
      shape.push_back(isSame ? a : Size(-1));
      std::optional<Size> first = build.sizeTable().bound(a), second = build.sizeTable().bound(b);
      const bool haveBounds =
          first && second && isOutside(*first, outside) && isOutside(*second, outside);
      most.push_back(haveBounds ? std::optional(build.maxOf(*first, *second)) : std::nullopt);
    }
    types.push_back(openType(build, yes.element, shape));
    shapes.push_back(std::move(shape));
  }
  for (int branch : {0, 1}) {
    InRegion inside(build, &regions[branch].front());
    SmallVector<Value> yields;
    for (auto [value, type] : llvm::zip_equal(made[branch], types))
      yields.push_back(castTo(build, value.tensor, cast<RankedTensorType>(type)));
    scf::YieldOp::create(build.ops(), location, yields);
  }
  auto choice = scf::IfOp::create(build.ops(), location, types, truth, /*withElseRegion=*/true);
  choice.getThenRegion().takeBody(regions[0]);
  choice.getElseRegion().takeBody(regions[1]);
  for (auto [place, result] : llvm::enumerate(choice.getResults()))
    node.result(resultOf(build, result, made[0][place].element, shapes[place], bounds[place]),
                place);
}

// Loop

namespace {
/// A loop whose carried tensors keep their shapes, which are widened until they do.
class LoopImport {
public:
  explicit LoopImport(NodeImport &node)
      : node(node), build(node.build()), importer(node.owner()), body(node.graph("body")) {}
  void run();

private:
  bool check();
  /// Imports the body into a block: number, condition, carried and collected in and out. Gives
  /// false where a carried shape had to be widened.
  bool importBody(Region &region);
  void addStarts(SmallVectorImpl<Value> &starts);
  void finishCounted(Region &region);
  void finishConditional(Region &region);
  void give(ValueRange results, const std::optional<Size> &rounds);
  SmallVector<Type> carriedTypes() const;

  NodeImport &node;
  TensorBuilder &build;
  GraphImporter &importer;
  const OnnxGraph *body;
  size_t numCarried = 0, numCollected = 0;
  std::vector<GraphValue> initial;
  std::vector<Sizes> shapes;         ///< of carried tensors; -1: changes
  std::vector<GraphValue> collected; ///< of a single round
  std::optional<Size> most;          ///< rounds; none: as long as the condition holds
  std::optional<GraphValue> condition;
  bool isCounted = false; ///< no round decides that it is the last
  Value goesOn;           ///< at the end of a round, otherwise
  SmallVector<Value> yields;
};
} // namespace

bool LoopImport::check() {
  if (!body)
    node.malformed("has no body");
  else if (body->inputs.size() < 2 || body->inputs.size() != node.inputCount())
    node.malformed("its body has {} inputs, and it {}", body->inputs.size(), node.inputCount());
  if (node.failed())
    return false;
  numCarried = body->inputs.size() - 2;
  if (body->outputs.size() < numCarried + 1 || body->outputs.size() - 1 != node.outputCount()) {
    node.malformed("its body has {} outputs, and it {}", body->outputs.size(), node.outputCount());
    return false;
  }
  numCollected = body->outputs.size() - 1 - numCarried;
  for (size_t place = 0; place < numCarried; ++place) {
    if (!node.has(2 + place)) {
      node.malformed("leaves out input {}", 2 + place);
      return false;
    }
    initial.push_back(node.input(2 + place));
    shapes.push_back(initial.back().shape);
  }
  if (node.has(0)) {
    std::optional<SmallVector<Size, 1>> numbers = node.numbers(0, "the number of rounds");
    if (!numbers)
      return false;
    most = build.maxOf(numbers->front(), Size(0));
  }
  if (node.has(1) && !(node.input(1).isKnown() && !node.input(1).elements->front().is(0)))
    condition = node.input(1);
  return true;
}

SmallVector<Type> LoopImport::carriedTypes() const {
  SmallVector<Type> types;
  for (auto [value, shape] : llvm::zip_equal(initial, shapes))
    types.push_back(openType(build, value.element, shape));
  return types;
}

bool LoopImport::importBody(Region &region) {
  Location location = build.where();
  Block *block = new Block;
  region.push_back(block);
  Value number = block->addArgument(build.ops().getIndexType(), location);
  SmallVector<Value> carried;
  for (Type type : carriedTypes())
    carried.push_back(block->addArgument(type, location));
  InRegion inside(build, block);
  SizeTable &sizes = build.sizeTable();
  std::optional<Size> bound = most ? sizes.bound(*most) : std::nullopt;
  importer.define(
      body->inputs[0].value,
      build.ofElements(ElementType::Int64, {sizes.addOfData(number, false, bound)}, true));
  // A round is run only where it holds.
  importer.define(body->inputs[1].value, build.ofElements(ElementType::Bool, {Size(1)}, true));
  for (size_t place = 0; place < numCarried; ++place)
    importer.define(body->inputs[2 + place].value,
                    resultOf(build, carried[place], initial[place].element, shapes[place], {}));
  if (Status status = importer.importNodes(*body); !status.ok()) {
    node.keep(std::move(status));
    return true;
  }
  build.setLocation(location);
  std::vector<GraphValue> outputs = outputsOf(importer, *body);
  const GraphValue &last = outputs[0];
  isCounted = last.isKnown() && !last.elements->front().is(0);
  bool isStable = true;
  for (size_t place = 0; place < numCarried; ++place) {
    const GraphValue &after = outputs[1 + place];
    if (after.element != initial[place].element || after.rank() != initial[place].rank()) {
      node.unsupported("carries {} of {} and then {} of {}", shapeText(initial[place].shape),
                       elementTypeName(initial[place].element), shapeText(after.shape),
                       elementTypeName(after.element));
      return true;
    }
    for (auto [dim, size] : llvm::enumerate(after.shape))
      if (!shapes[place][dim].is(-1) && shapes[place][dim] != size) {
        shapes[place][dim] = Size(-1);
        isStable = false;
      }
  }
  if (!isStable)
    return false;
  yields.clear();
  for (auto [place, type] : llvm::enumerate(carriedTypes()))
    yields.push_back(
        castTo(build, build.tensorOf(outputs[1 + place]), cast<RankedTensorType>(type)));
  collected.assign(outputs.begin() + 1 + numCarried, outputs.end());
  for (GraphValue &value : collected) {
    value.tensor = build.tensorOf(value);
    for (const Size &size : value.shape)
      if (!isOutside(size, inside.outside())) {
        node.unsupported("collects tensors whose shape each round decides");
        return true;
      }
  }
  if (!isCounted) {
    ElementBuilder make(build.ops(), location);
    goesOn = TensorBuilder::extract(make, build.tensorOf(build.reshape(last, {})), {});
  }
  // What is collected goes into its place.
  for (const GraphValue &value : collected) {
    if (!most) {
      node.unsupported("collects tensors, and how many rounds there are at most is not known");
      return true;
    }
    Sizes whole = value.shape;
    whole.insert(whole.begin(), bound ? *bound : *most);
    auto type = openType(build, value.element, whole);
    Value into = block->addArgument(type, location);
    SmallVector<OpFoldResult> offsets(whole.size(), build.ops().getIndexAttr(0)),
        steps(whole.size(), build.ops().getIndexAttr(1)), extents;
    offsets[0] = number;
    extents.push_back(build.ops().getIndexAttr(1));
    for (const Size &size : value.shape)
      extents.push_back(size.isKnown() ? OpFoldResult(build.ops().getIndexAttr(size.value()))
                                       : OpFoldResult(build.indexOf(size)));
    yields.push_back(tensor::InsertSliceOp::create(build.ops(), location, value.tensor, into,
                                                   offsets, extents, steps));
  }
  return true;
}

void LoopImport::give(ValueRange results, const std::optional<Size> &rounds) {
  for (size_t place = 0; place < numCarried; ++place)
    node.result(resultOf(build, results[place], initial[place].element, shapes[place], {}), place);
  for (size_t place = 0; place < numCollected; ++place) {
    Sizes shape = collected[place].shape;
    shape.insert(shape.begin(), build.sizeTable().bound(*most).value_or(*most));
    GraphValue all = build.ofTensor(results[numCarried + place], collected[place].element, shape);
    node.result(build.slice(all, 0, Size(0), *rounds), numCarried + place);
  }
}

/// What the loop begins with: what is carried, and room for what is collected.
void LoopImport::addStarts(SmallVectorImpl<Value> &starts) {
  for (auto [value, type] : llvm::zip_equal(initial, carriedTypes()))
    starts.push_back(castTo(build, build.tensorOf(value), cast<RankedTensorType>(type)));
  for (const GraphValue &value : collected) {
    Sizes whole = value.shape;
    whole.insert(whole.begin(), build.sizeTable().bound(*most).value_or(*most));
    starts.push_back(build.empty(value.element, whole));
  }
}

void LoopImport::finishCounted(Region &region) {
  Location location = build.where();
  Size rounds = *most;
  if (condition) {
    std::optional<SmallVector<Size, 1>> holds = build.numbersOf(build.reshape(*condition, {}));
    rounds = build.compute(SizeOp::Choice, {holds->front(), rounds, Size(0)});
  }
  SmallVector<Value> starts;
  addStarts(starts);
  {
    InRegion inside(build, &region.front());
    scf::YieldOp::create(build.ops(), location, yields);
  }
  auto loop = scf::ForOp::create(build.ops(), location, build.indexOf(Size(0)),
                                 build.indexOf(rounds), build.indexOf(Size(1)), starts);
  loop.getRegion().takeBody(region);
  give(loop.getResults(), rounds);
}

/// Number, whether it goes on, then what is carried.
void LoopImport::finishConditional(Region &region) {
  Location location = build.where();
  OpBuilder &builder = build.ops();
  ElementBuilder make(builder, location);
  Value truth =
      condition ? TensorBuilder::extract(make, build.tensorOf(build.reshape(*condition, {})), {})
                : make.integer(builder.getI1Type(), 1);
  SmallVector<Value> starts{build.indexOf(Size(0)), truth};
  addStarts(starts);
  Value limit = most ? build.indexOf(*most) : Value();
  {
    InRegion inside(build, &region.front());
    Block &block = region.front();
    block.insertArgument(1u, builder.getI1Type(), location);
    SmallVector<Value> next{make.add(block.getArgument(0), make.index(1)), goesOn};
    next.append(yields);
    scf::YieldOp::create(builder, location, next);
  }
  auto loop = scf::WhileOp::create(
      builder, location, ValueRange(starts).getTypes(), starts,
      [&](OpBuilder &inside, Location where, ValueRange arguments) {
        Value again = arguments[1];
        if (limit)
          again = arith::AndIOp::create(
              inside, where, again,
              arith::CmpIOp::create(inside, where, arith::CmpIPredicate::slt, arguments[0], limit));
        scf::ConditionOp::create(inside, where, again, arguments);
      },
      nullptr);
  loop.getAfter().takeBody(region);
  Size rounds = build.sizeTable().addOfData(loop.getResult(0), false,
                                            most ? build.sizeTable().bound(*most) : std::nullopt);
  give(loop.getResults().drop_front(2), rounds);
}

void LoopImport::run() {
  if (!check())
    return;
  Region region;
  while (!importBody(region)) {
    if (node.failed())
      return;
    region.dropAllReferences();
    region.getBlocks().clear();
  }
  if (node.failed()) {
    region.dropAllReferences();
    return;
  }
  if (isCounted && !most)
    return node.malformed("never ends");
  if (isCounted)
    finishCounted(region);
  else
    finishConditional(region);
}

static void importLoop(NodeImport &node) { LoopImport(node).run(); }

llvm::ArrayRef<OpRule> moec::controlFlowOps() {
  static const OpRule rules[] = {
      {"", "If", {{11, "else_branch:g then_branch:g", 1, 1, 1, kAny}}, importIf},
      {"", "Loop", {{11, "body:g", 2, kAny, 0, kAny, 0b11}}, importLoop},
  };
  return rules;
}
