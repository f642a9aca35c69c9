// Attention: ONNX's own, and the contributed one of grouped queries.

#include "frontends/onnx/import/IndexReader.h"
#include "frontends/onnx/import/Rotary.h"

#include <cmath>

using namespace mlir;
using namespace moec;

namespace {
/// Queries are B x heads x S x D, keys and values B x key heads x T x D.
struct Attending {
  GraphValue queries, keys, values;
  double scale = 1, softcap = 0;
  /// Added, or where BOOL seen where true; broadcasts to B x heads x S x T, but may be shorter in
  /// T, and hides what is behind its end.
  std::optional<GraphValue> mask;
  bool isCausal = false;
  int64_t left = -1, right = -1;     ///< how far a query sees; -1: to the end
  Size offset = 0;                   ///< a query's position less its number
  std::optional<GraphValue> offsets; ///< of each sequence; in place of `offset`
  std::optional<GraphValue> lengths; ///< keys of each sequence that are there
  std::optional<GraphValue> sinks;   ///< a logit more for each head
};

struct Attended {
  GraphValue result, products, capped, masked, weights; ///< B x heads x S x T but the first
};
} // namespace

/// Heads in two dimensions, the group that has a key in common second.
static GraphValue grouped(TensorBuilder &build, const GraphValue &value, const Size &groups,
                          const Size &members) {
  Sizes shape = value.shape;
  shape[1] = members;
  shape.insert(shape.begin() + 1, groups);
  return build.reshape(value, shape);
}

static Value maskElement(ElementBuilder &make, Value mask, ArrayRef<Value> maskSizes,
                         ArrayRef<bool> isSingle, ArrayRef<Value> place) {
  SmallVector<Value> from;
  const size_t missing = place.size() - maskSizes.size();
  for (auto [dim, size] : llvm::enumerate(maskSizes)) {
    Value last = make.max(make.sub(size, make.index(1)), make.index(0));
    from.push_back(isSingle[dim] ? make.index(0) : make.min(place[missing + dim], last));
  }
  return TensorBuilder::extract(make, mask, from);
}

/// What each query may see of each key.
static GraphValue masked(TensorBuilder &build, const Attending &in, const GraphValue &scores) {
  Value tensor = build.tensorOf(scores), mask, offset, offsets, lengths, width;
  SmallVector<Value> maskSizes;
  SmallVector<bool> isSingle;
  bool isShort = false;
  if (in.mask) {
    mask = build.tensorOf(*in.mask);
    for (const Size &size : in.mask->shape) {
      maskSizes.push_back(build.indexOf(size));
      isSingle.push_back(size.is(1));
    }
    isShort = in.mask->shape.back() != scores.shape.back();
    if (isShort)
      isSingle.back() = false;
    width = maskSizes.back();
  }
  if (in.offsets)
    offsets = build.tensorOf(*in.offsets);
  else
    offset = build.indexOf(in.offset);
  if (in.lengths)
    lengths = build.tensorOf(*in.lengths);
  return build.build(
      scores.element, scores.shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
        Value score = TensorBuilder::extract(make, tensor, place), key = place[3];
        Value hidden = make.number(score, -INFINITY);
        auto hide = [&](Value sees) { score = make.select(sees, score, hidden); };
        if (mask) {
          Value element = maskElement(make, mask, maskSizes, isSingle, place);
          if (element.getType().isInteger(1))
            hide(element);
          else
            score = make.add(score, make.convert(element, score.getType(), false));
          if (isShort)
            hide(make.less(key, width));
        }
        if (in.isCausal || in.left >= 0 || in.right >= 0) {
          Value shift =
              offsets ? make.toIndex(TensorBuilder::extract(make, offsets, place[0])) : offset;
          Value position = make.add(place[2], shift);
          if (in.isCausal)
            hide(make.lessOrEqual(key, position));
          if (in.left >= 0)
            hide(make.lessOrEqual(make.sub(position, key), make.index(in.left)));
          if (in.right >= 0)
            hide(make.lessOrEqual(make.sub(key, position), make.index(in.right)));
        }
        if (lengths)
          hide(make.less(key, make.toIndex(TensorBuilder::extract(make, lengths, place[0]))));
        return score;
      });
}

