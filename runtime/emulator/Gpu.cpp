// A GPU, and how its reports read.

#include "runtime/emulator/Emulator.h"
#include "runtime/emulator/Launch.h"
#include "runtime/emulator/Memory.h"

#include <fmt/format.h>

namespace moec::emulator {

Gpu::Gpu(Options withOptions)
    : options(withOptions), memory(std::make_unique<Memory>(withOptions.stackBytes)) {}
Gpu::~Gpu() = default;

void Gpu::addBuffer(const Buffer &buffer) { memory->add(buffer); }
void Gpu::removeBuffer(const void *address) { memory->remove(address); }

Status Gpu::launch(const moec_emulated_module &module, const moec_emulated_kernel &kernel,
                   const LaunchConfig &config) {
  return Launch(*this, module, kernel, config).run();
}

std::span<const Report> Gpu::reports() const { return memory->reports; }

std::vector<BankUse> Gpu::bankUses() const {
  std::vector<BankUse> uses;
  for (const auto &[location, use] : memory->bankUses)
    uses.push_back(use);
  return uses;
}

void Gpu::clearReports() {
  memory->reports.clear();
  memory->reportIndex.clear();
  memory->bankUses.clear();
}

const moec_emulated_kernel *findKernel(const moec_emulated_module &module, std::string_view name) {
  for (uint64_t i = 0; i < module.kernelCount; ++i)
    if (module.kernels[i].name == name)
      return &module.kernels[i];
  return nullptr;
}

std::string_view faultName(Fault fault) {
  switch (fault) {
  case Fault::OutOfBounds:
    return "out of bounds";
  case Fault::Misaligned:
    return "misaligned";
  case Fault::ReadOnlyWrite:
    return "write to read-only memory";
  case Fault::Race:
    return "race";
  case Fault::UnwaitedCopy:
    return "unwaited copy";
  case Fault::Uninitialized:
    return "uninitialized";
  case Fault::DivergentBarrier:
    return "divergent barrier";
  case Fault::DivergentWarp:
    return "divergent warp";
  case Fault::BarrierObject:
    return "barrier object";
  case Fault::InvalidArgument:
    return "invalid argument";
  case Fault::Division:
    return "division";
  case Fault::Trap:
    return "trap";
  case Fault::Deadlock:
    return "deadlock";
  }
  return "";
}

static std::string siteText(const Site &site) {
  const auto &[bx, by, bz] = site.block;
  const auto &[tx, ty, tz] = site.thread;
  return fmt::format("thread ({}, {}, {}) of block ({}, {}, {})", tx, ty, tz, bx, by, bz);
}

std::string_view locationName(const moec_emulated_module &module, uint32_t location) {
  return location < module.locationCount ? module.locationText + module.locationOffsets[location]
                                         : "unknown";
}

std::string reportText(const Report &report, const moec_emulated_module &module) {
  std::string text = fmt::format("{}: {}: {}, by {}", locationName(module, report.site.location),
                                 faultName(report.fault), report.detail, siteText(report.site));
  const bool isAccess = report.fault == Fault::Race || report.fault == Fault::UnwaitedCopy;
  if (report.other)
    text += fmt::format("; {} at {} by {}",
                        !isAccess               ? "another is"
                        : report.other->isWrite ? "a write"
                                                : "a read",
                        locationName(module, report.other->location), siteText(*report.other));
  if (report.count > 1)
    text += fmt::format("; {} times", report.count);
  return text;
}

} // namespace moec::emulator
