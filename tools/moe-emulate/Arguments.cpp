// Fits tensors to a kernel's parameters and spells memrefs out as the lowering does.

#include "tools/moe-emulate/Arguments.h"

#include "runtime/core/File.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

#include <fmt/format.h>

using namespace mlir;
using namespace moec;

constexpr size_t kBufferAlignment = 256; // as the driver gives memory

static Status usage(std::string message) { return {Code::Usage, std::move(message)}; }

static std::string typeText(Type type) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  type.print(stream);
  return text;
}

bool moec::isKernel(FunctionOpInterface function) {
  auto kernel = dyn_cast<gpu::GPUFuncOp>(function.getOperation());
  return kernel ? kernel.isKernel() : function->hasAttr(NVVM::NVVMDialect::getKernelFuncAttrName());
}

Result<KernelSignature> moec::findSignature(ModuleOp module, const std::string &name) {
  std::vector<KernelSignature> found;
  std::string names;
  module.walk([&](FunctionOpInterface function) {
    auto owner = function->getParentOfType<gpu::GPUModuleOp>();
    if (!owner || !isKernel(function))
      return;
    names += (names.empty() ? "" : ", ") + function.getName().str();
    if (!name.empty() && function.getName() != name)
      return;
    KernelSignature signature{owner.getName().str(),
                              function.getName().str(),
                              llvm::to_vector(function.getArgumentTypes()),
                              {}};
    for (unsigned i = 0; i < signature.types.size(); ++i) {
      auto attribute =
          function.getArgAttrOfType<TypeAttr>(i, LLVM::LLVMDialect::getByValAttrName());
      signature.byValue.push_back(attribute ? attribute.getValue() : Type());
    }
    found.push_back(std::move(signature));
  });
  if (found.size() == 1)
    return found.front();
  if (names.empty())
    return usage("the file has no kernel; wanted a gpu.module with a gpu.func that is a kernel, or "
                 "an llvm.func with nvvm.kernel");
  if (found.empty())
    return usage(fmt::format("there is no kernel '{}'; there are {}", name, names));
  return usage(fmt::format("there are several kernels, {}; choose one with --kernel", names));
}

/// Whether the tensors' type and the kernel's have values of the same kind and size.
static bool fits(DataType given, Type wanted) {
  if (wanted.isIndex())
    return given == DataType::I64 || given == DataType::U64;
  if (auto vector = dyn_cast<VectorType>(wanted))
    return fits(given, vector.getElementType());
  if (wanted.isInteger(1))
    return given == DataType::Bool || given == DataType::U8 || given == DataType::I8;
  if (auto integer = dyn_cast<IntegerType>(wanted)) {
    switch (given) {
    case DataType::F16:
    case DataType::BF16:
    case DataType::F32:
    case DataType::F64:
    case DataType::C64:
      return false;
    default: // small floats are often passed as integers
      return dataTypeBits(given) == integer.getWidth();
    }
  }
  switch (given) {
  case DataType::F16:
    return wanted.isF16();
  case DataType::BF16:
    return wanted.isBF16();
  case DataType::F32:
    return wanted.isF32();
  case DataType::F64:
    return wanted.isF64();
  case DataType::F8E4M3:
    return isa<Float8E4M3FNType>(wanted);
  case DataType::F8E5M2:
    return isa<Float8E5M2Type>(wanted);
  default:
    return false;
  }
}

