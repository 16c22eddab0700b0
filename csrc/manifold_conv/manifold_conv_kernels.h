#pragma once

#include <cstring>

#include "manifold_conv.h"

#if defined(__GNUC__)
#define FER3D_INLINE inline __attribute__((always_inline))
#else
#define FER3D_INLINE inline
#endif

// The inner loops of manifold_conv for one vector width. This header is compiled once for each instruction set, so
// everything is in an unnamed namespace and uses no inline function of the standard library: the linker keeps one copy
// of such a function for the whole module, possibly one with instructions that this machine lacks.
//
// Layouts. L: lanes of a vector. Depth D = R C, in chunks of L; bins of one ray are contiguous, d = r C + c.
//   patch     [A][D']              one vertex, D' = chunks * L
//   spectrum  [M][chunks][T][L]    a tile of T vertices under the DFT, M real components (see `components`)
//   kernel^   [M][panel][D][width] output channels in panels of up to `columns` vectors
//   response  [M][T][O']           O' = O rounded up to L
//   rotations [chunks][J][2A][L]   the rays twice, so that any shift is contiguous
namespace fer3d {

constexpr int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// Real products for the DFT of A rays: one for each real frequency, three for each complex pair.
constexpr int64_t components(int64_t A) { return 1 + (A % 2 == 0) + 3 * ((A - 1) / 2); }

// One term of a rotated sum: `coefficient` times the A vectors at `offset`.
template <typename Real>
struct Term {
  Real coefficient;
  int32_t offset;
};

// The functions that the threads call. cosines, sines: of 2 pi k / A, k < A.
template <typename Real>
struct ConvKernels {
  int64_t lanes, tile;

  // Components of kernel[:, :, :, :] for depths [begin, end).
  void (*transform_kernel)(const Real* kernel, const ConvSizes& s, const Real* cosines, const Real* sines,
                           int64_t begin, int64_t end, Real* out);
  // y and shift of vertices [v, v + count) of scan b, count <= tile; returns an invalid position in indices, or -1.
  int64_t (*forward)(const ConvInput<Real>& in, const ConvSizes& s, const Real* cosines, const Real* sines,
                     const Real* transformed, int64_t b, int64_t v, int64_t count, Real* scratch, Real* y,
                     uint8_t* shift);
  int64_t (*forward_scratch)(const ConvSizes& s);

  // Patch of vertex v of scan b: (A, D'), zero beyond D.
  int64_t (*load_patch)(const ConvInput<Real>& in, const ConvSizes& s, int64_t b, int64_t v, Real* patch);
  // Its transpose: adds to grad_x (N, C) of the scan, or writes it if there are no indices.
  void (*scatter_patch)(const ConvInput<Real>& in, const ConvSizes& s, int64_t b, int64_t v, const Real* patch,
                        Real* grad_x);
  // For manifold_pool: largest = max(largest, from) over C channels; sets `winner` where `from` is larger or NaN.
  void (*keep_larger)(const Real* from, int64_t C, int32_t bin, Real* largest, int32_t* winner);
  // A patch as rows of rotations: chunk k goes to rows + k * chunk_step.
  void (*repeat_rays)(const Real* patch, const ConvSizes& s, Real* rows, int64_t chunk_step);
  // Adds to sums[i] (which starts from zero if `fresh`), i < n, its terms: the first counts[i] of terms[i * most], ...
  // Ray a of sum i is the vector at sums[i * sum_step + a * ray_step], ray a of a term the one at rows[offset + a * L].
  void (*rotated_sums)(const Real* rows, const Term<Real>* terms, const int32_t* counts, int64_t most, int64_t n,
                       int64_t A, bool fresh, Real* sums, int64_t sum_step, int64_t ray_step);
};

// The loops that manifold_conv_use has chosen, else the best for this processor.
const ConvKernels<float>& conv_kernels(float);
const ConvKernels<double>& conv_kernels(double);

extern const ConvKernels<float> conv_kernels_avx2, conv_kernels_avx512;

namespace {

template <typename Real, int Bytes, int Rows, int Columns>
struct Loops {
  static constexpr int L = Bytes / sizeof(Real);
  static constexpr int64_t tile = 24;
  static constexpr int most_rays = Rows > 8 ? 16 : 8;  // sums in registers
  static_assert(tile % Rows == 0, "a tile is a whole number of register blocks");

#if defined(__GNUC__)
  typedef Real Vec __attribute__((vector_size(Bytes)));
#else
  struct Vec {
    Real lane[L];
    Real operator[](int i) const { return lane[i]; }
    friend Vec operator+(Vec a, const Vec& b) {
      for (int i = 0; i < L; ++i) a.lane[i] += b.lane[i];
      return a;
    }
    friend Vec operator-(Vec a, const Vec& b) {
      for (int i = 0; i < L; ++i) a.lane[i] -= b.lane[i];
      return a;
    }
    friend Vec operator*(Vec a, Real b) {
      for (int i = 0; i < L; ++i) a.lane[i] *= b;
      return a;
    }
    Vec& operator+=(const Vec& b) { return *this = *this + b; }
  };
#endif

