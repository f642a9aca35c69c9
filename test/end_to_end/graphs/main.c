// Runs the graph of control.mlir as a library: prints the count and the first of its halves.

#include "control.h"
#include "moec/moec.h"

#include <stdio.h>
#include <string.h>

static int fail(void) {
  fprintf(stderr, "%s\n", moec_error_message());
  return 1;
}

int main(int argc, char **argv) {
  moec_graph *graph;
  moec_model_options options = {.threads = 2};
  if (moec_graph_open(&options, &graph) != MOEC_OK)
    return fail();
  size_t inputs, outputs;
  const moec_tensor_info *info = moec_graph_inputs(graph, &inputs);
  moec_graph_outputs(graph, &outputs);
  if (inputs != CONTROL_INPUTS || outputs != CONTROL_OUTPUTS ||
      strcmp(info[CONTROL_INPUT_STEPS].name, "steps") != 0 ||
      info[CONTROL_INPUT_X].type != MOEC_F32 || info[CONTROL_INPUT_X].rank != 2 ||
      info[CONTROL_INPUT_X].shape[0] != -1 || strcmp(info[CONTROL_INPUT_X].dimensions[0], "n") != 0)
    return 2;
  const float x[6] = {5, 1, 2, 3, 4, 0.5f};
  const int64_t steps = 2;
  int64_t shape[2] = {2, argc > 1 ? argv[1][0] - '0' : 3};
  moec_tensor given[CONTROL_INPUTS], made[CONTROL_OUTPUTS];
  given[CONTROL_INPUT_X] = (moec_tensor){x, shape, 2};
  given[CONTROL_INPUT_STEPS] = (moec_tensor){&steps, NULL, 0};
  for (int again = 0; again < 2; ++again)
    if (moec_graph_run(graph, given, made) != MOEC_OK)
      return fail();
  const float *halved = made[CONTROL_OUTPUT_HALVED].data;
  const int64_t *count = made[CONTROL_OUTPUT_COUNT].data;
  printf("%d %g %d\n", (int)*count, (double)halved[0], (int)made[CONTROL_OUTPUT_HALVED].shape[0]);
  moec_model *model;
  if (moec_model_open(NULL, &model) != MOEC_USAGE)
    return 3;
  moec_graph_close(graph);
  return 0;
}
