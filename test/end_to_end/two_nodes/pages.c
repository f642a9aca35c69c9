/* Prints where the pages of a file lie that a process has mapped: pages PID PATH writes the address
 * of the mapping, a space, and for each page the digit of its node, or - where it is not in memory.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
  char path[64], line[4096];
  unsigned long first = 0, begin, end;
  if (argc != 3)
    return 2;
  snprintf(path, sizeof path, "/proc/%s/maps", argv[1]);
  FILE *maps = fopen(path, "r");
  if (!maps)
    return 3;
  while (fgets(line, sizeof line, maps)) {
    line[strcspn(line, "\n")] = 0;
    const char *name = strchr(line, '/');
    if (!name || strcmp(name, argv[2]) != 0 || sscanf(line, "%lx-%lx", &begin, &end) != 2)
      continue;
    if (!first)
      printf("%lu ", first = begin);
    for (unsigned long page = begin; page < end; page += 4096) {
      void *address = (void *)page;
      int node = -1;
      if (syscall(SYS_move_pages, atol(argv[1]), 1UL, &address, NULL, &node, 0))
        return 4;
      putchar(node < 0 ? '-' : '0' + node);
    }
  }
  putchar('\n');
  return first ? 0 : 5;
}
