// The pipeline: added tokens, normalizer, added tokens again, pre-tokenizer, model, post-processor.

#include "runtime/text/Tokenizer.h"

#include "runtime/text/Bpe.h"
#include "runtime/text/Normalizer.h"
#include "runtime/text/PreTokenizer.h"
#include "runtime/text/Utf8.h"

#include <fmt/format.h>

using namespace moec;
using namespace moec::tokenizer;

constexpr size_t maxTextBytes = size_t{1} << 30;

/// The steps of one program, each of a kind that may stand in it.
static Result<PreparedSteps> prepare(std::span<const Step> program, const Tables &tables,
                                     bool (*isAllowed)(StepKind)) {
  for (const Step &step : program)
    if (!isAllowed(step.kind) || (isAllowed == isDecoderStep && (step.flags & stepRegex)))
      return Status{Code::Mismatch, "tokenizer tables: a step in a program that cannot have it"};
  return prepareSteps(program, tables);
}

Result<Tokenizer> Tokenizer::open(std::span<const uint8_t> bytes) {
  Result<Tables> opened = Tables::open(bytes);
  if (!opened.ok())
    return opened.status();
  const Tables &tables = *opened;
  Tokenizer tokenizer(tables);
  struct Program {
    PreparedSteps &into;
    std::span<const Step> steps;
    bool (*isAllowed)(StepKind);
  };
  for (Program program :
       {Program{tokenizer.normalizer, tables.normalizer(), isNormalizerStep},
        Program{tokenizer.preTokenizer, tables.preTokenizer(), isPreTokenizerStep},
        Program{tokenizer.decoder, tables.decoder(), isDecoderStep}}) {
    Result<PreparedSteps> steps = prepare(program.steps, tables, program.isAllowed);
    if (!steps.ok())
      return steps.status();
    program.into = std::move(*steps);
  }
  tokenizer.raw = AddedTokenFinder(tables.rawNodes(), tables.rawEdges(), tables.addedTokens());
  tokenizer.normalized =
      AddedTokenFinder(tables.normalizedNodes(), tables.normalizedEdges(), tables.addedTokens());
  return tokenizer;
}

Status Tokenizer::encodePiece(std::string_view piece, bool isFirst, BpeEncoder &model,
                              std::vector<int32_t> &ids) const {
  bool keepsStart = true;
  Result<std::string> text = normalize(normalizer, std::string(piece), keepsStart);
  if (!text.ok())
    return text.status();
  if (text->size() > maxTextBytes)
    return {Code::Usage, "the normalized text is larger than 1 GiB"};
  for (const AddedPart &part : normalized.split(*text)) {
    if (part.id) {
      ids.push_back(static_cast<int32_t>(*part.id));
      continue;
    }
    Result<Words> words =
        preTokenize(preTokenizer, text->substr(part.span.begin, part.span.end - part.span.begin),
                    isFirst && keepsStart && part.span.begin == 0);
    if (!words.ok())
      return words.status();
    if (words->text.size() > 2 * maxTextBytes - 1)
      return {Code::Usage, "the pre-tokenized text is larger than 2 GiB"};
    for (size_t i = 0; i < words->spans.size(); ++i)
      model.encode((*words)[i], ids);
  }
  return {};
}

Result<std::vector<int32_t>> Tokenizer::encode(std::string_view text, AddSpecial special) const {
  if (text.size() > maxTextBytes)
    return Status{Code::Usage, "the text is larger than 1 GiB"};
  if (size_t valid = utf8::validPrefix(text); valid < text.size())
    return Status{Code::Usage, fmt::format("the text is not UTF-8: byte 0x{:02X} at offset {}",
                                           static_cast<uint8_t>(text[valid]), valid)};
  const Header &header = tables.header();
  bool byFlags = special == AddSpecial::Flags && tables.has(flagHasBosEosFlags);
  bool byProcessor = special != AddSpecial::None && !byFlags;

  std::vector<int32_t> ids;
  if (byProcessor)
    ids.assign(tables.prefix().begin(), tables.prefix().end());
  if (byFlags && tables.has(flagAddBos) && header.bos >= 0)
    ids.push_back(header.bos);
  BpeEncoder model(tables);
  for (const AddedPart &part : raw.split(text)) {
    if (part.id) {
      ids.push_back(static_cast<int32_t>(*part.id));
      continue;
    }
    Status status = encodePiece(text.substr(part.span.begin, part.span.end - part.span.begin),
                                part.span.begin == 0, model, ids);
    if (!status.ok())
      return status;
  }
  if (byProcessor)
    ids.insert(ids.end(), tables.suffix().begin(), tables.suffix().end());
  if (byFlags && tables.has(flagAddEos) && header.eos >= 0)
    ids.push_back(header.eos);
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skipSpecial) const {
  TextStream stream(*this, skipSpecial);
  std::string text;
  for (int32_t id : ids)
    text += stream.push(id);
  text += stream.finish();
  return text;
}

std::optional<std::string_view> Tokenizer::tokenText(int32_t id) const {
  if (!(tables.idFlags(id) & idPresent))
    return std::nullopt;
  return tables.text(id);
}

std::optional<int32_t> Tokenizer::addedToken(std::string_view text) const {
  for (const AddedToken &token : tables.addedTokens())
    if (token.id < tables.numIds() && tables.text(token.id) == text)
      return static_cast<int32_t>(token.id);
  return std::nullopt;
}

TextStream::TextStream(const Tokenizer &tokenizer, bool skipSpecial)
    : tokenizer(&tokenizer), skipSpecial(skipSpecial),
      detokenizer(tokenizer.decoder, tokenizer.tables.has(flagJoinBySpaces)) {}

std::string TextStream::push(int32_t id) {
  std::string text;
  std::optional<std::string_view> token = tokenizer->tokenText(id);
  if (token && !(skipSpecial && tokenizer->isControl(id)))
    detokenizer.push(*token, text);
  return text;
}

std::string TextStream::finish() {
  std::string text;
  detokenizer.finish(text);
  return text;
}
