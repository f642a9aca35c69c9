// Writes headers of tiny models and imports them.

#include "test/frontends/models/TinyModel.h"

#include "llvm/Support/raw_ostream.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

using namespace moec;
using nlohmann::json;

/// A file of these tensors that ends after its header.
static std::string headerOf(const std::map<std::string, TinyTensor> &tensors) {
  json header = json::object();
  uint64_t offset = 0;
  for (const auto &[name, tensor] : tensors) {
    auto bytes = static_cast<uint64_t>(dataTypeBits(*parseDataType(tensor.type))) / 8;
    for (int64_t extent : tensor.shape)
      bytes *= static_cast<uint64_t>(extent);
    header[name] = {{"dtype", tensor.type},
                    {"shape", tensor.shape},
                    {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = header.dump(), file;
  for (int byte = 0; byte < 8; ++byte)
    file += static_cast<char>(text.size() >> (8 * byte));
  return file + text;
}

Result<mlir::OwningOpRef<mlir::ModuleOp>> TinyModel::import(mlir::MLIRContext &context,
                                                            const ImportOptions &options) const {
  const testing::TestInfo *test = testing::UnitTest::GetInstance()->current_test_info();
  std::string name = fmt::format("{}.{}", test->test_suite_name(), test->name());
  for (char &letter : name)
    if (letter == '/')
      letter = '.'; // of tests with parameters
  std::filesystem::path directory = std::filesystem::path(testing::TempDir()) / name / "tiny";
  std::filesystem::create_directories(directory);
  std::ofstream(directory / "config.json") << config.dump();
  std::ofstream(directory / "model.safetensors", std::ios::binary) << headerOf(tensors);
  Result<Checkpoint> checkpoint = Checkpoint::open(directory.string(), {.headersOnly = true});
  std::filesystem::remove_all(directory.parent_path());
  if (!checkpoint.ok())
    return checkpoint.status();
  return importModel(*checkpoint, context, options);
}

std::string TinyModel::text(const ImportOptions &options) const {
  mlir::MLIRContext context;
  Result<mlir::OwningOpRef<mlir::ModuleOp>> module = import(context, options);
  if (!module.ok()) {
    ADD_FAILURE() << module.status().message;
    return {};
  }
  std::string text;
  llvm::raw_string_ostream stream(text);
  (*module)->print(stream);
  return text;
}

Status TinyModel::failure(const ImportOptions &options) const {
  mlir::MLIRContext context;
  Result<mlir::OwningOpRef<mlir::ModuleOp>> module = import(context, options);
  if (!module.ok())
    return module.status();
  ADD_FAILURE() << "imported, wanted a failure";
  return {};
}

void TinyModel::fuseExperts(const std::string &gate, const std::string &up,
                            const std::string &down) {
  std::map<std::string, TinyTensor> fused;
  auto stack = [&](const std::string &name, const std::string &prefix, const std::string &suffix,
                   const TinyTensor &tensor) {
    TinyTensor &stacked = fused[prefix + "mlp.experts." + suffix];
    if (stacked.shape.empty())
      stacked = {{0, tensor.shape[0] * (suffix == "gate_up_proj" ? 2 : 1), tensor.shape[1]},
                 tensor.type};
    stacked.shape[0] += name.ends_with(up + ".weight") ? 0 : 1; // gate and up are one expert
  };
  for (const auto &[name, tensor] : tensors) {
    size_t experts = name.find(".experts.");
    if (experts == name.npos) {
      fused[name] = tensor;
      continue;
    }
    std::string prefix = name.substr(0, name.rfind('.', experts - 1) + 1);
    bool isDown = name.ends_with("." + down + ".weight");
    ASSERT_TRUE(isDown || name.ends_with("." + gate + ".weight") ||
                name.ends_with("." + up + ".weight"));
    stack(name, prefix, isDown ? "down_proj" : "gate_up_proj", tensor);
  }
  tensors = std::move(fused);
}

void moec::expectRefusal(TinyModel model, const json &change, Code code, const std::string &part) {
  model.config.merge_patch(change);
  Status status = model.failure();
  EXPECT_EQ(status.code, code) << status.message;
  EXPECT_NE(status.message.find(part), std::string::npos) << status.message;
  EXPECT_EQ(status.message.find('\n'), std::string::npos) << status.message;
}

int moec::count(const std::string &text, const std::string &part) {
  int found = 0;
  for (size_t place = text.find(part); place != text.npos; place = text.find(part, place + 1))
    ++found;
  return found;
}

// Models ----------------------------------------------------------------------------------------

void moec::addFrame(TinyModel &model, const TinySizes &sizes) {
  model.tensors["model.embed_tokens.weight"] = {{sizes.vocabulary, sizes.hidden}};
  model.tensors["model.norm.weight"] = {{sizes.hidden}};
  model.tensors["lm_head.weight"] = {{sizes.vocabulary, sizes.hidden}};
}

std::string moec::addAttention(TinyModel &model, const TinySizes &sizes, int64_t layer) {
  std::string prefix = fmt::format("model.layers.{}.", layer);
  int64_t query = sizes.heads * sizes.headSize, key = sizes.keyHeads * sizes.headSize;
  model.tensors[prefix + "input_layernorm.weight"] = {{sizes.hidden}};
  model.tensors[prefix + "post_attention_layernorm.weight"] = {{sizes.hidden}};
  model.tensors[prefix + "self_attn.q_proj.weight"] = {{query, sizes.hidden}};
  model.tensors[prefix + "self_attn.k_proj.weight"] = {{key, sizes.hidden}};
  model.tensors[prefix + "self_attn.v_proj.weight"] = {{key, sizes.hidden}};
  model.tensors[prefix + "self_attn.o_proj.weight"] = {{sizes.hidden, query}};
  return prefix;
}

void moec::addMlp(TinyModel &model, const std::string &prefix, const TinySizes &sizes,
                  int64_t width, const char *gate, const char *up, const char *down) {
  model.tensors[prefix + gate + ".weight"] = {{width, sizes.hidden}};
  model.tensors[prefix + up + ".weight"] = {{width, sizes.hidden}};
  model.tensors[prefix + down + ".weight"] = {{sizes.hidden, width}};
}

TinyModel moec::tinyMixtral() {
  TinySizes sizes;
  TinyModel model{.config = {{"architectures", {"MixtralForCausalLM"}},
                             {"model_type", "mixtral"},
                             {"vocab_size", sizes.vocabulary},
                             {"hidden_size", sizes.hidden},
                             {"intermediate_size", 96},
                             {"num_hidden_layers", 3},
                             {"num_attention_heads", sizes.heads},
                             {"num_key_value_heads", sizes.keyHeads},
                             {"head_dim", sizes.headSize},
                             {"max_position_embeddings", 128},
                             {"rope_theta", 10000.0},
                             {"num_local_experts", 8},
                             {"num_experts_per_tok", 2}},
                  .tensors = {}};
  addFrame(model, sizes);
  for (int64_t layer = 0; layer < 3; ++layer) {
    std::string prefix = addAttention(model, sizes, layer) + "block_sparse_moe.";
    model.tensors[prefix + "gate.weight"] = {{8, sizes.hidden}};
    for (int expert = 0; expert < 8; ++expert)
      addMlp(model, fmt::format("{}experts.{}.", prefix, expert), sizes, 96, "w1", "w3", "w2");
  }
  return model;
}

TinyModel moec::tinyQwen3Moe() {
  TinySizes sizes{.headSize = 32};
  TinyModel model{.config = {{"architectures", {"Qwen3MoeForCausalLM"}},
                             {"model_type", "qwen3_moe"},
                             {"vocab_size", sizes.vocabulary},
                             {"hidden_size", sizes.hidden},
                             {"intermediate_size", 80},
                             {"moe_intermediate_size", 48},
                             {"num_hidden_layers", 4},
                             {"num_attention_heads", sizes.heads},
                             {"num_key_value_heads", sizes.keyHeads},
                             {"head_dim", sizes.headSize},
                             {"decoder_sparse_step", 2},
                             {"norm_topk_prob", true},
                             {"num_experts", 8},
                             {"num_experts_per_tok", 3}},
                  .tensors = {}};
  addFrame(model, sizes);
  for (int64_t layer = 0; layer < 4; ++layer) {
    std::string prefix = addAttention(model, sizes, layer);
    model.tensors[prefix + "self_attn.q_norm.weight"] = {{sizes.headSize}};
    model.tensors[prefix + "self_attn.k_norm.weight"] = {{sizes.headSize}};
    if (layer % 2 == 0) {
      addMlp(model, prefix + "mlp.", sizes, 80);
      continue;
    }
    model.tensors[prefix + "mlp.gate.weight"] = {{8, sizes.hidden}};
    for (int expert = 0; expert < 8; ++expert)
      addMlp(model, fmt::format("{}mlp.experts.{}.", prefix, expert), sizes, 48);
  }
  return model;
}

TinyModel moec::tinyQwen2Moe() {
  TinySizes sizes{.headSize = 16};
  TinyModel model{.config = {{"architectures", {"Qwen2MoeForCausalLM"}},
                             {"model_type", "qwen2_moe"},
                             {"vocab_size", sizes.vocabulary},
                             {"hidden_size", sizes.hidden},
                             {"intermediate_size", 80},
                             {"moe_intermediate_size", 40},
                             {"shared_expert_intermediate_size", 72},
                             {"num_hidden_layers", 3},
                             {"num_attention_heads", sizes.heads},
                             {"num_key_value_heads", sizes.keyHeads},
                             {"mlp_only_layers", {1}},
                             {"num_experts", 6},
                             {"num_experts_per_tok", 4}},
                  .tensors = {}};
  addFrame(model, sizes);
  for (int64_t layer = 0; layer < 3; ++layer) {
    std::string prefix = addAttention(model, sizes, layer);
    for (const char *part : {"q", "k", "v"}) {
      int64_t heads = *part == 'q' ? sizes.heads : sizes.keyHeads;
      model.tensors[fmt::format("{}self_attn.{}_proj.bias", prefix, part)] = {
          {heads * sizes.headSize}};
    }
    if (layer == 1) {
      addMlp(model, prefix + "mlp.", sizes, 80);
      continue;
    }
    model.tensors[prefix + "mlp.gate.weight"] = {{6, sizes.hidden}};
    model.tensors[prefix + "mlp.shared_expert_gate.weight"] = {{1, sizes.hidden}};
    addMlp(model, prefix + "mlp.shared_expert.", sizes, 72);
    for (int expert = 0; expert < 6; ++expert)
      addMlp(model, fmt::format("{}mlp.experts.{}.", prefix, expert), sizes, 40);
  }
  return model;
}

TinyModel moec::tinyOlmoe() {
  TinySizes sizes{.headSize = 16};
  TinyModel model{.config = {{"architectures", {"OlmoeForCausalLM"}},
                             {"model_type", "olmoe"},
                             {"vocab_size", sizes.vocabulary},
                             {"hidden_size", sizes.hidden},
                             {"intermediate_size", 22},
                             {"num_hidden_layers", 2},
                             {"num_attention_heads", sizes.heads},
                             {"num_key_value_heads", sizes.keyHeads},
                             {"clip_qkv", 1.5},
                             {"num_experts", 8},
                             {"num_experts_per_tok", 3}},
                  .tensors = {}};
  addFrame(model, sizes);
  for (int64_t layer = 0; layer < 2; ++layer) {
    std::string prefix = addAttention(model, sizes, layer);
    model.tensors[prefix + "self_attn.q_norm.weight"] = {{sizes.heads * sizes.headSize}};
    model.tensors[prefix + "self_attn.k_norm.weight"] = {{sizes.keyHeads * sizes.headSize}};
    model.tensors[prefix + "mlp.gate.weight"] = {{8, sizes.hidden}};
    for (int expert = 0; expert < 8; ++expert)
      addMlp(model, fmt::format("{}mlp.experts.{}.", prefix, expert), sizes, 22);
  }
  return model;
}