/// Rows that see nothing are of zeros.
static GraphValue softmaxOf(TensorBuilder &build, const Attending &in, const GraphValue &scores) {
  GraphValue most = build.unsqueeze(build.greatest(scores, 3), 3);
  GraphValue sinks;
  if (in.sinks) {
    sinks = build.reshape(build.convert(*in.sinks, scores.element),
                          {Size(1), scores.shape[1], Size(1), Size(1)});
    most = build.map(scores.element, {most, sinks},
                     [](ElementBuilder &make, ValueRange x) { return make.max(x[0], x[1]); });
  }
  GraphValue base = build.map(scores.element, most, [](ElementBuilder &make, ValueRange x) {
    Value sees = make.less(make.number(x[0], -INFINITY), x[0]);
    return make.select(sees, x[0], make.number(x[0], 0));
  });
  GraphValue powers =
      build.map(scores.element, {scores, base},
                [](ElementBuilder &make, ValueRange x) { return make.exp(make.sub(x[0], x[1])); });
  GraphValue total = build.unsqueeze(build.sum(powers, 3), 3);
  if (in.sinks)
    total = build.map(scores.element, {total, sinks, base}, [](ElementBuilder &make, ValueRange x) {
      return make.add(x[0], make.exp(make.sub(x[1], x[2])));
    });
  return build.map(scores.element, {powers, total}, [](ElementBuilder &make, ValueRange x) {
    Value zero = make.number(x[0], 0);
    return make.select(make.equal(x[1], zero), zero, make.div(x[0], x[1]));
  });
}

static Attended attend(TensorBuilder &build, const Attending &in, const Size &members) {
  const ElementType element = in.queries.element;
  const Size batch = in.queries.shape[0], heads = in.queries.shape[1], rows = in.queries.shape[2],
             groups = in.keys.shape[1], keys = in.keys.shape[2];
  GraphValue queries = grouped(build, in.queries, groups, members);
  // b, group, member, row, key, element of the head
  const Sizes inner{batch, groups, members, rows, keys, in.queries.shape[3]};
  Attended made;
  GraphValue products =
      build.contract(queries, {0, 1, 2, 3, 5}, in.keys, {0, 1, 4, 5}, {0, 1, 2, 3, 4}, inner);
  products = build.reshape(products, {batch, heads, rows, keys});
  made.products = build.map(products.element, products, [&](ElementBuilder &make, ValueRange x) {
    return make.mul(x[0], make.number(x[0], in.scale));
  });
  made.capped = made.products;
  if (in.softcap > 0)
    made.capped =
        build.map(products.element, made.products, [&](ElementBuilder &make, ValueRange x) {
          Value cap = make.number(x[0], in.softcap);
          return make.mul(cap, make.tanh(make.div(x[0], cap)));
        });
  made.masked = masked(build, in, made.capped);
  made.weights = softmaxOf(build, in, made.masked);
  GraphValue weights = grouped(build, build.convert(made.weights, element), groups, members);
  const Sizes outer{batch, groups, members, rows, in.values.shape[3], keys};
  GraphValue result =
      build.contract(weights, {0, 1, 2, 3, 5}, in.values, {0, 1, 5, 4}, {0, 1, 2, 3, 4}, outer);
  made.result =
      build.convert(build.reshape(result, {batch, heads, rows, in.values.shape[3]}), element);
  return made;
}

/// B x S x (heads D) as B x heads x S x D.
static std::optional<GraphValue> splitHeads(NodeImport &node, const GraphValue &value,
                                            int64_t heads) {
  std::optional<Size> size =
      heads > 0 ? value.shape[2].dividedBy(Size(heads)) : std::optional<Size>();
  if (!size) {
    node.malformed("cuts rows of {} into {} heads", shapeText(value.shape[2]), heads);
    return std::nullopt;
  }
  TensorBuilder &build = node.build();
  return build.transpose(build.reshape(value, {value.shape[0], value.shape[1], Size(heads), *size}),
                         {0, 2, 1, 3});
}

