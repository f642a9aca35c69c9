// LLVM IR, PTX and cubins, the architectures side by side.

#include "tools/moec/DeviceImages.h"

#include "compiler/emit/ObjectCode.h"
#include "compiler/pipeline/Description.h"
#include "compiler/targets/emulator/Passes.h"
#include "runtime/core/AtomicFile.h"
#include "tools/moec/CubinCache.h"
#include "tools/moec/TextOutput.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Pass/PassManager.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>
#include <utility>

using namespace moec;

static MachineTarget machineOf(const CudaTarget &target) {
  return {"nvptx64-nvidia-cuda", target.name.str(), target.features.str()};
}

static int32_t sharedBytesOf(mlir::LLVM::LLVMFuncOp kernel) {
  auto bytes = kernel->getAttrOfType<mlir::IntegerAttr>(kBlockMemoryAttr);
  return bytes ? int32_t(bytes.getInt()) : 0;
}

/// The work that threads share nothing of.
static Status makeImage(llvm::Module &module, const DeviceWish &wish,
                        const std::optional<Ptxas> &ptxas, DeviceImage &image) {
  const MachineTarget machine = machineOf(*image.target);
  if (Status status = optimizeLlvm(module, &machine); !status.ok())
    return status;
  if (wish.form == DeviceForm::LlvmIr) {
    image.form = DeviceForm::LlvmIr;
    image.bytes = printLlvm(module);
    return {};
  }
  Result<std::string> ptx = emitPtx(module, machine);
  if (!ptx.ok())
    return ptx.status();
  image.bytes = std::move(*ptx);
  if (wish.form == DeviceForm::Ptx)
    return {};
  Result<Cubin> cubin = cachedCubin(*ptxas, image.bytes, image.target->name);
  if (!cubin.ok() && cubin.status().code == Code::Usage && wish.mayStayPtx) {
    image.obstacle = cubin.status().message;
    return {};
  }
  if (!cubin.ok())
    return cubin.status();
  image.form = DeviceForm::Cubin;
  image.ptx = std::exchange(image.bytes, std::move(cubin->bytes));
  image.resources = parseResources(cubin->report);
  return {};
}

Result<std::vector<DeviceImage>>
moec::makeDeviceImages(llvm::ArrayRef<mlir::OwningOpRef<mlir::ModuleOp>> modules,
                       llvm::ArrayRef<const CudaTarget *> targets, DeviceWish wish,
                       const std::optional<Ptxas> &ptxas) {
  struct Work {
    llvm::LLVMContext context;
    std::unique_ptr<llvm::Module> module;
    Status status;
  };
  std::vector<Work> work(targets.size());
  std::vector<DeviceImage> images;
  images.reserve(targets.size());
  for (size_t i = 0; i < targets.size(); ++i) {
    DeviceImage &image = images.emplace_back();
    image.target = targets[i];
    (*modules[i])->walk([&](mlir::LLVM::LLVMFuncOp function) {
      auto threads = function->getAttrOfType<mlir::DenseI32ArrayAttr>(
          mlir::NVVM::NVVMDialect::getReqntidAttrName());
      if (threads)
        image.kernels.push_back(
            {function.getSymName().str(), threads.asArrayRef().front(), sharedBytesOf(function)});
    });
    Result<std::unique_ptr<llvm::Module>> kernels =
        translateKernels(*modules[i], work[i].context, machineOf(*targets[i]));
    if (!kernels.ok())
      return kernels.status();
    work[i].module = std::move(*kernels);
  }
  std::vector<std::thread> threads;
  threads.reserve(targets.size());
  for (size_t i = 0; i < targets.size(); ++i)
    threads.emplace_back(
        [&, i] { work[i].status = makeImage(*work[i].module, wish, ptxas, images[i]); });
  for (std::thread &thread : threads)
    thread.join();
  for (const Work &done : work)
    if (!done.status.ok())
      return done.status;
  return images;
}

static DeviceCode deviceCode(const DeviceImage &image, bool isText, std::string bytes,
                             int driverVersion) {
  const auto [major, minor] = image.target->capability();
  return {.architecture = image.target->name.str(),
          .kernels = image.kernels,
          .image = {.major = major,
                    .minor = minor,
                    .is_specific = image.target->isSpecific(),
                    .is_text = isText,
                    .driver_version = driverVersion,
                    .bytes = nullptr,
                    .size = 0},
          .bytes = std::move(bytes)};
}

std::vector<DeviceCode> moec::takeDeviceCodes(std::vector<DeviceImage> images, int release) {
  const DeviceImage *newest = nullptr; // they are in the order of their age
  for (const DeviceImage &image : images)
    if (!image.target->isSpecific())
      newest = &image;
  std::vector<DeviceCode> codes;
  for (DeviceImage &image : images) {
    const bool isText = image.form == DeviceForm::Ptx;
    const int least = image.target->driverVersion;
    // Drivers read the cubins of any release of their own major number.
    codes.push_back(deviceCode(image, isText, std::move(image.bytes),
                               isText ? least : std::max(least, release / 1000 * 1000)));
    if (!isText && &image == newest)
      codes.push_back(deviceCode(image, /*isText=*/true, std::move(image.ptx), least));
  }
  return codes;
}

