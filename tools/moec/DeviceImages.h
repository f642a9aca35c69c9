// Kernels of every GPU architecture that a compile is for.

#ifndef MOEC_TOOLS_MOEC_DEVICEIMAGES_H
#define MOEC_TOOLS_MOEC_DEVICEIMAGES_H

#include "compiler/emit/DeviceTables.h"
#include "compiler/emit/Ptxas.h"
#include "compiler/targets/cuda/CudaTarget.h"
#include "runtime/core/Result.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include <string>
#include <vector>

namespace moec {

/// What a GPU loads, or what becomes of the kernels on the way there.
enum class DeviceForm { LlvmIr, Ptx, Cubin };

struct DeviceImage {
  const CudaTarget *target = nullptr;
  std::string bytes;                      ///< in the form that was asked for
  std::vector<DeviceKernel> kernels;      ///< in the order in which the step numbers them
  std::vector<KernelResources> resources; ///< of a cubin's kernels
};

/// Makes the kernels of `modules`, which the emit stage has left, one for each of `targets`.
/// `ptxas` is where that is, for cubins.
Result<std::vector<DeviceImage>>
makeDeviceImages(llvm::ArrayRef<mlir::OwningOpRef<mlir::ModuleOp>> modules,
                 llvm::ArrayRef<const CudaTarget *> targets, DeviceForm form,
                 const std::string &ptxas);

/// What a program has of an image: a cubin that ptxas of the CUDA release `release` made, or, where
/// that is 0, PTX.
DeviceCode takeDeviceCode(DeviceImage image, int release);

/// Leaves of a module with kernels what runs on the host; the kernels too, as functions of it,
/// where they are to be emulated.
Status keepHostCode(mlir::ModuleOp module, bool emulates);

/// Writes `output`.ARCHITECTURE.FORM of each image; LLVM IR, and what goes to stdout ("-"), as it
/// is.
Status writeDeviceImages(llvm::ArrayRef<DeviceImage> images, DeviceForm form,
                         const std::string &output);

/// A line for each kernel: what it takes of a multiprocessor, and how much of that it can fill.
std::string reportKernels(llvm::ArrayRef<DeviceImage> images);

} // namespace moec

#endif // MOEC_TOOLS_MOEC_DEVICEIMAGES_H
