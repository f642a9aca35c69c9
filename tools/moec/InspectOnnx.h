// `moec inspect model.onnx`: what an ONNX model holds, without a compile.

#ifndef MOEC_TOOLS_MOEC_INSPECTONNX_H
#define MOEC_TOOLS_MOEC_INSPECTONNX_H

#include "tools/moec/Compile.h"

namespace moec {

/// Whether a model is one of ONNX, by its name.
bool isOnnx(const std::string &input);

/// Prints producer, operator sets, inputs and outputs, nodes and tensors to stdout, as JSON if
/// `json`. External data need not be there.
Status inspectOnnx(const CompileRequest &request, bool json);

} // namespace moec

#endif // MOEC_TOOLS_MOEC_INSPECTONNX_H
