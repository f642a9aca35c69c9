// Reads a model in ONNX's format, with its external data, and checks it.

#ifndef MOEC_FRONTENDS_ONNX_ONNXREADER_H
#define MOEC_FRONTENDS_ONNX_ONNXREADER_H

#include "frontends/onnx/OnnxModel.h"
#include "runtime/core/Result.h"

#include <span>
#include <string>

namespace moec {

struct OnnxOptions {
  bool headersOnly = false; ///< files of external data may be missing or short
  bool followLinks = false; ///< links may lead anywhere
  /// What memory is bounded by: nodes, values, attributes and tensors, as written and as functions
  /// expand to.
  size_t mostItems = 1 << 24;
};

/// Opens, maps and reads a model. Failures name the file, and the node or tensor. Operators are not
/// looked at: what a node's op is, and whether its inputs and attributes suit, is for who imports
/// it.
Result<OnnxModel> readOnnx(const std::string &path, const OnnxOptions &options = {});

/// The same for a model in memory, which must outlive the result; external data lies in
/// `directory`.
Result<OnnxModel> readOnnx(std::span<const uint8_t> message, const std::string &directory,
                           const OnnxOptions &options = {});

} // namespace moec

#endif // MOEC_FRONTENDS_ONNX_ONNXREADER_H
