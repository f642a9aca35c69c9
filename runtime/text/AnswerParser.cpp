// The face of the two machines.

#include "runtime/text/AnswerParser.h"

#include "runtime/text/AnswerMachine.h"

using namespace moec;

AnswerParser::AnswerParser(AnswerFormat format, bool reasoning)
    : machine(format == AnswerFormat::Harmony ? makeHarmonyMachine()
                                              : makeSectionMachine(format, reasoning)) {}
AnswerParser::~AnswerParser() = default;
AnswerParser::AnswerParser(AnswerParser &&) noexcept = default;
AnswerParser &AnswerParser::operator=(AnswerParser &&) noexcept = default;

AnswerPieces AnswerParser::push(std::string_view text) {
  machine->push(text);
  return machine->take();
}

bool AnswerParser::isMarker(std::string_view control) const { return machine->isMarker(control); }

AnswerPieces AnswerParser::pushMarker(std::string_view control) {
  machine->pushMarker(control);
  return machine->take();
}

AnswerPieces AnswerParser::finish() {
  machine->finish();
  return machine->take();
}
