// Threads that take tasks in order, and the file around what they make.

#include "compiler/emit/Packer.h"

#include "compiler/emit/LargePageWriter.h"
#include "compiler/emit/PackTasks.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <sched.h>
#include <sys/stat.h>
#include <thread>

using namespace moec;

Result<std::vector<SourceDigest>> moec::digestSources(const Checkpoint &checkpoint) {
  std::vector<SourceDigest> digests;
  for (const CheckpointFile &shard : checkpoint.files()) {
    Result<File> file = File::open(shard.path);
    if (!file.ok())
      return file.status();
    Result<Digest> digest = sampleDigest(*file, shard.dataStart);
    if (!digest.ok())
      return digest.status();
    digests.push_back({shard.name, file->size(), *digest});
  }
  return digests;
}

uint64_t moec::packedFileBytes(const WeightPlan &plan) {
  PackedHeader header;
  header.blobBytes = plan.totalBytes();
  header.chunks = makePackTasks(plan).size();
  return header.fileBytes();
}

// Change of the sources -------------------------------------------------------------------------

namespace {

/// What the system changes whenever a file's bytes are: with it, a file that was written to, or
/// replaced, is told from one that was not.
struct Stamp {
  ino_t inode = 0;
  int64_t size = 0;
  timespec changed = {};

  bool operator==(const Stamp &other) const {
    return inode == other.inode && size == other.size && changed.tv_sec == other.changed.tv_sec &&
           changed.tv_nsec == other.changed.tv_nsec;
  }
};

} // namespace

static bool isBefore(const timespec &a, const timespec &b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

static Stamp stampOf(const std::string &path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0)
    return {};
  return {info.st_ino, info.st_size, info.st_ctim};
}

static std::vector<Stamp> stampsOf(const Checkpoint &checkpoint) {
  std::vector<Stamp> stamps;
  for (const CheckpointFile &shard : checkpoint.files())
    stamps.push_back(stampOf(shard.path));
  return stamps;
}

static Status checkUnchanged(const Checkpoint &checkpoint, const std::vector<Stamp> &before) {
  std::vector<Stamp> after = stampsOf(checkpoint);
  for (size_t index = 0; index < before.size(); ++index)
    if (!(before[index] == after[index]))
      return {Code::Model, fmt::format("{}: changed while it was read; compile the model again",
                                       checkpoint.files()[index].path)};
  return {};
}

/// Whether the file at `path` is what packing would make. Digests alone would miss a change between
/// the sampled blocks, so a source that the system touched after the file was written counts as
/// changed.
static bool isReusable(const std::string &path, const PackedHeader &wanted,
                       const std::vector<Stamp> &stamps) {
  Result<File> file = File::open(path);
  if (!file.ok())
    return false;
  Result<PackedHeader> header = PackedHeader::read(*file);
  if (!header.ok() || header->plan != wanted.plan || header->sources != wanted.sources ||
      header->blobBytes != wanted.blobBytes || header->chunks != wanted.chunks)
    return false;
  struct stat info;
  if (fstat(file->fd(), &info) != 0)
    return false;
  return std::all_of(stamps.begin(), stamps.end(),
                     [&](const Stamp &stamp) { return isBefore(stamp.changed, info.st_mtim); });
}

// Threads ---------------------------------------------------------------------------------------

static unsigned usableCpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0)
    return 1;
  return std::max(1u, static_cast<unsigned>(CPU_COUNT(&set)));
}

/// Twice the CPUs, since a thread that waits for a read needs none; fewer where buffers would take
/// too much.
static unsigned threadCount(const WeightPlan &plan, const std::vector<PackTask> &tasks,
                            const PackOptions &options) {
  uint64_t memory = 1;
  for (const PackTask &task : tasks)
    memory = std::max(memory, PackWorker::memoryFor(plan, task));
  uint64_t most = options.threads ? options.threads : std::min(16u, 2 * usableCpus());
  most = std::min<uint64_t>(most, std::max<uint64_t>(1, options.memoryBytes / memory));
  return static_cast<unsigned>(std::clamp<uint64_t>(tasks.size(), 1, most));
}

