// Programs of the cache score a text, one after another; the first one's logits are what the others
// are compared with.

#include "tools/moec/Quality.h"

#include "compiler/emit/ScratchFile.h"
#include "compiler/transforms/WeightFormats.h"
#include "runtime/core/File.h"
#include "tools/moec/Cache.h"
#include "tools/moec/TextOutput.h"

#include "llvm/Support/JSON.h"
#include "llvm/Support/Program.h"

#include <fmt/format.h>

#include <algorithm>

using namespace moec;
namespace json = llvm::json;

namespace {

/// One line of the table.
struct Row {
  std::string format;
  json::Object score; ///< what the program's perplexity command prints

  double number(llvm::StringRef name) const { return score.getNumber(name).value_or(0); }
  double bits() const {
    return 8 * number("weights_bytes") /
           score.getObject("parameters")->getNumber("total").value_or(0);
  }
  /// A figure of the comparison.
  double against(llvm::StringRef name) const {
    return score.getObject("against")->getNumber(name).value_or(0);
  }
};

} // namespace

static constexpr const char *kNone = "none"; // the format of the program to compare with

/// Lets a program score the text; `option` is what it does with the file of logits.
static Result<Row> score(const QualityRequest &request, const std::string &program,
                         const std::string &format, const char *option, const std::string &logits) {
  Result<ScratchFile> output = ScratchFile::create(".json");
  Result<ScratchFile> messages = ScratchFile::create(".log");
  for (const Result<ScratchFile> *file : {&output, &messages})
    if (!file->ok())
      return file->status();
  std::string window = std::to_string(request.window);
  std::string threads = std::to_string(request.model.threads);
  std::vector<llvm::StringRef> words = {program,      "perplexity", "--json", "--text",
                                        request.text, option,       logits};
  if (request.window)
    words.insert(words.end(), {"--window", window});
  if (request.model.threads)
    words.insert(words.end(), {"--threads", threads});
  std::optional<llvm::StringRef> redirects[] = {"", output->path(), messages->path()};
  std::string error;
  int status = llvm::sys::ExecuteAndWait(program, words, std::nullopt, redirects, 0, 0, &error);
  constexpr uint64_t most = UINT64_C(1) << 20;
  if (status < 0)
    return Status{Code::Internal, fmt::format("cannot run '{}': {}", program, error)};
  if (status > 0) {
    Result<std::string> said = readFile(messages->path(), most, Code::Internal);
    return Status{static_cast<Code>(status),
                  fmt::format("the program for '{}' says: {}", format,
                              said.ok() ? llvm::StringRef(*said).trim().str() : "nothing")};
  }
  Result<std::string> said = readFile(output->path(), most, Code::Internal);
  if (!said.ok())
    return said.status();
  llvm::Expected<json::Value> parsed = json::parse(*said);
  if (!parsed)
    return Status{Code::Internal, fmt::format("'{}' does not print JSON: {}", program,
                                              llvm::toString(parsed.takeError()))};
  Row row{format, std::move(*parsed->getAsObject())};
  if (!row.score.getObject("parameters") || (format != kNone && !row.score.getObject("against")))
    return Status{Code::Internal, fmt::format("'{}' does not print its scores", program)};
  return row;
}

static std::string heading(size_t width) {
  return fmt::format("| {:<{}} | {:>14} | {:>13} | {:>20} | {:>21} | {:>11} | {:>10} |\n",
                     "quantize", width, "bytes", "bits a weight", "perplexity", "KL divergence",
                     "99 % within", "same top") +
         fmt::format(
             "| {:-<{}} | {:->13}: | {:->12}: | {:->19}: | {:->20}: | {:->10}: | {:->9}: |\n", "",
             width, "", "", "", "", "", "");
}

static std::string line(const Row &row, size_t width) {
  std::string text = fmt::format(
      "| {:<{}} | {:>14} | {:>13.2f} | {:>20} |", row.format, width,
      static_cast<int64_t>(row.number("weights_bytes")), row.bits(),
      fmt::format("{:.4f} ± {:.4f}", row.number("perplexity"), row.number("perplexity_error")));
  if (row.format == kNone)
    return text + fmt::format(" {:>21} | {:>11} | {:>10} |\n", "", "", "");
  return text + fmt::format(" {:>21} | {:>11.6f} | {:>8.2f} % |\n",
                            fmt::format("{:.6f} ± {:.6f}", row.against("kl_divergence"),
                                        row.against("kl_divergence_error")),
                            row.against("kl_divergence_99_percent"), 100 * row.against("same_top"));
}

Status moec::quality(const QualityRequest &request) {
  size_t width = 8;
  std::vector<std::string> formats = {kNone};
  for (const std::string &list : request.formats) {
    Result<WeightFormats> parsed = parseWeightFormats(list);
    if (!parsed.ok())
      return parsed.status();
    width = std::max(width, list.size());
    formats.push_back(list);
  }
  if (Result<File> text = File::open(request.text, Code::Usage); !text.ok())
    return {text.status().code, "--text: " + text.status().message};
  // All first: what cannot be compiled shows before the work begins.
  std::vector<std::string> programs;
  for (const std::string &format : formats) {
    CompileRequest compiled = request.model;
    compiled.quantize = format == kNone ? "" : format;
    Result<std::string> program = cachedProgram(std::move(compiled));
    if (!program.ok())
      return program.status();
    programs.push_back(*program);
  }
  Result<ScratchFile> logits = ScratchFile::create(".safetensors");
  if (!logits.ok())
    return logits.status();
  json::Array rows;
  for (size_t i = 0; i < programs.size(); ++i) {
    Result<Row> row =
        score(request, programs[i], formats[i], i == 0 ? "--save" : "--against", logits->path());
    if (!row.ok())
      return row.status();
    if (!request.json) {
      std::string text = (i == 0 ? heading(width) : "") + line(*row, width);
      if (Status status = writeText("-", text); !status.ok())
        return status;
      continue;
    }
    json::Object object{{"quantize", row->format}, {"bits_per_weight", row->bits()}};
    for (auto &[name, value] : row->score)
      object.try_emplace(name, std::move(value));
    rows.push_back(std::move(object));
  }
  if (!request.json)
    return {};
  return writeText("-",
                   fmt::format("{}\n", llvm::formatv("{0:2}", json::Value(std::move(rows))).str()));
}
