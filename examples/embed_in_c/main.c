/* Asks a compiled model from C: tokens in, logits out, the likeliest token each time. */

#include <moec/moec.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PROMPT_TOKENS = 512, MOST_NEW_TOKENS = 64, MOST_TEXT = 256 };

/* The id of the largest logit. */
static int32_t likeliest(const float *logits, int64_t vocabulary) {
  int64_t best = 0;
  for (int64_t i = 1; i < vocabulary; ++i)
    if (logits[i] > logits[best])
      best = i;
  return (int32_t)best;
}

/* Says why a call failed; `what` is what cannot be done. */
static int fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, moec_error_message());
  return 1;
}

/* Answers `question` on standard output; 0 for success. */
static int ask(moec_model *model, moec_sequence *sequence, float *logits, const char *question) {
  int32_t tokens[MOST_PROMPT_TOKENS];
  size_t count;
  if (moec_model_tokenize(model, question, strlen(question), 1, tokens, MOST_PROMPT_TOKENS,
                          &count) != MOEC_OK)
    return fail("cannot read the text");
  if (count > MOST_PROMPT_TOKENS) {
    fprintf(stderr, "the text has %zu tokens, at most %d fit\n", count, MOST_PROMPT_TOKENS);
    return 2;
  }

  int64_t vocabulary = moec_model_vocabulary(model);
  int32_t answer[MOST_NEW_TOKENS];
  size_t made = 0;
  moec_status status = moec_sequence_step(sequence, tokens, count, logits);
  while (status == MOEC_OK && made < MOST_NEW_TOKENS) {
    int32_t next = likeliest(logits, vocabulary);
    if (moec_model_is_stop(model, next))
      break;
    answer[made++] = next;
    status = moec_sequence_step(sequence, &next, 1, logits);
  }
  if (status != MOEC_OK)
    return fail("cannot go on");

  char text[MOST_NEW_TOKENS * MOST_TEXT];
  size_t size;
  if (moec_model_detokenize(model, answer, made, text, sizeof text, &size) != MOEC_OK)
    return fail("cannot write the answer");
  if (size > sizeof text) {
    fprintf(stderr, "the answer has %zu bytes, at most %zu fit\n", size, sizeof text);
    return 1;
  }
  printf("%.*s\n", (int)size, text);
  return 0;
}

/* Every open pairs with a close, whatever failed; closing null is allowed. */
int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: %s WEIGHTS TEXT\n", argv[0]);
    return 2;
  }
  moec_model_options options = {0};
  options.weights_file = argv[1];
  moec_model *model = NULL;
  moec_sequence *sequence = NULL;
  float *logits = NULL;
  int result = 1;
  if (moec_model_open(&options, &model) != MOEC_OK)
    fail("cannot open the model");
  else if (moec_sequence_open(model, &sequence) != MOEC_OK)
    fail("cannot open a sequence");
  else if (!(logits = malloc((size_t)moec_model_vocabulary(model) * sizeof *logits)))
    fprintf(stderr, "no memory for the logits\n");
  else
    result = ask(model, sequence, logits, argv[2]);
  free(logits);
  moec_sequence_close(sequence);
  moec_model_close(model);
  return result;
}
