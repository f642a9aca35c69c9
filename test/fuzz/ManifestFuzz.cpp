// The manifest of a compiled program: what was accepted is written out and read back the same.

#include "runtime/core/Manifest.h"

#include <cstdlib>
#include <string>
#include <string_view>

using namespace moec;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Result<Manifest> manifest = parseManifest({reinterpret_cast<const char *>(data), size});
  if (!manifest.ok())
    return 0;
  std::string text = writeManifest(*manifest);
  Result<Manifest> again = parseManifest(text);
  if (!again.ok() || writeManifest(*again) != text)
    std::abort();
  return 0;
}
