// What this program needs of the system that it runs on.

#ifndef MOEC_RUNTIME_PROGRAM_LINKAGE_H
#define MOEC_RUNTIME_PROGRAM_LINKAGE_H

#include <string>
#include <vector>

namespace moec {

struct Linkage {
  bool dynamic = false;
  std::vector<std::string> libraries; ///< that the loader brings in
  std::string newestGlibc;            ///< newest GLIBC_x.y among the symbols wanted; empty for none
};

/// Reads it off the program's own headers in memory.
Linkage programLinkage();

/// Whether version `a` of the form GLIBC_x.y.z is older than `b`.
bool olderVersion(const std::string &a, const std::string &b);

} // namespace moec

#endif // MOEC_RUNTIME_PROGRAM_LINKAGE_H
