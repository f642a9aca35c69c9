// Tests of chat templates: the golden cases, and each rule of the language once.

#include "runtime/text/ChatTemplate.h"

#include "runtime/core/Json.h"

#include <cstdio>
#include <gtest/gtest.h>
#include <string>

using namespace moec;
using Json = nlohmann::ordered_json;

namespace {

std::string readFile(const std::string &path) {
  std::string text;
  std::FILE *file = std::fopen(path.c_str(), "rb");
  EXPECT_NE(file, nullptr) << path;
  char buffer[4096];
  while (size_t count = file ? std::fread(buffer, 1, sizeof buffer, file) : 0)
    text.append(buffer, count);
  if (file)
    std::fclose(file);
  return text;
}

/// A time written as 2026-11-22T10:30:00.
std::tm timeOf(const std::string &text) {
  std::tm time{};
  EXPECT_NE(strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &time), nullptr) << text;
  return time;
}

/// What the template makes of the variables (a JSON object), or its failure after "error: ".
std::string render(std::string_view source, std::string_view variables = "{}") {
  Result<ChatTemplate> parsed = ChatTemplate::parse(source);
  if (!parsed.ok())
    return "error: " + parsed.status().message;
  Json given = Json::parse(variables, nullptr, false);
  EXPECT_TRUE(given.is_object()) << variables;
  Result<std::string> text =
      parsed->render(given.contains("messages") ? given["messages"] : Json::array(), given,
                     timeOf("2026-11-22T10:30:00"));
  return text.ok() ? *text : "error: " + text.status().message;
}

std::string value(std::string_view expression, std::string_view variables = "{}") {
  return render("{{ " + std::string(expression) + " }}", variables);
}

Code codeOf(std::string_view source) {
  Result<ChatTemplate> parsed = ChatTemplate::parse(source);
  if (!parsed.ok())
    return parsed.status().code;
  Result<std::string> text = parsed->render(Json::array(), Json::object(), std::tm{});
  return text.ok() ? Code::Ok : text.status().code;
}

} // namespace

TEST(ChatTemplate, GoldenCases) {
  std::string folder = MOEC_TEST_DIR "/golden/chat/";
  Json cases = Json::parse(readFile(folder + "cases.json"), nullptr, false);
  ASSERT_TRUE(cases.is_array());
  ASSERT_GE(cases.size(), 20u);
  for (const Json &row : cases) {
    std::string name = row["template"].get<std::string>();
    SCOPED_TRACE(name + " " + row["variables"].dump());
    Result<ChatTemplate> parsed = ChatTemplate::parse(readFile(folder + name));
    ASSERT_TRUE(parsed.ok()) << parsed.status().message;
    const Json &variables = row["variables"];
    Result<std::string> text =
        parsed->render(variables["messages"], variables, timeOf(row["now"].get<std::string>()));
    if (row.contains("error")) {
      ASSERT_FALSE(text.ok());
      EXPECT_EQ(text.status().code, Code::Usage);
      EXPECT_NE(text.status().message.find(row["error"].get<std::string>()), std::string::npos)
          << text.status().message;
    } else {
      ASSERT_TRUE(text.ok()) << text.status().message;
      EXPECT_EQ(*text, row["rendered"].get<std::string>());
    }
  }
}

TEST(ChatTemplate, IsUtf8) {
  EXPECT_EQ(render("a\nb\xff"),
            "error: line 2: the template is not UTF-8: byte 3 belongs to no character");
  EXPECT_EQ(codeOf("a\nb\xff"), Code::Model);
}

TEST(ChatTemplate, TrimsTheNewlineAfterATagAndTheSpaceBeforeIt) {
  EXPECT_EQ(render("a\n  {% if true %}\n b\n\t{% endif %}\nc"), "a\n b\nc");
  EXPECT_EQ(render("a {% if true %} b{% endif %}"), "a  b");
  EXPECT_EQ(render("  {{ 1 }}\n"), "  1");
}

TEST(ChatTemplate, ObeysSignsAtTags) {
  EXPECT_EQ(render("a \n {{- 1 -}} \n b"), "a1b");
  EXPECT_EQ(render("  {%+ if true %}x{% endif %}"), "  x");
  EXPECT_EQ(render("{% if true +%}\nx{% endif %}"), "\nx");
}

