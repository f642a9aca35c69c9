// Sampling one answer, token by token.

#include "runtime/program/Answer.h"

#include "runtime/program/AnswerBuilder.h"

#include <fmt/format.h>

#include <algorithm>

namespace moec {

/// Most tokens that may follow `prompt` tokens.
static int64_t mostNewTokens(const GenerationConfig &sampling, int64_t prompt, int64_t context) {
  int64_t most = context - prompt;
  if (sampling.maxNewTokens)
    most = std::min(most, *sampling.maxNewTokens);
  else if (sampling.maxLength)
    most = std::min(most, *sampling.maxLength - prompt);
  return std::max<int64_t>(most, 1);
}

namespace {

/// Reads tokens into the sequence, and keeps `history` true to it.
class Reader {
public:
  /// `readsLargest`: that mostly the largest logits are enough to choose the next token.
  Reader(Model &model, Sequence &sequence, std::vector<int32_t> &history, bool (*stop)(),
         bool readsLargest)
      : model(model), sequence(sequence), history(history), stop(stop),
        logits(model.manifest().vocabulary),
        largest(readsLargest ? size_t(model.largestPerRow()) : 0) {}

  /// Reads `tokens`, of which the beginning may have been read already, except the last.
  Status readPrompt(const std::vector<int32_t> &tokens) {
    size_t most = std::min(history.size(), tokens.size() - 1);
    size_t shared = std::mismatch(history.begin(), history.begin() + most, tokens.begin()).first -
                    history.begin();
    sequence.rewind(static_cast<int64_t>(shared));
    history.resize(sequence.position());
    return read(std::span(tokens).subspan(history.size()));
  }

  Status read(std::span<const int32_t> tokens) {
    Feed feed;
    feed.sequence = &sequence;
    feed.tokens = tokens;
    feed.outputs = 1;
    if (largest.empty())
      feed.logits = logits.data();
    else
      feed.largest = largest.data();
    FeedOptions options;
    options.stop = stop;
    Status status = model.feed({&feed, 1}, options);
    if (status.ok())
      history.insert(history.end(), tokens.begin(), tokens.end());
    return status;
  }

  /// The token that comes after `tokens`, all of which have been read.
  Result<int32_t> pick(Sampler &sampler, std::span<const int32_t> tokens, size_t promptTokens) {
    if (!largest.empty()) {
      Result<std::optional<int32_t>> found = sampler.pickAmong(largest, tokens);
      if (!found.ok())
        return found.status();
      if (*found)
        return **found;
      if (Status status = model.lastLogits(logits.data()); !status.ok())
        return status;
    }
    return sampler.pick(logits, tokens, promptTokens);
  }

private:
  Model &model;
  Sequence &sequence;
  std::vector<int32_t> &history;
  bool (*stop)();
  std::vector<float> logits;
  std::vector<moec_largest> largest; ///< empty where steps give all logits
};

} // namespace

Result<Answer> answerPrompt(Model &model, const Tokenizer &tokenizer, Sequence &sequence,
                            std::vector<int32_t> &history, const Prompt &prompt,
                            const GenerationConfig &sampling, const AnswerOptions &options) {
  int64_t length = static_cast<int64_t>(prompt.tokens.size());
  if (length >= model.context())
    return Status{Code::Usage,
                  fmt::format("the prompt has {} tokens, which leaves no room for an answer in a "
                              "context of {}",
                              length, model.context())};
  Result<Sampler> sampler =
      Sampler::create(sampling.sampler, static_cast<int32_t>(model.manifest().vocabulary));
  if (!sampler.ok())
    return sampler.status();
  AnswerBuilder builder(tokenizer, sampling, prompt.format, prompt.reasoning, options);
  Answer &answer = builder.answer;

  Reader reader(model, sequence, history, options.stop, sampler->readsLargest());
  Status status = reader.readPrompt(prompt.tokens);
  int64_t most = mostNewTokens(sampling, length, model.context());
  std::vector<int32_t> tokens = prompt.tokens;
  while (status.ok()) {
    Result<int32_t> next = reader.pick(*sampler, tokens, prompt.tokens.size());
    if (!next.ok())
      return next.status();
    tokens.push_back(*next);
    if (Status shown = builder.push(*next); !shown.ok())
      return shown;
    if (builder.stopped()) {
      answer.finish = Finish::Stop;
      break;
    }
    if (static_cast<int64_t>(answer.tokens.size()) >= most)
      break;
    status = reader.read({&tokens.back(), 1});
  }
  if (status.code == Code::Interrupted)
    answer.finish = Finish::Interrupted;
  else if (!status.ok())
    return status;
  if (status = builder.finish(); !status.ok())
    return status;
  return std::move(answer);
}

} // namespace moec
