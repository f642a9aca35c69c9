// Which tensors of a checkpoint an architecture reads, and how they are stored.

#ifndef MOEC_FRONTENDS_CHECKPOINT_TENSORCLAIMS_H
#define MOEC_FRONTENDS_CHECKPOINT_TENSORCLAIMS_H

#include "frontends/checkpoint/Checkpoint.h"
#include "frontends/checkpoint/QuantizationConfig.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// Tensors of one shape and type whose names differ in layer and expert only.
struct TensorFamily {
  std::string pattern;         ///< `{l}` stands for the layer, `{e}` for the expert
  std::vector<int64_t> layers; ///< empty where the pattern has no `{l}`
  int64_t experts = 0;         ///< 0 where the pattern has no `{e}`
  std::vector<int64_t> shape;  ///< of each tensor
  bool isVectors = false;      ///< it holds a vector for each expert, and those are never codes
};

/// How the numbers of a family are stored.
struct StoredFamily {
  DataType type = DataType::F32; ///< F32, F16, BF16, or with scales F8E4M3 or F4
  std::string pattern;           ///< of the tensors that hold them; of F4, pairs in tensors of U8
  std::string scales = {};       ///< of the tensors of scales
  int64_t scaleRows = 0, scaleColumns = 0; ///< of each matrix, that share one; 0: all

  bool operator==(const StoredFamily &) const = default;
};

/// Keeps count of the tensors that an architecture reads, so that none is forgotten silently.
class TensorClaims {
public:
  /// `quantization` is what config.json says of codes; those of other kinds are not supported.
  explicit TensorClaims(const Checkpoint &checkpoint, QuantizationConfig quantization = {})
      : checkpoint(&checkpoint), quantization(quantization),
        claimed(checkpoint.tensors().size(), false) {}

  /// Whether the first tensor of the family exists: to choose between two layouts of a checkpoint.
  bool has(const TensorFamily &family) const;
  /// Whether the family is stored as MXFP4, under names made of its own.
  bool isMxfp4(const TensorFamily &family) const;
  /// Checks that every tensor of the family is there, in its shape and all of one type, and claims
  /// them, with their scales. Tensors of several types, and any but F32, F16, BF16 and, of
  /// matrices, the codes that config.json speaks of, are Code::Unsupported.
  ///
  /// Floats of 8 bits have a scale for each block beside them: NAME_scale_inv or NAME_scale, one
  /// number for each block of each matrix; both are multiplied. Of MXFP4 NAME itself is not there,
  /// but NAME_blocks and NAME_scales are, of rows that a product multiplies with.
  Result<StoredFamily> claim(const TensorFamily &family);
  /// Tensors whose names match are known and not needed; `*` stands for any characters. Gives how
  /// many there are.
  size_t skip(std::string_view pattern);
  /// Code::Unsupported, naming a tensor that was neither claimed nor skipped and how many there
  /// are; `explain` may say more of a name.
  Status finish(const std::function<std::string(std::string_view)> &explain = {}) const;

private:
  Result<DataType> claimTensors(const TensorFamily &family);
  Result<StoredFamily> claimFloat8(const TensorFamily &family);
  Result<StoredFamily> claimMxfp4(const TensorFamily &family);
  /// The failures of a tensor whose type is not read, and of one that is stored in another way than
  /// a peer that came before.
  Status refuseType(const CheckpointTensor &tensor) const;
  Status unlike(const CheckpointTensor &tensor, std::string_view found, std::string_view peer,
                std::string_view wanted) const;
  void mark(const CheckpointTensor &tensor) {
    claimed[static_cast<size_t>(&tensor - checkpoint->tensors().data())] = true;
  }
  std::string placeOf(const CheckpointTensor &tensor) const {
    return checkpoint->directory() + "/" + checkpoint->files()[tensor.file].name;
  }

  const Checkpoint *checkpoint;
  QuantizationConfig quantization;
  std::vector<bool> claimed;
};

} // namespace moec

#endif // MOEC_FRONTENDS_CHECKPOINT_TENSORCLAIMS_H
