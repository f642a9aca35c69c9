// By hand, as the library for it brings exceptions and iostream: a fifth of a whole program.

#include "runtime/program/Flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace moec {

template <typename T> static std::optional<T> valueOf(std::string_view text) {
  T value{};
  std::from_chars_result read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size())
    return std::nullopt;
  return value;
}

std::optional<double> numberOf(std::string_view text) { return valueOf<double>(text); }
std::optional<int64_t> integerOf(std::string_view text) { return valueOf<int64_t>(text); }

TakeValue takePath(std::string &into) {
  return [&into](std::string_view text) {
    into = text;
    return std::string(text.empty() ? "an empty path names no file" : "");
  };
}

TakeValue takeText(std::optional<std::string> &into) {
  return [&into](std::string_view text) {
    into = std::string(text);
    return std::string();
  };
}

template <typename T>
static TakeValue takeBetween(const std::function<void(T)> &into, T least, T most,
                             const char *kind) {
  return [=](std::string_view text) {
    std::optional<T> value = valueOf<T>(text);
    // Written so that a value that is no number is refused too.
    if (!value || !(*value >= least && *value <= most))
      return fmt::format("'{}' is not {} from {} to {}", text, kind, least, most);
    into(*value);
    return std::string();
  };
}

TakeValue takeInteger(int64_t &into, int64_t least, int64_t most) {
  return takeBetween<int64_t>([&into](int64_t value) { into = value; }, least, most, "an integer");
}

TakeValue takeInteger(std::optional<int64_t> &into, int64_t least, int64_t most) {
  return takeBetween<int64_t>([&into](int64_t value) { into = value; }, least, most, "an integer");
}

TakeValue takeSeed(std::optional<uint64_t> &into) {
  return takeBetween<uint64_t>([&into](uint64_t value) { into = value; }, 0, UINT64_MAX,
                               "an integer");
}

TakeValue takeNumber(std::optional<double> &into, double least, double most) {
  return takeBetween<double>([&into](double value) { into = value; }, least, most, "a number");
}

TakeValue takeIntegers(std::vector<int64_t> &into, int64_t least, int64_t most) {
  TakeValue one = takeBetween<int64_t>([&into](int64_t value) { into.push_back(value); }, least,
                                       most, "an integer");
  return [one](std::string_view text) {
    for (;;) {
      size_t comma = std::min(text.find(','), text.size());
      if (std::string error = one(text.substr(0, comma)); !error.empty() || comma == text.size())
        return error;
      text.remove_prefix(comma + 1);
    }
  };
}

void Flags::group(std::string_view newTitle) { title = newTitle; }

void Flags::flag(std::string_view name, bool &into, std::string_view about) {
  option(name, "", nullptr, about);
  flags.back().set = &into;
}

void Flags::option(std::string_view name, std::string_view value, TakeValue take,
                   std::string_view about, char letter) {
  Flag flag;
  flag.name = name;
  flag.value = value;
  flag.about = about;
  flag.title = title;
  flag.take = std::move(take);
  flag.letter = letter;
  flags.push_back(std::move(flag));
}

void Flags::positional(std::string_view name, TakeValue take, std::string_view about) {
  positionalName = name;
  positionalAbout = about;
  takeText = std::move(take);
}

void Flags::required() { flags.back().isRequired = true; }

/// The flag that `argument` names; and its value, where it holds one.
Flags::Flag *Flags::find(std::string_view argument, std::optional<std::string> &value) {
  bool isLetter = !argument.starts_with("--");
  size_t end = isLetter ? 2 : std::min(argument.find('='), argument.size());
  for (Flag &flag : flags) {
    if (isLetter ? flag.letter != argument[1] : flag.name != argument.substr(0, end))
      continue;
    if (end < argument.size()) // -n64, -n=64, --name=64
      value = std::string(argument.substr(end + (argument[end] == '=')));
    return &flag;
  }
  return nullptr;
}

Status Flags::takePositional(const std::string &argument) {
  if (!takeText || positionalGiven)
    return {Code::Usage, fmt::format("'{}' is one argument too many", argument)};
  positionalGiven = true;
  std::string error = takeText(argument);
  return error.empty() ? Status{} : Status{Code::Usage, error};
}

Status Flags::parse(const std::vector<std::string> &arguments) {
  bool named = true;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string &argument = arguments[i];
    if (!named || argument.size() < 2 || argument[0] != '-') {
      if (Status status = takePositional(argument); !status.ok())
        return status;
      continue;
    }
    if (argument == "--") {
      named = false;
      continue;
    }
    if (argument == "--help" || argument == "-h") {
      help = true;
      return {};
    }
    std::optional<std::string> value;
    Flag *flag = find(argument, value);
    if (!flag)
      return {Code::Usage, fmt::format("no option is called '{}'", argument)};
    flag->given = true;
    if (flag->set) {
      if (value)
        return {Code::Usage, fmt::format("{} takes no value, '{}' given", flag->name, *value)};
      *flag->set = true;
      continue;
    }
    if (!value) {
      if (++i == arguments.size())
        return {Code::Usage, fmt::format("{} needs a value: {}", flag->name, flag->value)};
      value = arguments[i];
    }
    if (std::string error = flag->take(*value); !error.empty())
      return {Code::Usage, fmt::format("{}: {}", flag->name, error)};
  }
  for (const Flag &flag : flags)
    if (flag.isRequired && !flag.given)
      return {Code::Usage, fmt::format("{} {} is missing", flag.name, flag.value)};
  return {};
}

std::string Flags::text(std::string_view program, std::string_view about) const {
  std::string text = fmt::format("{} {}\n\nusage: {} [options]{}\n", program, about, program,
                                 positionalName.empty() ? "" : " [" + positionalName + "]");
  auto line = [&](const std::string &name, std::string_view what) {
    // A long name has a line of its own.
    std::string wrap = name.size() < 26 ? "" : "\n" + std::string(28, ' ');
    text += fmt::format("  {:<26}{}{}\n", name, wrap, what);
  };
  if (!positionalName.empty()) {
    text += "\n";
    line(positionalName, positionalAbout);
  }
  text += "\noptions:\n";
  line("-h, --help", "this text");
  std::string shown;
  for (const Flag &flag : flags) {
    if (flag.title != shown)
      text += fmt::format("\n{}:\n", shown = flag.title);
    std::string name = flag.letter ? fmt::format("-{}, {}", flag.letter, flag.name) : flag.name;
    line(flag.value.empty() ? name : name + " " + flag.value, flag.about);
  }
  return text;
}

} // namespace moec
