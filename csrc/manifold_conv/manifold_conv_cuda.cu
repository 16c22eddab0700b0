#include <type_traits>

#include "patches_cuda.h"

namespace fer3d {
namespace {

// The DFT over A rays has A real numbers: component 0 is that of the mean, 2f - 1 and 2f are the cosine and sine sums
// of frequency f, and for even A the last is the alternating sum.
__device__ inline double component_angle(int64_t m, int64_t a, int64_t A) {  // in half turns
  return 2.0 * static_cast<double>((m + 1) / 2 * a % A) / static_cast<double>(A);
}
template <typename S>
__device__ inline S component_factor(int64_t m, int64_t a, int64_t A) {
  const bool sine = m > 0 && m % 2 == 0;
  if constexpr (sizeof(S) == 4) {
    const auto angle = static_cast<float>(component_angle(m, a, A));
    return sine ? sinpif(angle) : cospif(angle);
  } else {
    const double angle = component_angle(m, a, A);
    return sine ? sinpi(angle) : cospi(angle);
  }
}

// factors: (A, A), [m][a].
template <typename S>
__global__ void factors_kernel(int64_t A, S* factors) {
  for (int64_t i = first_element(); i < A * A; i += element_stride()) factors[i] = component_factor<S>(i / A, i % A, A);
}

// transformed: (A, R C, O), scaled for the inverse.
template <typename T>
__global__ void transform_kernel_kernel(const T* kernel, const Sum<T>* factors, ConvSizes s, Sum<T>* transformed) {
  const int64_t D = s.R * s.C;
  for (int64_t i = first_element(); i < s.A * D * s.O; i += element_stride()) {
    const int64_t m = i / (D * s.O), d = i / s.O % D, o = i % s.O;
    const T* ray = kernel + (d / s.C * s.A * s.C + d % s.C) * s.O + o;
    Sum<T> sum = 0;
    for (int64_t a = 0; a < s.A; ++a) sum += factors[m * s.A + a] * widen(ray[a * s.C * s.O]);
    const bool single = m == 0 || (s.A % 2 == 0 && m == s.A - 1);
    transformed[i] = sum * Sum<T>(single ? 1 : 2) / static_cast<Sum<T>>(s.A);
  }
}

// patches: (count, R C, A) of vertices [v, v + count) of the batch.
template <typename T>
__global__ void patches_kernel(StencilView<T> in, ConvSizes s, int64_t v, int64_t count, Sum<T>* patches) {
  const int64_t D = s.R * s.C;
  for (int64_t i = first_element(); i < count * s.A * D; i += element_stride()) {
    const int64_t c = i % s.C, a = i / s.C % s.A, r = i / (s.C * s.A) % s.R, u = i / (D * s.A);
    patches[(u * D + r * s.C + c) * s.A + a] = patch_value(in, s, ((v + u) * s.R + r) * s.A + a, c);
  }
}

// spectrum: (A, count, R C) from patches (count, R C, A).
template <typename S>
__global__ void spectrum_kernel(const S* patches, const S* factors, int64_t A, int64_t rows, S* spectrum) {
  for (int64_t i = first_element(); i < A * rows; i += element_stride()) {
    const int64_t m = i / rows, row = i % rows;
    S sum = 0;
    for (int64_t a = 0; a < A; ++a) sum += factors[m * A + a] * patches[row * A + a];
    spectrum[i] = sum;
  }
}

// response: (A, count, O). Each z is a frequency: with X = a + i b and W = c + i d its cosine part is a c + b d and its
// sine part a d - b c, summed over R C. Blocks of 16 x 16 threads make tiles of 32 vertices x 32 channels.
template <typename S>
__global__ void response_kernel(const S* spectrum, const S* transformed, int64_t A, int64_t count, int64_t D, int64_t O,
                                S* response) {
  constexpr int tile = 32, depth = 16;
  __shared__ S xs[2][depth][tile + 1], ws[2][depth][tile];
  const int64_t f = blockIdx.z, v = int64_t(blockIdx.x) * tile, o = int64_t(blockIdx.y) * tile;
  const bool complex = f > 0 && 2 * f < A;
  const int64_t first = f == 0 ? 0 : 2 * f - 1;
  const int parts = complex ? 2 : 1, thread = threadIdx.y * 16 + threadIdx.x;
  S cosine[2][2] = {}, sine[2][2] = {};
  for (int64_t d = 0; d < D; d += depth) {
    for (int part = 0; part < parts; ++part) {
      for (int i = thread; i < tile * depth; i += 256) {
        const int64_t row = v + i / depth, k = d + i % depth;
        xs[part][i % depth][i / depth] = row < count && k < D ? spectrum[((first + part) * count + row) * D + k] : S(0);
        const int64_t column = o + i % tile, l = d + i / tile;
        ws[part][i / tile][i % tile] = column < O && l < D ? transformed[((first + part) * D + l) * O + column] : S(0);
      }
    }
    __syncthreads();
    for (int k = 0; k < depth; ++k) {
      for (int i = 0; i < 2; ++i) {
        for (int j = 0; j < 2; ++j) {
          const S a = xs[0][k][threadIdx.y + 16 * i], c = ws[0][k][threadIdx.x + 16 * j];
          cosine[i][j] += a * c;
          if (complex) {
            const S b = xs[1][k][threadIdx.y + 16 * i], e = ws[1][k][threadIdx.x + 16 * j];
            cosine[i][j] += b * e;
            sine[i][j] += a * e - b * c;
          }
        }
      }
    }
    __syncthreads();
  }
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 2; ++j) {
      const int64_t row = v + threadIdx.y + 16 * i, column = o + threadIdx.x + 16 * j;
      if (row >= count || column >= O) continue;
      response[(first * count + row) * O + column] = cosine[i][j];
      if (complex) response[((first + 1) * count + row) * O + column] = sine[i][j];
    }
  }
}

