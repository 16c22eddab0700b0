#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <limits>
#include <mutex>
#include <numeric>
#include <queue>
#include <thread>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "sample_tree.h"

namespace fer3d {
namespace {

constexpr double INFINITE = std::numeric_limits<double>::infinity();

// Calls work(first, last) for parts of [0, count), on `threads` threads. An exception of one is thrown here.
template <typename Work>
void split_over(int threads, int64_t count, Work&& work) {
  constexpr int64_t part = 32;
  threads = static_cast<int>(std::min<int64_t>(threads, (count + part - 1) / part));
  if (threads <= 1) {
    work(int64_t(0), count);
    return;
  }
  std::atomic<int64_t> next{0};
  std::exception_ptr failure;
  std::mutex lock;
  const auto run = [&] {
    try {
      for (int64_t first; (first = next.fetch_add(part)) < count;) work(first, std::min(first + part, count));
    } catch (...) {
      const std::lock_guard<std::mutex> guard(lock);
      failure = std::current_exception();
      next = count;
    }
  };
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) others.emplace_back(run);
  run();
  for (std::thread& other : others) other.join();
  if (failure) std::rethrow_exception(failure);
}

// (3 F,) the half-edge on the other side of each, -1 where there is not exactly one or it runs the same way. `use` says
// which faces count.
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

// A binary heap of (key, vertex), the least first; written out because std::push_heap takes twice as long.
class Heap {
 public:
  bool empty() const { return entries_.empty(); }
  void clear() { entries_.clear(); }

  void push(double key, int32_t vertex) {
    size_t i = entries_.size();
    entries_.push_back({key, vertex});
    while (i > 0) {
      const size_t up = (i - 1) / 2;
      if (!(key < entries_[up].key)) break;
      entries_[i] = entries_[up];
      i = up;
    }
    entries_[i] = {key, vertex};
  }

  std::pair<double, int32_t> pop() {
    const Entry top = entries_.front(), moved = entries_.back();
    entries_.pop_back();
    const size_t size = entries_.size();
    size_t i = 0;
    for (size_t down; (down = 2 * i + 1) < size; i = down) {
      if (down + 1 < size && entries_[down + 1].key < entries_[down].key) ++down;
      if (!(entries_[down].key < moved.key)) break;
      entries_[i] = entries_[down];
    }
    if (size > 0) entries_[i] = moved;
    return {top.key, top.vertex};
  }

 private:
  struct Entry {
    double key;
    int32_t vertex;
  };
  std::vector<Entry> entries_;
};

// Distance of the apex of a face from a source that is `from` and `to` away from start and end of its edge, in the
// plane of the face; infinite if the source is not seen through the edge.
inline double through_edge(const Edge& edge, double from, double to) {
  const double squared = edge.length * edge.length;
  const double x = 0.5 + (from * from - to * to) / (2 * squared);  // the source, in units of the edge; y < 0
  const double depth2 = from * from / squared - x * x;
  if (!(depth2 >= 0)) return INFINITE;
  const double depth = std::sqrt(depth2), span = depth + edge.across;
  const double crossing = x * edge.across + edge.along * depth;
  if (!(crossing >= 0 && crossing <= span)) return INFINITE;
  const double run = edge.along - x;
  return edge.length * std::sqrt(run * run + span * span);
}

// Distances from sources that come one by one, each vertex knowing the nearest of them.
class Distances {
 public:
  explicit Distances(const Surface& surface)
      : distance(surface.V, INFINITE),
        owner(surface.V, -1),
        surface_(surface),
        fresh_(surface.V),
        state_(surface.V, 0) {}

  std::vector<double> distance;
  std::vector<int32_t> owner;

  // Adds a source as number `number`. Calls claimed(v) for each vertex whose distance became smaller.
  template <typename Claimed>
  void add(int32_t source, int32_t number, Claimed&& claimed) {
    seen_ += 2;
    heap_.clear();
    fresh_[source] = 0;
    state_[source] = seen_;
    heap_.push(0, source);
    while (!heap_.empty()) {
      const auto [key, v] = heap_.pop();
      if (state_[v] == seen_ + 1 || key > fresh_[v]) continue;
      state_[v] = seen_ + 1;
      // A vertex that another source keeps is still a corner through which the front is seen, but it goes no further.
      if (!(key < distance[v])) continue;
      distance[v] = key;
      owner[v] = number;
      claimed(v);
      march(v, key);
    }
  }

 private:
  void march(int32_t v, double key) {
    const Edge* edges = surface_.edges.data();
    const int32_t* faces = surface_.faces;
    for (int32_t i = surface_.begin[v]; i < surface_.begin[v + 1]; ++i) {
      const int32_t h = surface_.leaving[i];
      const Edge& out = edges[h];
      const int64_t back = previous_edge(h);
      const int32_t a = faces[next_edge(h)], b = out.apex;
      const bool a_known = state_[a] == seen_ + 1, b_known = state_[b] == seen_ + 1;
      if (!a_known) {
        double reach = key + out.length;
        if (b_known) reach = std::min(reach, through_edge(edges[back], fresh_[b], key));
        offer(a, reach);
      }
      if (!b_known) {
        double reach = edges[back].twin < 0 ? key + edges[back].length : INFINITE;
        if (a_known) reach = std::min(reach, through_edge(out, key, fresh_[a]));
        offer(b, reach);
      }
    }
  }

