// A character class of a regular expression, with unions, intersections and complements of classes
// inside.

#ifndef MOEC_FRONTENDS_CHECKPOINT_CHARACTERCLASS_H
#define MOEC_FRONTENDS_CHECKPOINT_CHARACTERCLASS_H

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// The union of what stands between two `&&`, or between one and a bracket.
struct ClassOperand;

/// `[...]` or `[^...]`: the intersection of its operands, or what is not in it.
struct CharacterClass {
  bool negated = false;
  std::vector<ClassOperand> operands;

  /// PCRE2 that matches exactly one character of the class. PCRE2 knows no operations on classes,
  /// so they become look-aheads, except where one plain class says the same.
  std::string spell() const;
};

struct ClassOperand {
  std::string items;                ///< as inside the brackets of a PCRE2 class
  std::set<std::string> categories; ///< what `items` are, where they are general categories alone
  bool onlyCategories = true;
  std::vector<CharacterClass> classes; ///< those inside

  /// Adds items that PCRE2 takes inside a class.
  void add(std::string_view text);
  /// Adds a general category of one or two letters, such as L or Lu.
  void addCategory(std::string_view category);
  /// Adds a class inside; a plain one melts into the items.
  void add(CharacterClass inner);
};

/// What \p{name} means to Oniguruma, as items of a PCRE2 class.
struct UnicodeProperty {
  std::string items;
  std::string category; ///< of one or two letters, where it is a general category
  bool dependsOnCase;   ///< ignoring case changes its meaning
};
/// None where the name is not known to mean the same to both.
std::optional<UnicodeProperty> findProperty(std::string_view name);

/// Items for \s, \S and \w: White_Space, its complement, and what a word is made of.
std::string_view spaceItems();
std::string_view nonSpaceItems();
std::string_view wordItems();

} // namespace moec

#endif // MOEC_FRONTENDS_CHECKPOINT_CHARACTERCLASS_H
