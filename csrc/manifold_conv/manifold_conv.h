#pragma once

#include <cstdint>
#include <string_view>

// Convolution on geodesic polar patches with the maximum over rotations [1].
//
//   x:       (B, N, C)           row-major. Features of the vertices of each scan; padding up to N is not read.
//   indices: (B, V, R, A, K)     int32 in [0, N). Vertices for bin (r, a) of the patch around vertex v of scan b.
//   weights: (B, V, R, A, K)     their weights. All 0: a masked bin, whose indices are checked but not followed.
//   kernel:  (R, A, C, O)
//   y:       (B, V, O)           y[b, v, o] = max over s of
//                                  sum_{r, a, c} kernel[r, (a + s) mod A, c, o] p[b, v, r, a, c]
//                                with p[b, v, r, a, c] = sum_k weights[b, v, r, a, k] x[b, indices[b, v, r, a, k], c].
//   shift:   (B, V, O)  uint8    the ray shift s that gave y; the first of equal sums. If sums differ by less than the
//                                rounding error, either may win; without a maximum (NaN) it is 0.
// With `indices` null, x holds the patches p themselves, (B, V, R, A, C); N and K are not used. 1 <= A <= max_rays.
//
// The sums over rays are circular correlations. A real DFT over the rays makes them one product per frequency, and a
// complex product takes three real ones (Gauss). All A shifts of a patch thus cost
//   2A - (number of irreducible factors of x^A - 1 over the reals)
// real (R C) x O products instead of A^2: 23 instead of 256 at A = 16. This is the minimum of any bilinear algorithm.
// The gradients need only the winning shift: A products each, computed directly on shifted rows, without the terms of
// gradient 0 (half of them after a ReLU).
//
// Memory besides inputs and outputs: the transformed kernel (2 kernels), a cache-sized tile per thread, and for the
// gradients at most `partials` copies of the result, added in a fixed order: no result depends on the number of
// threads. Returns -1, or the first position in `indices` whose value is outside [0, N); y is then incomplete. The
// gradients do not check `indices`. Instantiated for float (AVX-512, AVX2 or the compiler's base instruction set,
// chosen at run time) and double.
//
// [1] Masci, Boscaini, Bronstein, Vandergheynst. Geodesic convolutional neural networks on Riemannian manifolds.
//     ICCV Workshops 2015.
namespace fer3d {

constexpr int64_t max_rays = 256;

struct ConvSizes {
  int64_t B, N, V, R, A, K, C, O;
};

// For tests and benchmarks: makes float use "avx512", "avx2" or "base" instead of the best from now on. Returns false
// and changes nothing if the processor or the build lacks it.
bool manifold_conv_use(std::string_view instructions);

template <typename Real>
struct ConvInput {
  const Real* x;
  const int32_t* indices;
  const Real* weights;
};

template <typename Real>
int64_t manifold_conv_cpu(const ConvInput<Real>& input, const Real* kernel, const ConvSizes& sizes, int threads,
                          Real* y, uint8_t* shift);

// grad_x: as x, the gradient of sum(grad * y); `input.x` is not read.
template <typename Real>
void manifold_conv_grad_x_cpu(const Real* grad, const uint8_t* shift, const ConvInput<Real>& input, const Real* kernel,
                              const ConvSizes& sizes, int threads, Real* grad_x);

// grad_kernel: (R, A, C, O).
template <typename Real>
void manifold_conv_grad_kernel_cpu(const Real* grad, const uint8_t* shift, const ConvInput<Real>& input,
                                   const ConvSizes& sizes, int threads, Real* grad_kernel);

// The same on a GPU: takes device pointers, queues on `stream` (a cudaStream_t), and returns without waiting. Features,
// kernel and gradients have `dtype`; weights and sums are double for double, else float. Without atomics the results
// are the same in every run. A row in `indices` out of range traps, as checking first would stall the stream.
//   memory:   manifold_conv_cuda_numbers numbers in the type of the sums.
//   vertices: number of patches in memory at once; for grad_x with a stencil at least V, as it takes whole scans.
//   parts:    partial sums of grad_kernel.
//   order, starts: (B V R A K) and (B N + 1) int64, for grad_x with a stencil: positions in `indices`, sorted stably
//             by row b N + indices[...], and where the positions of each row begin in that order.
enum class Dtype { float32, float64, float16, bfloat16 };

struct CudaInput {
  Dtype dtype;
  const void* x;
  const int32_t* indices;
  const void* weights;
};

struct CudaWorkspace {
  void* memory;
  int64_t vertices, parts;
};

enum class ConvStage { forward, grad_x, grad_kernel };
int64_t manifold_conv_cuda_numbers(ConvStage stage, const ConvSizes& sizes, int64_t vertices, int64_t parts);

void manifold_conv_cuda(const CudaInput& input, const void* kernel, const ConvSizes& sizes, const CudaWorkspace& work,
                        void* stream, void* y, uint8_t* shift);
void manifold_conv_grad_x_cuda(const void* grad, const uint8_t* shift, const CudaInput& input, const void* kernel,
                               const ConvSizes& sizes, const CudaWorkspace& work, const int64_t* order,
                               const int64_t* starts, void* stream, void* grad_x);
void manifold_conv_grad_kernel_cuda(const void* grad, const uint8_t* shift, const CudaInput& input,
                                    const ConvSizes& sizes, const CudaWorkspace& work, void* stream, void* grad_kernel);

}  // namespace fer3d
