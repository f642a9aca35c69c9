// Turns the tokens of a chat template into its syntax tree.

#ifndef MOEC_RUNTIME_TEXT_JINJAPARSER_H
#define MOEC_RUNTIME_TEXT_JINJAPARSER_H

#include "runtime/text/JinjaSyntax.h"

#include <string_view>

namespace moec::jinja {

/// Parses a template. What is no Jinja is Code::Model; a tag that Jinja knows and chat templates do
/// without is Code::Unsupported, and so is an unknown filter or test where it is certain to be
/// reached.
Result<Body> parse(std::string_view source);

} // namespace moec::jinja

#endif // MOEC_RUNTIME_TEXT_JINJAPARSER_H
