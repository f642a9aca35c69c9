// The header parser: whatever the bytes, entries that were accepted describe the data exactly.

#include "runtime/core/Safetensors.h"

#include <cstdlib>

using namespace moec;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  for (FileLength length : {FileLength::Exact, FileLength::Partial}) {
    Result<SafetensorsHeader> header =
        SafetensorsHeader::parse({data, size}, size, "fuzz.safetensors", length);
    if (!header.ok())
      continue;
    uint64_t next = 0;
    for (const SafetensorsTensor &tensor : header->tensors()) {
      uint64_t elements = 1;
      for (int64_t extent : tensor.shape)
        elements *= static_cast<uint64_t>(extent);
      if (tensor.begin != next || tensor.end < tensor.begin ||
          elements * static_cast<uint64_t>(dataTypeBits(tensor.type)) != 8 * tensor.bytes() ||
          header->find(tensor.name) != &tensor)
        std::abort();
      next = tensor.end;
    }
    if (length == FileLength::Exact && header->dataStart() + header->dataBytes() != size)
      std::abort();
  }
  return 0;
}
