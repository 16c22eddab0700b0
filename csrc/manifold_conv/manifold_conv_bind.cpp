#include <pybind11/stl.h>

#include <array>
#include <optional>
#include <vector>

#include "array.h"
#include "manifold_conv/manifold_conv.h"

namespace {

template <typename Real>
using Stencil = std::optional<Array<Real>>;

void require(bool fits, const char* message) {
  if (!fits) throw std::invalid_argument(message);
}

// Sizes of a call, with or without a stencil. The Python functions report errors; these checks only keep reads in
// bounds.
template <typename Real>
fer3d::ConvSizes sizes_of(const Array<Real>& kernel, const py::ssize_t* x, py::ssize_t x_axes,
                          const Stencil<int32_t>& indices, const Stencil<Real>& weights) {
  require_ndim(kernel, 4, "kernel");
  fer3d::ConvSizes s{x[0], 0, 0, kernel.shape(0), kernel.shape(1), 0, kernel.shape(2), kernel.shape(3)};
  require(s.A >= 1 && s.A <= fer3d::max_rays, "`kernel` should have 1 to 256 rays");
  if (indices) {
    require(weights && x_axes == 3, "`x` should have 3 axes with a stencil, and `indices` weights");
    require_ndim(*indices, 5, "indices");
    require_ndim(*weights, 5, "weights");
    for (int axis = 0; axis < 5; ++axis)
      require(indices->shape(axis) == weights->shape(axis), "`indices` and `weights` should have one shape");
    s.N = x[1];
    s.V = indices->shape(1);
    s.K = indices->shape(4);
    require(indices->shape(0) == s.B && indices->shape(2) == s.R && indices->shape(3) == s.A && x[2] == s.C,
            "`x`, `indices` and `kernel` should fit");
  } else {
    require(!weights && x_axes == 5 && x[2] == s.R && x[3] == s.A && x[4] == s.C, "`x` should be patches of `kernel`");
    s.V = x[1];
  }
  return s;
}

template <typename Real>
fer3d::ConvInput<Real> input_of(const Real* x, const Stencil<int32_t>& indices, const Stencil<Real>& weights) {
  return {x, indices ? indices->data() : nullptr, weights ? weights->data() : nullptr};
}

template <typename Real>
void require_outputs(const fer3d::ConvSizes& s, const Array<Real>& grad, const Array<uint8_t>& shift) {
  require_ndim(grad, 3, "grad");
  require_ndim(shift, 3, "shift");
  for (int axis = 0; axis < 3; ++axis)
    require(grad.shape(axis) == shift.shape(axis), "`grad` and `shift` should have one shape");
  require(grad.shape(0) == s.B && grad.shape(1) == s.V && grad.shape(2) == s.O, "`grad` should have shape (B, V, O)");
  for (py::ssize_t i = 0; i < shift.size(); ++i) require(shift.data()[i] < s.A, "`shift` should hold rays");
}

template <typename Real>
void bind_conv(py::module_& m) {
  m.def(
      "manifold_conv_cpu",
      [](const Array<Real>& x, const Stencil<int32_t>& indices, const Stencil<Real>& weights, const Array<Real>& kernel,
         int threads) {
        const fer3d::ConvSizes s = sizes_of(kernel, x.shape(), x.ndim(), indices, weights);
        Array<Real> y({s.B, s.V, s.O});
        Array<uint8_t> shift({s.B, s.V, s.O});
        int64_t wrong;
        {
          const auto input = input_of(x.data(), indices, weights);
          Real* y_data = y.mutable_data();
          uint8_t* shift_data = shift.mutable_data();
          py::gil_scoped_release release;
          wrong = fer3d::manifold_conv_cpu(input, kernel.data(), s, threads, y_data, shift_data);
        }
        return py::make_tuple(y, shift, wrong);
      },
      py::arg("x").noconvert(), py::arg("indices").noconvert(), py::arg("weights").noconvert(),
      py::arg("kernel").noconvert(), py::arg("threads"));
  m.def(
      "manifold_conv_grad_x_cpu",
      [](const Array<Real>& grad, const Array<uint8_t>& shift, const Stencil<int32_t>& indices,
         const Stencil<Real>& weights, const Array<Real>& kernel, int64_t rows, int threads) {
        require_ndim(grad, 3, "grad");
        require_ndim(kernel, 4, "kernel");
        std::vector<py::ssize_t> shape{grad.shape(0), rows, kernel.shape(2)};
        if (!indices) shape = {grad.shape(0), grad.shape(1), kernel.shape(0), kernel.shape(1), kernel.shape(2)};
        const auto axes = static_cast<py::ssize_t>(shape.size());
        const fer3d::ConvSizes s = sizes_of(kernel, shape.data(), axes, indices, weights);
        require_outputs(s, grad, shift);
        Array<Real> grad_x(shape);
        {
          const auto input = input_of<Real>(nullptr, indices, weights);
          Real* data = grad_x.mutable_data();
          py::gil_scoped_release release;
          fer3d::manifold_conv_grad_x_cpu(grad.data(), shift.data(), input, kernel.data(), s, threads, data);
        }
        return grad_x;
      },
      py::arg("grad").noconvert(), py::arg("shift").noconvert(), py::arg("indices").noconvert(),
      py::arg("weights").noconvert(), py::arg("kernel").noconvert(), py::arg("rows"), py::arg("threads"));
  m.def(
      "manifold_conv_grad_kernel_cpu",
      [](const Array<Real>& grad, const Array<uint8_t>& shift, const Array<Real>& x, const Stencil<int32_t>& indices,
         const Stencil<Real>& weights, int threads) {
        require_ndim(grad, 3, "grad");
        if (indices) require_ndim(*indices, 5, "indices");
        require_ndim(x, indices ? 3 : 5, "x");
        const py::ssize_t R = indices ? indices->shape(2) : x.shape(2), A = indices ? indices->shape(3) : x.shape(3);
        Array<Real> grad_kernel({R, A, x.shape(x.ndim() - 1), grad.shape(2)});
        const fer3d::ConvSizes s = sizes_of(grad_kernel, x.shape(), x.ndim(), indices, weights);
        require_outputs(s, grad, shift);
        {
          const auto input = input_of(x.data(), indices, weights);
          Real* data = grad_kernel.mutable_data();
          py::gil_scoped_release release;
          fer3d::manifold_conv_grad_kernel_cpu(grad.data(), shift.data(), input, s, threads, data);
        }
        return grad_kernel;
      },
      py::arg("grad").noconvert(), py::arg("shift").noconvert(), py::arg("x").noconvert(),
      py::arg("indices").noconvert(), py::arg("weights").noconvert(), py::arg("threads"));
}

#ifdef FER3D_CUDA
// Device pointers are passed as integers; fer3d.ops.cuda has checked the arrays.
template <typename T>
T* pointer(uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

using Sizes = std::array<int64_t, 8>;  // B, N, V, R, A, K, C, O

fer3d::ConvSizes unpacked(const Sizes& s) { return {s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]}; }

fer3d::CudaInput cuda_input(int dtype, uintptr_t x, uintptr_t indices, uintptr_t weights) {
  return {static_cast<fer3d::Dtype>(dtype), pointer<const void>(x), pointer<const int32_t>(indices),
          pointer<const void>(weights)};
}

void bind_conv_cuda(py::module_& m) {
  m.def(
      "manifold_conv_cuda_numbers",
      [](int stage, const Sizes& sizes, int64_t vertices, int64_t parts) {
        return fer3d::manifold_conv_cuda_numbers(static_cast<fer3d::ConvStage>(stage), unpacked(sizes), vertices,
                                                 parts);
      },
      py::arg("stage"), py::arg("sizes"), py::arg("vertices"), py::arg("parts"));
  m.def(
      "manifold_conv_cuda",
      [](int dtype, uintptr_t x, uintptr_t indices, uintptr_t weights, uintptr_t kernel, const Sizes& sizes,
         uintptr_t memory, int64_t vertices, uintptr_t stream, uintptr_t y, uintptr_t shift) {
        fer3d::manifold_conv_cuda(cuda_input(dtype, x, indices, weights), pointer<const void>(kernel), unpacked(sizes),
                                  {pointer<void>(memory), vertices, 1}, pointer<void>(stream), pointer<void>(y),
                                  pointer<uint8_t>(shift));
      },
      py::arg("dtype"), py::arg("x"), py::arg("indices"), py::arg("weights"), py::arg("kernel"), py::arg("sizes"),
      py::arg("memory"), py::arg("vertices"), py::arg("stream"), py::arg("y"), py::arg("shift"));
  m.def(
      "manifold_conv_grad_x_cuda",
      [](int dtype, uintptr_t grad, uintptr_t shift, uintptr_t indices, uintptr_t weights, uintptr_t kernel,
         const Sizes& sizes, uintptr_t memory, int64_t vertices, uintptr_t order, uintptr_t starts, uintptr_t stream,
         uintptr_t grad_x) {
        fer3d::manifold_conv_grad_x_cuda(pointer<const void>(grad), pointer<const uint8_t>(shift),
                                         cuda_input(dtype, 0, indices, weights), pointer<const void>(kernel),
                                         unpacked(sizes), {pointer<void>(memory), vertices, 1},
                                         pointer<const int64_t>(order), pointer<const int64_t>(starts),
                                         pointer<void>(stream), pointer<void>(grad_x));
      },
      py::arg("dtype"), py::arg("grad"), py::arg("shift"), py::arg("indices"), py::arg("weights"), py::arg("kernel"),
      py::arg("sizes"), py::arg("memory"), py::arg("vertices"), py::arg("order"), py::arg("starts"), py::arg("stream"),
      py::arg("grad_x"));
  m.def(
      "manifold_conv_grad_kernel_cuda",
      [](int dtype, uintptr_t grad, uintptr_t shift, uintptr_t x, uintptr_t indices, uintptr_t weights,
         const Sizes& sizes, uintptr_t memory, int64_t vertices, int64_t parts, uintptr_t stream,
         uintptr_t grad_kernel) {
        fer3d::manifold_conv_grad_kernel_cuda(pointer<const void>(grad), pointer<const uint8_t>(shift),
                                              cuda_input(dtype, x, indices, weights), unpacked(sizes),
                                              {pointer<void>(memory), vertices, parts}, pointer<void>(stream),
                                              pointer<void>(grad_kernel));
      },
      py::arg("dtype"), py::arg("grad"), py::arg("shift"), py::arg("x"), py::arg("indices"), py::arg("weights"),
      py::arg("sizes"), py::arg("memory"), py::arg("vertices"), py::arg("parts"), py::arg("stream"),
      py::arg("grad_kernel"));
}
#endif

}  // namespace

void bind_manifold_conv(py::module_& m) {
  bind_conv<float>(m);
  bind_conv<double>(m);
#ifdef FER3D_CUDA
  bind_conv_cuda(m);
#endif
  m.def("manifold_conv_use", &fer3d::manifold_conv_use, py::arg("instructions"));
}
