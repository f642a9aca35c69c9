// Where the tensors lie that an imported ONNX graph reads.

#ifndef MOEC_TOOLS_MOEC_ONNXTENSORS_H
#define MOEC_TOOLS_MOEC_ONNXTENSORS_H

#include "compiler/emit/ScratchFile.h"
#include "frontends/checkpoint/Checkpoint.h"
#include "frontends/onnx/OnnxModel.h"
#include "frontends/onnx/import/OnnxImport.h"

#include <optional>

namespace moec {

/// The sources of a module's tensors, for the packer. Those that lie in no file of the model are
/// written to `scratch`, which must outlive the result's use.
Result<Checkpoint> findOnnxTensors(const OnnxModel &model, llvm::ArrayRef<OnnxSource> sources,
                                   std::optional<ScratchFile> &scratch);

} // namespace moec

#endif // MOEC_TOOLS_MOEC_ONNXTENSORS_H
