#include "array.h"
#include "numbers/numbers.h"

#include <string_view>

namespace {

void require_offset(std::string_view text, int64_t begin) {
  if (begin < 0 || begin > static_cast<int64_t>(text.size()))
    throw std::invalid_argument("`begin` should lie in the text");
}

template <typename T>
void bind_block(py::module_& m, const char* name,
                fer3d::Block<T> (*block)(const char*, int64_t, int64_t, bool, int64_t)) {
  m.def(
      name,
      [block](const py::bytes& text, int64_t begin, bool bracket, int64_t wanted) {
        const std::string_view view(text);
        require_offset(view, begin);
        fer3d::Block<T> found;
        {
          py::gil_scoped_release release;
          found = block(view.data(), static_cast<int64_t>(view.size()), begin, bracket, wanted);
        }
        return py::make_tuple(as_array(std::move(found.values)), found.stop);
      },
      py::arg("text"), py::arg("begin"), py::arg("bracket"), py::arg("wanted"));
}

}  // namespace

void bind_numbers(py::module_& m) {
  // BlockError(message, offset): both are in `args`.
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<py::object> block_error;
  block_error.call_once_and_store_result(
      [&] { return py::object(py::exception<fer3d::BlockError>(m, "BlockError", PyExc_ValueError)); });
  py::register_local_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const fer3d::BlockError& e) {
      const py::tuple args = py::make_tuple(e.what(), e.offset);
      PyErr_SetObject(block_error.get_stored().ptr(), args.ptr());
    }
  });

  bind_block<float>(m, "float_block", fer3d::float_block);
  bind_block<double>(m, "double_block", fer3d::double_block);
  bind_block<int32_t>(m, "integer_block", fer3d::integer_block);
  m.def(
      "number_lines",
      [](const py::bytes& text, int64_t begin, int64_t wanted, int comment, const py::bytes& separators) {
        const std::string_view view(text);
        const std::string_view between(separators);
        require_offset(view, begin);
        fer3d::Lines found;
        {
          py::gil_scoped_release release;
          found = fer3d::number_lines(view.data(), static_cast<int64_t>(view.size()), begin, wanted, comment, between);
        }
        return py::make_tuple(as_array(std::move(found.values)), as_array(std::move(found.counts)),
                              as_array(std::move(found.offsets)), found.stop);
      },
      py::arg("text"), py::arg("begin"), py::arg("wanted"), py::arg("comment"), py::arg("separators"));
  m.def(
      "polygon_block",
      [](const py::bytes& text, int64_t begin) {
        const std::string_view view(text);
        require_offset(view, begin);
        fer3d::Polygons found;
        {
          py::gil_scoped_release release;
          found = fer3d::polygon_block(view.data(), static_cast<int64_t>(view.size()), begin);
        }
        const auto F = static_cast<py::ssize_t>(found.polygon.size());
        return py::make_tuple(as_array(std::move(found.faces), {F, 3}), as_array(std::move(found.polygon)),
                              found.largest, found.stop);
      },
      py::arg("text"), py::arg("begin"));
  m.def(
      "split_vertices",
      [](const Array<int32_t>& faces, const Array<int32_t>& uv_faces, int64_t vertices) {
        require_ndim(faces, 2, "faces");
        require_ndim(uv_faces, 2, "uv_faces");
        if (faces.shape(1) != 3 || uv_faces.shape(1) != 3 || faces.shape(0) != uv_faces.shape(0))
          throw std::invalid_argument("`faces` and `uv_faces` should both have shape (F, 3)");
        const auto F = faces.shape(0);
        const int32_t* corner = faces.data();
        const int32_t* uv_corner = uv_faces.data();
        for (py::ssize_t i = 0; i < 3 * F; ++i)
          if (corner[i] < 0 || corner[i] >= vertices || uv_corner[i] < 0)
            throw std::invalid_argument("`faces` should hold rows below `vertices`, `uv_faces` no negative row");
        Array<int32_t> out({F, py::ssize_t{3}});
        fer3d::Split split;
        {
          int32_t* out_data = out.mutable_data();
          py::gil_scoped_release release;
          split = fer3d::split_vertices(corner, uv_corner, F, vertices, out_data);
        }
        return py::make_tuple(out, as_array(std::move(split.vertex_of)), as_array(std::move(split.uv_of)));
      },
      py::arg("faces").noconvert(), py::arg("uv_faces").noconvert(), py::arg("vertices"));
}
