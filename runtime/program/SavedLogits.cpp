// The file of logits: header, rows as they come, then what is known in the end.

#include "runtime/program/SavedLogits.h"

#include "runtime/core/Safetensors.h"
#include "runtime/program/Divergence.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace moec {

template <typename T> static std::span<const uint8_t> bytesOf(std::span<const T> values) {
  return {reinterpret_cast<const uint8_t *>(values.data()), values.size_bytes()};
}

template <typename T> static std::span<uint8_t> bytesOf(std::vector<T> &values) {
  return {reinterpret_cast<uint8_t *>(values.data()), values.size() * sizeof(T)};
}

Result<LogitWriter> LogitWriter::create(const std::string &path, const TextWindows &text,
                                        int64_t vocabulary) {
  SafetensorsTensor tensors[] = {
      {.name = "logits", .type = DataType::F16, .shape = {text.count(), text.scored(), vocabulary}},
      {.name = "losses", .type = DataType::F64, .shape = {text.count(), text.scored()}},
      {.name = "tokens", .type = DataType::I32, .shape = {text.count(), text.window}}};
  std::string header = safetensorsHeader(tensors);
  Result<AtomicFile> file = AtomicFile::create(path);
  if (!file.ok())
    return file.status();
  // A full disk shows before hours of work.
  if (Status status = file->reserve(0, header.size() + tensors[2].end); !status.ok())
    return status;
  if (Status status = file->append(header); !status.ok())
    return status;
  return LogitWriter(std::move(*file));
}

Status LogitWriter::append(std::span<const uint16_t> rows) { return file.append(bytesOf(rows)); }

Status LogitWriter::finish(std::span<const double> losses, const TextWindows &text) {
  if (Status status = file.append(bytesOf(losses)); !status.ok())
    return status;
  if (Status status = file.append(bytesOf(std::span(text.tokens))); !status.ok())
    return status;
  return file.commit();
}

Result<LogitReader> LogitReader::open(const std::string &path, int64_t vocabulary) {
  Result<File> file = File::open(path, Code::Usage);
  if (!file.ok())
    return file.status();
  LogitReader reader(std::move(*file));
  reader.vocabulary = vocabulary;
  if (Status status = reader.readHeader(); !status.ok())
    return Status{status.code == Code::Model ? Code::Usage : status.code, status.message};
  return reader;
}

Status LogitReader::readHeader() {
  Result<SafetensorsHeader> header = SafetensorsHeader::read(file);
  if (!header.ok())
    return header.status();
  const SafetensorsTensor *logits = header->find("logits"), *losses = header->find("losses"),
                          *tokens = header->find("tokens");
  auto has = [](const SafetensorsTensor *tensor, DataType type, size_t dimensions) {
    return tensor && tensor->type == type && tensor->shape.size() == dimensions;
  };
  if (!has(logits, DataType::F16, 3) || !has(losses, DataType::F64, 2) ||
      !has(tokens, DataType::I32, 2))
    return {Code::Usage, fmt::format("{}: wanted what --save writes: tensors logits, F16 of three "
                                     "dimensions, losses, F64 of two, and tokens, I32 of two",
                                     file.path())};
  text.window = tokens->shape[1];
  std::vector<int64_t> rows = {tokens->shape[0], text.window > 0 ? text.scored() : 0};
  if (losses->shape != rows || !std::equal(rows.begin(), rows.end(), logits->shape.begin()) ||
      rows[0] < 1 || rows[1] < 2)
    return {Code::Usage, fmt::format("{}: tokens of shape {} do not go with losses of {} and "
                                     "logits of {}",
                                     file.path(), shapeText(tokens->shape),
                                     shapeText(losses->shape), shapeText(logits->shape))};
  if (logits->shape[2] != vocabulary)
    return {Code::Usage,
            fmt::format("{}: holds logits of a vocabulary of {} tokens, this program's has {}",
                        file.path(), logits->shape[2], vocabulary)};
  start = header->dataStart() + logits->begin;
  saved.resize(rows[0] * rows[1]);
  text.tokens.resize(rows[0] * text.window);
  if (Status status = file.readAt(header->dataStart() + losses->begin, bytesOf(saved));
      !status.ok())
    return status;
  for (double loss : saved)
    if (!(loss >= 0) || !std::isfinite(loss))
      return {Code::Usage, fmt::format("{}: is damaged: a loss is {}", file.path(), loss)};
  return file.readAt(header->dataStart() + tokens->begin, bytesOf(text.tokens));
}

Status LogitReader::checkText(const TextWindows &mine) const {
  if (text.window != mine.window)
    return {Code::Usage, fmt::format("{}: was made with windows of {} tokens, wanted {}",
                                     file.path(), text.window, mine.window)};
  size_t common = std::min(text.tokens.size(), mine.tokens.size());
  size_t at =
      std::mismatch(text.tokens.begin(), text.tokens.begin() + static_cast<ptrdiff_t>(common),
                    mine.tokens.begin())
          .first -
      text.tokens.begin();
  if (at < common)
    return {Code::Usage, fmt::format("{}: was made of another text or by another tokenizer: its "
                                     "token {} is {}, here it is {}",
                                     file.path(), at, text.tokens[at], mine.tokens[at])};
  if (text.tokens.size() != mine.tokens.size())
    return {Code::Usage, fmt::format("{}: was made of another text: of {} windows, here are {}",
                                     file.path(), text.count(), mine.count())};
  return {};
}

Status LogitReader::read(int64_t first, std::span<uint16_t> rows) const {
  std::span<uint8_t> bytes{reinterpret_cast<uint8_t *>(rows.data()), rows.size_bytes()};
  if (Status status = file.readAt(start + first * vocabulary * sizeof(uint16_t), bytes);
      !status.ok())
    return status;
  for (size_t at = 0; at < rows.size(); at += vocabulary)
    if (!areRoundedLogits(rows.subspan(at, vocabulary)))
      return {Code::Usage,
              fmt::format("{}: is damaged: row {} of its logits is not relative to its largest",
                          file.path(), first + static_cast<int64_t>(at) / vocabulary)};
  return {};
}

} // namespace moec
