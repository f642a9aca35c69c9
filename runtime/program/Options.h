// What the commands of a compiled program can be told.

#ifndef MOEC_RUNTIME_PROGRAM_OPTIONS_H
#define MOEC_RUNTIME_PROGRAM_OPTIONS_H

#include "runtime/cpu/Nodes.h"
#include "runtime/device/Device.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace moec {

/// How any command opens the model; zero and empty ask for the default.
struct OpenOptions {
  std::string weightsFile;
  std::string modelDirectory;
  int64_t threads = 0;
  int64_t context = 0;
  NumaPolicy numa = NumaPolicy::Default;
  DeviceChoice device = DeviceChoice::Default;
};

/// How tokens are chosen; what is not set comes from the model's generation defaults.
struct SamplingOptions {
  bool greedy = false;
  std::optional<double> temperature, topP, minP, repetitionPenalty, presencePenalty;
  std::optional<int64_t> topK, maxTokens;
  std::optional<uint64_t> seed;
  std::vector<std::string> stops;
  std::vector<std::pair<int32_t, double>> logitBias;
};

/// How a prompt is made of what the user said.
struct PromptOptions {
  std::optional<std::string> system;
  std::vector<std::pair<std::string, std::string>> templateArguments;
  std::string templateFile;
};

struct GenerateOptions {
  OpenOptions open;
  SamplingOptions sampling;
  PromptOptions prompt;
  std::optional<std::string> text; ///< "-" reads standard input
  std::string file;
  bool raw = false;
  bool json = false;
  bool verbatim = false;
};

struct ChatOptions {
  OpenOptions open;
  SamplingOptions sampling;
  PromptOptions prompt;
  bool verbatim = false;
};

struct EvalOptions {
  OpenOptions open;
  std::string input, output;
  int64_t greedy = 0;
  int64_t chunk = 0;
  bool routing = false;
  bool batch = false;
};

struct PerplexityOptions {
  OpenOptions open;
  std::string text;
  std::string save, against; ///< files of logits
  int64_t window = 0;        ///< tokens; 0: the default
  bool json = false;
};

struct BenchOptions {
  OpenOptions open;
  std::vector<int64_t> prompts;   ///< prompt lengths to time
  std::vector<int64_t> generated; ///< numbers of generated tokens to time
  std::vector<int64_t> depths;    ///< tokens in the cache before; none: 0
  std::vector<int64_t> batches;   ///< sequences that generate side by side; none: 1
  int64_t repetitions = 5;
  bool json = false;
};

struct InspectOptions {
  OpenOptions open;
  bool json = false;
  bool verify = false;
  bool licenses = false;
};

struct GraphOptions {
  OpenOptions open;
  std::string input, output;
};

enum class Command { Help, Generate, Chat, Eval, Perplexity, Bench, Inspect, Graph };

/// A command line, taken apart.
struct CommandLine {
  Command command = Command::Help;
  std::string help; ///< what to print where help was asked for
  GenerateOptions generate;
  ChatOptions chat;
  EvalOptions eval;
  PerplexityOptions perplexity;
  BenchOptions bench;
  InspectOptions inspect;
  GraphOptions graph;
};

} // namespace moec

#endif // MOEC_RUNTIME_PROGRAM_OPTIONS_H
