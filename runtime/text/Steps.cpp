// From steps as stored to steps that run.

#include "runtime/text/Steps.h"

using namespace moec;
using namespace moec::tokenizer;

Result<PreparedSteps> moec::prepareSteps(std::span<const Step> program, const Tables &tables) {
  PreparedSteps steps;
  steps.reserve(program.size());
  for (const Step &step : program) {
    PreparedStep prepared{.kind = step.kind,
                          .flags = step.flags,
                          .pattern = std::nullopt,
                          .text = std::string(tables.programText(step.text)),
                          .first = step.first,
                          .second = step.second};
    if (step.kind == StepKind::Replace || step.kind == StepKind::Split) {
      std::string_view pattern = tables.programText(step.pattern);
      if (step.flags & stepRegex) {
        Result<Pattern> compiled = Pattern::compileRegex(pattern);
        if (!compiled.ok())
          return compiled.status();
        prepared.pattern = std::move(*compiled);
      } else {
        prepared.pattern = Pattern::literal(pattern);
      }
    }
    steps.push_back(std::move(prepared));
  }
  return steps;
}

Result<std::string> moec::replaceMatches(const PreparedStep &step, std::string_view text,
                                         bool &keepsStart) {
  Result<std::vector<Span>> matches = step.pattern->find(text);
  if (!matches.ok())
    return matches.status();
  std::string replaced;
  replaced.reserve(text.size());
  size_t done = 0;
  for (Span match : *matches) {
    if (match.begin == 0 && match.end > 0 && step.text.empty())
      keepsStart = false;
    replaced += text.substr(done, match.begin - done);
    replaced += step.text;
    done = match.end;
  }
  replaced += text.substr(done);
  return replaced;
}
