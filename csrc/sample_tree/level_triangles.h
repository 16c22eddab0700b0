#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <queue>
#include <unordered_set>
#include <utility>
#include <vector>

#include "sample_tree.h"

// Triangles of a level: adjacency, edge flips for better angles, and the nearest point of a triangle.
namespace fer3d {

// (3 F,) the opposite half-edge of each half-edge; -1 unless there is exactly one and it runs the other way. `use`
// marks the faces that count.
template <typename Use>
std::vector<int32_t> twins_of(const int32_t* faces, int64_t F, int64_t V, Use&& use) {
  std::vector<int32_t> begin(V + 1, 0), twin(3 * F, -1);
  for (int64_t f = 0; f < F; ++f)
    if (use(f))
      for (int64_t h = 3 * f; h < 3 * f + 3; ++h) ++begin[std::min(faces[h], faces[next_edge(h)]) + 1];
  for (int64_t v = 0; v < V; ++v) begin[v + 1] += begin[v];
  struct End {
    int32_t high, edge;
  };
  std::vector<End> bucket(begin[V]);
  std::vector<int32_t> fill(begin.begin(), begin.end() - 1);
  for (int64_t f = 0; f < F; ++f)
    if (use(f))
      for (int64_t h = 3 * f; h < 3 * f + 3; ++h) {
        const int32_t a = faces[h], b = faces[next_edge(h)];
        bucket[fill[std::min(a, b)]++] = {std::max(a, b), static_cast<int32_t>(h)};
      }
  for (int64_t v = 0; v < V; ++v) {
    End* first = bucket.data() + begin[v];
    End* last = bucket.data() + begin[v + 1];
    if (last - first <= 24) {  // insertion sort: buckets hold about three
      for (End* i = first; i < last; ++i) {
        const End moved = *i;
        End* j = i;
        for (; j > first && (j[-1].high > moved.high || (j[-1].high == moved.high && j[-1].edge > moved.edge)); --j)
          *j = j[-1];
        *j = moved;
      }
    } else {
      std::sort(first, last,
                [](const End& a, const End& b) { return std::pair(a.high, a.edge) < std::pair(b.high, b.edge); });
    }
    for (End* i = first; i < last;) {
      End* j = i;
      while (j < last && j->high == i->high) ++j;
      if (j - i == 2 && faces[i[0].edge] != faces[i[1].edge]) {
        twin[i[0].edge] = i[1].edge;
        twin[i[1].edge] = i[0].edge;
      }
      i = j;
    }
  }
  return twin;
}

inline double square(double x) { return x * x; }

inline double cosine(const double* a, const double* b, const double* c) {  // of the angle at a
  double ab = 0, ac = 0, product = 0;
  for (int i = 0; i < 3; ++i) {
    const double p = b[i] - a[i], q = c[i] - a[i];
    ab += p * p, ac += q * q, product += p * q;
  }
  return product / std::sqrt(ab * ac);
}

inline double largest_cosine(const double* a, const double* b, const double* c) {  // of the smallest angle
  return std::max({cosine(a, b, c), cosine(b, c, a), cosine(c, a, b)});
}

inline std::array<double, 3> cross(const double* a, const double* b, const double* c) {  // (b - a) x (c - a)
  const double p[3] = {b[0] - a[0], b[1] - a[1], b[2] - a[2]}, q[3] = {c[0] - a[0], c[1] - a[1], c[2] - a[2]};
  return {p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]};
}

