#include <pybind11/stl.h>

#include <utility>

#include "array.h"
#include "sample_tree/sample_tree.h"

namespace {

// Checks that keep the kernels inside their arrays; fer3d.tree.sample_tree checks the arguments for users.
void require_mesh(const Array<double>& points, const Array<int32_t>& faces) {
  require_ndim(points, 2, "points");
  require_ndim(faces, 2, "faces");
  if (points.shape(1) != 3 || faces.shape(1) != 3)
    throw std::invalid_argument("`points` should have shape (V, 3) and `faces` (F, 3)");
  if (faces.shape(0) > INT32_MAX / 3) throw std::invalid_argument("`faces` should have at most 2^31 / 3 rows");
}

void require_rows(const Array<int32_t>& rows, int64_t count, const char* name) {
  const int32_t* row = rows.data();
  for (py::ssize_t i = 0; i < rows.size(); ++i)
    if (row[i] < 0 || row[i] >= count)
      throw std::invalid_argument(std::string("`") + name + "` should hold rows of `points`");
}

template <typename T>
Array<T> copied(const std::vector<T>& values, std::vector<py::ssize_t> shape) {
  return Array<T>(std::move(shape), values.data());
}

template <typename T>
std::vector<T> vector_of(const Array<T>& values) {
  return std::vector<T>(values.data(), values.data() + values.size());
}

}  // namespace

