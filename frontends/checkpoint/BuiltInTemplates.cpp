// DeepSeek V3.2: turns as in V3, and tools in a markup of its own.

#include "frontends/checkpoint/BuiltInTemplates.h"

using namespace moec;

// `thinking` (or `enable_thinking`) asks for reasoning, of which only that behind the last question
// is kept. Arguments of tool calls are objects. The explanation of tools is our own; the markup in
// it is the model's.
static constexpr std::string_view deepseekV32 = R"JINJA(
{%- set bos = '<｜begin▁of▁sentence｜>' -%}
{%- set eos = '<｜end▁of▁sentence｜>' -%}
{%- set thinks = thinking | default(enable_thinking | default(false)) -%}
{%- set opening = '<think>' if thinks else '</think>' -%}

{%- macro textOf(content) -%}
  {%- if content is string -%}
    {{- content -}}
  {%- elif content is iterable and content is not mapping -%}
    {%- for part in content -%}
      {%- if part.type != 'text' -%}
        {{- raise_exception('a part of type ' ~ part.type ~ ', where this model reads text alone') -}}
      {%- endif -%}
      {{- part.text -}}
    {%- endfor -%}
  {%- endif -%}
{%- endmacro -%}

{%- macro explain(tools) -%}
  {{- '## Tools\n\nThe functions listed below can be called. A reply that calls some of them ends with one block of this form:\n\n' -}}
  {{- '<｜DSML｜function_calls>\n<｜DSML｜invoke name="FUNCTION">\n' -}}
  {{- '<｜DSML｜parameter name="PARAMETER" string="true|false">VALUE</｜DSML｜parameter>\n...\n' -}}
  {{- '</｜DSML｜invoke>\n...\n</｜DSML｜function_calls>\n\n' -}}
  {{- 'A parameter that is a string has string="true" and its text as it stands, without quotes or escapes; any other has string="false" and its value as JSON.\n\n' -}}
  {{- 'The results come back as:\n\n<function_results>\n<result>...</result>\n...\n</function_results>\n\n' -}}
  {%- if thinks -%}
    {{- 'Think about them between <think> and </think> before going on.\n\n' -}}
  {%- endif -%}
  {{- 'The functions, each with its parameters as JSON Schema:\n<functions>\n' -}}
  {%- for tool in tools -%}
    {{- (tool.function if tool.function is defined else tool) | tojson ~ '\n' -}}
  {%- endfor -%}
  {{- '</functions>\n' -}}
{%- endmacro -%}

{%- macro invocation(call) -%}
  {%- set function = call.function if call.function is defined else call -%}
  {%- if function.arguments is not mapping -%}
    {{- raise_exception('the arguments of a call of ' ~ function.name ~ ' are no object') -}}
  {%- endif -%}
  {{- '<｜DSML｜invoke name="' ~ function.name ~ '">\n' -}}
  {%- for name, value in function.arguments | items -%}
    {{- '<｜DSML｜parameter name="' ~ name ~ '" string="' ~ ('true' if value is string else 'false') ~ '">' -}}
    {{- (value if value is string else value | tojson) ~ '</｜DSML｜parameter>\n' -}}
  {%- else -%}
    {{- '\n' -}}
  {%- endfor -%}
  {{- '</｜DSML｜invoke>\n' -}}
{%- endmacro -%}

{%- set at = namespace(question=-1, calls=0, results=0, explained=not tools) -%}
{%- for message in messages -%}
  {%- if message.role == 'user' -%}
    {%- set at.question = loop.index0 -%}
  {%- endif -%}
{%- endfor -%}

{{- bos -}}
{%- if tools and (not messages or messages[0].role != 'system') -%}
  {{- '\n\n' ~ explain(tools) -}}
  {%- set at.explained = true -%}
{%- endif -%}
{%- for message in messages -%}
  {%- if at.results and message.role != 'tool' -%}
    {{- raise_exception('a call of the turn before has no result') -}}
  {%- endif -%}
  {%- if message.role == 'system' -%}
    {{- textOf(message.content) -}}
    {%- set own = message.tools if message.tools else (none if at.explained else tools) -%}
    {%- if own -%}
      {{- '\n\n' ~ explain(own) -}}
      {%- set at.explained = true -%}
    {%- endif -%}
  {%- elif message.role == 'user' -%}
    {{- '<｜User｜>' ~ textOf(message.content) -}}
    {%- if not loop.last or add_generation_prompt -%}
      {{- '<｜Assistant｜>' ~ (opening if loop.index0 == at.question else '</think>') -}}
    {%- endif -%}
  {%- elif message.role == 'assistant' -%}
    {%- if thinks and loop.index0 > at.question -%}
      {{- (message.reasoning_content or message.reasoning or '') ~ '</think>' -}}
    {%- endif -%}
    {{- textOf(message.content) -}}
    {%- set at.calls = message.tool_calls | default([], true) | length -%}
    {%- if at.calls -%}
      {{- '\n\n<｜DSML｜function_calls>\n' -}}
      {%- for one in message.tool_calls -%}
        {{- invocation(one) -}}
      {%- endfor -%}
      {{- '</｜DSML｜function_calls>' -}}
    {%- endif -%}
    {{- eos -}}
  {%- elif message.role == 'tool' -%}
    {%- if at.results == at.calls -%}
      {{- raise_exception('a result without a call before it') -}}
    {%- endif -%}
    {{- '\n\n<function_results>' if at.results == 0 -}}
    {{- '\n<result>' ~ textOf(message.content) ~ '</result>' -}}
    {%- set at.results = at.results + 1 -%}
    {%- if at.results == at.calls -%}
      {{- '\n</function_results>' -}}
      {%- set at.calls = 0 -%}
      {%- set at.results = 0 -%}
      {%- if not loop.last or add_generation_prompt -%}
        {{- '\n\n' ~ (opening if loop.index0 >= at.question else '</think>') -}}
      {%- endif -%}
    {%- endif -%}
  {%- else -%}
    {{- raise_exception('the role ' ~ message.role ~ ' is none of system, user, assistant and tool') -}}
  {%- endif -%}
{%- endfor -%}
)JINJA";

std::string_view moec::builtInTemplate(std::string_view architecture) {
  return architecture == "DeepseekV32ForCausalLM" ? deepseekV32 : std::string_view();
}
