// Asks the loader. Not by dladdr: it is in libdl, or asks for a libc of 2.34 or newer.

#include "runtime/api/LibraryPath.h"

#include <cstdint>
#include <cstdlib>
#include <link.h>

namespace moec {

namespace {
struct Search {
  uintptr_t address;
  const char *name;
};
} // namespace

static int look(dl_phdr_info *object, size_t, void *data) {
  Search &search = *static_cast<Search *>(data);
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr) &segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD ||
        search.address - (object->dlpi_addr + segment.p_vaddr) >= segment.p_memsz)
      continue;
    search.name = object->dlpi_name; // empty for the program itself
    return 1;
  }
  return 0;
}

std::string libraryPath() {
  Search search = {reinterpret_cast<uintptr_t>(&look), nullptr};
  if (!dl_iterate_phdr(look, &search) || !search.name)
    return {};
  char *resolved = realpath(search.name, nullptr);
  if (!resolved)
    return search.name;
  std::string path = resolved;
  free(resolved);
  return path;
}

} // namespace moec
