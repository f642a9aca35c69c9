// Lowers scores, and the choice of experts by them.

#include "compiler/lowering/Lowerings.h"
#include "compiler/targets/ElementaryFunctions.h"
#include "compiler/targets/SortKey.h"

using namespace mlir;
using namespace moec;

using arith::CmpIPredicate;

void moec::emitScores(KernelBuilder &kernel, moe::ScoreFunction function, Value row,
                      int64_t columns) {
  Type f32 = kernel.f32();
  if (function == moe::ScoreFunction::None)
    return;
  if (function == moe::ScoreFunction::Sigmoid)
    return kernel.forColumns(columns, [&](Value column, int64_t lanes) {
      storeRow(kernel, emitSigmoid(kernel, loadRow(kernel, f32, row, column, lanes)), f32, row,
               column, lanes);
    });
  double lowest = -std::numeric_limits<float>::max();
  Value largest = kernel.forColumns(columns, kernel.number(kernel.lanes(f32), lowest),
                                    [&](Value column, int64_t lanes, ValueRange m) {
                                      Value x = kernel.fillLanes(
                                          loadRow(kernel, f32, row, column, lanes), lanes, lowest);
                                      return SmallVector<Value>{kernel.max(m[0], x)};
                                    })[0];
  Value peak = kernel.broadcast(kernel.maxOfLanes(largest));
  Value sums = kernel.forColumns(
      columns, kernel.number(kernel.lanes(f32), 0),
      [&](Value column, int64_t lanes, ValueRange sum) {
        Value e = kernel.fillLanes(
            emitExp(kernel, kernel.sub(loadRow(kernel, f32, row, column, lanes), peak)), lanes, 0);
        storeRow(kernel, e, f32, row, column, lanes);
        return SmallVector<Value>{kernel.add(sum[0], e)};
      })[0];
  Value total = kernel.broadcast(kernel.sumOfLanes(sums));
  kernel.forColumns(columns, [&](Value column, int64_t lanes) {
    storeRow(kernel, kernel.div(loadRow(kernel, f32, row, column, lanes), total), f32, row, column,
             lanes);
  });
}

/// Of what must not be chosen: below every other key, those of minus infinity too.
static constexpr int64_t kNoCandidate = std::numeric_limits<int64_t>::min();

/// Which of two numbers comes first where their keys are equal.
enum class Ties { LowerFirst, HigherFirst };

/// How many of `columns` keys come before `key`, that of number `id`: the larger ones, and equal
/// ones whose number comes first.
static Value rankOf(KernelBuilder &kernel, int64_t columns, Ties ties,
                    function_ref<Value(Value id)> keyOf, Value key, Value id) {
  const CmpIPredicate isFirst = ties == Ties::LowerFirst ? CmpIPredicate::slt : CmpIPredicate::sgt;
  return kernel.loop(
      kernel.integer(0), kernel.integer(columns), 1, ValueRange{kernel.integer(0)},
      [&](Value other, ValueRange count) -> SmallVector<Value> {
        Value theirs = keyOf(other);
        Value larger = kernel.compare(CmpIPredicate::sgt, theirs, key),
              same = kernel.compare(CmpIPredicate::eq, theirs, key),
              before = kernel.compare(isFirst, other, id);
        Value isAhead =
            arith::OrIOp::create(kernel.builder, kernel.loc, larger,
                                 arith::AndIOp::create(kernel.builder, kernel.loc, same, before));
        return {kernel.add(
            count[0], arith::ExtUIOp::create(kernel.builder, kernel.loc, kernel.i64(), isAhead))};
      })[0];
}

/// Calls visit(slot, id) for the `count` largest of `columns` keys, largest first. At least so many
/// are candidates.
static void chooseInTurn(KernelBuilder &kernel, int64_t columns, int64_t count, Ties ties,
                         function_ref<Value(Value id)> keyOf,
                         function_ref<void(Value slot, Value id)> visit) {
  auto logical = [&](auto op, Value a, Value b) -> Value {
    return decltype(op)::create(kernel.builder, kernel.loc, a, b);
  };
  // The next one is the best of those that come after the last one in the order of (larger key,
  // id that comes first). Ids come in ascending order: of equal keys the first or the last is kept.
  const bool isLowerFirst = ties == Ties::LowerFirst;
  const CmpIPredicate isAfter = isLowerFirst ? CmpIPredicate::sgt : CmpIPredicate::slt,
                      isBetter = isLowerFirst ? CmpIPredicate::sgt : CmpIPredicate::sge;
  Value noKey = kernel.integer(std::numeric_limits<int64_t>::max()), noId = kernel.integer(-1);
  kernel.loop(
      kernel.integer(0), kernel.integer(count), 1, ValueRange{noKey, noId},
      [&](Value slot, ValueRange last) -> SmallVector<Value> {
        Value lowest = kernel.integer(kNoCandidate);
        auto best = kernel.loop(
            kernel.integer(0), kernel.integer(columns), 1, ValueRange{lowest, kernel.integer(0)},
            [&](Value id, ValueRange now) -> SmallVector<Value> {
              Value key = keyOf(id);
              Value below = kernel.compare(CmpIPredicate::slt, key, last[0]);
              Value same = logical(arith::AndIOp(), kernel.compare(CmpIPredicate::eq, key, last[0]),
                                   kernel.compare(isAfter, id, last[1]));
              Value left = logical(arith::OrIOp(), below, same);
              Value better = logical(arith::AndIOp(), left, kernel.compare(isBetter, key, now[0]));
              return {kernel.select(better, key, now[0]), kernel.select(better, id, now[1])};
            });
        visit(slot, best[1]);
        return {best[0], best[1]};
      });
}

