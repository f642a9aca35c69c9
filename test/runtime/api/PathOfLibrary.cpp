// A shared library that says where it lies.

#include "runtime/api/LibraryPath.h"

extern "C" __attribute__((visibility("default"))) const char *pathOfLibrary() {
  static std::string path = moec::libraryPath();
  return path.c_str();
}
