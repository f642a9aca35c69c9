// `moec quality`: what formats of weights cost in accuracy, and what they save.

#ifndef MOEC_TOOLS_MOEC_QUALITY_H
#define MOEC_TOOLS_MOEC_QUALITY_H

#include "tools/moec/Compile.h"

namespace moec {

struct QualityRequest {
  CompileRequest model;             ///< the program to compare with; its threads score, too
  std::string text;                 ///< path of a text
  std::vector<std::string> formats; ///< each a list of --quantize
  int64_t window = 0;               ///< tokens; 0: the program's default
  bool json = false;
};

/// Compiles a program for each of the formats, and one without, into the cache; lets them score the
/// text, and prints one table.
Status quality(const QualityRequest &request);

} // namespace moec

#endif // MOEC_TOOLS_MOEC_QUALITY_H
