// Loops that do nothing but read, or nothing but multiply and add, on all threads at once.

#include "runtime/cpu/Limits.h"

#include "runtime/core/PageBuffer.h"
#include "runtime/cpu/CpuFeatures.h"

#include <algorithm>
#include <cstring>
#include <time.h>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace moec {

// Beyond any cache: the largest of today have 1.2 GB for some hundred cores.
static constexpr int64_t leastBytes = INT64_C(512) << 20, threadBytes = INT64_C(32) << 20;
static constexpr int streams = 4; // of reads, which memory gives more to than one
static constexpr int rounds = 5;

static double seconds() { return static_cast<double>(clockNanoseconds()) * 1e-9; }

static double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Seconds that `work(context, thread)` takes on all threads, from a common start to the last end.
static double timeTogether(Threads &threads, Threads::Work work, void *context) {
  struct Round {
    int64_t count;
    Threads::Work work;
    void *context;
    std::atomic<int64_t> arrived = 0;
    Progress started = {};
    double start = 0;
  } round{threads.count(), work, context};
  threads.run(
      [](void *argument, int64_t thread) {
        Round &round = *static_cast<Round *>(argument);
        if (round.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == round.count)
          round.started.reach(1);
        round.started.wait(1);
        if (thread == 0)
          round.start = seconds();
        round.work(round.context, thread);
      },
      &round);
  return seconds() - round.start;
}

/// Keeps the compiler from dropping a result.
static void keep(int64_t value) { asm volatile("" : : "r"(value)); }

#if defined(__x86_64__)

__attribute__((target("avx512f"))) static void readWide(const uint8_t *bytes, int64_t stream) {
  __m512i sums[streams][2] = {};
  for (int64_t i = 0; i < stream; i += 128)
#pragma GCC unroll 4
    for (int s = 0; s < streams; ++s)
#pragma GCC unroll 2
      for (int k = 0; k < 2; ++k)
        sums[s][k] =
            _mm512_add_epi64(sums[s][k], _mm512_load_si512(bytes + s * stream + i + 64 * k));
  for (auto &sum : sums)
    keep(_mm512_reduce_add_epi64(_mm512_add_epi64(sum[0], sum[1])));
}

__attribute__((target("avx2"))) static void readHalf(const uint8_t *bytes, int64_t stream) {
  __m256i sums[streams][2] = {};
  for (int64_t i = 0; i < stream; i += 64)
#pragma GCC unroll 4
    for (int s = 0; s < streams; ++s)
#pragma GCC unroll 2
      for (int k = 0; k < 2; ++k)
        sums[s][k] = _mm256_add_epi64(
            sums[s][k],
            _mm256_load_si256(reinterpret_cast<const __m256i *>(bytes + s * stream + i + 32 * k)));
  for (auto &sum : sums)
    keep(_mm256_extract_epi64(_mm256_add_epi64(sum[0], sum[1]), 0));
}

// Enough chains to hide the latency; the empty statement keeps each of them a chain.
constexpr int chains = 24, halfChains = 12;

__attribute__((target("avx512f"))) static double multiplyWide(int64_t steps) {
  __m512 sums[chains], a = _mm512_set1_ps(1e-9f), b = _mm512_set1_ps(1.0f);
  asm volatile("" : "+v"(a), "+v"(b)); // else 1 * a is an addition
  for (__m512 &sum : sums)
    sum = _mm512_setzero_ps();
  for (int64_t i = 0; i < steps; ++i)
#pragma GCC unroll 24
    for (int k = 0; k < chains; ++k) {
      sums[k] = _mm512_fmadd_ps(a, b, sums[k]);
      asm volatile("" : "+v"(sums[k]));
    }
  for (int k = 1; k < chains; ++k)
    sums[0] = _mm512_add_ps(sums[0], sums[k]);
  keep(static_cast<int64_t>(_mm512_reduce_add_ps(sums[0])));
  return 2.0 * 16 * chains * static_cast<double>(steps);
}

__attribute__((target("avx2,fma"))) static double multiplyHalf(int64_t steps) {
  __m256 sums[halfChains], a = _mm256_set1_ps(1e-9f), b = _mm256_set1_ps(1.0f);
  asm volatile("" : "+x"(a), "+x"(b));
  for (__m256 &sum : sums)
    sum = _mm256_setzero_ps();
  for (int64_t i = 0; i < steps; ++i)
#pragma GCC unroll 12
    for (int k = 0; k < halfChains; ++k) {
      sums[k] = _mm256_fmadd_ps(a, b, sums[k]);
      asm volatile("" : "+x"(sums[k]));
    }
  for (int k = 1; k < halfChains; ++k)
    sums[0] = _mm256_add_ps(sums[0], sums[k]);
  keep(static_cast<int64_t>(_mm256_cvtss_f32(sums[0])));
  return 2.0 * 8 * halfChains * static_cast<double>(steps);
}