// y, shift: (count, O).
template <typename T>
__global__ void largest_kernel(const Sum<T>* response, const Sum<T>* factors, int64_t A, int64_t elements, T* y,
                               uint8_t* shift) {
  for (int64_t i = first_element(); i < elements; i += element_stride()) {
    Sum<T> best = 0;
    int64_t winner = 0;
    for (int64_t s = 0; s < A; ++s) {
      Sum<T> sum = 0;
      for (int64_t m = 0; m < A; ++m) sum += factors[m * A + s] * response[m * elements + i];
      if (s == 0 || sum > best) {
        best = sum;
        winner = s;
      }
    }
    y[i] = narrow<T>(best);
    shift[i] = static_cast<uint8_t>(winner);
  }
}

// turned: (O, A, R C), so that neighbouring threads read neighbouring channels of a rotated kernel.
template <typename T>
__global__ void turn_kernel_kernel(const T* kernel, ConvSizes s, Sum<T>* turned) {
  const int64_t D = s.R * s.C;
  for (int64_t i = first_element(); i < s.O * s.A * D; i += element_stride()) {
    const int64_t o = i / (s.A * D), a = i / D % s.A, d = i % D;
    turned[i] = widen(kernel[((d / s.C * s.A + a) * s.C + d % s.C) * s.O + o]);
  }
}

// grads: (count, R, A, C), the gradient of the patches of vertices [v, v + count). Each block handles 32 channels of
// the patch, so that their rows of the kernel stay in the cache; its threads are 32 channels x 8 rays.
template <typename T, typename Out>
__global__ void grad_patches_kernel(const T* grad, const uint8_t* shift, const Sum<T>* turned, ConvSizes s, int64_t v,
                                    int64_t count, Out* grads) {
  const int64_t D = s.R * s.C, d = blockIdx.y * int64_t(32) + threadIdx.x % 32;
  const int64_t warps = blockDim.x / 32, warp = blockIdx.x * warps + threadIdx.x / 32;
  if (d >= D) return;
  for (int64_t i = warp; i < count * s.A; i += gridDim.x * warps) {
    const int64_t u = i / s.A, a = i % s.A;
    Sum<T> sum = 0;
    for (int64_t o = 0; o < s.O; ++o) {
      const int64_t at = (v + u) * s.O + o;
      int64_t ray = a + shift[at];
      if (ray >= s.A) ray -= s.A;
      sum += widen(grad[at]) * turned[(o * s.A + ray) * D + d];
    }
    grads[((u * s.R + d / s.C) * s.A + a) * s.C + d % s.C] = narrow<Out>(sum);
  }
}

