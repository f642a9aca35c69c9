// TensorProto: what it is, and where its data lies.

#ifndef MOEC_FRONTENDS_ONNX_TENSORREADER_H
#define MOEC_FRONTENDS_ONNX_TENSORREADER_H

#include "frontends/onnx/ExternalFiles.h"
#include "frontends/onnx/OnnxModel.h"
#include "frontends/onnx/WireFormat.h"
#include "frontends/onnx/onnx.pb.h"

#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace moec {

/// Reads tensors of one model. Data that lies in the file as raw_data has it stays there; lists of
/// numbers of other widths are decoded.
class TensorReader {
public:
  /// Of `model`, `names` and `files` are added to; its `message` is what offsets are in.
  TensorReader(OnnxModel &model, ExternalFiles external)
      : model(model), external(std::move(external)) {}

  /// The tensor in `bytes`, a part of the model's file; failures name it.
  Result<OnnxTensor> read(std::span<const uint8_t> bytes);

private:
  struct Data; // where the fields with data lie
  Status readNamed(std::span<const uint8_t> bytes, OnnxTensor &tensor);
  Status placeData(const Data &data, OnnxTensor &tensor);
  Status placeExternal(OnnxTensor &tensor);
  Status takeStrings(OnnxTensor &tensor);
  Status decode(const Data &data, OnnxTensor &tensor);

  OnnxModel &model;
  ExternalFiles external;
  ::onnx::TensorProto message; ///< kept for its memory
  uint64_t decodedBytes = 0;
};

} // namespace moec

#endif // MOEC_FRONTENDS_ONNX_TENSORREADER_H
