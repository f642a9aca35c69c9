/* What a program brings for a device: its kernels and their code. C11; read by the runtime and by
 * the compiler, which emits the tables. */

#ifndef MOEC_RUNTIME_DEVICE_DEVICEPROGRAM_H
#define MOEC_RUNTIME_DEVICE_DEVICEPROGRAM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A kernel. All blocks of a launch get the same arguments, packed as a C struct of them is. */
typedef struct {
  const char *name;     /* in the code */
  int32_t threads;      /* of a block */
  int32_t shared_bytes; /* of shared memory that a launch gives a block, beyond what is declared */
  int32_t argument_bytes; /* of a launch */
} moec_device_kernel;

/* The code of all kernels for one architecture. */
typedef struct {
  int32_t major, minor;   /* compute capability: 9, 0 */
  int32_t is_specific;    /* for just that one, as sm_90a is; else for later ones too */
  int32_t is_text;        /* PTX, which ends with a zero byte, in place of a cubin */
  int32_t driver_version; /* least that reads it, as CUDA counts: 13000 is 13.0 */
  const uint8_t *bytes;
  uint64_t size;
} moec_device_image;

#ifdef __cplusplus
}
#endif

#endif /* MOEC_RUNTIME_DEVICE_DEVICEPROGRAM_H */
