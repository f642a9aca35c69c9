/* A runtime of one page, to link programs and libraries with: prints what the compiler put into
 * them. */

#include "runtime/core/Step.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

__attribute__((visibility("default"))) int moec_test_answer(void) {
  int sum = 0; /* over two CPU levels */
  for (int level = 0; level < 2; ++level) {
    float logits[1] = {0};
    moec_step_arguments arguments = {.tokens = 1, .logits = logits};
    moec_program_steps[level](&arguments, 0);
    sum += (int)logits[0];
  }
  return sum;
}

int main(int count, char **words) {
  printf("answer %d\n", moec_test_answer());
  printf("manifest %.*s\n", (int)moec_program_manifest_size, (const char *)moec_program_manifest);
  printf("tokenizer %d\n", (int)((uintptr_t)moec_program_tokenizer % 64));
  printf("template %d\n", (int)moec_program_template_size);
  uint64_t bytes = moec_program_weights_size;
  printf("weights %llu", (unsigned long long)bytes);
  if (bytes)
    printf(" %d %d %d", (int)((uintptr_t)moec_program_weights % 4096), moec_program_weights[0],
           moec_program_weights[bytes - 1]);
  printf("\ncosine %.3f %s\n", cos(count), words[count] ? "" : "end");
  return 0;
}
