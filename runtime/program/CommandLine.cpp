// The options of each command.

#include "runtime/program/CommandLine.h"

#include "runtime/program/Flags.h"
#include "runtime/text/JinjaText.h"

#include <fmt/format.h>

namespace moec {

static constexpr int64_t most = INT64_C(1) << 30; // of anything that counts tokens

/// `a=b` taken apart, or what is wrong with it.
static std::string splitAssignment(std::string_view text, std::string_view form,
                                   std::pair<std::string, std::string> &into) {
  size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0)
    return fmt::format("'{}' is not of the form {}", text, form);
  into = {std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))};
  return "";
}

static void addOpen(Flags &flags, OpenOptions &options, bool runs = true) {
  flags.option("--weights-file", "FILE", takePath(options.weightsFile),
               "the file of packed weights (default: beside the program, then $MOEC_WEIGHTS)");
  flags.option("--model-dir", "DIR", takePath(options.modelDirectory),
               "where the model's own files are, for weights that are used where they lie "
               "(default: $MOEC_MODEL_DIR, then where they were)");
  if (!runs)
    return;
  flags.option(
      "--device", "NAME",
      [&options](std::string_view text) {
        options.device = text == "cpu"        ? DeviceChoice::Cpu
                         : text == "cuda"     ? DeviceChoice::Cuda
                         : text == "emulated" ? DeviceChoice::Emulated
                                              : DeviceChoice::Default;
        return options.device == DeviceChoice::Default
                   ? fmt::format("'{}' is not cpu, cuda or emulated", text)
                   : std::string();
      },
      "what computes: cpu; or cuda, an NVIDIA GPU; or emulated, the same kernels without one, "
      "which "
      "is slow (default: what the program was compiled for)");
  flags.option("--threads", "N", takeInteger(options.threads, 1, 1024),
               "threads (default: one per physical core)");
  flags.option(
      "--numa", "POLICY",
      [&options](std::string_view text) {
        std::optional<NumaPolicy> policy = parseNumaPolicy(text);
        if (!policy)
          return fmt::format("'{}' is not split, interleave or off", text);
        options.numa = *policy;
        return std::string();
      },
      "on several nodes of memory: split threads and weights over them, interleave the weights' "
      "pages, or off (default: split)");
}

static void addContext(Flags &flags, OpenOptions &options) {
  flags.option("--context", "N", takeInteger(options.context, 1, most),
               "room for that many tokens (default: the model's)");
}

static void addSampling(Flags &flags, SamplingOptions &options) {
  const double huge = 1e30;
  flags.group("sampling");
  flags.option("--max-tokens", "N", takeInteger(options.maxTokens, 1, most),
               "generate at most N tokens");
  flags.flag("--greedy", options.greedy, "always the likeliest token");
  flags.option("--temperature", "X", takeNumber(options.temperature, 0, huge), "0 is greedy");
  flags.option("--top-k", "N", takeInteger(options.topK, 0, most),
               "only the N likeliest tokens; 0: all");
  flags.option("--top-p", "X", takeNumber(options.topP, 0, 1),
               "least set of tokens whose probabilities reach X");
  flags.option("--min-p", "X", takeNumber(options.minP, 0, 1),
               "no token below X times the likeliest");
  flags.option("--repetition-penalty", "X", takeNumber(options.repetitionPenalty, 1e-6, huge),
               "divides the score of tokens seen before");
  flags.option("--presence-penalty", "X", takeNumber(options.presencePenalty, -huge, huge),
               "subtracted from the score of tokens generated before");
  flags.option(
      "--logit-bias", "ID=NUMBER",
      [&options](std::string_view text) {
        std::pair<std::string, std::string> parts;
        std::string error = splitAssignment(text, "ID=NUMBER", parts);
        std::optional<int64_t> token = integerOf(parts.first);
        std::optional<double> bias = numberOf(parts.second);
        if (error.empty() && (!token || *token < 0 || *token > INT32_MAX || !bias))
          error = fmt::format("'{}' is not of the form ID=NUMBER", text);
        if (error.empty())
          options.logitBias.emplace_back(static_cast<int32_t>(*token), *bias);
        return error;
      },
      "adds NUMBER to the score of token ID; may be repeated");
  flags.option("--seed", "N", takeSeed(options.seed), "equal seeds give equal texts");
  flags.option(
      "--stop", "TEXT",
      [&options](std::string_view text) {
        if (text.empty())
          return "an empty text would end every answer";
        options.stops.emplace_back(text);
        return "";
      },
      "end before this text; may be repeated");
}

