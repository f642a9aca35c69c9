// A stand-in for compiled code: a toy model whose results depend on tokens, positions and cache
// reads.

#ifndef MOEC_TEST_RUNTIME_FAKE_PROGRAM_H
#define MOEC_TEST_RUNTIME_FAKE_PROGRAM_H

#include <cstdint>
#include <string>
#include <vector>

// A program with text has room for the tokenizer's ids, and for a conversation.
#ifndef FAKE_VOCABULARY
#define FAKE_VOCABULARY 11
#define FAKE_CONTEXT 64
#endif

namespace moec {

/// What the toy does; the same numbers stand in its manifest.
inline constexpr int64_t fakeVocabulary = FAKE_VOCABULARY, fakeContext = FAKE_CONTEXT,
                         fakeQueryTile = 3, fakeBlockTokens = 4, fakeStepTokens = 8, fakeWindow = 6,
                         fakeMostPicked = 2;

/// What went against the contract of a step since the last call: dirty blocks, tiles that miss
/// rows, positions out of order. Empty when all is well.
std::vector<std::string> takeFakeFaults();
/// Steps run since the last call.
int64_t takeFakeSteps();
/// The CPU level of the last of these steps.
std::string takeFakeLevel();

/// What the toy computes for the last of `tokens`, without any cache: its logits, and its picks,
/// layer by layer.
std::vector<float> fakeLogits(const std::vector<int32_t> &tokens);
std::vector<int32_t> fakeExperts(const std::vector<int32_t> &tokens);

} // namespace moec

#endif // MOEC_TEST_RUNTIME_FAKE_PROGRAM_H
