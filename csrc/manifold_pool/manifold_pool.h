#pragma once

#include <cstdint>

#include "manifold_conv/manifold_conv.h"

// Pools a fine geodesic polar stencil into a coarser patch whose bins grow with eccentricity, like the receptive
// fields of a retina. The idea is that of human-vision-inspired pooling [1]. The layout of the paper is not public;
// this layout is ours.
//
//   x, indices, weights: as in manifold_conv.h, with sizes.R fine rings and sizes.A fine rays; sizes.O is not used.
//   layout:  output bin (i, j), i < P, j < Q, covers the fine bins of rings [start[i], stop[i]) and of the
//            `window[i]` rays around ray j A / Q, from j A / Q - (window[i] - 1) / 2 on, circularly. A is a multiple
//            of Q.
//   y:       (B, V, P, Q, C)  mean or maximum of the covered bins that are measured (not all weights 0); 0 if none is.
//   winner:  (B, V, P, Q, C)  int16, maximum only: the fine bin r A + a that gave y; of equal ones the first by ring,
//            then by ray from the start of the window; -1 if none. A NaN wins, and of several the last.
// Time O(B V R A (K + coverage) C); memory of one patch per thread. Returns the same as manifold_conv_cpu.
//
// [1] Chen, Huang, Wang, Chen. Fast and Light Manifold CNN based 3D Facial Expression Recognition across Pose
//     Variations. ACM Multimedia 2018.
namespace fer3d {

struct PoolLayout {
  const int64_t *start, *stop, *window;  // (P,)
  int64_t P, Q;
};

template <typename Real>
int64_t manifold_pool_cpu(const ConvInput<Real>& input, const ConvSizes& sizes, const PoolLayout& layout, int threads,
                          Real* y, int16_t* winner);  // winner null: mean

// grad_x: (B, N, C), the gradient of sum(grad * y); `input.x` is not read.
template <typename Real>
void manifold_pool_grad_cpu(const Real* grad, const int16_t* winner, const ConvInput<Real>& input,
                            const ConvSizes& sizes, const PoolLayout& layout, int threads, Real* grad_x);

// The same on a GPU, with the conventions of manifold_conv.h; the arrays of the layout are device pointers too.
//   work:   (vertices, R, A, C) scratch memory in the type of the sums. It holds whole scans: vertices >= V.
//   counts: (B, V, P, Q) int32 scratch memory; mean only.
void manifold_pool_cuda(const CudaInput& input, const ConvSizes& sizes, const PoolLayout& layout, void* stream, void* y,
                        int16_t* winner);
void manifold_pool_grad_cuda(const void* grad, const int16_t* winner, const CudaInput& input, const ConvSizes& sizes,
                             const PoolLayout& layout, const CudaWorkspace& work, int32_t* counts, const int64_t* order,
                             const int64_t* starts, void* stream, void* grad_x);

}  // namespace fer3d
