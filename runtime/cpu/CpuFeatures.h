// What this CPU can do, under the names of /proc/cpuinfo.

#ifndef MOEC_RUNTIME_CPU_CPU_FEATURES_H
#define MOEC_RUNTIME_CPU_CPU_FEATURES_H

#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// Whether CPU and operating system offer `feature`, a name as in /proc/cpuinfo. A name that is not
/// known is not offered.
bool cpuHas(std::string_view feature);

/// Those of `features` that the CPU lacks, separated by commas; empty if it has them all. Asks the
/// system for the matrix registers where they are among them.
std::string missingCpuFeatures(const std::vector<std::string> &features);

} // namespace moec

#endif // MOEC_RUNTIME_CPU_CPU_FEATURES_H
