// Where libc's development files lie.

#ifndef MOEC_COMPILER_EMIT_LINKFILES_H
#define MOEC_COMPILER_EMIT_LINKFILES_H

#include "compiler/emit/Link.h"

namespace moec {

/// Whether programs for `architecture`, as in a triple, are for machines like this one.
bool isOwn(llvm::StringRef architecture);

/// What a link line needs to know of the system's libc.
struct LibcFiles {
  std::string folder;        ///< holds crt1.o and libc.a
  std::string dynamicLoader; ///< as the executable will name it
};

/// Finds libc's development files for the machine of `triple`; which must include the static
/// library where `libc` asks for it.
Result<LibcFiles> findLibc(const std::string &triple, LibcLink libc);

/// The archives of `linkFiles`, by name.
Result<std::vector<std::string>> listArchives(const std::string &linkFiles);

} // namespace moec

#endif // MOEC_COMPILER_EMIT_LINKFILES_H
