#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "sample_tree.h"

// Distances along the surface from a marching front, for farthest-point sampling.
namespace fer3d {

constexpr double ENDLESS = std::numeric_limits<double>::infinity();

// A binary min-heap of (key, vertex); written out because std::push_heap takes twice as long.
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

// Distance of the apex of a face from a source with the distances `from` and `to` to the start and end of its edge, in
// the plane of the face; infinite if the apex does not see the source through the edge.
inline double through_edge(const Edge& edge, double from, double to) {
  const double squared = edge.length * edge.length;
  const double x = 0.5 + (from * from - to * to) / (2 * squared);  // source in units of the edge; y < 0
  const double depth2 = from * from / squared - x * x;
  if (!(depth2 >= 0)) return ENDLESS;
  const double depth = std::sqrt(depth2), span = depth + edge.across;
  const double crossing = x * edge.across + edge.along * depth;
  if (!(crossing >= 0 && crossing <= span)) return ENDLESS;
  const double run = edge.along - x;
  return edge.length * std::sqrt(run * run + span * span);
}

// Distances from sources that are added one by one; each vertex stores its nearest source.
class Distances {
 public:
  explicit Distances(const Surface& surface)
      : distance(surface.V, ENDLESS),
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
      // The front still uses a vertex that is nearer to another source as a corner, but does not march on from it.
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
        double reach = edges[back].twin < 0 ? key + edges[back].length : ENDLESS;
        if (a_known) reach = std::min(reach, through_edge(out, key, fresh_[a]));
        offer(b, reach);
      }
    }
  }

  void offer(int32_t v, double reach) {
    if (state_[v] < seen_) {
      // Beyond 1.5 times the distance of its owner a vertex cannot help the front: the owner is nearer to all that
      // follow.
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
  std::vector<int32_t> state_;  // seen_: has a distance from it; seen_ + 1: a final one
  int32_t seen_ = 0;
  Heap heap_;
};

}  // namespace fer3d
