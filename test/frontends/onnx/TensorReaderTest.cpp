// Tensors of every type, in every place that data may be in, and in places that it may not.

#include "test/frontends/onnx/OnnxFolder.h"

#include <gtest/gtest.h>

using namespace moec;
using Proto = ::onnx::TensorProto;

namespace {
/// A model with one tensor, `w`.
struct TensorFolder : OnnxFolder {
  ::onnx::ModelProto model = emptyModel();
  Proto &tensor = *model.mutable_graph()->add_initializer();

  TensorFolder(int type, std::initializer_list<int64_t> dims) {
    tensor.set_name("w");
    tensor.set_data_type(type);
    for (int64_t size : dims)
      tensor.add_dims(size);
  }
  /// The bytes of the tensor; none, and a failed test, where it is refused.
  std::vector<uint8_t> bytes() const {
    Result<OnnxModel> read = OnnxFolder::read(model);
    EXPECT_TRUE(read.ok()) << read.status().message;
    if (!read.ok())
      return {};
    std::span<const uint8_t> found = read->bytesOf(read->graph.initializers.at(0).tensor);
    return {found.begin(), found.end()};
  }
  Result<OnnxModel> read() const { return OnnxFolder::read(model); }
};
} // namespace

using Bytes = std::vector<uint8_t>;

TEST(TensorReader, RawDataOfEveryTypeStaysInTheFile) {
  for (int number = 1; number <= Proto::DataType_MAX; ++number) {
    if (number == Proto::STRING)
      continue;
    const ElementType type = *elementTypeOf(number);
    const size_t size = *rawBytes(type, 15);
    TensorFolder folder(number, {3, 5});
    folder.tensor.set_raw_data(std::string(size, 'q'));
    Result<OnnxModel> model = folder.read();
    ASSERT_TRUE(model.ok()) << model.status().message;
    const OnnxTensor &tensor = model->graph.initializers[0].tensor;
    EXPECT_EQ(tensor.type, type);
    EXPECT_EQ(tensor.file, 0u);
    EXPECT_TRUE(tensor.decoded.empty());
    EXPECT_EQ(folder.OnnxFolder::ScratchFolder::read("model.onnx").substr(tensor.offset, size),
              std::string(size, 'q'));
    EXPECT_EQ(model->bytesOf(tensor).size(), size);

    folder.tensor.set_raw_data(std::string(size + 1, 'q'));
    EXPECT_FAILS(folder.read(), Code::Model,
                 "tensor `w`: has " + std::to_string(size + 1) + " bytes of data, [3, 5] of");
  }
}

TEST(TensorReader, FloatsInAListStayInTheFile) {
  TensorFolder folder(Proto::FLOAT, {2});
  folder.tensor.add_float_data(1);
  folder.tensor.add_float_data(-2);
  EXPECT_EQ(folder.bytes(), (Bytes{0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}));
  EXPECT_EQ(folder.read()->graph.initializers[0].tensor.file, 0u);
  folder.tensor.add_float_data(3);
  EXPECT_FAILS(folder.read(), Code::Model, "has 3 numbers in float_data, [2] of FLOAT want 2");

  TensorFolder complex(Proto::COMPLEX64, {1});
  complex.tensor.add_float_data(1);
  EXPECT_FAILS(complex.read(), Code::Model, "has 1 numbers in float_data, [1] of COMPLEX64 want 2");
  complex.tensor.add_float_data(-2);
  EXPECT_EQ(complex.bytes(), (Bytes{0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}));

  TensorFolder wide(Proto::DOUBLE, {1});
  wide.tensor.add_double_data(1);
  EXPECT_EQ(wide.bytes(), (Bytes{0, 0, 0, 0, 0, 0, 0xf0, 0x3f}));
}

TEST(TensorReader, FloatsWrittenOneByOneAreJoined) {
  TensorFolder folder(Proto::FLOAT, {2});
  std::string pieces = folder.tensor.SerializeAsString();
  pieces += std::string("\x25\x00\x00\x80\x3f", 5) + std::string("\x22\x04\x00\x00\x00\xc0", 6);
  ::onnx::ModelProto empty = emptyModel();
  // The graph goes on in the same bytes: an initializer is field 5 of it.
  std::string graph = empty.graph().SerializeAsString() + "\x2a" + char(pieces.size()) + pieces;
  empty.clear_graph();
  Result<OnnxModel> model =
      folder.readBytes(empty.SerializeAsString() + "\x3a" + char(graph.size()) + graph);
  ASSERT_TRUE(model.ok()) << model.status().message;
  std::span<const uint8_t> bytes = model->bytesOf(model->graph.initializers[0].tensor);
  EXPECT_EQ(Bytes(bytes.begin(), bytes.end()), (Bytes{0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}));
}

