// Reads the choice of formats.

#include "compiler/transforms/WeightFormats.h"

#include "llvm/ADT/StringExtras.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

using namespace moec;
using llvm::StringRef;

static constexpr std::pair<StringRef, WeightClass> kClasses[] = {
    {"experts", WeightClass::Experts},     {"attention", WeightClass::Attention},
    {"dense", WeightClass::Dense},         {"head", WeightClass::Head},
    {"embedding", WeightClass::Embedding},
};

/// Whether floats can be made codes of the format, row by row.
static bool canQuantizeTo(const QuantTraits &traits) { return traits.scaleRows == 1; }

std::string moec::weightClassNames() {
  std::string names = "all";
  for (auto [name, meant] : kClasses)
    names += ", " + name.str();
  return names;
}

std::string moec::weightFormatNames() {
  std::string names;
  for (const QuantTraits &traits : kQuantFormats)
    if (canQuantizeTo(traits))
      names += (names.empty() ? "" : ", ") + std::string(traits.name);
  return names;
}

Result<WeightFormats> moec::parseWeightFormats(StringRef text) {
  WeightFormats formats;
  for (StringRef choice : llvm::split(text, ',')) {
    auto [name, formatName] = choice.split(':');
    const auto *format = llvm::find_if(kQuantFormats, [&](const QuantTraits &traits) {
      return canQuantizeTo(traits) && StringRef(traits.name) == formatName;
    });
    bool known = name == "all";
    for (auto [className, meant] : kClasses)
      known |= className == name;
    if (!known)
      return Status{Code::Usage, fmt::format("--quantize: '{}' names no class of weights; it is "
                                             "CLASS:FORMAT, and the classes are {}",
                                             choice.str(), weightClassNames())};
    if (format == std::end(kQuantFormats))
      return Status{Code::Usage,
                    fmt::format("--quantize: '{}' names no format; it is CLASS:FORMAT, "
                                "and the formats are {}",
                                choice.str(), weightFormatNames())};
    for (auto [className, meant] : kClasses)
      if (name == "all" || name == className)
        formats[meant] = format->format;
  }
  return formats;
}
