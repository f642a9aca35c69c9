// The filters, tests, methods and global functions that every chat template has.

#ifndef MOEC_RUNTIME_TEXT_JINJABUILTINS_H
#define MOEC_RUNTIME_TEXT_JINJABUILTINS_H

#include "runtime/text/JinjaCall.h"

#include <ctime>

namespace moec::jinja {

using Filter = Value (*)(Run &run, const Value &input, const Arguments &arguments);
using Test = bool (*)(Run &run, const Value &input, const Arguments &arguments);

/// Null where there is none of that name.
Filter findFilter(std::string_view name);
Test findTest(std::string_view name);
/// The filters that take or give whole sequences; `findFilter` looks here too.
Filter findSequenceFilter(std::string_view name);

/// Whether values of this kind have a method of that name in Python, supported or not.
bool hasMethod(const Value &self, std::string_view name);
/// Whether the method would change its object, which templates may not.
bool isMutator(const Value &self, std::string_view name);
Value callMethod(Run &run, const Value &self, std::string_view name, const Arguments &arguments);

/// Whether a global function has this name.
bool isGlobal(std::string_view name);
Value callGlobal(Run &run, std::string_view name, const Arguments &arguments, const std::tm &now);

/// `object.name`: the attribute, else the item of that name, else undefined.
Value attributeOf(Run &run, const Value &object, std::string_view name);
/// The attribute, else undefined: what the filter `attr` gives.
Value realAttributeOf(Run &run, const Value &object, std::string_view name);
/// `object[key]`: the item, else the attribute of that name, else undefined.
Value itemOf(Run &run, const Value &object, const Value &key);

} // namespace moec::jinja

#endif // MOEC_RUNTIME_TEXT_JINJABUILTINS_H