TEST(ChatTemplate, DropsCommentsAndOneLastNewline) {
  EXPECT_EQ(render("a{# {{ 1 }} #}b\n\n"), "ab\n");
  EXPECT_EQ(render("a {#- x -#} b"), "ab");
  EXPECT_EQ(render("a\r\nb\rc"), "a\nb\nc");
}

TEST(ChatTemplate, CopiesRawBlocks) {
  EXPECT_EQ(render("{% raw %}{{ x }}{% if %}{% endraw %}"), "{{ x }}{% if %}");
  EXPECT_EQ(render("a {%- raw -%} {{ x }} {%- endraw -%} b"), "a{{ x }}b");
}

TEST(ChatTemplate, LoopsKnowTheirPlace) {
  EXPECT_EQ(render("{% for x in [7, 8, 9] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}"
                   "{{ loop.revindex0 }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}"
                   "{{ 'F' if loop.first }}{{ 'L' if loop.last }} {% endfor %}"),
            "103238F 2121379 321038L ");
  EXPECT_EQ(render("{% for x in [1, 1, 2] %}{{ loop.changed(x) }} {% endfor %}"),
            "True False True ");
}

TEST(ChatTemplate, LoopsHaveConditionsAnElseAndJumps) {
  EXPECT_EQ(render("{% for x in range(6) if x is odd %}{{ loop.index }}{{ x }} {% endfor %}"),
            "11 23 35 ");
  EXPECT_EQ(render("{% for x in [] %}x{% else %}none{% endfor %}"), "none");
  EXPECT_EQ(render("{% for x in range(9) %}{% if x == 2 %}{% continue %}{% endif %}"
                   "{% if x == 4 %}{% break %}{% endif %}{{ x }}{% endfor %}"),
            "013");
  EXPECT_EQ(render("{% for a, (b, c) in [[1, [2, 3]]] %}{{ a + b + c }}{% endfor %}"), "6");
}

TEST(ChatTemplate, LoopsRecurse) {
  EXPECT_EQ(render("{% for n in t recursive %}{{ n.v }}{{ loop.depth }}"
                   "{% if n.c %}({{ loop(n.c) }}){% endif %}{% endfor %}",
                   R"({"t": [{"v": "a", "c": [{"v": "b"}, {"v": "c"}]}, {"v": "d"}]})"),
            "a1(b2c2)d1");
}

TEST(ChatTemplate, AssignmentsStayInTheirScope) {
  EXPECT_EQ(render("{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = 9 %}{% endfor %}{{ x }}"),
            "111");
  EXPECT_EQ(render("{% if true %}{% set x = 1 %}{% endif %}{{ x }}"), "1");
  EXPECT_EQ(render("{% set n = namespace(x=1) %}{% for i in [1, 2] %}{% set n.x = n.x + i %}"
                   "{% endfor %}{{ n.x }}"),
            "4");
  EXPECT_EQ(render("{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}"), "3");
  EXPECT_EQ(render("{% set x | upper | trim %} a{{ 1 }} {% endset %}{{ x }}"), "A1");
  EXPECT_EQ(render("{% filter upper %}a{{ 'b' }}{% endfilter %}"), "AB");
}

TEST(ChatTemplate, MacrosBindArguments) {
  EXPECT_EQ(render("{% macro m(a, b='y', c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}"
                   "{{ m(1) }} {{ m(1, c=2) }} {{ m(*[1, 2, 3]) }} {{ m(**{'a': 5}) }}"),
            "1y1 1y2 123 5y5");
  EXPECT_EQ(render("{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}"
                   "{{ m(1, 2, k=3) }}"),
            "1(2,){'k': 3}");
  EXPECT_EQ(render("{% macro f(n) %}{{ n * f(n - 1) | int if n > 1 else 1 }}{% endmacro %}"
                   "{{ f(5) }}"),
            "120");
  EXPECT_EQ(render("{% macro m(a) %}{% endmacro %}\n{{ m(1, 2) }}"),
            "error: chat template, line 2: macro `m` takes 1 arguments, found 2");
}

