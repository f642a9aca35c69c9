// Claims tensors family by family, each name looked up once.

#include "frontends/checkpoint/TensorClaims.h"

#include "runtime/core/TensorPattern.h"

#include <fmt/format.h>

#include <algorithm>

using namespace moec;

/// Of MXFP4: the ends of names, and how many numbers of a row share a scale.
static constexpr const char *kBlocks = "_blocks", *kScales = "_scales";
static constexpr int64_t kMxfp4Group = 32;

/// Calls visit(name) with each name of the family until it fails.
template <typename Visitor> static Status forEachTensor(const TensorFamily &family, Visitor visit) {
  return forEachName(family.pattern, family.layers, family.experts,
                     [&](const std::string &name, int64_t) { return visit(name); });
}

bool TensorClaims::has(const TensorFamily &family) const {
  return checkpoint->find(
      expandPattern(family.pattern, family.layers.empty() ? 0 : family.layers.front(), 0));
}

Result<DataType> TensorClaims::claimTensors(const TensorFamily &family) {
  const bool mayBeCodes = quantization.codes == QuantizationConfig::Codes::Float8 &&
                          family.shape.size() > 1 && !family.isVectors;
  const CheckpointTensor *first = nullptr;
  Status status = forEachTensor(family, [&](const std::string &name) -> Status {
    const CheckpointTensor *blocks =
        checkpoint->find(name) ? nullptr : checkpoint->find(name + kBlocks);
    if (blocks && first)
      return unlike(*blocks, "of MXFP4", first->name, dataTypeName(first->type));
    if (blocks && quantization.codes != QuantizationConfig::Codes::Mxfp4)
      return {
          Code::Unsupported,
          fmt::format("{}: tensor `{}` looks like MXFP4, and config.json does not say so; "
                      "wanted a `quantization_config` with the `quant_method` \"mxfp4\", as the "
                      "model was published",
                      placeOf(*blocks), blocks->name)};
    Result<const CheckpointTensor *> tensor = checkpoint->require(name, family.shape);
    if (!tensor.ok())
      return tensor.status();
    DataType type = (*tensor)->type;
    if (!first)
      first = *tensor;
    if (type != DataType::F32 && type != DataType::F16 && type != DataType::BF16 &&
        (type != DataType::F8E4M3 || !mayBeCodes))
      return refuseType(**tensor);
    if (type != first->type)
      return unlike(**tensor, dataTypeName(type), first->name, dataTypeName(first->type));
    mark(**tensor);
    return {};
  });
  if (!status.ok())
    return status;
  return first->type;
}

Status TensorClaims::refuseType(const CheckpointTensor &tensor) const {
  const bool lacksKey =
      quantization.codes == QuantizationConfig::Codes::None && dataTypeBits(tensor.type) <= 8;
  return {Code::Unsupported,
          fmt::format("{}: tensor `{}` is {}; supported are F32, F16 and BF16{}", placeOf(tensor),
                      tensor.name, dataTypeName(tensor.type),
                      lacksKey ? ", and of matrices F8_E4M3 and MXFP4 where config.json has a "
                                 "`quantization_config` that says so, which it has not"
                               : "; take the model's weights in one of these")};
}

Status TensorClaims::unlike(const CheckpointTensor &tensor, std::string_view found,
                            std::string_view peer, std::string_view wanted) const {
  return {Code::Unsupported,
          fmt::format("{}: tensor `{}` is {}, and `{}` is {}; moec wants tensors of a kind stored "
                      "alike in all layers and experts: convert them to one type",
                      placeOf(tensor), tensor.name, found, peer, wanted)};
}

bool TensorClaims::isMxfp4(const TensorFamily &family) const {
  TensorFamily blocks = family, scales = family;
  blocks.pattern += kBlocks;
  scales.pattern += kScales;
  return quantization.codes == QuantizationConfig::Codes::Mxfp4 && !family.isVectors &&
         !has(family) && (has(blocks) || has(scales));
}

Result<StoredFamily> TensorClaims::claim(const TensorFamily &family) {
  if (isMxfp4(family))
    return claimMxfp4(family);
  Result<DataType> type = claimTensors(family);
  if (!type.ok())
    return type.status();
  if (*type == DataType::F8E4M3)
    return claimFloat8(family);
  return StoredFamily{.type = *type, .pattern = family.pattern};
}

/// The shapes that the scales of a tensor may have, the usual one first: a number for each block of
/// the last two dimensions; where a row or all share one these may be left out, or be 1.
static std::vector<std::vector<int64_t>> shapesOfScales(std::span<const int64_t> shape,
                                                        const QuantizationConfig &quantization) {
  auto blocks = [](int64_t extent, int64_t block) {
    return block ? extent / block + (extent % block ? 1 : 0) : 1;
  };
  std::vector<int64_t> stack(shape.begin(), shape.end() - 2), rows = stack, whole = stack,
                                                              one = stack;
  rows.push_back(blocks(shape[shape.size() - 2], quantization.scaleRows));
  one.push_back(1);
  whole = rows;
  whole.push_back(blocks(shape.back(), quantization.scaleColumns));
  if (quantization.scaleColumns)
    return {whole};
  if (quantization.scaleRows)
    return {whole, rows};
  return {stack, one, whole};
}

