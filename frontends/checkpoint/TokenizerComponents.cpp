// Many components are the same step with other numbers: Digits, Punctuation and Whitespace are
// splits.

#include "frontends/checkpoint/TokenizerComponents.h"

#include "frontends/checkpoint/CharacterClass.h"
#include "frontends/checkpoint/OnigurumaPattern.h"
#include "runtime/text/Pattern.h"

#include <fmt/format.h>

using namespace moec;
using namespace moec::tokenizer;

using Steps = std::vector<StepDescription>;

constexpr uint32_t maxCount = 1u << 20; // of characters that a decoder strips

/// Reads the members of a Sequence, found under `key`, with `read`.
template <typename Read>
static void readSequence(const JsonField &field, const char *key, Read read) {
  JsonField members = field[key];
  for (size_t i = 0, count = members.size(); i < count; ++i)
    read(members[i]);
}

static void unknownType(const JsonField &field, std::string_view what) {
  std::string type = field["type"].string();
  field.unsupported(fmt::format("a {} of type `{}` is not supported", what, type));
}

/// {"String": ...} or {"Regex": ...}, translated and tried out, into `step`.
static void readPattern(const JsonField &field, StepDescription &step) {
  if (!field["String"].isNull()) {
    step.pattern = field["String"].string();
    return;
  }
  JsonField regex = field["Regex"];
  std::string spelled = regex.string();
  if (!field.ok())
    return;
  Result<std::string> translated = translateOniguruma(spelled);
  if (!translated.ok())
    return regex.fail(translated.status().code, translated.status().message);
  Result<Pattern> compiled = Pattern::compileRegex(*translated);
  if (!compiled.ok())
    return regex.fail(compiled.status().code, compiled.status().message);
  step.pattern = std::move(*translated);
  step.flags |= stepRegex;
}

static StepDescription splitAt(std::string regex, SplitBehavior behavior, bool invert = false) {
  return {.kind = StepKind::Split,
          .flags = stepRegex | (invert ? stepInvert : 0),
          .pattern = std::move(regex),
          .first = static_cast<uint32_t>(behavior)};
}

static SplitBehavior readBehavior(const JsonField &field, std::optional<std::string> otherwise) {
  std::string name = field.string(std::move(otherwise));
  constexpr std::pair<std::string_view, SplitBehavior> behaviors[] = {
      {"Removed", SplitBehavior::Removed},
      {"Isolated", SplitBehavior::Isolated},
      {"MergedWithPrevious", SplitBehavior::MergedWithPrevious},
      {"MergedWithNext", SplitBehavior::MergedWithNext},
      {"Contiguous", SplitBehavior::Contiguous}};
  for (auto [spelled, behavior] : behaviors)
    if (spelled == name)
      return behavior;
  field.malformed(fmt::format("`{}` is no way to split", name));
  return SplitBehavior::Isolated;
}

void moec::readNormalizer(const JsonField &field, Steps &steps) {
  if (field.isNull() || !field.ok())
    return;
  std::string type = field["type"].string();
  constexpr std::pair<std::string_view, StepKind> plain[] = {
      {"NFC", StepKind::Nfc},
      {"NFD", StepKind::Nfd},
      {"NFKC", StepKind::Nfkc},
      {"NFKD", StepKind::Nfkd},
      {"Lowercase", StepKind::Lowercase},
      {"StripAccents", StepKind::StripAccents},
      {"ByteLevel", StepKind::MapBytes}};
  for (auto [spelled, kind] : plain)
    if (type == spelled) {
      steps.push_back({.kind = kind});
      return;
    }
  if (type == "Sequence") {
    readSequence(field, "normalizers", [&](JsonField member) { readNormalizer(member, steps); });
  } else if (type == "Prepend") {
    steps.push_back({.kind = StepKind::Prepend, .text = field["prepend"].string()});
  } else if (type == "Replace") {
    StepDescription step{.kind = StepKind::Replace, .text = field["content"].string()};
    readPattern(field["pattern"], step);
    steps.push_back(std::move(step));
  } else if (type == "Strip") {
    steps.push_back({.kind = StepKind::StripSpace,
                     .flags = (field["strip_left"].boolean(true) ? stepLeft : 0) |
                              (field["strip_right"].boolean(true) ? stepRight : 0)});
  } else {
    unknownType(field, "normalizer");
  }
}

