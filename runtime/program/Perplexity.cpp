// perplexity: scores a text as llama.cpp's tool of this name does, so that figures compare.

#include "runtime/core/File.h"
#include "runtime/core/Weights.h"
#include "runtime/program/Commands.h"
#include "runtime/program/Divergence.h"
#include "runtime/program/Output.h"
#include "runtime/program/SavedLogits.h"
#include "runtime/program/Text.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>

namespace moec {

static constexpr uint64_t maxTextBytes = UINT64_C(1) << 30;
static constexpr int64_t maxLogitBytes = INT64_C(1) << 26; // of the rows that are scored at once
static constexpr int64_t leastWindow = 5;                  // scores two tokens

namespace {

/// What came out for every scored token.
struct Scores {
  std::vector<double> losses;
  std::vector<double> divergences; ///< these two only with --against
  int64_t sameTop = 0;
};

/// Scores one text by one model.
class Scorer {
public:
  Scorer(Model &model, const TextWindows &text, LogitWriter *save, const LogitReader *against)
      : model(model), text(text), save(save), against(against),
        vocabulary(model.manifest().vocabulary) {}

  Result<Scores> run();

private:
  Status scoreWindows(int64_t begin, int64_t end, int64_t most);
  Status scoreRows(int64_t first, int64_t count);
  void scoreRow(int64_t first, int64_t row);

