#include <algorithm>
#include <numeric>
#include <tuple>

#include "distances.h"
#include "level_triangles.h"
#include "sample_tree.h"
#include "threads.h"

namespace fer3d {
namespace {

constexpr int64_t PART = 32;  // vertices that a thread takes at a time

// Rounds weights to units of 1 / WEIGHT_UNIT; the largest weight takes the remainder, so that they sum to 1.
void round_weights(const double* weight, uint16_t* units) {
  int sum = 0, largest = 0, rounded[3];
  for (int i = 0; i < 3; ++i) {
    rounded[i] = static_cast<int>(weight[i] * WEIGHT_UNIT + 0.5);
    sum += rounded[i];
    if (weight[i] > weight[largest]) largest = i;
  }
  rounded[largest] += WEIGHT_UNIT - sum;
  for (int i = 0; i < 3; ++i) units[i] = static_cast<uint16_t>(rounded[i]);
}

}  // namespace

Surface surface_of(const double* points, const int32_t* faces, int64_t V, int64_t F) {
  Surface surface{points, faces, V, F, std::vector<Edge>(3 * F), std::vector<int32_t>(V + 1, 0), {}};
  for (int64_t h = 0; h < 3 * F; ++h) surface.edges[h] = edge_of(points, faces, h);
  const auto use = [&](int64_t f) { return surface.edges[3 * f].length > 0; };
  const std::vector<int32_t> twin = twins_of(faces, F, V, use);
  for (int64_t h = 0; h < 3 * F; ++h) surface.edges[h].twin = twin[h];
  for (int64_t f = 0; f < F; ++f)
    if (use(f))
      for (int64_t h = 3 * f; h < 3 * f + 3; ++h) ++surface.begin[faces[h] + 1];
  for (int64_t v = 0; v < V; ++v) surface.begin[v + 1] += surface.begin[v];
  surface.leaving.resize(surface.begin[V]);
  std::vector<int32_t> fill(surface.begin.begin(), surface.begin.end() - 1);
  for (int64_t f = 0; f < F; ++f)
    if (use(f))
      for (int64_t h = 3 * f; h < 3 * f + 3; ++h) surface.leaving[fill[faces[h]]++] = static_cast<int32_t>(h);
  return surface;
}

int64_t widest_fan(const Surface& surface, int64_t vertex) {
  const int32_t first = surface.begin[vertex], last = surface.begin[vertex + 1];
  std::vector<int32_t> seen;
  int64_t widest = -1;
  double most = 0;
  for (int32_t i = first; i < last; ++i) {
    const int32_t start = surface.leaving[i];
    if (std::find(seen.begin(), seen.end(), start) != seen.end()) continue;
    double angle = 0;
    const auto take = [&](int64_t h) {
      seen.push_back(static_cast<int32_t>(h));
      angle += corner_angle(surface.edges[h]);
    };
    int64_t h = start;
    do {
      take(h);
      h = turn(surface.edges.data(), h);
    } while (h >= 0 && h != start);
    if (h < 0) {  // open fan: continue clockwise from its start
      for (int32_t twin = surface.edges[start].twin; twin >= 0; twin = surface.edges[h].twin) {
        h = next_edge(twin);
        take(h);
      }
    }
    if (angle > most) {
      most = angle;
      widest = start;
    }
    if (static_cast<int32_t>(seen.size()) == last - first) break;
  }
  return widest;
}

void geodesic_stencils_cpu(const double* points, const int32_t* faces, const Edge* edges, const int32_t* sources,
                           const int32_t* leaving, const double* direction, const double* radii, int64_t N, int64_t K,
                           int64_t A, int threads, int32_t* vertex, double* weight) {
  parallel_parts(N, PART, threads, [&](int64_t first, int64_t last) {
    for (int64_t n = first; n < last; ++n) {
      const int64_t block = 3 * n * K * A;
      if (leaving[n] < 0) {
        std::fill_n(vertex + block, 3 * K * A, sources[n]);
        std::fill_n(weight + block, 3 * K * A, 0.0);
        continue;
      }
      const Fan fan = fan_of(points, faces, edges, leaving[n], direction + 3 * n);
      for (int64_t a = 0; a < A; ++a) write_ray(faces, edges, fan, a, A, radii, K, vertex + block, weight + block);
    }
  });
}

FarthestPoints farthest_points(const Surface& surface, const std::vector<int32_t>& seeds,
                               const std::vector<int64_t>& counts) {
  FarthestPoints found;
  found.owner.resize(counts.size());
  found.cover.resize(counts.size());
  Distances distances(surface);
  const auto nothing = [](int32_t) {};
  for (const int32_t seed : seeds) {
    distances.add(seed, static_cast<int32_t>(found.order.size()), nothing);
    found.order.push_back(seed);
  }
  const std::vector<double> from_seeds = distances.distance;

  // Distances only decrease, so that the top of this heap is the farthest vertex once its entry is up to date.
  struct Candidate {
    double distance, from_seeds;
    int32_t vertex;
    bool operator<(const Candidate& other) const {
      if (distance != other.distance) return distance < other.distance;
      if (from_seeds != other.from_seeds) return from_seeds < other.from_seeds;
      return vertex > other.vertex;
    }
  };
  std::vector<Candidate> heap;
  heap.reserve(surface.V);
  for (int64_t v = 0; v < surface.V; ++v)
    if (distances.distance[v] > 0 && distances.distance[v] < ENDLESS)
      heap.push_back({distances.distance[v], from_seeds[v], static_cast<int32_t>(v)});
  std::make_heap(heap.begin(), heap.end());
  const auto farthest = [&]() -> const Candidate* {
    while (!heap.empty() && distances.distance[heap.front().vertex] < heap.front().distance) {
      std::pop_heap(heap.begin(), heap.end());
      heap.back().distance = distances.distance[heap.back().vertex];
      if (heap.back().distance > 0)
        std::push_heap(heap.begin(), heap.end());
      else
        heap.pop_back();
    }
    return heap.empty() ? nullptr : &heap.front();
  };
  for (size_t level = counts.size(); level-- > 0;) {
    while (static_cast<int64_t>(found.order.size()) < counts[level]) {
      const Candidate* next = farthest();
      if (next == nullptr) break;
      const int32_t chosen = next->vertex;
      distances.add(chosen, static_cast<int32_t>(found.order.size()), nothing);
      found.order.push_back(chosen);
    }
    found.owner[level] = distances.owner;
    const Candidate* next = farthest();
    found.cover[level] = next == nullptr ? 0 : next->distance;
  }
  return found;
}

Triangulation triangulation_of(const Surface& surface, const std::vector<int32_t>& order, int64_t N,
                               const std::vector<int32_t>& owner) {
  Triangulation level;
  level.points.resize(3 * N);
  for (int64_t n = 0; n < N; ++n)
    std::copy(surface.points + 3 * int64_t(order[n]), surface.points + 3 * int64_t(order[n]) + 3,
              level.points.begin() + 3 * n);
  // Start each triangle at its lowest corner: copies are then equal, and mirror images differ in the order of the
  // other corners.
  struct Triangle {
    int32_t a, low, high;
    bool mirrored;
    bool same(const Triangle& other) const { return a == other.a && low == other.low && high == other.high; }
    bool operator<(const Triangle& other) const {
      return std::tie(a, low, high, mirrored) < std::tie(other.a, other.low, other.high, other.mirrored);
    }
  };
  std::vector<Triangle> triangles;
  for (int64_t f = 0; f < surface.F; ++f) {
    if (!(surface.edges[3 * f].length > 0)) continue;
    int32_t a = owner[surface.faces[3 * f]], b = owner[surface.faces[3 * f + 1]], c = owner[surface.faces[3 * f + 2]];
    if (a < 0 || a == b || b == c || c == a) continue;
    while (a > b || a > c) {
      const int32_t first = a;
      a = b, b = c, c = first;
    }
    triangles.push_back({a, std::min(b, c), std::max(b, c), b > c});
  }
  std::sort(triangles.begin(), triangles.end());
  for (size_t i = 0; i < triangles.size();) {
    size_t j = i;
    while (j < triangles.size() && triangles[j].same(triangles[i])) ++j;
    const Triangle& t = triangles[i];
    if (triangles[j - 1].mirrored == t.mirrored)
      level.faces.insert(level.faces.end(), {t.a, t.mirrored ? t.high : t.low, t.mirrored ? t.low : t.high});
    i = j;
  }
  level.twin =
      twins_of(level.faces.data(), static_cast<int64_t>(level.faces.size() / 3), N, [](int64_t) { return true; });
  bool coarser = false;
  for (size_t v = 0; v < owner.size() && !coarser; ++v) coarser = owner[v] >= 0 && order[owner[v]] != int32_t(v);
  if (coarser) flip_edges(level);
  list_around(level, N);
  const auto point = [&](int32_t v) { return level.points.data() + 3 * int64_t(v); };
  for (size_t h = 0; h < level.faces.size(); h += 3)
    level.planes.push_back(plane_of(point(level.faces[h]), point(level.faces[h + 1]), point(level.faces[h + 2])));
  return level;
}

SurfacePoint place_on(const Triangulation& level, const double* point, const int32_t* owners) {
  SurfacePoint best{{owners[0], owners[0], owners[0]}, {1, 0, 0}};
  for (int o = 0; o < 3; ++o) {
    if (o > 0 && (owners[o] == owners[0] || (o == 2 && owners[2] == owners[1]))) continue;
    double least = ENDLESS;
    int32_t triangle = -1;
    for (int32_t i = level.begin[owners[o]]; i < level.begin[owners[o] + 1]; ++i) {
      const Plane& plane = level.planes[level.around[i]];
      double second = 0, third = 0, height = 0;
      for (int x = 0; x < 3; ++x) {
        const double offset = point[x] - plane.origin[x];
        second += offset * plane.second[x], third += offset * plane.third[x], height += offset * plane.normal[x];
      }
      height = std::abs(height);
      const bool within = second >= 0 && third >= 0 && second + third <= 1;
      if (within && height <= PLANE_TOLERANCE * plane.size && height < least) {
        least = height;
        triangle = level.around[i];
        best.weight[0] = 1 - second - third, best.weight[1] = second, best.weight[2] = third;
      }
    }
    if (triangle >= 0) {
      std::copy_n(level.faces.data() + 3 * int64_t(triangle), 3, best.vertex);
      return best;
    }
  }
  double least = ENDLESS;
  int32_t triangle = -1;
  const auto offer = [&](int32_t t) {
    const int32_t* corner = level.faces.data() + 3 * int64_t(t);
    const double* points = level.points.data();
    double weight[3];
    const double miss = nearest_in(point, points + 3 * int64_t(corner[0]), points + 3 * int64_t(corner[1]),
                                   points + 3 * int64_t(corner[2]), weight);
    if (!(miss < least)) return false;
    least = miss;
    triangle = t;
    std::copy_n(corner, 3, best.vertex);
    std::copy_n(weight, 3, best.weight);
    return true;
  };
  for (int o = 0; o < 3; ++o)
    for (int32_t i = level.begin[owners[o]]; i < level.begin[owners[o] + 1]; ++i) offer(level.around[i]);
  // Use all triangles that share the edge or corner on which the nearest point lies, so that the result does not depend
  // on which of them rounding made the nearest.
  for (bool moved = triangle >= 0; moved;) {
    moved = false;
    const int64_t h = 3 * int64_t(triangle);
    const SurfacePoint here = best;
    for (int k = 0; k < 3; ++k) {
      if (here.weight[k] == 1) {
        for (int32_t i = level.begin[here.vertex[k]]; i < level.begin[here.vertex[k] + 1]; ++i)
          moved |= offer(level.around[i]);
      } else if (here.weight[(k + 2) % 3] == 0 && level.twin[h + k] >= 0) {
        moved |= offer(level.twin[h + k] / 3);
      }
    }
  }
  return best;
}

Tree sample_tree_cpu(const Surface& surface, const std::vector<int32_t>& seeds, const std::vector<int64_t>& counts,
                     const double* pole, const std::vector<std::vector<double>>& radii, int64_t A, int threads) {
  const FarthestPoints points = farthest_points(surface, seeds, counts);
  const size_t L = counts.size();
  std::vector<int64_t> size(L);
  for (size_t l = 0; l < L; ++l) size[l] = std::min<int64_t>(counts[l], points.order.size());
  std::vector<Triangulation> levels;
  for (size_t l = 0; l < L; ++l) levels.push_back(triangulation_of(surface, points.order, size[l], points.owner[l]));

  Tree tree;
  tree.found = static_cast<int64_t>(points.order.size());
  tree.cover = points.cover;
  tree.sizes.resize(L);
  tree.faces.resize(L);
  tree.indices.resize(L - 1);
  tree.weights.resize(L - 1);
  std::vector<int32_t> kept(size[L - 1]);  // positions in the order: of the level above, then of this level
  std::iota(kept.begin(), kept.end(), 0);
  tree.sizes[L - 1] = size[L - 1];
  tree.faces[L - 1] = levels[L - 1].faces;
  for (size_t l = L - 1; l-- > 0;) {
    const Triangulation& level = levels[l];
    const int64_t N = static_cast<int64_t>(kept.size()), K = static_cast<int64_t>(radii[l].size());
    std::vector<int32_t> slot(K);
    std::iota(slot.begin(), slot.end(), 0);
    std::stable_sort(slot.begin(), slot.end(), [&](int32_t a, int32_t b) { return radii[l][a] < radii[l][b]; });
    std::vector<double> ascending(K);
    for (int64_t k = 0; k < K; ++k) ascending[k] = radii[l][slot[k]];
    std::vector<int32_t>& indices = tree.indices[l];
    std::vector<uint16_t>& weights = tree.weights[l];
    indices.resize(3 * N * K * A);
    weights.assign(3 * N * K * A, 0);
    parallel_parts(N, PART, threads, [&](int64_t first, int64_t last) {
      for (int64_t n = first; n < last; ++n) {
        const int64_t block = 3 * n * K * A;
        const int32_t row = points.order[kept[n]];
        const double* centre = surface.points + 3 * int64_t(row);
        std::fill(indices.begin() + block, indices.begin() + block + 3 * K * A, kept[n]);
        const int64_t leaving = widest_fan(surface, row);
        if (leaving < 0) continue;
        const double away[3] = {centre[0] - pole[0], centre[1] - pole[1], centre[2] - pole[2]};
        const Fan fan = fan_of(surface.points, surface.faces, surface.edges.data(), leaving, away);
        for (int64_t a = 0; a < A; ++a)
          trace_ray(surface.faces, surface.edges.data(), fan, ray_angle(fan, a, A), ascending.data(),
                    static_cast<int>(K), [&](int k, const SurfacePoint& sample) {
                      double place[3] = {0, 0, 0};
                      int nearest = 0;
                      for (int i = 0; i < 3; ++i) {
                        for (int x = 0; x < 3; ++x)
                          place[x] += sample.weight[i] * surface.points[3 * int64_t(sample.vertex[i]) + x];
                        if (sample.weight[i] > sample.weight[nearest]) nearest = i;
                      }
                      const int32_t* owner = points.owner[l].data();
                      const int32_t owners[3] = {owner[sample.vertex[nearest]], owner[sample.vertex[(nearest + 1) % 3]],
                                                 owner[sample.vertex[(nearest + 2) % 3]]};
                      const SurfacePoint found = place_on(level, place, owners);
                      const int64_t at = block + 3 * (slot[k] * A + a);
                      std::copy(found.vertex, found.vertex + 3, indices.begin() + at);
                      round_weights(found.weight, weights.data() + at);
                    });
      }
    });
    std::vector<char> used(size[l], 0);
    for (size_t i = 0; i < indices.size(); ++i)
      if (weights[i] > 0) used[indices[i]] = 1;
    for (const int32_t place : kept) used[place] = 0;
    for (int32_t place = 0; place < size[l]; ++place)
      if (used[place]) kept.push_back(place);
    std::vector<int32_t> renumbered(size[l], -1);
    for (size_t n = 0; n < kept.size(); ++n) renumbered[kept[n]] = static_cast<int32_t>(n);
    for (size_t i = 0; i < indices.size(); i += 3) {
      int heaviest = 0;
      for (int k = 1; k < 3; ++k)
        if (weights[i + k] > weights[i + heaviest]) heaviest = k;
      const int32_t sure = renumbered[indices[i + heaviest]];
      for (int k = 0; k < 3; ++k) {  // a corner with weight 0 may have been dropped
        const int32_t place = renumbered[indices[i + k]];
        indices[i + k] = place >= 0 ? place : sure;
      }
    }
    tree.sizes[l] = static_cast<int64_t>(kept.size());
    for (size_t h = 0; h < level.faces.size(); h += 3) {
      const int32_t a = renumbered[level.faces[h]], b = renumbered[level.faces[h + 1]],
                    c = renumbered[level.faces[h + 2]];
      if (a >= 0 && b >= 0 && c >= 0) tree.faces[l].insert(tree.faces[l].end(), {a, b, c});
    }
  }
  tree.rows.resize(kept.size());
  for (size_t n = 0; n < kept.size(); ++n) tree.rows[n] = points.order[kept[n]];
  return tree;
}

}  // namespace fer3d