TEST(ChatTemplate, OperatorsBindAsInJinja) {
  EXPECT_EQ(value("1 + 2 * 3 - 4 // 3 % 2 ** 2"), "6");
  EXPECT_EQ(value("-2 ** 2"), "4");                  // unlike Python's
  EXPECT_EQ(value("'a' ~ 1 + 2 ~ none"), "a12None"); // ~ binds first
  EXPECT_EQ(value("1 < 2 < 3, 1 < 3 < 2, not 1 == 2"), "(True, False, True)");
  EXPECT_EQ(value("1 in [1] and 'b' not in 'abc' or 'else'"), "else");
  EXPECT_EQ(value("-7 // 2, -7 % 3, 7 / 2, -7.5 // 2, 2 ** -1"), "(-4, 2, 3.5, -4.0, 0.5)");
  EXPECT_EQ(value("'ab' * 2, [1] + [2], 'x' 'y'"), "('abab', [1, 2], 'xy')");
}

TEST(ChatTemplate, SlicesAsPythonDoes) {
  EXPECT_EQ(value("'größe'[::-1], 'abc'[-2:], 'abc'[5:], 'abcd'[3:0:-2]"),
            "('eßörg', 'bc', '', 'db')");
  EXPECT_EQ(value("[1, 2, 3][:-1], (1, 2)[1:], [1, 2, 3][::2]"), "([1, 2], (2,), [1, 3])");
  EXPECT_EQ(value("[1, 2][-1], 'é'[0], [1][5] is undefined"), "(2, 'é', True)");
}

TEST(ChatTemplate, PrintsAsPythonDoes) {
  EXPECT_EQ(value("[1.0, 1e16, 1e-5, 0.1, 123456789.5, none, true, \"it's\", 'a\\n\"']"),
            R"([1.0, 1e+16, 1e-05, 0.1, 123456789.5, None, True, "it's", 'a\n"'])");
  EXPECT_EQ(value("{'a': (1,), 2: {}}, 'ü\\x07'"), R"(({'a': (1,), 2: {}}, 'ü\x07'))");
  EXPECT_EQ(value("x", R"({"x": [1e100, -0.0, 5e-324, 1.5]})"), "[1e+100, -0.0, 5e-324, 1.5]");
}

TEST(ChatTemplate, WritesJsonAsPythonDoes) {
  std::string_view given = R"({"x": {"b": "<é\"\u0001>", "a": [1, 2.50, null, true, {}, []]}})";
  EXPECT_EQ(value("x | tojson", given),
            R"({"b": "<é\"\u0001>", "a": [1, 2.5, null, true, {}, []]})");
  EXPECT_EQ(value("x | tojson(sort_keys=true, separators=(',', ':'), ensure_ascii=true)", given),
            R"({"a":[1,2.5,null,true,{},[]],"b":"<\u00e9\"\u0001>"})");
  EXPECT_EQ(value("{'a': [1, []]} | tojson(indent=2)"), "{\n  \"a\": [\n    1,\n    []\n  ]\n}");
}

TEST(ChatTemplate, UndefinedPrintsAsNothingAndHasNoAttributes) {
  EXPECT_EQ(value("x"), "");
  EXPECT_EQ(value("x is defined, x | length, x | default('d'), x == y, x in [1]"),
            "(False, 0, 'd', True, False)");
  EXPECT_EQ(value("x.y"), "error: chat template, line 1: `x` is undefined");
  EXPECT_EQ(value("x | attr('y')"), "error: chat template, line 1: `x` is undefined");
  EXPECT_EQ(value("{}.a.b"), "error: chat template, line 1: a dict has no `a`");
  EXPECT_EQ(value("1 + x"), "error: chat template, line 1: `x` is undefined");
  EXPECT_EQ(render("{% for i in x %}a{% endfor %}"), "");
}

TEST(ChatTemplate, AbsentInputsAreNoneOrFalse) {
  EXPECT_EQ(value("tools, documents, add_generation_prompt, bos_token is defined"),
            "(None, None, False, False)");
}

TEST(ChatTemplate, TestsLookAtKinds) {
  EXPECT_EQ(value("1 is integer, true is integer, 1.0 is float, true is number, true is boolean"),
            "(True, False, True, True, True)");
  EXPECT_EQ(value("'a' is sequence, {} is mapping, {} is iterable, none is none, 4 is even"),
            "(True, True, True, True, True)");
  EXPECT_EQ(value("1 is sameas true, 1 is eq 1, 4 is divisibleby 2, 3 is in [3], 'A' is upper"),
            "(False, True, True, True, True)");
}

