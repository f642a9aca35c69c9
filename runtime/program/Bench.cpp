// bench: tokens per second, beside what this machine's memory and arithmetic allow.

#include "runtime/cpu/Limits.h"
#include "runtime/program/Commands.h"
#include "runtime/program/Output.h"
#include "runtime/program/Traffic.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <time.h>

namespace moec {

namespace {

/// What a phase of the step took in one test, with the wait at the barriers behind it.
struct MeasuredPhase {
  int64_t runs = 0;
  double seconds = 0, waiting = 0; ///< in all
};

/// One line of the table.
struct Measured {
  std::string test;
  bool decode = false;
  double tokensPerSecond = 0, deviation = 0;
  double bytesPerToken = 0, operationsPerToken = 0;
  std::vector<MeasuredPhase> phases = {}; ///< as the manifest lists them
};

struct Limits {
  double reading = 0, arithmetic = 0;
  Arithmetic kind = Arithmetic::F32Fma;
};

} // namespace

static double seconds() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

/// Token ids that choose experts evenly; the same in every run.
static std::vector<int32_t> someTokens(int64_t count, int64_t vocabulary) {
  std::vector<int32_t> tokens;
  uint64_t state = 1;
  for (int64_t i = 0; i < count; ++i) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    tokens.push_back(static_cast<int32_t>((state >> 33) % static_cast<uint64_t>(vocabulary)));
  }
  return tokens;
}

/// Seconds that `count` tokens take, at once or (`oneByOne`) each in a step of its own, after
/// `depth` others.
static Result<double> timeTokens(Model &model, int64_t count, int64_t depth, bool oneByOne) {
  Sequence sequence(model);
  std::vector<int32_t> tokens = someTokens(depth + count, model.manifest().vocabulary);
  std::vector<float> logits(model.manifest().vocabulary);
  Feed feed;
  feed.sequence = &sequence;
  if (depth > 0) {
    feed.tokens = std::span(tokens).first(depth);
    if (Status status = model.feed({&feed, 1}); !status.ok())
      return status;
  }
  feed.outputs = 1;
  feed.logits = logits.data();
  double start = seconds();
  for (int64_t done = 0; done < count;) {
    int64_t step = oneByOne ? 1 : count;
    feed.tokens = std::span(tokens).subspan(depth + done, step);
    if (Status status = model.feed({&feed, 1}); !status.ok())
      return status;
    done += step;
  }
  return seconds() - start;
}

static Result<Measured> measure(Model &model, const BenchOptions &options, int64_t count,
                                bool oneByOne) {
  const Manifest &manifest = model.manifest();
  if (count + options.depth > model.context())
    return Status{Code::Usage, fmt::format("{} tokens after {} do not fit the context of {}", count,
                                           options.depth, model.context())};
  std::vector<double> rates;
  // The first run brings weights and code into memory.
  for (int64_t run = 0; run <= options.repetitions; ++run) {
    Result<double> taken = timeTokens(
        model, run == 0 && oneByOne ? std::min<int64_t>(count, 4) : count, options.depth, oneByOne);
    if (!taken.ok())
      return taken.status();
    if (run > 0)
      rates.push_back(static_cast<double>(count) / *taken);
    else if (Profile *profile = model.profile())
      profile->clear();
  }
  Measured measured;
  measured.decode = oneByOne;
  measured.test = fmt::format("{}{}", oneByOne ? "tg" : "pp", count);
  if (options.depth)
    measured.test += fmt::format(" @ d{}", options.depth);
  for (double rate : rates)
    measured.tokensPerSecond += rate / static_cast<double>(rates.size());
  for (double rate : rates)
    measured.deviation += (rate - measured.tokensPerSecond) * (rate - measured.tokensPerSecond);
  measured.deviation = std::sqrt(measured.deviation / static_cast<double>(rates.size()));
  double bytes = 0, operations = 0;
  for (int64_t done = 0; done < count;) {
    int64_t step = oneByOne ? 1 : std::min(manifest.stepTokens, count - done);
    Traffic traffic = stepTraffic(manifest, step, options.depth + done);
    bytes += traffic.bytes;
    operations += traffic.operations;
    done += step;
  }
  measured.bytesPerToken = bytes / static_cast<double>(count);
  measured.operationsPerToken = operations / static_cast<double>(count);
  if (Profile *profile = model.profile())
    for (size_t phase = 0; phase < manifest.phases.size(); ++phase)
      measured.phases.push_back(
          {profile->runs(phase), profile->secondsIn(phase), profile->secondsBehind(phase)});
  return measured;
}

