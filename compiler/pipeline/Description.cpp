// Reads a scheduled module's description off its symbols.

#include "compiler/pipeline/Description.h"
#include "compiler/analysis/AttentionTiles.h"
#include "compiler/analysis/PackedWeights.h"
#include "compiler/analysis/WarpTiles.h"
#include "compiler/lowering/Lowerings.h"
#include "compiler/transforms/Passes.h"
#include "runtime/core/PackedLayout.h"

#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Config/llvm-config.h"

#include <fmt/format.h>

using namespace mlir;
using namespace moec;

static DataType storedType(Type type) {
  return llvm::TypeSwitch<Type, DataType>(type)
      .Case([](Float32Type) { return DataType::F32; })
      .Case([](BFloat16Type) { return DataType::BF16; })
      .Case([](Float8E4M3FNType) { return DataType::F8E4M3; })
      .Case([](Float4E2M1FNType) { return DataType::F4; })
      .Default(DataType::F16);
}

static PackedElement packedElement(Type type) {
  return type.isF32()    ? PackedElement::F32
         : type.isBF16() ? PackedElement::BF16
                         : PackedElement::F16;
}

/// A vector is a matrix of one column, so that pieces of it are rows.
static std::pair<int64_t, int64_t> matrixShape(lm::WeightOp weight) {
  ArrayRef<int64_t> shape = weight.getType().getShape();
  return shape.size() == 1 ? std::pair(shape[0], int64_t(1))
                           : std::pair(shape[shape.size() - 2], shape.back());
}

static PackedLayout packedLayout(lm::PackedAttr packed) {
  if (packed.getLayout() == lm::Layout::Panels)
    return PackedLayout::Panels;
  return isInBands(packed.getLayout(), packed.getElement()) ? PackedLayout::Bands
                                                            : PackedLayout::Rows;
}

static PackedWeight describeWeight(lm::WeightOp weight) {
  PackedWeight packed;
  packed.name = weight.getSymName().str();
  packed.offset = weight.getPackedAttr().getOffset();
  packed.layout = packedLayout(weight.getPackedAttr());
  Type element = weight.getPackedAttr().getElement();
  packed.quantized = quantFormatOf(element);
  if (!packed.quantized)
    packed.element = packedElement(element);
  packed.layers.assign(weight.getLayers().begin(), weight.getLayers().end());
  packed.matricesPerLayer = weight.isStack() ? weight.getNumMatrices() : 0;
  std::tie(packed.rows, packed.columns) = matrixShape(weight);
  for (auto piece : weight.getPieces().getAsRange<lm::PieceAttr>()) {
    packed.sources.push_back({.pattern = piece.getPattern().str(),
                              .stored = storedType(piece.getStored()),
                              .rows = piece.getRows(),
                              .firstRow = piece.getFirstRow(),
                              .rowStep = piece.getRowStep(),
                              .rowsPerMatrix = piece.getRowsPerExpert(),
                              .transposed = piece.getTransposed(),
                              .sideBySide = piece.getSideBySide(),
                              .firstMatrix = piece.getFirstExpert(),
                              .matrices = piece.getExperts()});
    if (lm::ScalesAttr scales = piece.getScales()) {
      packed.sources.back().scales = scales.getPattern().str();
      packed.sources.back().scaleRows = scales.getRows();
      packed.sources.back().scaleColumns = scales.getColumns();
    }
  }
  return packed;
}

/// Rows of bytes.
static PackedWeight describeTensor(lm::TensorOp tensor, uint64_t base) {
  PackedWeight packed;
  packed.name = tensor.getSymName().str();
  packed.offset = static_cast<uint64_t>(*tensor.getOffset()) + base;
  packed.element = PackedElement::Byte;
  auto type = cast<RankedTensorType>(tensor.getType());
  packed.columns = tensorBytes(tensor);
  packed.rows = 1;
  if (type.getRank() > 1) { // what is large is read row by row
    packed.rows = type.getNumElements() / type.getShape().back();
    packed.columns /= packed.rows;
  }
  packed.sources.push_back(
      {.pattern = tensor.getSource().str(), .stored = DataType::U8, .rows = packed.rows});
  return packed;
}

