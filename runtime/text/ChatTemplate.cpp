// Chat templates: the face of the template parser and interpreter.

#include "runtime/text/ChatTemplate.h"

#include "runtime/text/JinjaInterpreter.h"
#include "runtime/text/JinjaParser.h"
#include "runtime/text/Utf8.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

using namespace moec;

struct moec::jinja::ParsedTemplate {
  Body body;
};

ChatTemplate::ChatTemplate(std::shared_ptr<const jinja::ParsedTemplate> parsed)
    : parsed(std::move(parsed)) {}

Result<ChatTemplate> ChatTemplate::parse(std::string_view source) {
  if (size_t valid = utf8::validPrefix(source); valid != source.size())
    return Status{Code::Model,
                  fmt::format("line {}: the template is not UTF-8: byte {} belongs to no character",
                              1 + std::count(source.begin(), source.begin() + valid, '\n'), valid)};
  Result<jinja::Body> body = jinja::parse(source);
  if (!body.ok())
    return body.status();
  return ChatTemplate(
      std::make_shared<const jinja::ParsedTemplate>(jinja::ParsedTemplate{std::move(*body)}));
}

Result<std::string> ChatTemplate::render(const nlohmann::ordered_json &messages,
                                         const nlohmann::ordered_json &variables,
                                         const std::tm &now) const {
  jinja::Run run(jinja::Limits{});
  std::map<std::string_view, jinja::Value> values;
  values["documents"] = jinja::None{};
  values["add_generation_prompt"] = false;
  values["tools"] = jinja::None{};
  if (variables.is_object())
    for (auto it = variables.begin(); it != variables.end(); ++it)
      values[it.key()] = run.fromJson(it.value());
  values["messages"] = run.fromJson(messages);
  std::string text;
  if (!run.failed()) {
    jinja::Interpreter interpreter(run, now);
    text = interpreter.render(parsed->body, std::move(values));
  }
  if (run.failed())
    return run.status();
  return text;
}
