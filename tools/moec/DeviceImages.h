// Kernels of every GPU architecture that a compile is for.

#ifndef MOEC_TOOLS_MOEC_DEVICEIMAGES_H
#define MOEC_TOOLS_MOEC_DEVICEIMAGES_H

#include "compiler/analysis/StepCost.h"
#include "compiler/emit/DeviceTables.h"
#include "compiler/emit/Ptxas.h"
#include "compiler/targets/cuda/CudaTarget.h"
#include "runtime/core/Result.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include <optional>
#include <string>
#include <vector>

namespace moec {

/// What a GPU loads, or what becomes of the kernels on the way there.
enum class DeviceForm { LlvmIr, Ptx, Cubin };

/// Form of what is made, and what becomes of an architecture that ptxas is too old for.
struct DeviceWish {
  DeviceForm form = DeviceForm::Cubin;
  bool mayStayPtx = false; ///< then it has PTX in place of a cubin; else it is a failure
};

struct DeviceImage {
  const CudaTarget *target = nullptr;
  DeviceForm form = DeviceForm::Ptx; ///< of `bytes`
  std::string bytes;
  std::string ptx;                        ///< that a cubin was made of
  std::string obstacle;                   ///< why it has stayed PTX
  std::vector<DeviceKernel> kernels;      ///< in the order in which the step numbers them
  std::vector<KernelResources> resources; ///< of a cubin's kernels
};

/// Makes the kernels of `modules`, which the emit stage has left, one for each of `targets`.
/// `ptxas` is for cubins.
Result<std::vector<DeviceImage>>
makeDeviceImages(llvm::ArrayRef<mlir::OwningOpRef<mlir::ModuleOp>> modules,
                 llvm::ArrayRef<const CudaTarget *> targets, DeviceWish wish,
                 const std::optional<Ptxas> &ptxas);

/// What a program has of the images: each as it is, cubins made by ptxas of the CUDA release
/// `release`; and of the newest architecture whose code runs on later GPUs too the PTX, for these.
std::vector<DeviceCode> takeDeviceCodes(std::vector<DeviceImage> images, int release);

/// Leaves of a module with kernels what runs on the host; the kernels too, as functions of it,
/// where they are to be emulated.
Status keepHostCode(mlir::ModuleOp module, bool emulates);

/// Writes `output`.ARCHITECTURE.FORM of each image; LLVM IR, and what goes to stdout ("-"), as it
/// is.
Status writeDeviceImages(llvm::ArrayRef<DeviceImage> images, DeviceForm form,
                         const std::string &output);

/// What a step's phases cost (StepCost.h); empty where the module came scheduled.
struct StepCosts {
  StepShape shape;
  std::vector<PhaseCost> phases;
};

/// The costs that are reported: of a step that decodes a token, and of one that reads a prompt.
std::vector<StepCosts> costOfSteps(mlir::ModuleOp scheduled);

/// A line for each kernel: what it takes of a multiprocessor, how many blocks and warps that then
/// has at work, and the least time of the kernel's runs in each of the `steps`; and a line for each
/// of these with the sum.
std::string reportKernels(llvm::ArrayRef<DeviceImage> images, llvm::ArrayRef<StepCosts> steps);

} // namespace moec

#endif // MOEC_TOOLS_MOEC_DEVICEIMAGES_H
