// Options of a command: declared once, they are parsed, checked and explained.

#ifndef MOEC_RUNTIME_PROGRAM_FLAGS_H
#define MOEC_RUNTIME_PROGRAM_FLAGS_H

#include "runtime/core/Result.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// Takes a value; what is wrong with it, or nothing.
using TakeValue = std::function<std::string(std::string_view)>;

TakeValue takePath(std::string &into);
TakeValue takeText(std::optional<std::string> &into);
TakeValue takeInteger(int64_t &into, int64_t least, int64_t most);
TakeValue takeInteger(std::optional<int64_t> &into, int64_t least, int64_t most);
TakeValue takeSeed(std::optional<uint64_t> &into);
/// Several, with commas between them.
TakeValue takeIntegers(std::vector<int64_t> &into, int64_t least, int64_t most);
TakeValue takeNumber(std::optional<double> &into, double least, double most);

/// The number that `text` is as a whole.
std::optional<double> numberOf(std::string_view text);
std::optional<int64_t> integerOf(std::string_view text);

/// The options of one command.
class Flags {
public:
  /// Headline of the options that follow, in help.
  void group(std::string_view title);
  /// `--name`, without a value.
  void flag(std::string_view name, bool &into, std::string_view about);
  /// `--name VALUE` or `--name=VALUE`; `letter` may stand for it (0: none). The last of several
  /// counts, or each, as `take` has it.
  void option(std::string_view name, std::string_view value, TakeValue take, std::string_view about,
              char letter = 0);
  /// What stands without a name; at most one.
  void positional(std::string_view name, TakeValue take, std::string_view about);
  /// The option declared last must be given.
  void required();

  /// Takes `arguments` apart. Code::Usage names what is wrong. What follows `--` has no names.
  Status parse(const std::vector<std::string> &arguments);
  /// Whether --help or -h was among them.
  bool wantsHelp() const { return help; }
  /// One line for each option.
  std::string text(std::string_view program, std::string_view about) const;

private:
  struct Flag {
    std::string name, value, about, title;
    TakeValue take;
    bool *set = nullptr;
    char letter = 0;
    bool isRequired = false, given = false;
  };

  Flag *find(std::string_view argument, std::optional<std::string> &value);
  Status takePositional(const std::string &argument);

  std::vector<Flag> flags;
  std::string title;
  std::string positionalName, positionalAbout;
  TakeValue takeText;
  bool positionalGiven = false;
  bool help = false;
};

} // namespace moec

#endif // MOEC_RUNTIME_PROGRAM_FLAGS_H
