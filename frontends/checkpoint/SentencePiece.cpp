// The few fields that matter are read by hand; numbers of fields are those of
// sentencepiece_model.proto.

#include "frontends/checkpoint/SentencePiece.h"

#include "runtime/text/Utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>
#include <unordered_map>

using namespace moec;
using namespace moec::tokenizer;

constexpr size_t maxPieceBytes = 512; // time grows with its square; published ones have up to 48
constexpr const char *space = "\u2581";

namespace {

/// Reads the fields of a protobuf message one after the other.
class MessageReader {
public:
  explicit MessageReader(std::string_view bytes) : bytes(bytes) {}

  /// The next field: its number, and its value in number() or text(). False at the end and where
  /// the message is damaged.
  bool next() {
    if (at == bytes.size() || damaged)
      return false;
    uint64_t key = varint();
    field = key >> 3;
    payload = {};
    value = 0;
    switch (key & 7) {
    case 0:
      value = varint();
      break;
    case 1:
      value = fixed(8);
      break;
    case 2:
      payload = take(varint());
      break;
    case 5:
      value = fixed(4);
      break;
    default:
      damaged = true;
    }
    return !damaged && field != 0;
  }

  bool isWhole() const { return !damaged && at == bytes.size(); }
  uint64_t field = 0;
  uint64_t value = 0; ///< of a number; 32-bit floats are their bits
  std::string_view payload;

private:
  uint64_t varint() {
    uint64_t number = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at == bytes.size())
        break;
      uint64_t byte = static_cast<uint8_t>(bytes[at++]);
      number |= (byte & 0x7F) << shift;
      if (byte < 0x80)
        return number;
    }
    damaged = true;
    return 0;
  }
  std::string_view take(uint64_t size) {
    if (damaged || size > bytes.size() - at) {
      damaged = true;
      return {};
    }
    std::string_view taken = bytes.substr(at, size);
    at += size;
    return taken;
  }
  uint64_t fixed(size_t size) {
    std::string_view taken = take(size);
    uint64_t number = 0;
    for (size_t i = 0; i < taken.size(); ++i)
      number |= static_cast<uint64_t>(static_cast<uint8_t>(taken[i])) << 8 * i;
    return number;
  }

  std::string_view bytes;
  size_t at = 0;
  bool damaged = false;
};

enum class PieceType : uint64_t { Normal = 1, Unknown, Control, UserDefined, Unused, Byte };

struct Piece {
  std::string_view text;
  float score = 0;
  PieceType type = PieceType::Normal;
};

class SentencePieceReader {
public:
  explicit SentencePieceReader(const std::string &file) : file(file) {}

  Result<TokenizerDescription> read(std::string_view bytes, bool spaceInFrontOnce);

private:
  void readMessage(std::string_view bytes);
  void readPiece(std::string_view bytes);
  void readTrainer(std::string_view bytes);
  void readNormalizer(std::string_view bytes);
  void addPieces();
  void addMerges();
  void addSteps(bool spaceInFrontOnce);

  void fail(Code code, std::string_view what) {
    if (failure.ok())
      failure = {code, fmt::format("{}: {}", file, what)};
  }
  void malformed(std::string_view what) { fail(Code::Model, what); }
  void unsupported(std::string_view what) { fail(Code::Unsupported, what); }

  const std::string &file;
  std::vector<Piece> pieces;
  uint64_t modelType = 1;
  int32_t bos = 1, eos = 2, pad = -1;
  bool byteFallback = false, dummyPrefix = true;
  std::unordered_map<std::string_view, uint32_t> normal; ///< ids of the pieces that merge
  TokenizerDescription description;
  Status failure;
};

} // namespace

void SentencePieceReader::readPiece(std::string_view bytes) {
  Piece piece;
  MessageReader message(bytes);
  while (message.next()) {
    if (message.field == 1)
      piece.text = message.payload;
    else if (message.field == 2)
      piece.score = std::bit_cast<float>(static_cast<uint32_t>(message.value));
    else if (message.field == 3)
      piece.type = static_cast<PieceType>(message.value);
  }
  auto about = [&](std::string_view what) {
    return fmt::format("`pieces[{}]`: {}", pieces.size(), what);
  };
  if (!message.isWhole())
    malformed(about("a damaged message"));
  else if (piece.text.empty() || !utf8::isValid(piece.text))
    malformed(about("no text in UTF-8"));
  else if (!std::isfinite(piece.score))
    malformed(about("a score that is no number"));
  else if (piece.text.size() > maxPieceBytes)
    malformed(about(
        fmt::format("{} bytes, where at most {} are supported", piece.text.size(), maxPieceBytes)));
  else if (piece.type < PieceType::Normal || piece.type > PieceType::Byte)
    malformed(about(fmt::format("the type {}, which is none", uint64_t(piece.type))));
  else if (piece.type == PieceType::Unused)
    unsupported(about("a piece that is not used in encoding is not supported"));
  pieces.push_back(piece);
}

