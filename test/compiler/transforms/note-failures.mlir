// RUN: moe-opt %s --lm-note-failures --split-input-file --verify-diagnostics | FileCheck %s
// What a graph checks is told by number.

// CHECK: moec.graph = {failures = ["too few", "too many"], inputs = []}
// CHECK-LABEL: func @graph
// CHECK:         %[[F:.*]] = lm.graph_output %{{.*}} ".failure"() : memref<i64>
// CHECK:         scf.if
// CHECK:           %[[ONE:.*]] = arith.constant 1 : i64
// CHECK:           memref.store %[[ONE]], %[[F]][]
// CHECK:         scf.if
// CHECK:           %[[TWO:.*]] = arith.constant 2 : i64
// CHECK:         scf.if
// CHECK:           arith.constant 1 : i64
module attributes {moec.graph = {inputs = []}} {
  func.func @graph(%g: !lm.batch) {
    %n = lm.dimension %g "n"
    %c = arith.constant 4 : index
    %a = arith.cmpi ult, %n, %c : index
    cf.assert %a, "too few"
    %b = arith.cmpi ugt, %n, %c : index
    cf.assert %b, "too many"
    cf.assert %b, "too few"
    return
  }
}

// -----

module {
  func.func @graph(%g: !lm.batch) {
    %n = lm.dimension %g "n"
    %c = arith.constant 4 : index
    %a = arith.cmpi ult, %n, %c : index
    scf.if %a {
      // expected-error @below {{is checked in a branch or loop that follows from data, where a graph cannot stop}}
      cf.assert %a, "too few"
    }
    return
  }
}
