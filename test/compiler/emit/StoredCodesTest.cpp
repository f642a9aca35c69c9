// Weights that are stored as codes with scales: packed, they are the numbers that the file means,
// to the bit where they keep their form.

#include "compiler/emit/StoredCodes.h"
#include "test/compiler/emit/NaivePacking.h"
#include "test/compiler/emit/QuantizedBand.h"

#include <set>

using namespace moec;

namespace {

/// A model of codes; `values` are what they stand for, `codes` the bits.
struct CodesModel : RandomModel {
  int64_t pick(int64_t least, int64_t most) {
    return std::uniform_int_distribution<int64_t>(least, most)(random);
  }

  /// A number of few bits, so that products with codes are exact in f32, as a scale of the type.
  double addScale(TestTensor &tensor) {
    if (tensor.type == DataType::F8E8M0 || tensor.type == DataType::U8) {
      tensor.bytes.push_back(uint8_t(pick(110, 140)));
      return std::ldexp(1, tensor.bytes.back() - 127);
    }
    const auto scale = float(std::ldexp(double(pick(1, 255)), -12));
    const auto *bytes = reinterpret_cast<const uint8_t *>(&scale); // bf16 is the upper half
    tensor.bytes.insert(tensor.bytes.end(), bytes + 4 - dataTypeBits(tensor.type) / 8, bytes + 4);
    return double(scale);
  }

  /// A stack of matrices of F8_E4M3 with a scale for each rows x columns (0: all) of each.
  void addFloat8(const std::string &name, std::vector<int64_t> shape, int64_t scaleRows,
                 int64_t scaleColumns, DataType scaleType = DataType::F32) {
    TestTensor codes{name, DataType::F8E4M3, shape, {}}, scales{name + "_scale", scaleType, {}, {}};
    const int64_t columns = shape.back(), rows = shape[shape.size() - 2];
    const int64_t blockRows = scaleRows ? scaleRows : rows,
                  blockColumns = scaleColumns ? scaleColumns : columns;
    const int64_t down = (rows + blockRows - 1) / blockRows,
                  across = (columns + blockColumns - 1) / blockColumns;
    const int64_t stack = shape.size() > 2 ? shape[0] : 1;
    std::vector<double> grid;
    for (int64_t i = 0; i < stack * down * across; ++i)
      grid.push_back(addScale(scales));
    scales.shape = {stack, down, across};
    for (int64_t m = 0; m < stack; ++m)
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < columns; ++c) {
          const int64_t any = pick(0, 255), code = any % 128 == 127 ? any - 1 : any;
          codes.bytes.push_back(uint8_t(code));
          values[name].push_back(
              float8(code) * grid[size_t((m * down + r / blockRows) * across + c / blockColumns)]);
        }
    tensors.push_back(codes);
    tensors.push_back(scales);
  }

