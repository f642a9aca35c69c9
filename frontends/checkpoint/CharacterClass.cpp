// Unicode's general categories divide all characters among them, so a union of categories has a
// complement that is one too, and "these categories without that set" is one negated class.

#include "frontends/checkpoint/CharacterClass.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

using namespace moec;

namespace {

constexpr std::array<std::string_view, 30> categories = {
    "Cc", "Cf", "Cn", "Co", "Cs", "Ll", "Lm", "Lo", "Lt", "Lu", "Mc", "Me", "Mn", "Nd", "Nl",
    "No", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "Sc", "Sk", "Sm", "So", "Zl", "Zp", "Zs"};

struct LongName {
  std::string_view name, category;
};
constexpr LongName longNames[] = {
    {"other", "C"},
    {"control", "Cc"},
    {"format", "Cf"},
    {"unassigned", "Cn"},
    {"privateuse", "Co"},
    {"letter", "L"},
    {"lowercaseletter", "Ll"},
    {"modifierletter", "Lm"},
    {"otherletter", "Lo"},
    {"titlecaseletter", "Lt"},
    {"uppercaseletter", "Lu"},
    {"mark", "M"},
    {"combiningmark", "M"},
    {"spacingmark", "Mc"},
    {"enclosingmark", "Me"},
    {"nonspacingmark", "Mn"},
    {"number", "N"},
    {"decimalnumber", "Nd"},
    {"digit", "Nd"},
    {"letternumber", "Nl"},
    {"othernumber", "No"},
    {"punctuation", "P"},
    {"connectorpunctuation", "Pc"},
    {"dashpunctuation", "Pd"},
    {"closepunctuation", "Pe"},
    {"finalpunctuation", "Pf"},
    {"initialpunctuation", "Pi"},
    {"otherpunctuation", "Po"},
    {"openpunctuation", "Ps"},
    {"symbol", "S"},
    {"currencysymbol", "Sc"},
    {"modifiersymbol", "Sk"},
    {"mathsymbol", "Sm"},
    {"othersymbol", "So"},
    {"separator", "Z"},
    {"lineseparator", "Zl"},
    {"paragraphseparator", "Zp"},
    {"spaceseparator", "Zs"},
};

struct PlainProperty {
  std::string_view name, items;
  bool dependsOnCase;
};
constexpr PlainProperty plainProperties[] = {
    {"any", "\\x{0}-\\x{10FFFF}", false},
    {"ascii", "\\x{0}-\\x{7F}", false},
    {"alpha", "\\p{Alphabetic}", false},
    {"alphabetic", "\\p{Alphabetic}", false},
    {"alnum", "\\p{Alphabetic}\\p{Nd}", false},
    {"upper", "\\p{Uppercase}", true},
    {"uppercase", "\\p{Uppercase}", true},
    {"lower", "\\p{Lowercase}", true},
    {"lowercase", "\\p{Lowercase}", true},
    {"xdigit", "0-9A-Fa-f", false},
    {"asciihexdigit", "0-9A-Fa-f", false},
    {"cntrl", "\\p{Cc}", false},
    {"ideographic", "\\p{Ideographic}", false},
    {"unifiedideograph", "\\p{Unified_Ideograph}", false},
    {"emoji", "\\p{Emoji}", false},
    {"emojipresentation", "\\p{Emoji_Presentation}", false},
    {"emojimodifier", "\\p{Emoji_Modifier}", false},
    {"extendedpictographic", "\\p{Extended_Pictographic}", false},
    {"math", "\\p{Math}", false},
    {"dash", "\\p{Dash}", false},
};

} // namespace

std::string_view moec::spaceItems() {
  return "\\x{9}-\\x{D}\\x{20}\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}"
         "\\x{205F}\\x{3000}";
}

std::string_view moec::nonSpaceItems() {
  return "\\x{0}-\\x{8}\\x{E}-\\x{1F}\\x{21}-\\x{84}\\x{86}-\\x{9F}\\x{A1}-\\x{167F}\\x{1681}-"
         "\\x{1FFF}\\x{200B}-\\x{2027}\\x{202A}-\\x{202E}\\x{2030}-\\x{205E}\\x{2060}-\\x{2FFF}"
         "\\x{3001}-\\x{10FFFF}";
}

std::string_view moec::wordItems() { return "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"; }

