// Runs a program and keeps what it says.

#ifndef MOEC_TEST_RUNTIME_PROGRAM_RUN_PROGRAM_H
#define MOEC_TEST_RUNTIME_PROGRAM_RUN_PROGRAM_H

#include <string>
#include <vector>

namespace moec {

struct Ran {
  int status = -1; ///< exit status; 128 plus the signal where one ended it
  std::string output, errors;
};

/// Runs the toy model with `arguments`; `input` is its standard input.
Ran runFake(const std::vector<std::string> &arguments, const std::string &input = "");
/// The same with its standard output, or its standard error too, on `device`.
Ran runFakeOnto(const std::string &device, const std::vector<std::string> &arguments,
                bool errorsToo = false);
/// The same with the toy model that has a tokenizer and a chat template.
Ran runFakeText(const std::vector<std::string> &arguments, const std::string &input = "");

/// A new folder that is removed with the process.
std::string temporaryFolder();

std::string readAll(const std::string &path);
void writeAll(const std::string &path, const std::string &text);

} // namespace moec

#endif // MOEC_TEST_RUNTIME_PROGRAM_RUN_PROGRAM_H
