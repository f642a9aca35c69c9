// RUN: moe-opt %s --moec-lower-phases=cpu=abacus --verify-diagnostics
// expected-error @below {{abacus}}
module {
}
