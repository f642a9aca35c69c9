// An output is whole or absent, whatever happens on the way.

#include "runtime/core/AtomicFile.h"
#include "test/ScratchFolder.h"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace moec;
namespace fs = std::filesystem;

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

TEST(AtomicFile, MayBeReplacedUnderItsTemporaryName) {
  ScratchFolder folder;
  Result<AtomicFile> file = AtomicFile::create(folder.path("out"));
  ASSERT_TRUE(file.ok());
  fs::rename(folder.write("other", "linked"), file->temporaryPath());
  ASSERT_TRUE(file->reopen().ok());
  ASSERT_TRUE(file->writeAt(0, std::vector<uint8_t>{'p'}).ok());
  ASSERT_TRUE(file->commit().ok());
  EXPECT_EQ(folder.read("out"), "pinked");
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(AtomicFile, RemovesWhatKilledWritersLeft) {
  ScratchFolder folder;
  auto write = [&](const char *name, int age) {
    fs::last_write_time(folder.write(name, "x"),
                        fs::file_time_type::clock::now() - std::chrono::seconds(age));
  };
  pid_t child = fork();
  if (child == 0) {
    Result<AtomicFile> file = AtomicFile::create(folder.path("out"));
    raise(SIGKILL);
  }
  waitpid(child, nullptr, 0);
  ASSERT_EQ(folder.entries(), 1u);
  for (const auto &entry : fs::directory_iterator(folder.path()))
    fs::last_write_time(entry, fs::file_time_type::clock::now() - std::chrono::hours(1));
  Result<AtomicFile> other = AtomicFile::create(folder.path("out")); // at work: locked
  fs::last_write_time(other->temporaryPath(),
                      fs::file_time_type::clock::now() - std::chrono::hours(1));
  EXPECT_EQ(folder.entries(), 1u);
  write(".out.12-0", 5); // may be at work
  write(".out.12-0.txt", 3600);
  write(".other.12-0", 3600);
  Result<AtomicFile> file = AtomicFile::create(folder.path("out"));
  EXPECT_EQ(folder.entries(), 5u);
  EXPECT_TRUE(file->commit().ok());
  EXPECT_TRUE(other->commit().ok());
}

TEST(AtomicFile, UnwritablePlacesAreUsageErrors) {
  ScratchFolder folder;
  EXPECT_FAILS(AtomicFile::create(folder.path("none/out")), Code::Usage, "cannot be written");
  EXPECT_FAILS(AtomicFile::create(""), Code::Usage, "has no name");
  EXPECT_FAILS(AtomicFile::create(folder.path()), Code::Usage, "is a directory");
  EXPECT_FAILS(AtomicFile::create(folder.path("new/")), Code::Usage, "is a directory");
  EXPECT_FAILS(AtomicFile::create("/dev/null"), Code::Usage, "not a regular file");
  if (geteuid() != 0) {
    fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
    EXPECT_FAILS(AtomicFile::create(folder.path("out")), Code::Usage, "Permission denied");
    fs::permissions(folder.path(), fs::perms::owner_all);
    fs::permissions(folder.write("old", "old"), fs::perms::owner_read);
    EXPECT_FAILS(AtomicFile::create(folder.path("old")), Code::Usage, "Permission denied");
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

TEST(AtomicFile, SaysHowMuchDiskIsFree) {
  ScratchFolder folder;
  EXPECT_GT(*freeDiskBytes(folder.path("not-there-yet")), 0u);
  EXPECT_FALSE(freeDiskBytes(folder.path("no/such/folder")).ok());
}