static Result<Limits> measureLimits(Model &model) {
  Limits limits;
  for (const auto &[name, value] : model.manifest().options)
    if (name == "activations" && value == "bf16" && hasArithmetic(Arithmetic::Bf16Dot))
      limits.kind = Arithmetic::Bf16Dot;
  Result<double> reading = measureReading(model.threadPool());
  if (!reading.ok())
    return reading.status();
  limits.reading = *reading;
  limits.arithmetic = measureArithmetic(model.threadPool(), limits.kind);
  return limits;
}

static double percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }

/// Where the time of each test went: a line for each phase, those first that took longest.
static std::string phaseTables(const Manifest &manifest, const Limits &limits,
                               const std::vector<Measured> &results) {
  std::string text;
  for (const Measured &result : results) {
    double all = 0;
    std::vector<size_t> order;
    for (const MeasuredPhase &phase : result.phases) {
      all += phase.seconds + phase.waiting;
      order.push_back(order.size());
    }
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return std::pair(-result.phases[a].seconds, a) < std::pair(-result.phases[b].seconds, b);
    });
    text += fmt::format("\n| {:<56} | {:>8} | {:>9} | {:>9} | {:>9} |\n", result.test, "% of time",
                        "% waiting", "us a run", "% of read");
    text +=
        fmt::format("| {:-<56} | {:->8}: | {:->8}: | {:->8}: | {:->8}: |\n", "", "", "", "", "");
    for (size_t index : order) {
      const MeasuredPhase &phase = result.phases[index];
      double bytes = static_cast<double>(manifest.phases[index].bytes * phase.runs);
      std::string reading =
          result.decode && bytes > 0 && phase.seconds > 0
              ? fmt::format("{:.1f}", percent(bytes / phase.seconds, limits.reading))
              : "";
      text += fmt::format(
          "| {:<56} | {:>9.2f} | {:>9.2f} | {:>9.1f} | {:>9} |\n", manifest.phases[index].name,
          percent(phase.seconds, all), percent(phase.waiting, all),
          phase.runs ? phase.seconds * 1e6 / static_cast<double>(phase.runs) : 0, reading);
    }
  }
  return text;
}

