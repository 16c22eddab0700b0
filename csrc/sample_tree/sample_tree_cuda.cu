#include <cuda_runtime.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "sample_tree.h"

namespace fer3d {
namespace {

__global__ void edge_kernel(const double* points, const int32_t* faces, const int32_t* twin, int64_t count,
                            Edge* edges) {
  const int64_t h = blockIdx.x * int64_t(blockDim.x) + threadIdx.x;
  if (h >= count) return;
  Edge edge = edge_of(points, faces, h);
  const bool whole = edge.length > 0 && twin[h] >= 0 && edge_of(points, faces, twin[h]).length > 0;
  edge.twin = whole ? twin[h] : -1;
  edges[h] = edge;
}

// One thread per ray; neighbouring threads trace neighbouring rays of a source, at first over the same faces.
__global__ void ray_kernel(const double* points, const int32_t* faces, const Edge* edges, const int32_t* sources,
                           const int32_t* leaving, const double* direction, const double* radii, int64_t N, int64_t K,
                           int64_t A, int32_t* vertex, double* weight) {
  const int64_t ray = blockIdx.x * int64_t(blockDim.x) + threadIdx.x;
  if (ray >= N * A) return;
  const int64_t n = ray / A, a = ray % A, block = 3 * n * K * A;
  if (leaving[n] < 0 || !(edges[leaving[n]].length > 0)) {
    for (int64_t k = 0; k < K; ++k)
      for (int i = 0; i < 3; ++i) {
        vertex[block + 3 * (k * A + a) + i] = sources[n];
        weight[block + 3 * (k * A + a) + i] = 0;
      }
    return;
  }
  const Fan fan = fan_of(points, faces, edges, leaving[n], direction + 3 * n);
  write_ray(faces, edges, fan, a, A, radii, K, vertex + block, weight + block);
}

unsigned blocks_of(int64_t count, int threads) { return static_cast<unsigned>((count + threads - 1) / threads); }

void check(const char* what) {
  if (const cudaError_t e = cudaGetLastError(); e != cudaSuccess)
    throw std::runtime_error(std::string("sample_tree, ") + what + ": " + cudaGetErrorString(e));
}

}  // namespace

void geodesic_stencils_cuda(const double* points, const int32_t* faces, const int32_t* twin, int64_t F,
                            const int32_t* sources, const int32_t* leaving, const double* direction,
                            const double* radii, int64_t N, int64_t K, int64_t A, Edge* edges, int32_t* vertex,
                            double* weight, void* stream) {
  constexpr int threads = 128;  // rays diverge: small blocks finish earlier
  if (F == 0 || N == 0 || K == 0 || A == 0) return;
  const auto queue = static_cast<cudaStream_t>(stream);
  edge_kernel<<<blocks_of(3 * F, threads), threads, 0, queue>>>(points, faces, twin, 3 * F, edges);
  check("edges");
  ray_kernel<<<blocks_of(N * A, threads), threads, 0, queue>>>(points, faces, edges, sources, leaving, direction, radii,
                                                               N, K, A, vertex, weight);
  check("rays");
}

}  // namespace fer3d
