#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace fer3d {

// Launches a grid of blocks; the error names the op.
template <typename... Parameters, typename... Arguments>
void launch_blocks(const char* op, void (*kernel)(Parameters...), dim3 blocks, dim3 threads, void* stream,
                   const Arguments&... arguments) {
  if (blocks.x == 0 || blocks.y == 0 || blocks.z == 0) return;
  kernel<<<blocks, threads, 0, static_cast<cudaStream_t>(stream)>>>(arguments...);
  if (const cudaError_t e = cudaGetLastError(); e != cudaSuccess)
    throw std::runtime_error(std::string(op) + ": " + cudaGetErrorString(e));
}

// Launches one thread for each of `count` elements; if the grid is smaller, each thread takes several with a stride.
template <typename... Parameters, typename... Arguments>
void launch_elements(const char* op, void (*kernel)(Parameters...), int64_t count, void* stream,
                     const Arguments&... arguments) {
  constexpr int threads = 256;
  const int64_t blocks = std::min<int64_t>((count + threads - 1) / threads, 1 << 30);
  launch_blocks(op, kernel, dim3(static_cast<unsigned>(blocks)), dim3(threads), stream, arguments...);
}

}  // namespace fer3d
