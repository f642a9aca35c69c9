// The header is untrusted: its JSON is read by events, and every number is checked before it is
// used.

#include "runtime/core/Safetensors.h"

#include "runtime/core/AtomicFile.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <limits>
#include <unordered_set>

using namespace moec;
using nlohmann::json;

// Types -----------------------------------------------------------------------------------------

static constexpr struct {
  DataType type;
  std::string_view name;
  int bits;
} kTypes[] = {
    {DataType::Bool, "BOOL", 8},      {DataType::U8, "U8", 8},
    {DataType::I8, "I8", 8},          {DataType::F8E4M3, "F8_E4M3", 8},
    {DataType::F8E5M2, "F8_E5M2", 8}, {DataType::F8E8M0, "F8_E8M0", 8},
    {DataType::I16, "I16", 16},       {DataType::U16, "U16", 16},
    {DataType::F16, "F16", 16},       {DataType::BF16, "BF16", 16},
    {DataType::I32, "I32", 32},       {DataType::U32, "U32", 32},
    {DataType::F32, "F32", 32},       {DataType::I64, "I64", 64},
    {DataType::U64, "U64", 64},       {DataType::F64, "F64", 64},
    {DataType::C64, "C64", 64},       {DataType::F4, "F4", 4},
    {DataType::F6E2M3, "F6_E2M3", 6}, {DataType::F6E3M2, "F6_E3M2", 6},
};

std::string_view moec::dataTypeName(DataType type) {
  assert(kTypes[static_cast<size_t>(type)].type == type && "the table follows the enumeration");
  return kTypes[static_cast<size_t>(type)].name;
}

std::optional<DataType> moec::parseDataType(std::string_view name) {
  for (const auto &entry : kTypes)
    if (entry.name == name)
      return entry.type;
  return std::nullopt;
}

int64_t moec::dataTypeBits(DataType type) { return kTypes[static_cast<size_t>(type)].bits; }

std::string moec::shapeText(std::span<const int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape.begin(), shape.end(), ", "));
}

// Header ----------------------------------------------------------------------------------------

static constexpr size_t kMaxRank = 16;

static bool hasControlCharacter(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char character) {
    return static_cast<unsigned char>(character) < 0x20 || character == 0x7f;
  });
}

namespace {

/// Fills a list of tensors from the events of the header's JSON; stops at the first thing that is
/// wrong.
class HeaderReader final : public nlohmann::json_sax<json> {
public:
  std::vector<SafetensorsTensor> tensors;
  std::string complaint;

  bool key(string_t &name) override {
    if (place == Place::Root) {
      if (hasControlCharacter(name))
        return complain("a tensor's name holds a control character");
      if (name == "__metadata__") {
        if (std::exchange(sawMetadata, true))
          return complain("`__metadata__` appears twice");
        next = Place::Metadata;
        return true;
      }
      next = Place::Tensor;
      tensors.emplace_back().name = name;
      seen = 0;
      return true;
    }
    if (place == Place::Metadata)
      return metadataKeys.insert(name).second || complain("`__metadata__` holds a key twice");
    unsigned bit = name == "dtype"          ? kDtype
                   : name == "shape"        ? kShape
                   : name == "data_offsets" ? kOffsets
                                            : 0;
    if (bit == 0)
      return complainAboutTensor("has an unknown key; wanted dtype, shape and data_offsets");
    if (seen & bit)
      return complainAboutTensor(fmt::format("has `{}` twice", name));
    seen |= field = bit;
    next = bit == kShape ? Place::Shape : bit == kOffsets ? Place::Offsets : Place::Tensor;
    return true;
  }

  bool start_object(std::size_t) override {
    if (place == Place::Outside && !started)
      place = Place::Root;
    else if (place == Place::Root)
      place = next;
    else
      return unexpected("an object");
    started = true;
    return true;
  }