// sums: (parts, R C, A, O), each over its share of the vertices [v, v + count); added to the old values unless `fresh`.
template <typename T>
__global__ void grad_kernel_kernel(const T* grad, const uint8_t* shift, const Sum<T>* patches, ConvSizes s, int64_t v,
                                   int64_t count, int64_t parts, bool fresh, Sum<T>* sums) {
  const int64_t D = s.R * s.C, size = D * s.A * s.O;
  for (int64_t i = first_element(); i < parts * size; i += element_stride()) {
    const int64_t part = i / size, d = i / (s.A * s.O) % D, a = i / s.O % s.A, o = i % s.O;
    Sum<T> sum = fresh ? Sum<T>(0) : sums[i];
    for (int64_t u = count * part / parts; u < count * (part + 1) / parts; ++u) {
      const int64_t at = (v + u) * s.O + o;
      int64_t ray = a - shift[at];
      if (ray < 0) ray += s.A;
      sum += widen(grad[at]) * patches[(u * D + d) * s.A + ray];
    }
    sums[i] = sum;
  }
}

template <typename T>
__global__ void add_parts_kernel(const Sum<T>* sums, ConvSizes s, int64_t parts, T* grad_kernel) {
  const int64_t D = s.R * s.C, size = D * s.A * s.O;
  for (int64_t i = first_element(); i < size; i += element_stride()) {
    const int64_t r = i / (s.A * s.C * s.O), a = i / (s.C * s.O) % s.A, c = i / s.O % s.C, o = i % s.O;
    const int64_t from = ((r * s.C + c) * s.A + a) * s.O + o;
    Sum<T> sum = 0;
    for (int64_t part = 0; part < parts; ++part) sum += sums[part * size + from];
    grad_kernel[i] = narrow<T>(sum);
  }
}

constexpr const char* name = "manifold_conv";

template <typename T, typename Out>
void launch_grad_patches(const T* grad, const uint8_t* shift, const Sum<T>* turned, const ConvSizes& s, int64_t v,
                         int64_t count, void* stream, Out* grads) {
  const int64_t chunks = (s.R * s.C + 31) / 32, blocks = std::min<int64_t>((count * s.A + 7) / 8, 4096);
  launch_blocks(name, grad_patches_kernel<T, Out>, dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(chunks)),
                256, stream, grad, shift, turned, s, v, count, grads);
}

template <typename T>
void forward(const StencilView<T>& input, const T* kernel, const ConvSizes& s, const CudaWorkspace& work, void* stream,
             T* y, uint8_t* shift) {
  using S = Sum<T>;
  const int64_t D = s.R * s.C, total = s.B * s.V, size = s.A * D;
  S* factors = static_cast<S*>(work.memory);
  S* transformed = factors + s.A * s.A;
  S* patches = transformed + size * s.O;
  S* spectrum = patches + work.vertices * size;
  S* response = spectrum + work.vertices * size;
  launch_elements(name, factors_kernel<S>, s.A * s.A, stream, s.A, factors);
  launch_elements(name, transform_kernel_kernel<T>, size * s.O, stream, kernel, factors, s, transformed);
  for (int64_t v = 0; v < total; v += work.vertices) {
    const int64_t count = std::min(work.vertices, total - v);
    launch_elements(name, patches_kernel<T>, count * size, stream, input, s, v, count, patches);
    launch_elements(name, spectrum_kernel<S>, count * size, stream, patches, factors, s.A, count * D, spectrum);
    const dim3 tiles(static_cast<unsigned>((count + 31) / 32), static_cast<unsigned>((s.O + 31) / 32),
                     static_cast<unsigned>(s.A / 2 + 1));
    launch_blocks(name, response_kernel<S>, tiles, dim3(16, 16), stream, spectrum, transformed, s.A, count, D, s.O,
                  response);
    launch_elements(name, largest_kernel<T>, count * s.O, stream, response, factors, s.A, count * s.O, y + v * s.O,
                    shift + v * s.O);
  }
}