/// Appends an entry for the experts that a router picks among, `routed` of them, and one for each
/// shared expert: folded into experts that every token uses, it counts as the matrix that it was.
static void describePieces(lm::WeightOp weight, bool isMultiplied, int64_t routed,
                           std::vector<ManifestPiece> &pieces) {
  ArrayRef<int64_t> shape = weight.getType().getShape();
  auto [rows, columns] = matrixShape(weight);
  lm::PackedAttr packed = weight.getPackedAttr();
  int64_t matrix = packedBytes(packed.getLayout(), packed.getElement(), rows, columns);
  int64_t described = 0; // matrices of a layer
  for (auto piece : weight.getPieces().getAsRange<lm::PieceAttr>()) {
    if (piece.getFirstExpert() < described)
      continue; // further rows of the same tensors
    int64_t matrices = weight.getNumMatrices(piece);
    described = piece.getFirstExpert() + matrices;
    ManifestPiece &entry = pieces.emplace_back();
    entry.name = weight.getSymName().str();
    entry.pattern = piece.getPattern().str();
    entry.layers.assign(weight.getLayers().begin(), weight.getLayers().end());
    entry.stored = std::string(dataTypeName(storedType(piece.getStored())));
    entry.shape.assign(shape.end() - std::min<size_t>(shape.size(), 2), shape.end());
    entry.firstRow = piece.getFirstRow();
    entry.matrixBytes = matrix;
    entry.isMultiplied = isMultiplied && !weight.holdsVectors();
    if (weight.getNumExperts() > 0 && piece.getFirstExpert() >= routed) {
      entry.shape[piece.getSideBySide() ? 1 : 0] *= matrices;
      entry.matrixBytes *= matrices;
    } else {
      entry.matricesPerLayer = weight.isStack() ? matrices : 0;
      entry.areHeads = weight.getHeads();
      entry.rowsPerMatrix = piece.getRowsPerExpert();
    }
  }
}

static int64_t numberOf(DictionaryAttr model, StringRef key) {
  auto attribute = model.getAs<IntegerAttr>(key);
  return attribute ? attribute.getInt() : 0;
}

static void describeModel(DictionaryAttr model, Manifest &manifest) {
  auto number = [&](StringRef key) { return numberOf(model, key); };
  auto word = [&](StringRef key) {
    return model.getAs<StringAttr>(key) ? model.getAs<StringAttr>(key).str() : std::string();
  };
  manifest.name = word("name");
  manifest.architecture = word("architecture");
  manifest.vocabulary = number("vocabulary");
  manifest.hidden = number("hidden");
  manifest.layers = number("layers");
  manifest.context = number("context");
  manifest.totalParameters = number("parameters");
  manifest.activeParameters = number("active_parameters");
  if (auto layers = model.getAs<DenseI64ArrayAttr>("moe_layers"))
    for (int64_t layer : layers.asArrayRef())
      manifest.moeLayers.push_back({layer, number("experts"), number("picked")});
}

