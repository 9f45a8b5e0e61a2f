// Labels and confidence from a network's logits, on the CPU. A plain C interface: fanet_ros/labelling/kernels.py loads it.

#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <numeric>
#include <new>
#include <thread>
#include <vector>

#include "grid.hpp"

#define FANET_INLINE inline __attribute__((always_inline))

#if defined(__x86_64__)
#define FANET_FMA 1
#define FANET_LANES 8
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
namespace fanet::avx2 {
#include "cells.inc"
}
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef FANET_FMA
#undef FANET_LANES
#endif

#if defined(__aarch64__)
#define FANET_FMA 1
#else
#define FANET_FMA 0
#endif
#define FANET_LANES 4
namespace fanet::baseline {
#include "cells.inc"
}

namespace fanet {
namespace {

using LabelBand = bool (*)(const Job&, int first, int last, Scratch&);

LabelBand choose_instructions([[maybe_unused]] bool portable) {
#if defined(__x86_64__)
  if (!portable && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2::label_band;
#endif
  return baseline::label_band;
}

constexpr int kMostThreads = 4;  // of those chosen here

// The network's classes in the order of their labels.
std::vector<int> order_by_label(const std::uint8_t* label_of, int classes) {
  std::vector<int> order(classes);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return label_of[a] < label_of[b]; });
  return order;
}

// The grids of merged probabilities. As enlargement is linear, their sums may be enlarged as if each were one class.
// Leaves in `labels` each label once.
std::vector<float> add_up(const Job& job, const std::vector<int>& order, std::vector<std::int32_t>& labels) {
  std::vector<float> sums;
  for (int i = 0; i < job.classes; ++i) {
    const float* const from = job.logits + order[i] * job.plane();
    if (i == 0 || labels[i] != labels[i - 1]) sums.resize(sums.size() + job.plane());
    float* const sum = sums.data() + sums.size() - job.plane();
    for (std::ptrdiff_t point = 0; point < job.plane(); ++point) sum[point] += from[point];
  }
  labels.erase(std::unique(labels.begin(), labels.end()), labels.end());
  return sums;
}

// From the numbers of such sums to the labels they stand for.
void name_labels(const Job& job, const std::vector<std::int32_t>& labels) {
  if (labels.back() == static_cast<std::int32_t>(labels.size()) - 1) return;  // ascending, so they are 0, 1, 2 ...
  std::transform(job.labels, job.labels + job.height * job.width, job.labels,
                 [&](std::uint8_t number) { return static_cast<std::uint8_t>(labels[number]); });
}

// Those that this thread may run on, under taskset for example; hardware_concurrency() counts others, too.
int usable_processors() {
#if defined(__linux__)
  cpu_set_t usable;
  if (sched_getaffinity(0, sizeof usable, &usable) == 0) return CPU_COUNT(&usable);
#endif
  return static_cast<int>(std::thread::hardware_concurrency());  // also on machines with more than cpu_set_t can hold
}

// One thread per millisecond of work, as to start one takes a tenth of that and more on a busy machine.
int choose_threads(const Job& job) {
  const float logits = static_cast<float>(job.classes) * static_cast<float>(job.plane());
  const float pixels = static_cast<float>(job.height) * static_cast<float>(job.width);
  // Nanoseconds, measured on a machine of 2022.
  const float work = job.confidence == nullptr ? 1.5F * logits + 0.3F * pixels : 5.0F * logits + 3.0F * pixels;
  return std::clamp(std::min(usable_processors(), static_cast<int>(work / 1e6F)), 1, kMostThreads);
}

// Returns whether all logits are finite.
bool run(const Job& job, int threads, LabelBand label_band) {
  const int rows = job.y.points();
  threads = std::min(threads, rows);
  // Several bands per thread, because those with many borders between classes take longer.
  const int band = threads == 1 ? rows : std::max(1, rows / (8 * threads));
  std::atomic<int> next{0};
  std::atomic<bool> finite{true}, out_of_memory{false};
  const auto work = [&] {
    try {
      Scratch scratch(job);
      for (int first = next.fetch_add(band); first < rows; first = next.fetch_add(band)) {
        if (!label_band(job, first, std::min(first + band, rows), scratch)) finite = false;
      }
    } catch (const std::bad_alloc&) {
      out_of_memory = true;
    }
  };
  std::vector<std::thread> helpers;
  helpers.reserve(threads - 1);
  try {
    while (static_cast<int>(helpers.size()) < threads - 1) helpers.emplace_back(work);
  } catch (const std::exception&) {
    // No more threads to be had: those that there are do all the work.
  }
  work();
  for (std::thread& helper : helpers) helper.join();
  if (out_of_memory) throw std::bad_alloc();
  return finite;
}

}  // namespace
}  // namespace fanet

#define FANET_EXPORT extern "C" __attribute__((visibility("default")))

// Raise it together with VERSION in fanet_ros/labelling/kernels.py whenever the interface or the results change.
FANET_EXPORT int fanet_kernels_version() { return 5; }

// How many threads are started at most where the caller leaves it to choose.
FANET_EXPORT int fanet_usable_processors() { return fanet::usable_processors(); }

// Bilinear enlargement, then argmax; see fanet_ros/labelling/kernels.py for the arguments.
// Returns 1 if all logits are finite, 0 if not (then by torch's rules, but merged classes anyhow), -1 if memory ran out.
FANET_EXPORT int fanet_labels_from_logits(const float* logits, int classes, int rows, int columns, int height,
                                          int width, std::uint8_t* labels, std::uint8_t* confidence,
                                          const std::uint8_t* label_of, int align_corners, int probabilities,
                                          int threads, int portable) {
  try {
    const fanet::LabelBand label_band = fanet::choose_instructions(portable != 0);
    const bool aligned = align_corners != 0, summed = label_of != nullptr && probabilities != 0;
    // e^-negligible * classes = 1e-4: all that is left out changes a confidence by less than a fortieth of a level.
    // Of merged classes also labels follow from such sums, so there it is less than they are rounded by.
    const float least = label_of == nullptr ? 1e4F : 1e7F;
    const float negligible = std::log(least * static_cast<float>(classes));
    const fanet::Axis y(rows, height, aligned), x(columns, width, aligned);
    std::vector<int> order;
    std::vector<std::int32_t> ordered;
    if (label_of != nullptr) order = fanet::order_by_label(label_of, classes);
    for (const int c : order) ordered.push_back(label_of[c]);
    const fanet::Merging merging{label_of == nullptr || summed ? nullptr : order.data(), ordered.data()};
    fanet::Job job{logits, classes, y, x, height, width, labels, confidence, probabilities != 0, negligible, merging};
    std::vector<float> sums;
    if (summed) {
      sums = fanet::add_up(job, order, ordered);
      job.logits = sums.data();
      job.classes = static_cast<int>(ordered.size());
    }
    if (threads == 0) threads = fanet::choose_threads(job);
    const bool finite = fanet::run(job, threads, label_band);
    if (summed && finite) fanet::name_labels(job, ordered);
    return finite ? 1 : 0;
  } catch (const std::bad_alloc&) {
    return -1;
  }
}
