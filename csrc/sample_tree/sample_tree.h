#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#ifdef __CUDACC__
#define FER3D_HOST_DEVICE __host__ __device__
#else
#define FER3D_HOST_DEVICE
#endif

// Sample tree of a triangle mesh: coarser levels of its vertices, and geodesic polar stencils between the levels.
//
// Sizes: V vertices, F faces, N sources, K radii, A rays. Lengths are in the unit of the vertices (mm); all
// arithmetic is float64. Half-edge 3 f + k of face f runs from its corner k to its corner (k + 1) % 3; with faces
// counter-clockwise seen from outside, the face lies on its left.
//
// Straightest geodesics [1]: a ray leaves its vertex at an angle that is measured along the surface, as a fraction of
// the total angle there. It crosses every edge straight, as if the triangles were unfolded into one plane. A ray ends
// where the surface ends: at a boundary, at an edge of more than two faces, at an edge whose two faces have opposite
// windings, and at an unusable face (see below).
//
// A ray through a vertex leaves it with equal angles on its left and right, which is straight too. Two rays that pass
// closely on different sides of a vertex diverge by its angle defect (full turn minus total angle), and rounding would
// choose the side. Therefore a ray that passes within VERTEX_TOLERANCE of its length is led through the vertex and
// turned: by half the defect if it meets the vertex, and by proportionally less the farther off it passes. The end of a
// ray is thus a continuous function of the surface, except where the ray grazes a boundary.
//
// A face with a corner that is not finite, or with two coincident corners, is unusable: it counts as a hole. A sliver
// of height 0 with three distinct corners is unfolded like any other face.
//
//   [1] Polthier, Schmies. Straightest geodesics on polyhedral surfaces. Mathematical Visualization, 1998.
namespace fer3d {

// Fraction of the ray length: 0.0015 mm for 24 mm, far above the rounding of float32 and far below visible detail.
constexpr double VERTEX_TOLERANCE = 1.0 / 16384;
constexpr double ANGLE_TOLERANCE = 1e-4;  // radians: a vertex with a smaller angle defect turns no ray
constexpr double FULL_TURN = 6.283185307179586;
constexpr int64_t MOST_CROSSINGS = int64_t(1) << 20;  // of a ray: stops it even if rounding makes it go in circles

// The data of a half-edge that tracing needs.
struct Edge {
  double along, across;  // the third corner of the face, in units of the edge, from its start, along it and to its left
  double length;         // 0: the face is unusable
  int32_t apex;          // the third corner
  int32_t twin;          // the opposite half-edge, in the adjacent face; -1: the surface ends
};

FER3D_HOST_DEVICE inline int64_t next_edge(int64_t h) { return h % 3 == 2 ? h - 2 : h + 1; }
FER3D_HOST_DEVICE inline int64_t previous_edge(int64_t h) { return h % 3 == 0 ? h + 2 : h - 1; }

// Half-edge h of a mesh, without its twin. All values are 0 for an unusable face.
FER3D_HOST_DEVICE inline Edge edge_of(const double* points, const int32_t* faces, int64_t h) {
  const int64_t ends[3] = {faces[h], faces[next_edge(h)], faces[previous_edge(h)]};
  double side[3][3], squared[3];
  for (int k = 0; k < 3; ++k) {
    squared[k] = 0;
    for (int i = 0; i < 3; ++i) {
      side[k][i] = points[3 * ends[(k + 1) % 3] + i] - points[3 * ends[k] + i];
      squared[k] += side[k][i] * side[k][i];
    }
  }
  Edge edge{0, 0, 0, static_cast<int32_t>(ends[2]), -1};
  const double sum = squared[0] + squared[1] + squared[2];
  if (!(squared[0] > 0 && squared[1] > 0 && squared[2] > 0 && std::isfinite(sum))) return edge;
  const double* a = side[0];
  const double b[3] = {-side[2][0], -side[2][1], -side[2][2]};
  const double x = a[1] * b[2] - a[2] * b[1], y = a[2] * b[0] - a[0] * b[2], z = a[0] * b[1] - a[1] * b[0];
  edge.length = std::sqrt(squared[0]);
  edge.along = (a[0] * b[0] + a[1] * b[1] + a[2] * b[2]) / squared[0];
  edge.across = std::sqrt(x * x + y * y + z * z) / squared[0];
  return edge;
}

// The fan of faces around a vertex, counter-clockwise, for the rays that start there.
struct Fan {
  int64_t first;     // half-edge that leaves the vertex; all faces of the fan follow on its left
  double angle;      // sum over the faces
  double whole;      // a full turn: `angle` for a closed fan, max(2 pi, `angle`) for an open one
  double reference;  // angle of ray 0, counter-clockwise from `first`, along the surface
};

// The half-edge that leaves the same vertex and bounds the next face counter-clockwise; -1 where the fan ends.
FER3D_HOST_DEVICE inline int64_t turn(const Edge* edges, int64_t h) { return edges[previous_edge(h)].twin; }

FER3D_HOST_DEVICE inline double corner_angle(const Edge& edge) { return std::atan2(edge.across, edge.along); }

// The fan of the half-edge `leaving`. Ray 0 follows the 3D vector `direction` as closely as the surface allows: its
// tangent vector has the same scalar products with the edges of the fan as `direction`, in the sense of least squares
// weighted by angle; this is exact in a plane. If `direction` is zero or has no component along the surface, ray 0
// bisects the widest corner; of several, the first from `first`. (Along an edge the ray would meet a vertex, and
// rounding would decide on which side it passes.)
FER3D_HOST_DEVICE inline Fan fan_of(const double* points, const int32_t* faces, const Edge* edges, int64_t leaving,
                                    const double* direction) {
  constexpr double full = FULL_TURN;
  Fan fan{leaving, 0, 0, 0};
  bool closed = false;
  while (true) {  // clockwise to the boundary, or once around
    const int64_t twin = edges[fan.first].twin;
    if (twin < 0) break;
    fan.first = next_edge(twin);
    if (fan.first == leaving) {
      closed = true;
      break;
    }
  }
  for (int64_t h = fan.first;;) {
    fan.angle += corner_angle(edges[h]);
    h = turn(edges, h);
    if (h < 0 || h == fan.first) break;
  }
  fan.whole = closed || fan.angle > full ? fan.angle : full;
  const double scale = full / fan.whole;
  double cc = 0, cs = 0, ss = 0, c = 0, s = 0, size = 0, widest = 0, middle = 0, at = 0;
  for (int i = 0; i < 3; ++i) size += direction[i] * direction[i];
  for (int64_t h = fan.first;;) {
    const double angle = corner_angle(edges[h]);
    const int64_t ends[2] = {faces[next_edge(h)], edges[h].apex};
    const double lengths[2] = {edges[h].length, edges[previous_edge(h)].length};
    for (int end = 0; end < 2; ++end) {
      double product = 0;
      for (int i = 0; i < 3; ++i)
        product += direction[i] * (points[3 * ends[end] + i] - points[3 * int64_t(faces[h]) + i]);
      product /= lengths[end];
      const double turned = at + end * angle;
      const double cosine = std::cos(scale * turned), sine = std::sin(scale * turned);
      cc += angle * cosine * cosine;
      cs += angle * cosine * sine;
      ss += angle * sine * sine;
      c += angle * cosine * product;
      s += angle * sine * product;
    }
    if (angle > widest * (1 + 1e-12)) {
      widest = angle;
      middle = at + 0.5 * angle;
    }
    at += angle;
    h = turn(edges, h);
    if (h < 0 || h == fan.first) break;
  }
  const double determinant = cc * ss - cs * cs;
  const double x = ss * c - cs * s, y = cc * s - cs * c;  // times the determinant
  const double least = 1e-6 * determinant;
  fan.reference = determinant > 1e-12 * (cc + ss) * (cc + ss) && x * x + y * y > least * least * size
                      ? std::atan2(y, x) / scale
                      : middle;
  return fan;
}

// A point of the surface, with the weight `weight[i]` for vertex[i]. Weights are in [0, 1] and sum to 1 within
// rounding.
struct SurfacePoint {
  int32_t vertex[3];
  double weight[3];
};

// Turns counter-clockwise from half-edge `first` to the face into which the direction `angle` >= 0 points. Sets `h` to
// the half-edge of that face that leaves the vertex, and `angle` to the remaining angle. False if there is no such
// face.
FER3D_HOST_DEVICE inline bool face_towards(const Edge* edges, int64_t first, int64_t& h, double& angle) {
  h = first;
  for (double corner = corner_angle(edges[h]); !(angle < corner); corner = corner_angle(edges[h])) {
    angle -= corner;
    const int64_t following = turn(edges, h);
    if (following < 0) return false;  // beyond the boundary
    h = following;
    if (following == first) {  // a full turn up to rounding
      angle = 0;
      return corner_angle(edges[h]) > 0;
    }
  }
  return true;
}

// A vertex that a ray passes closely, and the direction in which the ray leaves it. Lengths are in the plane of the
// unfolded faces, in which the ray is the x axis.
struct Passing {
  double close;      // distance between vertex and ray
  double x;          // position along the ray; infinite: no vertex
  int64_t leaving;   // a half-edge that leaves the vertex
  double direction;  // angle, counter-clockwise from `leaving`

