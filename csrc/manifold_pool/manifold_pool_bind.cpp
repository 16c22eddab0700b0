#include <pybind11/stl.h>

#include <array>
#include <optional>
#include <vector>

#include "array.h"
#include "manifold_pool/manifold_pool.h"

namespace {

using Winner = std::optional<Array<int16_t>>;

void require(bool fits, const char* message) {
  if (!fits) throw std::invalid_argument(message);
}

// The Python functions report errors; these checks only keep reads in bounds.
template <typename Real>
fer3d::ConvSizes sizes_of(int64_t B, int64_t N, int64_t C, const Array<int32_t>& indices, const Array<Real>& weights) {
  require_ndim(indices, 5, "indices");
  require_ndim(weights, 5, "weights");
  for (int axis = 0; axis < 5; ++axis)
    require(indices.shape(axis) == weights.shape(axis), "`indices` and `weights` should have one shape");
  require(indices.shape(0) == B, "`indices` should have as many scans as the features");
  require(indices.shape(2) * indices.shape(3) < 32768, "`indices` should have less than 32768 bins");
  return {B, N, indices.shape(1), indices.shape(2), indices.shape(3), indices.shape(4), C, 0};
}

fer3d::PoolLayout layout_of(const fer3d::ConvSizes& s, const std::vector<int64_t>& start,
                            const std::vector<int64_t>& stop, const std::vector<int64_t>& window, int64_t rays) {
  require(rays >= 1 && s.A % rays == 0, "`rays` should divide the stencil's");
  require(start.size() == stop.size() && start.size() == window.size(), "`start`, `stop` and `window` should fit");
  for (size_t i = 0; i < start.size(); ++i)
    require(start[i] >= 0 && stop[i] <= s.R && window[i] >= 1 && window[i] <= s.A,
            "the layout should lie in the stencil");
  return {start.data(), stop.data(), window.data(), static_cast<int64_t>(start.size()), rays};
}

template <typename Real>
void bind_pool(py::module_& m) {
  m.def(
      "manifold_pool_cpu",
      [](const Array<Real>& x, const Array<int32_t>& indices, const Array<Real>& weights,
         const std::vector<int64_t>& start, const std::vector<int64_t>& stop, const std::vector<int64_t>& window,
         int64_t rays, bool largest, int threads) {
        require_ndim(x, 3, "x");
        const fer3d::ConvSizes s = sizes_of(x.shape(0), x.shape(1), x.shape(2), indices, weights);
        const fer3d::PoolLayout layout = layout_of(s, start, stop, window, rays);
        Array<Real> y({s.B, s.V, layout.P, layout.Q, s.C});
        Winner winner;
        if (largest) winner = Array<int16_t>({s.B, s.V, layout.P, layout.Q, s.C});
        int64_t wrong;
        {
          Real* y_data = y.mutable_data();
          int16_t* winner_data = winner ? winner->mutable_data() : nullptr;
          py::gil_scoped_release release;
          wrong = fer3d::manifold_pool_cpu<Real>({x.data(), indices.data(), weights.data()}, s, layout, threads, y_data,
                                                 winner_data);
        }
        return py::make_tuple(y, winner, wrong);
      },
      py::arg("x").noconvert(), py::arg("indices").noconvert(), py::arg("weights").noconvert(), py::arg("start"),
      py::arg("stop"), py::arg("window"), py::arg("rays"), py::arg("largest"), py::arg("threads"));
  m.def(
      "manifold_pool_grad_cpu",
      [](const Array<Real>& grad, const Winner& winner, const Array<int32_t>& indices, const Array<Real>& weights,
         int64_t rows, const std::vector<int64_t>& start, const std::vector<int64_t>& stop,
         const std::vector<int64_t>& window, int64_t rays, int threads) {
        require_ndim(grad, 5, "grad");
        const fer3d::ConvSizes s = sizes_of(grad.shape(0), rows, grad.shape(4), indices, weights);
        const fer3d::PoolLayout layout = layout_of(s, start, stop, window, rays);
        require(grad.shape(1) == s.V && grad.shape(2) == layout.P && grad.shape(3) == layout.Q,
                "`grad` should have shape (B, V, P, Q, C)");
        if (winner) {
          require(winner->size() == grad.size(), "`winner` should have the shape of `grad`");
          for (py::ssize_t i = 0; i < winner->size(); ++i)
            require(winner->data()[i] < s.R * s.A, "`winner` should hold bins");
        }
        Array<Real> grad_x({s.B, s.N, s.C});
        {
          Real* data = grad_x.mutable_data();
          py::gil_scoped_release release;
          fer3d::manifold_pool_grad_cpu<Real>(grad.data(), winner ? winner->data() : nullptr,
                                              {nullptr, indices.data(), weights.data()}, s, layout, threads, data);
        }
        return grad_x;
      },
      py::arg("grad").noconvert(), py::arg("winner").noconvert(), py::arg("indices").noconvert(),
      py::arg("weights").noconvert(), py::arg("rows"), py::arg("start"), py::arg("stop"), py::arg("window"),
      py::arg("rays"), py::arg("threads"));
}

#ifdef FER3D_CUDA
// Device pointers are passed as integers; fer3d.ops.cuda has checked the arrays.
template <typename T>
T* pointer(uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

using Sizes = std::array<int64_t, 8>;  // B, N, V, R, A, K, C, O; O is not used

fer3d::ConvSizes unpacked(const Sizes& s) { return {s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]}; }

// layout: (3, P) start, stop, window.
fer3d::PoolLayout cuda_layout(uintptr_t layout, int64_t P, int64_t rays) {
  const auto* at = pointer<const int64_t>(layout);
  return {at, at + P, at + 2 * P, P, rays};
}

void bind_pool_cuda(py::module_& m) {
  m.def(
      "manifold_pool_cuda",
      [](int dtype, uintptr_t x, uintptr_t indices, uintptr_t weights, const Sizes& sizes, uintptr_t layout, int64_t P,
         int64_t rays, uintptr_t stream, uintptr_t y, uintptr_t winner) {
        fer3d::manifold_pool_cuda({static_cast<fer3d::Dtype>(dtype), pointer<const void>(x),
                                   pointer<const int32_t>(indices), pointer<const void>(weights)},
                                  unpacked(sizes), cuda_layout(layout, P, rays), pointer<void>(stream),
                                  pointer<void>(y), pointer<int16_t>(winner));
      },
      py::arg("dtype"), py::arg("x"), py::arg("indices"), py::arg("weights"), py::arg("sizes"), py::arg("layout"),
      py::arg("P"), py::arg("rays"), py::arg("stream"), py::arg("y"), py::arg("winner"));
  m.def(
      "manifold_pool_grad_cuda",
      [](int dtype, uintptr_t grad, uintptr_t winner, uintptr_t indices, uintptr_t weights, const Sizes& sizes,
         uintptr_t layout, int64_t P, int64_t rays, uintptr_t memory, int64_t vertices, uintptr_t counts,
         uintptr_t order, uintptr_t starts, uintptr_t stream, uintptr_t grad_x) {
        fer3d::manifold_pool_grad_cuda(
            pointer<const void>(grad), pointer<const int16_t>(winner),
            {static_cast<fer3d::Dtype>(dtype), nullptr, pointer<const int32_t>(indices), pointer<const void>(weights)},
            unpacked(sizes), cuda_layout(layout, P, rays), {pointer<void>(memory), vertices, 1},
            pointer<int32_t>(counts), pointer<const int64_t>(order), pointer<const int64_t>(starts),
            pointer<void>(stream), pointer<void>(grad_x));
      },
      py::arg("dtype"), py::arg("grad"), py::arg("winner"), py::arg("indices"), py::arg("weights"), py::arg("sizes"),
      py::arg("layout"), py::arg("P"), py::arg("rays"), py::arg("memory"), py::arg("vertices"), py::arg("counts"),
      py::arg("order"), py::arg("starts"), py::arg("stream"), py::arg("grad_x"));
}
#endif

}  // namespace

void bind_manifold_pool(py::module_& m) {
  bind_pool<float>(m);
  bind_pool<double>(m);
#ifdef FER3D_CUDA
  bind_pool_cuda(m);
#endif
}