  bool end_object() override {
    if (place == Place::Tensor && seen != (kDtype | kShape | kOffsets))
      return complainAboutTensor("lacks one of dtype, shape and data_offsets");
    if (place == Place::Tensor && !checkTensor())
      return false;
    place = place == Place::Root ? Place::Outside : Place::Root;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place != Place::Tensor || (next != Place::Shape && next != Place::Offsets))
      return unexpected("an array");
    place = next;
    numbers = 0;
    return true;
  }

  bool end_array() override {
    if (place == Place::Offsets && numbers != 2)
      return complainAboutTensor("needs two data_offsets");
    place = Place::Tensor;
    next = Place::Tensor;
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    ++numbers;
    if (place == Place::Shape) {
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
        return complainAboutTensor("has a dimension that is too large");
      if (numbers > kMaxRank)
        return complainAboutTensor(fmt::format("has more than {} dimensions", kMaxRank));
      tensors.back().shape.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (place == Place::Offsets) {
      (numbers == 1 ? tensors.back().begin : tensors.back().end) = value;
      return numbers <= 2 || complainAboutTensor("needs two data_offsets");
    }
    return unexpected("a number");
  }

  bool string(string_t &value) override {
    if (place == Place::Metadata)
      return true;
    if (place != Place::Tensor || field != kDtype || next != Place::Tensor)
      return unexpected("a string");
    std::optional<DataType> type = parseDataType(value);
    if (!type)
      return complainAboutTensor(hasControlCharacter(value) || value.size() > 40
                                     ? "has an unknown dtype"
                                     : fmt::format("has the unknown dtype `{}`", value));
    tensors.back().type = *type;
    sawType = true;
    return true;
  }

  bool number_integer(number_integer_t value) override {
    return place == Place::Shape || place == Place::Offsets
               ? complainAboutTensor(fmt::format("holds the negative number {}", value))
               : unexpected("a number");
  }
  bool number_float(number_float_t, const string_t &) override {
    return unexpected("a number that is no integer of 64 bits");
  }
  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a truth value"); }
  bool binary(binary_t &) override { return unexpected("binary data"); }

  bool parse_error(std::size_t position, const std::string &, const json::exception &) override {
    return complain(fmt::format("not valid JSON at byte {}", position));
  }

private:
  enum class Place { Outside, Root, Metadata, Tensor, Shape, Offsets };
  static constexpr unsigned kDtype = 1, kShape = 2, kOffsets = 4;

  bool complain(std::string text) {
    if (complaint.empty())
      complaint = std::move(text);
    return false;
  }
  bool complainAboutTensor(std::string_view text) {
    return complain(fmt::format("tensor `{}` {}", tensors.back().name, text));
  }
  bool unexpected(std::string_view what) {
    if (place == Place::Tensor || place == Place::Shape || place == Place::Offsets ||
        (place == Place::Root && next == Place::Tensor && !tensors.empty()))
      return complainAboutTensor(fmt::format("has {} where none belongs", what));
    return complain(fmt::format("{} where none belongs", what));
  }

  /// Type, shape and span of the last tensor agree.
  bool checkTensor() {
    SafetensorsTensor &tensor = tensors.back();
    if (!std::exchange(sawType, false))
      return complainAboutTensor("has no dtype");
    uint64_t bits = static_cast<uint64_t>(dataTypeBits(tensor.type));
    bool overflow = false;
    // A zero makes the product zero, however large the rest.
    if (std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end())
      bits = 0;
    else
      for (int64_t size : tensor.shape)
        overflow |= __builtin_mul_overflow(bits, static_cast<uint64_t>(size), &bits);
    if (overflow)
      return complainAboutTensor(fmt::format("of shape {} is too large", shapeText(tensor.shape)));
    if (tensor.end < tensor.begin)
      return complainAboutTensor(fmt::format(
          "has data_offsets [{}, {}], which end before they begin", tensor.begin, tensor.end));
    if (bits % 8 != 0 || bits / 8 != tensor.end - tensor.begin)
      return complainAboutTensor(fmt::format("is {} of shape {}, {} bytes, but its data_offsets "
                                             "[{}, {}] span {}",
                                             dataTypeName(tensor.type), shapeText(tensor.shape),
                                             bits / 8, tensor.begin, tensor.end,
                                             tensor.end - tensor.begin));
    return true;
  }

  Place place = Place::Outside;
  Place next = Place::Root; // where the next object or array leads
  unsigned seen = 0;        // keys of the present tensor
  unsigned field = 0;       // the key read last
  size_t numbers = 0;       // in the present array
  bool started = false;
  bool sawMetadata = false;
  bool sawType = false;
  std::unordered_set<std::string> metadataKeys;
};

} // namespace

