// The parts of tokenizer.json around the model, as programs of steps.

#ifndef MOEC_FRONTENDS_CHECKPOINT_TOKENIZERCOMPONENTS_H
#define MOEC_FRONTENDS_CHECKPOINT_TOKENIZERCOMPONENTS_H

#include "frontends/checkpoint/TokenizerDescription.h"
#include "frontends/checkpoint/TokenizerJson.h"

namespace moec {

// Each reads one component, which may be null or a sequence of its kind, and appends to what it is
// given. Faults go to the report of the field: a component of an unknown type is Code::Unsupported.

void readNormalizer(const JsonField &field, std::vector<StepDescription> &steps);
void readPreTokenizer(const JsonField &field, std::vector<StepDescription> &steps);
void readDecoder(const JsonField &field, std::vector<StepDescription> &steps);
/// `prefix` and `suffix`: ids put around the text, those of an outer processor farther out.
void readPostProcessor(const JsonField &field, std::vector<uint32_t> &prefix,
                       std::vector<uint32_t> &suffix);

} // namespace moec

#endif // MOEC_FRONTENDS_CHECKPOINT_TOKENIZERCOMPONENTS_H
