// fork, exec, and files for the three streams: nothing to deadlock on.

#include "test/runtime/program/RunProgram.h"

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>

namespace moec {

namespace {
struct Folder {
  Folder() {
    char name[] = "/tmp/moec-program-XXXXXX";
    path = mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};
} // namespace

std::string temporaryFolder() {
  static Folder root;
  static int count = 0;
  std::string path = root.path + "/" + std::to_string(count++);
  std::filesystem::create_directory(path);
  return path;
}

std::string readAll(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void writeAll(const std::string &path, const std::string &text) {
  std::ofstream(path, std::ios::binary) << text;
}

static Ran runProgram(const char *program, const std::vector<std::string> &arguments,
                      const std::string &input, const std::string &output = "",
                      const std::string &errors = "") {
  std::string folder = temporaryFolder();
  writeAll(folder + "/in", input);
  std::vector<char *> argv = {const_cast<char *>(program)};
  for (const std::string &argument : arguments)
    argv.push_back(const_cast<char *>(argument.c_str()));
  argv.push_back(nullptr);
  pid_t child = fork();
  if (child == 0) {
    dup2(open((folder + "/in").c_str(), O_RDONLY), 0);
    dup2(open((output.empty() ? folder + "/out" : output).c_str(), O_WRONLY | O_CREAT, 0600), 1);
    dup2(open((errors.empty() ? folder + "/err" : errors).c_str(), O_WRONLY | O_CREAT, 0600), 2);
    execv(program, argv.data());
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
          readAll(folder + "/out"), readAll(folder + "/err")};
}

Ran runFake(const std::vector<std::string> &arguments, const std::string &input) {
  return runProgram(FAKE_MODEL, arguments, input);
}

Ran runFakeOnto(const std::string &device, const std::vector<std::string> &arguments,
                bool errorsToo) {
  return runProgram(FAKE_MODEL, arguments, "", device, errorsToo ? device : "");
}

Ran runFakeText(const std::vector<std::string> &arguments, const std::string &input) {
  return runProgram(FAKE_TEXT_MODEL, arguments, input);
}

} // namespace moec
