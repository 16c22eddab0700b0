#pragma once

#include "array.h"

#include <memory>
#include <utility>
#include <vector>

// An array that owns the memory of the vector, without a copy.
template <typename T>
Array<T> as_array(std::vector<T>&& values, std::vector<py::ssize_t> shape) {
  auto owner = std::make_unique<std::vector<T>>(std::move(values));
  T* data = owner->data();
  py::capsule keep(owner.get(), [](void* p) { delete static_cast<std::vector<T>*>(p); });
  owner.release();
  return Array<T>(std::move(shape), data, keep);
}

template <typename T>
Array<T> as_array(std::vector<T>&& values) {
  const auto size = static_cast<py::ssize_t>(values.size());
  return as_array(std::move(values), {size});
}
