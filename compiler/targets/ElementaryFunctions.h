// exp, log, sigmoid, erf, rsqrt, sine and cosine expanded into arithmetic, on scalars and vectors
// of any length; nothing calls libm.

#ifndef MOEC_COMPILER_TARGETS_ELEMENTARYFUNCTIONS_H
#define MOEC_COMPILER_TARGETS_ELEMENTARYFUNCTIONS_H

#include "compiler/targets/KernelBuilder.h"

namespace moec {

/// e^x of f32, relative error below 2e-7; exactly 1 at 0, 0 below -104, infinite above 89, NaN of
/// NaN.
mlir::Value emitExp(KernelBuilder &kernel, mlir::Value x);

/// 2^x of f32 x <= 0, relative error below 2e-7; exactly 1 at 0; below -126 as there, NaN of NaN.
/// The cheapest, for softmax.
mlir::Value emitExp2OfMinus(KernelBuilder &kernel, mlir::Value x);

/// The natural logarithm of positive f32 that are not denormal, relative error below 1e-6; exactly
/// 0 at 1.
mlir::Value emitLog(KernelBuilder &kernel, mlir::Value x);

/// 1 / (1 + e^-x) of f32, relative error below 1e-6.
mlir::Value emitSigmoid(KernelBuilder &kernel, mlir::Value x);

/// x / (1 + e^-x) of f32, relative error below 1e-6 where the result is no denormal.
mlir::Value emitSilu(KernelBuilder &kernel, mlir::Value x);

/// The error function of f32, absolute error below 1e-6.
mlir::Value emitErf(KernelBuilder &kernel, mlir::Value x);

/// x (1 + erf(x / sqrt 2)) / 2 of f32: GELU as defined, absolute error below 1e-6 (1 + |x|).
mlir::Value emitGelu(KernelBuilder &kernel, mlir::Value x);

/// x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 of f32: GELU as it is often approximated,
/// absolute error below 1e-6 (1 + |x|).
mlir::Value emitGeluTanh(KernelBuilder &kernel, mlir::Value x);

/// 1 / sqrt(x) of f32 or f64, each of the two operations rounded correctly.
mlir::Value emitRsqrt(KernelBuilder &kernel, mlir::Value x);

struct SinCos {
  mlir::Value sine, cosine;
};

/// Sine and cosine of an f32 angle of at most 1e7, absolute error below 1e-7. Reduced and evaluated
/// in f64.
SinCos emitSinCos(KernelBuilder &kernel, mlir::Value angle);

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_ELEMENTARYFUNCTIONS_H
