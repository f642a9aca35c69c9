// All options of moec, by way of CLI11, whose exceptions end here.

#include "tools/moec/CommandLine.h"
#include "compiler/transforms/WeightFormats.h"
#include "tools/moec/TextOutput.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Config/llvm-config.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <sstream>

using namespace moec;

static const std::map<std::string, Emit> emitNames = {
    {"import", Emit::Import},
    {"optimized", Emit::Optimized},
    {"scheduled", Emit::Scheduled},
    {"lowered", Emit::Lowered},
    {"llvm", Emit::Llvm},
    {"ptx", Emit::Ptx},
    {"cubin", Emit::Cubin},
    {"obj", Emit::Obj},
    {"static", Emit::Static},
    {"shared", Emit::Shared},
    {"exe", Emit::Exe},
};
static const std::map<std::string, WeightsMode> weightNames = {
    {"pack", WeightsMode::Pack}, {"embed", WeightsMode::Embed}, {"map", WeightsMode::Map}};
static const std::map<std::string, LibcLink> linkNames = {{"static", LibcLink::Static},
                                                          {"dynamic", LibcLink::Dynamic}};
static const std::map<std::string, Linker> linkerNames = {{"lld", Linker::Lld},
                                                          {"cc", Linker::SystemCompiler}};

static const std::map<std::string, Device> deviceNames = {{"cpu", Device::Cpu},
                                                          {"cuda", Device::Cuda}};
static const std::map<std::string, std::optional<LatentForm>> latentNames = {
    {"absorbed", LatentForm::Absorbed}, {"expanded", LatentForm::Expanded}};

/// Makes bytes of a size such as 24G, 1.5GB or 24GiB; returns what is wrong with it, or nothing.
static std::string makeBytes(std::string &text) {
  static constexpr std::pair<std::string_view, double> units[] = {
      {"", 1},         {"K", 1e3},      {"M", 1e6},     {"G", 1e9},     {"T", 1e12},
      {"B", 1},        {"KB", 1e3},     {"MB", 1e6},    {"GB", 1e9},    {"TB", 1e12},
      {"KI", 0x1p10},  {"MI", 0x1p20},  {"GI", 0x1p30}, {"TI", 0x1p40}, {"KIB", 0x1p10},
      {"MIB", 0x1p20}, {"GIB", 0x1p30}, {"TIB", 0x1p40}};
  constexpr double most = 0x1p50;
  double number = 0;
  const char *end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  const std::string unit = llvm::StringRef(rest, static_cast<size_t>(end - rest)).trim().upper();
  const auto *known = llvm::find_if(units, [&](const auto &entry) { return entry.first == unit; });
  const double bytes = known != std::end(units) ? number * known->second : 0;
  if (error != std::errc() || !(bytes >= 1 && bytes <= most))
    return fmt::format(
        "'{}' is no size from 1 byte to 2^50; wanted one such as 24G, 1.5GB or 24GiB", text);
  text = std::to_string(static_cast<uint64_t>(bytes));
  return {};
}

/// Adds an option whose values are the keys of `names`; its help ends with the default, which is
/// `value` unless `standard` says more.
template <typename T>
static CLI::Option *addChoice(CLI::App *app, const std::string &name, T &value,
                              const std::map<std::string, T> &names, const std::string &help,
                              std::string standard = "") {
  const bool isValue = standard.empty();
  std::string choices;
  for (const auto &[key, meant] : names) {
    choices += (choices.empty() ? "" : "|") + key;
    if (isValue && meant == value)
      standard = key;
  }
  return app
      ->add_option_function<std::string>(
          name, [&value, &names](const std::string &word) { value = names.at(word); },
          help + "; default: " + standard)
      ->check([&names, choices, name](const std::string &word) {
        return names.count(word) ? std::string() : "'" + word + "' is none of " + choices;
      })
      ->type_name(choices)
      ->take_last();
}

