/* A compiled model as a library: tokens in, logits out; or a graph: tensors in, tensors out. C11
 * and C++.
 *
 * Handles are opaque; every open pairs with a close. A function that can fail returns a status and
 * gives its result through its last pointers; moec_error_message says more about the last failure
 * of the calling thread. Different models may be used by different threads; one model and its
 * sequences by one thread at a time.
 *
 * Nothing here prints, and no argument ends the process; nor does lack of memory for what is large:
 * weights, caches and what a step works in fail with MOEC_CACHE_FULL. Handles, messages and text
 * (in proportion to the text given) come from C++'s operator new; where the system refuses even
 * that, which Linux seldom does, the process ends. */

#ifndef MOEC_MOEC_H
#define MOEC_MOEC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

typedef enum {
  MOEC_OK = 0,
  MOEC_INTERNAL = 1,  /* our own fault */
  MOEC_USAGE = 2,     /* an argument: a token id out of range, more tokens than the context holds */
  MOEC_BAD_MODEL = 3, /* unreadable or malformed model */
  MOEC_UNSUPPORTED = 4, /* well-formed, but not supported */
  MOEC_MISMATCH = 5,    /* the program does not match its weights or this CPU */
  MOEC_CACHE_FULL = 6   /* out of memory: no more for the cache, or for anything else */
} moec_status;

typedef struct moec_model moec_model;
typedef struct moec_sequence moec_sequence;

/* How a model uses a machine with several nodes of memory; with one, all are the same. */
typedef enum {
  MOEC_NUMA_DEFAULT = 0,    /* split */
  MOEC_NUMA_SPLIT = 1,      /* threads and weights are divided over the nodes */
  MOEC_NUMA_INTERLEAVE = 2, /* pages of weights lie on the nodes by turns; threads run anywhere */
  MOEC_NUMA_OFF = 3         /* as the system has it */
} moec_numa;

/* Zero in any field asks for the default. */
typedef struct {
  /* Packed weights; default: beside the shared library (or beside the program that a static one is
   * part of) under the name that `moec compile` gave them, then LIBRARY.weights, then the
   * environment's MOEC_WEIGHTS. */
  const char *weights_file;
  /* For weights mapped from the model's own files; default: MOEC_MODEL_DIR, then where the model
   * was when it was compiled. */
  const char *model_directory;
  /* Default: one per physical core that the process may use. Of a library for GPUs 0, as `numa`. */
  uint32_t threads;
  uint32_t context; /* positions per sequence; default: the model's */
  /* A moec_numa. By split, the threads of the model are kept to the CPUs of their nodes; the thread
   * that calls, which works as well, is its owner's affair: it belongs on the first node. */
  uint32_t numa;
} moec_model_options;

/* What is wrong, one line, after a call of this thread that failed; valid until its next call. */
const char *moec_error_message(void);

/* Opens the model that this library was made from. `options` may be null. On failure `*model` is
 * null: MOEC_USAGE for more context than the model has, for a place of weights that this library
 * does not read, for a `numa` that there is not or for a CPU level in the environment's MOEC_CPU
 * that it has no code of (of a library for GPUs, an architecture in MOEC_GPU), MOEC_MISMATCH where
 * weights are missing, damaged or of another model or the CPU lacks what the code needs, or where
 * there is no GPU or driver for it or too old a one, MOEC_CACHE_FULL without memory, on the GPU
 * too, or threads. Weights are mapped, or copied to the GPU; else they are not read, but where they
 * are placed on nodes of memory: whoever makes their files shorter while the model is open brings
 * SIGBUS upon the process. Replacing a file by renaming another over it is harmless. */
moec_status moec_model_open(const moec_model_options *options, moec_model **model);

/* Closes `model`, whose sequences must be closed. Null is allowed. */
void moec_model_close(moec_model *model);

/* How many token ids there are; as many logits come out. */
int64_t moec_model_vocabulary(const moec_model *model);

/* Positions that a sequence can have. */
int64_t moec_model_context(const moec_model *model);

/* What the library says of itself, `size` bytes of JSON, which need not end in a zero; lives as
 * long as the library. */
const char *moec_model_manifest(const moec_model *model, size_t *size);

/* Opens an empty sequence on `model`, which must outlive it. */
moec_status moec_sequence_open(moec_model *model, moec_sequence **sequence);

/* Closes `sequence`. Null is allowed. */
void moec_sequence_close(moec_sequence *sequence);

/* Tokens read so far. */
int64_t moec_sequence_position(const moec_sequence *sequence);

