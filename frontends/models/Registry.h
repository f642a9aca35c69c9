// Which architectures there are, and who builds them.

#ifndef MOEC_FRONTENDS_MODELS_REGISTRY_H
#define MOEC_FRONTENDS_MODELS_REGISTRY_H

#include "frontends/checkpoint/Config.h"
#include "frontends/models/ModelBuilder.h"

namespace moec {

struct Architecture {
  std::string_view name;      ///< as config.json's `architectures` spells it
  std::string_view modelType; ///< as its `model_type` does
  /// Reads the config, then builds the model. Returns the first failure of reading; those of
  /// building are kept by the builder.
  Status (*build)(ConfigReader &config, ModelBuilder &model);
};

/// The architecture that `config` names; Code::Unsupported, with a list of those there are, if it
/// is another.
Result<const Architecture *> findArchitecture(const Config &config);

// One line per architecture; its file says what a layer is.
Status buildDeepseekV2(ConfigReader &config, ModelBuilder &model);
Status buildDeepseekV3(ConfigReader &config, ModelBuilder &model);
Status buildDeepseekV32(ConfigReader &config, ModelBuilder &model);
Status buildGptOss(ConfigReader &config, ModelBuilder &model);
Status buildLlama4(ConfigReader &config, ModelBuilder &model);
Status buildMixtral(ConfigReader &config, ModelBuilder &model);
Status buildOlmoe(ConfigReader &config, ModelBuilder &model);
Status buildQwen2Moe(ConfigReader &config, ModelBuilder &model);
Status buildQwen3Moe(ConfigReader &config, ModelBuilder &model);

} // namespace moec

#endif // MOEC_FRONTENDS_MODELS_REGISTRY_H