inline double dot(const std::array<double, 3>& a, const std::array<double, 3>& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

inline uint64_t pair_key(int32_t a, int32_t b) {
  return uint64_t(static_cast<uint32_t>(std::min(a, b))) << 32 | static_cast<uint32_t>(std::max(a, b));
}

// Flips edges while that increases the smallest angle of the two triangles, which terminates; never across a fold, and
// never to an existing edge.
inline void flip_edges(Triangulation& level) {
  std::vector<int32_t>& faces = level.faces;
  std::vector<int32_t>& twin = level.twin;
  const auto point = [&](int32_t v) { return level.points.data() + 3 * int64_t(v); };
  std::unordered_set<uint64_t> present;
  present.reserve(faces.size());
  for (size_t h = 0; h < faces.size(); ++h) present.insert(pair_key(faces[h], faces[next_edge(h)]));
  // Longest edge first, so that the result does not depend on the order of the vertices.
  std::priority_queue<std::pair<double, int32_t>> todo;
  const auto add = [&](int64_t h) {
    if (twin[h] < 0) return;
    const double *p = point(faces[h]), *q = point(faces[next_edge(h)]);
    todo.push({square(p[0] - q[0]) + square(p[1] - q[1]) + square(p[2] - q[2]), static_cast<int32_t>(h)});
  };
  for (size_t h = 0; h < faces.size(); ++h)
    if (static_cast<int32_t>(h) < twin[h]) add(static_cast<int64_t>(h));
  while (!todo.empty()) {
    const int32_t h = todo.top().second;
    todo.pop();
    const int32_t g = twin[h];
    if (g < 0) continue;
    // h runs a -> b with c on its left, g runs b -> a with d on its left.
    const int64_t bc = next_edge(h), ca = previous_edge(h), ad = next_edge(g), db = previous_edge(g);
    const int32_t a = faces[h], b = faces[bc], c = faces[ca], d = faces[db];
    if (c == d) continue;
    const double *A = point(a), *B = point(b), *C = point(c), *D = point(d);
    const double now = std::max(largest_cosine(A, B, C), largest_cosine(B, A, D));
    const double then = std::max(largest_cosine(C, D, B), largest_cosine(D, C, A));
    if (!(then < now - 1e-9) || present.count(pair_key(c, d))) continue;
    const auto one = cross(C, D, B), two = cross(D, C, A), first = cross(A, B, C), second = cross(B, A, D);
    const std::array<double, 3> up = {first[0] + second[0], first[1] + second[1], first[2] + second[2]};
    if (!(dot(one, up) > 0 && dot(two, up) > 0)) continue;
    present.erase(pair_key(a, b));
    present.insert(pair_key(c, d));
    // Face of h becomes (c, d, b), face of g becomes (d, c, a). Twins of the four outer half-edges move with them.
    const int32_t over_bc = twin[bc], over_ca = twin[ca], over_ad = twin[ad], over_db = twin[db];
    const int64_t f = h - h % 3, e = g - g % 3;
    const int32_t corners[6] = {c, d, b, d, c, a};
    for (int k = 0; k < 3; ++k) {
      faces[f + k] = corners[k];
      faces[e + k] = corners[3 + k];
    }
    const auto join = [&](int64_t here, int32_t there) {
      twin[here] = there;
      if (there >= 0) twin[there] = static_cast<int32_t>(here);
    };
    join(f, static_cast<int32_t>(e));
    join(f + 1, over_db);
    join(f + 2, over_bc);
    join(e + 1, over_ca);
    join(e + 2, over_ad);
    for (const int64_t changed : {f + 1, f + 2, e + 1, e + 2}) add(changed);
  }
}

inline void list_around(Triangulation& level, int64_t N) {
  level.begin.assign(N + 1, 0);
  for (const int32_t v : level.faces) ++level.begin[v + 1];
  for (int64_t v = 0; v < N; ++v) level.begin[v + 1] += level.begin[v];
  level.around.resize(level.faces.size());
  std::vector<int32_t> fill(level.begin.begin(), level.begin.end() - 1);
  for (size_t h = 0; h < level.faces.size(); ++h) level.around[fill[level.faces[h]]++] = static_cast<int32_t>(h / 3);
}

// The point of triangle abc nearest to p: its weights, and the squared distance. (The projection of p if it lies in the
// triangle, else the nearest point of the edges that face p.)
inline double nearest_in(const double* p, const double* a, const double* b, const double* c, double* weight) {
  double u[3], v[3], w[3];
  double uu = 0, uv = 0, vv = 0, wu = 0, wv = 0;
  for (int i = 0; i < 3; ++i) {
    u[i] = b[i] - a[i], v[i] = c[i] - a[i], w[i] = p[i] - a[i];
    uu += u[i] * u[i], uv += u[i] * v[i], vv += v[i] * v[i], wu += w[i] * u[i], wv += w[i] * v[i];
  }
  const auto distance = [&](double s, double t) {
    double sum = 0;
    for (int i = 0; i < 3; ++i) {
      const double miss = w[i] - s * u[i] - t * v[i];
      sum += miss * miss;
    }
    return sum;
  };
  const double determinant = uu * vv - uv * uv;
  if (determinant > 1e-24 * uu * vv) {
    const double s = (vv * wu - uv * wv) / determinant, t = (uu * wv - uv * wu) / determinant;
    if (s >= 0 && t >= 0 && s + t <= 1) {
      weight[0] = 1 - s - t, weight[1] = s, weight[2] = t;
      return distance(s, t);
    }
  }
  double best = std::numeric_limits<double>::infinity();
  const auto clamp = [](double x) { return x > 0 ? (x < 1 ? x : 1.0) : 0.0; };
  const auto offer = [&](double first, double s, double t) {
    const double miss = distance(s, t);
    if (miss < best) {
      best = miss;
      weight[0] = first, weight[1] = s, weight[2] = t;  // zeros are exact
    }
  };
  const double to_b = clamp(wu / uu), to_c = clamp(wv / vv);
  offer(1 - to_b, to_b, 0);
  offer(1 - to_c, 0, to_c);
  const double along = clamp((wv - wu - uv + uu) / (uu - 2 * uv + vv));  // from b to c
  offer(0, 1 - along, along);
  return best;
}

inline Plane plane_of(const double* a, const double* b, const double* c) {
  Plane plane;
  const std::array<double, 3> n = cross(a, b, c);
  const double squared = dot(n, n), length = std::sqrt(squared);
  for (int i = 0; i < 3; ++i) {
    const int j = (i + 1) % 3, k = (i + 2) % 3;
    plane.origin[i] = a[i];
    plane.second[i] = ((c[j] - a[j]) * n[k] - (c[k] - a[k]) * n[j]) / squared;  // (c - a) x n
    plane.third[i] = (n[j] * (b[k] - a[k]) - n[k] * (b[j] - a[j])) / squared;   // n x (b - a)
    plane.normal[i] = n[i] / length;
  }
  plane.size = std::sqrt(length);
  return plane;
}

}  // namespace fer3d
