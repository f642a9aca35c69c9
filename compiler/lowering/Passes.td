// The passes that rewrite a scheduled step to the level of LLVM, in the order in which the lower
// stage runs them.

#ifndef MOEC_COMPILER_LOWERING_PASSES_TD
#define MOEC_COMPILER_LOWERING_PASSES_TD

include "mlir/Pass/PassBase.td"

def LowerGraph : Pass<"moec-lower-graph", "::mlir::func::FuncOp"> {
  let summary = "linalg and linalg_ext in the phases of a graph become loops over elements";
  let description = [{
    Of the function `graph`. Where there are sums, the innermost loop is along adjacent elements of
    the result, if these are along an inner loop of an operand too; else a sum is made in a register
    and may be made of several sums, whose number the CPU level says.
  }];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect"];
}

def ExpandMath : Pass<"moec-expand-math", "::mlir::func::FuncOp"> {
  let summary = "exp, tanh and erf of f32 in a graph become arithmetic, which vectors do as well";
  let description = [{
    Of the function `graph`. Other functions, and those of f64, are libm's. Floats of 8 bits become
    integer arithmetic.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::LLVM::LLVMDialect",
                           "::mlir::math::MathDialect", "::mlir::vector::VectorDialect"];
}

def LowerPhases : Pass<"moec-lower-phases", "::mlir::ModuleOp"> {
  let summary = "the ops in each phase become code for one tile";
  let description = [{
    Products and attention become the target's kernels or, in a plain phase, loops over all of the
    result by one thread; row-wise ops become vector code over the tile's rows. Kernels call product
    functions, of which a module has one for each pair of types, `product_f32_bf16`, or of weights
    as stored for each size of a panel, `stored_product_f32_bf16_2048x48`. Expects packed weights. A
    phase that takes more than 5 MiB of a thread's stack is an error. With `gpu`, a tile is for a
    warp: its 32 threads are lanes, and each computes what the tile has one of.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::math::MathDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
                           "::mlir::NVVM::NVVMDialect", "::mlir::vector::VectorDialect",
                           "::mlir::x86vector::X86VectorDialect"];
  let options = [Option<"cpu", "cpu", "std::string", /*default=*/"\"native\"", "CPU level">,
                 Option<"gpu", "gpu", "std::string", /*default=*/"",
                        "GPU architecture; empty where the CPU computes">];
}

def OutlinePhases : Pass<"moec-outline-phases", "::mlir::ModuleOp"> {
  let summary = "each phase becomes a function that threads call with the tiles that they claim";
  let description = [{
    The function `phase_N_NAME` takes the batch, the values its body uses, the first tile and the
    end. Room on the stack moves to its start. The step, which gains the argument `thread`, claims
    tiles from the runtime and calls the function until there are none; barriers become calls of the
    runtime. With `profile` each thread notes the time after each phase and after each barrier.
  }];
  let options = [Option<"profile", "profile", "bool", /*default=*/"false",
                        "note the time that phases and barriers take">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::scf::SCFDialect"];
}

def OutlineKernels : Pass<"moec-outline-kernels", "::mlir::ModuleOp"> {
  let summary = "each phase becomes a kernel that the step has a GPU run";
  let description = [{
    Kernel number N of `gpu.module @kernels`, `phase_N_NAME`, is an `llvm.func` whose parameters
    have 8 bytes each: the device's copy of moec_step_arguments, how many tiles there are, and what
    the body uses of the step; of a memref its address, then those sizes and strides that are not
    fixed. Its warps share the tiles; room for a tile becomes a warp's part of shared memory, of
    which a phase that takes more than a block may have is an error. The step, which gains the
    argument `thread` and runs on one thread of the host, launches them; barriers go, as one launch
    follows another. A `lm.run_part` becomes a call of the runtime.
  }];
  let options = [Option<"gpu", "gpu", "std::string", /*default=*/"", "GPU architecture">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::NVVM::NVVMDialect", "::mlir::scf::SCFDialect"];
}

def LowerBatch : Pass<"moec-lower-batch", "::mlir::ModuleOp"> {
  let summary = "the batch becomes a pointer to moec_step_arguments";
  let description = [{
    Counts, ids, logits and the arena become loads of its fields; weight and cache symbols, which
    nobody uses any more, are erased.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::LLVM::LLVMDialect"];
}

def CheckLowered : Pass<"moec-check-lowered", "::mlir::ModuleOp"> {
  let summary = "what the lower stage must leave behind";
  let description = "No op of `lm` or `moe`, and no batch but as a pointer.";
}

// For tests of levels that the machine lacks.

def PlainInstructions : Pass<"moec-plain-instructions", "::mlir::ModuleOp"> {
  let summary = "instructions of the higher x86 levels become plain code, which every level runs";
  let description = [{
    The same results bit by bit as the manual defines them, with denormals as the instruction takes
    them; of a NaN, that it is one. Slow: for tests, which so check the numbers of a level's kernels
    wherever the lowest level runs. Expects kernels before they are lowered to LLVM.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::scf::SCFDialect",
                           "::mlir::vector::VectorDialect"];
}

// The last pass of the emit stage, whose others are upstream's.

def CheckLlvm : Pass<"moec-check-llvm", "::mlir::ModuleOp"> {
  let summary = "what the emit stage must leave behind";
  let description = [{
    Ops of the LLVM dialect only; of functions that are not defined here, intrinsics and those of
    `abi.def` only, and in a graph those of libm. In a `gpu.module` ops of the LLVM and NVVM
    dialects; all functions there are kernels, and none is called.
  }];
}

#endif // MOEC_COMPILER_LOWERING_PASSES_TD
