// What is said of a mapped file that became shorter.

#include "runtime/program/MissingPage.h"

#include "runtime/core/File.h"
#include "test/runtime/program/RunProgram.h"

#include <gtest/gtest.h>

using namespace moec;

static std::string reportOn(const void *address) {
  testing::internal::CaptureStderr();
  reportMissingPage(address);
  return testing::internal::GetCapturedStderr();
}

TEST(MissingPage, NamesTheFileThatIsMappedThere) {
  const std::string path = temporaryFolder() + "/a file";
  writeAll(path, std::string(100000, 'x'));
  Result<File> file = File::open(path);
  ASSERT_TRUE(file.ok());
  Result<MappedFile> mapped = MappedFile::map(*file);
  ASSERT_TRUE(mapped.ok());
  const std::string ending = " became shorter or unreadable while it was in use; copy or make it "
                             "again\n";
  EXPECT_EQ(reportOn(mapped->data() + 99999), "error: " + path + ending);
  EXPECT_EQ(reportOn(nullptr), "error: a mapped file" + ending);
}
