// Code, a model's text and weights into a program or a library.

#ifndef MOEC_TOOLS_MOEC_ARTIFACT_H
#define MOEC_TOOLS_MOEC_ARTIFACT_H

#include "compiler/pipeline/Description.h"
#include "frontends/checkpoint/Checkpoint.h"
#include "runtime/core/AtomicFile.h"
#include "tools/moec/Compile.h"
#include "tools/moec/Progress.h"

#include <string>

namespace moec {

/// What an artefact is made of; all of it outlives the call.
struct ArtifactParts {
  const CompileRequest &request;
  const Checkpoint &checkpoint;
  ProgramDescription &program;
  const std::string &code; ///< an object file
  std::string triple;      ///< of the machine that it runs on
  const std::string &linkFiles;
  Progress &progress;
};

/// Links the artefact that the request asks for into `output`, whose weights lie in it or beside
/// it.
Status makeArtifact(const ArtifactParts &parts, AtomicFile &output);

/// Says a line, unless the request is to be quiet.
void notify(const CompileRequest &request, Progress &progress, const std::string &line);

/// Fails where an output would replace a file of the model directory that `request` names.
Status checkOutput(const CompileRequest &request, const Checkpoint &checkpoint);

} // namespace moec

#endif // MOEC_TOOLS_MOEC_ARTIFACT_H
