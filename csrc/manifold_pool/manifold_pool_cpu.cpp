#include <algorithm>
#include <atomic>
#include <vector>

#include "manifold_conv/manifold_conv_kernels.h"
#include "manifold_conv/scatter_scans.h"
#include "manifold_pool.h"

namespace fer3d {
namespace {

// The measured bins of each output bin, for one vertex at a time.
class Coverage {
 public:
  Coverage(const ConvSizes& s, const PoolLayout& layout) : s_(s), layout_(layout), measured_(s.R * s.A) {}

  template <typename Real>
  void look_at(const Real* weights) {  // (R, A, K), of the vertex
    for (int64_t bin = 0; bin < s_.R * s_.A; ++bin) {
      measured_[bin] = false;
      for (int64_t k = 0; k < s_.K; ++k) measured_[bin] |= weights[bin * s_.K + k] != 0;
    }
  }

  const std::vector<int32_t>& bins(int64_t i, int64_t j) {
    bins_.clear();
    const int64_t first = j * (s_.A / layout_.Q) - (layout_.window[i] - 1) / 2 + s_.A;
    for (int64_t r = layout_.start[i]; r < layout_.stop[i]; ++r) {
      for (int64_t a = first; a < first + layout_.window[i]; ++a) {
        const int64_t bin = r * s_.A + a % s_.A;
        if (measured_[bin]) bins_.push_back(static_cast<int32_t>(bin));
      }
    }
    return bins_;
  }

 private:
  const ConvSizes& s_;
  const PoolLayout& layout_;
  std::vector<char> measured_;
  std::vector<int32_t> bins_;
};

}  // namespace

template <typename Real>
int64_t manifold_pool_cpu(const ConvInput<Real>& input, const ConvSizes& s, const PoolLayout& layout, int threads,
                          Real* y, int16_t* winner) {
  const ConvKernels<Real>& k = conv_kernels(Real());
  const int64_t C = s.C, Dp = round_up(s.R * C, k.lanes), bins = layout.P * layout.Q;
  constexpr int64_t tile = 32;
  const int64_t tiles = (s.B * s.V + tile - 1) / tile;
  std::vector<Buffer<Real>> patches;
  std::vector<Coverage> coverages(threads, Coverage(s, layout));
  for (int i = 0; i < threads; ++i) patches.emplace_back(s.A * Dp);
  std::atomic<int64_t> first_wrong{-1};
  parallel_tasks(tiles, threads, [&](int64_t task, int worker) {
    Real* patch = patches[worker].data();
    Coverage& coverage = coverages[worker];
    std::vector<int32_t> best(C);
    for (int64_t v = task * tile; v < std::min(s.B * s.V, (task + 1) * tile); ++v) {
      const int64_t wrong = k.load_patch(input, s, v / s.V, v % s.V, patch);
      if (wrong >= 0) {
        for (int64_t seen = first_wrong; seen < 0 || wrong < seen;)
          if (first_wrong.compare_exchange_weak(seen, wrong)) break;
        return;
      }
      coverage.look_at(input.weights + v * s.R * s.A * s.K);
      for (int64_t i = 0; i < layout.P; ++i) {
        for (int64_t j = 0; j < layout.Q; ++j) {
          const std::vector<int32_t>& covered = coverage.bins(i, j);
          Real* out = y + (v * bins + i * layout.Q + j) * C;
          int16_t* won = winner ? winner + (out - y) : nullptr;
          std::fill(out, out + C, Real(0));
          if (won) std::fill(won, won + C, int16_t(-1));
          for (const int32_t bin : covered) {
            const Real* from = patch + bin % s.A * Dp + bin / s.A * C;
            if (!won) {
              for (int64_t c = 0; c < C; ++c) out[c] += from[c];
            } else if (bin == covered.front()) {
              std::copy(from, from + C, out);
              std::fill(best.begin(), best.end(), bin);
            } else {
              k.keep_larger(from, C, bin, out, best.data());
            }
          }
          if (won && !covered.empty()) std::copy(best.begin(), best.end(), won);
          if (!won && !covered.empty())
            for (int64_t c = 0; c < C; ++c) out[c] /= static_cast<Real>(covered.size());
        }
      }
    }
  });
  return first_wrong;
}

template <typename Real>
void manifold_pool_grad_cpu(const Real* grad, const int16_t* winner, const ConvInput<Real>& input, const ConvSizes& s,
                            const PoolLayout& layout, int threads, Real* grad_x) {
  if (s.B * s.V * s.R * s.A * s.C == 0) {
    std::fill(grad_x, grad_x + s.B * s.N * s.C, Real(0));
    return;
  }
  const ConvKernels<Real>& k = conv_kernels(Real());
  const int64_t C = s.C, Dp = round_up(s.R * C, k.lanes), bins = layout.P * layout.Q;
  std::vector<Buffer<Real>> patches;
  std::vector<Coverage> coverages(threads, Coverage(s, layout));
  for (int i = 0; i < threads; ++i) patches.emplace_back(s.A * Dp);
  std::vector<int64_t> place(s.R * s.A);  // offset of the channels of each bin in a patch
  for (int64_t bin = 0; bin < s.R * s.A; ++bin) place[bin] = bin % s.A * Dp + bin / s.A * C;
  scatter_scans(input, s, threads, grad_x, [&](int64_t b, const Run& run, Real* to, int worker) {
    Real* patch = patches[worker].data();
    Coverage& coverage = coverages[worker];
    for (int64_t v = run.begin; v < run.end; ++v) {
      std::fill(patch, patch + s.A * Dp, Real(0));
      if (!winner) coverage.look_at(input.weights + (b * s.V + v) * s.R * s.A * s.K);
      for (int64_t i = 0; i < layout.P; ++i) {
        for (int64_t j = 0; j < layout.Q; ++j) {
          const int64_t at = ((b * s.V + v) * bins + i * layout.Q + j) * C;
          if (winner) {
            for (int64_t c = 0; c < C; ++c) {
              const int16_t bin = winner[at + c];
              if (bin >= 0) patch[place[bin] + c] += grad[at + c];
            }
            continue;
          }
          const std::vector<int32_t>& covered = coverage.bins(i, j);
          for (const int32_t bin : covered) {
            Real* sum = patch + bin % s.A * Dp + bin / s.A * C;
            const Real share = Real(1) / static_cast<Real>(covered.size());
            for (int64_t c = 0; c < C; ++c) sum[c] += share * grad[at + c];
          }
        }
      }
      k.scatter_patch(input, s, b, v, patch, to);
    }
  });
}

#define FER3D_INSTANTIATE(Real)                                                                               \
  template int64_t manifold_pool_cpu(const ConvInput<Real>&, const ConvSizes&, const PoolLayout&, int, Real*, \
                                     int16_t*);                                                               \
  template void manifold_pool_grad_cpu(const Real*, const int16_t*, const ConvInput<Real>&, const ConvSizes&, \
                                       const PoolLayout&, int, Real*);
FER3D_INSTANTIATE(float)
FER3D_INSTANTIATE(double)

}  // namespace fer3d