/// Whether a Metaspace puts its character in front: always, of the first piece alone, or never.
static std::string readScheme(const JsonField &field) {
  // Older files say add_prefix_space in place of prepend_scheme.
  bool prefix = field["add_prefix_space"].boolean(true);
  std::string scheme = field["prepend_scheme"].string(prefix ? "always" : "never");
  if (scheme != "always" && scheme != "first" && scheme != "never")
    field["prepend_scheme"].malformed(fmt::format("`{}` is not always, first or never", scheme));
  if (!prefix && scheme != "never")
    field["prepend_scheme"].malformed(
        fmt::format("`{}` contradicts `add_prefix_space`, which is false", scheme));
  return scheme;
}

static void readMetaspace(const JsonField &field, Steps &steps) {
  std::string replacement = field["replacement"].character();
  std::string scheme = readScheme(field);
  bool split = field["split"].boolean(true);
  steps.push_back({.kind = StepKind::Replace, .pattern = " ", .text = replacement});
  if (scheme != "never")
    steps.push_back({.kind = StepKind::Prepend,
                     .flags = stepUnlessPresent | (scheme == "first" ? stepFirstPieceOnly : 0),
                     .text = replacement});
  if (split)
    steps.push_back({.kind = StepKind::Split,
                     .pattern = replacement,
                     .first = static_cast<uint32_t>(SplitBehavior::MergedWithNext)});
}

static void readByteLevel(const JsonField &field, Steps &steps) {
  if (field["add_prefix_space"].boolean(true))
    steps.push_back({.kind = StepKind::Prepend, .flags = stepUnlessPresent, .text = " "});
  if (field["use_regex"].boolean(true)) {
    // The pattern of GPT-2, which the type implies.
    Result<std::string> regex = translateOniguruma(
        R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)");
    if (!regex.ok())
      return field.fail(Code::Internal, regex.status().message);
    steps.push_back(splitAt(*regex, SplitBehavior::Isolated));
  }
  steps.push_back({.kind = StepKind::MapBytes});
}

void moec::readPreTokenizer(const JsonField &field, Steps &steps) {
  if (field.isNull() || !field.ok())
    return;
  const std::string space = fmt::format("[{}]", spaceItems());
  const std::string punctuation = "[\\p{P}!-/:-@\\[-`{-~]";
  std::string type = field["type"].string();
  if (type == "Sequence") {
    readSequence(field, "pretokenizers",
                 [&](JsonField member) { readPreTokenizer(member, steps); });
  } else if (type == "Split") {
    StepDescription step{.kind = StepKind::Split,
                         .flags = field["invert"].boolean(false) ? stepInvert : 0,
                         .first =
                             static_cast<uint32_t>(readBehavior(field["behavior"], std::nullopt))};
    readPattern(field["pattern"], step);
    steps.push_back(std::move(step));
  } else if (type == "ByteLevel") {
    readByteLevel(field, steps);
  } else if (type == "Metaspace") {
    readMetaspace(field, steps);
  } else if (type == "Digits") {
    steps.push_back(splitAt("\\p{N}", field["individual_digits"].boolean(false)
                                          ? SplitBehavior::Isolated
                                          : SplitBehavior::Contiguous));
  } else if (type == "Punctuation") {
    steps.push_back(splitAt(punctuation, readBehavior(field["behavior"], "Isolated")));
  } else if (type == "Whitespace") {
    std::string word = fmt::format("{}\\x{{200C}}\\x{{200D}}", wordItems());
    steps.push_back(splitAt(fmt::format("[{0}]+|[^{0}{1}]+", word, spaceItems()),
                            SplitBehavior::Removed, /*invert=*/true));
  } else if (type == "WhitespaceSplit") {
    steps.push_back(splitAt(space, SplitBehavior::Removed));
  } else if (type == "BertPreTokenizer") {
    steps.push_back(splitAt(space, SplitBehavior::Removed));
    steps.push_back(splitAt(punctuation, SplitBehavior::Isolated));
  } else if (type == "CharDelimiterSplit") {
    steps.push_back({.kind = StepKind::Split,
                     .pattern = field["delimiter"].character(),
                     .first = static_cast<uint32_t>(SplitBehavior::Removed)});
  } else {
    unknownType(field, "pre-tokenizer");
  }
}

