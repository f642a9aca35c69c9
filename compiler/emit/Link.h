// Objects and the runtime into an executable or a library.

#ifndef MOEC_COMPILER_EMIT_LINK_H
#define MOEC_COMPILER_EMIT_LINK_H

#include "runtime/core/Result.h"

#include "llvm/ADT/StringRef.h"

#include <string>
#include <vector>

namespace moec {

/// What comes out of the linker.
enum class Artifact {
  Executable,
  SharedLibrary, ///< exports moec.h's functions and nothing else
  StaticLibrary, ///< one archive of one object; needs libc and libm only
};

/// How an executable gets its libc. Libraries always take their user's.
enum class LibcLink { Static, Dynamic };

enum class Linker {
  Lld,            ///< inside this process
  SystemCompiler, ///< `cc`, or the cross compiler of another architecture
};

struct LinkOptions {
  Artifact artifact = Artifact::Executable;
  LibcLink libc = LibcLink::Static;
  Linker linker = Linker::Lld;
  bool strip = false; ///< leave out the symbol table
  std::string triple; ///< of the machine that it is for
  /// The folder with the runtime's archives, the compiler's support libraries and start files,
  /// and `exports.txt`; see `findLinkFiles`.
  std::string linkFiles;
  std::vector<std::string> objects;
};

/// The folder `lib/moec/ARCHITECTURE` that belongs to the executable `program`, which lies in `bin`
/// beside `lib`.
Result<std::string> findLinkFiles(const std::string &program, llvm::StringRef architecture);

/// Links into the file `output`, which it replaces. With the same inputs the bytes are the same,
/// wherever these lie.
Status link(const LinkOptions &options, const std::string &output);

/// The names that a library exports: those of moec.h, as `linkFiles` lists them.
Result<std::vector<std::string>> exportedNames(const std::string &linkFiles);

/// Makes `object`, linked as a `StaticLibrary`, the only member of the archive `output`.
Status makeArchive(const std::string &object, const std::string &output);

} // namespace moec

#endif // MOEC_COMPILER_EMIT_LINK_H
