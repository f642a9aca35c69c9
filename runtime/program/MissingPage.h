// What a program says where a file that it has mapped turns out shorter than it was.

#ifndef MOEC_RUNTIME_PROGRAM_MISSINGPAGE_H
#define MOEC_RUNTIME_PROGRAM_MISSINGPAGE_H

namespace moec {

/// Writes a message to stderr that names the file mapped at `address`, if there is one; to be
/// called by a handler of signals.
void reportMissingPage(const void *address);

} // namespace moec

#endif // MOEC_RUNTIME_PROGRAM_MISSINGPAGE_H
