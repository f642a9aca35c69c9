// Whatever the pieces and their order, the file ends up with their bytes.

#include "compiler/emit/LargePageWriter.h"
#include "test/ScratchFolder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <thread>
#include <unistd.h>

using namespace moec;

namespace {

constexpr uint64_t begin = 4096, end = (UINT64_C(7) << 20) + 77;

std::vector<uint8_t> someBytes() {
  std::minstd_rand random(1);
  std::vector<uint8_t> bytes(end);
  for (uint8_t &byte : bytes)
    byte = static_cast<uint8_t>(random() >> 8);
  return bytes;
}

/// What the file holds from `begin` on after `pieces` (offsets that pieces begin at) were written.
std::vector<uint8_t> written(const std::vector<uint8_t> &bytes, std::vector<uint64_t> pieces,
                             unsigned threads) {
  ScratchFolder folder;
  Result<AtomicFile> file = AtomicFile::create(folder.path("file"));
  EXPECT_TRUE(file.ok());
  LargePageWriter writer(*file, begin, end);
  std::vector<uint64_t> sorted = pieces;
  std::sort(sorted.begin(), sorted.end());
  auto work = [&](unsigned thread) {
    for (size_t i = thread; i < pieces.size(); i += threads) {
      auto next = std::upper_bound(sorted.begin(), sorted.end(), pieces[i]);
      uint64_t size = (next == sorted.end() ? end : *next) - pieces[i];
      EXPECT_TRUE(writer.write(pieces[i], std::span(bytes).subspan(pieces[i], size)).ok());
    }
  };
  std::vector<std::thread> workers;
  for (unsigned thread = 0; thread < threads; ++thread)
    workers.emplace_back(work, thread);
  for (std::thread &worker : workers)
    worker.join();
  std::vector<uint8_t> found(end);
  EXPECT_EQ(pread(file->fd(), found.data(), end, 0), static_cast<ssize_t>(end));
  return found;
}

TEST(LargePageWriter, JoinsPiecesInAnyOrder) {
  std::vector<uint8_t> bytes = someBytes();
  std::fill(bytes.begin(), bytes.begin() + begin, 0); // before what is written
  std::minstd_rand random(2);
  for (unsigned threads : {1, 3})
    for (uint64_t most : {UINT64_C(300'000), UINT64_C(6'000'000)}) {
      std::vector<uint64_t> pieces;
      for (uint64_t at = begin; at < end; at += 1 + random() % most)
        pieces.push_back(at);
      std::shuffle(pieces.begin(), pieces.end(), random);
      EXPECT_TRUE(written(bytes, pieces, threads) == bytes) << threads << " " << most;
    }
}

TEST(LargePageWriter, TakesOnePieceAndBoundsOfPages) {
  std::vector<uint8_t> bytes = someBytes();
  std::fill(bytes.begin(), bytes.begin() + begin, 0);
  EXPECT_TRUE(written(bytes, {begin}, 1) == bytes);
  EXPECT_TRUE(written(bytes, {4 << 20, begin, 2 << 20}, 1) == bytes);
}

} // namespace
