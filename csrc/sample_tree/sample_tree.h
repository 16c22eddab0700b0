#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#ifdef __CUDACC__
#define FER3D_HOST_DEVICE __host__ __device__
#else
#define FER3D_HOST_DEVICE
#endif

// A triangle mesh, coarser levels of its vertices, and geodesic polar stencils from one level to the next.
//
// Sizes: V vertices, F faces, N sources, K radii, A rays. Lengths are in the unit of the vertices (mm), all
// arithmetic is float64. Half-edge 3 f + k of face f runs from its corner k to its corner (k + 1) % 3; with faces
// counter-clockwise seen from outside, the rest of the face lies on its left.
//
// Straightest geodesics [1]: a ray leaves its vertex at an angle measured along the surface, as a share of the angle
// there, and goes straight on over every edge, as if the triangles that it meets were unfolded into one plane. Where
// the surface ends, the ray ends: at a boundary, at an edge of more than two faces, at one whose two faces are wound
// against each other, and at a face that has no use (below).
//
// A ray that meets a vertex leaves it with as much angle on its left as on its right, which is straight too. Two rays
// that pass a vertex closely on either side would part there by the angle that it lacks to a full turn, and rounding
// would choose the side. So one that passes by less than VERTEX_TOLERANCE of its length is led through the vertex, and
// turned: by half the lacking angle if it meets it, and by less in proportion as it passes farther off. Where a ray
// leads then changes without jumps as the surface does, but where it grazes a boundary.
//
// Faces with a corner that is not finite, or with two corners in one place, are of no use: they count as holes. A
// sliver without height, but with three corners, is unfolded like any other face.
//
//   [1] Polthier, Schmies. Straightest geodesics on polyhedral surfaces. Mathematical Visualization, 1998.
namespace fer3d {

// of 24 mm 0.0015 mm: far above the rounding of float32, far below what is seen
constexpr double VERTEX_TOLERANCE = 1.0 / 16384;
constexpr double ANGLE_TOLERANCE = 1e-4;  // radians: a vertex that lacks less turns no ray
constexpr double FULL_TURN = 6.283185307179586;
constexpr int64_t MOST_CROSSINGS = int64_t(1) << 20;  // of a ray: an end even where rounding goes in circles

// What a ray needs to know of a half-edge.
struct Edge {
  double along, across;  // the third corner of the face, in units of the edge, from its start, along it and to its left
  double length;         // 0: the face is of no use
  int32_t apex;          // the third corner
  int32_t twin;          // the half-edge of the face beyond, which runs the other way; -1: the surface ends
};

FER3D_HOST_DEVICE inline int64_t next_edge(int64_t h) { return h % 3 == 2 ? h - 2 : h + 1; }
FER3D_HOST_DEVICE inline int64_t previous_edge(int64_t h) { return h % 3 == 0 ? h + 2 : h - 1; }

// Half-edge h of a mesh but for its twin. length = 0, and all else 0, for a face of no use.
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

// The faces about a vertex, counter-clockwise, as a ray that starts there sees them.
struct Fan {
  int64_t first;     // half-edge that leaves the vertex, with all faces of the fan to its left, one after the other
  double angle;      // of all faces together
  double whole;      // what a full turn is: `angle` of a closed fan; of an open one 2 pi, or `angle` if that is more
  double reference;  // angle of ray 0, counter-clockwise from `first`, along the surface
};

// The half-edge that leaves the same vertex and bounds the next face counter-clockwise; -1 where the fan ends.
FER3D_HOST_DEVICE inline int64_t turn(const Edge* edges, int64_t h) { return edges[previous_edge(h)].twin; }

FER3D_HOST_DEVICE inline double corner_angle(const Edge& edge) { return std::atan2(edge.across, edge.along); }

// The fan of the half-edge `leaving`, with ray 0 in the direction of the 3D vector `direction` as well as the surface
// allows: the tangent vector whose scalar products with the edges of the fan are, in least squares weighted by angle,
// those of `direction`; exact in a plane. If `direction` has no part along the surface (or is zero), ray 0 halves the
// widest corner, the first one from `first` of several. (Along an edge it would meet a vertex, and rounding would
// decide on which side to pass.)
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

// A point of the surface: the share `weight[i]` of vertex[i]. Weights are in [0, 1] and sum to 1 within rounding.
struct SurfacePoint {
  int32_t vertex[3];
  double weight[3];
};

// Turns from half-edge `first` on, counter-clockwise, to the face that the direction `angle` >= 0 points into: `h` is
// its half-edge that leaves the vertex, and `angle` what is left from there. False where there is none.
FER3D_HOST_DEVICE inline bool face_towards(const Edge* edges, int64_t first, int64_t& h, double& angle) {
  h = first;
  for (double corner = corner_angle(edges[h]); !(angle < corner); corner = corner_angle(edges[h])) {
    angle -= corner;
    const int64_t following = turn(edges, h);
    if (following < 0) return false;  // into the open
    h = following;
    if (following == first) {  // all but a rounding of a full turn
      angle = 0;
      return corner_angle(edges[h]) > 0;
    }
  }
  return true;
}

// A vertex that a ray passes closely, and the way on from there. Lengths are in the plane of the unfolded faces, with
// the ray on the x axis.
struct Passing {
  double close;      // how closely
  double x;          // where, in the face at hand; infinite: no vertex
  int64_t leaving;   // a half-edge that leaves the vertex
  double direction;  // counter-clockwise from it

