// How a call says that it failed: a code that is also the program's exit status, and a message.

#ifndef MOEC_RUNTIME_CORE_RESULT_H
#define MOEC_RUNTIME_CORE_RESULT_H

#include <cassert>
#include <string>
#include <utility>
#include <variant>

namespace moec {

/// Why something failed; the values are the exit statuses of moec and of the programs it makes.
enum class Code : int {
  Ok = 0,
  Internal = 1,    ///< our own fault
  Usage = 2,       ///< options and the files they name, an empty, invalid or too long prompt, an
                   ///< unwritable output
  Model = 3,       ///< unreadable or malformed model
  Unsupported = 4, ///< well-formed, but not supported
  Mismatch = 5,    ///< artefact does not match weights, CPU, driver or device
  Resource = 6,    ///< out of memory, device memory or disk
  Interrupted = 130,
};

/// Success, or a code and one line that says what was found, what was wanted and where.
struct [[nodiscard]] Status {
  Code code = Code::Ok;
  std::string message;

  bool ok() const { return code == Code::Ok; }
};

/// A value or the status that says why there is none.
template <typename T> class [[nodiscard]] Result {
public:
  Result(T value) : state(std::in_place_index<0>, std::move(value)) {}
  Result(Status failure) : state(std::in_place_index<1>, std::move(failure)) {
    assert(!std::get<1>(state).ok() && "a result without value needs a failure");
  }

  bool ok() const { return state.index() == 0; }
  T &operator*() { return std::get<0>(state); }
  const T &operator*() const { return std::get<0>(state); }
  T *operator->() { return &std::get<0>(state); }
  const T *operator->() const { return &std::get<0>(state); }
  /// The failure; only where `!ok()`.
  const Status &status() const { return std::get<1>(state); }

private:
  std::variant<T, Status> state;
};

} // namespace moec

#endif // MOEC_RUNTIME_CORE_RESULT_H
