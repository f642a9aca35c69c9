// Whole numbers of a graph: sizes, and what is computed of them; known, or polynomials of unknowns.

#ifndef MOEC_FRONTENDS_ONNX_IMPORT_SIZE_H
#define MOEC_FRONTENDS_ONNX_IMPORT_SIZE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"

#include <compare>
#include <cstdint>
#include <optional>

namespace moec {

/// A polynomial with integer coefficients, in normal form: two are equal where arithmetic says so.
/// Numbers wrap as those of 64 bits do. Unknowns are numbers that a SizeTable gives a meaning.
class Size {
public:
  /// `factor` times all of `unknowns`, which are sorted and not empty.
  struct Term {
    llvm::SmallVector<uint32_t, 2> unknowns;
    int64_t factor = 0;

    bool operator==(const Term &) const = default;
    bool operator<(const Term &other) const {
      return unknowns != other.unknowns ? unknowns < other.unknowns : factor < other.factor;
    }
  };

  Size(int64_t number = 0) : constant(number) {}
  static Size unknown(uint32_t which);

  bool isKnown() const { return terms.empty(); }
  bool is(int64_t number) const { return isKnown() && constant == number; }
  /// Only where it is known.
  int64_t value() const {
    assert(isKnown() && "the size is not known");
    return constant;
  }
  /// What is added to the terms.
  int64_t offset() const { return constant; }
  llvm::ArrayRef<Term> parts() const { return terms; }
  /// Which unknown it is, where it is but one.
  std::optional<uint32_t> asUnknown() const;

  Size operator+(const Size &other) const;
  Size operator-(const Size &other) const { return *this + other * Size(-1); }
  Size operator*(const Size &other) const;
  /// The quotient, where it is one whatever the unknowns are.
  std::optional<Size> dividedBy(const Size &divisor) const;

  bool operator==(const Size &) const = default;
  bool operator<(const Size &other) const {
    return constant != other.constant ? constant < other.constant : terms < other.terms;
  }

private:
  void add(const Term &term);

  int64_t constant = 0;
  llvm::SmallVector<Term, 0> terms; ///< sorted by unknowns; no factor is 0
};

/// The product of all.
Size productOf(llvm::ArrayRef<Size> sizes);

} // namespace moec

#endif // MOEC_FRONTENDS_ONNX_IMPORT_SIZE_H
