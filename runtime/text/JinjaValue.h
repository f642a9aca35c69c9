// Values of the template language, and the bounds that one rendering keeps.

#ifndef MOEC_RUNTIME_TEXT_JINJAVALUE_H
#define MOEC_RUNTIME_TEXT_JINJAVALUE_H

#include "runtime/core/Result.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace moec::jinja {

struct Callable;
struct Loop;
struct Mapping;
struct Namespace;
struct Sequence;

/// A name, attribute or item that is not there. Its message is reported where it may not be used.
struct Undefined {
  std::shared_ptr<const std::string> message;
};
struct None {};
/// Text; `safe` text is what the filters `safe` and `escape` make: adding to it escapes.
struct Text {
  std::shared_ptr<const std::string> bytes;
  bool safe = false;
};

/// A value. Lists and mappings never change once made, so only namespaces can hold themselves.
class Value {
public:
  using Storage =
      std::variant<Undefined, None, bool, int64_t, double, Text, std::shared_ptr<Sequence>,
                   std::shared_ptr<const Mapping>, std::shared_ptr<Namespace>,
                   std::shared_ptr<Loop>, std::shared_ptr<const Callable>>;

  Value() = default; ///< undefined
  Value(None none) : storage(none) {}
  Value(Undefined undefined) : storage(std::move(undefined)) {}
  Value(bool value) : storage(value) {}
  Value(int64_t value) : storage(value) {}
  Value(double value) : storage(value) {}
  Value(std::string text, bool safe = false)
      : storage(Text{std::make_shared<const std::string>(std::move(text)), safe}) {}
  Value(std::string_view text) : Value(std::string(text)) {}
  Value(const char *text) : Value(std::string(text)) {}
  Value(Text text) : storage(std::move(text)) {}
  Value(std::shared_ptr<Sequence> value) : storage(std::move(value)) {}
  Value(std::shared_ptr<const Mapping> value) : storage(std::move(value)) {}
  Value(std::shared_ptr<Namespace> value) : storage(std::move(value)) {}
  Value(std::shared_ptr<Loop> value) : storage(std::move(value)) {}
  Value(std::shared_ptr<const Callable> value) : storage(std::move(value)) {}

  bool isUndefined() const { return std::holds_alternative<Undefined>(storage); }
  bool isNone() const { return std::holds_alternative<None>(storage); }
  bool isNumber() const;  ///< bool, integer or float
  bool isInteger() const; ///< bool or integer
  /// Null where the value is of another kind.
  const std::string *text() const;
  bool isSafe() const;
  Sequence *sequence() const;
  const Mapping *mapping() const;
  Namespace *names() const;
  Loop *loop() const;
  const Callable *callable() const;
  template <typename T> const T *get() const { return std::get_if<T>(&storage); }
  /// Of a bool or integer.
  int64_t integer() const;
  /// Of a number.
  double real() const;
  /// How deep lists and mappings nest in it.
  unsigned depth() const;

  const Storage &state() const { return storage; }

private:
  Storage storage;
};

/// What Python type a sequence stands for: they print, index and test differently.
enum class Flavour { List, Tuple, Range, Keys, Values, Items, Generator };

struct Sequence {
  Flavour flavour;
  std::vector<Value> items;
  unsigned depth;
  size_t taken = 0;          ///< items already consumed, of a generator
  std::string spelling = {}; ///< of a range that was called for by name
};

/// Entries in order of insertion; a key occurs once.
struct Mapping {
  std::vector<std::pair<Value, Value>> entries;
  std::unordered_map<std::string_view, size_t> texts; ///< entries whose key is text
  unsigned depth = 1;
};

/// The one kind of value that templates change.
struct Namespace {
  std::map<std::string, Value, std::less<>> attributes;
};

/// What bounds one rendering.
struct Limits {
  size_t steps = 10'000'000;       ///< nodes evaluated, items and comparisons visited
  size_t bytes = size_t{1} << 28;  ///< of all text and lists ever made
  size_t output = size_t{1} << 26; ///< of the rendered text
  unsigned nesting = 100;          ///< of lists and mappings in one another
  unsigned recursion = 1000;       ///< of expressions, statements and macro calls
};

/// One rendering: what it may still use, and the error that ended it. Everything that can fail
/// takes it, returns anything after a failure, and its callers look at `failed()`.
class Run {
public:
  explicit Run(const Limits &limits) : limits(limits) {}
  Run(const Run &) = delete;
  ~Run();

  bool failed() const { return !failure.ok(); }
  const Status &status() const { return failure; }
  /// Ends the rendering; the first failure stays. The message gets the line in front.
  Value fail(std::string message, Code code = Code::Model);
  /// Ends the rendering because an undefined value was used.
  Value failUndefined(const Value &undefined);
  /// Takes `count` steps; false once the rendering has failed.
  bool step(size_t count = 1);
  /// Takes `count` bytes; false once the rendering has failed.
  bool allocate(size_t count);

  Value text(std::string value, bool safe = false);
  Value list(std::vector<Value> items, Flavour flavour = Flavour::List);
  /// Later entries replace earlier ones of the same key; fails on keys that are not hashable.
  Value mapping(std::vector<std::pair<Value, Value>> entries);
  /// A namespace that lives as long as this rendering, whatever holds it.
  Value names(std::map<std::string, Value, std::less<>> attributes);
  Value fromJson(const nlohmann::ordered_json &json, unsigned depth = 0);

  uint32_t line = 0; ///< being evaluated
  const Limits limits;

private:
  Status failure;
  size_t steps = 0;
  size_t bytes = 0;
  std::vector<std::shared_ptr<Namespace>> namespaces;
};

/// Python's name for the value's type.
std::string_view typeName(const Value &value);
/// Whether a value may be a key: it holds nothing that Python could change.
bool isHashable(const Value &value);
/// The value of a key, or null; fails on keys that are not hashable.
const Value *find(Run &run, const Mapping &mapping, const Value &key);
const Value *find(const Mapping &mapping, std::string_view key);
/// Python's truth of a value.
bool isTrue(const Value &value);
/// Python's ==.
bool equal(Run &run, const Value &a, const Value &b);
/// Python's <; fails where the two cannot be ordered.
bool less(Run &run, const Value &a, const Value &b);
/// The items that iterating over the value gives; a generator is used up by it. Fails where the
/// value is not iterable.
std::vector<Value> iterate(Run &run, const Value &value);

} // namespace moec::jinja

#endif // MOEC_RUNTIME_TEXT_JINJAVALUE_H
