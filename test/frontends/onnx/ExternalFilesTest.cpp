// External data: what is read, and every way out of the model's directory.

#include "test/frontends/onnx/OnnxFolder.h"

#include <gtest/gtest.h>

#include <sys/stat.h>

using namespace moec;
namespace fs = std::filesystem;
using Proto = ::onnx::TensorProto;

namespace {
/// A model in m/, whose tensor `w` of 2 floats lies in a file.
struct ExternalFolder : ScratchFolder {
  ::onnx::ModelProto model = emptyModel();
  Proto &tensor = *model.mutable_graph()->add_initializer();

  ExternalFolder() {
    tensor.set_name("w");
    tensor.set_data_type(Proto::FLOAT);
    tensor.add_dims(2);
    tensor.set_data_location(Proto::EXTERNAL);
    ScratchFolder::write("m/data", "0123456789ab");
    ScratchFolder::write("outside", "0123456789ab");
  }
  void set(std::initializer_list<std::pair<std::string, std::string>> entries) {
    tensor.clear_external_data();
    for (const auto &[key, value] : entries) {
      ::onnx::StringStringEntryProto &entry = *tensor.add_external_data();
      entry.set_key(key);
      entry.set_value(value);
    }
  }
  Result<OnnxModel> read(const OnnxOptions &options = {}) const {
    return readOnnx(ScratchFolder::write("m/model.onnx", model.SerializeAsString()), options);
  }
  Result<OnnxModel> readAt(const std::string &location, const OnnxOptions &options = {}) {
    set({{"location", location}});
    return read(options);
  }
};
} // namespace

static std::string textOf(const OnnxModel &model, size_t initializer = 0) {
  std::span<const uint8_t> bytes = model.bytesOf(model.graph.initializers.at(initializer).tensor);
  return {bytes.begin(), bytes.end()};
}

TEST(ExternalFiles, AreMapped) {
  ExternalFolder folder;
  folder.set({{"location", "data"}, {"offset", "3"}, {"length", "8"}, {"checksum", "unread"}});
  Result<OnnxModel> model = folder.read();
  ASSERT_TRUE(model.ok()) << model.status().message;
  EXPECT_EQ(textOf(*model), "3456789a");
  EXPECT_EQ(model->files.at(1).path, folder.path("m/data"));
  EXPECT_EQ(model->files[1].size, 12u);
  // The offset may be left out, and one file serve many tensors that overlap.
  folder.set({{"location", "data"}});
  Proto &other = *folder.model.mutable_graph()->add_initializer();
  other = folder.tensor;
  other.set_name("v");
  other.set_dims(0, 3);
  model = folder.read();
  ASSERT_TRUE(model.ok()) << model.status().message;
  EXPECT_EQ(textOf(*model, 0), "01234567");
  EXPECT_EQ(textOf(*model, 1), "0123456789ab");
  EXPECT_EQ(model->files.size(), 2u);
}

TEST(ExternalFiles, LocationsStayInTheDirectory) {
  ExternalFolder folder;
  EXPECT_TRUE(folder.readAt("./data").ok());
  EXPECT_FAILS(folder.readAt(""), Code::Model, "is empty");
  EXPECT_FAILS(folder.readAt("../outside"), Code::Model, "tensor `w`: ");
  EXPECT_FAILS(folder.readAt("../outside"), Code::Model, "leaves the directory");
  EXPECT_FAILS(folder.readAt("a/../../outside"), Code::Model, "leaves the directory");
  EXPECT_FAILS(folder.readAt(folder.path("m/data")), Code::Model, "is absolute");
  EXPECT_FAILS(folder.readAt(std::string("data\0x", 6)), Code::Model, "control character");
  EXPECT_FAILS(folder.readAt("..\\outside"), Code::Model, "a name with a backslash");
  EXPECT_FAILS(folder.readAt("C:data"), Code::Model, "a name with a drive");
  EXPECT_FAILS(folder.readAt("*/_ORT_MEM_ADDR_/*"), Code::Model, "an address in a process");
  EXPECT_FAILS(folder.readAt(std::string(5000, 'a')), Code::Model, "too long");
  // Also where files may be missing.
  EXPECT_FAILS(folder.readAt("../none", {.headersOnly = true}), Code::Model,
               "leaves the directory");
}