static std::string aboutQuantize() {
  return "weights that become small integers or floats: CLASS:FORMAT,... with the classes " +
         weightClassNames() +
         " (head: the embedding too, where that is the same; attention: an indexer too, but of "
         "latent attention what is absorbed stays as it is stored), and the formats " +
         weightFormatNames();
}

/// In what form weights are kept; compile and run share it, but for what `standard` says of the
/// default.
static void addWeightOptions(CLI::App *app, CompileRequest &request,
                             const std::string &standard = "") {
  app->add_option("--quantize", request.quantize, aboutQuantize())
      ->type_name("LIST")
      ->group("Weights")
      ->take_last();
  addChoice(app, "--weights", request.weights, weightNames,
            "where they live: a file beside the program in the target's layout (pack), inside the "
            "program (embed), or the model's own files (map)",
            standard)
      ->group("Weights");
}

static void addLatentForm(CLI::App *app, CompileRequest &request) {
  addChoice(
      app, "--mla", request.latentForm, latentNames,
      "how multi-head latent attention is computed: on the cached latent vectors (absorbed), or "
      "on keys and values of each head, which makes the cache many times larger (expanded)",
      "absorbed")
      ->group("Target");
}

/// What else decides how the model is computed; quality takes it too.
static void addModelOptions(CLI::App *app, CompileRequest &request) {
  app->add_option(
         "--cpu", request.cpu,
         "what to make code for: a level, such as avx2 or avx512bf16; a CPU by LLVM's name "
         "for it, such as znver4, for its best level; native, the default, for this "
         "machine's; several, by commas, for a program that chooses at its start")
      ->type_name("LEVEL|NAME,...")
      ->group("Target")
      ->take_last();
  auto addPrecision = [&](const std::string &name, std::string &value, const std::string &help) {
    app->add_option(name, value, help)
        ->type_name("f32|bf16")
        ->check(CLI::IsMember({"f32", "bf16"}).description(""))
        ->group("Target")
        ->take_last();
  };
  addPrecision("--activations", request.activations,
               "what both operands of a product are rounded to; sums are always f32; by default "
               "the type of the weights, where the level has instructions for it");
  addPrecision("--kv-cache", request.cache,
               "what keys and values are rounded to where they are kept; by default as "
               "--activations says, else the type of the weights");
  addLatentForm(app, request);
  app->add_flag("--reference", request.reference, "plain loops for every op, for comparison")
      ->group("Target");
  app->add_option("--threads", request.threads, "threads that pack weights; by default all CPUs")
      ->check(CLI::Range(1u, 1024u).description(""))
      ->group("Weights")
      ->take_last();
  app->add_option("--tensors", request.tensors,
                  "a safetensors file with the tensors of a graph that is given as a module")
      ->group("Model");
  app->add_flag("--follow-links", request.followLinks,
                "let links of the model directory lead anywhere")
      ->group("Weights");
  app->add_option(
         "--without-pass", request.without,
         "leave out passes of the optimize stage, such as moe-fuse-experts; may be repeated")
      ->delimiter(',')
      ->allow_extra_args(false) // the next word is the input
      ->type_name("NAME")
      ->group("Looking inside");
}

