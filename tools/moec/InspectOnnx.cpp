// Reads an ONNX model and prints what is counted in it.

#include "tools/moec/InspectOnnx.h"

#include "frontends/onnx/OnnxReader.h"
#include "frontends/onnx/OnnxSummary.h"
#include "tools/moec/Progress.h"
#include "tools/moec/TextOutput.h"

#include "llvm/Support/JSON.h"

#include <fmt/format.h>
#include <sys/stat.h>

using namespace moec;

/// What is printed, in either form.
namespace {
struct OnnxFacts {
  OnnxModel model;
  OnnxSummary summary;
  uint64_t inlineBytes = 0, externalBytes = 0;
  std::vector<std::string> notices;
};
} // namespace

bool moec::isOnnx(const std::string &input) {
  struct stat info;
  return input.ends_with(".onnx") && (stat(input.c_str(), &info) != 0 || !S_ISDIR(info.st_mode));
}

static Result<OnnxFacts> gather(const CompileRequest &request) {
  Result<OnnxModel> model =
      readOnnx(request.input, {.headersOnly = true, .followLinks = request.followLinks});
  if (!model.ok())
    return model.status();
  OnnxFacts facts;
  facts.model = std::move(*model);
  facts.summary = summarize(facts.model);
  facts.notices = facts.model.notices;
  for (const OnnxTypeCount &type : facts.summary.types) {
    facts.inlineBytes += type.inlineBytes;
    facts.externalBytes += type.externalBytes;
  }
  for (const OnnxFile &file : facts.model.files)
    if (!file.isPresent)
      facts.notices.push_back(fmt::format("{} is not there", shownName(file.name)));
  return facts;
}

static std::string domainText(std::string_view domain) {
  return domain.empty() ? "ai.onnx" : shownName(domain);
}

static std::string toText(const OnnxFacts &facts) {
  const OnnxModel &model = facts.model;
  const OnnxSummary &summary = facts.summary;
  std::string text;
  auto line = [&](std::string_view name, const std::string &value) {
    text += fmt::format("{:<16}{}\n", name, value);
  };
  line("model", fmt::format("{}, ONNX of IR version {}", model.files[0].name, model.irVersion));
  line("producer", shownName(model.producer.empty() ? "not said" : model.producer) +
                       (model.producerVersion.empty() ? "" : " ") +
                       shownName(model.producerVersion));
  std::string sets;
  for (const OnnxOperatorSet &set : model.operatorSets)
    sets += fmt::format("{}{} {}", sets.empty() ? "" : ", ", domainText(set.domain), set.version);
  line("operators", sets);
  for (const OnnxInput &input : model.graph.inputs)
    line("input", fmt::format("{}: {}{}", shownName(input.name), typeText(input.type),
                              input.preset == kAbsent ? "" : ", with a default"));
  for (const OnnxOutput &output : model.graph.outputs)
    line("output", fmt::format("{}: {}", shownName(output.name), typeText(output.type)));
  line("nodes", fmt::format("{} in {} graph{}", summary.nodes, summary.graphs,
                            summary.graphs == 1 ? "" : "s"));
  for (const OnnxOpCount &op : summary.ops)
    line("", fmt::format("{} {}", op.nodes, shownOp(op.domain, op.op)));
  for (const OnnxFunctionFacts &function : model.functions)
    line("function",
         fmt::format("{}, {} nodes, called {} times", shownOp(function.domain, function.name),
                     function.nodes, function.calls));
  line("initializers", fmt::format("{}", summary.initializers));
  line("tensors", fmt::format("{} in the model's file, {} in {} file{} of external data",
                              formatBytes(facts.inlineBytes), formatBytes(facts.externalBytes),
                              model.files.size() - 1, model.files.size() == 2 ? "" : "s"));
  for (const OnnxTypeCount &type : summary.types)
    line("", fmt::format("{} of {}, {}", type.tensors, elementTypeName(type.type),
                         formatBytes(type.inlineBytes + type.externalBytes)));
  for (const OnnxTensor *tensor : summary.largest)
    line(tensor == summary.largest.front() ? "largest" : "",
         fmt::format("{}: {} {}, {}", shownName(tensor->name), elementTypeName(tensor->type),
                     shapeText(tensor->dims), formatBytes(tensor->bytes)));
  for (const std::string &notice : facts.notices)
    line("notice", notice);
  return text;
}