TEST(ExternalFiles, LinksStayInTheDirectoryToo) {
  ExternalFolder folder;
  fs::create_symlink("data", folder.path("m/inside"));
  fs::create_symlink("../outside", folder.path("m/link"));
  fs::create_symlink("..", folder.path("m/up"));
  fs::create_hard_link(folder.path("outside"), folder.path("m/hard"));
  EXPECT_TRUE(folder.readAt("inside").ok());
  for (const char *location : {"link", "up/outside", "hard"}) {
    EXPECT_FAILS(folder.readAt(location), Code::Model, "--follow-links permits that");
    Result<OnnxModel> model = folder.readAt(location, {.followLinks = true});
    ASSERT_TRUE(model.ok()) << model.status().message;
    EXPECT_EQ(textOf(*model), "01234567");
  }
}

TEST(ExternalFiles, AreRegular) {
  ExternalFolder folder;
  fs::create_directory(folder.path("m/folder"));
  ASSERT_EQ(mkfifo(folder.path("m/fifo").c_str(), 0600), 0);
  fs::create_symlink("/dev/zero", folder.path("m/zero"));
  EXPECT_FAILS(folder.readAt("folder"), Code::Model, "is a directory");
  EXPECT_FAILS(folder.readAt("fifo"), Code::Model, "is a FIFO");
  EXPECT_FAILS(folder.readAt("zero", {.followLinks = true}), Code::Model, "is a device");
  EXPECT_FAILS(folder.readAt("none"), Code::Model, "No such file");
}

TEST(ExternalFiles, ASnapshotOfTheHubLeadsToItsBlobs) {
  ExternalFolder folder;
  folder.write("models--a--b/blobs/123", "01234567");
  folder.write("models--a--b/snapshots/rev/onnx/model.onnx", "");
  fs::create_symlink("../../../blobs/123", folder.path("models--a--b/snapshots/rev/onnx/data"));
  folder.set({{"location", "data"}});
  Result<OnnxModel> model = readOnnx(
      folder.write("models--a--b/snapshots/rev/onnx/model.onnx", folder.model.SerializeAsString()));
  ASSERT_TRUE(model.ok()) << model.status().message;
  EXPECT_EQ(textOf(*model), "01234567");
}

TEST(ExternalFiles, RangesLieInTheFile) {
  ExternalFolder folder;
  auto fails = [&](std::initializer_list<std::pair<std::string, std::string>> entries,
                   const std::string &words) {
    folder.set(entries);
    EXPECT_FAILS(folder.read(), Code::Model, words);
  };
  fails({{"location", "data"}, {"offset", "5"}}, "is bytes 5 to 13 of data, which holds 12");
  fails({{"location", "data"}, {"offset", "18446744073709551615"}}, "which holds 12");
  fails({{"location", "data"}, {"length", "12"}}, "has 12 bytes, its type and shape want 8");
  for (const char *number : {"", "-1", "+1", " 1", "1 ", "0x1", "1e3", "18446744073709551616"}) {
    fails({{"location", "data"}, {"offset", number}}, "has the offset");
    fails({{"location", "data"}, {"length", number}}, "has the length");
  }
  fails({{"location", "data"}, {"offset", "1"}, {"offset", "0"}}, "has the key `offset` twice");
  fails({{"location", "data"}, {"prefix", "1"}}, "has the key `prefix`");
  fails({{"offset", "0"}}, "has no location");
  fails({}, "has no location");
}

TEST(ExternalFiles, HeadersAloneNeedNone) {
  ExternalFolder folder;
  Result<OnnxModel> model = folder.readAt("none", {.headersOnly = true});
  ASSERT_TRUE(model.ok()) << model.status().message;
  EXPECT_FALSE(model->files.at(1).isPresent);
  EXPECT_EQ(textOf(*model), "");
  fs::resize_file(folder.path("m/data"), 4);
  model = folder.readAt("data", {.headersOnly = true});
  ASSERT_TRUE(model.ok()) << model.status().message;
  EXPECT_EQ(textOf(*model), "");
  EXPECT_FAILS(folder.readAt("data"), Code::Model, "which holds 4");
}

TEST(ExternalFiles, TensorsOfAttributesFollowTheSameRules) {
  ExternalFolder folder;
  folder.set({{"location", "../outside"}});
  ::onnx::AttributeProto &attribute =
      addAttribute(addNode(*folder.model.mutable_graph(), "Constant", {}, {"c"}), "value",
                   ::onnx::AttributeProto::TENSOR);
  *attribute.mutable_t() = folder.tensor;
  folder.model.mutable_graph()->clear_initializer();
  Result<OnnxModel> model =
      readOnnx(folder.write("m/model.onnx", folder.model.SerializeAsString()));
  EXPECT_FAILS(model, Code::Model, "node `Constant_0` (Constant): attribute `value`: tensor `w`: ");
}