static GraphValue joinHeads(TensorBuilder &build, const GraphValue &value) {
  return build.reshape(build.transpose(value, {0, 2, 1, 3}),
                       {value.shape[0], value.shape[2], value.shape[1] * value.shape[3]});
}

/// Queries to a key head; none, with a failure, where that is no number.
static std::optional<Size> membersOf(NodeImport &node, const Attending &in) {
  std::optional<Size> members = in.queries.shape[1].dividedBy(in.keys.shape[1]);
  if (!members) {
    node.malformed("has {} query heads for {} key heads", shapeText(in.queries.shape[1]),
                   shapeText(in.keys.shape[1]));
    return std::nullopt;
  }
  node.requireEqual(in.queries.shape[3], in.keys.shape[3], "sizes of query and key heads");
  node.requireEqual(in.keys.shape[1], in.values.shape[1], "numbers of key and value heads");
  node.requireEqual(in.keys.shape[2], in.values.shape[2], "numbers of keys and values");
  node.requireEqual(in.queries.shape[0], in.keys.shape[0], "batches of queries and keys");
  return node.failed() ? std::nullopt : members;
}

static void importAttention(NodeImport &node) {
  TensorBuilder &build = node.build();
  Attending in;
  in.queries = node.input(0);
  in.keys = node.input(1);
  in.values = node.input(2);
  node.requireFloat(in.queries, "its input");
  node.requireSameElement({in.queries, in.keys});
  node.requireRank(in.queries, 3, 4, "its queries");
  if (in.keys.rank() != in.queries.rank() || in.values.rank() != in.queries.rank())
    node.malformed("its queries are {}, its keys {} and its values {}; wanted one rank",
                   shapeText(in.queries.shape), shapeText(in.keys.shape),
                   shapeText(in.values.shape));
  if (node.failed())
    return;
  const bool isRows = in.queries.rank() == 3;
  if (isRows) {
    std::optional<GraphValue> queries =
                                  splitHeads(node, in.queries, node.integer("q_num_heads", 0)),
                              keys = splitHeads(node, in.keys, node.integer("kv_num_heads", 0)),
                              values = splitHeads(node, in.values, node.integer("kv_num_heads", 0));
    if (node.failed())
      return;
    in.queries = *queries;
    in.keys = *keys;
    in.values = *values;
  }
  if (node.has(4) != node.has(5))
    return node.malformed("has only one of past keys and past values");
  if (node.has(4)) {
    const GraphValue pastKeys = node.input(4), pastValues = node.input(5);
    node.requireRank(pastKeys, 4, 4, "its past keys");
    node.requireRank(pastValues, 4, 4, "its past values");
    node.requireSameElement({pastKeys, in.keys});
    node.requireSameElement({pastValues, in.values});
    if (node.failed())
      return;
    in.offset = pastKeys.shape[2];
    in.keys = build.concat({pastKeys, in.keys}, 2);
    in.values = build.concat({pastValues, in.values}, 2);
  }
  if (!in.queries.shape[3].isKnown())
    return node.unsupported("the size of a head is not known");
  in.scale = node.hasAttribute("scale")
                 ? node.real("scale", 1)
                 : 1 / std::sqrt(static_cast<double>(in.queries.shape[3].value()));
  in.softcap = node.real("softcap", 0);
  in.isCausal = node.integer("is_causal", 0) != 0;
  in.left = node.integer("left_window_size", -1);
  in.right = node.integer("right_window_size", -1);
  if (node.has(3)) {
    in.mask = node.input(3);
    node.requireRank(*in.mask, 1, 4, "its mask");
    if (!isBool(in.mask->element) && !isFloat(in.mask->element))
      node.malformed("its mask is of {}", elementTypeName(in.mask->element));
  }
  if (node.has(6)) {
    in.lengths = node.input(6);
    node.requireRank(*in.lengths, 1, 1, "its numbers of keys");
    if (node.failed())
      return;
    if (!node.has(4)) {
      Value rows = build.indexOf(in.queries.shape[2]);
      in.offsets =
          build.map(ElementType::Int64, *in.lengths, [&](ElementBuilder &make, ValueRange x) {
            return make.sub(make.convert(x[0], make.ops().getI64Type(), false),
                            make.fromIndex(rows, make.ops().getI64Type()));
          });
    }
  }
  if (node.failed())
    return;
  std::optional<Size> members = membersOf(node, in);
  if (!members)
    return;
  Attended made = attend(build, in, *members);
  node.result(isRows ? joinHeads(build, made.result) : made.result, 0);
  if (node.wants(1))
    node.result(in.keys, 1);
  if (node.wants(2))
    node.result(in.values, 2);
  if (!node.wants(3))
    return;
  const int64_t mode = node.integer("qk_matmul_output_mode", 0);
  if (mode < 0 || mode > 3)
    return node.malformed("`qk_matmul_output_mode` is {}", mode);
  // Before version 24 what is added comes first; the numbers mean the same steps.
  const GraphValue steps[] = {made.products, made.capped, made.masked, made.weights};
  node.result(build.convert(steps[mode], in.queries.element), 3);
}