/// A type's element and shape; what is not known is null.
static void writeType(llvm::json::OStream &json, std::string_view name, const OnnxType &type) {
  json.attribute("name", llvm::StringRef(name));
  json.attribute("type", llvm::StringRef(elementTypeName(type.element)));
  if (!type.shape) {
    json.attribute("shape", nullptr);
    return;
  }
  json.attributeArray("shape", [&] {
    for (const OnnxDim &dim : *type.shape)
      if (dim.size >= 0)
        json.value(dim.size);
      else if (dim.symbol.empty())
        json.value(nullptr);
      else
        json.value(llvm::StringRef(dim.symbol));
  });
}

static std::string toJson(const OnnxFacts &facts) {
  const OnnxModel &model = facts.model;
  std::string text;
  llvm::raw_string_ostream stream(text);
  llvm::json::OStream json(stream, 2);
  auto number = [](auto value) { return static_cast<int64_t>(value); };
  json.object([&] {
    json.attribute("ir_version", model.irVersion);
    json.attribute("producer", model.producer);
    json.attribute("producer_version", model.producerVersion);
    json.attributeObject("operators", [&] {
      for (const OnnxOperatorSet &set : model.operatorSets)
        json.attribute(set.domain.empty() ? "ai.onnx" : llvm::StringRef(set.domain), set.version);
    });
    json.attributeArray("inputs", [&] {
      for (const OnnxInput &input : model.graph.inputs)
        json.object([&] {
          writeType(json, input.name, input.type);
          json.attribute("default", input.preset != kAbsent);
        });
    });
    json.attributeArray("outputs", [&] {
      for (const OnnxOutput &output : model.graph.outputs)
        json.object([&] { writeType(json, output.name, output.type); });
    });
    json.attribute("graphs", number(facts.summary.graphs));
    json.attributeObject("nodes", [&] {
      for (const OnnxOpCount &op : facts.summary.ops)
        json.attribute((op.domain.empty() ? "" : std::string(op.domain) + "::") +
                           std::string(op.op),
                       number(op.nodes));
    });
    json.attributeArray("functions", [&] {
      for (const OnnxFunctionFacts &function : model.functions)
        json.object([&] {
          json.attribute("domain", llvm::StringRef(function.domain));
          json.attribute("name", llvm::StringRef(function.name));
          json.attribute("overload", llvm::StringRef(function.overload));
          json.attribute("nodes", number(function.nodes));
          json.attribute("calls", number(function.calls));
        });
    });
    json.attribute("initializers", number(facts.summary.initializers));
    json.attributeArray("tensors", [&] {
      for (const OnnxTypeCount &type : facts.summary.types)
        json.object([&] {
          json.attribute("type", llvm::StringRef(elementTypeName(type.type)));
          json.attribute("count", number(type.tensors));
          json.attribute("inline_bytes", number(type.inlineBytes));
          json.attribute("external_bytes", number(type.externalBytes));
        });
    });
    json.attributeArray("largest", [&] {
      for (const OnnxTensor *tensor : facts.summary.largest)
        json.object([&] {
          json.attribute("name", llvm::StringRef(tensor->name));
          json.attribute("type", llvm::StringRef(elementTypeName(tensor->type)));
          json.attributeArray("shape", [&] {
            for (int64_t size : tensor->dims)
              json.value(size);
          });
          json.attribute("bytes", number(tensor->bytes));
        });
    });
    json.attributeArray("files", [&] {
      for (const OnnxFile &file : model.files)
        json.object([&] {
          json.attribute("path", file.name);
          json.attribute("bytes", number(file.size));
          json.attribute("present", file.isPresent);
        });
    });
    json.attributeArray("notices", [&] {
      for (const std::string &notice : facts.notices)
        json.value(notice);
    });
  });
  return text + "\n";
}

Status moec::inspectOnnx(const CompileRequest &request, bool json) {
  Result<OnnxFacts> facts = gather(request);
  if (!facts.ok())
    return facts.status();
  return writeText("-", json ? toJson(*facts) : toText(*facts));
}