__attribute__((target("avx512f,avx512bf16"))) static double multiplyPairs(int64_t steps) {
  __m512 sums[chains];
  __m512bh a = (__m512bh)_mm512_set1_epi16(0x3000), b = (__m512bh)_mm512_set1_epi16(0x3f80);
  for (__m512 &sum : sums)
    sum = _mm512_setzero_ps();
  for (int64_t i = 0; i < steps; ++i)
#pragma GCC unroll 24
    for (int k = 0; k < chains; ++k) {
      sums[k] = _mm512_dpbf16_ps(sums[k], a, b);
      asm volatile("" : "+v"(sums[k]));
    }
  for (int k = 1; k < chains; ++k)
    sums[0] = _mm512_add_ps(sums[0], sums[k]);
  keep(static_cast<int64_t>(_mm512_reduce_add_ps(sums[0])));
  return 2.0 * 32 * chains * static_cast<double>(steps);
}

#endif

/// Any CPU: as wide as the compiler makes it for the baseline.
static void readPlain(const uint8_t *bytes, int64_t stream) {
  uint64_t sums[streams][8] = {};
  for (int64_t i = 0; i < stream; i += sizeof sums[0])
    for (int s = 0; s < streams; ++s) {
      uint64_t block[8];
      memcpy(block, bytes + s * stream + i, sizeof block);
      for (int k = 0; k < 8; ++k)
        sums[s][k] += block[k];
    }
  for (const auto &sum : sums)
    for (uint64_t part : sum)
      keep(static_cast<int64_t>(part));
}

static double multiplyPlain(int64_t steps) {
  constexpr int lanes = 32;
  float sums[lanes] = {};
  for (int64_t i = 0; i < steps; ++i) {
    for (float &sum : sums)
      sum = sum * 0.999f + 1e-9f;
    asm volatile("" : : "r"(sums) : "memory");
  }
  keep(static_cast<int64_t>(sums[0]));
  return 2.0 * lanes * static_cast<double>(steps);
}

static double multiply(Arithmetic kind, int64_t steps) {
#if defined(__x86_64__)
  if (kind == Arithmetic::Bf16Dot)
    return multiplyPairs(steps);
  if (cpuHas("avx512f"))
    return multiplyWide(steps);
  if (cpuHas("avx2") && cpuHas("fma"))
    return multiplyHalf(steps);
#endif
  static_cast<void>(kind);
  return multiplyPlain(steps);
}

/// Reads `streams` adjacent parts of `stream` bytes, a multiple of 128, side by side.
static void readAll(const uint8_t *bytes, int64_t stream) {
#if defined(__x86_64__)
  if (cpuHas("avx512f"))
    return readWide(bytes, stream);
  if (cpuHas("avx2"))
    return readHalf(bytes, stream);
#endif
  readPlain(bytes, stream);
}

bool hasArithmetic(Arithmetic kind) { return kind == Arithmetic::F32Fma || cpuHas("avx512_bf16"); }

std::string_view arithmeticName(Arithmetic kind) {
  return kind == Arithmetic::F32Fma ? "f32 multiply-add" : "bf16 dot product";
}

Result<double> measureReading(Threads &threads) {
  struct Reading {
    uint8_t *bytes;
    int64_t stream;
    int64_t part() const { return streams * stream; }
  } reading{};
  reading.stream = std::max(leastBytes / threads.count(), threadBytes) / streams / 4096 * 4096;
  PageBuffer buffer;
  if (Status status = buffer.ensure(threads.count() * reading.part(), "measuring the bandwidth");
      !status.ok())
    return status;
  reading.bytes = buffer.data();
  // Each thread touches its own part first, so that it lies near it.
  threads.run(
      [](void *context, int64_t thread) {
        Reading &reading = *static_cast<Reading *>(context);
        memset(reading.bytes + thread * reading.part(), 1, reading.part());
      },
      &reading);
  std::vector<double> rates;
  rates.reserve(rounds);
  for (int round = 0; round < rounds; ++round)
    rates.push_back(static_cast<double>(threads.count() * reading.part()) /
                    timeTogether(
                        threads,
                        [](void *context, int64_t thread) {
                          Reading &reading = *static_cast<Reading *>(context);
                          readAll(reading.bytes + thread * reading.part(), reading.stream);
                        },
                        &reading));
  return median(rates);
}

double measureArithmetic(Threads &threads, Arithmetic kind) {
  struct Multiplying {
    Arithmetic kind;
    int64_t steps;
    double operations;
  } work{kind, 2'000'000, 0};
  std::vector<double> rates;
  rates.reserve(rounds);
  for (int round = 0; round < rounds; ++round) {
    double taken = timeTogether(
        threads,
        [](void *context, int64_t thread) {
          Multiplying &work = *static_cast<Multiplying *>(context);
          double operations = multiply(work.kind, work.steps);
          if (thread == 0)
            work.operations = operations;
        },
        &work);
    rates.push_back(work.operations * static_cast<double>(threads.count()) / taken);
  }
  return median(rates);
}

} // namespace moec
