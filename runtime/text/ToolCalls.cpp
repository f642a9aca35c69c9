// One function per format; PythonCalls.cpp has the one that is no JSON.

#include "runtime/text/ToolCalls.h"

#include "runtime/core/Json.h"
#include "runtime/text/PythonCalls.h"

using namespace moec;
using Json = nlohmann::ordered_json;

static std::string_view trimmed(std::string_view text) {
  constexpr const char *space = " \t\r\n";
  size_t begin = text.find_first_not_of(space);
  return begin == text.npos ? std::string_view()
                            : text.substr(begin, text.find_last_not_of(space) - begin + 1);
}

/// Takes `token` off the front.
static bool take(std::string_view &text, std::string_view token) {
  if (!text.starts_with(token))
    return false;
  text.remove_prefix(token.size());
  return true;
}

/// Takes everything up to `end`, and that; none where it does not come.
static std::optional<std::string_view> takeUntil(std::string_view &text, std::string_view end) {
  size_t at = text.find(end);
  if (at == text.npos)
    return std::nullopt;
  std::string_view taken = text.substr(0, at);
  text.remove_prefix(at + end.size());
  return taken;
}

/// With its keys in the order of the text; discarded where it is no JSON, or nested too deeply.
static Json parseOrdered(std::string_view text) {
  if (!parseJson(text, "call", {.allowDuplicates = true}).ok())
    return Json(Json::value_t::discarded);
  return Json::parse(text, nullptr, false);
}

