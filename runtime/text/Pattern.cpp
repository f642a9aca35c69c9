// PCRE2, by its just-in-time compiler where the system lets it have executable memory.

#include "runtime/text/Pattern.h"

#include "runtime/text/Utf8.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <fmt/format.h>

using namespace moec;

namespace {

constexpr uint32_t matchLimit = 200'000'000;    // steps of one search
constexpr uint32_t heapLimit = 256 * 1024;      // KiB that the interpreter may remember
constexpr size_t largeStack = size_t{64} << 20; // of compiled code, for lines without an end
constexpr uint32_t maxNesting = 100;            // parentheses

template <auto Free> struct Freed {
  template <typename T> void operator()(T *object) const { Free(object); }
};
using MatchData = std::unique_ptr<pcre2_match_data, Freed<pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Freed<pcre2_match_context_free>>;
using CompileContext = std::unique_ptr<pcre2_compile_context, Freed<pcre2_compile_context_free>>;
using JitStack = std::unique_ptr<pcre2_jit_stack, Freed<pcre2_jit_stack_free>>;

} // namespace

struct Pattern::Compiled {
  pcre2_code *code = nullptr;

  Compiled() = default;
  Compiled(const Compiled &) = delete;
  ~Compiled() { pcre2_code_free(code); }
};

Pattern::Pattern() = default;
Pattern::Pattern(Pattern &&) noexcept = default;
Pattern &Pattern::operator=(Pattern &&) noexcept = default;
Pattern::~Pattern() = default;

static std::string describe(int error) {
  PCRE2_UCHAR buffer[160];
  if (pcre2_get_error_message(error, buffer, sizeof(buffer)) < 0)
    return fmt::format("error {}", error);
  return reinterpret_cast<const char *>(buffer);
}

Result<Pattern> Pattern::compileRegex(std::string_view regex) {
  CompileContext context(pcre2_compile_context_create(nullptr));
  if (!context)
    return Status{Code::Resource, "out of memory for a pattern"};
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(context.get(), maxNesting);
  int error = 0;
  PCRE2_SIZE offset = 0;
  Pattern pattern;
  pattern.compiled = std::make_unique<Compiled>();
  pattern.compiled->code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(regex.data()), regex.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                    &offset, context.get());
  if (!pattern.compiled->code)
    return Status{Code::Unsupported, fmt::format("regular expression `{}`: {} at byte {}", regex,
                                                 describe(error), offset)};
  // Without executable memory the interpreter gives the same matches, more slowly.
  (void)pcre2_jit_compile(pattern.compiled->code, PCRE2_JIT_COMPLETE);
  return pattern;
}

Pattern Pattern::literal(std::string_view text) {
  Pattern pattern;
  pattern.plain = text;
  return pattern;
}

static std::vector<Span> findPlain(std::string_view text, std::string_view plain) {
  std::vector<Span> spans;
  if (plain.empty())
    return spans;
  for (size_t at = text.find(plain); at != text.npos; at = text.find(plain, at + plain.size()))
    spans.push_back({at, at + plain.size()});
  return spans;
}

namespace {

/// One search through one text: the memory it needs, and the way out when compiled code wants more.
class Search {
public:
  explicit Search(const pcre2_code *code)
      : code(code), data(pcre2_match_data_create(1, nullptr)),
        context(pcre2_match_context_create(nullptr)) {
    if (!context)
      return;
    pcre2_set_match_limit(context.get(), matchLimit);
    pcre2_set_heap_limit(context.get(), heapLimit);
  }

  /// As pcre2_match.
  int match(std::string_view text, size_t start, uint32_t options) {
    if (!data || !context)
      return PCRE2_ERROR_NOMEMORY;
    // The text was checked once; checking it again at each match would be quadratic.
    options |= PCRE2_NO_UTF_CHECK | (interpret ? PCRE2_NO_JIT : 0);
    int result = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), start,
                             options, data.get(), context.get());
    if (result != PCRE2_ERROR_JIT_STACKLIMIT)
      return result;
    if (!stack) {
      stack.reset(pcre2_jit_stack_create(size_t{1} << 16, largeStack, nullptr));
      pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
      interpret = !stack;
    } else {
      interpret = true;
    }
    return match(text, start, options);
  }

  Span span() const {
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(data.get());
    return {ends[0], ends[1]};
  }

private:
  const pcre2_code *code;
  MatchData data;
  MatchContext context;
  JitStack stack;
  bool interpret = false;
};

} // namespace

Result<std::vector<Span>> Pattern::find(std::string_view text) const {
  if (!compiled)
    return findPlain(text, plain);
  std::vector<Span> spans;
  Search search(compiled->code);
  bool any = false;
  for (size_t start = 0; start <= text.size();) {
    int result = search.match(text, start, 0);
    if (result == PCRE2_ERROR_NOMATCH)
      break;
    if (result < 0)
      return Status{Code::Usage,
                    fmt::format("a text of {} bytes is too hard for the tokenizer's pattern: {}",
                                text.size(), describe(result))};
    Span span = search.span();
    bool empty = span.begin == span.end;
    if (!(empty && any && span.begin == spans.back().end)) {
      spans.push_back(span);
      any = true;
    }
    start = span.end;
    if (empty) {
      if (start == text.size())
        break;
      start += utf8::step(text.substr(start));
    }
  }
  return spans;
}
