// Instructions that the lanes of a warp execute together: the last lane to come does the work of
// all.

#include "runtime/emulator/Warps.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <fmt/format.h>

namespace moec::emulator {

/// Every matrix instruction is one of the whole warp.
static bool needsSameInstruction(WarpInstruction instruction) {
  return instruction == WarpInstruction::LoadMatrix ||
         instruction == WarpInstruction::StoreMatrix || instruction == WarpInstruction::Multiply;
}

WarpLanes::WarpLanes(Block &block, uint32_t warp) {
  const uint32_t first = warp * kWarpLanes;
  for (uint32_t lane = 0; lane < kWarpLanes && first + lane < block.threads.size(); ++lane) {
    threads[lane] = block.threads[first + lane].get();
    present |= 1u << lane;
  }
  live = block.warpStates[warp].live;
}

/// The source lane of a shuffle, and whether it is in range (PTX's shfl.sync).
static std::pair<uint32_t, bool> sourceLane(ShuffleMode mode, uint32_t lane, uint32_t offset,
                                            uint32_t clamp) {
  const uint32_t segment = clamp >> 8 & 31, bound = clamp & 31;
  const uint32_t most = (lane & segment) | (bound & ~segment), least = lane & segment;
  offset &= 31;
  int32_t source = 0;
  bool inRange = false;
  switch (mode) {
  case ShuffleMode::Up:
    source = int32_t(lane) - int32_t(offset);
    inRange = source >= int32_t(most);
    break;
  case ShuffleMode::Down:
    source = int32_t(lane + offset);
    inRange = source <= int32_t(most);
    break;
  case ShuffleMode::Butterfly:
    source = int32_t(lane ^ offset);
    inRange = source <= int32_t(most);
    break;
  case ShuffleMode::Index:
    source = int32_t(least | (offset & ~segment));
    inRange = source <= int32_t(most);
    break;
  }
  return {inRange ? uint32_t(source) : lane, inRange};
}

static void shuffle(Launch &launch, const WarpLanes &warp, uint32_t lanes) {
  uint64_t results[kWarpLanes];
  warp.each(lanes, [&](uint32_t lane, WarpCall &call) {
    auto [source, inRange] =
        sourceLane(ShuffleMode(call.qualifiers), lane, call.offset, call.clamp);
    if (!(lanes >> source & 1)) {
      launch.report(Fault::DivergentWarp, warp.threads[lane]->site(call.location),
                    fmt::format("lane {} reads from lane {}, which does not take part (mask {:#x})",
                                lane, source, call.mask));
      source = lane;
    }
    results[lane] = (warp.threads[source]->call->value & UINT32_MAX) | uint64_t(inRange) << 32;
  });
  warp.each(lanes, [&](uint32_t lane, WarpCall &call) { call.result = results[lane]; });
}

static void vote(const WarpLanes &warp, uint32_t lanes) {
  uint32_t ballot = 0;
  warp.each(lanes,
            [&](uint32_t lane, WarpCall &call) { ballot |= uint32_t(call.value != 0) << lane; });
  warp.each(lanes, [&](uint32_t, WarpCall &call) {
    switch (VoteMode(call.qualifiers)) {
    case VoteMode::Any:
      call.result = ballot != 0;
      break;
    case VoteMode::All:
      call.result = ballot == lanes;
      break;
    case VoteMode::Uniform:
      call.result = ballot == 0 || ballot == lanes;
      break;
    case VoteMode::Ballot:
      call.result = ballot;
      break;
    }
  });
}

static void match(const WarpLanes &warp, uint32_t lanes) {
  warp.each(lanes, [&](uint32_t, WarpCall &call) {
    uint32_t equal = 0;
    warp.each(lanes, [&](uint32_t other, WarpCall &theirs) {
      equal |= uint32_t(theirs.value == call.value) << other;
    });
    if (MatchMode(call.qualifiers) == MatchMode::Any)
      call.result = equal;
    else
      call.result = equal == lanes ? lanes | uint64_t(1) << 32 : 0;
  });
}

static uint32_t reduced(Reduction kind, uint32_t a, uint32_t b) {
  const float x = std::bit_cast<float>(a), y = std::bit_cast<float>(b);
  switch (kind) {
  case Reduction::Add:
    return a + b;
  case Reduction::And:
    return a & b;
  case Reduction::Or:
    return a | b;
  case Reduction::Xor:
    return a ^ b;
  case Reduction::Max:
    return uint32_t(std::max(int32_t(a), int32_t(b)));
  case Reduction::Min:
    return uint32_t(std::min(int32_t(a), int32_t(b)));
  case Reduction::UnsignedMax:
    return std::max(a, b);
  case Reduction::UnsignedMin:
    return std::min(a, b);
  case Reduction::FloatMin: // a NaN counts only where all are
    return x != x || y < x ? b : a;
  case Reduction::FloatMax:
    return x != x || y > x ? b : a;
  }
  return 0;
}

static void reduce(const WarpLanes &warp, uint32_t lanes) {
  assert(lanes != 0 && "somebody calls");
  const uint32_t first = uint32_t(std::countr_zero(lanes));
  auto sum = uint32_t(warp.threads[first]->call->value);
  warp.each(lanes & ~(1u << first), [&](uint32_t, WarpCall &call) {
    sum = reduced(Reduction(call.qualifiers), sum, uint32_t(call.value));
  });
  warp.each(lanes, [&](uint32_t, WarpCall &call) { call.result = sum; });
}

static void execute(Launch &launch, const WarpLanes &warp, uint32_t lanes) {
  assert(lanes != 0 && "somebody calls");
  // NOLINTNEXTLINE(clang-analyzer-security.ArrayBound): so the number is below 32.
  switch (warp.threads[std::countr_zero(lanes)]->call->instruction) {
  case WarpInstruction::Barrier:
    if (launch.options.checkRaces) {
      std::vector<View *> views;
      warp.each(lanes,
                [&](uint32_t lane, WarpCall &) { views.push_back(&warp.threads[lane]->view); });
      View::meet(views);
    }
    break;
  case WarpInstruction::Shuffle:
    shuffle(launch, warp, lanes);
    break;
  case WarpInstruction::Vote:
    vote(warp, lanes);
    break;
  case WarpInstruction::Match:
    match(warp, lanes);
    break;
  case WarpInstruction::Reduce:
    reduce(warp, lanes);
    break;
  case WarpInstruction::Elect:
    warp.each(lanes, [&](uint32_t lane, WarpCall &call) {
      call.result = lane == uint32_t(std::countr_zero(lanes));
    });
    break;
  case WarpInstruction::LoadMatrix:
  case WarpInstruction::StoreMatrix:
    moveMatrices(launch, warp, lanes);
    break;
  case WarpInstruction::Multiply:
    multiplyMatrices(warp);
    break;
  }
}

/// Whether `other` is where `call` needs it.
static bool joins(const Thread &other, const WarpCall &call) {
  return other.state == ThreadState::InWarp && other.call->instruction == call.instruction &&
         other.call->qualifiers == call.qualifiers && other.call->mask == call.mask &&
         (!needsSameInstruction(call.instruction) || other.call->location == call.location);
}

void Launch::settleCall(Thread &thread) {
  Block &block = *thread.block;
  const uint32_t index = thread.index / kWarpLanes;
  const WarpCall &call = *thread.call;
  const WarpState &state = block.warpStates[index];
  if (call.mask & state.live & ~state.waiting)
    return; // some are still on their way, as is so for all but the last to come
  const WarpLanes warp(block, index);
  const uint32_t lanes = call.mask & warp.live;
  for (uint32_t lane = 0; lane < kWarpLanes; ++lane)
    if (lanes >> lane & 1 && !joins(*warp.threads[lane], call))
      return;
  if (const uint32_t ended = call.mask & warp.present & ~warp.live)
    report(Fault::DivergentWarp, thread.site(call.location),
           fmt::format("the mask {:#x} names lanes {:#x}, which have ended", call.mask, ended));
  if (needsSameInstruction(call.instruction) && lanes != UINT32_MAX)
    report(Fault::DivergentWarp, thread.site(call.location),
           fmt::format("an instruction of the whole warp, executed by lanes {:#x} only", lanes));
  else
    execute(*this, warp, lanes);
  if (options.countBankConflicts && lanes == warp.live)
    block.warps[index].meet(memory.bankUses);
  warp.eachThread(lanes, [&](Thread &other) { wake(other); });
}

void Launch::settleWarp(Block &block, uint32_t warp) {
  const uint32_t first = warp * kWarpLanes;
  const uint32_t end = std::min<uint32_t>(first + kWarpLanes, uint32_t(block.threads.size()));
  for (uint32_t i = first; i < end; ++i)
    if (block.threads[i]->state == ThreadState::InWarp)
      settleCall(*block.threads[i]);
}

/// Waits until all lanes of the mask execute the same.
static uint64_t together(moec_emulated_thread *self, WarpCall &call) {
  Launch &launch = launchOf(self);
  Thread &thread = threadOf(self);
  if (!(call.mask >> thread.lane() & 1)) {
    launch.report(Fault::DivergentWarp, thread.site(call.location),
                  fmt::format("executed by lane {}, which its mask {:#x} does not name",
                              thread.lane(), call.mask));
    return 0;
  }
  thread.call = &call;
  thread.state = ThreadState::InWarp;
  thread.block->warpStates[thread.index / kWarpLanes].waiting |= 1u << thread.lane();
  thread.waitLocation = call.location;
  launch.settleCall(thread);
  thread.fiber.suspend();
  thread.call = nullptr;
  return call.result;
}

} // namespace moec::emulator

