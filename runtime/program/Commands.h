// The commands of a compiled program.

#ifndef MOEC_RUNTIME_PROGRAM_COMMANDS_H
#define MOEC_RUNTIME_PROGRAM_COMMANDS_H

#include "runtime/core/Model.h"
#include "runtime/core/Result.h"
#include "runtime/program/Options.h"

#include <nlohmann/json.hpp>

namespace moec {

/// Answers one prompt on standard output.
Status runGenerate(const GenerateOptions &options);

/// Talks until the input ends or Ctrl-C is pressed at the prompt (Code::Interrupted).
Status runChat(const ChatOptions &options);

/// Writes logits, and on request routing and greedy tokens, of the sequences of a safetensors file.
Status runEval(const EvalOptions &options);

/// Scores a text: perplexity, and divergence from what another program said of it.
Status runPerplexity(const PerplexityOptions &options);

/// Times prompts and generation, beside what this machine can do.
Status runBench(const BenchOptions &options);

/// Tells what the program is made of.
Status runInspect(const InspectOptions &options);

/// Computes the outputs of a graph of tensors, from a safetensors file to another.
Status runGraph(const GraphOptions &options);

/// The model, as a command's options want it. What the system did not do for it is said on standard
/// error.
Result<std::unique_ptr<Model>> openModel(const OpenOptions &options);

/// The nodes of memory, for a command's JSON: the policy, and of each node its number, its CPUs
/// and, where they are divided, how many threads it has.
nlohmann::ordered_json describeNodes(const NodeUse &use);

} // namespace moec

#endif // MOEC_RUNTIME_PROGRAM_COMMANDS_H