static Status print(const BenchOptions &options, const Model &model, const Limits &limits,
                    const std::vector<Measured> &results) {
  const Manifest &manifest = model.manifest();
  if (options.json) {
    nlohmann::ordered_json json = {
        {"model", manifest.name},
        {"threads", model.threads()},
        {"weights_bytes", model.weights().bytes()},
        {"parameters",
         {{"total", manifest.totalParameters}, {"active", manifest.activeParameters}}},
        {"read_bytes_per_second", limits.reading},
        {"arithmetic", arithmeticName(limits.kind)},
        {"arithmetic_operations_per_second", limits.arithmetic}};
    json["tests"] = nlohmann::ordered_json::array();
    for (const Measured &result : results) {
      nlohmann::ordered_json test = {
          {"test", result.test},
          {"tokens_per_second", result.tokensPerSecond},
          {"deviation", result.deviation},
          {"bytes_per_token", result.bytesPerToken},
          {"operations_per_token", result.operationsPerToken},
          {"percent_of_reading",
           percent(result.bytesPerToken * result.tokensPerSecond, limits.reading)},
          {"percent_of_arithmetic",
           percent(result.operationsPerToken * result.tokensPerSecond, limits.arithmetic)}};
      for (size_t phase = 0; phase < result.phases.size(); ++phase)
        test["phases"].push_back({{"name", manifest.phases[phase].name},
                                  {"bytes", manifest.phases[phase].bytes},
                                  {"runs", result.phases[phase].runs},
                                  {"seconds", result.phases[phase].seconds},
                                  {"seconds_waiting", result.phases[phase].waiting}});
      // The first of each kind also by a name that scripts need not build.
      const char *kind = result.decode ? "decode" : "prefill";
      if (!json.contains(kind))
        json[kind] = test;
      json["tests"].push_back(std::move(test));
    }
    return writeOutput(json.dump(2) + "\n");
  }
  std::string text =
      fmt::format("| {:<16} | {:>9} | {:>8} | {:>7} | {:>14} | {:>18} | {:>11} | {:>9} | "
                  "{:>13} |\n",
                  "model", "size", "params", "threads", "test", "tokens/s", "MB/token", "% of read",
                  "% of arithm.");
  text += fmt::format(
      "| {:-<16} | {:->8}: | {:->7}: | {:->6}: | {:->13}: | {:->17}: | {:->10}: | {:->8}: "
      "| {:->12}: |\n",
      "", "", "", "", "", "", "", "", "");
  for (const Measured &result : results)
    text += fmt::format(
        "| {:<16} | {:>6.2f} GB | {:>6.2f} B | {:>7} | {:>14} | {:>18} | {:>11.3f} | {:>9.1f} | "
        "{:>13.1f} |\n",
        manifest.name, static_cast<double>(model.weights().bytes()) * 1e-9,
        static_cast<double>(manifest.totalParameters) * 1e-9, model.threads(), result.test,
        fmt::format("{:.2f} ± {:.2f}", result.tokensPerSecond, result.deviation),
        result.bytesPerToken * 1e-6,
        percent(result.bytesPerToken * result.tokensPerSecond, limits.reading),
        percent(result.operationsPerToken * result.tokensPerSecond, limits.arithmetic));
  text += fmt::format("\nmeasured with {} thread{}: reading {:.1f} GB/s, {} {:.1f} GFLOP/s\n",
                      model.threads(), model.threads() == 1 ? "" : "s", limits.reading * 1e-9,
                      arithmeticName(limits.kind), limits.arithmetic * 1e-9);
  if (!manifest.phases.empty())
    text += phaseTables(manifest, limits, results);
  return writeOutput(text);
}

Status runBench(const BenchOptions &options) {
  Result<std::unique_ptr<Model>> model = openModel(options.open);
  if (!model.ok())
    return model.status();
  // A model with a small context is timed as far as it goes; lengths that were asked for are not
  // cut.
  int64_t room = std::max<int64_t>((*model)->context() - options.depth, 1);
  bool asked = !options.prompts.empty() || !options.generated.empty();
  std::vector<int64_t> prompts = options.prompts, generated = options.generated;
  if (!asked) {
    prompts = {std::min<int64_t>(512, room)};
    generated = {std::min<int64_t>(128, room)};
  }
  auto isNothing = [](int64_t count) { return count == 0; };
  if (std::all_of(prompts.begin(), prompts.end(), isNothing) &&
      std::all_of(generated.begin(), generated.end(), isNothing))
    return {Code::Usage, "--prompt and --generate leave nothing to time"};
  Result<Limits> limits = measureLimits(**model);
  if (!limits.ok())
    return limits.status();
  std::vector<Measured> results;
  for (bool oneByOne : {false, true})
    for (int64_t count : oneByOne ? generated : prompts) {
      if (count == 0)
        continue;
      Result<Measured> measured = measure(**model, options, count, oneByOne);
      if (!measured.ok())
        return measured.status();
      results.push_back(*measured);
    }
  return print(options, **model, *limits, results);
}

} // namespace moec