Result<StoredFamily> TensorClaims::claimFloat8(const TensorFamily &family) {
  TensorFamily scales = family, others = family;
  scales.pattern += "_scale_inv";
  others.pattern += "_scale";
  if (!has(scales) && has(others))
    scales = others;
  const std::vector<std::vector<int64_t>> shapes = shapesOfScales(family.shape, quantization);
  Status status = forEachTensor(scales, [&](const std::string &name) -> Status {
    const CheckpointTensor *tensor = checkpoint->find(name);
    auto isOwn = [&](const std::vector<int64_t> &shape) {
      return std::equal(shape.begin(), shape.end(), tensor->shape.begin(), tensor->shape.end());
    };
    if (!tensor || std::none_of(shapes.begin(), shapes.end(), isOwn))
      return checkpoint->require(name, shapes.front()).status();
    if (tensor->type != DataType::F32 && tensor->type != DataType::F16 &&
        tensor->type != DataType::BF16 && tensor->type != DataType::F8E8M0)
      return {Code::Unsupported, fmt::format("{}: tensor `{}` is {}; supported for scales are F32, "
                                             "F16, BF16 and F8_E8M0",
                                             placeOf(*tensor), name, dataTypeName(tensor->type))};
    mark(*tensor);
    return {};
  });
  if (!status.ok())
    return status;
  return StoredFamily{.type = DataType::F8E4M3,
                      .pattern = family.pattern,
                      .scales = scales.pattern,
                      .scaleRows = quantization.scaleRows,
                      .scaleColumns = quantization.scaleColumns};
}

Result<StoredFamily> TensorClaims::claimMxfp4(const TensorFamily &family) {
  TensorFamily blocks = family, scales = family;
  blocks.pattern += kBlocks;
  scales.pattern += kScales;
  if (family.shape.back() % kMxfp4Group != 0)
    return Status{Code::Unsupported,
                  fmt::format("{}: `{}` is to have rows of {} numbers, and MXFP4 has a scale for "
                              "every {}",
                              checkpoint->directory(), blocks.pattern, family.shape.back(),
                              kMxfp4Group)};
  scales.shape.back() /= kMxfp4Group;
  blocks.shape = scales.shape;
  blocks.shape.push_back(kMxfp4Group / 2);
  std::string first;
  for (const TensorFamily *part : {&blocks, &scales}) {
    Status status = forEachTensor(*part, [&](const std::string &name) -> Status {
      const std::string_view end = part == &blocks ? kBlocks : kScales;
      const CheckpointTensor *plain =
          checkpoint->find(name) ? nullptr
                                 : checkpoint->find(name.substr(0, name.size() - end.size()));
      if (plain)
        return unlike(*plain, dataTypeName(plain->type), first, "of MXFP4");
      Result<const CheckpointTensor *> tensor = checkpoint->require(name, part->shape);
      if (!tensor.ok())
        return tensor.status();
      if (first.empty())
        first = name;
      if ((*tensor)->type != DataType::U8)
        return {Code::Unsupported,
                fmt::format("{}: tensor `{}` is {}; supported for MXFP4 is U8", placeOf(**tensor),
                            name, dataTypeName((*tensor)->type))};
      mark(**tensor);
      return {};
    });
    if (!status.ok())
      return status;
  }
  return StoredFamily{.type = DataType::F4,
                      .pattern = blocks.pattern,
                      .scales = scales.pattern,
                      .scaleRows = 1,
                      .scaleColumns = kMxfp4Group};
}

/// Whether `*` in `pattern` can be replaced so that it equals `text`.
static bool matches(std::string_view pattern, std::string_view text) {
  size_t star = pattern.find('*');
  if (star == pattern.npos)
    return pattern == text;
  // The ends are looked at first: they tell most names apart.
  std::string_view tail = pattern.substr(pattern.rfind('*') + 1);
  if (text.size() < star + tail.size() || !text.starts_with(pattern.substr(0, star)) ||
      !text.ends_with(tail))
    return false;
  text = text.substr(star, text.size() - star - tail.size());
  pattern = pattern.substr(star, pattern.size() - star - tail.size());
  // What stands between stars, each where it first fits behind the one before.
  while (pattern.size() > 1) {
    pattern.remove_prefix(1);
    star = pattern.find('*');
    const size_t place = text.find(pattern.substr(0, star));
    if (place == text.npos)
      return false;
    text.remove_prefix(place + star);
    pattern.remove_prefix(star);
  }
  return true;
}

size_t TensorClaims::skip(std::string_view pattern) {
  size_t count = 0;
  for (size_t index = 0; index < claimed.size(); ++index)
    if (matches(pattern, checkpoint->tensors()[index].name)) {
      claimed[index] = true;
      ++count;
    }
  return count;
}

Status TensorClaims::finish(const std::function<std::string(std::string_view)> &explain) const {
  auto left = static_cast<size_t>(std::count(claimed.begin(), claimed.end(), false));
  if (left == 0)
    return {};
  size_t index =
      static_cast<size_t>(std::find(claimed.begin(), claimed.end(), false) - claimed.begin());
  const CheckpointTensor &tensor = checkpoint->tensors()[index];
  return {Code::Unsupported,
          fmt::format("{}/{}: tensor `{}`{} is read by no part of this architecture{}",
                      checkpoint->directory(), checkpoint->files()[tensor.file].name, tensor.name,
                      left == 1 ? "" : fmt::format(" (and {} more)", left - 1),
                      explain ? explain(tensor.name) : "")};
}
