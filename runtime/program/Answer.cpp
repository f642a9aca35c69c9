// Sampling, stop conditions and streaming of one answer.

#include "runtime/program/Answer.h"

#include "runtime/text/Stops.h"

#include <fmt/format.h>

#include <algorithm>

namespace moec {

/// Most tokens that may follow `prompt` tokens.
static int64_t mostNewTokens(const Sampling &sampling, int64_t prompt, int64_t context) {
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
  Reader(Model &model, Sequence &sequence, std::vector<int32_t> &history, bool (*stop)())
      : model(model), sequence(sequence), history(history), stop(stop),
        logits(model.manifest().vocabulary) {}

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
    feed.logits = logits.data();
    FeedOptions options;
    options.stop = stop;
    Status status = model.feed({&feed, 1}, options);
    if (status.ok())
      history.insert(history.end(), tokens.begin(), tokens.end());
    return status;
  }

  std::span<const float> lastLogits() const { return logits; }

private:
  Model &model;
  Sequence &sequence;
  std::vector<int32_t> &history;
  bool (*stop)();
  std::vector<float> logits;
};

} // namespace

Result<Answer> answerPrompt(Model &model, const Tokenizer &tokenizer, Sequence &sequence,
                            std::vector<int32_t> &history, const std::vector<int32_t> &prompt,
                            const Sampling &sampling, const AnswerOptions &options) {
  int64_t length = static_cast<int64_t>(prompt.size());
  if (length >= model.context())
    return Status{Code::Usage,
                  fmt::format("the prompt has {} tokens, which leaves no room for an answer in a "
                              "context of {}",
                              length, model.context())};
  Result<Sampler> sampler =
      Sampler::create(sampling.sampler, static_cast<int32_t>(model.manifest().vocabulary));
  if (!sampler.ok())
    return sampler.status();
  StopIds stopIds(sampling.stopIds);
  StopStrings stopStrings(sampling.stopStrings);
  TextStream stream(tokenizer);
  Answer answer;
  auto show = [&](const std::string &text) -> Status {
    answer.text += text;
    return text.empty() || !options.show ? Status{} : options.show(text);
  };

  Reader reader(model, sequence, history, options.stop);
  Status status = reader.readPrompt(prompt);
  int64_t most = mostNewTokens(sampling, length, model.context());
  std::vector<int32_t> tokens = prompt;
  while (status.ok()) {
    Result<int32_t> next = sampler->pick(reader.lastLogits(), tokens, prompt.size());
    if (!next.ok())
      return next.status();
    tokens.push_back(*next);
    answer.tokens.push_back(*next);
    if (stopIds.contains(*next)) {
      answer.finish = Finish::Stop;
      break;
    }
    if (status = show(stopStrings.feed(stream.push(*next))); !status.ok())
      return status;
    if (stopStrings.stopped()) {
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
  if (status = show(stopStrings.feed(stream.finish()) + stopStrings.finish()); !status.ok())
    return status;
  return answer;
}

} // namespace moec
