// Walks the dynamic section: libraries needed, and the versions wanted of each.

#include "runtime/program/Linkage.h"

#include <cstdint>
#include <cstdlib>
#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

namespace moec {

bool olderVersion(const std::string &a, const std::string &b) {
  const char *left = a.c_str() + a.find('_') + 1, *right = b.c_str() + b.find('_') + 1;
  while (*left || *right) {
    char *leftEnd, *rightEnd;
    long x = strtol(left, &leftEnd, 10), y = strtol(right, &rightEnd, 10);
    if (x != y)
      return x < y;
    if (leftEnd == left && rightEnd == right)
      return false; // no numbers at all
    left = *leftEnd == '.' ? leftEnd + 1 : leftEnd;
    right = *rightEnd == '.' ? rightEnd + 1 : rightEnd;
  }
  return false;
}

// Addresses come as numbers here, from the kernel and from the headers.
// NOLINTBEGIN(performance-no-int-to-ptr)
Linkage programLinkage() {
  Linkage linkage;
  const auto *headers = reinterpret_cast<const ElfW(Phdr) *>(getauxval(AT_PHDR));
  size_t count = getauxval(AT_PHNUM);
  uintptr_t base = 0;
  const ElfW(Phdr) *dynamic = nullptr;
  for (size_t i = 0; headers && i < count; ++i) {
    if (headers[i].p_type == PT_PHDR)
      base = reinterpret_cast<uintptr_t>(headers) - headers[i].p_vaddr;
    if (headers[i].p_type == PT_DYNAMIC)
      dynamic = &headers[i];
    if (headers[i].p_type == PT_INTERP)
      linkage.dynamic = true;
  }
  if (!linkage.dynamic || !dynamic)
    return linkage;
  const auto *entries = reinterpret_cast<const ElfW(Dyn) *>(base + dynamic->p_vaddr);
  // The loader has turned some of these into addresses, and others not.
  auto address = [&](ElfW(Addr) value) { return value < base ? value + base : value; };
  const char *strings = nullptr;
  uintptr_t versions = 0;
  size_t numVersions = 0;
  for (const ElfW(Dyn) *entry = entries; entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == DT_STRTAB)
      strings = reinterpret_cast<const char *>(address(entry->d_un.d_ptr));
    if (entry->d_tag == DT_VERNEED)
      versions = address(entry->d_un.d_ptr);
    if (entry->d_tag == DT_VERNEEDNUM)
      numVersions = entry->d_un.d_val;
  }
  if (!strings)
    return linkage;
  for (const ElfW(Dyn) *entry = entries; entry->d_tag != DT_NULL; ++entry)
    if (entry->d_tag == DT_NEEDED)
      linkage.libraries.push_back(strings + entry->d_un.d_val);
  for (size_t i = 0; versions && i < numVersions; ++i) {
    const auto *need = reinterpret_cast<const ElfW(Verneed) *>(versions);
    uintptr_t at = versions + need->vn_aux;
    for (size_t j = 0; j < need->vn_cnt; ++j) {
      const auto *wanted = reinterpret_cast<const ElfW(Vernaux) *>(at);
      std::string name = strings + wanted->vna_name;
      if (name.starts_with("GLIBC_") &&
          (linkage.newestGlibc.empty() || olderVersion(linkage.newestGlibc, name)))
        linkage.newestGlibc = name;
      at += wanted->vna_next;
    }
    versions += need->vn_next;
  }
  return linkage;
}
// NOLINTEND(performance-no-int-to-ptr)

} // namespace moec
