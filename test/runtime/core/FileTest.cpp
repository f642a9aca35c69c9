// Only regular files are opened, links stay inside, and an output is whole or absent.

#include "runtime/core/File.h"
#include "test/ScratchFolder.h"

#include <gtest/gtest.h>

#include <csignal>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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
  fs::create_symlink("models--a--b/snapshots/rev", folder.path("short"));
  EXPECT_EQ(*resolveInside(snapshot, "good"), folder.path("models--a--b/blobs/123"));
  EXPECT_EQ(*resolveInside(folder.path("short"), "good"), folder.path("models--a--b/blobs/123"));
  EXPECT_FAILS(resolveInside(snapshot, "other"), Code::Model, "--follow-links");
}

TEST(AtomicFile, AppearsWholeOrNotAtAll) {
  ScratchFolder folder;
  folder.write("out", "old");
  {
    Result<AtomicFile> file = AtomicFile::create(folder.path("out"));
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->append("half").ok());
    EXPECT_EQ(folder.read("out"), "old");
  }
  EXPECT_EQ(folder.read("out"), "old");
  EXPECT_EQ(folder.entries(), 1u);
  Result<AtomicFile> file = AtomicFile::create(folder.path("out"));
  ASSERT_TRUE(file->append("new").ok());
  ASSERT_TRUE(file->writeAt(1, std::vector<uint8_t>{'o'}).ok());
  ASSERT_TRUE(file->commit().ok());
  EXPECT_EQ(folder.read("out"), "now");
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(AtomicFile, UnwritablePlacesAreUsageErrors) {
  ScratchFolder folder;
  EXPECT_FAILS(AtomicFile::create(folder.path("none/out")), Code::Usage, "cannot be written");
  EXPECT_FAILS(AtomicFile::create(folder.path()), Code::Usage, "not a regular file");
  EXPECT_FAILS(AtomicFile::create("/dev/null"), Code::Usage, "not a regular file");
  if (geteuid() != 0) {
    fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
    EXPECT_FAILS(AtomicFile::create(folder.path("out")), Code::Usage, "Permission denied");
    fs::permissions(folder.path(), fs::perms::owner_all);
  }
}

TEST(AtomicFile, AFullDiskIsAMatterOfResources) {
  // Whoever may not write to the device sees another failure.
  int fd = ::open("/dev/full", O_WRONLY);
  if (fd < 0)
    GTEST_SKIP() << "no /dev/full here";
  ::close(fd);
  ScratchFolder folder;
  Result<AtomicFile> file = AtomicFile::create(folder.path("out"));
  ASSERT_TRUE(file.ok());
  ASSERT_GE(dup2(::open("/dev/full", O_WRONLY), file->fd()), 0);
  EXPECT_FAILS(file->append("x"), Code::Resource, "No space left");
}

TEST(AtomicFile, InterruptsRemoveUnfinishedFiles) {
  ScratchFolder folder;
  pid_t child = fork();
  if (child == 0) {
    removeOutputsOnInterrupt();
    Result<AtomicFile> file = AtomicFile::create(folder.path("out"));
    (void)file->append("half");
    raise(SIGINT);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
  EXPECT_EQ(folder.entries(), 0u);
}

TEST(File, SaysHowMuchDiskIsFree) {
  ScratchFolder folder;
  EXPECT_GT(*freeDiskBytes(folder.path("not-there-yet")), 0u);
  EXPECT_FALSE(freeDiskBytes(folder.path("no/such/folder")).ok());
}