/// The same, all keys at once where the target can: each counts those before it.
static void choose(KernelBuilder &kernel, int64_t columns, int64_t count, Ties ties,
                   function_ref<Value(Value id)> keyOf,
                   function_ref<void(Value slot, Value id)> visit) {
  if (!kernel.runsSeveral())
    return chooseInTurn(kernel, columns, count, ties, keyOf, visit);
  kernel.forEach(columns, [&](Value id) {
    Value rank = rankOf(kernel, columns, ties, keyOf, keyOf(id), id);
    kernel.when(kernel.compare(CmpIPredicate::slt, rank, kernel.integer(count)),
                [&] { visit(rank, id); });
  });
}

/// How scores in memory are ordered.
static auto sortKeysAt(KernelBuilder &kernel, Value scores) {
  return [&kernel, scores](Value id) {
    Value key =
        emitSortKey(kernel, kernel.load(kernel.f32(), kernel.address(scores, kernel.f32(), id)));
    return arith::ExtSIOp::create(kernel.builder, kernel.loc, kernel.i64(), key).getResult();
  };
}

/// Sort keys, i64 in memory, of the scores at `keys` (f32); kNoCandidate for experts of groups that
/// are not kept.
static Value keepGroups(KernelBuilder &kernel, moe::GroupsAttr groups, Value keys,
                        int64_t columns) {
  const Type f32 = kernel.f32(), i64 = kernel.i64();
  const int64_t size = columns / groups.getCount();
  const int64_t summed =
      std::min<int64_t>(size, groups.getValue() == moe::GroupValue::BestTwo ? 2 : 1);
  Value values = kernel.scratch(groups.getCount() * 4), sortKeys = kernel.scratch(columns * 8);
  auto startOf = [&](Value group) { return kernel.mul(group, kernel.integer(size)); };
  kernel.forEach(groups.getCount(), [&](Value group) {
    Value members = kernel.address(keys, f32, startOf(group));
    Value value = kernel.address(values, f32, group);
    kernel.store(kernel.number(f32, 0), value);
    chooseInTurn(kernel, size, summed, Ties::LowerFirst, sortKeysAt(kernel, members),
                 [&](Value, Value member) {
                   Value key = kernel.load(f32, kernel.address(members, f32, member));
                   kernel.store(kernel.add(kernel.load(f32, value), key), value);
                 });
  });
  if (kernel.runsSeveral()) {
    kernel.forEach(columns, [&](Value id) {
      Value group = kernel.div(id, kernel.integer(size));
      auto valueOf = sortKeysAt(kernel, values);
      Value rank =
          rankOf(kernel, groups.getCount(), Ties::LowerFirst, valueOf, valueOf(group), group);
      Value isKept = kernel.compare(CmpIPredicate::slt, rank, kernel.integer(groups.getKept()));
      Value key = kernel.select(isKept, sortKeysAt(kernel, keys)(id), kernel.integer(kNoCandidate));
      kernel.store(key, kernel.address(sortKeys, i64, id));
    });
    return sortKeys;
  }
  kernel.loop(kernel.integer(0), kernel.integer(columns), 1, [&](Value id) {
    kernel.store(kernel.integer(kNoCandidate), kernel.address(sortKeys, i64, id));
  });
  chooseInTurn(kernel, groups.getCount(), groups.getKept(), Ties::LowerFirst,
               sortKeysAt(kernel, values), [&](Value, Value group) {
                 Value start = startOf(group);
                 kernel.loop(start, kernel.add(start, kernel.integer(size)), 1, [&](Value id) {
                   kernel.store(sortKeysAt(kernel, keys)(id), kernel.address(sortKeys, i64, id));
                 });
               });
  return sortKeys;
}

