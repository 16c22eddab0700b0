#include "array.h"
#include "stl/stl.h"

#include <string_view>

void bind_stl(py::module_& m) {
  m.def(
      "stl_facets",
      [](const py::bytes& text) {
        const std::string_view view(text);
        fer3d::Facets found;
        {
          py::gil_scoped_release release;
          found = fer3d::stl_facets(view.data(), static_cast<int64_t>(view.size()));
        }
        const auto F = static_cast<py::ssize_t>(found.corners.size() / 9);
        return py::make_tuple(as_array(std::move(found.corners), {F, 3, 3}), found.fans, found.solids, found.stop);
      },
      py::arg("text"));
}