static void addPrompt(Flags &flags, PromptOptions &options) {
  flags.option("--system", "TEXT", takeText(options.system), "the system message");
  flags.option("--chat-template", "FILE", takePath(options.templateFile),
               "a chat template to use instead of the model's");
  flags.option(
      "--template-arg", "NAME=VALUE",
      [&options](std::string_view text) {
        std::pair<std::string, std::string> parts;
        std::string error = splitAssignment(text, "NAME=VALUE", parts);
        if (error.empty() && !jinja::isName(parts.first))
          error = fmt::format("'{}' is no name of a variable: wanted letters, digits and "
                              "underscores, no digit first, and no word of the template language",
                              parts.first);
        if (error.empty() && parts.first == "messages")
          error = "'messages' is the conversation itself and cannot be set";
        if (error.empty())
          options.templateArguments.push_back(std::move(parts));
        return error;
      },
      "sets a variable of the chat template: JSON such as true, 3 or [1], else text; may be "
      "repeated");
}

const char *templateOption(const PromptOptions &options) {
  if (options.system)
    return "--system";
  if (!options.templateFile.empty())
    return "--chat-template";
  return options.templateArguments.empty() ? nullptr : "--template-arg";
}

static void addVerbatim(Flags &flags, bool &verbatim) {
  flags.flag("--verbatim", verbatim,
             "show all that the model writes: also reasoning and control tokens");
}

static void addBench(Flags &flags, BenchOptions &options) {
  flags.option("--prompt", "N,...", takeIntegers(options.prompts, 0, most),
               "prompt lengths to time; 0: none (default, without -n: 512)", 'p');
  flags.option("--generate", "N,...", takeIntegers(options.generated, 0, most),
               "tokens to generate; 0: none (default, without -p: 128)", 'n');
  flags.option("--depth", "N,...", takeIntegers(options.depths, 0, most),
               "tokens in the cache before (default: 0)", 'd');
  flags.option("--batch", "N,...", takeIntegers(options.batches, 1, 4096),
               "sequences that generate side by side (default: 1)", 'b');
  flags.option("--repetitions", "N", takeInteger(options.repetitions, 1, 1000),
               "times each is run (default: 5)", 'r');
  flags.flag("--json", options.json, "print one JSON object");
  addOpen(flags, options.open);
}

static void addEval(Flags &flags, EvalOptions &options) {
  flags.option("--input", "FILE", takePath(options.input),
               "safetensors with S.input_ids, i64 [T], for each S");
  flags.required();
  flags.option("--output", "FILE", takePath(options.output), "where S.logits and the rest go");
  flags.required();
  flags.option("--greedy", "N", takeInteger(options.greedy, 1, most),
               "also write N greedy tokens as S.greedy_ids");
  flags.flag("--routing", options.routing, "also write S.router.L.experts and .weights");
  flags.option("--chunk", "C", takeInteger(options.chunk, 1, most),
               "feed prompts in pieces of C tokens");
  flags.flag("--batch", options.batch, "run all sequences in one ragged batch");
  addOpen(flags, options.open);
}

static void addPerplexity(Flags &flags, PerplexityOptions &options) {
  flags.option("--text", "FILE", takePath(options.text), "the text to score, in UTF-8");
  flags.required();
  flags.option("--window", "N", takeInteger(options.window, 1, most),
               "cut it into sequences of N tokens, and score the second half of each (default: "
               "512, or the context if that is shorter; with --against as there)");
  flags.option("--save", "FILE", takePath(options.save),
               "write the logits of what is scored, for --against: 2 bytes for each entry of the "
               "vocabulary, at each token");
  flags.option("--against", "FILE", takePath(options.against),
               "what another program of this tokenizer saved for this text: print the divergence "
               "from it");
  flags.flag("--json", options.json, "print one JSON object");
  addContext(flags, options.open);
  addOpen(flags, options.open);
}

