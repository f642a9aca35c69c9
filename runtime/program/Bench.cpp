// bench: tokens per second, beside what this machine's memory and arithmetic allow.

#include "runtime/cpu/Limits.h"
#include "runtime/cpu/SystemFiles.h"
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

/// What one line of the table is about.
struct Test {
  bool decode = false; ///< a step for each token, else as few as fit
  int64_t tokens = 0;  ///< of each sequence
  int64_t depth = 0;   ///< tokens that each has read before
  int64_t batch = 1;   ///< sequences side by side

  std::string name() const {
    std::string text = fmt::format("{}{}", decode ? "tg" : "pp", tokens);
    if (batch > 1)
      text += fmt::format(" x{}", batch);
    if (depth > 0)
      text += fmt::format(" @ d{}", depth);
    return text;
  }
};

struct Measured {
  Test test;
  std::vector<double> samples; ///< tokens per second of all sequences, one for each repetition
  double tokensPerSecond = 0, deviation = 0;
  double bytesPerToken = 0, operationsPerToken = 0;
  std::vector<MeasuredPhase> phases = {}; ///< as the manifest lists them
};

/// Of the machine; what a device can is not measured, and 0.
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

/// Token ids that choose experts evenly; the same in every run, others for each `sequence`.
static std::vector<int32_t> someTokens(int64_t count, int64_t vocabulary, int64_t sequence) {
  std::vector<int32_t> tokens;
  uint64_t state = static_cast<uint64_t>(sequence) + 1;
  for (int64_t i = 0; i < count; ++i) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    tokens.push_back(static_cast<int32_t>((state >> 33) % static_cast<uint64_t>(vocabulary)));
  }
  return tokens;
}

namespace {

/// The sequences of a test, which each run takes back to the depth that it starts from.
class Runner {
public:
  Runner(Model &model, const Test &test)
      : model(model), test(test), feeds(test.batch),
        logits(model.largestPerRow() ? 0 : test.batch * model.manifest().vocabulary),
        largest(test.batch * model.largestPerRow()) {
    sequences.reserve(test.batch);
    for (int64_t i = 0; i < test.batch; ++i) {
      sequences.emplace_back(model);
      tokens.push_back(someTokens(test.depth + test.tokens, model.manifest().vocabulary, i));
    }
  }

  /// Forgets what was read behind the depth, and reads what is missing before it.
  Status start() {
    std::vector<Feed> missing;
    for (int64_t i = 0; i < test.batch; ++i) {
      Sequence &sequence = sequences[i];
      sequence.rewind(test.depth);
      std::span<const int32_t> before = std::span(tokens[i]).first(test.depth);
      if (sequence.position() < test.depth)
        missing.push_back({.sequence = &sequence, .tokens = before.subspan(sequence.position())});
    }
    return model.feed(missing);
  }

  /// Seconds that the first `count` of the test's tokens take, for all sequences.
  Result<double> run(int64_t count) {
    double begin = seconds();
    for (int64_t done = 0; done < count;) {
      int64_t step = test.decode ? 1 : count;
      for (int64_t i = 0; i < test.batch; ++i) {
        feeds[i] = {.sequence = &sequences[i],
                    .tokens = std::span(tokens[i]).subspan(test.depth + done, step),
                    .outputs = 1};
        if (largest.empty())
          feeds[i].logits = &logits[i * model.manifest().vocabulary];
        else
          feeds[i].largest = &largest[i * model.largestPerRow()];
      }
      if (Status status = model.feed(feeds); !status.ok())
        return status;
      done += step;
    }
    return seconds() - begin;
  }

private:
  Model &model;
  Test test;
  std::vector<Sequence> sequences;
  std::vector<std::vector<int32_t>> tokens;
  std::vector<Feed> feeds;
  std::vector<float> logits;
  std::vector<moec_largest> largest; ///< in place of logits where steps give it
};

} // namespace

/// Adds what the profile has noted since it was cleared.
static void addPhases(const Profile &profile, std::vector<MeasuredPhase> &phases) {
  for (size_t phase = 0; phase < phases.size(); ++phase) {
    phases[phase].runs += profile.runs(phase);
    phases[phase].seconds += profile.secondsIn(phase);
    phases[phase].waiting += profile.secondsBehind(phase);
  }
}

