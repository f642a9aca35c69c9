// Model directories: golden ones open, and damaged ones are named.

#include "frontends/checkpoint/Checkpoint.h"
#include "test/ScratchFolder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sys/stat.h>

using namespace moec;
namespace fs = std::filesystem;

static const std::string kGolden = std::string(MOEC_TEST_DIR) + "/golden/";

static std::string oneTensor(const std::string &name, int64_t size = 2) {
  return safetensorsFile("{\"" + name + R"(":{"dtype":"F32","shape":[)" + std::to_string(size) +
                             R"(],"data_offsets":[0,)" + std::to_string(4 * size) + "]}}",
                         static_cast<size_t>(4 * size));
}

static std::string index(const std::string &map) { return "{\"weight_map\":{" + map + "}}"; }

/// A directory of two shards with a tensor each.
struct Sharded : ScratchFolder {
  Sharded() {
    write("config.json", "{}");
    write("one.safetensors", oneTensor("a"));
    write("two.safetensors", oneTensor("b"));
    writeIndex(R"("a":"one.safetensors","b":"two.safetensors")");
  }
  void writeIndex(const std::string &map) const {
    write("model.safetensors.index.json", index(map));
  }
  Result<Checkpoint> open(const CheckpointOptions &options = {}) const {
    return Checkpoint::open(path(), options);
  }
};

TEST(Checkpoint, OpensGoldenDirectories) {
  Result<Checkpoint> single = Checkpoint::open(kGolden + "mixtral/");
  ASSERT_TRUE(single.ok()) << single.status().message;
  EXPECT_EQ(single->config().architecture(), "MixtralForCausalLM");
  EXPECT_EQ(single->files().size(), 1u);
  Result<Checkpoint> sharded = Checkpoint::open(kGolden + "mixtral_sharded");
  ASSERT_TRUE(sharded.ok()) << sharded.status().message;
  EXPECT_EQ(sharded->files().size(), 4u);
  const CheckpointTensor *tensor = sharded->find("model.layers.1.block_sparse_moe.gate.weight");
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(shapeText(tensor->shape), "[8, 40]");
  EXPECT_EQ(tensor->bytes, 8u * 40 * 4);
  EXPECT_LE(tensor->offset + tensor->bytes, sharded->files()[tensor->file].bytes);
  EXPECT_TRUE(std::is_sorted(sharded->tensors().begin(), sharded->tensors().end(),
                             [](const auto &a, const auto &b) {
                               return std::tie(a.file, a.offset) < std::tie(b.file, b.offset);
                             }));
  // Every name is found, also after a move, and no other.
  Checkpoint moved = std::move(*sharded);
  for (const CheckpointTensor &each : moved.tensors())
    EXPECT_EQ(moved.find(std::string(each.name)), &each);
  EXPECT_EQ(moved.find("model.layers.1.block_sparse_moe.gate.weigh"), nullptr);
}

TEST(Checkpoint, NamesWhatADirectoryLacks) {
  ScratchFolder folder;
  EXPECT_FAILS(Checkpoint::open(folder.path("none")), Code::Model, "is not a directory");
  EXPECT_FAILS(Checkpoint::open(folder.path()), Code::Model, "config.json: cannot be opened");
  folder.write("config.json", "{");
  EXPECT_FAILS(Checkpoint::open(folder.path()), Code::Model, "config.json: not valid JSON");
  folder.write("config.json", "[]");
  EXPECT_FAILS(Checkpoint::open(folder.path()), Code::Model, "wanted a JSON object");
  folder.write("config.json", "{}");
  EXPECT_FAILS(Checkpoint::open(folder.path()), Code::Model,
               "holds neither model.safetensors nor model.safetensors.index.json");
  folder.write("pytorch_model.bin", "");
  EXPECT_FAILS(Checkpoint::open(folder.path()), Code::Model, "pickled");
  fs::remove(folder.path("config.json"));
  ASSERT_EQ(mkfifo(folder.path("config.json").c_str(), 0600), 0);
  EXPECT_FAILS(Checkpoint::open(folder.path()), Code::Model, "is a FIFO");
}

TEST(Checkpoint, RefusesBadShards) {
  ScratchFolder folder;
  folder.write("config.json", "{}");
  std::string path = folder.path("model.safetensors");
  folder.write("model.safetensors", "");
  EXPECT_FAILS(Checkpoint::open(folder.path()), Code::Model, "model.safetensors: holds 0 bytes");
  std::string whole = oneTensor("a");
  folder.write("model.safetensors", whole.substr(0, whole.size() - 1));
  EXPECT_FAILS(Checkpoint::open(folder.path()), Code::Model, "is cut short");
  EXPECT_TRUE(Checkpoint::open(folder.path(), {.headersOnly = true}).ok());
  fs::remove(path);
  fs::create_directory(path);
  EXPECT_FAILS(Checkpoint::open(folder.path()), Code::Model, "is a directory");
  fs::remove(path);
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_FAILS(Checkpoint::open(folder.path()), Code::Model, "is a FIFO");
  fs::remove(path);
  fs::create_symlink("missing", path);
  EXPECT_FAILS(Checkpoint::open(folder.path()), Code::Model, "No such file");
}

TEST(Checkpoint, RefusesBadIndexes) {
  Sharded model;
  ASSERT_TRUE(model.open().ok());
  model.write("model.safetensors.index.json", "{}");
  EXPECT_FAILS(model.open(), Code::Model, "wanted an object `weight_map`");
  model.write("model.safetensors.index.json", "[]");
  EXPECT_FAILS(model.open(), Code::Model, "wanted an object `weight_map`");
  model.writeIndex(R"("a":3)");
  EXPECT_FAILS(model.open(), Code::Model, "tensor \"a\" has no file name");
  model.writeIndex(R"("a":"one.safetensors","a":"two.safetensors")");
  EXPECT_FAILS(model.open(), Code::Model, "key `a` appears twice");
  model.write("model.safetensors.index.json", R"({"weight_map":["one.safetensors"]})");
  EXPECT_FAILS(model.open(), Code::Model, "wanted an object `weight_map`");
  model.write("model.safetensors.index.json", R"({"a":{"weight_map":{"a":"one.safetensors"}}})");
  EXPECT_FAILS(model.open(), Code::Model, "wanted an object `weight_map`");
  model.write("model.safetensors.index.json", R"({"weight_map":{},"weight_map":{}})");
  EXPECT_FAILS(model.open(), Code::Model, "key \"weight_map\" appears twice");
  model.write("model.safetensors.index.json", R"({"a":)" + std::string(9, '['));
  EXPECT_FAILS(model.open(), Code::Model, "nested deeper than 8 levels");
  model.writeIndex(R"("a":"one.safetensors",)");
  EXPECT_FAILS(model.open(), Code::Model, "model.safetensors.index.json: not valid JSON at byte ");
  model.writeIndex(R"("a":{})");
  EXPECT_FAILS(model.open(), Code::Model, "tensor \"a\" has no file name");
  model.writeIndex(R"("a":"three.safetensors")");
  EXPECT_FAILS(model.open(), Code::Model, "three.safetensors: cannot be opened");
  model.writeIndex(R"("a":"../one.safetensors")");
  EXPECT_FAILS(model.open(), Code::Model, "leaves the directory");
  model.writeIndex(R"("a":"/etc/passwd")");
  EXPECT_FAILS(model.open(), Code::Model, "is absolute");
  model.writeIndex(R"("b":"one.safetensors")");
  EXPECT_FAILS(model.open(), Code::Model, "one.safetensors: lacks the tensor \"b\"");
  model.write("two.safetensors", oneTensor("c"));
  model.writeIndex(R"("a":"one.safetensors","b":"two.safetensors")");
  EXPECT_FAILS(model.open(), Code::Model, "lacks the tensor \"b\"");
}

TEST(Checkpoint, TakesIndexesWithEscapesAndMore) {
  Sharded model;
  model.write("model.safetensors.index.json",
              R"({"more":[{"a":[1,-2.5e3,true,null]},"x"],"weight_map":)"
              R"({"\u0062":"two.safetensors", "a":"\u006fne.safetensors"},"last":{}})");
  Result<Checkpoint> checkpoint = model.open();
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message;
  ASSERT_EQ(checkpoint->files().size(), 2u);
  EXPECT_EQ(checkpoint->files()[0].name, "one.safetensors");
}

TEST(Checkpoint, RefusesATensorInTwoShards) {
  Sharded model;
  model.write("two.safetensors",
              safetensorsFile(R"({"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},)"
                              R"("b":{"dtype":"I8","shape":[1],"data_offsets":[1,2]}})",
                              2));
  EXPECT_FAILS(model.open(), Code::Model,
               "tensor `a` lies both in one.safetensors and in two.safetensors");
}

