#include "array.h"
#include "rows/rows.h"

#include <limits>
#include <string_view>
#include <tuple>

#include <pybind11/stl.h>

namespace {

fer3d::Scalar as_scalar(int code, bool none) {
  if (code < (none ? -1 : 0) || code > static_cast<int>(fer3d::Scalar::f64))
    throw std::invalid_argument("a column should have a known type");
  return static_cast<fer3d::Scalar>(code);
}

template <typename T>
py::tuple same_rows(const Array<T>& table) {
  require_ndim(table, 2, "table");
  if (table.shape(0) > std::numeric_limits<int32_t>::max()) throw std::invalid_argument("`table` has too many rows");
  const T* data = table.data();
  const int64_t N = table.shape(0), D = table.shape(1);
  fer3d::Kinds found;
  {
    py::gil_scoped_release release;
    found = fer3d::same_rows(data, N, D);
  }
  return py::make_tuple(as_array(std::move(found.first)), as_array(std::move(found.kind)));
}

}  // namespace

void bind_rows(py::module_& m) {
  m.def(
      "read_rows",
      [](const py::bytes& text, int64_t begin, int64_t rows, const std::vector<std::tuple<int, int, bool>>& columns,
         int encoding) {
        const std::string_view view(text);
        const auto size = static_cast<int64_t>(view.size());
        if (begin < 0 || begin > size || rows < 0) throw std::invalid_argument("`begin` should lie in the text");
        if (encoding < 0 || encoding > 2) throw std::invalid_argument("`encoding` should be 0, 1 or 2");
        std::vector<fer3d::Column> wanted;
        for (const auto& [count, item, keep] : columns)
          wanted.push_back({as_scalar(count, true), as_scalar(item, false), keep});
        fer3d::Rows found;
        {
          py::gil_scoped_release release;
          found = fer3d::read_rows(view.data(), size, begin, rows, wanted, static_cast<fer3d::Encoding>(encoding));
        }
        py::list values, counts;
        for (auto& column : found.values) values.append(as_array(std::move(column)));
        for (auto& column : found.counts) counts.append(as_array(std::move(column)));
        return py::make_tuple(values, counts, found.stop);
      },
      py::arg("text"), py::arg("begin"), py::arg("rows"), py::arg("columns"), py::arg("encoding"));
  m.def(
      "copy_pieces",
      [](const py::bytes& text, int64_t begin, int64_t rows, int64_t stride, int64_t at, int64_t size) {
        const std::string_view view(text);
        const auto length = static_cast<int64_t>(view.size());
        if (begin < 0 || begin > length || rows < 0 || stride < 1 || rows > (length - begin) / stride)
          throw std::invalid_argument("the rows should lie in the text");
        if (at < 0 || size < 0 || at > stride || size > stride - at)
          throw std::invalid_argument("the piece should lie in the row");
        Array<uint8_t> out({rows * size});
        char* data = reinterpret_cast<char*>(out.mutable_data());
        {
          py::gil_scoped_release release;
          fer3d::copy_pieces(view.data(), begin, rows, stride, at, size, data);
        }
        return out;
      },
      py::arg("text"), py::arg("begin"), py::arg("rows"), py::arg("stride"), py::arg("at"), py::arg("size"));
  m.def("same_rows", same_rows<float>, py::arg("table").noconvert());
  m.def("same_rows", same_rows<double>, py::arg("table").noconvert());
}
