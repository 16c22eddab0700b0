#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "cuda_launch.h"
#include "manifold_conv.h"

// Code that the CUDA kernels on stencils share. Features are float, double, __half or __nv_bfloat16. Sums, workspaces
// and weights are double for double, else float.
namespace fer3d {

template <typename T>
struct SumOf {
  using type = float;
};
template <>
struct SumOf<double> {
  using type = double;
};
template <typename T>
using Sum = typename SumOf<T>::type;

template <typename T>
__device__ inline Sum<T> widen(T value) {
  return static_cast<Sum<T>>(value);
}
__device__ inline float widen(__half value) { return __half2float(value); }
__device__ inline float widen(__nv_bfloat16 value) { return __bfloat162float(value); }

template <typename T>
__device__ inline T narrow(Sum<T> value) {
  return static_cast<T>(value);
}
template <>
__device__ inline __half narrow<__half>(float value) {
  return __float2half(value);
}
template <>
__device__ inline __nv_bfloat16 narrow<__nv_bfloat16>(float value) {
  return __float2bfloat16(value);
}

template <typename T>
struct StencilView {  // device pointers; indices null: x holds the patches
  const T* x;
  const int32_t* indices;
  const Sum<T>* weights;
};

// Calls f with the view of the input's type.
template <typename F>
void with_type(const CudaInput& in, const F& f) {
  const auto view = [&](auto zero) {
    using T = decltype(zero);
    f(StencilView<T>{static_cast<const T*>(in.x), in.indices, static_cast<const Sum<T>*>(in.weights)});
  };
  switch (in.dtype) {
    case Dtype::float32:
      return view(float());
    case Dtype::float64:
      return view(double());
    case Dtype::float16:
      return view(__half());
    case Dtype::bfloat16:
      return view(__nv_bfloat16());
  }
}

// Index of this thread and the stride to its next element.
__device__ inline int64_t first_element() { return blockIdx.x * int64_t(blockDim.x) + threadIdx.x; }
__device__ inline int64_t element_stride() { return gridDim.x * int64_t(blockDim.x); }

// One value of a patch: `bin` numbers (b, v, r, a) in row-major order.
template <typename T>
__device__ inline Sum<T> patch_value(const StencilView<T>& in, const ConvSizes& s, int64_t bin, int64_t c) {
  if (!in.indices) return widen(in.x[bin * s.C + c]);
  const int64_t scan = bin / (s.V * s.R * s.A) * s.N;
  Sum<T> sum = 0;
  bool masked = true;
  for (int64_t k = 0; k < s.K; ++k) masked &= in.weights[bin * s.K + k] == 0;
  for (int64_t k = 0; k < s.K; ++k) {
    const int32_t row = in.indices[bin * s.K + k];
    if (static_cast<uint32_t>(row) >= static_cast<uint64_t>(s.N)) __trap();  // not assert(): NDEBUG
    if (!masked) sum += in.weights[bin * s.K + k] * widen(in.x[(scan + row) * s.C + c]);
  }
  return sum;
}

// The transpose of the interpolation, without atomics: row n of x sums the contributions to it in a fixed order.
//   order:  positions in indices, sorted by row of the batch b N + n, stable.
//   starts: (B N + 1) where the positions of each row begin in `order`.
//   grads:  gradient of the patches of scans [scan, scan + scans), (scans, V, R, A, C).
template <typename T>
__global__ void gather_rows_kernel(const Sum<T>* grads, const Sum<T>* weights, const int64_t* order,
                                   const int64_t* starts, ConvSizes s, int64_t scan, int64_t scans, T* grad_x) {
  const int64_t patch = s.V * s.R * s.A;
  for (int64_t i = first_element(); i < scans * s.N * s.C; i += element_stride()) {
    const int64_t row = scan * s.N + i / s.C, c = i % s.C;
    Sum<T> sum = 0;
    for (int64_t j = starts[row]; j < starts[row + 1]; ++j) {
      const int64_t position = order[j];
      const Sum<T> weight = weights[position];
      if (weight != 0) sum += weight * grads[(position / s.K - scan * patch) * s.C + c];
    }
    grad_x[row * s.C + c] = narrow<T>(sum);
  }
}

}  // namespace fer3d
