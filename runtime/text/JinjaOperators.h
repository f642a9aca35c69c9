// Arithmetic, containment and slicing, with Python's rules.

#ifndef MOEC_RUNTIME_TEXT_JINJAOPERATORS_H
#define MOEC_RUNTIME_TEXT_JINJAOPERATORS_H

#include "runtime/text/JinjaCall.h"

namespace moec::jinja {

/// `a op b` for + - * / // % **; on text, + joins, * repeats and % formats.
Value calculate(Run &run, std::string_view op, const Value &a, const Value &b);
/// `-a` or, without `minus`, `+a`.
Value sign(Run &run, const Value &a, bool minus);
/// `a op b` for == != < <= > >= and the two of containment, `in` and `not in`.
bool compare(Run &run, std::string_view op, const Value &a, const Value &b);
/// The order that sorts `keys` by Python's <, without moving equal ones; with `reverse`, by >.
std::vector<size_t> sortedOrder(Run &run, const std::vector<Value> &keys, bool reverse);
/// `object[start:stop:step]`; undefined values stand for bounds left out.
Value slice(Run &run, const Value &object, const Value &start, const Value &stop,
            const Value &step);
/// `text` as the whole number Python's int() reads, in `base` (0: by its prefix); false if it is
/// none.
bool readInteger(std::string_view text, int base, int64_t &value);
/// `text` as the number Python's float() reads; false if it is none.
bool readReal(std::string_view text, double &value);

} // namespace moec::jinja

#endif // MOEC_RUNTIME_TEXT_JINJAOPERATORS_H
