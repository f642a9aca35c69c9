// Chat templates for families that publish a program in place of one.

#ifndef MOEC_FRONTENDS_CHECKPOINT_BUILTINTEMPLATES_H
#define MOEC_FRONTENDS_CHECKPOINT_BUILTINTEMPLATES_H

#include <string_view>

namespace moec {

/// The chat template of an architecture (`architectures` of config.json) whose models are published
/// without one; empty for every other.
std::string_view builtInTemplate(std::string_view architecture);

} // namespace moec

#endif // MOEC_FRONTENDS_CHECKPOINT_BUILTINTEMPLATES_H