TEST(ChatTemplate, FiltersOnSequences) {
  EXPECT_EQ(value("[3, 1, 2] | sort, ['b', 'A'] | sort, [1, 2] | sort(reverse=true)"),
            "([1, 2, 3], ['A', 'b'], [2, 1])");
  EXPECT_EQ(value("[1, 1, 2] | unique | list, [1, 2, 3] | batch(2) | list, [1, 2] | sum"),
            "([1, 2], [[1, 2], [3]], 3)");
  EXPECT_EQ(value("m | selectattr('r', 'equalto', 'u') | map(attribute='c') | join('+')",
                  R"({"m": [{"r": "u", "c": 1}, {"r": "a", "c": 2}, {"r": "u", "c": 3}]})"),
            "1+3");
  EXPECT_EQ(value("m | rejectattr('r') | list | length, ['a', 'b'] | map('upper') | list",
                  R"({"m": [{"r": 1}, {}]})"),
            "(1, ['A', 'B'])");
  EXPECT_EQ(value("{'b': 1, 'a': 2} | dictsort, {'a': 1} | items | list, [2, 5] | max"),
            "([('a', 2), ('b', 1)], [('a', 1)], 5)");
  EXPECT_EQ(value("m | groupby('r') | map(attribute=0) | list",
                  R"({"m": [{"r": 2}, {"r": 1}, {"r": 2}]})"),
            "[1, 2]");
}

TEST(ChatTemplate, GeneratorsAreTrueAndUsedUpOnce) {
  EXPECT_EQ(render("{% set g = [1, 2] | select('gt', 5) %}{{ 'yes' if g }}{{ g | list }}"),
            "yes[]");
  EXPECT_EQ(render("{% set g = [1, 2] | select %}{{ g | list }}{{ g | list }}"), "[1, 2][]");
}

TEST(ChatTemplate, FiltersOnNumbersAndText) {
  EXPECT_EQ(
      value("2.5 | round, 3.14159 | round(2), '42.9' | int, 'x' | int(7), '0x1f' | int(0, 16)"),
      "(2.0, 3.14, 42, 7, 31)");
  EXPECT_EQ(value("123.456 | round(1), 1.005 | round(2), 2.5 | round(0, 'ceil')"),
            "(123.5, 1.0, 3.0)");
  EXPECT_EQ(value("'3' | float, -3 | abs, 5 | string, 'a b' | title, 'abc' | first"),
            "(3.0, 3, '5', 'A B', 'a')");
  EXPECT_EQ(value("'a\\nb\\n\\nc' | indent(2)"), "a\n  b\n\n  c");
  EXPECT_EQ(value("'%s=%05.1f %d%%' | format('x', 2.25, 7)"), "x=002.2 7%");
  EXPECT_EQ(value("'{} {0}'.format(1)"), "1 1");
}

TEST(ChatTemplate, SafeTextEscapesWhatIsAddedToIt) {
  EXPECT_EQ(value("('<' | safe) + '<', '<' ~ ('<' | safe), '<' | e"),
            "(Markup('<&lt;'), '<<', Markup('&lt;'))");
}

TEST(ChatTemplate, NoneHasNothingToSelect) {
  EXPECT_EQ(value("(tools | selectattr('x') | list, tools | map('upper') | list)"), "([], [])");
}

TEST(ChatTemplate, LoopsThatNeverFinishARoundTakeTheElse) {
  EXPECT_EQ(render("{% for x in [1, 2] %}{% break %}{% else %}e{% endfor %}"), "e");
  EXPECT_EQ(render("{% for x in [1, 2] %}{% if x == 2 %}{% break %}{% endif %}{% else %}e"
                   "{% endfor %}"),
            "");
  EXPECT_EQ(render("{% for x in [1, 2] %}{{ x }}{% continue %}{% else %}e{% endfor %}"), "12e");
}

