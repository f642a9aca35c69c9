// The CPUs and the memory that this process may use: by affinity, siblings and control groups (v1
// and v2). `root` is put in front of /proc and /sys everywhere.

#ifndef MOEC_RUNTIME_CPU_RESOURCES_H
#define MOEC_RUNTIME_CPU_RESOURCES_H

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace moec {

/// The processors that this process may run on; empty where the system does not say.
std::vector<int> allowedProcessors();

/// The physical cores that this process may use: those of its affinity, and no more than the quota
/// of its control groups allows. At least 1, at most maxThreads.
int64_t defaultThreads(const std::string &root = "");

/// Physical cores among the processors `cpus`, by the sibling lists; where these are missing, each
/// processor counts as a core unless cpuid says how many share one.
int64_t physicalCores(const std::vector<int> &cpus, const std::string &root = "");

/// Whole cores that the control groups' quota allows, or 0 where there is none.
int64_t quotaCores(const std::string &root = "");

/// Bytes that this process can read into memory without pushing out what is needed: what the system
/// calls available, and no more than its control groups have left. Nothing where the system does
/// not say.
std::optional<int64_t> availableMemory(const std::string &root = "");

} // namespace moec

#endif // MOEC_RUNTIME_CPU_RESOURCES_H