template <typename T>
void grad_x(const T* grad, const uint8_t* shift, const StencilView<T>& input, const T* kernel, const ConvSizes& s,
            const CudaWorkspace& work, const int64_t* order, const int64_t* starts, void* stream, T* out) {
  using S = Sum<T>;
  const int64_t D = s.R * s.C, size = s.A * D;
  S* turned = static_cast<S*>(work.memory);
  S* grads = turned + size * s.O;
  launch_elements(name, turn_kernel_kernel<T>, size * s.O, stream, kernel, s, turned);
  if (!input.indices) {
    launch_grad_patches(grad, shift, turned, s, 0, s.B * s.V, stream, out);
    return;
  }
  const int64_t at_once = std::max<int64_t>(1, work.vertices / std::max<int64_t>(1, s.V));  // whole scans
  for (int64_t b = 0; b < s.B; b += at_once) {
    const int64_t scans = std::min(at_once, s.B - b);
    launch_grad_patches(grad, shift, turned, s, b * s.V, scans * s.V, stream, grads);
    launch_elements(name, gather_rows_kernel<T>, scans * s.N * s.C, stream, grads, input.weights, order, starts, s, b,
                    scans, out);
  }
}

template <typename T>
void grad_kernel(const T* grad, const uint8_t* shift, const StencilView<T>& input, const ConvSizes& s,
                 const CudaWorkspace& work, void* stream, T* out) {
  using S = Sum<T>;
  const int64_t size = s.A * s.R * s.C, total = s.B * s.V;
  S* sums = static_cast<S*>(work.memory);
  S* patches = sums + work.parts * size * s.O;
  for (int64_t v = 0; v < total; v += work.vertices) {
    const int64_t count = std::min(work.vertices, total - v);
    launch_elements(name, patches_kernel<T>, count * size, stream, input, s, v, count, patches);
    launch_elements(name, grad_kernel_kernel<T>, work.parts * size * s.O, stream, grad, shift, patches, s, v, count,
                    work.parts, v == 0, sums);
  }
  launch_elements(name, add_parts_kernel<T>, size * s.O, stream, sums, s, work.parts, out);
}

}  // namespace

int64_t manifold_conv_cuda_numbers(ConvStage stage, const ConvSizes& s, int64_t vertices, int64_t parts) {
  const int64_t size = s.A * s.R * s.C;
  switch (stage) {
    case ConvStage::forward:
      return s.A * s.A + size * s.O + vertices * (2 * size + s.A * s.O);
    case ConvStage::grad_x:
      return size * s.O + vertices * size;
    case ConvStage::grad_kernel:
      return parts * size * s.O + vertices * size;
  }
  return 0;
}

void manifold_conv_cuda(const CudaInput& input, const void* kernel, const ConvSizes& s, const CudaWorkspace& work,
                        void* stream, void* y, uint8_t* shift) {
  with_type(input, [&](const auto& view) {
    using T = std::decay_t<decltype(*view.x)>;
    forward(view, static_cast<const T*>(kernel), s, work, stream, static_cast<T*>(y), shift);
  });
}

void manifold_conv_grad_x_cuda(const void* grad, const uint8_t* shift, const CudaInput& input, const void* kernel,
                               const ConvSizes& s, const CudaWorkspace& work, const int64_t* order,
                               const int64_t* starts, void* stream, void* out) {
  with_type(input, [&](const auto& view) {
    using T = std::decay_t<decltype(*view.x)>;
    grad_x(static_cast<const T*>(grad), shift, view, static_cast<const T*>(kernel), s, work, order, starts, stream,
           static_cast<T*>(out));
  });
}

void manifold_conv_grad_kernel_cuda(const void* grad, const uint8_t* shift, const CudaInput& input, const ConvSizes& s,
                                    const CudaWorkspace& work, void* stream, void* out) {
  with_type(input, [&](const auto& view) {
    using T = std::decay_t<decltype(*view.x)>;
    grad_kernel(static_cast<const T*>(grad), shift, view, s, work, stream, static_cast<T*>(out));
  });
}

}  // namespace fer3d