static void addCompileOptions(CLI::App *app, CompileRequest &request) {
  app->add_option("input", request.input,
                  "a model directory, or a module (.mlir) that --emit or --dump-stages wrote")
      ->required();
  app->add_option("-o,--output", request.output, "what to write; text goes to stdout by default")
      ->type_name("FILE")
      ->take_last();
  addChoice(app, "--emit", request.emit, emitNames, "where to stop")->take_last();
  addWeightOptions(app, request);
  addModelOptions(app, request);
  app->add_option("--context", request.context, "most positions of a sequence")
      ->type_name("N")
      ->check(CLI::Range(int64_t(1), int64_t(1) << 40).description(""))
      ->group("Target")
      ->take_last();
  addChoice(app, "--target", request.device, deviceNames, "what computes")->group("Target");
  app->add_option("--gpu", request.gpu,
                  "with --target=cuda: the architectures to make kernels for, such as sm_80,sm_90a")
      ->type_name("NAME,...")
      ->group("Target")
      ->take_last();
  app->add_flag(
         "--emulate", request.emulate,
         "with --target=cuda: the program can also run its kernels without a GPU, on the CPU, "
         "slowly, and finds races and the like in them: PROGRAM --device=emulated")
      ->group("Target");
  app->add_option(
         "--device-memory", request.deviceMemory,
         "with --target=cuda: bytes of the GPU's memory for weights, keys and values of one "
         "sequence as long as --context, and activations, such as 24G or 24GiB; the routed "
         "experts of layers that do not fit are computed by the CPUs, for which --cpu says "
         "what they are; by default all is the GPU's")
      ->transform(CLI::Validator(makeBytes, ""))
      ->type_name("SIZE")
      ->group("Target")
      ->take_last();
  app->add_flag("--headers-only", request.headersOnly,
                "the model's files may end after their headers; for what needs no weight bytes")
      ->group("Weights");
  addChoice(app, "--link", request.libc, linkNames, "how the program gets its libc")
      ->group("Linking");
  addChoice(app, "--linker", request.linker, linkerNames,
            "the one inside moec, or the system's compiler driver")
      ->group("Linking");
  app->add_flag("--strip", request.strip, "leave out the symbol table")->group("Linking");
  app->add_flag("--profile", request.profile,
                "let the program's bench tell where the time of a step goes")
      ->group("Looking inside");
  app->add_option("--dump-stages", request.dumpStages, "write the module after every stage to DIR")
      ->type_name("DIR")
      ->group("Looking inside")
      ->take_last();
  app->add_flag("--report", request.report, "say what was fused, and what was not and why")
      ->group("Looking inside");
  app->add_flag("--strict", request.strict,
                "what was not fused is an error; with --weights=map some products never are")
      ->group("Looking inside");
  app->add_flag("-q,--quiet", request.quiet, "nothing on stderr but errors")
      ->group("Looking inside");
}

static void addQualityOptions(CLI::App *app, CommandLine &line, CompileRequest &request) {
  app->add_option("directory", request.input, "the model")->required();
  app->add_option("--text", line.quality.text, "what to score, in UTF-8")
      ->required()
      ->type_name("FILE")
      ->take_last();
  app->add_option("--quantize", line.quality.formats, aboutQuantize() + "; may be repeated")
      ->required()
      ->allow_extra_args(false) // the next word is the directory
      ->type_name("LIST");
  app->add_option("--window", line.quality.window,
                  "as in the perplexity command of programs: score the second half of sequences "
                  "of N tokens; by default 512, or the context if that is shorter")
      ->check(CLI::Range(int64_t(5), int64_t(1) << 30).description(""))
      ->type_name("N")
      ->take_last();
  app->add_flag("--json", line.quality.json, "for a program to read");
  addModelOptions(app, request);
  app->footer(
      "Programs are kept in the cache of moec run. While the command runs, the logits of the "
      "program that is not quantised lie in $TMPDIR or /tmp: two bytes for each entry of the "
      "vocabulary at each scored token.");
}

/// How many of `words` belong to `app`: up to its one positional word, which is included.
static size_t countOwnWords(const CLI::App &app, const std::vector<std::string> &words) {
  for (size_t index = 0; index < words.size(); ++index) {
    const std::string &word = words[index];
    if (word.size() < 2 || word[0] != '-')
      return index + 1;
    const CLI::Option *option = app.get_option_no_throw(word.substr(0, word.find('=')));
    if (option && option->get_items_expected_max() > 0 && word.find('=') == std::string::npos)
      ++index; // its value
  }
  return words.size();
}

