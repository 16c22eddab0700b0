#pragma once

#include <cstdint>
#include <string_view>

// Convolution on geodesic polar patches with the maximum over rotations [1, 2].
//
//   x:       (B, N, C)           row-major. Features of each scan's vertices; N may be padded, padding is not read.
//   indices: (B, V, R, A, K)     int32 in [0, N). Contributors of bin (r, a) of the patch around vertex v of scan b.
//   weights: (B, V, R, A, K)     their weights. All 0: a masked bin, whose indices are checked but not followed.
//   kernel:  (R, A, C, O)
//   y:       (B, V, O)           y[b, v, o] = max over s of sum_{r, a, c} kernel[r, (a + s) mod A, c, o] p[b, v, r, a,
//   c]
//                                with p[b, v, r, a, c] = sum_k weights[b, v, r, a, k] x[b, indices[b, v, r, a, k], c].
//   shift:   (B, V, O)  uint8    the ray shift s that gave y; the first of equal sums. Sums that differ by less than
//                                rounding may come out in either order; without a maximum (NaN) it is 0.
// With `indices` null, x holds the patches p themselves, (B, V, R, A, C); N and K are not used. 1 <= A <= max_rays.
//
// The sums over rays are circular correlations. A real DFT over the rays makes them products of one frequency each, and
// three real products make a complex one (Gauss), so that all A shifts of a patch cost
//   2A - (the number of divisors of x^A - 1 over the reals) real (R C) x O products instead of A^2: 23 for 256 at A =
//   16,
// which is the least that any bilinear algorithm needs. The gradients need the winning shift only: A products for each,
// taken directly on rows that the shift moves, with terms of gradient 0 (after a ReLU: half of them) left out.
//
// Memory beside inputs and outputs: the transformed kernel (2 kernels), a cache-sized tile for each thread, and in the
// gradients at most `partials` copies of the result, added in fixed order: no result depends on the number of threads.
// Returns the first position in `indices` that is outside [0, N), or -1; y is not complete then. The gradients trust
// it. Instantiated for float (AVX-512, AVX2 or the compiler's base instruction set, chosen at run time) and double.
//
// [1] Masci, Boscaini, Bronstein, Vandergheynst. Geodesic convolutional neural networks on Riemannian manifolds.
//     ICCV Workshops 2015.
// [2] Chen, Huang, Wang, Chen. Fast and Light Manifold CNN based 3D Facial Expression Recognition across Pose
//     Variations. ACM Multimedia 2018.
namespace fer3d {

constexpr int64_t max_rays = 256;

struct ConvSizes {
  int64_t B, N, V, R, A, K, C, O;
};

// For tests and benchmarks: from now on float uses "avx512", "avx2" or "base" instead of the best. False if this
// processor or this build lacks it; nothing changes then.
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

}  // namespace fer3d