/// Takes bytes of the blob at an offset; called by several threads at once, each byte once.
using PackSink = std::function<Status(uint64_t offset, std::span<const uint8_t> bytes)>;

/// Whether the scales of the weight's format, where they are f16, reach elements as large as its
/// largest one: below, all of them would be rounded to nothing.
static Status checkScales(const PackedWeight &weight, float largest) {
  if (!weight.quantized || quantScaleBytes(*weight.quantized) != 2 || largest == 0)
    return {};
  const QuantTraits &traits = traitsOf(*weight.quantized);
  const float steps = traits.hasZeros ? 15 : static_cast<float>(traits.zero) - (traits.bits == 8);
  constexpr float least = 0x1p-22f, most = 65504; // four times the least f16, and the largest
  if (largest >= least * steps && largest <= most * steps)
    return {};
  return {Code::Unsupported,
          fmt::format("the largest element of `{}` is {:.3g}, and {} has scales for {:.3g} to "
                      "{:.3g}; leave its class as it is stored, or quantize it to mxfp4 or fp8",
                      weight.name, largest, traits.name, least * steps, most * steps)};
}

/// Runs all tasks; fills in `report`'s chunks and losses.
static Status runTasks(const Checkpoint &checkpoint, const WeightPlan &plan,
                       const std::vector<PackTask> &tasks, const PackSink &sink,
                       const PackOptions &options, PackReport &report) {
  Result<PackSources> sources = PackSources::open(checkpoint, plan);
  if (!sources.ok())
    return sources.status();
  report.chunks.resize(tasks.size());
  std::vector<ConversionLoss> losses(plan.weights.size());
  std::vector<float> largest(plan.weights.size());
  std::atomic<size_t> next{0};
  std::mutex mutex; // guards what follows, `losses` and `largest`
  Status failure;
  uint64_t done = 0, total = plan.totalBytes();

  auto work = [&] {
    PackWorker worker(plan, *sources);
    for (size_t index = next++; index < tasks.size(); index = next++) {
      const PackTask &task = tasks[index];
      Status status = worker.run(task);
      if (status.ok()) {
        std::span<const uint8_t> bytes = worker.output(task);
        Hasher hasher;
        hasher.add(bytes);
        report.chunks[index] = {task.bytes, hasher.finish()};
        status = sink(task.offset, bytes);
      }
      std::lock_guard<std::mutex> lock(mutex);
      if (!status.ok()) {
        if (failure.ok())
          failure = std::move(status);
        next = tasks.size();
        return;
      }
      losses[task.weight] |= worker.loss();
      largest[task.weight] = std::max(largest[task.weight], worker.largest());
      done += task.bytes;
      if (options.progress)
        options.progress(done, total);
    }
  };
  std::vector<std::thread> threads;
  for (unsigned index = 1; index < threadCount(plan, tasks, options); ++index)
    threads.emplace_back(work);
  work();
  for (std::thread &thread : threads)
    thread.join();

  for (size_t index = 0; index < largest.size() && failure.ok(); ++index)
    failure = checkScales(plan.weights[index], largest[index]);
  for (size_t index = 0; index < losses.size(); ++index)
    if (losses[index].inexact || losses[index].overflow)
      report.lossy.push_back(
          {plan.weights[index].name, plan.weights[index].elementName(), losses[index].overflow});
  return failure;
}

// Entry points ----------------------------------------------------------------------------------

namespace {

/// What is known before a byte is packed.
struct Packing {
  std::vector<Stamp> stamps;
  std::vector<PackTask> tasks;
  PackedHeader header; ///< but for `table`
  PackReport report;
};

} // namespace