TEST(TensorReader, Int32ListsHoldSmallTypes) {
  struct {
    int type;
    int64_t elements;
    std::vector<int32_t> numbers;
    Bytes bytes;
  } cases[] = {
      {Proto::INT32, 2, {-1, 5}, {255, 255, 255, 255, 5, 0, 0, 0}},
      {Proto::INT16, 2, {-2, 300}, {254, 255, 44, 1}},
      {Proto::UINT16, 1, {65535}, {255, 255}},
      {Proto::INT8, 2, {-128, 127}, {128, 127}},
      {Proto::UINT8, 2, {0, 255}, {0, 255}},
      {Proto::BOOL, 2, {1, 0}, {1, 0}},
      {Proto::FLOAT16, 1, {0x3c00}, {0, 0x3c}},
      {Proto::BFLOAT16, 1, {0xbf80}, {0x80, 0xbf}},
      {Proto::FLOAT8E4M3FN, 1, {0xb8}, {0xb8}},
      {Proto::FLOAT8E8M0, 1, {127}, {127}},
      {Proto::INT4, 3, {0x21, 0x0f}, {0x21, 0x0f}},
      {Proto::FLOAT4E2M1, 2, {0xf1}, {0xf1}},
      {Proto::UINT2, 5, {0xe4, 3}, {0xe4, 3}},
      // 1, 2, 3, 4, 5 in six bits each, the lowest first
      {Proto::FLOAT6E2M3, 5, {1, 2, 3, 4, 5}, {0x81, 0x30, 0x10, 0x05}},
  };
  for (const auto &each : cases) {
    TensorFolder folder(each.type, {each.elements});
    for (int32_t number : each.numbers)
      folder.tensor.add_int32_data(number);
    EXPECT_EQ(folder.bytes(), each.bytes) << each.type;
    folder.tensor.add_int32_data(0);
    EXPECT_FAILS(folder.read(), Code::Model, "numbers in int32_data");
  }
}

TEST(TensorReader, NumbersThatDoNotFitAreRefused) {
  for (auto [type, number] : {std::pair(Proto::INT8, 256),
                              {Proto::INT8, -129},
                              {Proto::BOOL, 2},
                              {Proto::UINT16, 65536},
                              {Proto::FLOAT6E3M2, 64}}) {
    TensorFolder folder(type, {1});
    folder.tensor.add_int32_data(number);
    EXPECT_FAILS(folder.read(), Code::Model,
                 "holds " + std::to_string(number) + " in int32_data, too large for");
  }
  TensorFolder folder(Proto::UINT32, {1});
  folder.tensor.add_uint64_data(uint64_t{1} << 32);
  EXPECT_FAILS(folder.read(), Code::Model, "holds 4294967296 in uint64_data, too large for UINT32");
}

TEST(TensorReader, WideIntegersHaveListsOfTheirOwn) {
  TensorFolder folder(Proto::INT64, {2});
  folder.tensor.add_int64_data(-1);
  folder.tensor.add_int64_data(7);
  EXPECT_EQ(folder.bytes(),
            (Bytes{255, 255, 255, 255, 255, 255, 255, 255, 7, 0, 0, 0, 0, 0, 0, 0}));
  TensorFolder narrow(Proto::UINT32, {1});
  narrow.tensor.add_uint64_data(UINT32_MAX);
  EXPECT_EQ(narrow.bytes(), (Bytes{255, 255, 255, 255}));
  TensorFolder wide(Proto::UINT64, {1});
  wide.tensor.add_uint64_data(UINT64_MAX);
  EXPECT_EQ(wide.bytes(), Bytes(8, 255));
  wide.tensor.set_data_type(Proto::INT64);
  EXPECT_FAILS(wide.read(), Code::Model, "is of INT64, but has uint64_data");
}

