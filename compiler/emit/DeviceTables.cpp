// Constants of LLVM IR in the layout of the C structs.

#include "compiler/emit/DeviceTables.h"

#include "llvm/ADT/SmallVector.h"
#include "llvm/IR/Constants.h"

#include <cstddef>

using namespace moec;
using llvm::Constant;

namespace {

class Tables {
public:
  explicit Tables(llvm::Module &module) : module(module), context(module.getContext()) {}

  Constant *code(const DeviceCode &code);
  Constant *opener(llvm::StringRef name) {
    llvm::Type *pointer = llvm::PointerType::getUnqual(context);
    auto *type = llvm::FunctionType::get(llvm::Type::getVoidTy(context), pointer, false);
    return llvm::cast<Constant>(module.getOrInsertFunction(name, type).getCallee());
  }
  /// The address of what the module has under this name; null where it has nothing.
  Constant *known(llvm::StringRef name) {
    llvm::GlobalValue *value = module.getNamedValue(name);
    return value ? value : null();
  }
  Constant *null() { return llvm::ConstantPointerNull::get(llvm::PointerType::getUnqual(context)); }
  Constant *number(uint64_t value, unsigned bits) {
    return llvm::ConstantInt::get(llvm::IntegerType::get(context, bits), value);
  }
  Constant *row(llvm::ArrayRef<Constant *> fields) {
    return llvm::ConstantStruct::getAnon(context, fields);
  }
  /// The address of rows that are alike.
  Constant *table(llvm::ArrayRef<Constant *> rows) {
    return place(
        llvm::ConstantArray::get(llvm::ArrayType::get(rows.front()->getType(), rows.size()), rows));
  }
  Constant *place(Constant *value, llvm::Align alignment = llvm::Align(8)) {
    auto *global = new llvm::GlobalVariable(module, value->getType(), /*isConstant=*/true,
                                            llvm::GlobalValue::InternalLinkage, value, "device");
    global->setAlignment(alignment);
    return global;
  }
  /// For others to find.
  void define(llvm::StringRef name, Constant *value) {
    auto *global =
        llvm::cast<llvm::GlobalVariable>(module.getOrInsertGlobal(name, value->getType()));
    global->setInitializer(value);
    global->setConstant(true);
  }
  /// The address of a text that ends with a zero.
  Constant *text(llvm::StringRef value) {
    return place(llvm::ConstantDataArray::getString(context, value), llvm::Align(1));
  }

private:
  llvm::Module &module;
  llvm::LLVMContext &context;
};

} // namespace

/// What joinLevels() calls a symbol of an architecture's module.
static std::string joinedName(llvm::StringRef symbol, const DeviceCode &code) {
  return (symbol + "." + code.architecture).str();
}

Constant *Tables::code(const DeviceCode &code) {
  llvm::SmallVector<Constant *> kernels;
  for (const DeviceKernel &kernel : code.kernels)
    kernels.push_back(row({text(kernel.name), number(uint64_t(kernel.threads), 32),
                           number(uint64_t(kernel.sharedBytes), 32)}));
  auto *bytes = llvm::ConstantDataArray::getString(context, code.bytes, code.image.is_text != 0);
  const uint64_t size = bytes->getType()->getArrayNumElements();
  auto word = [&](int32_t value) { return number(uint64_t(value), 32); };
  Constant *image =
      row({word(code.image.major), word(code.image.minor), word(code.image.is_specific),
           word(code.image.is_text), word(code.image.driver_version), place(bytes, llvm::Align(64)),
           number(size, 64)});
  static_assert(offsetof(moec_device_image, bytes) == 24 && sizeof(moec_device_image) == 40 &&
                    sizeof(moec_device_kernel) == 16 && sizeof(moec_device_code) == 80 &&
                    sizeof(moec_device_program) == 48 && offsetof(moec_device_program, host) == 32,
                "the rows are as the structs are");
  Constant *emulated = module.getNamedGlobal(joinedName("moec_emulated_kernels", code));
  return row({text(code.architecture), module.getFunction(joinedName("moec_program_step", code)),
              table(kernels), number(code.kernels.size(), 64), image,
              emulated ? emulated : null()});
}

void moec::addDeviceTables(llvm::Module &module, llvm::ArrayRef<DeviceCode> codes) {
  Tables tables(module);
  Constant *program = tables.null();
  if (!codes.empty()) {
    llvm::SmallVector<Constant *> rows;
    for (const DeviceCode &code : codes)
      rows.push_back(tables.code(code));
    const bool isEmulated =
        module.getNamedGlobal(joinedName("moec_emulated_kernels", codes.front())) != nullptr;
    program = tables.place(
        tables.row({tables.table(rows), tables.number(codes.size(), 64),
                    tables.opener("moec_open_cuda_device"),
                    isEmulated ? tables.opener("moec_open_emulated_device") : tables.null(),
                    tables.known("moec_host_steps"), tables.known("moec_host_arena_bytes")}));
  }
  tables.define("moec_program_device", program);
}