TEST(ChatTemplate, MethodsOfTextAndMappings) {
  EXPECT_EQ(value("'a,b,c'.split(',', 1), ' a  b '.split(), 'a b c'.rsplit(' ', 1)"),
            "(['a', 'b,c'], ['a', 'b'], ['a b', 'c'])");
  EXPECT_EQ(value("' a b '.split(none, 1), ' a  b '.rsplit(none, 1)"),
            "(['a', 'b '], [' a', 'b'])");
  EXPECT_EQ(value("'xxaxx'.strip('x'), ' a '.lstrip(), 'aab'.replace('a', 'c', 1), 'é'.upper()"),
            "('a', 'a ', 'cab', 'É')");
  EXPECT_EQ(value("'abc'.startswith(('x', 'ab')), 'abc'.find('c'), 'a\\nb'.splitlines()"),
            "(True, 2, ['a', 'b'])");
  EXPECT_EQ(value("{'a': 1}.get('b', 2), {'a': 1}.keys() | list, {'items': 1}['items']"),
            "(2, ['a'], 1)");
  EXPECT_EQ(value("'7'.zfill(3), 'a'.center(4, '*'), 'a-b'.partition('-'), 'aXb'.swapcase()"),
            "('007', '*a**', ('a', '-', 'b'), 'AxB')");
  EXPECT_EQ(value("'a'.center(2, '\xf0\x9f\x99\x82'), 'ab'.ljust(-9223372036854775807 - 1)"),
            "('a\xf0\x9f\x99\x82', 'ab')");
}

TEST(ChatTemplate, NothingCanBeChangedInPlace) {
  EXPECT_EQ(render("{% set x = [1] %}{{ x.append(2) }}"),
            "error: chat template, line 1: templates may not change a list with `append`");
  EXPECT_EQ(value("{}.update({})"),
            "error: chat template, line 1: templates may not change a dict with `update`");
}

TEST(ChatTemplate, TheClockIsGiven) {
  EXPECT_EQ(value("strftime_now('%d %b %Y %H:%M')"), "22 Nov 2026 10:30");
}

TEST(ChatTemplate, ErrorsNameTheirLine) {
  EXPECT_EQ(render("a\n{{ 1 +\n }}"), "error: chat template, line 3: wanted an expression, "
                                      "found `}}`");
  EXPECT_EQ(render("\n\n{% if x %}"),
            "error: chat template, line 3: `if` of line 3 is never closed by `endif`");
  EXPECT_EQ(render("{{ (1] }}"), "error: chat template, line 1: unexpected `]`, wanted `)`");
  EXPECT_EQ(render("\n{{ 1 "), "error: chat template, line 2: the tag opened on line 2 is never "
                               "closed by `}}`");
  EXPECT_EQ(render("{% break %}"),
            "error: chat template, line 1: `break` stands outside of a loop");
  EXPECT_EQ(render("a\nb\n{{ raise_exception('no ' ~ 1) }}"), "error: chat template, line 3: no 1");
}

TEST(ChatTemplate, FailuresHaveTheirCodes) {
  EXPECT_EQ(codeOf("{{ raise_exception('x') }}"), Code::Usage);
  EXPECT_EQ(codeOf("{{ 1 / 0 }}"), Code::Model);
  EXPECT_EQ(codeOf("{% nonsense %}"), Code::Model);
  EXPECT_EQ(codeOf("{% include 'x' %}"), Code::Unsupported);
  EXPECT_EQ(codeOf("{{ 1 | nonsense }}"), Code::Unsupported);
  EXPECT_EQ(codeOf("{% if false %}{{ 1 | nonsense }}{% endif %}"), Code::Ok);
}

TEST(ChatTemplate, EverythingIsBounded) {
  for (std::string source : {
           "{{ " + std::string(100'000, '(') + " }}",
           "{{ " + std::string(100'000, '-') + "1 }}",
           "{{ 1" +
               [] {
                 std::string sum;
                 for (int i = 0; i < 10'000; ++i)
                   sum += "+1";
                 return sum;
               }() +
               " }}",
           std::string("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
           std::string("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}"
                       "{% endfor %}"),
           std::string("{% set n = namespace(x='ab') %}{% for i in range(99) %}"
                       "{% set n.x = n.x ~ n.x %}{% endfor %}"),
           std::string("{% set n = namespace(x=[]) %}{% for i in range(9999) %}"
                       "{% set n.x = [n.x, n.x] %}{% endfor %}"),
           std::string("{% set n = namespace() %}{% set n.x = n %}{{ n }}"),
           std::string("{{ 'a' * 9999999999 }}"),
           std::string("{{ 9 ** 99 }}"),
           std::string("{{ range(1000000) }}"),
           std::string("{{ '%99999999s' % 1 }}"),
           // Times the four bytes of the fill, this is 2 to the 64th and a little more.
           std::string("{{ 'a'.rjust(4611686018427387906, '\xf0\x9f\x99\x82') }}"),
           std::string("{{ ''.zfill(9223372036854775807) }}"),
       })
    EXPECT_EQ(render(source).substr(0, 6), "error:") << source.substr(0, 80);
}