static Result<Measured> measure(Model &model, const Test &test, int64_t repetitions) {
  const Manifest &manifest = model.manifest();
  Measured measured;
  measured.test = test;
  measured.phases.resize(manifest.phases.size());
  Runner runner(model, test);
  // The first run brings weights and code into memory.
  for (int64_t run = 0; run <= repetitions; ++run) {
    if (Status status = runner.start(); !status.ok())
      return status;
    if (Profile *profile = model.profile())
      profile->clear();
    Result<double> taken =
        runner.run(run == 0 && test.decode ? std::min<int64_t>(test.tokens, 4) : test.tokens);
    if (!taken.ok())
      return taken.status();
    if (run == 0)
      continue;
    measured.samples.push_back(static_cast<double>(test.batch * test.tokens) / *taken);
    if (const Profile *profile = model.profile())
      addPhases(*profile, measured.phases);
  }
  for (double rate : measured.samples)
    measured.tokensPerSecond += rate / static_cast<double>(repetitions);
  for (double rate : measured.samples)
    measured.deviation += (rate - measured.tokensPerSecond) * (rate - measured.tokensPerSecond);
  measured.deviation = std::sqrt(measured.deviation / static_cast<double>(repetitions));
  for (int64_t done = 0; done < test.tokens;) {
    int64_t step = test.decode ? 1 : std::min(model.stepTokens(), test.tokens - done);
    Traffic traffic = stepTraffic(manifest, test.batch * step, test.depth + done, test.batch);
    measured.bytesPerToken += traffic.bytes / static_cast<double>(test.batch * test.tokens);
    measured.operationsPerToken +=
        traffic.operations / static_cast<double>(test.batch * test.tokens);
    done += step;
  }
  return measured;
}

/// The most memory that this process has held so far, the weights that it has read among it.
static int64_t peakBytes() {
  return static_cast<int64_t>(1024 *
                              fieldIn(readSmallFile("/proc/self/status"), "VmHWM:").value_or(0));
}

