// Chat templates: parsed, and rendered for a short conversation with tools.

#include "runtime/text/ChatTemplate.h"

#include <nlohmann/json.hpp>

#include <string_view>

using namespace moec;
using nlohmann::ordered_json;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size > 4096)
    return 0;
  Result<ChatTemplate> parsed = ChatTemplate::parse({reinterpret_cast<const char *>(data), size});
  if (!parsed.ok())
    return 0;
  static const ordered_json messages =
      ordered_json::parse(R"([{"role": "system", "content": "Be brief."},
                              {"role": "user", "content": "Why?", "tags": [1, 2.5, null, true]},
                              {"role": "assistant", "content": "<think>So.</think>Because."},
                              {"role": "user", "content": "\u00e4 \ud83d\ude00"}])",
                          nullptr, false);
  static const ordered_json variables = ordered_json::parse(
      R"({"bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": true,
          "tools": [{"type": "function", "function": {"name": "f", "parameters": {"a": 1}}}]})",
      nullptr, false);
  std::tm now = {};
  now.tm_year = 125;
  now.tm_mday = 1;
  (void)parsed->render(messages, variables, now);
  return 0;
}
