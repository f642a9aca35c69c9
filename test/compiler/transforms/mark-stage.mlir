// RUN: moe-opt %s --moec-mark-stage="stage=lowered activations=bf16 cache=bf16 cpu=avx2 mapped" | FileCheck %s
// RUN: moe-opt %s --moec-mark-stage="stage=lowered target=cuda gpu=sm_80" | FileCheck %s --check-prefix=GPU
// RUN: moe-opt %s --moe-optimize=activations=f32 | FileCheck %s --check-prefix=STAGE
// A module says which stage it was left in, and what it was made with; so does every stage.
// CHECK: module attributes {moec.choices = {activations = "bf16", cache = "bf16", cpu = "avx2", mapped = true}, moec.stage = "lowered"}
// GPU: module attributes {moec.choices = {activations = "", cache = "", cpu = "", gpu = "sm_80", mapped = false, target = "cuda"}, moec.stage = "lowered"}
// STAGE: module attributes {moec.choices = {activations = "f32", cache = "f32", cpu = "", mapped = false}, moec.stage = "optimized"}
func.func @step(%batch: !lm.batch) {
  return
}