/// The phases of the step, in the order of its text, which is that of OutlinePhases. What has no
/// weights but quantises rows is told by those of the product that reads them.
static std::vector<ManifestPhase> describePhases(ModuleOp module, int64_t routed, int64_t picked) {
  std::vector<ManifestPhase> phases;
  llvm::DenseMap<Value, size_t> quantized; // rows that are still to be read, and whose they are
  module.walk([&](lm::PhaseOp phase) {
    llvm::SmallPtrSet<Operation *, 4> loads;
    std::vector<size_t> read;
    std::vector<std::string> weights;
    int64_t bytes = 0;
    phase.walk([&](Operation *op) {
      for (Value operand : op->getOperands()) {
        if (auto rows = quantized.find(operand); rows != quantized.end()) {
          read.push_back(rows->second);
          quantized.erase(rows);
        }
        auto load = operand.getDefiningOp<lm::LoadWeightOp>();
        if (!load || !loads.insert(load).second)
          continue;
        auto weight = module.lookupSymbol<lm::WeightOp>(load.getWeight());
        weights.push_back(weight.getSourceNames());
        auto [rows, columns] = matrixShape(weight);
        lm::PackedAttr packed = weight.getPackedAttr();
        int64_t matrix = packedBytes(packed.getLayout(), packed.getElement(), rows, columns);
        if (isa<lm::EmbeddingOp>(op)) // one row
          matrix /= packedRows(packed.getLayout(), packed.getElement(), rows);
        // Those folded in are picked by every token; of heads all are read.
        int64_t matrices = weight.getNumMatrices();
        if (weight.getNumExperts() > 0)
          matrices = picked + weight.getNumExperts() - routed;
        bytes += matrix * matrices;
      }
    });
    const std::string names = fmt::format("{}", fmt::join(weights, ", "));
    for (size_t maker : read)
      phases[maker].name += fmt::format(" (for {})", names);
    if (weights.empty())
      phase.walk([&](lm::QuantizeOp op) { quantized[op.getOut()] = phases.size(); });
    phases.push_back({weights.empty() ? phase.getName().str()
                                      : fmt::format("{} ({})", phase.getName().str(), names),
                      bytes});
  });
  return phases;
}

/// Most positions that a row chooses of `cache`; 0 where it sees all.
static int64_t mostChosen(ModuleOp module, lm::CacheOp cache) {
  int64_t most = 0;
  module.walk([&](lm::AttentionOp attention) {
    if (attention.getChosen() && lm::cacheOf(attention) == cache)
      most = std::max(most, extentOf(attention.getChosen(), 1) - 1);
  });
  return most;
}

/// That no sequence of the program outgrows the positions that keys are chosen among.
static Status checkChoices(ModuleOp module, int64_t context) {
  Status status;
  module.walk([&](lm::ChooseKeysOp choice) {
    const int64_t scored = choice.getContext();
    if (scored < context && status.ok())
      status = {Code::Model, fmt::format("a choice of keys in the cache {} is among {} positions, "
                                         "but the program's sequences have up to {}",
                                         choice.getCache().str(), scored, context)};
  });
  return status;
}

static void describeOptions(DictionaryAttr model, const PipelineOptions &options,
                            ArrayRef<const CpuTarget *> levels, Manifest &manifest) {
  manifest.options = {{"activations", options.activations}};
  if (!levels.empty())
    manifest.options.emplace_back("cpu", levelNames(levels));
  if (manifest.deviceMemory)
    manifest.options.emplace_back("device-memory", std::to_string(manifest.deviceMemory));
  if (!options.gpu.empty())
    manifest.options.emplace_back("gpu", options.gpu);
  manifest.options.emplace_back("kv-cache", options.cache);
  if (auto form = model.getAs<StringAttr>("mla"))
    manifest.options.emplace_back("mla", form.str());
  if (options.profile)
    manifest.options.emplace_back("profile", "true");
  if (!options.quantize.empty())
    manifest.options.emplace_back("quantize", options.quantize);
  if (options.reference)
    manifest.options.emplace_back("reference", "true");
  if (!options.gpu.empty())
    manifest.options.emplace_back("target", "cuda");
  if (!options.without.empty())
    manifest.options.emplace_back("without-pass",
                                  fmt::format("{}", fmt::join(options.without, ",")));
  for (const CpuTarget *level : levels) {
    ManifestCpuLevel &entry = manifest.cpuLevels.emplace_back();
    entry.name = level->level.str();
    for (const CpuFeature &feature : level->needed())
      entry.features.push_back(feature.cpuinfo.str());
  }
}

static Status describeCaches(ModuleOp module, Manifest &manifest) {
  for (auto cache : module.getOps<lm::CacheOp>()) {
    CacheLayout layout(cache);
    if (!manifest.caches.empty() && layout.block != manifest.blockTokens)
      return Status{Code::Model,
                    fmt::format("the cache {} has blocks of {} positions, that before it of {}; a "
                                "program has one size for all",
                                cache.getSymName().str(), layout.block, manifest.blockTokens)};
    manifest.blockTokens = layout.block;
    manifest.caches.push_back(
        {cache.getSymName().str(),
         std::vector<int64_t>(cache.getLayers().begin(), cache.getLayers().end()),
         layout.blockBytes(), layout.window, layout.chunk, mostChosen(module, cache)});
  }
  return {};
}

