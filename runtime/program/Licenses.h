// The notices of the libraries that are linked into a program.

#ifndef MOEC_RUNTIME_PROGRAM_LICENSES_H
#define MOEC_RUNTIME_PROGRAM_LICENSES_H

extern "C" {
/// Their text, gathered when the runtime was built; ends in a zero.
extern const unsigned char moec_licenses[];
}

#endif // MOEC_RUNTIME_PROGRAM_LICENSES_H
