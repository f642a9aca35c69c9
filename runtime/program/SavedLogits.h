// Files of logits: what one program said of a text, for another to be compared with.

#ifndef MOEC_RUNTIME_PROGRAM_SAVED_LOGITS_H
#define MOEC_RUNTIME_PROGRAM_SAVED_LOGITS_H

#include "runtime/core/AtomicFile.h"
#include "runtime/core/File.h"
#include "runtime/core/Result.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace moec {

/// A text as windows of tokens, each a sequence of its own. The first half of a window is context;
/// of the tokens after that, all but the first are scored.
struct TextWindows {
  std::vector<int32_t> tokens; ///< windows x window
  int64_t window = 0;

  int64_t count() const { return static_cast<int64_t>(tokens.size()) / window; }
  /// The first token whose logits are asked for; they score the token after it.
  int64_t first() const { return window / 2; }
  int64_t scored() const { return window - first() - 1; } ///< tokens of a window
  std::span<const int32_t> at(int64_t index) const {
    return std::span(tokens).subspan(index * window, window);
  }
};

/// Writes a safetensors file of
///
///     logits  F16 [windows, scored, vocabulary]  as roundLogits gives them
///     losses  F64 [windows, scored]              of the tokens that follow
///     tokens  I32 [windows, window]
///
/// a few rows of logits at a time.
class LogitWriter {
public:
  static Result<LogitWriter> create(const std::string &path, const TextWindows &text,
                                    int64_t vocabulary);

  const std::string &path() const { return file.path(); }
  Status append(std::span<const uint16_t> rows);
  /// After all rows.
  Status finish(std::span<const double> losses, const TextWindows &text);

private:
  explicit LogitWriter(AtomicFile file) : file(std::move(file)) {}

  AtomicFile file;
};

/// Reads such a file. Whatever is wrong with it is Code::Usage.
class LogitReader {
public:
  static Result<LogitReader> open(const std::string &path, int64_t vocabulary);

  const std::string &path() const { return file.path(); }
  int64_t window() const { return text.window; }
  /// Of all scored tokens.
  const std::vector<double> &losses() const { return saved; }
  /// Fails unless the file is of this text, as this program's tokenizer takes it apart.
  Status checkText(const TextWindows &mine) const;
  /// The rows from `first` on, checked.
  Status read(int64_t first, std::span<uint16_t> rows) const;

private:
  explicit LogitReader(File file) : file(std::move(file)) {}
  Status readHeader();

  File file;
  int64_t vocabulary = 0;
  TextWindows text;
  std::vector<double> saved;
  uint64_t start = 0; // of the logits in the file
};

} // namespace moec

#endif // MOEC_RUNTIME_PROGRAM_SAVED_LOGITS_H