void SentencePieceReader::readTrainer(std::string_view bytes) {
  constexpr const char *types[] = {"none", "unigram", "BPE", "word", "char"};
  MessageReader message(bytes);
  while (message.next())
    switch (message.field) {
    case 3:
      modelType = message.value;
      break;
    case 24:
      if (message.value)
        unsupported("`trainer_spec.treat_whitespace_as_suffix` is not supported");
      break;
    case 35:
      byteFallback = message.value != 0;
      break;
    case 41:
      bos = static_cast<int32_t>(message.value);
      break;
    case 42:
      eos = static_cast<int32_t>(message.value);
      break;
    case 43:
      pad = static_cast<int32_t>(message.value);
      break;
    default:
      break;
    }
  if (!message.isWhole())
    malformed("`trainer_spec`: a damaged message");
  if (modelType != 2)
    unsupported(fmt::format(
        "`trainer_spec.model_type`: a model of type {} is not supported, only BPE",
        modelType < std::size(types) ? types[modelType] : std::to_string(modelType).c_str()));
}

void SentencePieceReader::readNormalizer(std::string_view bytes) {
  MessageReader message(bytes);
  std::string name = "identity";
  bool removesSpaces = true, escapes = true, maps = false;
  while (message.next())
    switch (message.field) {
    case 1:
      name = message.payload;
      break;
    case 2:
    case 6:
      maps |= !message.payload.empty();
      break;
    case 3:
      dummyPrefix = message.value != 0;
      break;
    case 4:
      removesSpaces = message.value != 0;
      break;
    case 5:
      escapes = message.value != 0;
      break;
    default:
      break;
    }
  if (!message.isWhole())
    malformed("`normalizer_spec`: a damaged message");
  else if (name != "identity" || maps)
    unsupported(
        fmt::format("`normalizer_spec`: the normalizer `{}` is not supported, only one that "
                    "leaves text as it is",
                    name));
  else if (removesSpaces)
    unsupported("`normalizer_spec.remove_extra_whitespaces` is not supported");
  else if (!escapes)
    unsupported("`normalizer_spec.escape_whitespaces`: false is not supported");
}

void SentencePieceReader::readMessage(std::string_view bytes) {
  MessageReader message(bytes);
  std::optional<std::string_view> trainer, normalizer;
  while (failure.ok() && message.next())
    switch (message.field) {
    case 1:
      if (pieces.size() == maxIds)
        return unsupported(fmt::format("more than {} pieces", maxIds));
      readPiece(message.payload);
      break;
    case 2:
      trainer = message.payload;
      break;
    case 3:
      normalizer = message.payload;
      break;
    case 5: // denormalizer_spec
      for (MessageReader inner(message.payload); inner.next();)
        if (inner.field == 2 && !inner.payload.empty())
          unsupported("`denormalizer_spec` is not supported");
      break;
    default:
      break;
    }
  if (!failure.ok())
    return;
  if (!message.isWhole() || pieces.empty())
    return malformed("not a sentencepiece model, or a damaged one");
  // What is absent has the defaults of the message, which are another type of model.
  readTrainer(trainer.value_or(std::string_view()));
  readNormalizer(normalizer.value_or(std::string_view()));
}