/// What the options of all that compiles say only together.
static Status checkModel(const CLI::App &app, CompileRequest &request) {
  request.weightsGiven = app.count("--weights") > 0;
  if (app.count("--threads") && request.weights == WeightsMode::Map)
    return {Code::Usage,
            request.weightsGiven
                ? "--threads is for packing weights, and --weights=map packs none"
                : "--threads is for packing weights, which only --weights=pack always does; the "
                  "program's own --threads comes after the directory"};
  if (!request.quantize.empty() && request.weights == WeightsMode::Map)
    return {Code::Usage,
            "--quantize makes packed weights, and these stay in the model's own files: "
            "say --weights=pack"};
  return {};
}

/// What is for GPUs only, or for CPUs only.
static Status checkTarget(const CLI::App &app, const CompileRequest &request) {
  const bool onGpu = request.device == Device::Cuda;
  if (!onGpu)
    for (const char *option : {"--gpu", "--emulate", "--device-memory"})
      if (app.count(option))
        return {Code::Usage,
                fmt::format("{} is for --target=cuda, and the target is the CPU", option)};
  if (request.emulate && request.emit != Emit::Exe)
    return {Code::Usage, "--emulate is for programs; moe-emulate runs single kernels"};
  if (onGpu && app.count("--link") && request.libc == LibcLink::Static)
    return {Code::Usage,
            "--link=static: a program for GPUs loads NVIDIA's driver when it runs, which "
            "only the system's own libc can do"};
  if (!onGpu && (request.emit == Emit::Ptx || request.emit == Emit::Cubin))
    return {Code::Usage, fmt::format("--emit={} is for --target=cuda, and the target is the CPU",
                                     app.get_option("--emit")->as<std::string>())};
  if (onGpu && !app.count("--gpu"))
    return {Code::Usage, "--target=cuda: no --gpu; say for which architectures, such as "
                         "--gpu=sm_80,sm_90a"};
  if (onGpu && app.count("--profile"))
    return {Code::Usage, "--profile is for --target=cpu"};
  // A module may have been placed when it was scheduled.
  if (onGpu && app.count("--cpu") && !app.count("--device-memory") &&
      !llvm::StringRef(request.input).ends_with(".mlir"))
    return {Code::Usage, "--cpu: all is computed by the GPU; with --device-memory some may be left "
                         "to CPUs"};
  return {};
}

/// What those of `moec compile` say only together.
static Status checkCompile(const CLI::App &app, CompileRequest &request) {
  if (Status status = checkTarget(app, request); !status.ok())
    return status;
  bool text = request.emit <= Emit::Ptx;
  bool links = request.emit >= Emit::Static;
  if (!links)
    for (const char *option : {"--link", "--linker", "--strip", "--threads"})
      if (app.count(option))
        return {Code::Usage,
                fmt::format("{} is for programs and libraries, and --emit={} makes neither", option,
                            app.get_option("--emit")->as<std::string>())};
  if (links && request.emit != Emit::Exe && app.count("--link"))
    return {
        Code::Usage,
        "--link is for programs: a library uses the libc of the program that it becomes part of"};
  if (request.output.empty() && !text)
    return {Code::Usage, "no -o: say where to write the result"};
  if (request.output.empty())
    request.output = "-";
  if (request.output == "-" && !text)
    return {Code::Usage, "-o -: only text can go to stdout; give a file name"};
  if (request.headersOnly && links)
    return {Code::Usage, "--headers-only: a program or library needs the weights; leave it out, or "
                         "stop earlier with --emit=obj"};
  return {};
}

