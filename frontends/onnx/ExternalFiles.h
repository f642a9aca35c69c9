// The files that hold the data of tensors outside of the model's own.

#ifndef MOEC_FRONTENDS_ONNX_EXTERNALFILES_H
#define MOEC_FRONTENDS_ONNX_EXTERNALFILES_H

#include "frontends/onnx/OnnxModel.h"
#include "runtime/core/Result.h"

#include <map>
#include <span>
#include <string>
#include <utility>

namespace moec {

/// An entry of TensorProto.external_data.
using ExternalEntry = std::pair<std::string_view, std::string_view>;

/// Finds and maps files of external data, each once. A name is a relative path that stays inside
/// the model's directory, as resolveInside() has it, without backslashes or drives; the file a
/// regular one with no other hard link.
class ExternalFiles {
public:
  /// `followLinks` permits links of both kinds; with `mayLack` a file may be missing or short.
  ExternalFiles(std::string directory, bool followLinks, bool mayLack)
      : directory(std::move(directory)), followLinks(followLinks), mayLack(mayLack) {}

  /// Sets file and offset of `tensor`, whose size is known, by its entries. New files are appended
  /// to `files`.
  Status place(std::span<const ExternalEntry> entries, OnnxTensor &tensor,
               std::vector<OnnxFile> &files);

private:
  Result<uint32_t> find(std::string_view location, std::vector<OnnxFile> &files);
  Result<OnnxFile> open(std::string_view location) const;

  std::string directory;
  bool followLinks, mayLack;
  std::map<std::string, uint32_t, std::less<>> found; ///< by location
};

} // namespace moec

#endif // MOEC_FRONTENDS_ONNX_EXTERNALFILES_H
