// Opens the program's own model by the options that all commands share.

#include "runtime/program/Commands.h"
#include "runtime/program/Output.h"

namespace moec {

Result<std::unique_ptr<Model>> openModel(const OpenOptions &options) {
  ModelOptions model;
  model.weights.file = options.weightsFile;
  model.weights.directory = options.modelDirectory;
  model.threads = options.threads;
  model.context = options.context;
  model.numa = options.numa;
  model.device = options.device;
  model.bindsCaller = true;
  model.progress = showProgress("copying weights to the device");
  Result<std::unique_ptr<Model>> opened = Model::open(model);
  if (opened.ok() && !(*opened)->openNotice().empty())
    writeMessage("notice: " + (*opened)->openNotice());
  return opened;
}

nlohmann::ordered_json describeNodes(const NodeUse &use) {
  nlohmann::ordered_json json = {{"policy", numaPolicyName(use.policy)},
                                 {"nodes", nlohmann::ordered_json::array()}};
  for (const NumaNode &node : use.nodes) {
    nlohmann::ordered_json entry = {{"node", node.number}, {"cpus", node.cpus}};
    for (size_t index = 0; index < use.split.nodes.size(); ++index)
      if (use.split.nodes[index].number == node.number)
        entry["threads"] = use.split.threads[index];
    json["nodes"].push_back(std::move(entry));
  }
  return json;
}

} // namespace moec