void bind_sample_tree(py::module_& m) {
  m.def(
      "geodesic_stencils",
      [](const Array<double>& points, const Array<int32_t>& faces, const Array<int32_t>& sources,
         const Array<double>& direction, const Array<double>& radii, int64_t rays, int threads) {
        require_mesh(points, faces);
        require_ndim(sources, 1, "sources");
        require_ndim(radii, 1, "radii");
        require_ndim(direction, 2, "direction");
        const auto V = points.shape(0), F = faces.shape(0), N = sources.shape(0), K = radii.shape(0);
        require_rows(faces, V, "faces");
        require_rows(sources, V, "sources");
        if (direction.shape(0) != N || direction.shape(1) != 3 || rays < 1)
          throw std::invalid_argument("`direction` should have shape (N, 3) and `rays` be positive");
        Array<int32_t> vertex({N, K, py::ssize_t(rays), py::ssize_t(3)});
        Array<double> weight({N, K, py::ssize_t(rays), py::ssize_t(3)});
        {
          const double *p = points.data(), *d = direction.data(), *r = radii.data();
          const int32_t *f = faces.data(), *s = sources.data();
          int32_t* v = vertex.mutable_data();
          double* w = weight.mutable_data();
          py::gil_scoped_release release;
          const fer3d::Surface surface = fer3d::surface_of(p, f, V, F);
          std::vector<int32_t> leaving(N);
          for (py::ssize_t n = 0; n < N; ++n) leaving[n] = static_cast<int32_t>(fer3d::widest_fan(surface, s[n]));
          fer3d::geodesic_stencils_cpu(p, f, surface.edges.data(), s, leaving.data(), d, r, N, K, rays, threads, v, w);
        }
        return py::make_tuple(vertex, weight);
      },
      py::arg("points").noconvert(), py::arg("faces").noconvert(), py::arg("sources").noconvert(),
      py::arg("direction").noconvert(), py::arg("radii").noconvert(), py::arg("rays"), py::arg("threads"));

  // The tables of a mesh that geodesic_stencils_cuda needs besides the points: twin, leaving.
  m.def(
      "tracing_tables",
      [](const Array<double>& points, const Array<int32_t>& faces, const Array<int32_t>& sources) {
        require_mesh(points, faces);
        require_ndim(sources, 1, "sources");
        const auto V = points.shape(0), F = faces.shape(0), N = sources.shape(0);
        require_rows(faces, V, "faces");
        require_rows(sources, V, "sources");
        Array<int32_t> twin(3 * F), leaving(N);
        {
          const double* p = points.data();
          const int32_t *f = faces.data(), *s = sources.data();
          int32_t *t = twin.mutable_data(), *l = leaving.mutable_data();
          py::gil_scoped_release release;
          const fer3d::Surface surface = fer3d::surface_of(p, f, V, F);
          for (py::ssize_t h = 0; h < 3 * F; ++h) t[h] = surface.edges[h].twin;
          for (py::ssize_t n = 0; n < N; ++n) l[n] = static_cast<int32_t>(fer3d::widest_fan(surface, s[n]));
        }
        return py::make_tuple(twin, leaving);
      },
      py::arg("points").noconvert(), py::arg("faces").noconvert(), py::arg("sources").noconvert());

#ifdef FER3D_CUDA
  m.attr("edge_bytes") = sizeof(fer3d::Edge);
  m.def(
      "geodesic_stencils_cuda",
      [](uintptr_t points, uintptr_t faces, uintptr_t twin, int64_t F, uintptr_t sources, uintptr_t leaving,
         uintptr_t direction, uintptr_t radii, int64_t N, int64_t K, int64_t A, uintptr_t edges, uintptr_t vertex,
         uintptr_t weight, uintptr_t stream) {
        fer3d::geodesic_stencils_cuda(
            reinterpret_cast<const double*>(points), reinterpret_cast<const int32_t*>(faces),
            reinterpret_cast<const int32_t*>(twin), F, reinterpret_cast<const int32_t*>(sources),
            reinterpret_cast<const int32_t*>(leaving), reinterpret_cast<const double*>(direction),
            reinterpret_cast<const double*>(radii), N, K, A, reinterpret_cast<fer3d::Edge*>(edges),
            reinterpret_cast<int32_t*>(vertex), reinterpret_cast<double*>(weight), reinterpret_cast<void*>(stream));
      },
      py::arg("points"), py::arg("faces"), py::arg("twin"), py::arg("F"), py::arg("sources"), py::arg("leaving"),
      py::arg("direction"), py::arg("radii"), py::arg("N"), py::arg("K"), py::arg("A"), py::arg("edges"),
      py::arg("vertex"), py::arg("weight"), py::arg("stream"));
#endif

  m.def(
      "farthest_points",
      [](const Array<double>& points, const Array<int32_t>& faces, const Array<int32_t>& seeds,
         const std::vector<int64_t>& counts) {
        require_mesh(points, faces);
        require_ndim(seeds, 1, "seeds");
        const auto V = points.shape(0), F = faces.shape(0);
        require_rows(faces, V, "faces");
        require_rows(seeds, V, "seeds");
        const std::vector<int32_t> first = vector_of(seeds);
        fer3d::FarthestPoints found;
        {
          const double* p = points.data();
          const int32_t* f = faces.data();
          py::gil_scoped_release release;
          found = fer3d::farthest_points(fer3d::surface_of(p, f, V, F), first, counts);
        }
        py::list owners;
        for (const auto& owner : found.owner) owners.append(copied(owner, {V}));
        return py::make_tuple(copied(found.order, {py::ssize_t(found.order.size())}), owners,
                              copied(found.cover, {py::ssize_t(found.cover.size())}));
      },
      py::arg("points").noconvert(), py::arg("faces").noconvert(), py::arg("seeds").noconvert(), py::arg("counts"));

  m.def(
      "sample_tree",
      [](const Array<double>& points, const Array<int32_t>& faces, const Array<int32_t>& seeds,
         const std::vector<int64_t>& counts, const Array<double>& pole, const Array<double>& radii, int64_t rays,
         int threads) {
        require_mesh(points, faces);
        require_ndim(seeds, 1, "seeds");
        require_ndim(pole, 1, "pole");
        require_ndim(radii, 2, "radii");
        const auto V = points.shape(0), F = faces.shape(0), T = radii.shape(0), K = radii.shape(1);
        require_rows(faces, V, "faces");
        require_rows(seeds, V, "seeds");
        if (pole.shape(0) != 3 || rays < 1 || T < 1 || counts.size() != static_cast<size_t>(T) + 1)
          throw std::invalid_argument("`counts` should have one entry more than `radii` has rows, at least two");
        const std::vector<int32_t> first = vector_of(seeds);
        std::vector<std::vector<double>> distances;
        for (py::ssize_t t = 0; t < T; ++t) distances.emplace_back(radii.data() + t * K, radii.data() + (t + 1) * K);
        fer3d::Tree tree;
        {
          const double *p = points.data(), *c = pole.data();
          const int32_t* f = faces.data();
          py::gil_scoped_release release;
          tree = fer3d::sample_tree_cpu(fer3d::surface_of(p, f, V, F), first, counts, c, distances, rays, threads);
        }
        py::list level_faces, indices, weights;
        for (const auto& triangles : tree.faces)
          level_faces.append(copied(triangles, {py::ssize_t(triangles.size() / 3), 3}));
        for (py::ssize_t t = 0; t < T; ++t) {
          const std::vector<py::ssize_t> shape = {py::ssize_t(tree.sizes[t + 1]), K, py::ssize_t(rays), 3};
          indices.append(copied(tree.indices[t], shape));
          weights.append(copied(tree.weights[t], shape));
        }
        return py::make_tuple(tree.found, copied(tree.rows, {py::ssize_t(tree.rows.size())}), tree.sizes, tree.cover,
                              level_faces, indices, weights);
      },
      py::arg("points").noconvert(), py::arg("faces").noconvert(), py::arg("seeds").noconvert(), py::arg("counts"),
      py::arg("pole").noconvert(), py::arg("radii").noconvert(), py::arg("rays"), py::arg("threads"));
}