  // Considers the vertex at (at_x, at_y), the start of half-edge h, whose other end is at (end_x, end_y).
  FER3D_HOST_DEVICE void look_at(const Edge* edges, int64_t h, double at_x, double at_y, double end_x, double end_y) {
    const double off = at_y < 0 ? -at_y : at_y;
    if (!(off < close && at_x < x)) return;
    double whole = 0;
    for (int64_t at = h;;) {
      whole += corner_angle(edges[at]);
      at = turn(edges, at);
      if (at < 0) return;  // a boundary vertex has no other side
      if (at == h) break;
    }
    const double lacking = FULL_TURN - whole;
    if (!(std::abs(lacking) > ANGLE_TOLERANCE)) return;
    // The faces that the ray crosses lie around the vertex: to the right of a vertex on the left of the ray, then
    // counter-clockwise from the incoming to the outgoing direction, else clockwise.
    const double bend = 0.5 * lacking * (1 - off / close), side = std::atan2(end_y - at_y, end_x - at_x);
    x = at_x;
    leaving = h;
    direction = at_y > 0 ? (side < 0 ? 0 : FULL_TURN) - side - bend : bend - side;
    while (direction < 0) direction += whole;
    while (direction >= whole) direction -= whole;
  }
};

// Traces the ray that leaves a fan at `angle` (counter-clockwise from fan.first, along the surface, in [0, fan.whole))
// and calls emit(k, point) at the distances radii[k], k = 0, 1, ..., which ascend and are not negative. Returns the
// number of points before the surface ended.
template <typename Emit>
FER3D_HOST_DEVICE inline int trace_ray(const int32_t* faces, const Edge* edges, const Fan& fan, double angle,
                                       const double* radii, int K, Emit&& emit) {
  constexpr double nowhere = 1.7976931348623157e308;
  Passing passing{K > 0 ? VERTEX_TOLERANCE * radii[K - 1] : 0, nowhere, fan.first, angle};
  double walked = 0;  // length up to the last vertex that the ray was led through
  int64_t crossings = 0;
  for (int k = 0;;) {
    // In the plane of the unfolded faces the vertex is the origin and the ray is the positive x axis. The ray leaves
    // each face across a half-edge from `low` (y <= 0) to `high` (y > 0).
    int64_t h;
    if (!face_towards(edges, passing.leaving, h, passing.direction)) return k;
    passing.x = nowhere;
    const double ahead = passing.direction, corner = corner_angle(edges[h]);
    const double to_low = edges[h].length, to_high = edges[previous_edge(h)].length;
    double low_x = to_low * std::cos(ahead), low_y = -to_low * std::sin(ahead);
    double high_x = to_high * std::cos(corner - ahead), high_y = to_high * std::sin(corner - ahead);
    const int32_t source = faces[h];
    h = next_edge(h);
    int32_t low = faces[h], high = faces[next_edge(h)];
    // The ray crosses the half-edge at x = product / rise, which is compared without division.
    double rise = high_y - low_y, product = low_x * high_y - high_x * low_y;
    if (low_x > 0 && low_x * rise <= product) passing.look_at(edges, h, low_x, low_y, high_x, high_y);
    if (high_x > 0 && high_x * rise <= product) passing.look_at(edges, next_edge(h), high_x, high_y, 0, 0);
    for (double radius; k < K && (radius = radii[k] - walked) * rise <= product && radius <= passing.x; ++k) {
      double there = product > 0 ? radius * rise / product : 1;
      there = there < 0 ? 0 : there;
      const double share = -low_y / rise;
      emit(k, SurfacePoint{{source, low, high}, {1 - there, there * (1 - share), there * share}});
    }
    while (k < K && passing.x == nowhere) {
      h = edges[h].twin;
      if (h < 0 || ++crossings > MOST_CROSSINGS) return k;
      const Edge edge = edges[h];  // runs from `high` to `low`
      const double run_x = low_x - high_x, run_y = low_y - high_y;
      const double x = high_x + edge.along * run_x - edge.across * run_y;
      const double y = high_y + edge.along * run_y + edge.across * run_x;
      const bool above = y > 0;
      const double next_low_x = above ? low_x : x, next_low_y = above ? low_y : y;
      const double next_high_x = above ? x : high_x, next_high_y = above ? y : high_y;
      const double next_rise = next_high_y - next_low_y;
      const double next_product = next_low_x * next_high_y - next_high_x * next_low_y;
      if (-low_y < passing.close && low_x * rise > product && low_x * next_rise <= next_product)
        passing.look_at(edges, next_edge(h), low_x, low_y, x, y);
      if (high_y < passing.close && high_x * rise > product && high_x * next_rise <= next_product)
        passing.look_at(edges, h, high_x, high_y, low_x, low_y);
      if (std::abs(y) < passing.close && x * rise > product && x * next_rise <= next_product)
        passing.look_at(edges, previous_edge(h), x, y, high_x, high_y);
      for (double radius; k < K && (radius = radii[k] - walked) * next_rise <= next_product && radius <= passing.x;
           ++k) {
        const double from = product / rise, to = next_product / next_rise;
        double there = to > from ? (radius - from) / (to - from) : 1;
        there = there < 0 ? 0 : there;  // rounding, at a radius equal to the crossing
        const double share = -low_y / rise, next_share = -next_low_y / next_rise;
        const double of_low = (1 - there) * (1 - share) + (above ? there * (1 - next_share) : 0);
        const double of_high = (1 - there) * share + (above ? 0 : there * next_share);
        const double of_apex = there * (above ? next_share : 1 - next_share);
        emit(k, SurfacePoint{{low, high, edge.apex}, {of_low, of_high, of_apex}});
      }
      (above ? high : low) = edge.apex;
      low_x = next_low_x, low_y = next_low_y, high_x = next_high_x, high_y = next_high_y;
      rise = next_rise, product = next_product;
      h = above ? next_edge(h) : previous_edge(h);
    }
    if (k == K || ++crossings > MOST_CROSSINGS) return k;
    walked += passing.x;
  }
}

// The angle at which ray a of A leaves: equal parts of the full turn, counter-clockwise from the reference.
FER3D_HOST_DEVICE inline double ray_angle(const Fan& fan, int64_t a, int64_t A) {
  double angle = fan.reference + fan.whole * (static_cast<double>(a) / static_cast<double>(A));
  if (angle < 0) angle += fan.whole;
  return angle >= fan.whole ? angle - fan.whole : angle;
}

// Writes ray a of A of a source: K samples, at 3 (k A + a) of `vertex` and `weight`. A masked sample is three times the
// source with weights 0.
FER3D_HOST_DEVICE inline void write_ray(const int32_t* faces, const Edge* edges, const Fan& fan, int64_t a, int64_t A,
                                        const double* radii, int64_t K, int32_t* vertex, double* weight) {
  const int64_t first = 3 * a, step = 3 * A;
  const int seen = trace_ray(faces, edges, fan, ray_angle(fan, a, A), radii, static_cast<int>(K),
                             [=](int k, const SurfacePoint& point) {
                               for (int i = 0; i < 3; ++i) {
                                 vertex[first + k * step + i] = point.vertex[i];
                                 weight[first + k * step + i] = point.weight[i];
                               }
                             });
  for (int64_t k = seen; k < K; ++k)
    for (int i = 0; i < 3; ++i) {
      vertex[first + k * step + i] = faces[fan.first];
      weight[first + k * step + i] = 0;
    }
}

// A mesh with tables of its half-edges.
struct Surface {
  const double* points;  // (V, 3), not owned
  const int32_t* faces;  // (F, 3), rows of points; only their range must be checked
  int64_t V, F;
  std::vector<Edge> edges;     // (3 F,)
  std::vector<int32_t> begin;  // (V + 1,) half-edges of usable faces that leave vertex v: begin[v] to begin[v + 1]
  std::vector<int32_t> leaving;
};

// O(F) time and memory.
Surface surface_of(const double* points, const int32_t* faces, int64_t V, int64_t F);

// The half-edge to pass to `fan_of`: one of the fan with the largest angle, as a vertex has several fans if parts of
// the surface touch in it. -1: no usable face has the vertex.
int64_t widest_fan(const Surface& surface, int64_t vertex);

// Samples at K distances along A rays from each of N vertices.
//
//   sources:   (N,)         rows of points.
//   leaving:   (N,)         result of `widest_fan` for each; -1: all its samples are masked.
//   direction: (N, 3)       of ray 0: see `fan_of`. Finite.
//   radii:     (K,)         ascending, positive.
//   vertex:    (N, K, A, 3) the vertices around a sample; three times the source if it is masked.
//   weight:    (N, K, A, 3) their weights; 0 if the sample is masked, because the surface ends before it.
// O(N A crossings), on `threads` threads; the result does not depend on their number.
void geodesic_stencils_cpu(const double* points, const int32_t* faces, const Edge* edges, const int32_t* sources,
                           const int32_t* leaving, const double* direction, const double* radii, int64_t N, int64_t K,
                           int64_t A, int threads, int32_t* vertex, double* weight);

// The same with device pointers, one thread per ray; equal up to the last digits of sine, cosine and arc tangent. One
// launch takes several concatenated meshes, whose rows and half-edges are numbered consecutively.
//
//   twin:  (3 F,) as in Surface. The other edge data are computed from the points, which may have moved since.
//   edges: (3 F,) scratch memory.
// Queued on `stream` (a cudaStream_t); returns without waiting. The caller has checked all rows.
void geodesic_stencils_cuda(const double* points, const int32_t* faces, const int32_t* twin, int64_t F,
                            const int32_t* sources, const int32_t* leaving, const double* direction,
                            const double* radii, int64_t N, int64_t K, int64_t A, Edge* edges, int32_t* vertex,
                            double* weight, void* stream);

// Vertices in farthest-point order: each has the largest distance along the surface from all vertices before it. The
// distance comes from a front that marches from vertex to vertex over the faces. In each face it is the unfolded
// distance to the source through the edge that was reached first, or along that edge if the source is not visible
// through it. (Exact in a plane without obtuse angles.) Of several farthest vertices, the one with the larger distance
// from the seeds comes first, then the first row.
//
//   seeds:  (n,) distinct rows, which come first in the order.
//   counts: numbers of vertices of the levels, descending, the last at least n. If fewer vertices are connected to the
//           seeds, all of them are taken.
struct FarthestPoints {
  std::vector<int32_t> order;               // (counts[0],) or fewer
  std::vector<std::vector<int32_t>> owner;  // one per level, (V,): position of the nearest vertex; -1: none
  std::vector<double> cover;                // one per level: the largest distance of a vertex from its owner
};
FarthestPoints farthest_points(const Surface& surface, const std::vector<int32_t>& seeds,
                               const std::vector<int64_t>& counts);

// Triangles between the vertices of a level: each face of the surface whose corners have three different owners gives
// the triangle of the owners. This is the dual of the geodesic Voronoi cells. Copies of a triangle are dropped, and so
// are two mirrored triangles, which enclose a vertex with only two neighbours. Then edges are flipped while that
// increases the smallest angle of their two triangles. The surface ends at edges of more than two triangles.
struct Plane {                 // of a triangle; not finite if it has no area
  double origin[3];            // corner 0
  double second[3], third[3];  // times p - corner 0 (scalar product): the weights of corners 1 and 2 at p
  double normal[3];            // unit
  double size;                 // square root of twice the area
};
struct Triangulation {
  std::vector<double> points;  // (N, 3)
  std::vector<int32_t> faces;  // (T, 3) positions in the order
  std::vector<Plane> planes;   // (T,)
  std::vector<int32_t> twin;   // (3 T,) -1: none
  std::vector<int32_t> begin;  // (N + 1,) the triangles around each vertex
  std::vector<int32_t> around;
};
Triangulation triangulation_of(const Surface& surface, const std::vector<int32_t>& order, int64_t N,
                               const std::vector<int32_t>& owner);

// Projects a point of the surface to a level. `owners`: those of the corners of its face, the nearest corner first.
//
// The projection lies in the nearest of the triangles around an owner that the point projects into along the normal,
// within PLANE_TOLERANCE of their size. The first owner with such a triangle decides; on a smooth surface all owners
// give the same triangle. Otherwise it is the nearest point of the triangles around all owners, then of their
// neighbours, and so on while the distance decreases. Without triangles it is the first owner.
constexpr double PLANE_TOLERANCE = 0.1;
SurfacePoint place_on(const Triangulation& level, const double* point, const int32_t* owners);

// The tree. Stencils of level l + 1 on level l are traced on the surface itself; `place_on` then expresses each sample
// in the triangles of level l. From the top down, a vertex of level l is kept if it is a vertex of level l + 1, or if a
// stencil of a kept vertex of level l + 1 uses it. The kept vertices of level l are those of level l + 1, in their
// order, then the others in farthest-point order.
//
//   pole:  (3,)  ray 0 of a vertex points away from this point, as closely as the surface allows (`fan_of`).
//   radii: one per transition, the finest first, each (K,) positive, in any order.
struct Tree {
  int64_t found = 0;                        // number of vertices of level 0 before any was dropped
  std::vector<int32_t> rows;                // (N_0,) rows of points, of the kept vertices of level 0
  std::vector<std::vector<int32_t>> faces;  // one per level, (T, 3) positions among the kept
  std::vector<int64_t> sizes;               // number of kept vertices of each level
  std::vector<double> cover;                // see FarthestPoints
  std::vector<std::vector<int32_t>>
      indices;  // one per transition, (N_(l + 1), K, A, 3) positions among the kept of level l
  std::vector<std::vector<uint16_t>> weights;  // same shape, in units of 1 / WEIGHT_UNIT; they sum to 1, or 0 if masked
};
constexpr int WEIGHT_UNIT = 2048;  // every multiple of 1 / 2048 up to 1 is a float16
Tree sample_tree_cpu(const Surface& surface, const std::vector<int32_t>& seeds, const std::vector<int64_t>& counts,
                     const double* pole, const std::vector<std::vector<double>>& radii, int64_t A, int threads);

}  // namespace fer3d