std::optional<UnicodeProperty> moec::findProperty(std::string_view name) {
  std::string key;
  for (char character : name) {
    if (character == ' ' || character == '_' || character == '-')
      continue;
    if (!std::isalnum(static_cast<unsigned char>(character)))
      return std::nullopt;
    key += static_cast<char>(std::tolower(static_cast<unsigned char>(character)));
  }
  if (key.empty())
    return std::nullopt;
  std::string category;
  if (key.size() <= 2) {
    category = key;
    category[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(category[0])));
    bool known = std::any_of(categories.begin(), categories.end(), [&](std::string_view one) {
      return one.substr(0, category.size()) == category;
    });
    if (!known)
      return std::nullopt;
  }
  for (const LongName &one : longNames)
    if (one.name == key)
      category = one.category;
  if (!category.empty())
    return UnicodeProperty{"\\p{" + category + "}", category,
                           category == "Lu" || category == "Ll" || category == "Lt"};
  for (const PlainProperty &one : plainProperties)
    if (one.name == key)
      return UnicodeProperty{std::string(one.items), "", one.dependsOnCase};
  if (key == "space" || key == "whitespace")
    return UnicodeProperty{std::string(spaceItems()), "", false};
  if (key == "word")
    return UnicodeProperty{std::string(wordItems()), "", false};
  // Oniguruma defines these otherwise than PCRE2 does, or differently from version to version.
  for (std::string_view one :
       {"punct", "graph", "print", "blank", "xps", "xan", "xsp", "xwd", "xuc"})
    if (one == key)
      return std::nullopt;
  // The rest can only be a script: the characters of that script alone, where PCRE2 would by itself
  // add those that it shares with others.
  return UnicodeProperty{"\\p{sc:" + key + "}", "", false};
}

void ClassOperand::add(std::string_view text) {
  items += text;
  onlyCategories = false;
}

void ClassOperand::addCategory(std::string_view category) {
  items += "\\p{";
  items += category;
  items += '}';
  categories.emplace(category);
}

void ClassOperand::add(CharacterClass inner) {
  if (!inner.negated && inner.operands.size() == 1 && inner.operands[0].classes.empty()) {
    items += inner.operands[0].items;
    categories.merge(inner.operands[0].categories);
    onlyCategories &= inner.operands[0].onlyCategories;
    return;
  }
  classes.push_back(std::move(inner));
}

/// All characters outside the categories `inside`, as items.
static std::string complementOf(const std::set<std::string> &inside) {
  auto isInside = [&](std::string_view category) {
    return inside.contains(std::string(category)) ||
           inside.contains(std::string(category.substr(0, 1)));
  };
  std::string items;
  for (size_t i = 0; i < categories.size();) {
    size_t end = i; // of the categories with this first letter
    while (end < categories.size() && categories[end][0] == categories[i][0])
      ++end;
    if (std::none_of(categories.begin() + i, categories.begin() + end, isInside))
      items += "\\p{" + std::string(categories[i].substr(0, 1)) + "}";
    else
      for (size_t j = i; j < end; ++j)
        if (!isInside(categories[j]))
          items += "\\p{" + std::string(categories[j]) + "}";
    i = end;
  }
  return items;
}

static std::string spellOperand(const ClassOperand &operand) {
  if (operand.classes.empty())
    return "[" + operand.items + "]";
  if (operand.items.empty() && operand.classes.size() == 1)
    return operand.classes[0].spell();
  std::string text = "(?:";
  if (!operand.items.empty())
    text += "[" + operand.items + "]|";
  for (size_t i = 0; i < operand.classes.size(); ++i)
    text += (i ? "|" : "") + operand.classes[i].spell();
  return text + ")";
}

/// The items that `operand` excludes, where it is nothing but [^...] of plain items.
static std::optional<std::string_view> excludedItems(const ClassOperand &operand) {
  if (!operand.items.empty() || operand.classes.size() != 1)
    return std::nullopt;
  const CharacterClass &inner = operand.classes[0];
  if (!inner.negated || inner.operands.size() != 1 || !inner.operands[0].classes.empty())
    return std::nullopt;
  return inner.operands[0].items;
}

/// `[categories&&[^items]...]` as one negated class, where it has that form.
static std::optional<std::string> spellDifference(const std::vector<ClassOperand> &operands) {
  const ClassOperand &kept = operands[0];
  if (!kept.onlyCategories || kept.items.empty() || !kept.classes.empty())
    return std::nullopt;
  std::string items = complementOf(kept.categories);
  for (size_t i = 1; i < operands.size(); ++i) {
    std::optional<std::string_view> excluded = excludedItems(operands[i]);
    if (!excluded)
      return std::nullopt;
    items += *excluded;
  }
  return "[^" + items + "]";
}

std::string CharacterClass::spell() const {
  if (operands.size() == 1) {
    const ClassOperand &operand = operands[0];
    if (!negated)
      return spellOperand(operand);
    if (operand.classes.empty())
      return "[^" + operand.items + "]";
    return "(?:(?!" + spellOperand(operand) + ")(?s:.))";
  }
  std::string inside;
  if (std::optional<std::string> difference = spellDifference(operands)) {
    inside = *difference;
  } else {
    inside = "(?:";
    for (size_t i = 1; i < operands.size(); ++i)
      inside += "(?=" + spellOperand(operands[i]) + ")";
    inside += spellOperand(operands[0]) + ")";
  }
  return negated ? "(?:(?!" + inside + ")(?s:.))" : inside;
}
