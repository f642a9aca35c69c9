// RUN: moe-opt %s --moec-expand-math | FileCheck %s
// Functions of f32 that vectors do as well become arithmetic; those of f64 stay.

// CHECK-LABEL: func @graph
// CHECK-NOT:     math.exp
// CHECK-NOT:     math.tanh %{{.*}} : f32
// CHECK-NOT:     math.erf
// CHECK:         math.tanh %{{.*}} : f64
func.func @graph(%a: f32, %b: f64) -> (f32, f32, f32, f64) {
  %x = math.exp %a : f32
  %y = math.tanh %a : f32
  %z = math.erf %a : f32
  %w = math.tanh %b : f64
  return %x, %y, %z, %w : f32, f32, f32, f64
}

// A step has none of that, and is left alone.
// CHECK-LABEL: func @step
// CHECK:         math.exp
func.func @step(%a: f32) -> f32 {
  %x = math.exp %a : f32
  return %x : f32
}
