// Only regular files are opened, and links stay inside.

#include "runtime/core/File.h"
#include "test/ScratchFolder.h"

#include <gtest/gtest.h>

#include <sys/stat.h>

using namespace moec;
namespace fs = std::filesystem;

TEST(File, OpensRegularFilesOnly) {
  ScratchFolder folder;
  EXPECT_FAILS(File::open(folder.path("none")), Code::Model, "No such file");
  EXPECT_FAILS(File::open(folder.path()), Code::Model, "is a directory, not a regular file");
  ASSERT_EQ(mkfifo(folder.path("fifo").c_str(), 0600), 0);
  EXPECT_FAILS(File::open(folder.path("fifo")), Code::Model, "is a FIFO");
  EXPECT_FAILS(File::open("/dev/null", Code::Mismatch), Code::Mismatch, "is a device");
  Result<File> file = File::open(folder.write("f", "hello"));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->size(), 5u);
}

TEST(File, AResolvedPathHoldsNoLink) {
  ScratchFolder folder;
  folder.write("model/sub/a", "hello");
  Result<File> file = File::openResolved(folder.path("model/sub/a"));
  ASSERT_TRUE(file.ok()) << file.status().message;
  EXPECT_EQ(file->size(), 5u);
  EXPECT_FAILS(File::openResolved(folder.path("model/none")), Code::Model, "No such file");
  EXPECT_FAILS(File::openResolved(folder.path("model")), Code::Model, "is a directory");
  fs::create_symlink("a", folder.path("model/sub/link"));
  EXPECT_FAILS(File::openResolved(folder.path("model/sub/link")), Code::Model, "symbolic links");
  fs::create_symlink("model", folder.path("other"));
  EXPECT_FAILS(File::openResolved(folder.path("other/sub/a")), Code::Model, "Not a directory");
}

TEST(File, ReadsAndMaps) {
  ScratchFolder folder;
  Result<File> file = File::open(folder.write("f", "hello"));
  uint8_t bytes[3];
  ASSERT_TRUE(file->readAt(2, bytes).ok());
  EXPECT_EQ(std::string(bytes, bytes + 3), "llo");
  EXPECT_FAILS(file->readAt(3, bytes), Code::Model, "ends at byte 5, 1 bytes more were wanted");
  Result<MappedFile> mapped = MappedFile::map(*file);
  ASSERT_TRUE(mapped.ok());
  EXPECT_EQ(std::string(mapped->bytes().begin(), mapped->bytes().end()), "hello");
  Result<File> empty = File::open(folder.write("e", ""));
  EXPECT_EQ(MappedFile::map(*empty)->size(), 0u);
}

TEST(File, LimitsWholeFiles) {
  ScratchFolder folder;
  std::string path = folder.write("f", "hello");
  EXPECT_EQ(*readFile(path, 5), "hello");
  EXPECT_FAILS(readFile(path, 4), Code::Model, "holds 5 bytes, more than the 4");
}

TEST(File, NamesMustStayInsideTheDirectory) {
  ScratchFolder folder;
  folder.write("model/sub/a", "x");
  folder.write("outside", "x");
  std::string model = folder.path("model");
  EXPECT_EQ(*resolveInside(model, "sub/a"), folder.path("model/sub/a"));
  EXPECT_EQ(*resolveInside(model, "./sub//a"), folder.path("model/sub/a"));
  EXPECT_FAILS(resolveInside(model, ""), Code::Model, "is empty");
  EXPECT_FAILS(resolveInside(model, "../outside"), Code::Model, "leaves the directory");
  EXPECT_FAILS(resolveInside(model, "sub/.."), Code::Model, "leaves the directory");
  EXPECT_FAILS(resolveInside(model, "sub/../../outside", true), Code::Model,
               "leaves the directory");
  EXPECT_FAILS(resolveInside(model, folder.path("outside"), true), Code::Model, "is absolute");
  EXPECT_FAILS(resolveInside(model, "a\nb"), Code::Model, "control character");
  EXPECT_FAILS(resolveInside(model, std::string_view("a\0b", 3)), Code::Model, "control character");
  EXPECT_FAILS(resolveInside(model, std::string(10'000, 'a')), Code::Model, "too long");
  EXPECT_FAILS(resolveInside(model, "sub"), Code::Model, "is a directory");
  EXPECT_FAILS(resolveInside(model, "none"), Code::Model, "No such file");
}

TEST(File, LinksMustEndInside) {
  ScratchFolder folder;
  folder.write("outside", "x");
  folder.write("model/inside", "x");
  std::string model = folder.path("model");
  fs::create_symlink("inside", folder.path("model/good"));
  fs::create_symlink("../outside", folder.path("model/bad"));
  fs::create_symlink("..", folder.path("model/up"));
  fs::create_symlink("nowhere", folder.path("model/dangling"));
  fs::create_symlink("loop", folder.path("model/loop"));
  EXPECT_EQ(*resolveInside(model, "good"), folder.path("model/inside"));
  EXPECT_FAILS(resolveInside(model, "bad"), Code::Model, "--follow-links permits that");
  EXPECT_FAILS(resolveInside(model, "up/outside"), Code::Model, "--follow-links permits that");
  EXPECT_EQ(*resolveInside(model, "bad", true), folder.path("outside"));
  EXPECT_FAILS(resolveInside(model, "dangling", true), Code::Model, "No such file");
  EXPECT_FAILS(resolveInside(model, "loop", true), Code::Model, "cannot be opened");
}

TEST(File, LinksIntoTheBlobsOfTheSameHubRepositoryArePermitted) {
  ScratchFolder folder;
  folder.write("models--a--b/blobs/123", "x");
  folder.write("models--c--d/blobs/456", "y");
  folder.write("models--a--b/snapshots/rev/README", "z");
  std::string snapshot = folder.path("models--a--b/snapshots/rev");
  fs::create_symlink("../../blobs/123", snapshot + "/good");
  fs::create_symlink("../../../models--c--d/blobs/456", snapshot + "/other");
  fs::create_symlink("../rev", folder.path("models--a--b/snapshots/again"));
  folder.write("models--a--b/snapshots/rev/onnx/README", "z");
  fs::create_symlink("../../../blobs/123", snapshot + "/onnx/good");
  fs::create_symlink("models--a--b/snapshots/rev", folder.path("short"));
  EXPECT_EQ(*resolveInside(snapshot, "good"), folder.path("models--a--b/blobs/123"));
  EXPECT_EQ(*resolveInside(folder.path("short"), "good"), folder.path("models--a--b/blobs/123"));
  EXPECT_EQ(*resolveInside(snapshot + "/onnx", "good"), folder.path("models--a--b/blobs/123"));
  EXPECT_FAILS(resolveInside(snapshot, "other"), Code::Model, "--follow-links");
}