using namespace moec;
using namespace moec::emulator;

void moec_emulator_warp_barrier(moec_emulated_thread *self, uint32_t mask, uint32_t location) {
  WarpCall call{.instruction = WarpInstruction::Barrier, .mask = mask, .location = location};
  together(self, call);
}

uint64_t moec_emulator_shuffle(moec_emulated_thread *self, uint32_t mode, uint32_t mask,
                               uint32_t value, uint32_t offset, uint32_t clamp, uint32_t location) {
  WarpCall call{.instruction = WarpInstruction::Shuffle,
                .mask = mask,
                .qualifiers = mode,
                .location = location,
                .value = value,
                .offset = offset,
                .clamp = clamp};
  return together(self, call);
}

uint32_t moec_emulator_vote(moec_emulated_thread *self, uint32_t mode, uint32_t mask,
                            uint32_t predicate, uint32_t location) {
  WarpCall call{.instruction = WarpInstruction::Vote,
                .mask = mask,
                .qualifiers = mode,
                .location = location,
                .value = predicate};
  return uint32_t(together(self, call));
}

uint64_t moec_emulator_match(moec_emulated_thread *self, uint32_t mode, uint32_t mask,
                             uint64_t value, uint32_t location) {
  WarpCall call{.instruction = WarpInstruction::Match,
                .mask = mask,
                .qualifiers = mode,
                .location = location,
                .value = value};
  return together(self, call);
}

