// Constants of the host that tell the emulator about kernels, in the layout of KernelAbi.h.

#include "compiler/targets/emulator/EmulatedCode.h"

using namespace mlir;
using namespace moec;

namespace {
/// Adds constants to a module.
class ConstantBuilder {
public:
  ConstantBuilder(ModuleOp module, const std::string &prefix)
      : builder(OpBuilder::atBlockEnd(module.getBody())), loc(module.getLoc()), prefix(prefix) {}

  /// A field of a descriptor: a number, the address of a symbol, or null.
  struct Field {
    std::string symbol;
    int64_t number = 0;
    bool isPointer = false;
  };
  static Field number(int64_t value) { return {{}, value, false}; }
  static Field address(std::string symbol) { return {std::move(symbol), 0, true}; }

  Field numbers(StringRef what, ArrayRef<int64_t> values);
  Field text(StringRef what, StringRef value);
  /// Rows of equal fields, one after another.
  Field rows(StringRef what, ArrayRef<SmallVector<Field>> values);
  /// One row under its own name, for others to find.
  void exported(StringRef symbol, ArrayRef<Field> fields) {
    define(symbol, LLVM::Linkage::External, {SmallVector<Field>(fields)});
  }

private:
  void define(StringRef symbol, LLVM::Linkage linkage, ArrayRef<SmallVector<Field>> values);

  OpBuilder builder;
  Location loc;
  std::string prefix;
};
} // namespace

ConstantBuilder::Field ConstantBuilder::numbers(StringRef what, ArrayRef<int64_t> values) {
  if (values.empty())
    return address("");
  std::string symbol = prefix + "." + what.str();
  auto type = RankedTensorType::get(int64_t(values.size()), builder.getI64Type());
  LLVM::GlobalOp::create(
      builder, loc, LLVM::LLVMArrayType::get(builder.getI64Type(), values.size()),
      /*isConstant=*/true, LLVM::Linkage::Internal, symbol, DenseElementsAttr::get(type, values));
  return address(symbol);
}

ConstantBuilder::Field ConstantBuilder::text(StringRef what, StringRef value) {
  std::string symbol = prefix + "." + what.str();
  std::string ended = value.str();
  ended.push_back('\0');
  LLVM::GlobalOp::create(builder, loc, LLVM::LLVMArrayType::get(builder.getI8Type(), ended.size()),
                         /*isConstant=*/true, LLVM::Linkage::Internal, symbol,
                         builder.getStringAttr(ended));
  return address(symbol);
}

ConstantBuilder::Field ConstantBuilder::rows(StringRef what, ArrayRef<SmallVector<Field>> values) {
  if (values.empty())
    return address("");
  std::string symbol = prefix + "." + what.str();
  define(symbol, LLVM::Linkage::Internal, values);
  return address(symbol);
}

void ConstantBuilder::define(StringRef symbol, LLVM::Linkage linkage,
                             ArrayRef<SmallVector<Field>> values) {
  auto pointer = LLVM::LLVMPointerType::get(builder.getContext());
  SmallVector<Type> types;
  for (const Field &field : values.front())
    types.push_back(field.isPointer ? Type(pointer) : builder.getI64Type());
  auto row = LLVM::LLVMStructType::getLiteral(builder.getContext(), types);
  auto type = LLVM::LLVMArrayType::get(row, values.size());
  auto global =
      LLVM::GlobalOp::create(builder, loc, type, /*isConstant=*/true, linkage, symbol, Attribute());
  OpBuilder::InsertionGuard guard(builder);
  builder.createBlock(&global.getInitializerRegion());
  Value all = LLVM::UndefOp::create(builder, loc, type);
  for (auto [i, fields] : llvm::enumerate(values))
    for (auto [j, field] : llvm::enumerate(fields)) {
      Value value;
      if (!field.isPointer)
        value = LLVM::ConstantOp::create(builder, loc, builder.getI64IntegerAttr(field.number));
      else if (field.symbol.empty())
        value = LLVM::ZeroOp::create(builder, loc, pointer);
      else
        value = LLVM::AddressOfOp::create(builder, loc, pointer, field.symbol);
      all = LLVM::InsertValueOp::create(builder, loc, all, value,
                                        ArrayRef<int64_t>{int64_t(i), int64_t(j)});
    }
  LLVM::ReturnOp::create(builder, loc, all);
}

void moec::addDescriptor(ModuleOp module, StringRef name, ArrayRef<EmulatedKernel> kernels,
                         ArrayRef<EmulatedObject> objects, ArrayRef<EmulatedGlobal> globals,
                         const LocationTable &locations) {
  const std::string symbol = "moec_emulated_" + name.str();
  ConstantBuilder constants(module, symbol);
  using Row = SmallVector<ConstantBuilder::Field>;
  SmallVector<Row> kernelRows, objectRows, globalRows;
  for (const EmulatedKernel &kernel : kernels) {
    const auto [x, y, z] = kernel.blockDim;
    kernelRows.push_back(
        {constants.text(kernel.name + ".name", kernel.name), constants.address(kernel.function),
         constants.numbers(kernel.name + ".arguments", kernel.argumentBytes),
         constants.numbers(kernel.name + ".objects", kernel.objects),
         constants.number(int64_t(kernel.argumentBytes.size())),
         constants.number(int64_t(kernel.objects.size())), constants.number(x), constants.number(y),
         constants.number(z), constants.number(kernel.maxThreads)});
  }
  for (const EmulatedObject &object : objects)
    objectRows.push_back({constants.number(object.bytes), constants.number(object.alignment)});
  for (const EmulatedGlobal &global : globals)
    globalRows.push_back({constants.address(global.symbol), constants.number(global.bytes),
                          constants.number(global.isConstant)});
  static_assert(sizeof(moec_emulated_kernel) == 10 * 8 && sizeof(moec_emulated_object) == 2 * 8 &&
                    sizeof(moec_emulated_global) == 3 * 8 && sizeof(moec_emulated_module) == 9 * 8,
                "the rows are as long as KernelAbi.h says");
  constants.exported(
      symbol,
      Row{constants.rows("kernels", kernelRows), constants.rows("objects", objectRows),
          constants.rows("globals", globalRows), constants.text("locations", locations.text()),
          constants.numbers("offsets", locations.offsets()),
          constants.number(int64_t(kernels.size())), constants.number(int64_t(objects.size())),
          constants.number(int64_t(globals.size())),
          constants.number(int64_t(locations.offsets().size()))});
}