// Grouped queries with a cache in the caller's buffers

namespace {
class GroupedQueries {
public:
  explicit GroupedQueries(NodeImport &node) : node(node), build(node.build()) {}
  void run();

private:
  bool check();
  bool split();
  bool rotateAll();
  GraphValue present(const GraphValue &fresh, size_t past);

  NodeImport &node;
  TensorBuilder &build;
  int64_t heads = 0, keyHeads = 0;
  Attending in;
  GraphValue pasts; ///< rows of each sequence before these
  Size total;       ///< rows with these, of the longest sequence
};
} // namespace

bool GroupedQueries::check() {
  heads = node.integer("num_heads", 0);
  keyHeads = node.integer("kv_num_heads", 0);
  for (auto [name, usual] : {std::pair("qk_output", 0), std::pair("kv_cache_bit_width", 0),
                             std::pair("causal", 1), std::pair("sliding_window_cache", 0)})
    if (node.integer(name, usual) != usual)
      node.unsupported("`{}` is {}", name, node.integer(name, usual));
  for (const char *name : {"k_quant_type", "v_quant_type"})
    if (node.text(name, "NONE") != "NONE")
      node.unsupported("`{}` is {}", name, shownName(node.text(name, "NONE")));
  if (node.has(12) || node.has(13))
    node.unsupported("its cache is quantised");
  node.requireFloat(node.input(0), "its input");
  node.requireRank(node.input(0), 3, 3, "its queries");
  node.requireRank(node.input(5), 1, 2, "its lengths");
  if (heads < 1 || keyHeads < 1 || heads % std::max<int64_t>(keyHeads, 1) != 0)
    node.malformed("has {} query heads for {} key heads", heads, keyHeads);
  if (node.has(1) != node.has(2) || node.has(3) != node.has(4))
    node.malformed("has keys without values, or values without keys");
  return !node.failed();
}