TEST(TensorReader, StringsAreKept) {
  TensorFolder folder(Proto::STRING, {2});
  folder.tensor.add_string_data("a");
  EXPECT_FAILS(folder.read(), Code::Model, "has 1 strings, its shape [2] wants 2");
  folder.tensor.add_string_data("b");
  Result<OnnxModel> model = folder.read();
  ASSERT_TRUE(model.ok()) << model.status().message;
  EXPECT_EQ(model->graph.initializers[0].tensor.strings, (std::vector<std::string>{"a", "b"}));
  folder.tensor.clear_string_data();
  folder.tensor.set_raw_data("ab");
  EXPECT_FAILS(folder.read(), Code::Model, "is of strings, whose place is string_data");
  TensorFolder other(Proto::FLOAT, {1});
  other.tensor.add_string_data("abcd");
  EXPECT_FAILS(other.read(), Code::Model, "is of FLOAT, but has string_data");
}

TEST(TensorReader, DataHasOnePlace) {
  TensorFolder folder(Proto::FLOAT, {1});
  folder.tensor.set_raw_data("abcd");
  folder.tensor.add_float_data(1);
  EXPECT_FAILS(folder.read(), Code::Model, "has data in two places");
  folder.tensor.clear_float_data();
  folder.tensor.set_data_location(Proto::EXTERNAL);
  EXPECT_FAILS(folder.read(), Code::Model, "has data in two places");
  folder.tensor.set_data_location(Proto::DEFAULT);
  folder.tensor.add_external_data()->set_key("location");
  EXPECT_FAILS(folder.read(), Code::Model, "but its data_location is not EXTERNAL");
  TensorFolder none(Proto::FLOAT, {1});
  EXPECT_FAILS(none.read(), Code::Model, "has 0 bytes of data, [1] of FLOAT want 4");
}

TEST(TensorReader, TensorsWithoutElementsHaveNoData) {
  TensorFolder folder(Proto::FLOAT, {0, int64_t{1} << 62, 9});
  EXPECT_EQ(folder.bytes(), Bytes());
  folder.tensor.set_raw_data("");
  EXPECT_EQ(folder.bytes(), Bytes());
}

TEST(TensorReader, ShapesAndTypesAreChecked) {
  EXPECT_FAILS(TensorFolder(Proto::FLOAT, {int64_t{1} << 40, int64_t{1} << 40}).read(), Code::Model,
               "wanted sizes of at least 0 that make a tensor of less than 2^63 bits");
  EXPECT_FAILS(TensorFolder(Proto::FLOAT, {int64_t{1} << 60}).read(), Code::Model, "2^63 bits");
  EXPECT_FAILS(TensorFolder(Proto::FLOAT, {-1}).read(), Code::Model, "has the shape [-1]");
  EXPECT_FAILS(TensorFolder(0, {1}).read(), Code::Model, "has the element type 0");
  EXPECT_FAILS(TensorFolder(29, {1}).read(), Code::Unsupported, "has the element type 29");
  TensorFolder many(Proto::FLOAT, {});
  for (int index = 0; index < 65; ++index)
    many.tensor.add_dims(1);
  EXPECT_FAILS(many.read(), Code::Unsupported, "has 65 dimensions");
  TensorFolder segment(Proto::FLOAT, {1});
  segment.tensor.mutable_segment();
  EXPECT_FAILS(segment.read(), Code::Unsupported, "is a segment");
}

TEST(TensorReader, ConstantsOfNodesAreTensorsLikeOthers) {
  OnnxFolder folder;
  ::onnx::ModelProto model = emptyModel();
  Proto &value = *addAttribute(addNode(*model.mutable_graph(), "Constant", {}, {"c"}), "value",
                               ::onnx::AttributeProto::TENSOR)
                      .mutable_t();
  value.set_data_type(Proto::FLOAT);
  value.set_raw_data("abcd");
  Result<OnnxModel> read = folder.read(model);
  ASSERT_TRUE(read.ok()) << read.status().message;
  const auto &tensor =
      std::get<std::shared_ptr<const OnnxTensor>>(read->graph.nodes[0].find("value")->value);
  EXPECT_EQ(tensor->file, 0u);
  EXPECT_EQ(folder.ScratchFolder::read("model.onnx").substr(tensor->offset, 4), "abcd");
  value.set_raw_data("abc");
  EXPECT_FAILS(folder.read(model), Code::Model,
               "node `Constant_0` (Constant): attribute `value`: has 3 bytes of data, [] of FLOAT");
}
