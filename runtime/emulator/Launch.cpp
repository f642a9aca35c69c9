// Runs the blocks of a launch: starts them in some order, and of their threads one after another
// until each waits or ends.

#include "runtime/emulator/Launch.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <numeric>

namespace moec::emulator {

constexpr uint32_t kMostThreads = 1024;
constexpr uint64_t kMostBlocks = uint64_t(1) << 24;
constexpr uint64_t kGap = 128; // between shared objects: bytes that belong to none
constexpr uint64_t kPollsBeforeBlock =
    10'000;                         // by threads that may wait for a block not yet started
constexpr size_t kBlocksAtOnce = 2; // when their order is random
constexpr char kFresh = char(0xff); // in unwritten shared memory: no number as a float

Launch::Launch(Gpu &gpu, const moec_emulated_module &ofModule, const moec_emulated_kernel &ofKernel,
               const LaunchConfig &withConfig)
    : memory(*gpu.memory), options(gpu.options), module(ofModule), kernel(ofKernel),
      config(withConfig), threadCount(config.block[0] * config.block[1] * config.block[2]),
      randomState(gpu.options.seed) {}

static Status usage(std::string message) { return {Code::Usage, std::move(message)}; }

static Status checkConfig(const moec_emulated_kernel &kernel, const LaunchConfig &config) {
  const auto [x, y, z] = config.block;
  const uint64_t threads = uint64_t(x) * y * z;
  const uint64_t most = kernel.maxThreads ? kernel.maxThreads : kMostThreads;
  if (x > kMostThreads || y > kMostThreads || z > kMostThreads || threads == 0 || threads > most)
    return usage(fmt::format("{}: a block of {} x {} x {} threads, where 1 to {} are possible",
                             kernel.name, x, y, z, most));
  for (int i = 0; i < 3; ++i)
    if (kernel.blockDim[i] && kernel.blockDim[i] != config.block[size_t(i)])
      return usage(fmt::format(
          "{}: a block of {} x {} x {} threads, but the kernel is for {} x {} x {}", kernel.name, x,
          y, z, kernel.blockDim[0], kernel.blockDim[1], kernel.blockDim[2]));
  uint64_t blocks = 1;
  for (uint32_t extent : config.grid) {
    if (extent == 0 || extent > kMostBlocks / blocks)
      return usage(fmt::format("{}: a grid of {} x {} x {} blocks, where 1 to {} are possible",
                               kernel.name, config.grid[0], config.grid[1], config.grid[2],
                               kMostBlocks));
    blocks *= extent;
  }
  if (config.arguments.size() != kernel.argumentCount)
    return usage(fmt::format("{}: {} arguments, where it takes {}", kernel.name,
                             config.arguments.size(), kernel.argumentCount));
  return {};
}

Status Launch::run() {
  if (Status status = checkConfig(kernel, config); !status.ok())
    return status;
  for (uint64_t i = 0; i < kernel.objectCount; ++i)
    staticBytes += module.objects[kernel.objects[i]].bytes;
  if (staticBytes + config.dynamicSharedBytes > options.sharedLimit)
    return usage(fmt::format(
        "{}: {} bytes of shared memory, {} of them dynamic, where a block may have {}", kernel.name,
        staticBytes + config.dynamicSharedBytes, config.dynamicSharedBytes, options.sharedLimit));
  for (uint64_t i = 0; i < module.globalCount; ++i)
    memory.add(
        {module.globals[i].address, module.globals[i].bytes, module.globals[i].constant != 0});

  order.resize(uint64_t(config.grid[0]) * config.grid[1] * config.grid[2]);
  std::iota(order.begin(), order.end(), 0);
  if (isRandom())
    for (size_t i = order.size(); i > 1; --i)
      std::swap(order[i - 1], order[random() % i]);
  firstSerial = memory.nextSerial;
  memory.nextSerial += uint32_t(order.size());
  memory.released.clear();

  while (true) {
    const bool isFull = running.size() >= (isRandom() ? kBlocksAtOnce : 1);
    if (started < order.size() && (!isFull || polls > kPollsBeforeBlock)) {
      if (Status status = startBlock(); !status.ok()) {
        abandon();
        return status;
      }
      polls = 0;
      continue;
    }
    if (running.empty())
      return {};
    if (ready.empty() || polls > options.pollLimit) {
      reportDeadlock(!ready.empty());
      abandon();
      return {};
    }
    Thread &thread = next();
    thread.polled = false;
    thread.fiber.resume();
    const bool changed = thread.watched &&
                         std::memcmp(thread.watched, thread.watchedValue, thread.watchedBytes) != 0;
    thread.watched = nullptr;
    polls = thread.polled && !changed ? polls + 1 : 0;
    if (thread.state == ThreadState::Done)
      endThread(thread);
  }
}

Thread &Launch::next() {
  if (isRandom())
    std::swap(ready.front(), ready[random() % ready.size()]);
  Thread &thread = *ready.front();
  ready.pop_front();
  return thread;
}

Dim3 Launch::indexOf(uint64_t block) const {
  const auto [x, y, z] = config.grid;
  return {uint32_t(block % x), uint32_t(block / x % y), uint32_t(block / x / y)};
}

/// Places the objects that the kernel uses, with gaps that nothing may touch.
void Launch::layOut(Block &block) {
  SharedArena &arena = *block.arena;
  arena.objects.clear();
  block.objectAddresses.assign(module.objectCount, nullptr);
  uint64_t end = kGap;
  auto place = [&](uint64_t bytes, uint64_t alignment) {
    const uint64_t begin = (end + alignment - 1) / alignment * alignment;
    if (bytes)
      arena.objects.push_back({begin, bytes});
    end = begin + bytes + kGap;
    return arena.data + begin;
  };
  uint64_t dynamicAlignment = kGap;
  for (uint64_t i = 0; i < kernel.objectCount; ++i) {
    const moec_emulated_object &object = module.objects[kernel.objects[i]];
    if (object.bytes)
      block.objectAddresses[kernel.objects[i]] =
          place(object.bytes, std::max<uint64_t>(object.alignment, 16));
    else
      dynamicAlignment = std::max(dynamicAlignment, object.alignment);
  }
  void *dynamic = place(config.dynamicSharedBytes, dynamicAlignment);
  for (uint64_t i = 0; i < kernel.objectCount; ++i)
    if (module.objects[kernel.objects[i]].bytes == 0)
      block.objectAddresses[kernel.objects[i]] = dynamic;

  std::memset(arena.data, kFresh, arena.bytes);
  if (options.checkInitialized)
    arena.written.assign(arena.bytes, 0);
  if (options.checkRaces)
    arena.cells.resize(arena.bytes / 4);
}

Status Launch::startBlock() {
  if (unused.empty()) {
    blocks.push_back(std::make_unique<Block>());
    unused.push_back(blocks.back().get());
  }
  Block &block = *unused.back();
  unused.pop_back();
  running.push_back(&block);
  const uint64_t index = order[started++];
  block.launch = this;
  block.serial = firstSerial + uint32_t(index);
  block.index = indexOf(index);
  block.live = threadCount;
  block.objects.clear();
  block.released.clear();
  for (NumberedBarrier &barrier : block.barriers)
    barrier = {};
  uint64_t room = 2 * kGap + config.dynamicSharedBytes + kGap;
  for (uint64_t i = 0; i < kernel.objectCount; ++i) {
    const moec_emulated_object &object = module.objects[kernel.objects[i]];
    room += object.bytes + std::max<uint64_t>(object.alignment, 16) + kGap;
  }
  block.arena = memory.takeArena(room);
  if (!block.arena)
    return {Code::Resource,
            fmt::format("{}: no memory for {} bytes of shared memory", kernel.name, room)};
  layOut(block);
  block.warps.clear();
  block.warps.resize((threadCount + kWarpLanes - 1) / kWarpLanes);
  block.warpStates.assign(block.warps.size(), {});
  block.threads.resize(threadCount);
  for (uint32_t i = 0; i < threadCount; ++i) {
    char *stack = memory.stacks.take();
    if (!stack)
      return {Code::Resource, fmt::format("{}: no memory for a stack of {} bytes", kernel.name,
                                          memory.stacks.bytes())};
    block.stacks.push_back(stack);
    startThread(block, i, stack);
  }
  return {};
}

void Launch::startThread(Block &block, uint32_t index, char *stack) {
  if (!block.threads[index])
    block.threads[index] = std::make_unique<Thread>();
  Thread &thread = *block.threads[index];
  const auto [x, y, z] = config.block;
  const uint32_t lane = index % kWarpLanes;
  uint32_t *registers = thread.registers;
  registers[ThreadX] = index % x;
  registers[ThreadX + 1] = index / x % y;
  registers[ThreadX + 2] = index / x / y;
  std::copy_n(config.block.data(), 3, registers + BlockDimX);
  std::copy_n(block.index.data(), 3, registers + BlockX);
  std::copy_n(config.grid.data(), 3, registers + GridDimX);
  registers[Lane] = lane;
  registers[Warp] = index / kWarpLanes;
  registers[WarpCount] = (threadCount + kWarpLanes - 1) / kWarpLanes;
  registers[LaneMaskEqual] = 1u << lane;
  registers[LaneMaskLess] = (1u << lane) - 1;
  registers[LaneMaskLessEqual] = registers[LaneMaskLess] | 1u << lane;
  registers[LaneMaskGreater] = ~registers[LaneMaskLessEqual];
  registers[LaneMaskGreaterEqual] = ~registers[LaneMaskLess];
  registers[SharedBytes] = uint32_t(staticBytes) + config.dynamicSharedBytes;
  registers[DynamicSharedBytes] = config.dynamicSharedBytes;
  registers[Clock] = 0;
  thread.objects = block.objectAddresses.data();
  thread.block = &block;
  thread.index = index;
  thread.state = ThreadState::Ready;
  block.warpStates[index / kWarpLanes].live |= 1u << lane;
  thread.view.start(block.serial, index, threadCount);
  thread.call = nullptr;
  thread.copyClock = 0;
  thread.copies.clear();
  thread.groups.clear();
  thread.fenced.reset();
  thread.seen.reset();
  thread.watched = nullptr;
  thread.fiber.start(stack, memory.stacks.bytes(), runThread, &thread);
  ready.push_back(&thread);
}

// A kernel that was compiled just now has no mark of its type, which a sanitizer would look for.
__attribute__((no_sanitize("function"))) void Launch::runThread(void *argument) {
  auto &thread = *static_cast<Thread *>(argument);
  Launch &launch = *thread.block->launch;
  launch.kernel.run(&thread, launch.config.arguments.data());
  launch.finish(thread);
}

void Launch::finish(Thread &thread) {
  thread.state = ThreadState::Done;
  thread.block->warpStates[thread.index / kWarpLanes].live &= ~(1u << thread.lane());
  thread.fiber.leave();
  __builtin_unreachable();
}

void Launch::endThread(Thread &thread) {
  Block &block = *thread.block;
  memory.stacks.give(block.stacks[thread.index]);
  block.stacks[thread.index] = nullptr;
  --block.live;
  if (block.live == 0) {
    endBlock(block);
    return;
  }
  for (uint32_t id = 0; id < std::size(block.barriers); ++id)
    settleBarrier(block, id);
  settleWarp(block, thread.index / kWarpLanes);
}

void Launch::endBlock(Block &block) {
  if (options.countBankConflicts)
    for (WarpAccesses &warp : block.warps)
      warp.meet(memory.bankUses);
  block.stacks.clear();
  memory.giveArena(block.arena);
  block.arena = nullptr;
  running.erase(std::find(running.begin(), running.end(), &block));
  unused.push_back(&block);
}

void Launch::pause(Thread &thread) {
  thread.polled = true;
  ready.push_back(&thread);
  thread.fiber.suspend();
}

void Launch::wait(Thread &thread, ThreadState state, uint32_t location) {
  thread.state = state;
  thread.waitLocation = location;
  thread.fiber.suspend();
}

void Launch::wake(Thread &thread) {
  thread.block->warpStates[thread.index / kWarpLanes].waiting &= ~(1u << thread.lane());
  thread.state = ThreadState::Ready;
  ready.push_back(&thread);
}

void Launch::reportDeadlock(bool isPolling) {
  // One report for each place where somebody waits, with another such place of the same block.
  for (Block *block : running) {
    std::vector<Thread *> places;
    for (const auto &thread : block->threads) {
      const bool isWaiting =
          thread->state != ThreadState::Ready && thread->state != ThreadState::Done;
      const auto isSame = [&](Thread *other) {
        return other->state == thread->state && other->waitLocation == thread->waitLocation;
      };
      if (isWaiting && std::none_of(places.begin(), places.end(), isSame))
        places.push_back(thread.get());
    }
    for (size_t i = 0; i < places.size(); ++i) {
      Thread &thread = *places[i];
      std::optional<Site> other;
      if (places.size() > 1) {
        const Thread &elsewhere = *places[i == 0 ? 1 : 0];
        other = elsewhere.site(elsewhere.waitLocation);
      }
      const Site site = thread.site(thread.waitLocation);
      if (thread.state == ThreadState::InWarp)
        report(Fault::DivergentWarp, site,
               fmt::format("lanes {:#x} are to execute this together, and some are elsewhere",
                           thread.call->mask),
               other);
      else if (thread.state == ThreadState::AtBarrier)
        report(Fault::DivergentBarrier, site, "not all threads reach this barrier", other);
      else
        report(Fault::Deadlock, site, "nobody completes the phase that is waited for", other);
    }
    if (places.empty() && isPolling) {
      const Thread &thread = *block->threads.front();
      report(Fault::Deadlock, thread.site(thread.waitLocation),
             fmt::format("after {} looks at memory that nobody changes", polls));
    }
  }
}

void Launch::abandon() {
  for (Block *block : running) {
    for (char *stack : block->stacks)
      if (stack)
        memory.stacks.give(stack);
    if (block->arena)
      memory.giveArena(block->arena);
  }
}

Site Thread::site(uint32_t location, bool isWrite) const {
  return {location,
          {registers[BlockX], registers[BlockX + 1], registers[BlockX + 2]},
          {registers[ThreadX], registers[ThreadX + 1], registers[ThreadX + 2]},
          isWrite};
}

Site Launch::siteOf(const PastAccess &past, bool isWrite) const {
  const uint32_t thread = past.slot % threadCount;
  const auto [x, y, z] = config.block;
  return {past.location,
          indexOf(past.block - firstSerial),
          {thread % x, thread / x % y, thread / x / y},
          isWrite};
}

} // namespace moec::emulator