Status moec::keepHostCode(mlir::ModuleOp module, bool emulates) {
  if (emulates) {
    mlir::PassManager passes(module.getContext());
    passes.addPass(createEmulateGpu());
    if (failed(passes.run(module)))
      return {Code::Internal, "the kernels cannot be emulated"};
    return {};
  }
  for (auto kernels : llvm::make_early_inc_range(module.getOps<mlir::gpu::GPUModuleOp>()))
    kernels.erase();
  return {};
}

Status moec::writeDeviceImages(llvm::ArrayRef<DeviceImage> images, DeviceForm form,
                               const std::string &output) {
  const bool isSingle = form == DeviceForm::LlvmIr || output == "-";
  if (isSingle) {
    for (const DeviceImage &image : images)
      if (Status status = writeText(output, image.bytes); !status.ok())
        return status;
    return {};
  }
  std::vector<AtomicFile> files; // all have their names, or none
  for (const DeviceImage &image : images) {
    Result<AtomicFile> file = AtomicFile::create(fmt::format(
        "{}.{}.{}", output, image.target->name.str(), form == DeviceForm::Ptx ? "ptx" : "cubin"));
    if (!file.ok())
      return file.status();
    if (Status status = file->append(image.bytes); !status.ok())
      return status;
    files.push_back(std::move(*file));
  }
  for (AtomicFile &file : files)
    if (Status status = file.commit(); !status.ok())
      return status;
  return {};
}

/// Phases are numbered as kernels are: OutlineKernels makes one of each, in the order of a walk.
std::vector<StepCosts> moec::costOfSteps(mlir::ModuleOp scheduled) {
  /// Where in its sequence the token is that is decoded: neither at once nor late.
  constexpr int64_t kDepth = 4096;
  int64_t context = kGpuStepTokens;
  if (auto model = scheduled->getAttrOfType<mlir::DictionaryAttr>("moec.model"))
    if (auto positions = model.getAs<mlir::IntegerAttr>("context"))
      context = positions.getInt();
  std::vector<StepCosts> steps;
  for (const StepShape &shape : {StepShape{1, std::min(kDepth, context) - 1, 1},
                                 StepShape{std::min(kGpuStepTokens, context), 0, 1}})
    steps.push_back({shape, costOfStep(scheduled, shape)});
  return steps;
}

static MachineRates ratesOf(const CudaTarget &target) {
  /// From the end of a kernel of a graph to the start of the next that waits for it, about.
  constexpr double kSecondsBetween = 2e-6;
  return {target.gigabytes * 1e9, target.tensorTeraOps * 1e12, target.floatTeraOps * 1e12,
          kSecondsBetween};
}

/// What a kernel takes and has at work.
static std::string reportKernel(const DeviceImage &image, const DeviceKernel &launched,
                                const KernelResources &kernel) {
  const CudaTarget &target = *image.target;
  const int64_t shared = kernel.sharedBytes + launched.sharedBytes,
                warps = launched.threads / kWarpLanes,
                blocks = target.residentBlocks(warps, kernel.registers, shared);
  return fmt::format(
      "kernel {} on {}: {} registers, {} bytes of stack, {} bytes spilt, {} bytes of "
      "shared memory; {} blocks and {} of {} warps at work",
      kernel.name, target.name.str(), kernel.registers, kernel.stackBytes, kernel.spillBytes,
      shared, blocks, blocks * warps, target.warps);
}

/// The least time that a kernel's runs take in each step that has any.
static std::string reportRuns(llvm::ArrayRef<StepCosts> steps, size_t kernel,
                              const MachineRates &rates) {
  std::string text;
  for (const StepCosts &step : steps)
    if (const PhaseCost &phase = step.phases[kernel]; phase.runs > 0)
      text += fmt::format("; for {} rows it runs {} times in {:.1f} us", step.shape.rows,
                          phase.runs, leastSeconds(phase, rates) * 1e6);
  return text;
}

static std::string reportStep(const StepCosts &step, const CudaTarget &target) {
  double seconds = 0;
  for (const PhaseCost &phase : step.phases)
    seconds += leastSeconds(phase, ratesOf(target));
  return fmt::format("step of {} rows from position {} on {}: at least {:.3f} ms at the rates of "
                     "{}: {} GB/s, {} TFLOP/s of tensor cores, {} of others\n",
                     step.shape.rows, step.shape.first, target.name.str(), seconds * 1e3,
                     target.gpu.str(), target.gigabytes, target.tensorTeraOps, target.floatTeraOps);
}

std::string moec::reportKernels(llvm::ArrayRef<DeviceImage> images,
                                llvm::ArrayRef<StepCosts> steps) {
  std::string text;
  for (const DeviceImage &image : images) {
    for (const KernelResources &kernel : image.resources) {
      const auto launched = llvm::find_if(
          image.kernels, [&](const DeviceKernel &own) { return own.name == kernel.name; });
      const auto number = static_cast<size_t>(launched - image.kernels.begin());
      text += reportKernel(image, *launched, kernel) +
              reportRuns(steps, number, ratesOf(*image.target)) + "\n";
    }
    for (const StepCosts &step : steps)
      text += reportStep(step, *image.target);
  }
  return text;
}
