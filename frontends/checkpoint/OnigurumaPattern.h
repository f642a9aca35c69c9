// Regular expressions as tokenizer.json spells them, in the spelling of the engine that runs them.

#ifndef MOEC_FRONTENDS_CHECKPOINT_ONIGURUMAPATTERN_H
#define MOEC_FRONTENDS_CHECKPOINT_ONIGURUMAPATTERN_H

#include "runtime/core/Result.h"

#include <string>
#include <string_view>

namespace moec {

/// The PCRE2 pattern (UTF, UCP, multi-line) with the matches that Oniguruma, in its own syntax,
/// finds for `pattern`. The two differ in classes such as \s and \h, set operations, scripts, and
/// what options mean. What has no equal is Code::Unsupported; what is no regular expression is
/// Code::Model.
Result<std::string> translateOniguruma(std::string_view pattern);

} // namespace moec

#endif // MOEC_FRONTENDS_CHECKPOINT_ONIGURUMAPATTERN_H
