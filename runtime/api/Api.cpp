// The C interface: handles, status codes, and the last failure of each thread.

#include "runtime/include/moec/moec.h"

#include "runtime/api/LastFailure.h"
#include "runtime/api/LibraryPath.h"
#include "runtime/core/Model.h"
#include "runtime/text/GenerationConfig.h"
#include "runtime/text/Stops.h"
#include "runtime/text/Tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

using namespace moec;

struct moec_model {
  std::unique_ptr<Model> model;
  std::optional<Tokenizer> tokenizer;
  StopIds stopIds;
  size_t sequences = 0;    ///< open
  std::vector<Feed> feeds; ///< of the latest step; here so that a step allocates nothing
};

struct moec_sequence {
  Sequence sequence;
  moec_model *owner;
};

static thread_local std::string lastMessage;

moec_status moec::reportFailure(Status status) {
  static_assert(static_cast<int>(Code::Resource) == MOEC_CACHE_FULL, "the same codes, in C");
  lastMessage = std::move(status.message);
  return static_cast<moec_status>(status.code);
}

const char *moec_error_message(void) { return lastMessage.c_str(); }

static Status openModel(const moec_model_options *options, moec_model **model) {
  ModelOptions wanted;
  wanted.weights.program = libraryPath(); // packed weights lie beside a library, not its host
  if (options) {
    wanted.weights.file = options->weights_file ? options->weights_file : "";
    wanted.weights.directory = options->model_directory ? options->model_directory : "";
    wanted.threads = options->threads;
    wanted.context = options->context;
    if (options->numa > MOEC_NUMA_OFF)
      return {Code::Usage, fmt::format("numa is {}, wanted one of moec_numa, 0 to {}",
                                       options->numa, static_cast<int>(MOEC_NUMA_OFF))};
    static_assert(static_cast<int>(NumaPolicy::Off) == MOEC_NUMA_OFF, "the same, in C");
    wanted.numa = static_cast<NumaPolicy>(options->numa);
  }
  Result<std::unique_ptr<Model>> opened = Model::open(wanted);
  if (!opened.ok())
    return opened.status();
  auto handle = std::make_unique<moec_model>();
  handle->model = std::move(*opened);
  if (moec_program_tokenizer_size) {
    Result<Tokenizer> tokenizer =
        Tokenizer::open({moec_program_tokenizer, static_cast<size_t>(moec_program_tokenizer_size)});
    if (!tokenizer.ok())
      return tokenizer.status();
    handle->tokenizer = std::move(*tokenizer);
  }
  if (moec_program_generation_size) {
    Result<GenerationConfig> generation =
        parseGenerationConfig({reinterpret_cast<const char *>(moec_program_generation),
                               static_cast<size_t>(moec_program_generation_size)},
                              "generation_config.json");
    if (!generation.ok())
      return generation.status();
    handle->stopIds = StopIds(generation->stopIds);
  }
  *model = handle.release();
  return {};
}

moec_status moec_model_open(const moec_model_options *options, moec_model **model) {
  *model = nullptr;
  return reportFailure(openModel(options, model));
}

void moec_model_close(moec_model *model) { delete model; }

int64_t moec_model_vocabulary(const moec_model *model) {
  return model->model->manifest().vocabulary;
}

int64_t moec_model_context(const moec_model *model) { return model->model->context(); }

const char *moec_model_manifest(const moec_model *, size_t *size) {
  *size = static_cast<size_t>(moec_program_manifest_size);
  return reinterpret_cast<const char *>(moec_program_manifest);
}

moec_status moec_sequence_open(moec_model *model, moec_sequence **sequence) {
  *sequence = new moec_sequence{Sequence(*model->model), model};
  ++model->sequences;
  return reportFailure({});
}

void moec_sequence_close(moec_sequence *sequence) {
  if (sequence)
    --sequence->owner->sequences;
  delete sequence;
}

int64_t moec_sequence_position(const moec_sequence *sequence) {
  return sequence->sequence.position();
}

moec_status moec_sequence_step(moec_sequence *sequence, const int32_t *tokens, size_t count,
                               float *logits) {
  moec_step_part part = {sequence, tokens, count, logits};
  return moec_model_step(sequence->owner, &part, 1);
}

moec_status moec_model_step(moec_model *model, const moec_step_part *parts, size_t count) {
  // Also keeps a count that is a mistake from asking for memory.
  if (count > model->sequences)
    return reportFailure({Code::Usage, fmt::format("a step of {} parts, {} sequences are open",
                                                   count, model->sequences)});
  std::vector<Feed> &feeds = model->feeds;
  feeds.assign(count, {});
  for (size_t i = 0; i < count; ++i) {
    if (parts[i].sequence->owner != model)
      return reportFailure({Code::Usage, "a sequence of another model"});
    for (size_t j = 0; j < i; ++j)
      if (parts[j].sequence == parts[i].sequence)
        return reportFailure({Code::Usage, "the same sequence twice in one step"});
    feeds[i].sequence = &parts[i].sequence->sequence;
    feeds[i].tokens = {parts[i].tokens, parts[i].count};
    feeds[i].outputs = parts[i].logits && parts[i].count ? 1 : 0;
    feeds[i].logits = parts[i].logits;
  }
  return reportFailure(model->model->feed(feeds));
}

moec_status moec_sequence_rewind(moec_sequence *sequence, int64_t position) {
  if (position < 0 || position > sequence->sequence.position())
    return reportFailure({Code::Usage, "a position that the sequence has not reached"});
  if (!sequence->sequence.rewind(position))
    return reportFailure(
        {Code::Usage, "the window has passed that position; the sequence is empty"});
  return reportFailure({});
}

static Status noTokenizer() {
  return {Code::Model, "the model was compiled without a tokenizer.json; feed token ids instead"};
}

moec_status moec_model_tokenize(const moec_model *model, const char *text, size_t size,
                                int addSpecial, int32_t *tokens, size_t room, size_t *count) {
  *count = 0;
  if (!model->tokenizer)
    return reportFailure(noTokenizer());
  Result<std::vector<int32_t>> ids = model->tokenizer->encode(
      {text, size}, addSpecial ? AddSpecial::PostProcessor : AddSpecial::None);
  if (!ids.ok())
    return reportFailure(ids.status());
  *count = ids->size();
  if (ids->size() <= room)
    std::copy(ids->begin(), ids->end(), tokens);
  return reportFailure({});
}

moec_status moec_model_detokenize(const moec_model *model, const int32_t *tokens, size_t count,
                                  char *text, size_t room, size_t *size) {
  *size = 0;
  if (!model->tokenizer)
    return reportFailure(noTokenizer());
  std::string decoded = model->tokenizer->decode({tokens, count}, /*skipSpecial=*/true);
  *size = decoded.size();
  if (decoded.size() <= room)
    std::copy(decoded.begin(), decoded.end(), text);
  return reportFailure({});
}

int moec_model_is_stop(const moec_model *model, int32_t token) {
  return model->stopIds.contains(token);
}
