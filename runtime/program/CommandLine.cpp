// One CLI11 application per command. The only file here with exceptions, which end in it.

#include "runtime/program/CommandLine.h"

#include <CLI/CLI.hpp>

#include <charconv>

namespace moec {

namespace {

/// `a=b` taken apart, or what is wrong with it.
std::string splitAssignment(const std::string &text, std::pair<std::string, std::string> &into) {
  size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    return "'" + text + "' is not of the form NAME=VALUE";
  into = {text.substr(0, equals), text.substr(equals + 1)};
  return "";
}

/// Numbers from `least` to `most`, which help does not repeat.
template <typename T> CLI::Validator between(T least, T most) {
  return CLI::Range(least, most).description("");
}

void addOpen(CLI::App &app, OpenOptions &options, bool runs = true) {
  app.add_option("--weights-file", options.weightsFile, "the file of packed weights")
      ->type_name("FILE");
  app.add_option("--model-dir", options.modelDirectory,
                 "where the model's own files are, for weights that are used where they lie")
      ->type_name("DIR");
  if (runs)
    app.add_option("--threads", options.threads, "threads (default: one per physical core)")
        ->type_name("N")
        ->check(between(1, 1024));
}

void addContext(CLI::App &app, OpenOptions &options) {
  app.add_option("--context", options.context, "room for that many tokens (default: the model's)")
      ->type_name("N")
      ->check(between(int64_t(1), int64_t(1) << 30));
}

void addSampling(CLI::App &app, SamplingOptions &options) {
  const double most = 1e30;
  auto number = [&](const char *name, auto &value, double least, double limit, const char *what) {
    app.add_option(name, value, what)
        ->type_name("X")
        ->check(between(least, limit))
        ->group("Sampling");
  };
  app.add_flag("--greedy", options.greedy, "always the likeliest token")->group("Sampling");
  number("--temperature", options.temperature, 0, most, "0 is greedy");
  number("--top-p", options.topP, 0, 1, "least set of tokens whose probabilities reach X");
  number("--min-p", options.minP, 0, 1, "no token below X times the likeliest");
  number("--repetition-penalty", options.repetitionPenalty, 1e-6, most,
         "divides the score of tokens seen before");
  number("--presence-penalty", options.presencePenalty, -most, most,
         "subtracted from the score of tokens generated before");
  app.add_option("--top-k", options.topK, "only the N likeliest tokens; 0: all")
      ->type_name("N")
      ->check(between(int64_t(0), int64_t(1) << 30))
      ->group("Sampling");
  app.add_option("--seed", options.seed, "equal seeds give equal texts")
      ->type_name("N")
      ->group("Sampling");
  app.add_option("--max-tokens", options.maxTokens, "generate at most N tokens")
      ->type_name("N")
      ->check(between(int64_t(1), int64_t(1) << 30))
      ->group("Sampling");
  app.add_option("--stop", options.stops, "end before this text; may be repeated")
      ->type_name("TEXT")
      ->allow_extra_args(false)
      ->group("Sampling");
  app.add_option_function<std::vector<std::string>>(
         "--logit-bias",
         [&options](const std::vector<std::string> &entries) {
           for (const std::string &entry : entries) {
             std::pair<std::string, std::string> parts;
             std::string error = splitAssignment(entry, parts);
             int32_t token = 0;
             double bias = 0;
             const char *end = parts.first.data() + parts.first.size();
             if (error.empty() && (std::from_chars(parts.first.data(), end, token).ptr != end ||
                                   !CLI::detail::lexical_cast(parts.second, bias)))
               error = "'" + entry + "' is not of the form ID=NUMBER";
             if (!error.empty())
               throw CLI::ValidationError("--logit-bias", error);
             options.logitBias.emplace_back(token, bias);
           }
         },
         "adds NUMBER to the score of token ID; may be repeated")
      ->type_name("ID=NUMBER")
      ->allow_extra_args(false)
      ->group("Sampling");
}

void addPrompt(CLI::App &app, PromptOptions &options) {
  app.add_option("--system", options.system, "the system message")->type_name("TEXT");
  app.add_option("--chat-template", options.templateFile,
                 "a chat template to use instead of the model's")
      ->type_name("FILE");
  app.add_option_function<std::vector<std::string>>(
         "--template-arg",
         [&options](const std::vector<std::string> &entries) {
           for (const std::string &entry : entries) {
             std::pair<std::string, std::string> parts;
             if (std::string error = splitAssignment(entry, parts); !error.empty())
               throw CLI::ValidationError("--template-arg", error);
             options.templateArguments.push_back(parts);
           }
         },
         "a variable for the chat template; may be repeated")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
}

void describe(CLI::App &app, CommandLine &line) {
  switch (line.command) {
  case Command::Help:
    break;
  case Command::Generate: {
    GenerateOptions &options = line.generate;
    app.add_option("prompt", options.text,
                   "what to answer or, with --raw, to continue; - reads it "
                   "from standard input")
        ->type_name("TEXT");
    app.add_option("--file", options.file, "read the prompt from FILE")->type_name("FILE");
    app.add_flag("--raw", options.raw, "continue the prompt, without chat template");
    app.add_flag("--json", options.json, "print one JSON object");
    addPrompt(app, options.prompt);
    addContext(app, options.open);
    addOpen(app, options.open);
    addSampling(app, options.sampling);
    app.footer(
        "Other commands: chat, eval, bench, inspect; each has --help. What follows -- is the "
        "prompt.");
    break;
  }
  case Command::Chat:
    addPrompt(app, line.chat.prompt);
    addContext(app, line.chat.open);
    addOpen(app, line.chat.open);
    addSampling(app, line.chat.sampling);
    break;
  case Command::Eval: {
    EvalOptions &options = line.eval;
    app.add_option("--input", options.input, "safetensors with S.input_ids, i64 [T], for each S")
        ->required()
        ->type_name("FILE");
    app.add_option("--output", options.output, "where S.logits and the rest go")
        ->required()
        ->type_name("FILE");
    app.add_option("--greedy", options.greedy, "also write N greedy tokens as S.greedy_ids")
        ->type_name("N")
        ->check(between(int64_t(1), int64_t(1) << 30));
    app.add_flag("--routing", options.routing, "also write S.router.L.experts and .weights");
    app.add_option("--chunk", options.chunk, "feed prompts in pieces of C tokens")
        ->type_name("C")
        ->check(between(int64_t(1), int64_t(1) << 30));
    app.add_flag("--batch", options.batch, "run all sequences in one ragged batch");
    addOpen(app, options.open);
    break;
  }
  case Command::Bench: {
    BenchOptions &options = line.bench;
    app.add_option("-p,--prompt", options.prompts, "prompt lengths to time (default: 512)")
        ->type_name("N,...")
        ->delimiter(',')
        ->check(between(int64_t(0), int64_t(1) << 30));
    app.add_option("-n,--generate", options.generated, "tokens to generate (default: 128)")
        ->type_name("N,...")
        ->delimiter(',')
        ->check(between(int64_t(0), int64_t(1) << 30));
    app.add_option("-d,--depth", options.depth, "tokens in the cache before (default: 0)")
        ->type_name("N")
        ->check(between(int64_t(0), int64_t(1) << 30));
    app.add_option("-r,--repetitions", options.repetitions, "times each is run (default: 5)")
        ->type_name("N")
        ->check(between(1, 1000));
    app.add_flag("--json", options.json, "print one JSON object");
    addOpen(app, options.open);
    break;
  }
  case Command::Inspect: {
    InspectOptions &options = line.inspect;
    app.add_flag("--json", options.json, "print one JSON object");
    app.add_flag("--verify", options.verify, "read all weights and compare digests");
    app.add_flag("--licenses", options.licenses, "print the notices of what is linked in");
    addOpen(app, options.open, false);
    break;
  }
  }
}

struct Named {
  const char *name;
  Command command;
  const char *about;
};

constexpr Named commands[] = {
    {"generate", Command::Generate, "answers a prompt"},
    {"chat", Command::Chat, "talks, turn by turn"},
    {"eval", Command::Eval, "writes the logits of given tokens"},
    {"bench", Command::Bench, "measures speed, beside what this machine can do"},
    {"inspect", Command::Inspect, "tells what this program is made of"},
};

} // namespace

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
  try {
    CLI::App app(name + " " + named->about, name);
    app.option_defaults()->always_capture_default(false);
    describe(app, line);
    // CLI11 takes them from the back.
    std::vector<std::string> rest(arguments.rbegin(), arguments.rend() - first);
    try {
      app.parse(rest);
    } catch (const CLI::CallForHelp &) {
      line.command = Command::Help;
      line.help = app.help();
    } catch (const CLI::ParseError &error) {
      return Status{Code::Usage, std::string(error.what()) + "; see " + name + " --help"};
    }
  } catch (const std::exception &error) {
    return Status{Code::Internal, error.what()};
  }
  if (line.command == Command::Generate && line.generate.text && !line.generate.file.empty())
    return Status{Code::Usage, "a prompt and --file given, wanted one of them"};
  return line;
}

} // namespace moec
