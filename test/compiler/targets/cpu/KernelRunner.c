/* The program around an emulated kernel: reads the kernel's arguments from the file that KernelJit
 * wrote, calls it, and writes them back. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

void kernel(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t);

static int64_t readNumber(FILE *file) {
  int64_t number;
  if (fread(&number, sizeof number, 1, file) != 1)
    exit(1);
  return number;
}

int main(int count, char **words) {
  FILE *file = count == 2 ? fopen(words[1], "r+b") : NULL;
  if (!file)
    return 1;
  enum { most = 8 }; /* which registers hold: a kernel that takes fewer ignores the others */
  int64_t arguments[most] = {0}, bytes[most] = {0};
  long places[most] = {0};
  int64_t given = readNumber(file);
  if (given > most)
    return 1;
  for (int64_t i = 0; i < given; ++i) {
    int64_t isMemory = readNumber(file), number = readNumber(file);
    arguments[i] = number;
    if (!isMemory)
      continue;
    void *memory = aligned_alloc(64, (number + 127) / 64 * 64);
    places[i] = ftell(file);
    if (!memory || fread(memory, 1, number, file) != (size_t)number)
      return 1;
    arguments[i] = (int64_t)memory;
    bytes[i] = number;
  }
  kernel(arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5],
         arguments[6], arguments[7]);
  for (int64_t i = 0; i < given; ++i)
    if (fseek(file, places[i], SEEK_SET) != 0 ||
        fwrite((void *)arguments[i], 1, bytes[i], file) != (size_t)bytes[i])
      return 1;
  return fclose(file) == 0 ? 0 : 1;
}
