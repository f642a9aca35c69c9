/* What a program brings for devices: for each architecture a step, its kernels and their code.
 * C11; read by the runtime and by the compiler, which emits the tables. */

#ifndef MOEC_RUNTIME_DEVICE_DEVICEPROGRAM_H
#define MOEC_RUNTIME_DEVICE_DEVICEPROGRAM_H

#include "runtime/core/Step.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A kernel. All blocks of a launch get the same arguments, packed as a C struct of them is. */
typedef struct {
  const char *name;     /* in the code */
  int32_t threads;      /* of a block */
  int32_t shared_bytes; /* of shared memory that a launch gives a block, beyond what is declared */
} moec_device_kernel;

/* Machine code of all kernels, for one architecture. */
typedef struct {
  int32_t major, minor;   /* compute capability: 9, 0 */
  int32_t is_specific;    /* for just that one, as sm_90a is; else for later ones too */
  int32_t is_text;        /* PTX, which ends with a zero byte, in place of a cubin */
  int32_t driver_version; /* least that reads it, as CUDA counts: 13000 is 13.0 */
  const uint8_t *bytes;
  uint64_t size;
} moec_device_image;

/* The step for one architecture. */
typedef struct {
  const char *architecture;          /* as users name it: sm_90a */
  moec_step_function step;           /* for the host; launches the kernels */
  const moec_device_kernel *kernels; /* by the numbers that the step launches them by */
  uint64_t kernel_count;
  moec_device_image image;
  const void *emulated; /* a moec_emulated_module of the same kernels; null without --emulate */
} moec_device_code;

/* Opens a device that runs one of a program's codes; `opening` is a moec::DeviceOpening. */
typedef void (*moec_device_opener)(void *opening);

/* What CPUs do of the steps: parts that moec_part_run asks for by number. Its weights, arena and
 * counts are its own. */
typedef struct {
  const moec_step_function *steps; /* for each of the manifest's CPU levels */
  int64_t (*arena_bytes)(int64_t tokens, int64_t sequences, int64_t outputs, int64_t threads);
} moec_host_program;

/* Openers that a program does not refer to are not linked into it. */
typedef struct {
  const moec_device_code *codes; /* at least one */
  uint64_t code_count;
  moec_device_opener open_cuda;
  moec_device_opener open_emulated; /* null without --emulate */
  moec_host_program host;           /* nulls where the device does all */
} moec_device_program;

/* Emitted by the compiler; null where CPUs compute. */
extern const moec_device_program *const moec_program_device;

/* The openers that there are. */
void moec_open_cuda_device(void *opening);
void moec_open_emulated_device(void *opening);

#ifdef __cplusplus
}
#endif

#endif /* MOEC_RUNTIME_DEVICE_DEVICEPROGRAM_H */