/// Appends the weights of a module, which lie from `base` on and of which CPUs read panels, or a
/// GPU. `routed` is how many experts a router picks among.
static Status describeWeights(ModuleOp module, int64_t routed, uint64_t base, bool onCpu,
                              ProgramDescription &description) {
  ManifestWeights &weights = description.manifest.weights;
  llvm::StringSet<> multiplied;
  module.walk([&](lm::LoadWeightOp load) {
    if (isMultiplied(load))
      multiplied.insert(load.getWeight());
  });
  for (auto weight : module.getOps<lm::WeightOp>()) {
    if (!weight.getPacked())
      return Status{Code::Internal,
                    fmt::format("the weight {} has no packed form: the module is not scheduled",
                                weight.getSymName().str())};
    // Mapped weights are found by them; of packed ones they say what a step reads.
    describePieces(weight, multiplied.contains(weight.getSymName()), routed, weights.pieces);
    if (weight.getPackedAttr().getMapped())
      continue;
    PackedWeight &packed = description.plan.weights.emplace_back(describeWeight(weight));
    packed.offset += base;
    if (onCpu && packed.layout == PackedLayout::Panels && multiplied.contains(weight.getSymName()))
      weights.panels.push_back(
          {.offset = static_cast<int64_t>(packed.offset),
           .matrices = static_cast<int64_t>(packed.matrices()),
           .matrixBytes = static_cast<int64_t>(packed.matrixBytes()),
           .panelBytes = kPanelColumns * static_cast<int64_t>(packed.depthBytes())});
  }
  for (auto tensor : module.getOps<lm::TensorOp>()) {
    if (!tensor.getOffset())
      return Status{Code::Internal,
                    fmt::format("the tensor {} has no place: the module is not scheduled",
                                tensor.getSymName().str())};
    if (cast<RankedTensorType>(tensor.getType()).getNumElements() > 0)
      description.plan.weights.push_back(describeTensor(tensor, base));
  }
  if (Status status = description.plan.check(); !status.ok())
    return status;
  weights.bytes = description.plan.totalBytes();
  return {};
}

/// Of a program for GPUs: what it is to fit, and the part that CPUs do, `host`, which may be null.
static Status describePlacement(ModuleOp module, ModuleOp host, int64_t routed,
                                ProgramDescription &description) {
  Manifest &manifest = description.manifest;
  auto placement = module->getAttrOfType<DictionaryAttr>(kPlacementAttr);
  if (placement)
    manifest.deviceMemory = numberOf(placement, kDeviceMemoryName);
  if (!host)
    return {};
  auto layers =
      placement ? placement.getAs<DenseI64ArrayAttr>(kHostLayersName) : DenseI64ArrayAttr();
  if (!layers)
    return {Code::Model, "the module has a part for the host, and no attribute moec.placement that "
                         "says of which layers"};
  manifest.host = ManifestHost{.layers = {layers.asArrayRef().begin(), layers.asArrayRef().end()},
                               .firstByte = manifest.weights.bytes,
                               .firstPiece = manifest.weights.pieces.size()};
  return describeWeights(host, routed, manifest.weights.bytes, /*onCpu=*/true, description);
}

