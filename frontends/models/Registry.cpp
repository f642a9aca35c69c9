// The table of architectures, and importing by it.

#include "frontends/models/Registry.h"

#include "frontends/models/Import.h"

#include <fmt/format.h>

#include <filesystem>

using namespace moec;

static constexpr Architecture kArchitectures[] = {
    {"DeepseekV2ForCausalLM", "deepseek_v2", buildDeepseekV2},
    {"DeepseekV3ForCausalLM", "deepseek_v3", buildDeepseekV3},
    {"DeepseekV3ForCausalLM", "kimi_k2", buildDeepseekV3},
    {"DeepseekV32ForCausalLM", "deepseek_v32", buildDeepseekV32},
    {"GptOssForCausalLM", "gpt_oss", buildGptOss},
    {"Llama4ForCausalLM", "llama4_text", buildLlama4},
    {"Llama4ForConditionalGeneration", "llama4", buildLlama4},
    {"MixtralForCausalLM", "mixtral", buildMixtral},
    {"OlmoeForCausalLM", "olmoe", buildOlmoe},
    {"Qwen2MoeForCausalLM", "qwen2_moe", buildQwen2Moe},
    {"Qwen3MoeForCausalLM", "qwen3_moe", buildQwen3Moe},
};

Result<const Architecture *> moec::findArchitecture(const Config &config) {
  std::string name = config.architecture(), modelType = config.modelType();
  for (const Architecture &architecture : kArchitectures)
    if (name.empty() ? modelType == architecture.modelType : name == architecture.name)
      return &architecture;

  std::string supported;
  std::string_view last;
  for (const Architecture &architecture : kArchitectures) {
    if (architecture.name != last)
      supported += fmt::format("{}{}", supported.empty() ? "" : ", ", architecture.name);
    last = architecture.name;
  }
  if (name.empty() && modelType.empty())
    return Status{Code::Unsupported,
                  fmt::format("{}: names no architecture, neither in `architectures` nor in "
                              "`model_type`; supported are {}",
                              config.file(), supported)};
  // Escaped, so that a name with control characters stays one line.
  std::string shown = nlohmann::json(name.empty() ? modelType : name)
                          .dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  return Status{Code::Unsupported,
                fmt::format("{}: `{}` is {}, which is not supported; supported are {}",
                            config.file(), name.empty() ? "model_type" : "architectures", shown,
                            supported)};
}

/// The last part of the path of `directory`, also where it is spelled `.` or ends with a slash.
static std::string lastPart(const std::string &directory) {
  std::error_code error;
  std::filesystem::path path = std::filesystem::absolute(directory, error).lexically_normal();
  if (!path.has_filename())
    path = path.parent_path();
  std::string name = path.filename().string();
  return name.empty() ? "model" : name;
}

Result<mlir::OwningOpRef<mlir::ModuleOp>> moec::importModel(const Checkpoint &checkpoint,
                                                            mlir::MLIRContext &context,
                                                            const ImportOptions &options) {
  Result<const Architecture *> architecture = findArchitecture(checkpoint.config());
  if (!architecture.ok())
    return architecture.status();
  ConfigReader config(checkpoint.config());
  const QuantizationConfig quantization = readQuantization(config);
  ModelBuilder model(
      checkpoint, quantization, context,
      {.name = options.name.empty() ? lastPart(checkpoint.directory()) : options.name,
       .architecture = std::string((*architecture)->name),
       .context = options.context,
       .latentForm = options.latentForm,
       .notice = options.notice});
  if (Status status = (*architecture)->build(config, model); !status.ok())
    return status;
  if (const std::string line = config.outerContradictions(); !line.empty() && options.notice)
    options.notice(line);
  Result<mlir::OwningOpRef<mlir::ModuleOp>> built = model.finish();
  if (built.ok() || built.status().code != Code::Model)
    return built;
  const std::string absent = config.absentSizes();
  return Status{Code::Model, built.status().message + (absent.empty() ? "" : "; " + absent)};
}