Status KernelArguments::addMemRef(const Tensor &tensor, MemRefType type) {
  std::string wanted = typeText(type);
  std::vector<int64_t> shape = tensor.shape;
  if (auto vector = dyn_cast<VectorType>(type.getElementType()); vector && !vector.isScalable())
    for (int64_t extent : llvm::reverse(vector.getShape())) {
      if (shape.empty() || shape.back() != extent)
        return usage(fmt::format("{}: shape {} does not end with the vectors of {}", tensor.name,
                                 shapeText(tensor.shape), wanted));
      shape.pop_back();
    }
  bool matches = int64_t(shape.size()) == type.getRank();
  for (int64_t i = 0; matches && i < type.getRank(); ++i)
    matches = type.isDynamicDim(unsigned(i)) || type.getDimSize(unsigned(i)) == shape[size_t(i)];
  if (!matches || !fits(tensor.type, type.getElementType()))
    return usage(fmt::format("{}: {} of shape {}, where the kernel takes {}", tensor.name,
                             dataTypeName(tensor.type), shapeText(tensor.shape), wanted));
  SmallVector<int64_t> strides;
  int64_t offset = 0;
  if (failed(type.getStridesAndOffset(strides, offset)))
    return usage(fmt::format("{}: {} has a layout without strides", tensor.name, wanted));
  int64_t contiguous = 1;
  for (int64_t i = type.getRank() - 1; i >= 0; --i) {
    if (strides[size_t(i)] != ShapedType::kDynamic && strides[size_t(i)] != contiguous &&
        shape[size_t(i)] != 1)
      return usage(fmt::format("{}: {} is not contiguous, as tensors are", tensor.name, wanted));
    strides[size_t(i)] = contiguous;
    contiguous *= shape[size_t(i)];
  }
  const auto address = int64_t(uintptr_t(tensor.data.data()));
  addNumber(address);
  addNumber(address);
  addNumber(ShapedType::isDynamic(offset) ? 0 : offset);
  for (int64_t extent : shape)
    addNumber(extent);
  for (int64_t stride : strides)
    addNumber(stride);
  return {};
}

Result<std::unique_ptr<KernelArguments>> KernelArguments::read(const KernelSignature &signature,
                                                               const std::string &path) {
  auto arguments = std::make_unique<KernelArguments>();
  if (path.empty()) {
    if (!signature.types.empty())
      return usage(fmt::format("{} takes {} arguments; give a file with --args", signature.name,
                               signature.types.size()));
    return arguments;
  }
  Result<File> file = File::open(path, Code::Usage);
  if (!file.ok())
    return file.status();
  Result<SafetensorsHeader> header = SafetensorsHeader::read(*file);
  if (!header.ok())
    return header.status();
  if (header->tensors().size() != signature.types.size())
    return usage(fmt::format("{}: {} tensors, where {} takes {} arguments", path,
                             header->tensors().size(), signature.name, signature.types.size()));
  arguments->tensors.reserve(signature.types.size());
  for (auto [i, type] : llvm::enumerate(signature.types)) {
    const SafetensorsTensor *entry = header->find(fmt::format("arg{}", i));
    if (!entry)
      return usage(
          fmt::format("{}: no tensor arg{} for the argument of type {}", path, i, typeText(type)));
    Tensor tensor{.name = entry->name, .type = entry->type, .shape = entry->shape};
    tensor.room.reset(new uint8_t[entry->bytes() + kBufferAlignment]());
    auto *begin =
        reinterpret_cast<uint8_t *>((uintptr_t(tensor.room.get()) + kBufferAlignment - 1) /
                                    kBufferAlignment * kBufferAlignment); // NOLINT
    tensor.data = {begin, entry->bytes()};
    if (Status status = file->readAt(header->dataStart() + entry->begin, tensor.data); !status.ok())
      return status;
    const bool isPassedByValue = signature.byValue[i] != nullptr;
    tensor.isBuffer = isa<MemRefType, LLVM::LLVMPointerType>(type) && !isPassedByValue;
    Tensor &kept = arguments->tensors.emplace_back(std::move(tensor));
    if (isPassedByValue)
      arguments->addValue(kept.data.data());
    else if (auto memref = dyn_cast<MemRefType>(type)) {
      if (Status status = arguments->addMemRef(kept, memref); !status.ok())
        return status;
    } else if (isa<LLVM::LLVMPointerType>(type))
      arguments->addNumber(int64_t(uintptr_t(kept.data.data())));
    else if (type.isIntOrIndexOrFloat() && kept.shape.empty() && fits(kept.type, type))
      arguments->addValue(kept.data.data());
    else
      return usage(fmt::format("{}: {} of shape {} for the argument of type {}; wanted a number of "
                               "that type, of shape []",
                               kept.name, dataTypeName(kept.type), shapeText(kept.shape),
                               typeText(type)));
  }
  return arguments;
}

void KernelArguments::addTo(emulator::Gpu &gpu) const {
  for (const Tensor &tensor : tensors)
    if (tensor.isBuffer && !tensor.data.empty())
      gpu.addBuffer({tensor.data.data(), tensor.data.size(), false});
}

Status KernelArguments::write(const std::string &file) const {
  std::vector<SafetensorsOutput> outputs;
  for (const Tensor &tensor : tensors)
    outputs.push_back({tensor.name, tensor.type, tensor.shape, tensor.data});
  return writeSafetensors(file, std::move(outputs));
}
