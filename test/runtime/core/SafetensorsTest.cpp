// The safetensors parser takes what the format permits and names what it does not; the writer's
// files are plain.

#include "runtime/core/Safetensors.h"
#include "test/ScratchFolder.h"

#include <gtest/gtest.h>

using namespace moec;

static Result<SafetensorsHeader> parse(const std::string &json, size_t dataBytes,
                                       FileLength length = FileLength::Exact) {
  std::string file = safetensorsFile(json, dataBytes);
  std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t *>(file.data()), file.size());
  return SafetensorsHeader::parse(bytes, file.size(), "x.safetensors", length);
}

TEST(Safetensors, GivesTensorsInTheOrderOfTheirData) {
  Result<SafetensorsHeader> header =
      parse(R"({"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},)"
            R"("__metadata__":{"format":"pt"},)"
            R"("a":{"data_offsets":[12,20],"shape":[2],"dtype":"F32"}}    )",
            20);
  ASSERT_TRUE(header.ok()) << header.status().message;
  ASSERT_EQ(header->tensors().size(), 2u);
  EXPECT_EQ(header->tensors()[0].name, "b");
  EXPECT_EQ(header->tensors()[0].shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(header->tensors()[0].type, DataType::BF16);
  EXPECT_EQ(header->find("a")->begin, 12u);
  EXPECT_EQ(header->find("c"), nullptr);
  EXPECT_EQ(header->dataBytes(), 20u);
}

TEST(Safetensors, TakesEmptyFilesScalarsAndEmptyTensors) {
  EXPECT_TRUE(parse("{}", 0).ok());
  Result<SafetensorsHeader> header =
      parse(R"({"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
            R"("e":{"dtype":"F32","shape":[0,9223372036854775807],"data_offsets":[0,0]},)"
            R"("f":{"dtype":"I8","shape":[0],"data_offsets":[4,4]}})",
            4);
  EXPECT_TRUE(header.ok()) << header.status().message;
}

