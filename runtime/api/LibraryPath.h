// Where the shared library lies that a model was compiled to.

#ifndef MOEC_RUNTIME_API_LIBRARY_PATH_H
#define MOEC_RUNTIME_API_LIBRARY_PATH_H

#include <string>

namespace moec {

/// The path of the shared library that this code lies in, links resolved; empty where it is part
/// of a program.
std::string libraryPath();

} // namespace moec

#endif // MOEC_RUNTIME_API_LIBRARY_PATH_H
