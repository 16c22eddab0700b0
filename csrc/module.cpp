#include "array.h"

void bind_manifold_conv(py::module_& m);
void bind_manifold_pool(py::module_& m);
void bind_numbers(py::module_& m);
void bind_obj(py::module_& m);
void bind_rows(py::module_& m);
void bind_sample_tree(py::module_& m);
void bind_stl(py::module_& m);

PYBIND11_MODULE(_native, m) {
  m.doc() = "Native kernels of fer3d. Private: call the checked functions of the package in front of them.";
  bind_manifold_conv(m);
  bind_manifold_pool(m);
  bind_numbers(m);
  bind_obj(m);
  bind_rows(m);
  bind_sample_tree(m);
  bind_stl(m);
#ifdef FER3D_CUDA
  m.attr("has_cuda") = true;
#else
  m.attr("has_cuda") = false;
#endif
}