static std::string written(const Json &value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<ToolCall> moec::makeToolCall(std::string_view name, std::string_view text) {
  name = trimmed(name);
  text = trimmed(text);
  if (text.empty())
    text = "{}";
  if (name.empty() || !parseOrdered(text).is_object())
    return std::nullopt;
  return ToolCall{std::string(name), std::string(text)};
}

/// A call that is an object; `key` has its arguments, as an object or as the text of one.
static std::optional<ToolCall> callOfObject(const Json &object, const char *key) {
  if (!object.is_object() || !object.contains("name") || !object["name"].is_string())
    return std::nullopt;
  std::string arguments;
  if (auto found = object.find(key); found != object.end() && !found->is_null())
    arguments = found->is_string() ? found->get<std::string>() : written(*found);
  std::optional<ToolCall> call = makeToolCall(object["name"].get<std::string>(), arguments);
  if (call && object.contains("id") && object["id"].is_string())
    call->id = object["id"].get<std::string>();
  return call;
}

static std::optional<ToolCalls> oneOrNone(std::optional<ToolCall> call) {
  return call ? std::optional(ToolCalls{std::move(*call)}) : std::nullopt;
}

std::optional<ToolCalls> moec::readHermesCall(std::string_view text) {
  return oneOrNone(callOfObject(parseOrdered(text), "arguments"));
}

std::optional<ToolCalls> moec::readMistralCalls(std::string_view text) {
  Json list = parseOrdered(text);
  if (!list.is_array() || list.empty())
    return std::nullopt;
  ToolCalls calls;
  for (const Json &object : list) {
    std::optional<ToolCall> call = callOfObject(object, "arguments");
    if (!call)
      return std::nullopt;
    calls.push_back(std::move(*call));
  }
  return calls;
}

/// Calls between `begin` and `end`, each read by `read`; only white space may stand between them.
template <typename Read>
static std::optional<ToolCalls> readMarked(std::string_view text, std::string_view begin,
                                           std::string_view end, Read read) {
  ToolCalls calls;
  for (text = trimmed(text); !text.empty(); text = trimmed(text)) {
    if (!take(text, begin))
      return std::nullopt;
    std::optional<std::string_view> inside = takeUntil(text, end);
    std::optional<ToolCall> call = inside ? read(*inside) : std::nullopt;
    if (!call)
      return std::nullopt;
    calls.push_back(std::move(*call));
  }
  return calls.empty() ? std::nullopt : std::optional(std::move(calls));
}

std::optional<ToolCalls> moec::readDeepseekCalls(std::string_view text) {
  return readMarked(text, "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>",
                    [](std::string_view call) -> std::optional<ToolCall> {
                      std::optional<std::string_view> before = takeUntil(call, "<｜tool▁sep｜>");
                      if (!before)
                        return std::nullopt;
                      std::string_view rest = call;
                      // V3: the kind of tool, then the name and a block of code. V3.1: name, JSON.
                      std::optional<std::string_view> name = takeUntil(rest, "\n```json\n");
                      if (!name || name->find('{') != name->npos)
                        return makeToolCall(*before, call);
                      rest = trimmed(rest);
                      if (!rest.ends_with("```"))
                        return std::nullopt;
                      rest.remove_suffix(3);
                      return makeToolCall(*name, rest);
                    });
}

std::optional<ToolCalls> moec::readKimiCalls(std::string_view text) {
  return readMarked(text, "<|tool_call_begin|>", "<|tool_call_end|>",
                    [](std::string_view call) -> std::optional<ToolCall> {
                      std::optional<std::string_view> id =
                          takeUntil(call, "<|tool_call_argument_begin|>");
                      if (!id)
                        return std::nullopt;
                      // The id is functions.NAME:NUMBER.
                      std::string_view name = trimmed(*id);
                      take(name, "functions.");
                      if (size_t colon = name.rfind(':'); colon != name.npos)
                        name = name.substr(0, colon);
                      std::optional<ToolCall> made = makeToolCall(name, call);
                      if (made)
                        made->id = trimmed(*id);
                      return made;
                    });
}

/// What stands between quotation marks behind `key=`.
static std::optional<std::string_view> takeAttribute(std::string_view &text, std::string_view key) {
  text = trimmed(text);
  if (!take(text, key) || !take(text, "=\""))
    return std::nullopt;
  return takeUntil(text, "\"");
}

static std::optional<ToolCall> readInvocation(std::string_view text) {
  std::optional<std::string_view> name = takeAttribute(text, "name");
  if (!name || !take(text, ">"))
    return std::nullopt;
  std::string arguments;
  for (text = trimmed(text); !text.empty(); text = trimmed(text)) {
    if (!take(text, "<｜DSML｜parameter"))
      return std::nullopt;
    std::optional<std::string_view> key = takeAttribute(text, "name");
    std::optional<std::string_view> isString = key ? takeAttribute(text, "string") : std::nullopt;
    if (!isString || !take(text, ">"))
      return std::nullopt;
    std::optional<std::string_view> value = takeUntil(text, "</｜DSML｜parameter>");
    if (!value || (*isString != "true" && *isString != "false"))
      return std::nullopt;
    arguments += arguments.empty() ? "" : ", ";
    arguments += written(Json(std::string(*key))) + ": ";
    arguments += *isString == "true" ? written(Json(std::string(*value))) : std::string(*value);
  }
  return makeToolCall(*name, "{" + arguments + "}");
}

std::optional<ToolCalls> moec::readDeepseekMarkup(std::string_view text) {
  return readMarked(text, "<｜DSML｜invoke", "</｜DSML｜invoke>", readInvocation);
}

/// Where the JSON object at the front of `text` ends; 0 where it does not.
static size_t objectEnd(std::string_view text) {
  bool quoted = false;
  size_t depth = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (quoted) {
      i += c == '\\';
      quoted = c != '"';
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && --depth == 0) {
      return i + 1;
    }
    if (depth == 0)
      return 0;
  }
  return 0;
}

std::optional<ToolCalls> moec::readLlamaCalls(std::string_view text) {
  text = trimmed(text);
  if (text.starts_with('['))
    return readPythonCalls(text);
  ToolCalls calls;
  while (!text.empty()) {
    size_t end = objectEnd(text);
    std::optional<ToolCall> call = callOfObject(parseOrdered(text.substr(0, end)), "parameters");
    if (!call)
      return std::nullopt;
    calls.push_back(std::move(*call));
    text = trimmed(text.substr(end));
    if (take(text, ";"))
      text = trimmed(text);
  }
  return calls.empty() ? std::nullopt : std::optional(std::move(calls));
}

bool moec::mayBeLlamaCalls(std::string_view text) {
  text = trimmed(text);
  if (text.starts_with('['))
    return mayBePythonCalls(text);
  if (text.empty() || !take(text, "{"))
    return text.empty();
  text = trimmed(text);
  // Templates ask for the name first; older ones put a type before it.
  for (std::string_view key : {"\"name\"", "\"type\""})
    if (text.starts_with(key) || key.starts_with(text))
      return true;
  return false;
}
