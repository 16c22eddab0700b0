#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace fer3d {

// Calls work(task, worker) once for each task in [0, tasks), on up to `threads` threads; worker is in [0, threads).
// The worker of a task is arbitrary, so results must depend on the task only. The first exception is rethrown here.
template <typename Work>
void parallel_tasks(int64_t tasks, int threads, const Work& work) {
  std::atomic<int64_t> next{0};
  std::exception_ptr failure;
  std::mutex failing;
  const auto run = [&](int worker) {
    try {
      for (int64_t task; (task = next.fetch_add(1)) < tasks;) work(task, worker);
    } catch (...) {
      const std::lock_guard<std::mutex> guard(failing);
      if (!failure) failure = std::current_exception();
      next = tasks;
    }
  };
  std::vector<std::thread> others;
  try {
    for (int worker = 1; worker < threads && worker < tasks; ++worker) others.emplace_back(run, worker);
  } catch (...) {  // no more threads available: the running ones do all tasks
  }
  run(0);
  for (std::thread& other : others) other.join();
  if (failure) std::rethrow_exception(failure);
}

// Calls work(first, last) for consecutive ranges of `part` elements of [0, count), on up to `threads` threads.
template <typename Work>
void parallel_parts(int64_t count, int64_t part, int threads, const Work& work) {
  parallel_tasks((count + part - 1) / part, threads,
                 [&](int64_t task, int) { work(task * part, std::min(count, (task + 1) * part)); });
}

}  // namespace fer3d