  /// A stack of matrices of MXFP4, rows x columns.
  void addMxfp4(const std::string &name, int64_t stack, int64_t rows, int64_t columns) {
    TestTensor codes{name, DataType::U8, {stack, rows, columns / 32, 16}, {}},
        scales{name + "_scale", DataType::U8, {stack, rows, columns / 32}, {}};
    const double magnitudes[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    for (int64_t group = 0; group < stack * rows * columns / 32; ++group) {
      const double scale = addScale(scales);
      for (int64_t pair = 0; pair < 16; ++pair) {
        codes.bytes.push_back(uint8_t(pick(0, 255)));
        for (int64_t code : {codes.bytes.back() & 15, codes.bytes.back() >> 4})
          values[name].push_back(magnitudes[code & 7] * (code & 8 ? -scale : scale));
      }
    }
    tensors.push_back(codes);
    tensors.push_back(scales);
  }
};

StoredRows rowsOf(const std::string &name, DataType stored, int64_t rows, int64_t scaleRows,
                  int64_t scaleColumns) {
  StoredRows source{.pattern = name, .stored = stored, .rows = rows};
  source.scales = name + "_scale";
  source.scaleRows = scaleRows;
  source.scaleColumns = scaleColumns;
  return source;
}

PackedWeight weightOf(const std::string &name, int64_t columns, int64_t experts,
                      std::vector<StoredRows> sources) {
  PackedWeight weight =
      panels(name, PackedElement::F32, sources[0].rows, columns, std::move(sources));
  weight.matricesPerLayer = experts;
  return weight;
}

/// Appends a quantised weight in panels and in bands.
void appendBoth(WeightPlan &plan, PackedWeight weight) {
  plan.append(weight);
  weight.layout = PackedLayout::Bands;
  plan.append(std::move(weight));
}

/// Element [row, column] of an expert of a quantised weight.
double keptElement(const PackedWeight &weight, const std::vector<uint8_t> &blob, int64_t expert,
                   int64_t row, int64_t column) {
  const uint8_t *matrix = blob.data() + weight.offset + uint64_t(expert) * weight.matrixBytes();
  if (weight.layout == PackedLayout::Bands)
    return QuantizedBands{*weight.quantized, weight.columns, matrix}.element(row, column);
  const int64_t first = row / 48 * 48;
  const int64_t width = std::min<int64_t>(48, (weight.rows - first + 15) / 16 * 16);
  return QuantizedPanel{*weight.quantized, width, weight.columns,
                        matrix + uint64_t(first) * weight.depthBytes()}
      .element(row - first, column);
}

/// Every element of a quantised weight is the number that it is made of, and those of rows that
/// there are not are 0.
void expectKept(const PackedWeight &weight, const std::vector<uint8_t> &blob,
                const Values &values) {
  const int64_t unit = weight.layout == PackedLayout::Bands ? 64 : 16;
  for (int64_t e = 0; e < std::max<int64_t>(1, weight.matricesPerLayer); ++e)
    for (int64_t n = 0; n < (weight.rows + unit - 1) / unit * unit; ++n)
      for (int64_t k = 0; k < weight.columns; ++k) {
        const double wanted = n < weight.rows ? sourceElement(values, weight, 0, e, n, k) : 0;
        ASSERT_EQ(keptElement(weight, blob, e, n, k), wanted)
            << weight.name << " expert " << e << " row " << n << " column " << k;
      }
}

/// A weight of each way in which codes of 8 bits are stored whose groups have a scale each.
std::vector<PackedWeight> keptFloat8(CodesModel &model) {
  std::vector<PackedWeight> weights;
  auto add = [&](int64_t columns, int64_t experts, StoredRows source) {
    const std::string name = source.pattern;
    weights.push_back(weightOf(name, columns, experts, {std::move(source)}));
  };
  const DataType f8 = DataType::F8E4M3;
  model.addFloat8("blocks", {200, 330}, 128, 128);
  add(330, 0, rowsOf("blocks", f8, 200, 128, 128));
  model.addFloat8("wide", {130, 520}, 64, 256, DataType::BF16);
  add(520, 0, rowsOf("wide", f8, 130, 64, 256));
  model.addFloat8("channels", {50, 300}, 1, 0);
  add(300, 0, rowsOf("channels", f8, 50, 1, 0));
  model.addFloat8("tensor", {50, 130}, 0, 0, DataType::F8E8M0);
  add(130, 0, rowsOf("tensor", f8, 50, 0, 0));
  model.addFloat8("stack", {3, 264, 200}, 128, 128);
  StoredRows up = rowsOf("stack", f8, 132, 128, 128);
  up.firstRow = 132;
  up.rowsPerMatrix = 264;
  add(200, 3, up);
  model.addFloat8("stack of tensors", {3, 30, 140}, 0, 0);
  StoredRows whole = rowsOf("stack of tensors", f8, 30, 0, 0);
  whole.rowsPerMatrix = 30;
  add(140, 3, whole);
  for (int64_t e : {0, 1})
    model.addFloat8("own." + std::to_string(e), {140, 129}, 128, 128);
  StoredRows own = rowsOf("own.{e}", f8, 140, 128, 128);
  add(129, 2, own);
  model.addFloat8("cut", {2 * 132, 150}, 128, 128); // of one matrix, with the blocks of that
  StoredRows cut = rowsOf("cut", f8, 132, 128, 128);
  cut.rowsPerMatrix = 132;
  add(150, 2, cut);
  model.addFloat8("beside", {70, 3 * 256}, 128, 128);
  StoredRows beside = rowsOf("beside", f8, 70, 128, 128);
  beside.sideBySide = true;
  add(256, 3, beside);
  model.addFloat8("beside by channel", {70, 3 * 20}, 1, 0);
  StoredRows channels = rowsOf("beside by channel", f8, 70, 1, 0);
  channels.sideBySide = true;
  add(20, 3, channels);
  model.addFloat8("turned", {2, 300, 150}, 128, 128);
  StoredRows turned = rowsOf("turned", f8, 75, 128, 128);
  turned.firstRow = 1;
  turned.rowStep = 2;
  turned.rowsPerMatrix = 300;
  turned.transposed = true;
  add(300, 2, turned);
  model.addFloat8("turned, cut", {3 * 256, 150}, 128, 128); // rows of K of one matrix
  StoredRows part = rowsOf("turned, cut", f8, 150, 128, 128);
  part.rowsPerMatrix = 256;
  part.transposed = true;
  add(100, 3, part);
  return weights;
}

TEST(StoredCodes, OfEightBitsKeepTheirValues) {
  CodesModel model;
  WeightPlan plan;
  for (PackedWeight &weight : keptFloat8(model)) {
    weight.quantized = QuantFormat::Fp8;
    appendBoth(plan, std::move(weight));
  }
  Checkpoint checkpoint = model.open();
  Result<std::vector<uint8_t>> blob = packToMemory(checkpoint, plan);
  ASSERT_TRUE(blob.ok()) << blob.status().message;
  for (const PackedWeight &weight : plan.weights)
    expectKept(weight, *blob, model.values);
}

TEST(StoredCodes, OfEightBitsKeepTheirValuesWhereRowsShareScales) {
  const std::set<std::string> sharing = {"wide",    "tensor", "stack of tensors",
                                         "own.{e}", "beside", "turned, cut"};
  CodesModel model;
  WeightPlan plan;
  for (PackedWeight &weight : keptFloat8(model)) {
    weight.quantized = QuantFormat::Fp8Block;
    if (sharing.contains(weight.name))
      appendBoth(plan, std::move(weight));
  }
  ASSERT_EQ(plan.weights.size(), 2 * sharing.size());
  Checkpoint checkpoint = model.open();
  Result<std::vector<uint8_t>> blob = packToMemory(checkpoint, plan);
  ASSERT_TRUE(blob.ok()) << blob.status().message;
  for (const PackedWeight &weight : plan.weights)
    expectKept(weight, *blob, model.values);
}

TEST(StoredCodes, OfFourBitsKeepTheirValues) {
  CodesModel model;
  WeightPlan plan;
  model.addMxfp4("gate_up", 3, 2 * 52, 96);
  for (int64_t first : {0, 1}) { // gate and up by turns
    StoredRows rows = rowsOf("gate_up", DataType::F4, 52, 1, 32);
    rows.firstRow = first;
    rows.rowStep = 2;
    rows.rowsPerMatrix = 104;
    PackedWeight weight = weightOf("gate_up", 96, 3, {rows});
    weight.quantized = QuantFormat::Mxfp4;
    appendBoth(plan, weight);
  }
  model.addMxfp4("beside", 1, 20, 3 * 64);
  StoredRows beside = rowsOf("beside", DataType::F4, 20, 1, 32);
  beside.sideBySide = true;
  PackedWeight weight = weightOf("beside", 64, 3, {beside});
  weight.quantized = QuantFormat::Mxfp4;
  appendBoth(plan, weight);
  Checkpoint checkpoint = model.open();
  Result<std::vector<uint8_t>> blob = packToMemory(checkpoint, plan);
  ASSERT_TRUE(blob.ok()) << blob.status().message;
  for (const PackedWeight &packed : plan.weights)
    expectKept(packed, *blob, model.values);
}

TEST(StoredCodes, AreWidenedToWhateverElse) {
  CodesModel model;
  WeightPlan plan;
  std::vector<PackedWeight> weights = keptFloat8(model);
  model.addFloat8("between", {70, 3 * 100}, 128, 128); // groups with two scales
  StoredRows between = rowsOf("between", DataType::F8E4M3, 70, 128, 128);
  between.sideBySide = true;
  weights.push_back(weightOf("between", 100, 3, {between}));
  model.addFloat8("narrow", {70, 100}, 32, 48);
  weights.push_back(weightOf("narrow", 100, 0, {rowsOf("narrow", DataType::F8E4M3, 70, 32, 48)}));
  model.addFloat8("turned between", {3 * 100, 50}, 128, 128);
  StoredRows turned = rowsOf("turned between", DataType::F8E4M3, 50, 128, 128);
  turned.rowsPerMatrix = 100;
  turned.transposed = true;
  weights.push_back(weightOf("turned between", 60, 3, {turned}));
  model.addMxfp4("four", 2, 20, 64);
  StoredRows four = rowsOf("four", DataType::F4, 20, 1, 32);
  four.rowsPerMatrix = 20;
  weights.push_back(weightOf("four", 64, 2, {four}));
  for (PackedWeight &weight : weights)
    for (PackedElement element : {PackedElement::F32, PackedElement::BF16})
      for (PackedLayout layout : {PackedLayout::Panels, PackedLayout::Rows}) {
        weight.element = element;
        weight.layout = layout;
        plan.append(weight);
      }
  Checkpoint checkpoint = model.open();
  Result<std::vector<uint8_t>> blob = packToMemory(checkpoint, plan);
  ASSERT_TRUE(blob.ok()) << blob.status().message;
  expectEqual(plan, *blob, packNaively(plan, model.values));
}

TEST(StoredCodes, AreQuantisedAnewToOtherFormatsAndWhereGroupsHaveTwoScales) {
  CodesModel model;
  model.addFloat8("w", {20, 200}, 64, 64);
  model.addMxfp4("m", 1, 20, 64);
  WeightPlan plan;
  for (const QuantTraits &traits : kQuantFormats) {
    if (traits.scaleRows > 1)
      continue;
    PackedWeight weight = weightOf("w", 200, 0, {rowsOf("w", DataType::F8E4M3, 20, 64, 64)});
    weight.quantized = traits.format;
    plan.append(weight);
    weight = weightOf("m", 64, 0, {rowsOf("m", DataType::F4, 20, 1, 32)});
    weight.quantized = traits.format;
    plan.append(weight);
  }
  Checkpoint checkpoint = model.open();
  Result<std::vector<uint8_t>> blob = packToMemory(checkpoint, plan);
  ASSERT_TRUE(blob.ok()) << blob.status().message;
  for (const PackedWeight &weight : plan.weights) {
    const QuantizedPanel panel{*weight.quantized, 32, weight.columns, blob->data() + weight.offset};
    double error = 0, square = 0;
    for (int64_t n = 0; n < weight.rows; ++n)
      for (int64_t k = 0; k < weight.columns; ++k) {
        const double wanted = sourceElement(model.values, weight, 0, 0, n, k);
        error += std::pow(panel.element(n, k) - wanted, 2);
        square += wanted * wanted;
      }
    EXPECT_LE(error, 0.03 * square) << weight.name << " " << weight.elementName();
  }
}

TEST(StoredCodes, OfANanMakeTheirGroupNan) {
  CodesModel model;
  model.addFloat8("w", {3, 300}, 128, 128);
  model.tensors[0].bytes[300 + 130] = 0xff;
  WeightPlan plan;
  PackedWeight weight = weightOf("w", 300, 0, {rowsOf("w", DataType::F8E4M3, 3, 128, 128)});
  plan.append(weight);
  weight.quantized = QuantFormat::Fp8;
  plan.append(weight);
  Checkpoint checkpoint = model.open();
  Result<std::vector<uint8_t>> blob = packToMemory(checkpoint, plan);
  ASSERT_TRUE(blob.ok()) << blob.status().message;
  const QuantizedPanel panel{QuantFormat::Fp8, 16, 300, blob->data() + plan.weights[1].offset};
  for (int64_t n = 0; n < 3; ++n)
    for (int64_t k = 0; k < 300; ++k) {
      EXPECT_EQ(std::isnan(panel.element(n, k)), n == 1 && k / 128 == 1) << n << " " << k;
      float widened;
      std::memcpy(&widened, blob->data() + 4 * (k * 16 + n), 4);
      EXPECT_EQ(std::isnan(widened), n == 1 && k == 130) << n << " " << k;
    }
}

TEST(StoredCodes, OfANanMakeTheGroupsThatShareItsScaleNan) {
  CodesModel model;
  model.addFloat8("w", {20, 300}, 128, 128);
  model.tensors[0].bytes[2 * 300 + 130] = 0xff;
  WeightPlan plan;
  PackedWeight weight = weightOf("w", 300, 0, {rowsOf("w", DataType::F8E4M3, 20, 128, 128)});
  weight.quantized = QuantFormat::Fp8Block;
  plan.append(weight);
  Checkpoint checkpoint = model.open();
  Result<std::vector<uint8_t>> blob = packToMemory(checkpoint, plan);
  ASSERT_TRUE(blob.ok()) << blob.status().message;
  const QuantizedPanel panel{QuantFormat::Fp8Block, 32, 300, blob->data()};
  for (int64_t n = 0; n < 20; ++n)
    for (int64_t k = 0; k < 300; ++k)
      EXPECT_EQ(std::isnan(panel.element(n, k)), n < 16 && k / 128 == 1) << n << " " << k;
}

TEST(StoredCodes, ScalesOfPowersOfTwo) {
  const uint8_t bytes[] = {0, 1, 127, 254, 255};
  float scales[5];
  widenScales(bytes, DataType::U8, scales, 5);
  EXPECT_EQ(scales[0], std::ldexp(1.0f, -127));
  EXPECT_EQ(scales[1], std::ldexp(1.0f, -126));
  EXPECT_EQ(scales[2], 1);
  EXPECT_EQ(scales[3], std::ldexp(1.0f, 127));
  EXPECT_TRUE(std::isinf(scales[4]));
  widenScales(bytes, DataType::F8E8M0, scales, 5);
  EXPECT_EQ(scales[2], 1);
  EXPECT_TRUE(std::isnan(scales[4]));
}

TEST(StoredCodes, MissingOrShortScalesAreNamed) {
  CodesModel model;
  model.addFloat8("w", {200, 300}, 128, 128);
  WeightPlan plan;
  PackedWeight weight = weightOf("w", 300, 0, {rowsOf("w", DataType::F8E4M3, 200, 128, 128)});
  weight.quantized = QuantFormat::Fp8;
  plan.append(weight);
  model.tensors[1].shape = {5};
  model.tensors[1].bytes.resize(20);
  EXPECT_FAILS(packToMemory(model.open(), plan), Code::Model,
               "tensor `w_scale` is F32 of shape [5], and does not hold the 6 scales");
  model.tensors.pop_back();
  EXPECT_FAILS(packToMemory(model.open(), plan), Code::Model, "tensor `w_scale` is missing");
}

} // namespace