void SentencePieceReader::addPieces() {
  std::unordered_map<std::string_view, uint32_t> all;
  for (uint32_t id = 0; id < pieces.size(); ++id) {
    const Piece &piece = pieces[id];
    auto [other, isNew] = all.emplace(piece.text, id);
    if (!isNew)
      return malformed(fmt::format("`pieces[{}]` and `pieces[{}]` are both `{}`", other->second, id,
                                   piece.text));
    switch (piece.type) {
    case PieceType::Byte: {
      unsigned value = 0;
      if (piece.text.size() != 6 ||
          fmt::format("<0x{:02X}>",
                      value = unsigned(strtoul(std::string(piece.text.substr(3, 2)).c_str(),
                                               nullptr, 16))) != piece.text)
        return malformed(fmt::format("`pieces[{}]`: `{}` is no byte", id, piece.text));
      description.byteIds[value] = static_cast<int32_t>(id);
      description.words.push_back({std::string(piece.text), id});
      break;
    }
    case PieceType::Normal:
      normal.emplace(piece.text, id);
      description.words.push_back({std::string(piece.text), id});
      break;
    default:
      if (piece.type == PieceType::Unknown)
        description.unknown = static_cast<int32_t>(id);
      description.added.push_back({.text = std::string(piece.text),
                                   .sought = {},
                                   .id = id,
                                   .special = piece.type != PieceType::UserDefined});
    }
  }
}

void SentencePieceReader::addMerges() {
  // The higher score merges first, and of equal ones the leftmost.
  std::map<float, uint32_t, std::greater<>> ranks;
  for (auto [text, id] : normal)
    ranks.emplace(pieces[id].score, 0);
  uint32_t next = 0;
  for (auto &[score, rank] : ranks)
    rank = next++;
  description.ranks.assign(pieces.size(), 0);
  for (uint32_t id = 0; id < pieces.size(); ++id) {
    const Piece &piece = pieces[id];
    if (piece.type != PieceType::Normal)
      continue;
    description.ranks[id] = ranks[piece.score];
    for (size_t cut = utf8::step(piece.text); cut < piece.text.size();
         cut += utf8::step(piece.text.substr(cut))) {
      auto left = normal.find(piece.text.substr(0, cut));
      auto right = normal.find(piece.text.substr(cut));
      if (left != normal.end() && right != normal.end())
        description.merges.push_back({left->second, right->second, id});
    }
    // Where a character is no piece, sentencepiece could still merge it.
    if (utf8::step(piece.text) < piece.text.size())
      for (std::string_view rest = piece.text; !rest.empty(); rest.remove_prefix(utf8::step(rest)))
        if (std::string_view character = rest.substr(0, utf8::step(rest));
            !normal.contains(character))
          return unsupported(
              fmt::format("`pieces[{}]`: `{}` has the character `{}`, which is no piece of its own",
                          id, piece.text, character));
  }
}

void SentencePieceReader::addSteps(bool spaceInFrontOnce) {
  std::vector<StepDescription> &steps =
      spaceInFrontOnce ? description.preTokenizer : description.normalizer;
  if (dummyPrefix)
    steps.push_back({.kind = StepKind::Prepend,
                     .flags = spaceInFrontOnce ? stepFirstPieceOnly : 0,
                     .text = space});
  steps.push_back({.kind = StepKind::Replace, .pattern = " ", .text = space});
  description.decoder.push_back({.kind = StepKind::Replace, .pattern = space, .text = " "});
  description.decoder.push_back({.kind = StepKind::ByteFallback});
  description.decoder.push_back({.kind = StepKind::Fuse});
  if (dummyPrefix)
    description.decoder.push_back({.kind = StepKind::StripCharacter, .text = " ", .first = 1});
}

Result<TokenizerDescription> SentencePieceReader::read(std::string_view bytes,
                                                       bool spaceInFrontOnce) {
  readMessage(bytes);
  if (failure.ok())
    addPieces();
  if (failure.ok())
    addMerges();
  if (!failure.ok())
    return failure;
  addSteps(spaceInFrontOnce);
  description.flags |= flagFuseUnknown | (byteFallback ? flagByteFallback : 0);
  for (auto [id, into] : {std::pair(bos, &description.bos), std::pair(eos, &description.eos),
                          std::pair(pad, &description.pad)}) {
    if (id >= static_cast<int32_t>(pieces.size()))
      return Status{Code::Model,
                    fmt::format("{}: `trainer_spec`: the special id {} belongs to no piece; the "
                                "highest is {}",
                                file, id, pieces.size() - 1)};
    *into = std::max(id, -1);
  }
  return std::move(description);
}

bool moec::isSentencePiece(std::string_view bytes) {
  return bytes.starts_with('\n'); // the key of `pieces`, with which every such file begins
}

Result<TokenizerDescription>
moec::readSentencePiece(std::string_view bytes, const std::string &file, bool spaceInFrontOnce) {
  return SentencePieceReader(file).read(bytes, spaceInFrontOnce);
}