bool GroupedQueries::split() {
  GraphValue queries = node.input(0);
  if (!node.has(1)) { // one after the other
    std::optional<Size> size = queries.shape[2].dividedBy(Size(heads + 2 * keyHeads));
    if (!size) {
      node.malformed("cuts rows of {} into {} heads", shapeText(queries.shape[2]),
                     heads + 2 * keyHeads);
      return false;
    }
    const Size q = Size(heads) * *size, kv = Size(keyHeads) * *size;
    in.keys = *splitHeads(node, build.slice(queries, 2, q, kv), keyHeads);
    in.values = *splitHeads(node, build.slice(queries, 2, q + kv, kv), keyHeads);
    in.queries = *splitHeads(node, build.slice(queries, 2, Size(0), q), heads);
  } else {
    node.requireSameElement({queries, node.input(1), node.input(2)});
    for (size_t place : {1, 2})
      node.requireRank(node.input(place), 3, 4, "its keys and values");
    if (node.failed())
      return false;
    std::optional<GraphValue> q = splitHeads(node, queries, heads), k = node.input(1),
                              v = node.input(2);
    if (k->rank() == 3)
      k = splitHeads(node, *k, keyHeads);
    if (v->rank() == 3)
      v = splitHeads(node, *v, keyHeads);
    if (node.failed())
      return false;
    in.queries = *q;
    in.keys = *k;
    in.values = *v;
  }
  // Norms of single heads.
  for (auto [place, value] : {std::pair(14, &in.queries), std::pair(15, &in.keys)})
    if (node.has(place)) {
      const float epsilon = node.real("qk_norm_epsilon", 1e-6f);
      GraphValue wide = build.convert(*value, ElementType::Float);
      GraphValue squares = build.map(wide.element, wide, [](ElementBuilder &make, ValueRange x) {
        return make.mul(x[0], x[0]);
      });
      GraphValue sum = build.unsqueeze(build.sum(squares, 3), 3);
      const auto count =
          static_cast<double>(value->shape[3].isKnown() ? value->shape[3].value() : 1);
      *value = build.map(value->element,
                         {wide, sum, build.convert(node.input(place), ElementType::Float)},
                         [&](ElementBuilder &make, ValueRange x) {
                           Value mean = make.div(x[1], make.number(x[1], count));
                           Value root = make.sqrt(make.add(mean, make.number(x[1], epsilon)));
                           return make.mul(make.div(x[0], root), x[2]);
                         });
    }
  return true;
}

bool GroupedQueries::rotateAll() {
  if (node.integer("do_rotary", 0) == 0)
    return true;
  if (!node.has(7) || !node.has(8)) {
    node.malformed("rotates without cosines and sines");
    return false;
  }
  GraphValue cosines = node.input(7), sines = node.input(8);
  node.requireRank(cosines, 2, 2, "its cosines");
  node.requireRank(sines, 2, 2, "its sines");
  if (node.failed())
    return false;
  if (!cosines.shape[1].isKnown()) {
    node.unsupported("how much of a head it rotates is not known");
    return false;
  }
  GraphValue positions = node.has(9)
                             ? node.input(9)
                             : build.add(build.unsqueeze(pasts, 1),
                                         build.iota(ElementType::Int64, in.queries.shape[2]));
  if (positions.rank() != 2) {
    node.malformed("its positions are {}, wanted batch x sequence", shapeText(positions.shape));
    return false;
  }
  cosines = build.unsqueeze(gatherRows(build, cosines, positions), 1);
  sines = build.unsqueeze(gatherRows(build, sines, positions), 1);
  const int64_t rotated = 2 * node.input(7).shape[1].value();
  const bool isInterleaved = node.integer("rotary_interleaved", 0) != 0;
  in.queries = rotate(build, in.queries, cosines, sines, rotated, isInterleaved);
  in.keys = rotate(build, in.keys, cosines, sines, rotated, isInterleaved);
  return true;
}

/// Past rows, then the fresh ones; as long as the past's buffer, or as all rows.
GraphValue GroupedQueries::present(const GraphValue &fresh, size_t past) {
  Sizes shape = fresh.shape;
  const bool hasPast = node.has(past);
  const Size room = hasPast ? node.input(past).shape[2] : Size(0);
  shape[2] = build.maxOf(room, total);
  Value from = build.tensorOf(fresh), before, counts = build.tensorOf(pasts),
        rows = build.indexOf(fresh.shape[2]), old = build.indexOf(room);
  if (hasPast)
    before = build.tensorOf(node.input(past));
  Type stored = build.typeOf(fresh.element);
  const bool mayBeEmpty = !build.sizeTable().isPositive(room);
  return build.build(fresh.element, shape, [&](ElementBuilder &make, ArrayRef<Value> place) {
    Value count = make.toIndex(TensorBuilder::extract(make, counts, place[0]));
    Value zero = make.index(0), one = make.index(1);
    Value number = make.sub(place[2], count);
    Value isFresh = make.both(make.lessOrEqual(zero, number), make.less(number, rows));
    SmallVector<Value> at(place);
    at[2] = make.max(make.min(number, make.sub(rows, one)), zero);
    Value result = TensorBuilder::extract(make, from, at);
    Value other = make.number(stored, 0);
    if (before) {
      at[2] = make.max(make.min(place[2], make.sub(old, one)), zero);
      other = readInside(make, make.less(place[2], old), before, at, other, mayBeEmpty);
    }
    return make.select(isFresh, result, other);
  });
}

