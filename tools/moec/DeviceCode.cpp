// LLVM IR, PTX and cubins, the architectures side by side.

#include "tools/moec/DeviceCode.h"

#include "compiler/emit/ObjectCode.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

#include <fmt/format.h>

#include <optional>
#include <thread>

using namespace moec;

static MachineTarget machineOf(const CudaTarget &target) {
  return {"nvptx64-nvidia-cuda", target.name.str(), target.features.str()};
}

/// The work that threads share nothing of.
static Status makeImage(llvm::Module &module, DeviceForm form, const std::string &ptxas,
                        DeviceImage &image) {
  const MachineTarget machine = machineOf(*image.target);
  if (Status status = optimizeLlvm(module, &machine); !status.ok())
    return status;
  if (form == DeviceForm::LlvmIr) {
    image.bytes = printLlvm(module);
    return {};
  }
  Result<std::string> ptx = emitPtx(module, machine);
  if (!ptx.ok())
    return ptx.status();
  image.bytes = std::move(*ptx);
  if (form == DeviceForm::Ptx)
    return {};
  Result<Cubin> cubin = assemblePtx(ptxas, image.bytes, image.target->name);
  if (!cubin.ok())
    return cubin.status();
  image.bytes = std::move(cubin->bytes);
  image.kernels = std::move(cubin->kernels);
  return {};
}

Result<std::vector<DeviceImage>>
moec::makeDeviceImages(llvm::ArrayRef<mlir::OwningOpRef<mlir::ModuleOp>> modules,
                       llvm::ArrayRef<const CudaTarget *> targets, DeviceForm form,
                       const std::string &ptxas) {
  struct Work {
    llvm::LLVMContext context;
    std::unique_ptr<llvm::Module> module;
    Status status;
  };
  std::vector<Work> work(targets.size());
  std::vector<DeviceImage> images;
  for (size_t i = 0; i < targets.size(); ++i) {
    DeviceImage &image = images.emplace_back();
    image.target = targets[i];
    (*modules[i])->walk([&](mlir::LLVM::LLVMFuncOp function) {
      auto threads = function->getAttrOfType<mlir::DenseI32ArrayAttr>(
          mlir::NVVM::NVVMDialect::getReqntidAttrName());
      if (threads)
        image.blockWarps[function.getSymName()] = threads.asArrayRef().front() / kWarpLanes;
    });
    Result<std::unique_ptr<llvm::Module>> kernels =
        translateKernels(*modules[i], work[i].context, machineOf(*targets[i]));
    if (!kernels.ok())
      return kernels.status();
    work[i].module = std::move(*kernels);
  }
  std::vector<std::thread> threads;
  for (size_t i = 0; i < targets.size(); ++i)
    threads.emplace_back(
        [&, i] { work[i].status = makeImage(*work[i].module, form, ptxas, images[i]); });
  for (std::thread &thread : threads)
    thread.join();
  for (const Work &done : work)
    if (!done.status.ok())
      return done.status;
  return images;
}

std::string moec::reportKernels(llvm::ArrayRef<DeviceImage> images) {
  std::string text;
  for (const DeviceImage &image : images)
    for (const KernelResources &kernel : image.kernels)
      text +=
          fmt::format("kernel {} on {}: {} registers, {} bytes of stack, {} bytes spilt, {} bytes "
                      "of shared memory, {} % of the warps\n",
                      kernel.name, image.target->name.str(), kernel.registers, kernel.stackBytes,
                      kernel.spillBytes, kernel.sharedBytes,
                      image.target->occupancy(image.blockWarps.lookup(kernel.name),
                                              kernel.registers, kernel.sharedBytes));
  return text;
}