uint32_t moec_emulator_reduce(moec_emulated_thread *self, uint32_t kind, uint32_t mask,
                              uint32_t value, uint32_t location) {
  WarpCall call{.instruction = WarpInstruction::Reduce,
                .mask = mask,
                .qualifiers = kind,
                .location = location,
                .value = value};
  return uint32_t(together(self, call));
}

uint32_t moec_emulator_elect(moec_emulated_thread *self, uint32_t mask, uint32_t location) {
  WarpCall call{.instruction = WarpInstruction::Elect, .mask = mask, .location = location};
  return uint32_t(together(self, call));
}

void moec_emulator_load_matrix(moec_emulated_thread *self, void *address, uint32_t count,
                               uint32_t transposed, uint32_t *registers, uint32_t location) {
  WarpCall call{.instruction = WarpInstruction::LoadMatrix,
                .mask = UINT32_MAX,
                .qualifiers = count << 1 | transposed,
                .location = location,
                .address = address,
                .registers = registers};
  together(self, call);
}

void moec_emulator_store_matrix(moec_emulated_thread *self, void *address, uint32_t count,
                                uint32_t transposed, const uint32_t *registers, uint32_t location) {
  WarpCall call{.instruction = WarpInstruction::StoreMatrix,
                .mask = UINT32_MAX,
                .qualifiers = count << 1 | transposed,
                .location = location,
                .address = address,
                .a = registers};
  together(self, call);
}

void moec_emulator_multiply(moec_emulated_thread *self, uint32_t k, uint32_t types,
                            const uint32_t *a, const uint32_t *b, const uint32_t *c, uint32_t *d,
                            uint32_t location) {
  WarpCall call{.instruction = WarpInstruction::Multiply,
                .mask = UINT32_MAX,
                .qualifiers = types,
                .location = location,
                .offset = k,
                .a = a,
                .b = b,
                .c = c,
                .registers = d};
  together(self, call);
}