  Model &model;
  const TextWindows &text;
  LogitWriter *save;
  const LogitReader *against;
  int64_t vocabulary;
  Scores scores;
  std::atomic<int64_t> sameTop = 0;
  // Of the rows at hand.
  std::vector<float> logits;
  std::vector<uint16_t> saved, base;
};

} // namespace

Result<Scores> Scorer::run() {
  int64_t rows = text.count() * text.scored();
  scores.losses.resize(rows);
  scores.divergences.resize(against ? rows : 0);
  // As many windows side by side as give rows for one step, as far as memory is bounded.
  int64_t most =
      std::clamp<int64_t>(maxLogitBytes / (vocabulary * sizeof(float)), 1, model.stepTokens());
  int64_t together = std::max<int64_t>(most / text.scored(), 1);
  for (int64_t begin = 0; begin < text.count(); begin += together)
    if (Status status = scoreWindows(begin, std::min(begin + together, text.count()), most);
        !status.ok())
      return status;
  scores.sameTop = sameTop;
  return std::move(scores);
}

/// Reads the windows side by side; their logits come in pieces of at most `most` rows.
Status Scorer::scoreWindows(int64_t begin, int64_t end, int64_t most) {
  std::vector<Sequence> sequences;
  sequences.reserve(end - begin);
  std::vector<Feed> feeds;
  for (int64_t index = begin; index < end; ++index) {
    sequences.emplace_back(model);
    feeds.push_back({.sequence = &sequences.back(), .tokens = text.at(index).first(text.first())});
  }
  if (Status status = model.feed(feeds); !status.ok())
    return status;
  // More than one window only where all of their rows are one piece.
  int64_t piece = std::min(most, text.scored());
  logits.resize((end - begin) * piece * vocabulary);
  for (int64_t done = 0; done < text.scored(); done += piece) {
    int64_t count = std::min(piece, text.scored() - done);
    for (int64_t index = begin; index < end; ++index) {
      Feed &feed = feeds[index - begin];
      feed.tokens = text.at(index).subspan(text.first() + done, count);
      feed.outputs = count;
      feed.logits = &logits[(index - begin) * count * vocabulary];
    }
    if (Status status = model.feed(feeds); !status.ok())
      return status;
    Status status = scoreRows(begin * text.scored() + done, (end - begin) * count);
    if (!status.ok())
      return status;
  }
  return {};
}

/// Scores `count` rows, the first of which is `first` of all.
Status Scorer::scoreRows(int64_t first, int64_t count) {
  saved.resize(save ? count * vocabulary : 0);
  base.resize(against ? count * vocabulary : 0);
  if (against)
    if (Status status = against->read(first, base); !status.ok())
      return status;
  struct Call {
    Scorer &scorer;
    int64_t first, count;
  } call{*this, first, count};
  model.threadPool().run(
      [](void *context, int64_t thread) {
        const Call &call = *static_cast<const Call *>(context);
        for (int64_t row = thread; row < call.count; row += call.scorer.model.threads())
          call.scorer.scoreRow(call.first, row);
      },
      &call);
  for (int64_t row = first; row < first + count; ++row)
    if (!std::isfinite(scores.losses[row]))
      return {Code::Model, fmt::format("the logits after token {} of window {} are not finite",
                                       text.first() + row % text.scored(), row / text.scored())};
  return save ? save->append(saved) : Status{};
}

void Scorer::scoreRow(int64_t first, int64_t row) {
  std::span<const float> mine = std::span(logits).subspan(row * vocabulary, vocabulary);
  int64_t window = (first + row) / text.scored(), at = (first + row) % text.scored();
  scores.losses[first + row] = lossOf(mine, text.at(window)[text.first() + at + 1]);
  if (save)
    roundLogits(mine, &saved[row * vocabulary]);
  if (!against)
    return;
  std::span<const uint16_t> other = std::span(base).subspan(row * vocabulary, vocabulary);
  scores.divergences[first + row] = divergenceOf(other, mine);
  sameTop += agreeOnTop(other, mine);
}

/// The text in windows. What the tokenizer puts in front of a text stands in front of each window,
/// in the place of its first tokens. Tokens that fill no window are left out.
static Result<TextWindows> cutIntoWindows(const PerplexityOptions &options,
                                          const Tokenizer &tokenizer, int64_t window) {
  Result<std::string> contents = readFile(options.text, maxTextBytes, Code::Usage);
  if (!contents.ok())
    return contents.status();
  Result<std::vector<int32_t>> tokens = tokenizer.encode(*contents, AddSpecial::None);
  if (!tokens.ok())
    return Status{tokens.status().code, options.text + ": " + tokens.status().message};
  std::vector<int32_t> prefix = tokenizer.prefix();
  tokens->insert(tokens->begin(), prefix.begin(), prefix.end());
  if (static_cast<int64_t>(prefix.size()) > window / 2)
    return Status{Code::Usage, fmt::format("a window of {} tokens has no room for the {} that the "
                                           "tokenizer puts in front of a text",
                                           window, prefix.size())};
  int64_t count = static_cast<int64_t>(tokens->size()) / window;
  if (count == 0)
    return Status{Code::Usage,
                  fmt::format("{}: has {} tokens, wanted at least the {} of one window; a smaller "
                              "--window wants less text",
                              options.text, tokens->size(), window)};
  tokens->resize(count * window);
  for (int64_t index = 0; index < count; ++index)
    std::copy(prefix.begin(), prefix.end(), tokens->begin() + index * window);
  return TextWindows{std::move(*tokens), window};
}

/// --window, that of the file to compare with, or 512 where the context has room for them.
static Result<int64_t> chooseWindow(const PerplexityOptions &options, const LogitReader *against,
                                    int64_t context) {
  int64_t window = options.window ? options.window
                   : against      ? against->window()
                                  : std::min<int64_t>(512, context);
  if (window > context)
    return Status{Code::Usage, fmt::format("a window of {} tokens does not fit the context of {}",
                                           window, context)};
  if (window < leastWindow)
    return Status{Code::Usage, fmt::format("a window of {} tokens scores too few of them, wanted "
                                           "at least {}",
                                           window, leastWindow)};
  return window;
}

/// A perplexity with its standard error, of a mean of losses.
static Mean exponential(Mean mean) {
  double value = std::exp(mean.value);
  return {value, value * mean.error};
}

static Status print(const PerplexityOptions &options, const Model &model, const TextWindows &text,
                    const Scores &scores, const LogitReader *against) {
  const Manifest &manifest = model.manifest();
  size_t count = scores.losses.size();
  Mean perplexity = exponential(meanOf(scores.losses));
  nlohmann::ordered_json json = {
      {"model", manifest.name},
      {"weights_bytes", model.weights().bytes()},
      {"parameters", {{"total", manifest.totalParameters}, {"active", manifest.activeParameters}}},
      {"window", text.window},
      {"windows", text.count()},
      {"tokens_scored", count},
      {"perplexity", perplexity.value},
      {"perplexity_error", perplexity.error}};
  std::string lines =
      fmt::format("tokens scored   {} in {} windows of {}\nperplexity      {:.4f} ± {:.4f}\n",
                  count, text.count(), text.window, perplexity.value, perplexity.error);
  if (against) {
    std::vector<double> changes;
    changes.reserve(count);
    for (size_t i = 0; i < count; ++i)
      changes.push_back(scores.losses[i] - against->losses()[i]);
    Mean base = exponential(meanOf(against->losses())), ratio = exponential(meanOf(changes));
    Mean divergence = meanOf(scores.divergences);
    double most = *std::max_element(scores.divergences.begin(), scores.divergences.end());
    double quantile = quantileOf(scores.divergences, 0.99);
    double same = static_cast<double>(scores.sameTop) / static_cast<double>(count);
    double sameError = std::sqrt(same * (1 - same) / static_cast<double>(count - 1));
    json["against"] = {{"perplexity", base.value},
                       {"perplexity_error", base.error},
                       {"perplexity_ratio", ratio.value},
                       {"perplexity_ratio_error", ratio.error},
                       {"kl_divergence", divergence.value},
                       {"kl_divergence_error", divergence.error},
                       {"kl_divergence_99_percent", quantile},
                       {"kl_divergence_max", most},
                       {"same_top", same},
                       {"same_top_error", sameError}};
    lines += fmt::format(
        "of the other    {:.4f} ± {:.4f}, this is {:.5f} ± {:.5f} times as much\n"
        "KL divergence   {:.6f} ± {:.6f} nats, 99 % of tokens up to {:.6f}, at most {:.6f}\n"
        "same top token  {:.2f} ± {:.2f} %\n",
        base.value, base.error, ratio.value, ratio.error, divergence.value, divergence.error,
        quantile, most, 100 * same, 100 * sameError);
  }
  return writeOutput(options.json ? json.dump(2) + "\n" : lines);
}

/// Fails where --save would replace a file of `needed`.
static Status checkSave(const PerplexityOptions &options, const std::vector<std::string> &needed) {
  for (const std::string &path : needed)
    if (!options.save.empty() && isSameFile(options.save, path))
      return {Code::Usage, fmt::format("--save: '{}' is still needed", options.save)};
  return {};
}

Status runPerplexity(const PerplexityOptions &options) {
  if (Status status = checkSave(options, {options.text, options.against, programPath()});
      !status.ok())
    return status;
  Result<std::unique_ptr<Text>> language = Text::open({});
  if (!language.ok())
    return language.status();
  Result<std::unique_ptr<Model>> model = openModel(options.open);
  if (!model.ok())
    return model.status();
  if (Status status = checkSave(options, (*model)->weights().files()); !status.ok())
    return status;
  int64_t vocabulary = (*model)->manifest().vocabulary;
  std::optional<LogitReader> against;
  if (!options.against.empty()) {
    Result<LogitReader> opened = LogitReader::open(options.against, vocabulary);
    if (!opened.ok())
      return opened.status();
    against.emplace(std::move(*opened));
  }
  LogitReader *other = against ? &*against : nullptr;
  Result<int64_t> window = chooseWindow(options, other, (*model)->context());
  if (!window.ok())
    return window.status();
  Result<TextWindows> text = cutIntoWindows(options, (*language)->tokenizer(), *window);
  if (!text.ok())
    return text.status();
  if (other)
    if (Status status = other->checkText(*text); !status.ok())
      return status;
  std::optional<LogitWriter> save;
  if (!options.save.empty()) {
    Result<LogitWriter> created = LogitWriter::create(options.save, *text, vocabulary);
    if (!created.ok())
      return created.status();
    save.emplace(std::move(*created));
  }
  Result<Scores> scores = Scorer(**model, *text, save ? &*save : nullptr, other).run();
  if (!scores.ok())
    return scores.status();
  if (save)
    if (Status status = save->finish(scores->losses, *text); !status.ok())
      return status;
  return print(options, **model, *text, *scores, other);
}

} // namespace moec
