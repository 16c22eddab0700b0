#include "obj/obj.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "array.h"

namespace {

// (S, 5): keyword, begin, text, stop, faces of each statement.
Array<int64_t> table(const std::vector<fer3d::Statement>& statements) {
  Array<int64_t> out({static_cast<py::ssize_t>(statements.size()), py::ssize_t{5}});
  int64_t* row = out.mutable_data();
  for (const fer3d::Statement& s : statements) {
    const int64_t values[] = {s.keyword, s.begin, s.text, s.stop, s.faces};
    row = std::copy(std::begin(values), std::end(values), row);
  }
  return out;
}

}  // namespace

void bind_obj(py::module_& m) {
  m.def(
      "scan_obj",
      [](const py::bytes& text) {
        const std::string_view view(text);
        fer3d::Obj obj;
        {
          py::gil_scoped_release release;
          obj = fer3d::scan_obj(view.data(), static_cast<int64_t>(view.size()));
        }
        py::list keywords;
        for (const std::string& name : obj.keywords) keywords.append(py::bytes(name));
        const auto N = static_cast<py::ssize_t>(obj.width.size()), T = static_cast<py::ssize_t>(obj.uv.size() / 2);
        return py::make_tuple(as_array(std::move(obj.points), {N, 3}), as_array(std::move(obj.width)),
                              as_array(std::move(obj.more)), as_array(std::move(obj.uv), {T, 2}),
                              as_array(std::move(obj.corners)), as_array(std::move(obj.uv_corners)),
                              as_array(std::move(obj.sizes)), keywords,
                              table(obj.statements));
      },
      py::arg("text"));
}
