// What a model consists of, counted.

#ifndef MOEC_FRONTENDS_ONNX_ONNXSUMMARY_H
#define MOEC_FRONTENDS_ONNX_ONNXSUMMARY_H

#include "frontends/onnx/OnnxModel.h"

#include <string>
#include <vector>

namespace moec {

struct OnnxOpCount {
  std::string_view domain, op;
  size_t nodes = 0;
};

/// Tensors of one element type.
struct OnnxTypeCount {
  ElementType type = ElementType::Undefined;
  size_t tensors = 0;
  uint64_t inlineBytes = 0, externalBytes = 0;
};

/// All graphs of a model together, bodies of functions as often as they are called.
struct OnnxSummary {
  size_t nodes = 0, graphs = 0;
  std::vector<OnnxOpCount> ops; ///< by domain and name
  size_t initializers = 0;
  std::vector<OnnxTypeCount> types;        ///< of initializers, and of tensors that attributes hold
  std::vector<const OnnxTensor *> largest; ///< with names, the largest first
};

/// Counts; `largest` has at most `mostLargest` tensors, which belong to the model.
OnnxSummary summarize(const OnnxModel &model, size_t mostLargest = 5);

/// "FLOAT [tokens, 20]"; an unknown size is `?`, and unknown shapes have no brackets.
std::string typeText(const OnnxType &type);

} // namespace moec

#endif // MOEC_FRONTENDS_ONNX_ONNXSUMMARY_H