  // Looks at the vertex at (at_x, at_y), the start of half-edge h, whose other end is at (end_x, end_y).
  FER3D_HOST_DEVICE void look_at(const Edge* edges, int64_t h, double at_x, double at_y, double end_x, double end_y) {
    const double off = at_y < 0 ? -at_y : at_y;
    if (!(off < close && at_x < x)) return;
    double whole = 0;
    for (int64_t at = h;;) {
      whole += corner_angle(edges[at]);
      at = turn(edges, at);
      if (at < 0) return;  // at a boundary there is no other side
      if (at == h) break;
    }
    const double lacking = FULL_TURN - whole;
    if (!(std::abs(lacking) > ANGLE_TOLERANCE)) return;
    // The faces that the ray meets lie about the vertex from `back`, where it comes from, to where it goes on: on the
    // right of a vertex that it has on its left, counter-clockwise, and else clockwise.
    const double bend = 0.5 * lacking * (1 - off / close), side = std::atan2(end_y - at_y, end_x - at_x);
    x = at_x;
    leaving = h;
    direction = at_y > 0 ? (side < 0 ? 0 : FULL_TURN) - side - bend : bend - side;
    while (direction < 0) direction += whole;
    while (direction >= whole) direction -= whole;
  }
};

// Follows the ray that leaves a fan at `angle` (counter-clockwise from fan.first, along the surface, in [0, fan.whole))
// and calls emit(k, point) at the distances radii[k], k = 0, 1, ..., which ascend and are not negative. Returns how
// many there were before the surface ended.
template <typename Emit>
FER3D_HOST_DEVICE inline int trace_ray(const int32_t* faces, const Edge* edges, const Fan& fan, double angle,
                                       const double* radii, int K, Emit&& emit) {
  constexpr double nowhere = 1.7976931348623157e308;
  Passing passing{K > 0 ? VERTEX_TOLERANCE * radii[K - 1] : 0, nowhere, fan.first, angle};
  double walked = 0;  // to the last vertex that the ray was led through
  int64_t crossings = 0;
  for (int k = 0;;) {
    // The plane of the unfolded faces: the vertex is the origin, the ray the positive x axis. The ray leaves each face
    // over a half-edge from `low` (y <= 0) to `high` (y > 0).
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
    // Where the ray crosses the half-edge: at x = product / rise, which is compared without the division.
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
        there = there < 0 ? 0 : there;  // rounding, at a radius that is the crossing itself
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

// The angle at which ray a of A leaves: counter-clockwise in equal parts of the full turn, from the reference.
FER3D_HOST_DEVICE inline double ray_angle(const Fan& fan, int64_t a, int64_t A) {
  double angle = fan.reference + fan.whole * (static_cast<double>(a) / static_cast<double>(A));
  if (angle < 0) angle += fan.whole;
  return angle >= fan.whole ? angle - fan.whole : angle;
}

// Writes ray a of A of a source: K samples, at 3 (k A + a) of `vertex` and `weight`. A masked one: the source thrice,
// with three zeros.
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

// A mesh with the tables of its edges and corners.
struct Surface {
  const double* points;  // (V, 3), not owned, as is
  const int32_t* faces;  // (F, 3), rows of points; no other check is needed than their range
  int64_t V, F;
  std::vector<Edge> edges;     // (3 F,)
  std::vector<int32_t> begin;  // (V + 1,) the half-edges that leave vertex v, of faces of use: begin[v] to begin[v + 1]
  std::vector<int32_t> leaving;
};

// O(F) time and memory.
Surface surface_of(const double* points, const int32_t* faces, int64_t V, int64_t F);

// The half-edge to give to `fan_of`: of the fans of the vertex (it has several where two parts of the surface touch in
// it) one of the fan with the largest angle. -1: no face of use has the vertex.
int64_t widest_fan(const Surface& surface, int64_t vertex);

// Samples at K distances along A rays from each of N vertices.
//
//   sources:   (N,)         rows of points.
//   leaving:   (N,)         what `widest_fan` says of each; -1: all its samples are masked.
//   direction: (N, 3)       of ray 0: see `fan_of`. Finite.
//   radii:     (K,)         ascending, positive.
//   vertex:    (N, K, A, 3) the vertices that a sample is between; the source itself, thrice, where it is masked.
//   weight:    (N, K, A, 3) theirs; three zeros where the sample is masked, as the surface ends before it.
// O(N A crossings), the work split over `threads` threads; the result does not depend on their number.
void geodesic_stencils_cpu(const double* points, const int32_t* faces, const Edge* edges, const int32_t* sources,
                           const int32_t* leaving, const double* direction, const double* radii, int64_t N, int64_t K,
                           int64_t A, int threads, int32_t* vertex, double* weight);

// The same with device pointers, one thread a ray; equal but for the last digits of sine, cosine and arc tangent.
// Several meshes are one launch: one after the other, with the rows and half-edges of each counted on from those
// before.
//
//   twin:  (3 F,) as of a Surface. The rest of the edges is made of the points, which may have moved since.
//   edges: (3 F,) scratch memory.
// Queued on `stream` (a cudaStream_t), returns without waiting. The caller has checked all rows.
void geodesic_stencils_cuda(const double* points, const int32_t* faces, const int32_t* twin, int64_t F,
                            const int32_t* sources, const int32_t* leaving, const double* direction,
                            const double* radii, int64_t N, int64_t K, int64_t A, Edge* edges, int32_t* vertex,
                            double* weight, void* stream);

// Vertices in farthest-point order: each is the one with the largest distance along the surface from all before it.
// The distance is that of a front that marches from vertex to vertex over the faces: in each face it is the distance to
// the source as seen through the edge that was reached first, unfolded; along the edge where the source is not seen
// through it. (Exact in a plane where no angle is obtuse.) Of several vertices with the largest distance that with the
// larger distance from the seeds, then the first row.
//
//   seeds:  (n,) distinct rows, the first of the order.
//   counts: how many vertices the levels have, descending, the last at least n. A count beyond what edges join to the
//           seeds means all of those.
struct FarthestPoints {
  std::vector<int32_t> order;               // (counts[0],) or fewer
  std::vector<std::vector<int32_t>> owner;  // one per level, (V,): the nearest vertex, as place in the order; -1: none
  std::vector<double> cover;                // one per level: the largest distance of a vertex from its owner
};
FarthestPoints farthest_points(const Surface& surface, const std::vector<int32_t>& seeds,
                               const std::vector<int64_t>& counts);

// Triangles between the vertices of a level: the faces of the surface whose corners have three different owners, each
// moved to its owners. This is the dual of the Voronoi cells along the surface. Copies of a triangle are dropped, and
// so are two that are each other's mirror image, which enclose a vertex with only two neighbours. Then edges are
// flipped while that makes the smallest angle of their two triangles larger. Edges of more than two triangles end the
// surface.
struct Plane {                 // of a triangle; not finite where it has no area
  double origin[3];            // corner 0
  double second[3], third[3];  // weight of corners 1 and 2 at a point: the scalar product with its offset from corner 0
  double normal[3];            // unit
  double size;                 // root of twice the area
};
struct Triangulation {
  std::vector<double> points;  // (N, 3)
  std::vector<int32_t> faces;  // (T, 3) places in the order
  std::vector<Plane> planes;   // (T,)
  std::vector<int32_t> twin;   // (3 T,) -1: none
  std::vector<int32_t> begin;  // (N + 1,) the triangles about each vertex
  std::vector<int32_t> around;
};
Triangulation triangulation_of(const Surface& surface, const std::vector<int32_t>& order, int64_t N,
                               const std::vector<int32_t>& owner);

// Where a point of the surface is on a level. `owners`: those of the corners of its face, the nearest corner first.
//
// In the nearest of those triangles about an owner that have the point straight above or below them, within
// PLANE_TOLERANCE of their size: the first owner that has one decides, and on a smooth surface all that have one have
// the same. Failing that, the nearest point of the triangles about all owners, then of their neighbours, and so on
// while that comes nearer. Without triangles about them: the first owner.
constexpr double PLANE_TOLERANCE = 0.1;
SurfacePoint place_on(const Triangulation& level, const double* point, const int32_t* owners);

// The tree. Stencils of level l + 1 on level l are traced on the surface itself, and each sample is then expressed in
// the triangles of level l: `place_on`. From the top down, a vertex of
// level l is kept if it is a vertex of level l + 1 or a stencil of a kept vertex of level l + 1 has it.
// The kept vertices of level l are those of level l + 1, in their order, then the others in farthest-point order.
//
//   pole:  (3,)  ray 0 of a vertex points away from here, as well as the surface allows (`fan_of`).
//   radii: one per transition, the finest first, each (K,) positive, in any order.
struct Tree {
  int64_t found = 0;                        // vertices of level 0 before any was dropped
  std::vector<int32_t> rows;                // (N_0,) rows of points, of the kept vertices of level 0
  std::vector<std::vector<int32_t>> faces;  // one per level, (T, 3) places among the kept
  std::vector<int64_t> sizes;               // kept vertices of each level
  std::vector<double> cover;                // see FarthestPoints
  std::vector<std::vector<int32_t>>
      indices;  // one per transition, (N_(l + 1), K, A, 3) places among the kept of level l
  std::vector<std::vector<uint16_t>> weights;  // same shape, in units of 1 / WEIGHT_UNIT, which they sum to; 0: masked
};
constexpr int WEIGHT_UNIT = 2048;  // every multiple of 1 / 2048 up to 1 is a float16
Tree sample_tree_cpu(const Surface& surface, const std::vector<int32_t>& seeds, const std::vector<int64_t>& counts,
                     const double* pole, const std::vector<std::vector<double>>& radii, int64_t A, int threads);

}  // namespace fer3d
