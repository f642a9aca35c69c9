// Calls of tools as models write them, read one whole section at a time.

#ifndef MOEC_RUNTIME_TEXT_TOOLCALLS_H
#define MOEC_RUNTIME_TEXT_TOOLCALLS_H

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

struct ToolCall {
  std::string name;
  std::string arguments; ///< a JSON object
  std::string id = {};   ///< as the model numbers its calls; mostly empty
};
using ToolCalls = std::vector<ToolCall>;

// Each reads what stands between the markers of a section (for Mistral: behind its one marker).
// None where that is not, all of it, one or more calls with an object of arguments each.

std::optional<ToolCalls> readHermesCall(std::string_view text);
std::optional<ToolCalls> readMistralCalls(std::string_view text);
std::optional<ToolCalls> readDeepseekCalls(std::string_view text);
std::optional<ToolCalls> readDeepseekMarkup(std::string_view text);
std::optional<ToolCalls> readKimiCalls(std::string_view text);
/// Objects with `name` and `parameters`, or a list as Python writes calls: [f(x=1), g()].
std::optional<ToolCalls> readLlamaCalls(std::string_view text);

/// One call whose arguments are `text`; an empty text stands for none.
std::optional<ToolCall> makeToolCall(std::string_view name, std::string_view text);

/// Whether a text that begins with `text` may turn out to be calls that readLlamaCalls() takes.
bool mayBeLlamaCalls(std::string_view text);

} // namespace moec

#endif // MOEC_RUNTIME_TEXT_TOOLCALLS_H