  void offer(int32_t v, double reach) {
    if (state_[v] < seen_) {
      // Half as far again as its owner, it helps no front to a vertex beyond it: its owner is nearer to that as well.
      if (!(reach < 1.5 * distance[v])) return;
      state_[v] = seen_;
    } else if (!(reach < fresh_[v])) {
      return;
    }
    fresh_[v] = reach;
    heap_.push(reach, v);
  }

  const Surface& surface_;
  std::vector<double> fresh_;   // distance from the newest source
  std::vector<int32_t> state_;  // seen_: has a value from it; seen_ + 1: its final one
  int32_t seen_ = 0;
  Heap heap_;
};

double square(double x) { return x * x; }

double cosine(const double* a, const double* b, const double* c) {  // of the angle at a
  double ab = 0, ac = 0, product = 0;
  for (int i = 0; i < 3; ++i) {
    const double p = b[i] - a[i], q = c[i] - a[i];
    ab += p * p, ac += q * q, product += p * q;
  }
  return product / std::sqrt(ab * ac);
}

double largest_cosine(const double* a, const double* b, const double* c) {  // of the smallest angle
  return std::max({cosine(a, b, c), cosine(b, c, a), cosine(c, a, b)});
}

std::array<double, 3> cross(const double* a, const double* b, const double* c) {  // (b - a) x (c - a)
  const double p[3] = {b[0] - a[0], b[1] - a[1], b[2] - a[2]}, q[3] = {c[0] - a[0], c[1] - a[1], c[2] - a[2]};
  return {p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]};
}

double dot(const std::array<double, 3>& a, const std::array<double, 3>& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

uint64_t pair_key(int32_t a, int32_t b) {
  return uint64_t(static_cast<uint32_t>(std::min(a, b))) << 32 | static_cast<uint32_t>(std::max(a, b));
}

// Flips edges while that makes the smallest angle of the two triangles larger, which must end; never over a fold, and
// never to an edge that there is.
void flip_edges(Triangulation& level) {
  std::vector<int32_t>& faces = level.faces;
  std::vector<int32_t>& twin = level.twin;
  const auto point = [&](int32_t v) { return level.points.data() + 3 * int64_t(v); };
  std::unordered_set<uint64_t> present;
  present.reserve(faces.size());
  for (size_t h = 0; h < faces.size(); ++h) present.insert(pair_key(faces[h], faces[next_edge(h)]));
  // The longest edge first, so that the result does not depend on the order of vertices.
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

void list_around(Triangulation& level, int64_t N) {
  level.begin.assign(N + 1, 0);
  for (const int32_t v : level.faces) ++level.begin[v + 1];
  for (int64_t v = 0; v < N; ++v) level.begin[v + 1] += level.begin[v];
  level.around.resize(level.faces.size());
  std::vector<int32_t> fill(level.begin.begin(), level.begin.end() - 1);
  for (size_t h = 0; h < level.faces.size(); ++h) level.around[fill[level.faces[h]]++] = static_cast<int32_t>(h / 3);
}

// The point of triangle abc nearest to p: its weights, and the squared distance. (Projection; outside, the nearest of
// the points of the edges that face p.)
double nearest_in(const double* p, const double* a, const double* b, const double* c, double* weight) {
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
  double best = INFINITE;
  const auto clamp = [](double x) { return x > 0 ? (x < 1 ? x : 1) : 0; };
  const auto offer = [&](double s, double t) {
    const double miss = distance(s, t);
    if (miss < best) {
      best = miss;
      weight[0] = 1 - s - t, weight[1] = s, weight[2] = t;
    }
  };
  offer(clamp(wu / uu), 0);
  offer(0, clamp(wv / vv));
  const double along = clamp((wv - wu - uv + uu) / (uu - 2 * uv + vv));  // from b to c
  offer(1 - along, along);
  return best;
}

Plane plane_of(const double* a, const double* b, const double* c) {
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

// Weights in units of 1 / WEIGHT_UNIT that sum to it: rounded, and the largest takes what is missing.
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
    if (h < 0) {  // open: what lies clockwise of where it began
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
  split_over(threads, N, [&](int64_t first, int64_t last) {
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

  // Distances only fall, so the top of this heap is the farthest once its entry is up to date.
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
    if (distances.distance[v] > 0 && distances.distance[v] < INFINITE)
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
  // Each triangle from its lowest corner on, so that copies are equal and mirror images differ in the order of the
  // rest.
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
    double least = INFINITE;
    int32_t triangle = -1;
    for (int32_t i = level.begin[owners[o]]; i < level.begin[owners[o] + 1]; ++i) {
      const Plane& plane = level.planes[level.around[i]];
      double second = 0, third = 0, height = 0;
      for (int x = 0; x < 3; ++x) {
        const double offset = point[x] - plane.origin[x];
        second += offset * plane.second[x], third += offset * plane.third[x], height += offset * plane.normal[x];
      }
      height = std::abs(height);
      if (second >= 0 && third >= 0 && second + third <= 1 && height <= NEAR * plane.size && height < least) {
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
  double least = INFINITE;
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
  for (bool moved = triangle >= 0; moved;) {
    moved = false;
    const int64_t h = 3 * int64_t(triangle);
    for (int k = 0; k < 3 && !moved; ++k)  // over an edge that the nearest point lies on
      if (best.weight[(k + 2) % 3] == 0 && level.twin[h + k] >= 0) moved = offer(level.twin[h + k] / 3);
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
  std::vector<int32_t> kept(size[L - 1]);  // of the level above, then of the level at hand: places in the order
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
    split_over(threads, N, [&](int64_t first, int64_t last) {
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
      for (int k = 0; k < 3; ++k) {  // a corner without weight may have been dropped
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