static Result<std::vector<ManifestTensor>> describeTensors(DictionaryAttr graph, StringRef list) {
  std::vector<ManifestTensor> tensors;
  auto entries = graph.getAs<ArrayAttr>(list);
  for (Attribute entry : entries ? entries.getValue() : ArrayRef<Attribute>()) {
    auto tensor = dyn_cast<DictionaryAttr>(entry);
    auto name = tensor ? tensor.getAs<StringAttr>("name") : StringAttr();
    auto type = tensor ? tensor.getAs<StringAttr>("type") : StringAttr();
    auto shape = tensor ? tensor.getAs<ArrayAttr>("shape") : ArrayAttr();
    if (!name || !type || !shape)
      return Status{Code::Model, fmt::format("the module's attribute {} has an entry of '{}' "
                                             "without name, type or shape",
                                             kGraphAttr.str(), list.str())};
    ManifestTensor &into =
        tensors.emplace_back(ManifestTensor{.name = name.str(), .type = type.str()});
    for (Attribute size : shape) {
      if (auto number = dyn_cast<IntegerAttr>(size))
        into.shape.push_back({.size = number.getInt(), .dimension = {}});
      else if (auto dimension = dyn_cast<StringAttr>(size))
        into.shape.push_back({.dimension = dimension.str()});
    }
  }
  return tensors;
}

/// Of a graph of tensors: what it takes and gives.
static Status describeGraph(DictionaryAttr graph, Manifest &manifest) {
  if (auto name = graph.getAs<StringAttr>("name"))
    manifest.name = name.str();
  manifest.architecture = "graph";
  ManifestGraph &into = manifest.graph.emplace();
  if (auto dimensions = graph.getAs<ArrayAttr>(kDimensionsName))
    for (auto dimension : dimensions.getAsRange<StringAttr>())
      into.dimensions.push_back(dimension.str());
  if (auto failures = graph.getAs<ArrayAttr>(kFailuresName))
    for (auto failure : failures.getAsRange<StringAttr>())
      into.failures.push_back(failure.str());
  for (auto [list, tensors] :
       {std::pair(kInputsName, &into.inputs), std::pair(kOutputsName, &into.outputs)}) {
    Result<std::vector<ManifestTensor>> described = describeTensors(graph, list);
    if (!described.ok())
      return described.status();
    *tensors = std::move(*described);
  }
  return {};
}

Result<ProgramDescription> moec::describeProgram(ModuleOp module, const PipelineOptions &options) {
  ProgramDescription description;
  Manifest &manifest = description.manifest;
  auto model = module->getAttrOfType<DictionaryAttr>("moec.model");
  if (auto graph = module->getAttrOfType<DictionaryAttr>(kGraphAttr)) {
    if (Status status = describeGraph(graph, manifest); !status.ok())
      return status;
    model = DictionaryAttr::get(module.getContext());
  }
  if (!model)
    return Status{Code::Model,
                  "the module has no attribute moec.model, which says what model it is"};
  if (!manifest.graph)
    describeModel(model, manifest);
  if (Status status = checkChoices(module, manifest.context); !status.ok())
    return status;
  std::vector<const CpuTarget *> levels;
  ModuleOp host = findHost(module);
  const bool onGpu = !options.gpu.empty();
  if (!onGpu || host) {
    Result<std::vector<const CpuTarget *>> found = findCpuTargets(options.cpu);
    if (!found.ok())
      return found.status();
    levels = std::move(*found);
  }
  if (onGpu) {
    llvm::SmallVector<StringRef> gpus;
    StringRef(options.gpu).split(gpus, ',');
    manifest.gpus.assign(gpus.begin(), gpus.end());
  }
  manifest.versions = {{"llvm", LLVM_VERSION_STRING}, {"moec", MOEC_VERSION}};
  manifest.queryTile = onGpu ? kGpuQueryTile : kQueryTile;
  const int64_t routed = numberOf(model, "experts");
  if (Status status = describeCaches(module, manifest); !status.ok())
    return status;
  if (Status status = describeWeights(module, routed, /*base=*/0, !onGpu, description);
      !status.ok())
    return status;
  if (Status status = describePlacement(module, host, routed, description); !status.ok())
    return status;
  // What was planned to fit a GPU has the smaller steps' arena.
  manifest.stepTokens = onGpu && !manifest.deviceMemory ? kGpuStepTokens : kStepTokens;
  describeOptions(model, options, levels, manifest);
  if (options.profile)
    manifest.phases = describePhases(module, routed, numberOf(model, "picked"));
  return description;
}