static Result<Packing> prepare(const Checkpoint &checkpoint, const WeightPlan &plan) {
  Packing packing;
  packing.stamps = stampsOf(checkpoint);
  if (Status status = plan.check(); !status.ok())
    return status;
  if (checkpoint.headersOnly())
    return Status{Code::Usage,
                  fmt::format("{}: opened for its headers only, there are no weights to pack",
                              checkpoint.directory())};
  Result<std::vector<SourceDigest>> sources = digestSources(checkpoint);
  if (!sources.ok())
    return sources.status();
  packing.tasks = makePackTasks(plan);
  packing.header.blobBytes = plan.totalBytes();
  packing.header.chunks = packing.tasks.size();
  packing.header.plan = plan.digest();
  packing.header.sources = packSourcesDigest(*sources);
  packing.report.bytes = packing.header.blobBytes;
  packing.report.digest = packedWeightsDigest(packing.header.plan, packing.header.sources);
  return packing;
}

static std::string sizeText(uint64_t bytes) {
  constexpr double kGiga = 1e9, kMega = 1e6;
  auto number = static_cast<double>(bytes);
  if (number >= kGiga)
    return fmt::format("{:.1f} GB", number / kGiga);
  return number >= kMega ? fmt::format("{:.1f} MB", number / kMega)
                         : fmt::format("{} bytes", bytes);
}

/// Says what else to do where the disk is full.
static Status nameMap(Status status) {
  if (status.code == Code::Resource)
    status.message +=
        "; free some space, or use --weights=map, which leaves the weights where they are";
  return status;
}

/// Writes all of a packed file into `file`, from byte `begin` on.
static Status writePacked(const Checkpoint &checkpoint, const WeightPlan &plan, Packing &packing,
                          const AtomicFile &file, uint64_t begin, const PackOptions &options) {
  PackedHeader &header = packing.header;
  if (Status status = file.reserve(begin, header.fileBytes()); !status.ok())
    return nameMap(std::move(status));
  uint64_t blob = begin + kPackedHeaderBytes;
  LargePageWriter writer(file, blob, blob + header.blobBytes);
  auto sink = [&](uint64_t offset, std::span<const uint8_t> bytes) {
    return writer.write(blob + offset, bytes);
  };
  if (Status status = runTasks(checkpoint, plan, packing.tasks, sink, options, packing.report);
      !status.ok())
    return nameMap(std::move(status));
  std::vector<uint8_t> table = packedChunkTable(packing.report.chunks);
  Hasher hasher;
  hasher.add(table);
  header.table = hasher.finish();
  if (Status status = file.writeAt(blob + header.blobBytes, table); !status.ok())
    return nameMap(std::move(status));
  if (Status status = file.writeAt(begin, header.bytes()); !status.ok())
    return nameMap(std::move(status));
  return checkUnchanged(checkpoint, packing.stamps);
}

Result<PackReport> moec::packInto(const Checkpoint &checkpoint, const WeightPlan &plan,
                                  const AtomicFile &file, uint64_t begin,
                                  const PackOptions &options) {
  Result<Packing> packing = prepare(checkpoint, plan);
  if (!packing.ok())
    return packing.status();
  if (Status status = writePacked(checkpoint, plan, *packing, file, begin, options); !status.ok())
    return status;
  return std::move(packing->report);
}

Result<PackReport> moec::packToFile(const Checkpoint &checkpoint, const WeightPlan &plan,
                                    const std::string &path, const PackOptions &options) {
  Result<Packing> packing = prepare(checkpoint, plan);
  if (!packing.ok())
    return packing.status();
  PackReport &report = packing->report;
  if (isReusable(path, packing->header, packing->stamps)) {
    report.reused = true;
    if (options.progress)
      options.progress(report.bytes, report.bytes);
    return std::move(report);
  }
  if (options.starting)
    options.starting();
  uint64_t bytes = packing->header.fileBytes();
  Result<uint64_t> free = freeDiskBytes(path);
  if (!free.ok())
    return free.status();
  if (*free < bytes)
    return nameMap({Code::Resource, fmt::format("{}: needs {}, and its disk has {} free", path,
                                                sizeText(bytes), sizeText(*free))});
  Result<AtomicFile> file = AtomicFile::create(path);
  if (!file.ok())
    return file.status();
  if (Status status = writePacked(checkpoint, plan, *packing, *file, 0, options); !status.ok())
    return status;
  if (Status status = file->commit(); !status.ok())
    return nameMap(std::move(status));
  return std::move(report);
}
