/* The public header is C11 and needs nothing else. */

#include "runtime/include/moec/moec.h"

_Static_assert(MOEC_CACHE_FULL == 6, "statuses are exit codes");
