/* The contract between a compiled program and the runtime: what the compiler emits, and the one
 * call that computes. C11; read by the runtime and by the compiler, which takes field offsets from
 * here. */

#ifndef MOEC_RUNTIME_CORE_STEP_H
#define MOEC_RUNTIME_CORE_STEP_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MOEC_PART_BUFFERS 4 /* most that cross to the host and back at a time */

/* Of each so many logits of a row a step may be asked for the largest. */
enum { MOEC_LARGEST_COUNT = 4, MOEC_LARGEST_PIECE = 512 };

/* One of them. */
typedef struct {
  int32_t id; /* the token whose it is; -1: there are no more, and the logit means nothing */
  float logit;
} moec_largest;

/* Most dimensions of an input or output of a graph. */
enum { MOEC_MOST_RANK = 16 };

/* What a graph of tensors is given, and where its results go; in the order of the manifest's lists.
 * Tensors lie row by row; a boolean is a byte, 0 or 1. */
typedef struct {
  const int64_t *dimensions;    /* the symbolic sizes */
  const uint8_t *const *inputs; /* 64-byte aligned */
  uint8_t *const *outputs; /* likewise; room for what moec_program_graph_sizes tells. Behind them
                              an int64_t, 0 at first: where the manifest lists failures, a step
                              that finds one writes its number, from 1 on, and stops */
  int64_t *output_sizes;   /* of each output MOEC_MOST_RANK: the sizes of its dimensions, by
                              moec_program_graph_sizes; a step makes smaller those that follow
                              from data */
} moec_graph_arguments;

/* One step over a batch of ragged sequences: T rows (tokens) of S sequences. A sequence's rows are
 * adjacent, their positions ascend by one. The runtime owns every buffer; all outlive the call. */
typedef struct {
  int64_t tokens;       /* T, at least 1 */
  int64_t sequences;    /* S, at least 1 */
  int64_t outputs;      /* R: rows whose logits are wanted, may be 0 */
  int64_t query_tiles;  /* Q: entries of `tiles` */
  int64_t block_stride; /* entries in one sequence's row of a block table */

  const int32_t *token_ids;     /* T, each in [0, vocabulary) */
  const int32_t *positions;     /* T, each in [0, context) */
  const int32_t *row_sequences; /* T, each in [0, S) */
  const int32_t *output_rows;   /* R, each in [0, T) */
  const int32_t
      *tiles; /* Q x 3: first row, rows in [1, query_tile], sequence; cover every row once */
  const int32_t *const
      *block_tables; /* per cache group, S x block_stride: position p of sequence s lies in slot
                        p % block_tokens of block table[s * block_stride + p / block_tokens] */
  uint8_t *const
      *caches; /* per cache group: its blocks, one after another, zero when first handed out */

  const uint8_t *weights; /* the packed weights; null where they are mapped */
  const uint8_t *const
      *weight_pieces; /* mapped: where each piece of the manifest lies; else null */

  float *logits;         /* R x vocabulary */
  moec_largest *largest; /* null, or R x P x MOEC_LARGEST_COUNT: of each of the P pieces of
                            MOEC_LARGEST_PIECE logits the largest, as lm.record_largest orders them;
                            always null where CPUs compute */
  int32_t *experts; /* null, or M x T x K: M MoE layers in order, K picks each (the largest K of the
                       model) */
  float *expert_weights; /* null together with `experts`, same shape */

  uint8_t *arena; /* moec_program_arena_bytes() bytes, 64-byte aligned */
  void *team;     /* for moec_tiles_claim and moec_tiles_wait */
  void *profile;  /* for moec_profile_note; null where the manifest lists no phases */

  void *
      device; /* for moec_device_launch; null where CPUs compute. Else the buffers are the device's,
                 as are the arrays of their addresses, and the step reads the counts alone */
  const void *device_arguments; /* where the device has a copy of all this */

  /* What CPUs do of a device's step: its host step, see DeviceProgram.h. */
  void *host;          /* of the device's step, for moec_part_run; null where it has none */
  int64_t part, layer; /* of the host step: which of its parts, for which layer */
  uint8_t *part_rows[MOEC_PART_BUFFERS]; /* likewise: the buffers of moec_part_run, in this memory;
                                            only T, weights, arena and team are given besides */

  const moec_graph_arguments *graph; /* of a graph; only weights, arena and team are given besides.
                                        Outlives the calls of late threads too */
} moec_step_arguments;

/* Runs one step; called by each thread of the team with its number, with the same arguments; when
 * one call returns, the step is done. A thread may call it late, even when the step is over: but
 * for the tiles that it claims, it reads `arguments`, a graph's dimensions and nothing else. */
typedef void (*moec_step_function)(const moec_step_arguments *arguments, int64_t thread);

/* Emitted by the compiler: the same step for each of the manifest's CPU levels, in their order, or
 * of its GPU architectures. All take the same weights, caches and arena. */
extern const moec_step_function moec_program_steps[];

/* Emitted by the compiler. Bytes of arena that a step of these sizes needs. Runs on any CPU of the
 * architecture, as does all but the steps. */
int64_t moec_program_arena_bytes(int64_t tokens, int64_t sequences, int64_t outputs,
                                 int64_t threads);

/* Emitted by the compiler, of a graph alone: writes the sizes of its outputs, as they follow from
 * `arguments->graph->dimensions`, and returns the bytes of arena that it needs. */
int64_t moec_program_graph_sizes(const moec_step_arguments *arguments) __attribute__((weak));

/* Emitted by the compiler: bytes and how many. A size of 0 says that the model has none. */
extern const uint8_t moec_program_manifest[]; /* JSON, see Manifest.h */
extern const uint64_t moec_program_manifest_size;
extern const uint8_t
    moec_program_tokenizer[]; /* tables, see text/TokenizerTables.h; 64-byte aligned */
extern const uint64_t moec_program_tokenizer_size;
extern const uint8_t moec_program_template[]; /* Jinja source of the chat template */
extern const uint64_t moec_program_template_size;
extern const uint8_t
    moec_program_generation[]; /* generation_config.json, merged with config.json's stop ids */
extern const uint64_t moec_program_generation_size;
extern const uint8_t moec_program_weights[]; /* a file of packed weights (PackedFile.h) where they
                                                are embedded; page-aligned */
extern const uint64_t moec_program_weights_size;

#ifdef __cplusplus
}
#endif

#endif /* MOEC_RUNTIME_CORE_STEP_H */
