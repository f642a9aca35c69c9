// A step in a decode loop allocates nothing, but for the blocks of the cache.

#include "runtime/core/Model.h"

#include "test/runtime/FakeProgram.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

using namespace moec;

static std::atomic<int64_t> allocations;

void *operator new(size_t size) {
  ++allocations;
  if (void *memory = malloc(size))
    return memory;
  abort();
}
void operator delete(void *memory) noexcept { free(memory); }
void operator delete(void *memory, size_t) noexcept { free(memory); }

TEST(StepMemory, DecodingAllocatesNothing) {
  for (int64_t threads : {1, 3}) {
    Result<std::unique_ptr<Model>> model = Model::open({.threads = threads});
    ASSERT_TRUE(model.ok());
    std::vector<float> logits(fakeVocabulary);
    int32_t token = 1;
    // The first sequence makes everything as large as it gets.
    for (bool warm : {false, true}) {
      Sequence sequence(**model);
      Feed feed{.sequence = &sequence, .tokens = {&token, 1}};
      while (sequence.position() < fakeContext) {
        feed.outputs = sequence.position() % 3 ? 1 : 0;
        feed.logits = logits.data();
        bool newBlock = sequence.position() % fakeBlockTokens == 0;
        int64_t before = allocations;
        Status status = (*model)->feed({&feed, 1});
        int64_t made = allocations - before;
        ASSERT_TRUE(status.ok());
        if (warm && !newBlock)
          EXPECT_EQ(made, 0) << "position " << sequence.position() << ", threads " << threads;
      }
    }
  }
}
