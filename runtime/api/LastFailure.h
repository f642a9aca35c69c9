// The last failure of each thread, for moec_error_message.

#ifndef MOEC_RUNTIME_API_LASTFAILURE_H
#define MOEC_RUNTIME_API_LASTFAILURE_H

#include "runtime/core/Result.h"
#include "runtime/include/moec/moec.h"

namespace moec {

/// Keeps the message, and gives the code as C has it.
moec_status reportFailure(Status status);

} // namespace moec

#endif // MOEC_RUNTIME_API_LASTFAILURE_H