static Result<Limits> measureLimits(Model &model) {
  Limits limits;
  if (model.device())
    return limits;
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

/// For a program to read: null where it is not known.
static nlohmann::ordered_json known(double value, double limit) {
  return limit > 0 ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
}

/// How much of a limit was reached; nothing where that is not known.
static std::string percentText(double part, double whole) {
  return whole > 0 ? fmt::format("{:.1f}", percent(part, whole)) : "";
}

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
    text += fmt::format("\n| {:<56} | {:>8} | {:>9} | {:>9} | {:>9} |\n", result.test.name(),
                        "% of time", "% waiting", "us a run", "% of read");
    text +=
        fmt::format("| {:-<56} | {:->8}: | {:->8}: | {:->8}: | {:->8}: |\n", "", "", "", "", "");
    for (size_t index : order) {
      const MeasuredPhase &phase = result.phases[index];
      double bytes = static_cast<double>(manifest.phases[index].bytes * phase.runs);
      std::string reading =
          result.test.decode && bytes > 0 && phase.seconds > 0
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
                    int64_t peak, const std::vector<Measured> &results) {
  const Manifest &manifest = model.manifest();
  if (options.json) {
    nlohmann::ordered_json json = {
        {"model", manifest.name},
        {"device", model.device() ? model.device()->name() : "cpu"},
        {"threads", model.threads()},
        {"numa", describeNodes(model.nodes())},
        {"weights_bytes", model.weights().bytes()},
        {"peak_bytes", peak},
        {"parameters",
         {{"total", manifest.totalParameters}, {"active", manifest.activeParameters}}},
        {"read_bytes_per_second", known(limits.reading, limits.reading)},
        {"arithmetic", arithmeticName(limits.kind)},
        {"arithmetic_operations_per_second", known(limits.arithmetic, limits.arithmetic)}};
    json["tests"] = nlohmann::ordered_json::array();
    for (const Measured &result : results) {
      nlohmann::ordered_json test = {
          {"test", result.test.name()},
          {"tokens", result.test.tokens},
          {"depth", result.test.depth},
          {"batch", result.test.batch},
          {"tokens_per_second", result.tokensPerSecond},
          {"samples", result.samples},
          {"deviation", result.deviation},
          {"bytes_per_token", result.bytesPerToken},
          {"operations_per_token", result.operationsPerToken},
          {"percent_of_reading",
           known(percent(result.bytesPerToken * result.tokensPerSecond, limits.reading),
                 limits.reading)},
          {"percent_of_arithmetic",
           known(percent(result.operationsPerToken * result.tokensPerSecond, limits.arithmetic),
                 limits.arithmetic)}};
      for (size_t phase = 0; phase < result.phases.size(); ++phase)
        test["phases"].push_back({{"name", manifest.phases[phase].name},
                                  {"bytes", manifest.phases[phase].bytes},
                                  {"runs", result.phases[phase].runs},
                                  {"seconds", result.phases[phase].seconds},
                                  {"seconds_waiting", result.phases[phase].waiting}});
      // The first of each kind also by a name that scripts need not build.
      const char *kind = result.test.decode ? "decode" : "prefill";
      if (!json.contains(kind))
        json[kind] = test;
      json["tests"].push_back(std::move(test));
    }
    return writeOutput(json.dump(2) + "\n");
  }
  std::string text =
      fmt::format("| {:<16} | {:>9} | {:>8} | {:>7} | {:>16} | {:>18} | {:>11} | {:>9} | "
                  "{:>13} |\n",
                  "model", "size", "params", "threads", "test", "tokens/s", "MB/token", "% of read",
                  "% of arithm.");
  text += fmt::format(
      "| {:-<16} | {:->8}: | {:->7}: | {:->6}: | {:->15}: | {:->17}: | {:->10}: | {:->8}: "
      "| {:->12}: |\n",
      "", "", "", "", "", "", "", "", "");
  for (const Measured &result : results)
    text += fmt::format(
        "| {:<16} | {:>6.2f} GB | {:>6.2f} B | {:>7} | {:>16} | {:>18} | {:>11.3f} | {:>9} | "
        "{:>13} |\n",
        manifest.name, static_cast<double>(model.weights().bytes()) * 1e-9,
        static_cast<double>(manifest.totalParameters) * 1e-9, model.threads(), result.test.name(),
        fmt::format("{:.2f} ± {:.2f}", result.tokensPerSecond, result.deviation),
        result.bytesPerToken * 1e-6,
        percentText(result.bytesPerToken * result.tokensPerSecond, limits.reading),
        percentText(result.operationsPerToken * result.tokensPerSecond, limits.arithmetic));
  if (model.device())
    return writeOutput(text + fmt::format("\ncomputed by {}, whose limits are not measured\n",
                                          model.device()->name()));
  std::string nodes;
  if (model.nodes().policy != NumaPolicy::Off)
    nodes = fmt::format(", --numa={} over {} nodes", numaPolicyName(model.nodes().policy),
                        model.nodes().nodes.size());
  text += fmt::format("\nmeasured with {} thread{}{}: reading {:.1f} GB/s, {} {:.1f} GFLOP/s; peak "
                      "memory {:.2f} GB\n",
                      model.threads(), model.threads() == 1 ? "" : "s", nodes,
                      limits.reading * 1e-9, arithmeticName(limits.kind), limits.arithmetic * 1e-9,
                      static_cast<double>(peak) * 1e-9);
  if (!manifest.phases.empty())
    text += phaseTables(manifest, limits, results);
  return writeOutput(text);
}

Status runBench(const BenchOptions &options) {
  Result<std::unique_ptr<Model>> model = openModel(options.open);
  if (!model.ok())
    return model.status();
  std::vector<int64_t> depths = options.depths.empty() ? std::vector<int64_t>{0} : options.depths;
  std::vector<int64_t> batches =
      options.batches.empty() ? std::vector<int64_t>{1} : options.batches;
  // A model with a small context is timed as far as it goes; lengths that were asked for are not
  // cut.
  int64_t deepest = *std::max_element(depths.begin(), depths.end());
  int64_t room = std::max<int64_t>((*model)->context() - deepest, 1);
  bool asked = !options.prompts.empty() || !options.generated.empty();
  std::vector<int64_t> prompts = options.prompts, generated = options.generated;
  if (!asked) {
    prompts = {std::min<int64_t>(512, room)};
    generated = {std::min<int64_t>(128, room)};
  }
  std::vector<Test> tests;
  for (int64_t tokens : prompts)
    for (int64_t depth : depths)
      if (tokens > 0)
        tests.push_back({.tokens = tokens, .depth = depth});
  for (int64_t tokens : generated)
    for (int64_t depth : depths)
      for (int64_t batch : batches)
        if (tokens > 0)
          tests.push_back({.decode = true, .tokens = tokens, .depth = depth, .batch = batch});
  if (tests.empty())
    return {Code::Usage, "--prompt and --generate leave nothing to time"};
  for (const Test &test : tests)
    if (test.tokens + test.depth > (*model)->context())
      return {Code::Usage, fmt::format("{} tokens after {} do not fit the context of {}",
                                       test.tokens, test.depth, (*model)->context())};
  std::vector<Measured> results;
  for (const Test &test : tests) {
    Result<Measured> measured = measure(**model, test, options.repetitions);
    if (!measured.ok())
      return measured.status();
    results.push_back(*measured);
  }
  int64_t peak = peakBytes(); // before the limits are measured, which takes memory too
  Result<Limits> limits = measureLimits(**model);
  if (!limits.ok())
    return limits.status();
  return print(options, **model, *limits, peak, results);
}

} // namespace moec