void GroupedQueries::run() {
  if (!check() || !split())
    return;
  std::optional<SmallVector<Size, 1>> totals = node.numbers(6, "the total length");
  if (!totals)
    return;
  if (totals->size() != 1)
    return node.malformed("its total length has {} elements, wanted one", totals->size());
  total = totals->front();
  GraphValue lengths = build.reshape(node.input(5), node.input(0).shape[0]);
  Value rows = build.indexOf(in.queries.shape[2]);
  // The input is one less than all rows of a sequence.
  pasts = build.map(ElementType::Int64, lengths, [&](ElementBuilder &make, ValueRange x) {
    Type wide = make.ops().getI64Type();
    Value all = make.add(make.convert(x[0], wide, false), make.integer(wide, 1));
    return make.max(make.sub(all, make.fromIndex(rows, wide)), make.integer(wide, 0));
  });
  if (!rotateAll())
    return;
  in.keys = present(in.keys, 3);
  in.values = present(in.values, 4);
  in.offsets = pasts;
  in.isCausal = true;
  if (const int64_t window = node.integer("local_window_size", -1); window > 0)
    in.left = window - 1;
  if (!in.queries.shape[3].isKnown())
    return node.unsupported("the size of a head is not known");
  const float scale = node.real("scale", 0);
  in.scale = scale != 0 ? scale : 1 / std::sqrt(static_cast<double>(in.queries.shape[3].value()));
  in.softcap = node.real("softcap", 0);
  if (node.has(10))
    in.mask = node.input(10);
  if (node.has(11))
    in.sinks = node.input(11);
  else if (node.integer("smooth_softmax", 0) == 1)
    in.sinks = build.filled(in.queries.element, Size(heads), 0);
  std::optional<Size> members = membersOf(node, in);
  if (!members)
    return;
  node.result(joinHeads(build, attend(build, in, *members).result), 0);
  if (node.wants(1))
    node.result(in.keys, 1);
  if (node.wants(2))
    node.result(in.values, 2);
}

static void importGroupedQueries(NodeImport &node) { GroupedQueries(node).run(); }

llvm::ArrayRef<OpRule> moec::attentionOps() {
  static const OpRule rules[] = {
      {"",
       "Attention",
       {{23,
         "is_causal:i kv_num_heads:i q_num_heads:i qk_matmul_output_mode:i scale:f softcap:f "
         "softmax_precision:i",
         3, 6, 1, 4},
        {24,
         "is_causal:i kv_num_heads:i q_num_heads:i qk_matmul_output_mode:i scale:f softcap:f "
         "softmax_precision:i",
         3, 7, 1, 4},
        {25,
         "is_causal:i kv_num_heads:i left_window_size:i q_num_heads:i qk_matmul_output_mode:i "
         "right_window_size:i scale:f softcap:f softmax_precision:i",
         3, 7, 1, 4}},
       importAttention},
      {"com.microsoft",
       "GroupQueryAttention",
       {{1,
         "num_heads:i kv_num_heads:i scale:f local_window_size:i do_rotary:i rotary_interleaved:i "
         "softcap:f smooth_softmax:i causal:i qk_output:i qk_norm_epsilon:f k_quant_type:s "
         "v_quant_type:s kv_cache_bit_width:i sliding_window_cache:i",
         7, 16, 1, 4, 0b11110}},
       importGroupedQueries},
  };
  return rules;
}
