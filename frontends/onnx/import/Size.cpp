// Polynomials in normal form.

#include "frontends/onnx/import/Size.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>

using namespace llvm;
using namespace moec;

static int64_t wrapped(uint64_t number) { return static_cast<int64_t>(number); }
static int64_t sum(int64_t a, int64_t b) {
  return wrapped(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
static int64_t product(int64_t a, int64_t b) {
  return wrapped(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}

Size Size::unknown(uint32_t which) {
  Size size;
  size.terms.push_back({{which}, 1});
  return size;
}

std::optional<uint32_t> Size::asUnknown() const {
  if (constant == 0 && terms.size() == 1 && terms[0].factor == 1 && terms[0].unknowns.size() == 1)
    return terms[0].unknowns[0];
  return std::nullopt;
}

void Size::add(const Term &term) {
  auto place = lower_bound(terms, term,
                           [](const Term &a, const Term &b) { return a.unknowns < b.unknowns; });
  if (place == terms.end() || place->unknowns != term.unknowns) {
    if (term.factor != 0)
      terms.insert(place, term);
    return;
  }
  place->factor = sum(place->factor, term.factor);
  if (place->factor == 0)
    terms.erase(place);
}

Size Size::operator+(const Size &other) const {
  Size result = *this;
  result.constant = sum(constant, other.constant);
  for (const Term &term : other.terms)
    result.add(term);
  return result;
}

Size Size::operator*(const Size &other) const {
  Size result(product(constant, other.constant));
  for (const Term &term : terms)
    result.add({term.unknowns, product(term.factor, other.constant)});
  for (const Term &term : other.terms)
    result.add({term.unknowns, product(term.factor, constant)});
  for (const Term &mine : terms)
    for (const Term &its : other.terms) {
      Term both{mine.unknowns, product(mine.factor, its.factor)};
      both.unknowns.append(its.unknowns);
      sort(both.unknowns);
      result.add(both);
    }
  return result;
}

std::optional<Size> Size::dividedBy(const Size &divisor) const {
  if (divisor.is(0))
    return std::nullopt;
  if (*this == divisor)
    return Size(1);
  if (is(0))
    return Size(0);
  // By a single term; of a sum only what is a multiple of it.
  if (divisor.terms.size() + (divisor.constant != 0) != 1)
    return std::nullopt;
  const Term by = divisor.isKnown() ? Term{{}, divisor.constant} : divisor.terms[0];
  if (by.factor == -1 && constant == INT64_MIN)
    return std::nullopt;
  Size quotient;
  if (constant != 0) {
    if (!by.unknowns.empty() || constant % by.factor != 0)
      return std::nullopt;
    quotient.constant = constant / by.factor;
  }
  for (const Term &term : terms) {
    Term part{term.unknowns, 0};
    for (uint32_t unknown : by.unknowns) {
      auto *found = find(part.unknowns, unknown);
      if (found == part.unknowns.end())
        return std::nullopt;
      part.unknowns.erase(found);
    }
    if ((by.factor == -1 && term.factor == INT64_MIN) || term.factor % by.factor != 0)
      return std::nullopt;
    part.factor = term.factor / by.factor;
    if (part.unknowns.empty())
      quotient.constant = sum(quotient.constant, part.factor);
    else
      quotient.add(part);
  }
  return quotient;
}

Size moec::productOf(ArrayRef<Size> sizes) {
  Size result(1);
  for (const Size &size : sizes)
    result = result * size;
  return result;
}