static uint64_t readLittle64(const uint8_t *bytes) {
  uint64_t value = 0;
  for (int index = 7; index >= 0; --index)
    value = value << 8 | bytes[index];
  return value;
}

/// The length of the JSON that `bytes` announce, checked against the file's.
static Result<uint64_t> jsonBytes(std::span<const uint8_t> bytes, uint64_t fileBytes,
                                  std::string_view file) {
  if (fileBytes < 8 || bytes.size() < 8)
    return Status{Code::Model, fmt::format("{}: holds {} bytes, too few for a safetensors header",
                                           file, fileBytes)};
  uint64_t length = readLittle64(bytes.data());
  if (length > SafetensorsHeader::kMaxJsonBytes)
    return Status{Code::Model,
                  fmt::format("{}: its header claims {} bytes, more than the {} permitted", file,
                              length, SafetensorsHeader::kMaxJsonBytes)};
  if (length > fileBytes - 8)
    return Status{Code::Model,
                  fmt::format("{}: its header claims {} bytes, but the file ends after {}", file,
                              length, fileBytes - 8)};
  return length;
}

Result<SafetensorsHeader> SafetensorsHeader::parse(std::span<const uint8_t> bytes,
                                                   uint64_t fileBytes, std::string_view file,
                                                   FileLength length) {
  auto refuse = [&](std::string_view why) {
    return Status{Code::Model, fmt::format("{}: bad safetensors header: {}", file, why)};
  };
  Result<uint64_t> count = jsonBytes(bytes, fileBytes, file);
  if (!count.ok())
    return count.status();
  if (*count > bytes.size() - 8)
    return refuse("it is cut short");
  std::span<const uint8_t> text = bytes.subspan(8, *count);
  if (text.empty() || text[0] != '{')
    return refuse("it does not begin with `{`");
  // The format pads with spaces only, where JSON would take any white space.
  size_t last = text.size();
  while (text[last - 1] == ' ')
    --last;
  if (text[last - 1] != '}')
    return refuse("it does not end with `}` and spaces");

  HeaderReader reader;
  if (!json::sax_parse(text.begin(), text.begin() + static_cast<ptrdiff_t>(last), &reader))
    return refuse(reader.complaint.empty() ? "not valid JSON" : reader.complaint);

  SafetensorsHeader header;
  header.start = 8 + *count;
  header.entries = std::move(reader.tensors);
  std::vector<SafetensorsTensor> &entries = header.entries;
  // Empty tensors share their begin with the tensor after them, and come first.
  std::sort(entries.begin(), entries.end(),
            [](const SafetensorsTensor &a, const SafetensorsTensor &b) {
              return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
            });

  header.byName.resize(entries.size());
  for (size_t index = 0; index < entries.size(); ++index)
    header.byName[index] = static_cast<uint32_t>(index);
  std::sort(header.byName.begin(), header.byName.end(),
            [&](uint32_t a, uint32_t b) { return entries[a].name < entries[b].name; });
  for (size_t index = 1; index < entries.size(); ++index)
    if (const std::string &name = entries[header.byName[index]].name;
        name == entries[header.byName[index - 1]].name)
      return refuse(fmt::format("tensor `{}` appears twice", name));

  uint64_t end = 0;
  for (const SafetensorsTensor &tensor : entries) {
    if (tensor.begin != end)
      return refuse(
          fmt::format("tensor `{}` begins at byte {} of the data, {} the tensor before it, "
                      "which ends at {}",
                      tensor.name, tensor.begin,
                      tensor.begin < end ? "overlapping" : "leaving a hole after", end));
    end = tensor.end;
  }
  uint64_t data = fileBytes - header.start;
  if (end > data && length == FileLength::Exact) {
    const SafetensorsTensor *cut = &entries.back();
    for (const SafetensorsTensor &tensor : entries)
      if (tensor.end > data) {
        cut = &tensor;
        break;
      }
    return Status{
        Code::Model,
        fmt::format("{}: is cut short: holds {} bytes of data, tensor `{}` ends at {} and "
                    "the last one at {}",
                    file, data, cut->name, cut->end, end)};
  }
  if (end < data)
    return Status{Code::Model, fmt::format("{}: holds {} bytes of data, but its tensors end at {}",
                                           file, data, end)};
  return header;
}