TEST(Safetensors, RefusesBadHeaders) {
  auto entry = [](const std::string &dtype, const std::string &shape, const std::string &offsets) {
    return R"({"t":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" +
           offsets + "}}";
  };
  struct Case {
    std::string json;
    size_t dataBytes;
    const char *complaint;
  };
  const std::string deep(100'000, '[');
  const Case cases[] = {
      {"", 0, "does not begin with `{`"},
      {" {}", 0, "does not begin with `{`"},
      {"{}\n", 0, "does not end with"},
      {"{\"a\":", 0, "does not end with"},
      {"{\"a\"}", 0, "not valid JSON at byte"},
      {"{}{}", 0, "not valid JSON at byte"},
      {"{\"a\":" + deep + "}", 0, "array where none belongs"},
      {R"({"a":{"b":{"c":{}}}})", 0, "unknown key"},
      {R"({"__metadata__":{"a":{}}})", 0, "an object where none belongs"},
      {R"({"__metadata__":{"a":"1","a":"1"}})", 0, "twice"},
      {R"({"a":{"dtype":{}}})", 0, "tensor `a`"},
      {"{\"a\\u0007b\":{}}", 0, "control character"},
      {entry("F33", "[1]", "[0,4]"), 4, "tensor `t` has the unknown dtype `F33`"},
      {entry("F32", "[2]", "[0,4]"), 4, "8 bytes, but its data_offsets [0, 4] span 4"},
      {entry("F32", "[-1]", "[0,4]"), 4, "the negative number -1"},
      {entry("F32", "[1.5]", "[0,4]"), 4, "no integer"},
      {entry("F32", "[18446744073709551616]", "[0,4]"), 4, "no integer of 64 bits"},
      {entry("F32", "[9223372036854775808]", "[0,4]"), 4, "too large"},
      {entry("F32", "[4294967296,4294967296]", "[0,4]"), 4, "too large"},
      {entry("F32", "[4611686018427387904]", "[0,0]"), 0, "too large"},
      {entry("F32", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "more than 16 dimensions"},
      {entry("F4", "[1]", "[0,0]"), 0, "but its data_offsets"},
      {entry("F32", "[1]", "[4,0]"), 4, "end before they begin"},
      {entry("F32", "[1]", "[0]"), 4, "two data_offsets"},
      {entry("F32", "[1]", "[0,4,8]"), 4, "two data_offsets"},
      {entry("F32", "[1]", "[4,8]"), 8, "leaving a hole"},
      {entry("F32", "[1]", "[0,4]"), 5, "holds 5 bytes of data, but its tensors end at 4"},
      {entry("F32", "[1]", "[0,4]"), 3,
       "is cut short: holds 3 bytes of data, tensor `t` ends at 4"},
      {R"({"t":{"dtype":"F32","shape":[1]}})", 0, "lacks one of"},
      {R"({"t":{"dtype":"F32","dtype":"F32"}})", 0, "has `dtype` twice"},
      {R"({"t":3})", 0, "a number where none belongs"},
      {R"({"t":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},)"
       R"("t":{"dtype":"I8","shape":[1],"data_offsets":[1,2]}})",
       2, "tensor `t` appears twice"},
      {R"({"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},)"
       R"("b":{"dtype":"I8","shape":[2],"data_offsets":[1,3]}})",
       3, "tensor `b` begins at byte 1 of the data, overlapping"},
  };
  for (const Case &bad : cases) {
    SCOPED_TRACE(bad.json.substr(0, 80));
    EXPECT_FAILS(parse(bad.json, bad.dataBytes), Code::Model, bad.complaint);
  }
}

TEST(Safetensors, RefusesLengthsThatTheFileCannotHold) {
  ScratchFolder folder;
  auto read = [&](const std::string &bytes) {
    Result<File> file = File::open(folder.write("x", bytes));
    return SafetensorsHeader::read(*file);
  };
  EXPECT_FAILS(read(""), Code::Model, "holds 0 bytes, too few");
  EXPECT_FAILS(read("1234567"), Code::Model, "holds 7 bytes, too few");
  EXPECT_FAILS(read(std::string("\x01\xe1\xf5\x05\0\0\0\0", 8)), Code::Model,
               "claims 100000001 bytes, more than the 100000000 permitted");
  EXPECT_FAILS(read(std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10)), Code::Model,
               "permitted");
  EXPECT_FAILS(read(std::string("\x03\0\0\0\0\0\0\0{}", 10)), Code::Model,
               "claims 3 bytes, but the file ends after 2");
}

TEST(Safetensors, PartialFilesMayEndAnywhereAfterTheHeader) {
  std::string json = R"({"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  for (size_t bytes : {0, 1, 4})
    EXPECT_TRUE(parse(json, bytes, FileLength::Partial).ok());
  EXPECT_FALSE(parse(json, 5, FileLength::Partial).ok());
}

TEST(Safetensors, WritesSortedAlignedAndReadable) {
  ScratchFolder folder;
  writeTensors(folder.path("out"), {{"z", DataType::F32, {1}, {1, 2, 3, 4}},
                                    {"a\"b", DataType::I64, {0}, {}},
                                    {"m", DataType::BF16, {1, 1}, {5, 6}}});
  std::string bytes = folder.read("out");
  EXPECT_EQ(bytes.substr(bytes.size() - 6), "\x05\x06\x01\x02\x03\x04");
  Result<File> file = File::open(folder.path("out"));
  Result<SafetensorsHeader> header = SafetensorsHeader::read(*file);
  ASSERT_TRUE(header.ok()) << header.status().message;
  EXPECT_EQ(header->dataStart() % 8, 0u);
  EXPECT_EQ(header->find("z")->begin, 2u);
  EXPECT_NE(header->find("a\"b"), nullptr);
  EXPECT_EQ(bytes.find("__metadata__"), std::string::npos);
}
