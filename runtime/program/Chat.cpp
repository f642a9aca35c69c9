// chat: a conversation, turn by turn. Ctrl-C stops an answer, and at the prompt the program.

#include "runtime/core/File.h"
#include "runtime/program/AnswerOutput.h"
#include "runtime/program/Commands.h"
#include "runtime/program/Output.h"

#include <fmt/format.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <poll.h>
#include <unistd.h>

namespace moec {

static std::atomic<bool> interrupted = false;

static void onInterrupt(int) { interrupted = true; }

static bool wasInterrupted() { return interrupted; }

namespace {

/// Lines of standard input, read so that Ctrl-C is never missed.
class LineReader {
public:
  /// False at the end of the input. Code::Interrupted after Ctrl-C.
  Result<bool> read(std::string &line) {
    for (;;) {
      size_t end = pending.find('\n');
      if (end != std::string::npos || (atEnd && !pending.empty())) {
        line = pending.substr(0, end);
        pending.erase(0, end == std::string::npos ? end : end + 1);
        if (line.ends_with('\r'))
          line.pop_back();
        return true;
      }
      if (atEnd)
        return false;
      if (Status status = readMore(); !status.ok())
        return status;
    }
  }

private:
  Status readMore() {
    // Blocked but while waiting: a signal between the question and the wait would be lost.
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    pollfd input = {STDIN_FILENO, POLLIN, 0};
    int ready = interrupted ? -1 : ppoll(&input, 1, nullptr, &before);
    sigprocmask(SIG_SETMASK, &before, nullptr);
    if (interrupted)
      return {Code::Interrupted, "interrupted"};
    if (ready < 0 && errno == EINTR)
      return {};
    char buffer[4096];
    ssize_t size = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (size < 0 && errno != EINTR)
      return {codeOfError(errno, Code::Usage),
              fmt::format("cannot read standard input: {}", strerror(errno))};
    if (size == 0)
      atEnd = true;
    else if (size > 0)
      pending.append(buffer, size);
    return {};
  }

  std::string pending;
  bool atEnd = false;
};

/// A conversation and the sequence that has read it.
class Conversation {
public:
  Conversation(Model &model, const Text &text, const ChatOptions &options, bool interactive)
      : model(model), text(text), sampling(resolveSampling(text.defaults(), options.sampling)),
        sequence(model), output(options.verbatim), interactive(interactive) {
    if (options.prompt.system)
      turns.push_back({"system", *options.prompt.system});
    first = turns.size();
  }

  /// Answers `line` on standard output. A turn that is refused is forgotten; at a terminal the user
  /// is told, from a pipe it is a failure.
  Status say(const std::string &line) {
    if (Status status = checkPrompt(line); !status.ok())
      return complain(status);
    turns.push_back({"user", line});
    Result<Prompt> prompt = fitting();
    if (!prompt.ok()) {
      turns.pop_back();
      return complain(prompt.status());
    }
    AnswerOptions options;
    output.connect(options);
    options.stop = wasInterrupted;
    Result<Answer> answer =
        answerPrompt(model, text.tokenizer(), sequence, history, *prompt, sampling, options);
    if (!answer.ok()) {
      turns.pop_back();
      return outputClosed() ? answer.status() : complain(answer.status());
    }
    turns.push_back({"assistant", answer->text});
    return output.finish(*answer);
  }

private:
  /// The conversation as tokens; its oldest turns are dropped where it outgrows the context.
  Result<Prompt> fitting() {
    for (bool told = false;; told = true) {
      Result<Prompt> prompt = text.render(turns);
      if (!prompt.ok() || static_cast<int64_t>(prompt->tokens.size()) < model.context() ||
          turns.size() < first + 3)
        return prompt;
      if (!told)
        writeMessage("the conversation outgrows the context; its oldest turns are forgotten");
      turns.erase(turns.begin() + first, turns.begin() + first + 2);
    }
  }

  /// A user at a terminal can mend a usage error in the next line; anything else ends the program.
  Status complain(const Status &status) const {
    if (status.code != Code::Usage || !interactive)
      return status;
    writeMessage(status.message);
    return {};
  }

  Model &model;
  const Text &text;
  GenerationConfig sampling;
  Sequence sequence;
  std::vector<int32_t> history;
  std::vector<Turn> turns;
  AnswerOutput output;
  size_t first = 0;
  bool interactive;
};

} // namespace

Status runChat(const ChatOptions &options) {
  Result<std::unique_ptr<Text>> text = Text::open(options.prompt);
  if (!text.ok())
    return text.status();
  if (!(*text)->hasTemplate())
    return {Code::Usage, "the model has no chat template; give one with --chat-template, or use "
                         "generate --raw"};
  Result<std::unique_ptr<Model>> model = openModel(options.open);
  if (!model.ok())
    return model.status();

  struct sigaction action = {};
  action.sa_handler = onInterrupt; // without SA_RESTART: waiting ends
  sigaction(SIGINT, &action, nullptr);
  bool terminal = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
  if (terminal)
    writeMessage("Ctrl-C stops an answer; at the prompt, like Ctrl-D, it ends the conversation");
  Conversation conversation(**model, **text, options, isatty(STDIN_FILENO));
  LineReader input;
  for (std::string line;;) {
    if (terminal)
      writeError("> ");
    Result<bool> more = input.read(line);
    if (!more.ok() || !*more) {
      if (terminal)
        writeError("\n");
      return more.ok() ? Status{} : more.status();
    }
    if (line.empty())
      continue;
    if (Status status = conversation.say(line); !status.ok())
      return status;
    interrupted = false;
  }
}

} // namespace moec