Result<SafetensorsHeader> SafetensorsHeader::read(const File &file, FileLength length) {
  uint8_t first[8] = {};
  std::span<uint8_t> prefix(first, std::min<uint64_t>(8, file.size()));
  if (Status status = file.readAt(0, prefix); !status.ok())
    return status;
  Result<uint64_t> count = jsonBytes(prefix, file.size(), file.path());
  if (!count.ok())
    return count.status();
  std::vector<uint8_t> bytes(8 + *count);
  if (Status status = file.readAt(0, bytes); !status.ok())
    return status;
  return parse(bytes, file.size(), file.path(), length);
}

const SafetensorsTensor *SafetensorsHeader::find(std::string_view name) const {
  auto place = std::lower_bound(
      byName.begin(), byName.end(), name,
      [&](uint32_t index, std::string_view wanted) { return entries[index].name < wanted; });
  if (place == byName.end() || entries[*place].name != name)
    return nullptr;
  return &entries[*place];
}

// Writer ----------------------------------------------------------------------------------------

std::string moec::safetensorsHeader(std::span<SafetensorsTensor> tensors) {
  std::string text(8, '\0'); // for the length
  text += '{';
  uint64_t offset = 0;
  for (SafetensorsTensor &tensor : tensors) {
    uint64_t bits = static_cast<uint64_t>(dataTypeBits(tensor.type));
    for (int64_t size : tensor.shape)
      bits *= static_cast<uint64_t>(size);
    tensor.begin = offset;
    tensor.end = offset += bits / 8;
    if (&tensor != tensors.data())
      text += ',';
    text += fmt::format(R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                        json(tensor.name).dump(-1, ' ', false, json::error_handler_t::replace),
                        dataTypeName(tensor.type),
                        fmt::join(tensor.shape.begin(), tensor.shape.end(), ","), tensor.begin,
                        tensor.end);
  }
  text += '}';
  text.resize((text.size() + 7) / 8 * 8, ' ');
  for (int index = 0; index < 8; ++index)
    text[index] = static_cast<char>((text.size() - 8) >> (8 * index));
  return text;
}

Status moec::writeSafetensors(const std::string &path, std::vector<SafetensorsOutput> tensors) {
  std::sort(tensors.begin(), tensors.end(),
            [](const auto &a, const auto &b) { return a.name < b.name; });
  std::vector<SafetensorsTensor> entries;
  entries.reserve(tensors.size());
  for (const SafetensorsOutput &tensor : tensors)
    entries.push_back({.name = tensor.name, .type = tensor.type, .shape = tensor.shape});
  Result<AtomicFile> output = AtomicFile::create(path);
  if (!output.ok())
    return output.status();
  if (Status status = output->append(safetensorsHeader(entries)); !status.ok())
    return status;
  for (const SafetensorsOutput &tensor : tensors)
    if (Status status = output->append(tensor.data); !status.ok())
      return status;
  return output->commit();
}
