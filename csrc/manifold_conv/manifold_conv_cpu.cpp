#include <algorithm>
#include <cmath>
#include <memory>
#include <string_view>
#include <vector>

#include "manifold_conv.h"
#include "manifold_conv_kernels.h"
#include "scatter_scans.h"

namespace fer3d {
namespace {

constexpr int64_t cached_rows = 32768;   // bytes of rows that a rotated sum reads repeatedly: L1 cache
constexpr int64_t cached_sums = 393216;  // bytes of the sums that they are added to: L2 cache

const ConvKernels<float> conv_kernels_base = Loops<float, 16, 4, 2>::table();

// The loops for an instruction set, or null if the processor or the build lacks it.
const ConvKernels<float>* kernels_for(std::string_view instructions) {
  if (instructions == "base") return &conv_kernels_base;
#ifdef FER3D_X86
  if (instructions == "avx512" && __builtin_cpu_supports("avx512f")) return &conv_kernels_avx512;
  if (instructions == "avx2" && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return &conv_kernels_avx2;
#endif
  return nullptr;
}

std::atomic<const ConvKernels<float>*> chosen{nullptr};

}  // namespace

const ConvKernels<double>& conv_kernels(double) {
  static constexpr ConvKernels<double> table = Loops<double, 16, 4, 2>::table();
  return table;
}

const ConvKernels<float>& conv_kernels(float) {
  const ConvKernels<float>* table = chosen;
  for (const char* instructions : {"avx512", "avx2", "base"})
    if (!table) table = kernels_for(instructions);
  chosen = table;
  return *table;
}

namespace {

bool is_empty(const ConvSizes& s) { return s.B * s.V * s.R * s.C * s.O == 0; }

// Number of rows that fit into the L1 cache, at least one.
template <typename Real>
int64_t rows_at_once(const ConvSizes& s, int64_t lanes) {
  return std::max<int64_t>(1, cached_rows / (2 * s.A * lanes * static_cast<int64_t>(sizeof(Real))));
}

}  // namespace

bool manifold_conv_use(std::string_view instructions) {
  const ConvKernels<float>* table = kernels_for(instructions);
  if (table) chosen = table;
  return table != nullptr;
}

template <typename Real>
int64_t manifold_conv_cpu(const ConvInput<Real>& input, const Real* kernel, const ConvSizes& s, int threads, Real* y,
                          uint8_t* shift) {
  if (is_empty(s)) {
    std::fill(y, y + s.B * s.V * s.O, Real(0));
    std::fill(shift, shift + s.B * s.V * s.O, uint8_t(0));
    return -1;
  }
  const ConvKernels<Real>& k = conv_kernels(Real());
  const int64_t D = s.R * s.C, tiles = (s.V + k.tile - 1) / k.tile;
  std::vector<Real> cosines(s.A), sines(s.A);
  for (int64_t a = 0; a < s.A; ++a) {
    const double angle = 2 * 3.14159265358979323846 * static_cast<double>(a) / static_cast<double>(s.A);
    cosines[a] = static_cast<Real>(std::cos(angle));
    sines[a] = static_cast<Real>(std::sin(angle));
  }
  Buffer<Real> transformed(components(s.A) * D * round_up(s.O, k.lanes));
  parallel_tasks(partials, threads, [&](int64_t task, int) {
    const Run run = run_of(task, partials, D);
    k.transform_kernel(kernel, s, cosines.data(), sines.data(), run.begin, run.end, transformed.data());
  });

  std::vector<Buffer<Real>> scratch;
  for (int i = 0; i < threads; ++i) scratch.emplace_back(k.forward_scratch(s));
  std::atomic<int64_t> first_wrong{-1};
  parallel_tasks(s.B * tiles, threads, [&](int64_t task, int worker) {
    const int64_t b = task / tiles, v = task % tiles * k.tile, count = std::min(k.tile, s.V - v);
    const int64_t at = (b * s.V + v) * s.O;
    const int64_t wrong = k.forward(input, s, cosines.data(), sines.data(), transformed.data(), b, v, count,
                                    scratch[worker].data(), y + at, shift + at);
    for (int64_t seen = first_wrong; wrong >= 0 && (seen < 0 || wrong < seen);)
      if (first_wrong.compare_exchange_weak(seen, wrong)) break;
  });
  return first_wrong;
}

template <typename Real>
void manifold_conv_grad_x_cpu(const Real* grad, const uint8_t* shift, const ConvInput<Real>& input, const Real* kernel,
                              const ConvSizes& s, int threads, Real* grad_x) {
  if (is_empty(s)) {
    std::fill(grad_x, grad_x + s.B * (input.indices ? s.N : s.V * s.R * s.A) * s.C, Real(0));
    return;
  }
  const ConvKernels<Real>& k = conv_kernels(Real());
  const int64_t L = k.lanes, D = s.R * s.C, Dp = round_up(D, L), row = 2 * s.A * L;

  Buffer<Real> rotations(Dp * 2 * s.A * s.O);  // [chunk][o][2A][L]
  parallel_tasks(Dp / L, threads, [&](int64_t chunk, int) {
    Real* to = rotations.data() + chunk * s.O * row;
    for (int64_t d = chunk * L; d < std::min(D, chunk * L + L); ++d) {
      for (int64_t a = 0; a < s.A; ++a) {
        const Real* from = kernel + ((d / s.C * s.A + a) * s.C + d % s.C) * s.O;
        for (int64_t o = 0; o < s.O; ++o) to[o * row + a * L + d % L] = to[o * row + (a + s.A) * L + d % L] = from[o];
      }
    }
  });

  const int64_t block = std::min(s.O, rows_at_once<Real>(s, L)), blocks = (s.O + block - 1) / block;
  const int64_t most_vertices = cached_sums / std::max<int64_t>(1, s.A * Dp * static_cast<int64_t>(sizeof(Real)));
  const int64_t tile = std::clamp<int64_t>(most_vertices, 4, 64);
  std::vector<Buffer<Real>> patches;
  std::vector<std::vector<Term<Real>>> terms(threads, std::vector<Term<Real>>(blocks * tile * block));
  std::vector<std::vector<int32_t>> counts(threads, std::vector<int32_t>(blocks * tile));
  for (int i = 0; i < threads; ++i) patches.emplace_back(tile * s.A * Dp);

  scatter_scans(input, s, threads, grad_x, [&](int64_t b, const Run& run, Real* to, int worker) {
    Real* patch = patches[worker].data();
    for (int64_t v = run.begin; v < run.end; v += tile) {
      const int64_t n = std::min(tile, run.end - v);
      for (int64_t j = 0; j < blocks; ++j) {
        for (int64_t i = 0; i < n; ++i) {
          Term<Real>* term = terms[worker].data() + (j * tile + i) * block;
          int32_t count = 0;
          for (int64_t o = j * block; o < std::min(s.O, j * block + block); ++o) {
            const int64_t at = (b * s.V + v + i) * s.O + o;
            term[count] = {grad[at], static_cast<int32_t>((o - j * block) * row + shift[at] * L)};
            count += grad[at] != 0;
          }
          counts[worker][j * tile + i] = count;
        }
      }
      for (int64_t chunk = 0; chunk < Dp; chunk += L)
        for (int64_t j = 0; j < blocks; ++j)
          k.rotated_sums(rotations.data() + (chunk / L * s.O + j * block) * row,
                         terms[worker].data() + j * tile * block, counts[worker].data() + j * tile, block, n, s.A,
                         j == 0, patch + chunk, s.A * Dp, Dp);
      for (int64_t i = 0; i < n; ++i) k.scatter_patch(input, s, b, v + i, patch + i * s.A * Dp, to);
    }
  });
}

template <typename Real>
void manifold_conv_grad_kernel_cpu(const Real* grad, const uint8_t* shift, const ConvInput<Real>& input,
                                   const ConvSizes& s, int threads, Real* grad_kernel) {
  if (is_empty(s)) {
    std::fill(grad_kernel, grad_kernel + s.R * s.A * s.C * s.O, Real(0));
    return;
  }
  const ConvKernels<Real>& k = conv_kernels(Real());
  const int64_t L = k.lanes, D = s.R * s.C, Dp = round_up(D, L), row = 2 * s.A * L;
  const int64_t tile = std::min<int64_t>(rows_at_once<Real>(s, L), 64);

  // Each part sums over its own vertices. If the sums of the parts would take too much memory, there are fewer parts,
  // and each is divided by output channels.
  const int64_t vertices = s.B * s.V, size = Dp * s.A * s.O;  // [chunk][o][A][L]
  const int64_t room = partial_room / std::max<int64_t>(1, size * static_cast<int64_t>(sizeof(Real)));
  const int64_t parts = std::max<int64_t>(1, std::min({partials, room, vertices / 256}));
  const int64_t cuts = std::max<int64_t>(1, std::min((partials + parts - 1) / parts, s.O / 32));
  Buffer<Real> sums(parts * size);

  std::vector<Buffer<Real>> patches, rows;
  std::vector<std::vector<Term<Real>>> terms(threads, std::vector<Term<Real>>(s.O * tile));
  std::vector<std::vector<int32_t>> counts(threads, std::vector<int32_t>(s.O));
  for (int i = 0; i < threads; ++i) {
    patches.emplace_back(s.A * Dp);
    rows.emplace_back(tile * 2 * s.A * Dp);  // [chunk][vertex][2A][L]
  }
  parallel_tasks(parts * cuts, threads, [&](int64_t task, int worker) {
    const int64_t part = task / cuts;
    const Run run = run_of(part, parts, vertices), cut = run_of(task % cuts, cuts, s.O);
    Real* to = sums.data() + part * size;
    Real* patch = patches[worker].data();
    for (int64_t v = run.begin; v < run.end; v += tile) {
      const int64_t n = std::min(tile, run.end - v);
      for (int64_t i = 0; i < n; ++i) {
        k.load_patch(input, s, (v + i) / s.V, (v + i) % s.V, patch);
        k.repeat_rays(patch, s, rows[worker].data() + i * row, tile * row);
      }
      for (int64_t o = cut.begin; o < cut.end; ++o) {
        Term<Real>* term = terms[worker].data() + o * tile;
        int32_t count = 0;
        for (int64_t i = 0; i < n; ++i) {
          const int64_t at = (v + i) * s.O + o;
          term[count] = {grad[at], static_cast<int32_t>(i * row + (s.A - shift[at]) * L)};
          count += grad[at] != 0;
        }
        counts[worker][o] = count;
      }
      for (int64_t chunk = 0; chunk < Dp / L; ++chunk)
        k.rotated_sums(rows[worker].data() + chunk * tile * row, terms[worker].data() + cut.begin * tile,
                       counts[worker].data() + cut.begin, tile, cut.end - cut.begin, s.A, false,
                       to + (chunk * s.O + cut.begin) * s.A * L, s.A * L, L);
    }
  });

  parallel_tasks(Dp / L, threads, [&](int64_t chunk, int) {
    Real* total = sums.data() + chunk * s.O * s.A * L;
    for (int64_t part = 1; part < parts; ++part)
      for (int64_t i = 0; i < s.O * s.A * L; ++i) total[i] += total[part * size + i];
    for (int64_t d = chunk * L; d < std::min(D, chunk * L + L); ++d) {
      for (int64_t a = 0; a < s.A; ++a) {
        Real* to = grad_kernel + ((d / s.C * s.A + a) * s.C + d % s.C) * s.O;
        for (int64_t o = 0; o < s.O; ++o) to[o] = total[(o * s.A + a) * L + d % L];
      }
    }
  });
}

#define FER3D_INSTANTIATE(Real)                                                                                      \
  template int64_t manifold_conv_cpu(const ConvInput<Real>&, const Real*, const ConvSizes&, int, Real*, uint8_t*);   \
  template void manifold_conv_grad_x_cpu(const Real*, const uint8_t*, const ConvInput<Real>&, const Real*,           \
                                         const ConvSizes&, int, Real*);                                              \
  template void manifold_conv_grad_kernel_cpu(const Real*, const uint8_t*, const ConvInput<Real>&, const ConvSizes&, \
                                              int, Real*);
FER3D_INSTANTIATE(float)
FER3D_INSTANTIATE(double)

}  // namespace fer3d
