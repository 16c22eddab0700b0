#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "manifold_conv.h"
#include "threads.h"

namespace fer3d {

constexpr int64_t partial_room = 64 << 20;  // bytes of partial results
constexpr int64_t partials = 16;            // at most; also the least number of tasks if there is enough work

// Aligned to cache lines and initially zero, as lanes beyond the data are computed too and must not be slow or trap.
template <typename Real>
class Buffer {
 public:
  explicit Buffer(int64_t size) : memory_(new Real[static_cast<size_t>(size) + 64 / sizeof(Real)]()) {
    const auto address = reinterpret_cast<uintptr_t>(memory_.get());
    data_ = memory_.get() + (64 - address % 64) % 64 / sizeof(Real);
  }
  Real* data() { return data_; }

 private:
  std::unique_ptr<Real[]> memory_;
  Real* data_;
};

// Part `part` of [0, n), divided into `parts` nearly equal parts.
struct Run {
  int64_t begin, end;
};
inline Run run_of(int64_t part, int64_t parts, int64_t n) { return {n * part / parts, n * (part + 1) / parts}; }

// Computes grad_x. work(b, vertices, to, worker) adds the part of a range of vertices to `to`, the gradient (N, C) of
// scan b. If a scan has several ranges, each has its own copy, and the copies are added in a fixed order, so that the
// result does not depend on the threads. Without indices `to` is the gradient (V, R, A, C) of the patches of the scan,
// which is not cleared before.
template <typename Real, typename Work>
void scatter_scans(const ConvInput<Real>& input, const ConvSizes& s, int threads, Real* grad_x, const Work& work) {
  const int64_t scan = s.N * s.C;
  int64_t parts = 1;
  if (input.indices) {
    const int64_t room = partial_room / std::max<int64_t>(1, s.B * scan * static_cast<int64_t>(sizeof(Real)));
    parts = std::max<int64_t>(1, std::min({(partials + s.B - 1) / s.B, room, s.V / 256}));
    std::fill(grad_x, grad_x + s.B * scan, Real(0));
  }
  Buffer<Real> copies(input.indices ? (parts - 1) * s.B * scan : 0);
  const int64_t runs = input.indices ? parts : std::max<int64_t>(1, s.V / 32);
  parallel_tasks(s.B * runs, threads, [&](int64_t task, int worker) {
    const int64_t b = task / runs, part = task % runs;
    Real* to = grad_x;
    if (!input.indices) {
      to += b * s.V * s.R * s.A * s.C;
    } else if (part == 0) {
      to += b * scan;
    } else {
      to = copies.data() + ((part - 1) * s.B + b) * scan;
    }
    work(b, run_of(part, runs, s.V), to, worker);
  });
  if (parts == 1) return;

  constexpr int64_t stretch = 16384;
  const int64_t size = s.B * scan;
  parallel_tasks((size + stretch - 1) / stretch, threads, [&](int64_t task, int) {
    for (int64_t part = 0; part < parts - 1; ++part) {
      const Real* from = copies.data() + part * size;
      for (int64_t i = task * stretch; i < std::min(size, (task + 1) * stretch); ++i) grad_x[i] += from[i];
    }
  });
}

}  // namespace fer3d