TEST(Checkpoint, LinksLeadIntoTheHubCacheOnly) {
  ScratchFolder folder;
  folder.write("elsewhere.safetensors", oneTensor("a"));
  folder.write("hub/models--m/blobs/c", "{}");
  folder.write("hub/models--m/blobs/w", oneTensor("a"));
  fs::create_directories(folder.path("hub/models--m/snapshots/r"));
  std::string snapshot = folder.path("hub/models--m/snapshots/r");
  fs::create_symlink("../../blobs/c", snapshot + "/config.json");
  fs::create_symlink("../../blobs/w", snapshot + "/model.safetensors");
  EXPECT_TRUE(Checkpoint::open(snapshot).ok());
  fs::remove(snapshot + "/model.safetensors");
  fs::create_symlink(folder.path("elsewhere.safetensors"), snapshot + "/model.safetensors");
  EXPECT_FAILS(Checkpoint::open(snapshot), Code::Model, "--follow-links");
  EXPECT_TRUE(Checkpoint::open(snapshot, {.followLinks = true}).ok());
}

TEST(Checkpoint, MissingTensorsNameTheNearest) {
  Result<Checkpoint> model = Checkpoint::open(kGolden + "mixtral");
  const std::vector<int64_t> shape = {40};
  EXPECT_FAILS(model->require("model.layers.0.input_layernrm.weight", shape), Code::Model,
               "nearest name is `model.layers.0.input_layernorm.weight`");
  EXPECT_FAILS(model->require(std::string(1000, 'x'), shape), Code::Model, "is missing");
  const std::vector<int64_t> wrong = {41};
  EXPECT_FAILS(model->require("model.norm.weight", wrong), Code::Model,
               "model.safetensors: tensor `model.norm.weight` has shape [40], wanted [41]");
  EXPECT_TRUE(model->require("model.norm.weight", shape).ok());
}

TEST(Checkpoint, ReadsOtherFilesThatAreThereUpToALimit) {
  ScratchFolder folder;
  folder.write("model/template", "hello");
  folder.write("outside", "x");
  std::string model = folder.path("model");
  std::filesystem::create_symlink("../outside", folder.path("model/link"));
  EXPECT_EQ(**readOptional(model, "template", 5, false), "hello");
  EXPECT_FAILS(readOptional(model, "template", 4, false), Code::Model, "more than the 4");
  EXPECT_FALSE(readOptional(model, "absent", 5, false)->has_value());
  EXPECT_FAILS(readOptional(model, "link", 5, false), Code::Model, "--follow-links");
  EXPECT_EQ(**readOptional(model, "link", 5, true), "x");
}
