// Text to token ids and back, from tables that the compiler made of tokenizer.json.

#ifndef MOEC_RUNTIME_TEXT_TOKENIZER_H
#define MOEC_RUNTIME_TEXT_TOKENIZER_H

#include "runtime/core/Result.h"
#include "runtime/text/AddedTokens.h"
#include "runtime/text/Detokenizer.h"
#include "runtime/text/Steps.h"
#include "runtime/text/TokenizerTables.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// Which tokens encode() puts around those of the text.
enum class AddSpecial {
  None,
  PostProcessor, ///< what tokenizer.json says
  Flags, ///< what add_bos_token and add_eos_token of tokenizer_config.json say, if they are there
};

/// An opened tokenizer. Immutable: any number of threads may use it.
class Tokenizer {
public:
  /// `tables` start at a multiple of 8 bytes and must outlive the tokenizer. Takes time for the
  /// header and for the patterns, none for the vocabulary.
  static Result<Tokenizer> open(std::span<const uint8_t> tables);

  /// The ids of `text`. Added tokens that stand in it literally become their ids. Code::Usage where
  /// the text is not UTF-8, or larger than 1 GiB.
  Result<std::vector<int32_t>> encode(std::string_view text,
                                      AddSpecial special = AddSpecial::PostProcessor) const;

  /// What encode() puts in front of a text because tokenizer.json says so.
  std::vector<int32_t> prefix() const { return {tables.prefix().begin(), tables.prefix().end()}; }

  /// The text of `ids`; ids without a text give nothing. `skipSpecial` leaves out control tokens.
  std::string decode(std::span<const int32_t> ids, bool skipSpecial = false) const;

  /// Whether `id` is a control token, which is no text for readers.
  bool isControl(int32_t id) const { return (tables.idFlags(id) & tokenizer::idSpecial) != 0; }
  /// `id` as the vocabulary spells it; none where the id has no text. Lives as long as the tables.
  std::optional<std::string_view> tokenText(int32_t id) const;
  /// The id of the added token that is spelled exactly so.
  std::optional<int32_t> addedToken(std::string_view text) const;

  /// One more than the highest id.
  uint32_t numIds() const { return tables.numIds(); }
  /// bos_token, eos_token and pad_token of tokenizer_config.json.
  std::optional<int32_t> bos() const { return idOrNone(tables.header().bos); }
  std::optional<int32_t> eos() const { return idOrNone(tables.header().eos); }
  std::optional<int32_t> pad() const { return idOrNone(tables.header().pad); }

private:
  friend class TextStream;

  explicit Tokenizer(const tokenizer::Tables &tables) : tables(tables) {}
  static std::optional<int32_t> idOrNone(int32_t id) {
    return id >= 0 ? std::optional<int32_t>(id) : std::nullopt;
  }
  Status encodePiece(std::string_view piece, bool isFirst, class BpeEncoder &model,
                     std::vector<int32_t> &ids) const;

  tokenizer::Tables tables;
  PreparedSteps normalizer;
  PreparedSteps preTokenizer;
  PreparedSteps decoder;
  AddedTokenFinder raw;
  AddedTokenFinder normalized;
};

/// Decodes ids one at a time. The pieces, joined, are what decode() gives: what later ids could
/// still change, such as a character whose last bytes are missing, is held back.
class TextStream {
public:
  /// `tokenizer` must outlive the stream, and must not be moved.
  explicit TextStream(const Tokenizer &tokenizer, bool skipSpecial = true);

  /// Takes the next id and gives what is certain now, perhaps nothing.
  std::string push(int32_t id);
  /// Gives the rest. Nothing may be pushed afterwards.
  std::string finish();

private:
  const Tokenizer *tokenizer;
  bool skipSpecial;
  Detokenizer detokenizer;
};

} // namespace moec

#endif // MOEC_RUNTIME_TEXT_TOKENIZER_H
