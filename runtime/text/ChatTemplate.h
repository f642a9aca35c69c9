// Chat templates: turns of a conversation to the text that a model was trained on.

#ifndef MOEC_RUNTIME_TEXT_CHATTEMPLATE_H
#define MOEC_RUNTIME_TEXT_CHATTEMPLATE_H

#include "runtime/core/Result.h"

#include <ctime>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace moec {

namespace jinja {
struct ParsedTemplate;
} // namespace jinja

/// A parsed chat template, in the Jinja that models are published with. Copies share what was
/// parsed; rendering changes nothing, so any number of threads may render at once.
class ChatTemplate {
public:
  /// Parses a template. What is no UTF-8 or no Jinja is Code::Model; a tag, filter or test that
  /// Jinja has and this does not is Code::Unsupported. Messages name the line.
  static Result<ChatTemplate> parse(std::string_view source);

  /// Renders `messages`, an array of turns. `variables` is an object of everything else the
  /// template may read, such as bos_token, eos_token, add_generation_prompt (false if absent),
  /// documents and tools (none if absent) and what the user sets; its `messages` is ignored. `now`
  /// is the local time for templates that print a date. A conversation that the template refuses
  /// with raise_exception is Code::Usage, any other failure Code::Model or Code::Unsupported. Time,
  /// memory, depth and output are bounded.
  Result<std::string> render(const nlohmann::ordered_json &messages,
                             const nlohmann::ordered_json &variables, const std::tm &now) const;

private:
  explicit ChatTemplate(std::shared_ptr<const jinja::ParsedTemplate> parsed);

  std::shared_ptr<const jinja::ParsedTemplate> parsed;
};

} // namespace moec

#endif // MOEC_RUNTIME_TEXT_CHATTEMPLATE_H