  static Vec load(const Real* p) {
    Vec v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  static void store(Real* p, const Vec& v) { std::memcpy(p, &v, sizeof v); }
  static Vec load_first(const Real* p, int64_t n) {
    Vec v = {};
    std::memcpy(&v, p, static_cast<size_t>(n < L ? n : L) * sizeof(Real));
    return v;
  }

  // ---- real DFT over the rays; N: the number of rays if known at compile time, else 0 ----

  // cosine[f * step] = sum_a x[a] cos(2 pi f a / n), f = 0 ... n / 2; sine likewise, f = 1 ... (n - 1) / 2.
  // Even n: half of the frequencies come from the sums x[a] + x[a + n/2], half from the differences; the symmetry of
  // cosine and sine halves the remaining work again.
  template <int N>
  static FER3D_INLINE void analyse(const Vec* x, Vec* cosine, Vec* sine, int rays, int rate, int step,
                                   const Real* cosines, const Real* sines) {
    const int n = N ? N : rays, A = n * rate;
    constexpr int room = N ? (N + 1) / 2 + 1 : max_rays / 2 + 1;
    if (n == 1) {
      cosine[0] = x[0];
      return;
    }
    Vec even[room], odd[room];
    if (n % 2 == 0) {
      const int h = n / 2;
      Vec sum[room];
      for (int a = 0; a < h; ++a) sum[a] = x[a] + x[a + h];
      even[0] = x[0] - x[h];
      for (int a = 1; 2 * a < h; ++a) {
        const Vec low = x[a] - x[a + h], high = x[h - a] - x[n - a];
        even[a] = low - high;
        odd[a] = low + high;
      }
      if (h % 2 == 0) odd[h / 2] = x[h / 2] - x[h / 2 + h];
      for (int f = 1; f <= h; f += 2) {
        Vec c = even[0], s = {};
        for (int a = 1; 2 * a < h; ++a) {
          const int k = f * a * rate % A;
          c += even[a] * cosines[k];
          s += odd[a] * sines[k];
        }
        if (h % 2 == 0) s = (f / 2) % 2 ? s - odd[h / 2] : s + odd[h / 2];
        cosine[f * step] = c;
        if (f < h) sine[f * step] = s;
      }
      if constexpr (N == 0) {
        analyse_any(sum, cosine, sine, h, 2 * rate, 2 * step, cosines, sines);
      } else {
        analyse<(N % 2 ? 1 : N / 2)>(sum, cosine, sine, h, 2 * rate, 2 * step, cosines, sines);
      }
      return;
    }
    for (int a = 1; 2 * a < n; ++a) {
      even[a] = x[a] + x[n - a];
      odd[a] = x[a] - x[n - a];
    }
    for (int f = 0; 2 * f < n; ++f) {
      Vec c = x[0], s = {};
      for (int a = 1; 2 * a < n; ++a) {
        const int k = f * a * rate % A;
        c += even[a] * cosines[k];
        s += odd[a] * sines[k];
      }
      cosine[f * step] = c;
      if (f) sine[f * step] = s;
    }
  }
  static void analyse_any(const Vec* x, Vec* cosine, Vec* sine, int rays, int rate, int step, const Real* cosines,
                          const Real* sines) {
    analyse<0>(x, cosine, sine, rays, rate, step, cosines, sines);
  }

  // y[s] = sum_f cosine[f * step] cos(2 pi f s / n) + sine[f * step] sin(2 pi f s / n), the transpose of `analyse`.
  template <int N>
  static FER3D_INLINE void synthesise(const Vec* cosine, const Vec* sine, Vec* y, int rays, int rate, int step,
                                      const Real* cosines, const Real* sines) {
    const int n = N ? N : rays, A = n * rate;
    if (n == 1) {
      y[0] = cosine[0];
      return;
    }
    if (n % 2 == 0) {
      const int h = n / 2;
      if constexpr (N == 0) {
        synthesise_any(cosine, sine, y, h, 2 * rate, 2 * step, cosines, sines);
      } else {
        synthesise<(N % 2 ? 1 : N / 2)>(cosine, sine, y, h, 2 * rate, 2 * step, cosines, sines);
      }
      for (int s = 0; 2 * s <= h; ++s) {
        Vec c = {}, d = {};
        for (int f = 1; f <= h; f += 2) {
          const int k = f * s * rate % A;
          c += cosine[f * step] * cosines[k];
          if (f < h) d += sine[f * step] * sines[k];
        }
        const Vec low = y[s];
        if (s == 0 || 2 * s == h) {
          const Vec odd = s == 0 ? c : d;
          y[s] = low + odd;
          y[s + h] = low - odd;
        } else {
          const Vec high = y[h - s];
          y[s] = low + (c + d);
          y[s + h] = low - (c + d);
          y[h - s] = high + (d - c);
          y[n - s] = high - (d - c);
        }
      }
      return;
    }
    for (int s = 0; 2 * s < n; ++s) {
      Vec c = cosine[0], d = {};
      for (int f = 1; 2 * f < n; ++f) {
        const int k = f * s * rate % A;
        c += cosine[f * step] * cosines[k];
        d += sine[f * step] * sines[k];
      }
      y[s] = c + d;
      if (s) y[n - s] = c - d;
    }
  }
  static void synthesise_any(const Vec* cosine, const Vec* sine, Vec* y, int rays, int rate, int step,
                             const Real* cosines, const Real* sines) {
    synthesise<0>(cosine, sine, y, rays, rate, step, cosines, sines);
  }

  // ---- kernel ----

  static void transform_kernel(const Real* kernel, const ConvSizes& s, const Real* cosines, const Real* sines,
                               int64_t begin, int64_t end, Real* out) {
    const int A = static_cast<int>(s.A);
    const int64_t D = s.R * s.C, Op = round_up(s.O, L), size = D * Op;
    const Real single = Real(1) / A, pair = Real(2) / A;  // factors of the inverse DFT
    Vec x[max_rays], c[max_rays / 2 + 1], d[max_rays / 2 + 1];
    for (int64_t k = begin; k < end; ++k) {
      const Real* bin = kernel + (k / s.C) * s.A * s.C * s.O + k % s.C * s.O;
      for (int64_t o = 0; o < s.O; o += L) {
        for (int a = 0; a < A; ++a) x[a] = load_first(bin + a * s.C * s.O + o, s.O - o);
        analyse_any(x, c, d, A, 1, 1, cosines, sines);
        const int64_t panel = o / (Columns * L) * (Columns * L);
        const int64_t width = Op - panel < Columns * L ? Op - panel : Columns * L;
        Real* to = out + panel * D + k * width + (o - panel);
        store(to, c[0] * single);
        to += size;
        for (int f = 1; 2 * f < A; ++f, to += 3 * size) {
          store(to, c[f] * pair);
          store(to + size, (d[f] - c[f]) * pair);
          store(to + 2 * size, (d[f] + c[f]) * pair);
        }
        if (A % 2 == 0) store(to, c[A / 2] * single);
      }
    }
  }

  // ---- patches ----

  static int64_t load_patch(const ConvInput<Real>& in, const ConvSizes& s, int64_t b, int64_t v, Real* patch) {
    const int64_t D = s.R * s.C, Dp = round_up(D, L), C = s.C;
    int64_t wrong = -1;
    for (int64_t r = 0; r < s.R; ++r) {
      for (int64_t a = 0; a < s.A; ++a) {
        const int64_t bin = ((b * s.V + v) * s.R + r) * s.A + a;
        Real* to = patch + a * Dp + r * C;
        if (!in.indices) {
          std::memcpy(to, in.x + bin * C, static_cast<size_t>(C) * sizeof(Real));
          continue;
        }
        const int32_t* index = in.indices + bin * s.K;
        const Real* weight = in.weights + bin * s.K;
        const Real* x = in.x + b * s.N * C;
        bool masked = true;
        for (int64_t k = 0; k < s.K; ++k) {
          masked &= weight[k] == 0;
          if (static_cast<uint32_t>(index[k]) >= static_cast<uint64_t>(s.N) && wrong < 0) wrong = bin * s.K + k;
        }
        if (wrong >= 0) return wrong;
        int64_t c = 0;
        if (masked) {
          for (; c < C; ++c) to[c] = 0;
        } else if (s.K == 3) {
          const Real *x0 = x + index[0] * C, *x1 = x + index[1] * C, *x2 = x + index[2] * C;
          const Real w0 = weight[0], w1 = weight[1], w2 = weight[2];
          for (; c + L <= C; c += L) store(to + c, load(x0 + c) * w0 + load(x1 + c) * w1 + load(x2 + c) * w2);
          for (; c < C; ++c) to[c] = w0 * x0[c] + w1 * x1[c] + w2 * x2[c];
        } else {
          for (; c + L <= C; c += L) {
            Vec sum = {};
            for (int64_t k = 0; k < s.K; ++k) sum += load(x + index[k] * C + c) * weight[k];
            store(to + c, sum);
          }
          for (; c < C; ++c) {
            Real sum = 0;
            for (int64_t k = 0; k < s.K; ++k) sum += weight[k] * x[index[k] * C + c];
            to[c] = sum;
          }
        }
      }
    }
    for (int64_t a = 0; a < s.A; ++a)
      for (int64_t d = D; d < Dp; ++d) patch[a * Dp + d] = 0;
    return wrong;
  }

  static void scatter_patch(const ConvInput<Real>& in, const ConvSizes& s, int64_t b, int64_t v, const Real* patch,
                            Real* grad_x) {
    const int64_t Dp = round_up(s.R * s.C, L), C = s.C;
    for (int64_t r = 0; r < s.R; ++r) {
      for (int64_t a = 0; a < s.A; ++a) {
        const int64_t bin = ((b * s.V + v) * s.R + r) * s.A + a;
        const Real* from = patch + a * Dp + r * C;
        if (!in.indices) {
          std::memcpy(grad_x + ((v * s.R + r) * s.A + a) * C, from, static_cast<size_t>(C) * sizeof(Real));
          continue;
        }
        const int32_t* index = in.indices + bin * s.K;
        const Real* weight = in.weights + bin * s.K;
        bool masked = true;
        for (int64_t k = 0; k < s.K; ++k) masked &= weight[k] == 0;
        if (masked) continue;
        int64_t c = 0;
        for (; c + L <= C; c += L) {
          const Vec g = load(from + c);
          for (int64_t k = 0; k < s.K; ++k) {
            Real* to = grad_x + index[k] * C + c;
            store(to, load(to) + g * weight[k]);
          }
        }
        for (; c < C; ++c)
          for (int64_t k = 0; k < s.K; ++k) grad_x[index[k] * C + c] += weight[k] * from[c];
      }
    }
  }

  static void keep_larger(const Real* __restrict from, int64_t C, int32_t bin, Real* __restrict largest,
                          int32_t* __restrict winner) {
    for (int64_t c = 0; c < C; ++c) {
      const bool wins = (from[c] > largest[c]) | (from[c] != from[c]);
      largest[c] = wins ? from[c] : largest[c];
      winner[c] = wins ? bin : winner[c];
    }
  }

  // ---- forward ----

  // response (Rows, width) = spectrum (Rows, D) * kernel^ (D, width), width = Width vectors.
  template <int Width>
  static void product(const Real* spectrum, const Real* kernel, int64_t D, Real* response, int64_t Op) {
    Vec sum[Rows][Width] = {};
    for (int64_t chunk = 0; chunk < D; chunk += L, spectrum += tile * L) {
      const int64_t depth = D - chunk < L ? D - chunk : L;
      for (int64_t d = 0; d < depth; ++d, kernel += Width * L) {
        Vec w[Width];
        for (int j = 0; j < Width; ++j) w[j] = load(kernel + j * L);
        for (int i = 0; i < Rows; ++i) {
          const Real x = spectrum[i * L + d];
          for (int j = 0; j < Width; ++j) sum[i][j] += w[j] * x;
        }
      }
    }
    for (int i = 0; i < Rows; ++i)
      for (int j = 0; j < Width; ++j) store(response + i * Op + j * L, sum[i][j]);
  }

  static int64_t forward_scratch(const ConvSizes& s) {
    const int64_t Dp = round_up(s.R * s.C, L), M = components(s.A);
    return s.A * Dp + M * tile * (Dp + round_up(s.O, L));
  }

  template <int N>
  static int64_t forward_rays(const ConvInput<Real>& in, const ConvSizes& s, const Real* cosines, const Real* sines,
                              const Real* transformed, int64_t b, int64_t v, int64_t count, Real* scratch, Real* y,
                              uint8_t* shift) {
    const int A = N ? N : static_cast<int>(s.A);
    constexpr int room = N ? N : max_rays;
    const int64_t D = s.R * s.C, Dp = round_up(D, L), Op = round_up(s.O, L), M = components(A);
    Real* patch = scratch;
    Real* spectrum = patch + A * Dp;
    Real* response = spectrum + M * tile * Dp;

    Vec ray[room], c[room / 2 + 1], d[room / 2 + 1];
    for (int64_t i = 0; i < count; ++i) {
      const int64_t wrong = load_patch(in, s, b, v + i, patch);
      if (wrong >= 0) return wrong;
      for (int64_t k = 0; k < Dp; k += L) {
        for (int a = 0; a < A; ++a) ray[a] = load(patch + a * Dp + k);
        analyse<N>(ray, c, d, A, 1, 1, cosines, sines);
        Real* to = spectrum + k * tile + i * L;
        store(to, c[0]);
        to += tile * Dp;
        for (int f = 1; 2 * f < A; ++f, to += 3 * tile * Dp) {
          store(to, c[f] + d[f]);
          store(to + tile * Dp, d[f]);
          store(to + 2 * tile * Dp, c[f]);
        }
        if (A % 2 == 0) store(to, c[A / 2]);
      }
    }

    for (int64_t m = 0; m < M; ++m) {
      for (int64_t o = 0; o < Op; o += Columns * L) {
        const Real* panel = transformed + m * D * Op + o * D;
        for (int64_t i = 0; i < count; i += Rows) {
          const Real* from = spectrum + m * tile * Dp + i * L;
          Real* to = response + (m * tile + i) * Op + o;
          if (Op - o >= Columns * L) {
            product<Columns>(from, panel, D, to, Op);
          } else {
            static_assert(Columns == 2, "the last panel has one vector");
            product<1>(from, panel, D, to, Op);
          }
        }
      }
    }

    for (int64_t i = 0; i < count; ++i) {
      for (int64_t o = 0; o < s.O; o += L) {
        const Real* from = response + i * Op + o;
        c[0] = load(from);
        from += tile * Op;
        for (int f = 1; 2 * f < A; ++f, from += 3 * tile * Op) {
          const Vec shared = load(from);
          c[f] = shared + load(from + tile * Op);
          d[f] = load(from + 2 * tile * Op) - shared;
        }
        if (A % 2 == 0) c[A / 2] = load(from);
        synthesise<N>(c, d, ray, A, 1, 1, cosines, sines);
        write_largest(ray, A, s.O - o, y + i * s.O + o, shift + i * s.O + o);
      }
    }
    return -1;
  }

  // Writes the maximum of n vectors and its first index, per lane.
  static FER3D_INLINE void write_largest(const Vec* value, int n, int64_t lanes, Real* y, uint8_t* shift) {
    Real best[L], at[L];
#if defined(__GNUC__)
    Vec largest = value[0], winner = {};
    for (int s = 1; s < n; ++s) {
      const auto larger = value[s] > largest;
      largest = larger ? value[s] : largest;
      const Vec here = Vec{} + Real(s);
      winner = larger ? here : winner;
    }
    store(best, largest);
    store(at, winner);
#else
    for (int i = 0; i < L; ++i) {
      best[i] = value[0][i];
      at[i] = 0;
      for (int s = 1; s < n; ++s) {
        if (value[s][i] > best[i]) {
          best[i] = value[s][i];
          at[i] = Real(s);
        }
      }
    }
#endif
    for (int i = 0; i < L && i < lanes; ++i) {
      y[i] = best[i];
      shift[i] = static_cast<uint8_t>(at[i]);
    }
  }

  static int64_t forward(const ConvInput<Real>& in, const ConvSizes& s, const Real* cosines, const Real* sines,
                         const Real* transformed, int64_t b, int64_t v, int64_t count, Real* scratch, Real* y,
                         uint8_t* shift) {
    const auto rays = s.A == 16 ? forward_rays<16> : s.A == 8 ? forward_rays<8> : forward_rays<0>;
    return rays(in, s, cosines, sines, transformed, b, v, count, scratch, y, shift);
  }

  // ---- gradients ----

  static void repeat_rays(const Real* patch, const ConvSizes& s, Real* rows, int64_t chunk_step) {
    const int64_t Dp = round_up(s.R * s.C, L);
    for (int64_t d = 0; d < Dp; d += L, rows += chunk_step) {
      for (int64_t a = 0; a < s.A; ++a) {
        const Vec ray = load(patch + a * Dp + d);
        store(rows + a * L, ray);
        store(rows + (a + s.A) * L, ray);
      }
    }
  }

  template <int N>
  static void rotated(const Real* rows, const Term<Real>* terms, const int32_t* counts, int64_t most, int64_t n,
                      bool fresh, Real* sums, int64_t sum_step, int64_t ray_step) {
    for (int64_t i = 0; i < n; ++i, sums += sum_step, terms += most) {
      Vec sum[N];
      for (int a = 0; a < N; ++a) sum[a] = fresh ? Vec{} : load(sums + a * ray_step);
      for (const Term<Real>*t = terms, *end = terms + counts[i]; t != end; ++t) {
        const Real* row = rows + t->offset;
        const Real w = t->coefficient;
        for (int a = 0; a < N; ++a) sum[a] += load(row + a * L) * w;
      }
      for (int a = 0; a < N; ++a) store(sums + a * ray_step, sum[a]);
    }
  }

  static void rotated_sums(const Real* rows, const Term<Real>* terms, const int32_t* counts, int64_t most, int64_t n,
                           int64_t A, bool fresh, Real* sums, int64_t sum_step, int64_t ray_step) {
    for (int64_t a = 0; a < A;) {
      const int64_t left = A - a;
      const int64_t now = left >= most_rays ? most_rays : left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
      const auto sum = now == 16  ? rotated<most_rays>
                       : now == 8 ? rotated<8>
                       : now == 4 ? rotated<4>
                       : now == 2 ? rotated<2>
                                  : rotated<1>;
      sum(rows + a * L, terms, counts, most, n, fresh, sums + a * ray_step, sum_step, ray_step);
      a += now;
    }
  }

  static constexpr ConvKernels<Real> table() {
    return {L,          tile,          transform_kernel, forward,     forward_scratch,
            load_patch, scatter_patch, keep_larger,      repeat_rays, rotated_sums};
  }
};

}  // namespace
}  // namespace fer3d
