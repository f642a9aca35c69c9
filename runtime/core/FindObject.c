/* `_dl_find_object` for programs that share the system's libc: libgcc's unwinder calls it, and a
 * libc older than 2.35 does not have it. Linked into those only. */

#include <link.h>
#include <stddef.h>
#include <stdint.h>

/* As glibc declares it for x86-64 and AArch64; headers older than 2.35 lack it. */
struct found_object {
  uint64_t flags;
  void *map_start;
  void *map_end;
  struct link_map *link_map;
  void *eh_frame; /* the segment PT_GNU_EH_FRAME */
  uint64_t reserved[7];
};

struct search {
  uintptr_t address;
  struct found_object *result;
};

static int look(struct dl_phdr_info *object, size_t size, void *data) {
  (void)size;
  struct search *search = data;
  const ElfW(Phdr) *unwind = NULL;
  uintptr_t low = UINTPTR_MAX, high = 0;
  int inside = 0;
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
    uintptr_t begin = object->dlpi_addr + segment->p_vaddr, end = begin + segment->p_memsz;
    if (segment->p_type == PT_GNU_EH_FRAME)
      unwind = segment;
    if (segment->p_type != PT_LOAD)
      continue;
    low = begin < low ? begin : low;
    high = end > high ? end : high;
    inside |= search->address >= begin && search->address < end;
  }
  if (!inside || !unwind)
    return 0;
  *search->result =
      (struct found_object){.map_start = (void *)low,
                            .map_end = (void *)high,
                            .eh_frame = (void *)(object->dlpi_addr + unwind->p_vaddr)};
  return 1;
}

/* 0 and the object that `address` lies in, or -1. */
__attribute__((visibility("hidden"))) int
moec_find_object(void *address, struct found_object *result) __asm__(
    "_dl_find_object"); /* newer headers declare the name themselves */

int moec_find_object(void *address, struct found_object *result) {
  struct search search = {(uintptr_t)address, result};
  return dl_iterate_phdr(look, &search) ? 0 : -1;
}
