// Blocks are handed out once and clean, pools keep their contents when they grow.

#include "runtime/core/KvCache.h"
#include "test/runtime/device/HostDevice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <vector>

using namespace moec;

TEST(BlockPool, KeepsContentsWhenItGrows) {
  BlockPool pool(1 << 20);
  std::set<int32_t> seen;
  for (int i = 0; i < 20; ++i) {
    Result<int32_t> block = pool.take();
    ASSERT_TRUE(block.ok());
    EXPECT_TRUE(seen.insert(*block).second);
    memset(pool.data() + (static_cast<int64_t>(*block) << 20), i + 1, 1 << 20);
  }
  int i = 0;
  for (int32_t block : seen)
    EXPECT_EQ(pool.data()[(static_cast<int64_t>(block) << 20) + 12345], ++i);
  EXPECT_EQ(pool.used(), 20);
}

TEST(BlockPool, ClearsBlocksThatComeBack) {
  BlockPool pool(100);
  Result<int32_t> block = pool.take();
  ASSERT_TRUE(block.ok());
  memset(pool.data(), 7, 100);
  pool.give(*block);
  EXPECT_EQ(pool.used(), 0);
  Result<int32_t> again = pool.take();
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*again, *block);
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(pool.data()[i], 0);
}

TEST(BlockPool, KeepsItsBlocksOnADevice) {
  HostDevice device({}, INT64_C(24) << 20);
  BlockPool pool(1 << 20);
  pool.setDevice(&device);
  std::vector<int32_t> taken;
  for (Result<int32_t> block = pool.take(); block.ok(); block = pool.take()) {
    uint8_t *at = pool.data() + (static_cast<int64_t>(*block) << 20);
    EXPECT_TRUE(device.holds(at, 1 << 20));
    EXPECT_EQ(std::count(at, at + (1 << 20), 0), 1 << 20) << "block " << *block;
    memset(at, static_cast<int>(taken.size()) + 1, 1 << 20);
    taken.push_back(*block);
  }
  // While it grows, what it had and what it gets are held both.
  ASSERT_EQ(taken.size(), 16u);
  EXPECT_EQ(pool.take().status().code, Code::Resource);
  EXPECT_NE(pool.take().status().message.find("--context"), std::string::npos);
  for (size_t i = 0; i < taken.size(); ++i)
    EXPECT_EQ(pool.data()[(static_cast<int64_t>(taken[i]) << 20) + 12345], i + 1);
  pool.give(taken[3]);
  ASSERT_TRUE(pool.take().ok());
  EXPECT_EQ(pool.data()[(static_cast<int64_t>(taken[3]) << 20) + 12345], 0);
}

// Growing would take what there is and more at the same time.
TEST(BlockPool, ReservesAllOfADevice) {
  HostDevice device({}, INT64_C(24) << 20);
  BlockPool pool(1 << 20);
  pool.setDevice(&device);
  ASSERT_TRUE(pool.reserve(24).ok());
  ASSERT_TRUE(pool.reserve(7).ok()) << "there is more already";
  EXPECT_EQ(device.used(), INT64_C(24) << 20);
  EXPECT_EQ(pool.used(), 0);
  for (int i = 0; i < 24; ++i) {
    Result<int32_t> block = pool.take();
    ASSERT_TRUE(block.ok()) << block.status().message;
    const uint8_t *at = pool.data() + (static_cast<int64_t>(*block) << 20);
    EXPECT_EQ(std::count(at, at + (1 << 20), 0), 1 << 20) << "block " << *block;
  }
}

TEST(KvCache, ReservesASequenceOfEachGroup) {
  HostDevice device;
  KvCache cache({{.name = "all", .bytesPerBlock = 4096},
                 {.name = "near", .bytesPerBlock = 8192, .window = 64}},
                32);
  cache.setDevice(&device);
  ASSERT_TRUE(cache.reserve(/*tokens=*/1000, /*rows=*/100).ok());
  EXPECT_EQ(cache.pool(0).bytes(), 32 * 4096); // of 1000 positions
  EXPECT_EQ(cache.pool(1).bytes(), 7 * 8192);  // of 64, 100 and a block's
}

TEST(BlockPool, SaysWhenMemoryIsShort) {
  BlockPool pool(INT64_C(1) << 50);
  Result<int32_t> block = pool.take();
  ASSERT_FALSE(block.ok());
  EXPECT_EQ(block.status().code, Code::Resource);
  EXPECT_NE(block.status().message.find("--context"), std::string::npos);
}

TEST(CacheBlocks, FailedReserveTakesNothing) {
  KvCache cache({{"small", {0}, 64, 0}, {"huge", {1}, INT64_C(1) << 50, 0}}, 4);
  CacheBlocks blocks(cache);
  EXPECT_EQ(blocks.reserve(9).code, Code::Resource);
  EXPECT_EQ(cache.pool(0).used(), 0);
  EXPECT_TRUE(blocks.table(0).empty());
}

TEST(CacheBlocks, WindowKeepsExactlyWhatTheNextPositionSees) {
  KvCache cache({{"window", {0}, 64, 8}}, 4);
  CacheBlocks blocks(cache);
  ASSERT_TRUE(blocks.reserve(20).ok());
  blocks.release(10); // sees 3 to 10
  EXPECT_EQ(cache.pool(0).used(), 5);
  blocks.release(11); // sees 4 to 11
  EXPECT_EQ(cache.pool(0).used(), 4);
  EXPECT_FALSE(blocks.truncate(10));
  EXPECT_TRUE(blocks.truncate(12));
  EXPECT_EQ(cache.pool(0).used(), 2);
}

TEST(CacheBlocks, ChunksGoWhenTheNextPositionIsInAnother) {
  KvCache cache({{"chunk", {0}, 64, 0, 8}}, 4);
  CacheBlocks blocks(cache);
  ASSERT_TRUE(blocks.reserve(20).ok());
  blocks.release(15); // sees 8 to 15
  EXPECT_EQ(cache.pool(0).used(), 3);
  blocks.release(16); // sees itself
  EXPECT_EQ(cache.pool(0).used(), 1);
  EXPECT_FALSE(blocks.truncate(15));
  EXPECT_TRUE(blocks.truncate(16));
}

TEST(CacheBlocks, KeptBlocksOutliveTheWindow) {
  KvCache cache({{"window", {0}, 64, 4}}, 4);
  CacheBlocks blocks(cache);
  ASSERT_TRUE(blocks.reserve(40).ok());
  blocks.release(40, 10);
  EXPECT_EQ(cache.pool(0).used(), 3 + 1);
  EXPECT_TRUE(blocks.truncate(10));
}
