// RUN: moe-opt %s --moec-outline-phases | FileCheck %s
// RUN: moe-opt %s --moec-outline-phases=profile | FileCheck %s --check-prefix=PROFILE
// The body becomes a function over a range of tiles, which each thread calls with what it claims until that is nothing;
// a barrier is a call.
// CHECK:       func private @phase_0_work(%{{.*}}: !lm.batch, %[[A:.*]]: memref<4xf32>, %[[FIRST:.*]]: index, %[[LAST:.*]]: index)
// CHECK:         scf.for %{{.*}} = %[[FIRST]] to %[[LAST]]
// CHECK:           memref.store
// CHECK-LABEL: func @step(
// CHECK-SAME:    %{{.*}}: !lm.batch, %[[THREAD:.*]]: i64)
// CHECK:         %[[TILES:.*]] = arith.index_cast %{{.*}} : index to i64
// CHECK:         scf.while
// CHECK-NEXT:      %[[CLAIMED:.*]] = llvm.call @moec_tiles_claim(%[[TEAM:.*]], %[[THREAD]], %[[TILES]], %[[TILES]], %[[END:[^)]*]])
// CHECK-NEXT:      %[[LIMIT:.*]] = llvm.load %[[END]]
// CHECK-NEXT:      %[[SOME:.*]] = arith.cmpi slt, %[[CLAIMED]], %[[LIMIT]]
// CHECK-NEXT:      scf.condition(%[[SOME]]) %[[CLAIMED]], %[[LIMIT]]
// CHECK:           call @phase_0_work(
// CHECK:         llvm.call @moec_tiles_wait(%{{.*}}, %[[THREAD]])

// Each thread notes the start, the end of the phase, and that of the wait behind it.
// PROFILE-LABEL: func @step(
// PROFILE-SAME:    %{{.*}}: !lm.batch, %[[THREAD:.*]]: i64)
// PROFILE:         %[[START:.*]] = arith.constant -1 : i64
// PROFILE-NEXT:    llvm.call @moec_profile_note(%{{.*}}, %[[THREAD]], %[[START]])
// PROFILE:         call @phase_0_work(
// PROFILE:         %[[IN:.*]] = arith.constant 0 : i64
// PROFILE-NEXT:    llvm.call @moec_profile_note(%{{.*}}, %[[THREAD]], %[[IN]])
// PROFILE:         llvm.call @moec_tiles_wait(
// PROFILE:         %[[BEHIND:.*]] = arith.constant 1 : i64
// PROFILE-NEXT:    llvm.call @moec_profile_note(%{{.*}}, %[[THREAD]], %[[BEHIND]])
func.func @step(%batch: !lm.batch) {
  %n = lm.token_count %batch
  %a = memref.alloc() : memref<4xf32>
  lm.phase "work" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    %one = arith.constant 1.0 : f32
    memref.store %one, %a[%tile] : memref<4xf32>
  }
  lm.barrier
  return
}