static void addAll(Flags &flags, CommandLine &line) {
  switch (line.command) {
  case Command::Help:
    break;
  case Command::Generate:
    flags.positional("prompt", takeText(line.generate.text),
                     "what to answer or, with --raw, to continue; - reads standard input");
    flags.option("--file", "FILE", takePath(line.generate.file), "read the prompt from FILE");
    flags.flag("--raw", line.generate.raw, "continue the prompt, without chat template");
    flags.flag("--json", line.generate.json, "print one JSON object");
    addVerbatim(flags, line.generate.verbatim);
    addPrompt(flags, line.generate.prompt);
    addContext(flags, line.generate.open);
    addOpen(flags, line.generate.open);
    addSampling(flags, line.generate.sampling);
    break;
  case Command::Chat:
    addVerbatim(flags, line.chat.verbatim);
    addPrompt(flags, line.chat.prompt);
    addContext(flags, line.chat.open);
    addOpen(flags, line.chat.open);
    addSampling(flags, line.chat.sampling);
    break;
  case Command::Eval:
    addEval(flags, line.eval);
    break;
  case Command::Perplexity:
    addPerplexity(flags, line.perplexity);
    break;
  case Command::Bench:
    addBench(flags, line.bench);
    break;
  case Command::Inspect:
    flags.flag("--json", line.inspect.json, "print one JSON object");
    flags.flag("--verify", line.inspect.verify, "read all weights and compare digests");
    flags.flag("--licenses", line.inspect.licenses, "print the notices of what is linked in");
    addOpen(flags, line.inspect.open, false);
    break;
  case Command::Graph:
    flags.option("--input", "FILE", takePath(line.graph.input),
                 "safetensors with the graph's inputs, by their names");
    flags.option("--output", "FILE", takePath(line.graph.output), "where its outputs go");
    flags.required();
    addOpen(flags, line.graph.open);
    break;
  }
}

namespace {

struct Named {
  const char *name;
  Command command;
  const char *about;
};

constexpr Named commands[] = {
    {"generate", Command::Generate, "answers a prompt"},
    {"chat", Command::Chat, "talks, turn by turn"},
    {"eval", Command::Eval, "writes the logits of given tokens"},
    {"perplexity", Command::Perplexity, "scores a text, and compares programs by their scores"},
    {"bench", Command::Bench, "measures speed, beside what this machine can do"},
    {"inspect", Command::Inspect, "tells what this program is made of"},
    {"graph", Command::Graph, "computes outputs of tensors, where the program is a graph of them"},
};

} // namespace

/// The first option that shapes what is drawn from, where nothing is drawn; else null.
static const char *drawingOption(const SamplingOptions &options) {
  if (!options.greedy && options.temperature != 0)
    return nullptr;
  return options.greedy && options.temperature ? "--temperature"
         : options.topK                        ? "--top-k"
         : options.topP                        ? "--top-p"
         : options.minP                        ? "--min-p"
                                               : nullptr;
}

Result<CommandLine> parseCommandLine(const std::string &program,
                                     const std::vector<std::string> &arguments) {
  CommandLine line;
  line.command = Command::Generate;
  const Named *named = &commands[0];
  size_t first = 0;
  for (const Named &candidate : commands)
    if (!arguments.empty() && arguments[0] == candidate.name) {
      line.command = candidate.command;
      named = &candidate;
      first = 1;
    }
  std::string name = first == 0 ? program : program + " " + named->name;
  Flags flags;
  addAll(flags, line);
  Status status = flags.parse({arguments.begin() + static_cast<ptrdiff_t>(first), arguments.end()});
  if (!status.ok())
    return Status{status.code, status.message + "; see " + name + " --help"};
  if (flags.wantsHelp()) {
    line.help = flags.text(name, named->about);
    if (line.command == Command::Generate)
      line.help +=
          "\nOther commands: chat, eval, perplexity, bench, inspect; each has --help. What follows "
          "-- is the prompt.\n";
    line.command = Command::Help;
  }
  if (line.command == Command::Generate && line.generate.text && !line.generate.file.empty())
    return Status{Code::Usage, "a prompt and --file given, wanted one of them"};
  if (line.command == Command::Generate && line.generate.raw)
    if (const char *option = templateOption(line.generate.prompt))
      return Status{Code::Usage,
                    fmt::format("{} is for a chat template, and --raw uses none", option)};
  for (const SamplingOptions *sampling : {&line.generate.sampling, &line.chat.sampling})
    if (const char *option = drawingOption(*sampling))
      return Status{
          Code::Usage,
          fmt::format("{} is for drawing among tokens, and {} always takes the likeliest; "
                      "leave one out",
                      option, sampling->greedy ? "--greedy" : "--temperature 0")};
  if (line.inspect.licenses && (line.inspect.json || line.inspect.verify))
    return Status{Code::Usage, "--licenses prints notices and nothing else, so neither --json nor "
                               "--verify goes with it"};
  return line;
}

} // namespace moec
