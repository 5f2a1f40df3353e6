// A loop over XLA's own thread pool that cannot deadlock.
//
// XLA runs independent operations on the same few threads, so an operation
// that waits for tasks it has scheduled may wait for a thread that waits for
// it. Here the caller takes work from the counter like everybody else, and
// waits only for blocks that a thread has already begun. A task that starts
// late finds the counter exhausted and touches nothing but the counter, which
// it keeps alive.

#ifndef JNAS_NATIVE_PARALLEL_H_
#define JNAS_NATIVE_PARALLEL_H_

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>

#include "xla/ffi/api/ffi.h"

namespace jnas {

class Loop {
 public:
  Loop(int64_t count, int64_t grain, void (*body)(void*, int64_t), void* state)
      : count_(count), grain_(grain), body_(body), state_(state) {}

  // Takes blocks until none is left.
  void Work() {
    int64_t begin;
    while ((begin = next_.fetch_add(grain_)) < count_) {
      int64_t end = std::min(begin + grain_, count_);
      for (int64_t i = begin; i < end; ++i) body_(state_, i);
      if (done_.fetch_add(end - begin) + end - begin == count_) {
        std::lock_guard<std::mutex> lock(mutex_);
        finished_.notify_all();
      }
    }
  }

  // Waits for the blocks that other threads have begun.
  void Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    finished_.wait(lock, [this] { return done_.load() == count_; });
  }

 private:
  const int64_t count_, grain_;
  void (*const body_)(void*, int64_t);
  void* const state_;
  std::atomic<int64_t> next_{0}, done_{0};
  std::mutex mutex_;
  std::condition_variable finished_;
};

// What a thread has to do, in multiplications or so, to be worth its waking.
inline constexpr int64_t kWorthwhile = 100'000;

// Calls body(i) for every i < count. Which thread runs which i is left to
// chance: the body must write to places that depend on i alone. `work` is the
// number of multiplications in all: little is done without other threads.
template <typename Body>
void ParallelFor(xla::ffi::ThreadPool& pool, int64_t count, int64_t work,
                 Body body) {
  int64_t threads = std::min(count, work / kWorthwhile);
  if (threads > 1) threads = std::min(threads, pool.num_threads());
  if (threads <= 1) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  int64_t grain = std::max<int64_t>(1, count / (threads * 16));
  auto call = [](void* state, int64_t i) { (*static_cast<Body*>(state))(i); };
  auto loop = std::make_shared<Loop>(count, grain, call, &body);
  for (int64_t t = 1; t < threads; ++t) {
    pool.Schedule([loop] { loop->Work(); });
  }
  loop->Work();
  loop->Wait();
}

}  // namespace jnas

#endif  // JNAS_NATIVE_PARALLEL_H_