void moec::readDecoder(const JsonField &field, Steps &steps) {
  if (field.isNull() || !field.ok())
    return;
  std::string type = field["type"].string();
  if (type == "Sequence") {
    readSequence(field, "decoders", [&](JsonField member) { readDecoder(member, steps); });
  } else if (type == "ByteLevel") {
    steps.push_back({.kind = StepKind::BytesFromText});
  } else if (type == "ByteFallback") {
    steps.push_back({.kind = StepKind::ByteFallback});
  } else if (type == "Fuse") {
    steps.push_back({.kind = StepKind::Fuse});
  } else if (type == "Strip") {
    steps.push_back({.kind = StepKind::StripCharacter,
                     .text = field["content"].character(),
                     .first = field["start"].number(maxCount),
                     .second = field["stop"].number(maxCount)});
  } else if (type == "Replace") {
    StepDescription step{.kind = StepKind::Replace, .text = field["content"].string()};
    readPattern(field["pattern"], step);
    if (step.flags & stepRegex)
      field["pattern"].unsupported("a decoder that replaces a regular expression is not supported");
    steps.push_back(std::move(step));
  } else if (type == "Metaspace") {
    steps.push_back({.kind = StepKind::MetaspaceToText,
                     .flags = readScheme(field) == "never" ? 0 : stepFirstPieceOnly,
                     .text = field["replacement"].character()});
  } else {
    unknownType(field, "decoder");
  }
}

/// The ids that a template's special token stands for.
static void readTemplateToken(const JsonField &field, const JsonField &known,
                              std::vector<uint32_t> &ids) {
  std::string name = field["id"].string();
  if (!field.ok())
    return;
  JsonField list = known[name]["ids"];
  if (list.isNull())
    return field.malformed(fmt::format("`{}` is not among `special_tokens`", name));
  for (size_t i = 0, count = list.size(); i < count; ++i)
    ids.push_back(list[i].number(maxIds - 1));
}

static void readTemplate(const JsonField &field, std::vector<uint32_t> &before,
                         std::vector<uint32_t> &after) {
  JsonField pieces = field["single"];
  bool afterText = false;
  for (size_t i = 0, count = pieces.size(); i < count && field.ok(); ++i) {
    JsonField piece = pieces[i];
    if (!piece["SpecialToken"].isNull()) {
      readTemplateToken(piece["SpecialToken"], field["special_tokens"], afterText ? after : before);
    } else if (piece["Sequence"]["id"].string() == "A" && !afterText) {
      afterText = true;
    } else {
      piece.unsupported("a template for one text holds that text, A, once");
    }
  }
  if (!afterText)
    pieces.unsupported("a template without the text, A, is not supported");
}

void moec::readPostProcessor(const JsonField &field, std::vector<uint32_t> &prefix,
                             std::vector<uint32_t> &suffix) {
  if (field.isNull() || !field.ok())
    return;
  std::string type = field["type"].string();
  std::vector<uint32_t> before, after;
  if (type == "Sequence") {
    readSequence(field, "processors",
                 [&](JsonField member) { readPostProcessor(member, prefix, suffix); });
  } else if (type == "TemplateProcessing") {
    readTemplate(field, before, after);
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    for (auto [key, list] : {std::pair("cls", &before), std::pair("sep", &after)}) {
      JsonField pair = field[key];
      if (pair.size() != 2)
        pair.malformed("not a text and an id");
      else
        list->push_back(pair[1].number(maxIds - 1));
    }
  } else if (type != "ByteLevel") { // which only moves offsets
    unknownType(field, "post-processor");
  }
  prefix.insert(prefix.begin(), before.begin(), before.end());
  suffix.insert(suffix.end(), after.begin(), after.end());
}