/// What is compared in place of the scores of a row.
static Value correctScores(KernelBuilder &kernel, const Routing &routing, Value scores) {
  if (!routing.correction)
    return scores;
  Value keys = kernel.scratch(routing.columns * 4);
  kernel.forColumns(routing.columns, [&](Value column, int64_t lanes) {
    Value score = loadRow(kernel, kernel.f32(), scores, column, lanes);
    Value correction = matrixLanes(kernel, *routing.correction, kernel.integer(0), column, lanes);
    storeRow(kernel, kernel.add(score, correction), kernel.f32(), keys, column, lanes);
  });
  return keys;
}

/// Makes weights of the chosen scores at `weights`, in place.
static void weigh(KernelBuilder &kernel, const Routing &routing, Value weights) {
  const Type f32 = kernel.f32();
  auto change = [&](function_ref<Value(Value)> to) {
    kernel.forEach(routing.picked, [&](Value slot) {
      Value at = kernel.address(weights, f32, slot);
      kernel.store(to(kernel.load(f32, at)), at);
    });
  };
  auto fold = [&](double start, function_ref<Value(Value, Value)> with) {
    return kernel.loop(
        kernel.integer(0), kernel.integer(routing.picked), 1, ValueRange{kernel.number(f32, start)},
        [&](Value slot, ValueRange now) -> SmallVector<Value> {
          return {with(now[0], kernel.load(f32, kernel.address(weights, f32, slot)))};
        })[0];
  };
  auto divideBySum = [&](double epsilon) {
    Value sum = fold(0, [&](Value a, Value b) { return kernel.add(a, b); });
    sum = kernel.add(sum, kernel.number(f32, epsilon));
    change([&](Value weight) { return kernel.div(weight, sum); });
  };
  switch (routing.weighing) {
  case moe::Weighing::AsIs:
    break;
  case moe::Weighing::Renormalize:
    divideBySum(routing.epsilon);
    break;
  case moe::Weighing::Softmax: {
    Value peak = fold(-std::numeric_limits<float>::max(),
                      [&](Value a, Value b) { return kernel.max(a, b); });
    change([&](Value score) { return emitExp(kernel, kernel.sub(score, peak)); });
    divideBySum(0);
    break;
  }
  case moe::Weighing::Sigmoid:
    change([&](Value score) { return emitSigmoid(kernel, score); });
    break;
  }
  if (routing.scale != 1)
    change([&](Value weight) { return kernel.mul(weight, kernel.number(f32, routing.scale)); });
}

void moec::emitRoute(KernelBuilder &kernel, const Routing &routing, Value scores, Value experts,
                     Value weights) {
  Value keys = correctScores(kernel, routing, scores);
  auto pick = [&](Value slot, Value id) {
    storeId(kernel, id, experts, slot);
    kernel.store(kernel.load(kernel.f32(), kernel.address(scores, kernel.f32(), id)),
                 kernel.address(weights, kernel.f32(), slot));
  };
  const Ties ties = routing.prefersHigher ? Ties::HigherFirst : Ties::LowerFirst;
  if (routing.groups) {
    Value order = keepGroups(kernel, routing.groups, keys, routing.columns);
    choose(
        kernel, routing.columns, routing.picked, ties,
        [&](Value id) {
          return kernel.load(kernel.i64(), kernel.address(order, kernel.i64(), id));
        },
        pick);
  } else {
    choose(kernel, routing.columns, routing.picked, ties, sortKeysAt(kernel, keys), pick);
  }
  weigh(kernel, routing, weights);
}

void moec::lowerScore(KernelBuilder &kernel, moe::ScoreOp op, const Tile &tile) {
  RowBuffer logits = rowBuffer(kernel, op.getLogits()), scores = rowBuffer(kernel, op.getScores());
  auto [begin, end] = tile.rowsOf(kernel, scores);
  kernel.loop(begin, end, 1, [&](Value row) {
    Value from = logits.row(kernel, row), to = scores.row(kernel, row);
    kernel.forColumns(scores.columns, [&](Value column, int64_t lanes) {
      storeRow(kernel, loadRow(kernel, logits.element, from, column, lanes), scores.element, to,
               column, lanes);
    });
    emitScores(kernel, op.getFunction(), to, scores.columns);
  });
}

void moec::lowerRoute(KernelBuilder &kernel, moe::RouteOp op, const Tile &tile) {
  RowBuffer scores = rowBuffer(kernel, op.getScores()),
            experts = rowBuffer(kernel, op.getExperts());
  RowBuffer weights = rowBuffer(kernel, op.getWeights());
  const Routing routing = routingOf(kernel, op, scores.columns);
  auto [begin, end] = tile.rowsOf(kernel, experts);
  kernel.loop(begin, end, 1, [&](Value row) {
    emitRoute(kernel, routing, scores.row(kernel, row), experts.row(kernel, row),
              weights.row(kernel, row));
  });
}
