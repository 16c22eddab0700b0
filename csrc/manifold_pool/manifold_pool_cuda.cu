#include <type_traits>

#include "manifold_conv/patches_cuda.h"
#include "manifold_pool.h"

namespace fer3d {
namespace {

template <typename T>
__device__ inline bool is_measured(const StencilView<T>& in, int64_t K, int64_t bin) {
  for (int64_t k = 0; k < K; ++k)
    if (in.weights[bin * K + k] != 0) return true;
  return false;
}

// Whether output bin (i, j) covers fine ray a; rays are visited in the order of the window.
__device__ inline bool covers(const PoolLayout& layout, int64_t A, int64_t i, int64_t j, int64_t a) {
  const int64_t step = (a - j * (A / layout.Q) + (layout.window[i] - 1) / 2 + A) % A;
  return step < layout.window[i];
}

// y, winner: (B V, P, Q, C); one thread per element.
template <typename T>
__global__ void pool_kernel(StencilView<T> in, ConvSizes s, PoolLayout layout, T* y, int16_t* winner) {
  for (int64_t e = first_element(); e < s.B * s.V * layout.P * layout.Q * s.C; e += element_stride()) {
    const int64_t c = e % s.C, j = e / s.C % layout.Q, i = e / (s.C * layout.Q) % layout.P;
    const int64_t v = e / (s.C * layout.Q * layout.P);
    const int64_t first = j * (s.A / layout.Q) - (layout.window[i] - 1) / 2 + s.A;
    Sum<T> value = 0;
    int64_t won = -1, count = 0;
    for (int64_t r = layout.start[i]; r < layout.stop[i]; ++r) {
      for (int64_t a = first; a < first + layout.window[i]; ++a) {
        const int64_t bin = r * s.A + a % s.A, at = v * s.R * s.A + bin;
        if (!is_measured(in, s.K, at)) continue;
        const Sum<T> here = patch_value(in, s, at, c);
        ++count;
        if (!winner) {
          value += here;
        } else if (count == 1 || here > value || here != here) {
          value = here;
          won = bin;
        }
      }
    }
    if (!winner && count > 0) value /= static_cast<Sum<T>>(count);
    y[e] = narrow<T>(value);
    if (winner) winner[e] = static_cast<int16_t>(won);
  }
}

// counts: (B V, P, Q), the number of measured bins of each output bin.
template <typename T>
__global__ void count_kernel(StencilView<T> in, ConvSizes s, PoolLayout layout, int32_t* counts) {
  for (int64_t e = first_element(); e < s.B * s.V * layout.P * layout.Q; e += element_stride()) {
    const int64_t j = e % layout.Q, i = e / layout.Q % layout.P, v = e / (layout.Q * layout.P);
    int32_t count = 0;
    for (int64_t r = layout.start[i]; r < layout.stop[i]; ++r)
      for (int64_t a = 0; a < s.A; ++a)
        if (covers(layout, s.A, i, j, a)) count += is_measured(in, s.K, (v * s.R + r) * s.A + a);
    counts[e] = count;
  }
}

// grads: (count, R, A, C), the gradient of the fine patches of vertices [v, v + count).
template <typename T>
__global__ void grad_bins_kernel(const T* grad, const int16_t* winner, const int32_t* counts, ConvSizes s,
                                 PoolLayout layout, int64_t v, int64_t count, Sum<T>* grads) {
  for (int64_t e = first_element(); e < count * s.R * s.A * s.C; e += element_stride()) {
    const int64_t c = e % s.C, a = e / s.C % s.A, r = e / (s.C * s.A) % s.R, u = v + e / (s.C * s.A * s.R);
    Sum<T> sum = 0;
    for (int64_t i = 0; i < layout.P; ++i) {
      if (r < layout.start[i] || r >= layout.stop[i]) continue;
      for (int64_t j = 0; j < layout.Q; ++j) {
        if (!covers(layout, s.A, i, j, a)) continue;
        const int64_t bin = (u * layout.P + i) * layout.Q + j;
        if (winner) {
          if (winner[bin * s.C + c] == r * s.A + a) sum += widen(grad[bin * s.C + c]);
        } else if (counts[bin] > 0) {
          sum += widen(grad[bin * s.C + c]) / static_cast<Sum<T>>(counts[bin]);
        }
      }
    }
    grads[e] = sum;
  }
}

constexpr const char* name = "manifold_pool";

}  // namespace

void manifold_pool_cuda(const CudaInput& input, const ConvSizes& s, const PoolLayout& layout, void* stream, void* y,
                        int16_t* winner) {
  with_type(input, [&](const auto& view) {
    using T = std::decay_t<decltype(*view.x)>;
    launch_elements(name, pool_kernel<T>, s.B * s.V * layout.P * layout.Q * s.C, stream, view, s, layout,
                    static_cast<T*>(y), winner);
  });
}

void manifold_pool_grad_cuda(const void* grad, const int16_t* winner, const CudaInput& input, const ConvSizes& s,
                             const PoolLayout& layout, const CudaWorkspace& work, int32_t* counts, const int64_t* order,
                             const int64_t* starts, void* stream, void* grad_x) {
  with_type(input, [&](const auto& view) {
    using T = std::decay_t<decltype(*view.x)>;
    auto* grads = static_cast<Sum<T>*>(work.memory);
    if (!winner)
      launch_elements(name, count_kernel<T>, s.B * s.V * layout.P * layout.Q, stream, view, s, layout, counts);
    const int64_t at_once = std::max<int64_t>(1, work.vertices / std::max<int64_t>(1, s.V));  // whole scans
    for (int64_t b = 0; b < s.B; b += at_once) {
      const int64_t scans = std::min(at_once, s.B - b);
      launch_elements(name, grad_bins_kernel<T>, scans * s.V * s.R * s.A * s.C, stream, static_cast<const T*>(grad),
                      winner, counts, s, layout, b * s.V, scans * s.V, grads);
      launch_elements(name, gather_rows_kernel<T>, scans * s.N * s.C, stream, grads, view.weights, order, starts, s, b,
                      scans, static_cast<T*>(grad_x));
    }
  });
}

}  // namespace fer3d