Result<CommandLine> moec::parseCommandLine(int count, const char *const *words) {
  CommandLine line;
  CLI::App app("Compiles a mixture-of-experts language model, ahead of time, into a program.",
               "moec");
  app.require_subcommand(1);
  app.set_version_flag("-v,--version", "moec " MOEC_VERSION ", LLVM " LLVM_VERSION_STRING);
  app.set_help_flag("-h,--help", "say what there is");
  app.footer("Statuses: 0 done, 1 moec's own fault, 2 usage, 3 bad model, 4 unsupported, "
             "5 mismatch, 6 out of memory or disk.");

  CLI::App *compile = app.add_subcommand("compile", "make a program from a model directory");
  addCompileOptions(compile, line.request);
  compile->footer("What ptxas makes of kernels is kept below $XDG_CACHE_HOME/moec/cubins, or "
                  "~/.cache/moec/cubins, until it was not used for a month; the folder may be "
                  "deleted at any time.");
  CLI::App *run = app.add_subcommand("run", "compile into a cache, then run the program");
  CompileRequest runRequest;
  runRequest.weights = WeightsMode::Map;
  run->add_option("directory", runRequest.input,
                  "the model; whatever follows it goes to the program")
      ->required();
  addWeightOptions(run, runRequest,
                   "map where the files permit it and nothing is quantized, else pack");
  addModelOptions(run, runRequest);
  run->footer("Options of moec run come before the directory. Programs are kept below "
              "$XDG_CACHE_HOME/moec, or ~/.cache/moec, one for each state of a model's files and "
              "each set of options; the folder may be deleted at any time.");
  CLI::App *inspect =
      app.add_subcommand("inspect", "say what a model directory, or an ONNX file, holds");
  CompileRequest inspectRequest;
  inspect->add_option("directory", inspectRequest.input, "the model; headers suffice")->required();
  inspect->add_flag("--json", line.json, "for a program to read");
  inspect->add_flag("--follow-links", inspectRequest.followLinks,
                    "let links of the model directory lead anywhere");
  addLatentForm(inspect, inspectRequest);
  inspect->add_option("--cpu", inspectRequest.cpu, "as in moec compile")
      ->type_name("LEVEL|NAME,...");

  CLI::App *quality = app.add_subcommand("quality", "compare formats of weights by a text");
  CompileRequest qualityRequest;
  addQualityOptions(quality, line, qualityRequest);

  std::vector<std::string> own(words + 1, words + count);
  bool isCommand = !own.empty() && llvm::any_of(app.get_subcommands({}), [&](CLI::App *command) {
    return command->get_name() == own[0];
  });
  if (!own.empty() && !isCommand && own[0].find('-') != 0)
    return Status{Code::Usage,
                  fmt::format("'{}' is none of moec's commands: compile, run, inspect, quality; "
                              "see moec --help",
                              own[0])};
  std::string help = isCommand ? "moec " + own[0] : "moec";
  if (isCommand && own[0] == "run") {
    std::vector<std::string> after(own.begin() + 1, own.end());
    size_t taken = countOwnWords(*run, after);
    line.arguments.assign(after.begin() + static_cast<std::ptrdiff_t>(taken), after.end());
    own.resize(1 + taken);
  }
  std::reverse(own.begin(), own.end()); // as CLI11 wants it
  try {
    app.parse(std::move(own));
  } catch (const CLI::Success &success) {
    std::ostringstream help;
    app.exit(success, help, help);
    if (Status status = writeText("-", help.str()); !status.ok())
      return status;
    return line;
  } catch (const CLI::Error &error) {
    return Status{Code::Usage, fmt::format("{}; see {} --help", error.what(), help)};
  }

  if (compile->parsed()) {
    line.command = Command::Compile;
    if (Status status = checkCompile(*compile, line.request); !status.ok())
      return status;
    if (Status status = checkModel(*compile, line.request); !status.ok())
      return status;
  } else if (run->parsed()) {
    line.command = Command::Run;
    if (!run->count("--weights")) {
      runRequest.packsUnmappable = runRequest.quantize.empty();
      if (!runRequest.packsUnmappable)
        runRequest.weights = WeightsMode::Pack;
    }
    if (Status status = checkModel(*run, runRequest); !status.ok())
      return status;
    line.request = std::move(runRequest);
  } else if (quality->parsed()) {
    line.command = Command::Quality;
    line.request = std::move(qualityRequest);
  } else {
    line.command = Command::Inspect;
    line.request = std::move(inspectRequest);
  }
  return line;
}
