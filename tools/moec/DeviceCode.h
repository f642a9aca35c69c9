// Kernels of every GPU architecture that a compile is for.

#ifndef MOEC_TOOLS_MOEC_DEVICECODE_H
#define MOEC_TOOLS_MOEC_DEVICECODE_H

#include "compiler/emit/Ptxas.h"
#include "compiler/targets/cuda/CudaTarget.h"
#include "runtime/core/Result.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/StringMap.h"

#include <string>
#include <vector>

namespace moec {

/// What a GPU loads, or what becomes of the kernels on the way there.
enum class DeviceForm { LlvmIr, Ptx, Cubin };

struct DeviceImage {
  const CudaTarget *target = nullptr;
  std::string bytes;                    ///< in the form that was asked for
  std::vector<KernelResources> kernels; ///< of a cubin
  llvm::StringMap<int64_t> blockWarps;  ///< of each kernel
};

/// Makes the kernels of `modules`, which the emit stage has left, one for each of `targets`.
/// `ptxas` is where that is, for cubins.
Result<std::vector<DeviceImage>>
makeDeviceImages(llvm::ArrayRef<mlir::OwningOpRef<mlir::ModuleOp>> modules,
                 llvm::ArrayRef<const CudaTarget *> targets, DeviceForm form,
                 const std::string &ptxas);

/// A line for each kernel: what it takes of a multiprocessor, and how much of that it can fill.
std::string reportKernels(llvm::ArrayRef<DeviceImage> images);

} // namespace moec

#endif // MOEC_TOOLS_MOEC_DEVICECODE_H