/* Feeds `count` tokens, at least one, and writes the logits after the last one, one per vocabulary
 * entry; `logits` may be null. MOEC_USAGE for no token, an id outside the vocabulary, or more
 * tokens than the context has room for; MOEC_CACHE_FULL without memory. On failure the sequence is
 * as it was before the call. */
moec_status moec_sequence_step(moec_sequence *sequence, const int32_t *tokens, size_t count,
                               float *logits);

/* One sequence's part of moec_model_step. */
typedef struct {
  moec_sequence *sequence;
  const int32_t *tokens;
  size_t count;  /* at least 1 */
  float *logits; /* of the last token; may be null */
} moec_step_part;

/* Feeds several sequences of one model at once, each at most one time: the same results as one by
 * one, in less time. It fails as moec_sequence_step does, and with MOEC_USAGE for a sequence of
 * another model or one that comes twice. On failure all are as they were. */
moec_status moec_model_step(moec_model *model, const moec_step_part *parts, size_t count);

/* Forgets the tokens from `position` on. MOEC_USAGE for a position that is negative or not reached
 * yet, and nothing is done then; MOEC_USAGE too, and the sequence is empty then, where a sliding
 * window has already dropped what the next token would see. */
moec_status moec_sequence_rewind(moec_sequence *sequence, int64_t position);

/* Writes at most `room` token ids of `text` (`size` bytes of UTF-8) and says how many there are;
 * nothing is written, and that is no failure, where there are more than `room`. `add_special` puts
 * the model's own first and last tokens around them. MOEC_BAD_MODEL without a tokenizer, MOEC_USAGE
 * for text that is not UTF-8 or is larger than 1 GiB. */
moec_status moec_model_tokenize(const moec_model *model, const char *text, size_t size,
                                int add_special, int32_t *tokens, size_t room, size_t *count);

/* Writes at most `room` bytes of text, without control tokens and without a zero at the end, and
 * says how many there are; nothing is written, and that is no failure, where there are more than
 * `room`. Ids without text give none. MOEC_BAD_MODEL without a tokenizer. */
moec_status moec_model_detokenize(const moec_model *model, const int32_t *tokens, size_t count,
                                  char *text, size_t room, size_t *size);

/* Whether `token` ends what the model has to say. */
int moec_model_is_stop(const moec_model *model, int32_t token);

/* Graphs of tensors, which a library is made of in place of a language model. */

typedef struct moec_graph moec_graph;

/* What elements are. */
typedef enum {
  MOEC_BOOL = 0, /* a byte, 0 or 1 */
  MOEC_U8 = 1,
  MOEC_I8 = 2,
  MOEC_U16 = 3,
  MOEC_I16 = 4,
  MOEC_U32 = 5,
  MOEC_I32 = 6,
  MOEC_U64 = 7,
  MOEC_I64 = 8,
  MOEC_F16 = 9,
  MOEC_BF16 = 10,
  MOEC_F32 = 11,
  MOEC_F64 = 12,
  MOEC_F8E4M3 = 13,
  MOEC_F8E5M2 = 14
} moec_type;

/* An input or output of a graph. What it points to lives as long as the graph. */
typedef struct {
  const char *name;
  uint32_t type;        /* a moec_type */
  uint32_t rank;        /* how many dimensions */
  const int64_t *shape; /* `rank` sizes; -1: not fixed */
  /* `rank` names: inputs have equal sizes where these are equal. Empty where the size is fixed, or
   * follows from other sizes or from data. */
  const char *const *dimensions;
} moec_tensor_info;

/* A tensor: elements row by row, at a multiple of an element's size. */
typedef struct {
  const void *data;
  const int64_t *shape;
  uint32_t rank;
} moec_tensor;

/* Opens the graph that this library was made from, as moec_model_open opens a model; `context` and
 * `numa` are 0. MOEC_USAGE where the library is a language model, as moec_model_open where it is a
 * graph. */
moec_status moec_graph_open(const moec_model_options *options, moec_graph **graph);

/* Closes `graph`. Null is allowed. */
void moec_graph_close(moec_graph *graph);

/* The inputs, and the outputs, of a graph, and how many there are. */
const moec_tensor_info *moec_graph_inputs(const moec_graph *graph, size_t *count);
const moec_tensor_info *moec_graph_outputs(const moec_graph *graph, size_t *count);

/* Computes all outputs, one of `outputs` each, of all inputs, both in the order of the functions
 * above. What `outputs` point to belongs to the graph, until its next run. MOEC_USAGE for a shape
 * that does not fit, MOEC_CACHE_FULL without memory. One call at a time. */
moec_status moec_graph_run(moec_graph *graph, const moec_tensor *inputs, moec_tensor *outputs);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif /* MOEC_MOEC_H */
