#include "numbers.h"

#include <string_view>

#include "numbers/parse.h"

namespace fer3d {
namespace {

using namespace text;

[[noreturn]] void unclosed(int64_t begin) { throw BlockError("the block that begins here has no closing `]`", begin); }

template <typename T>
Block<T> block(const char* text, int64_t size, int64_t begin, bool bracket, int64_t wanted) {
  const char* end = text + size;
  const char* p = text + begin;
  Block<T> result;
  while (static_cast<int64_t>(result.values.size()) != wanted) {
    p = skip_separators(p, end);
    if (p == end) {
      if (bracket) unclosed(begin);
      break;
    }
    if (bracket && *p == ']') break;
    T value;
    p = read_number(text, p, end, value);
    result.values.push_back(value);
  }
  result.stop = p - text;
  return result;
}

}  // namespace

Block<float> float_block(const char* text, int64_t size, int64_t begin, bool bracket, int64_t wanted) {
  return block<float>(text, size, begin, bracket, wanted);
}

Block<double> double_block(const char* text, int64_t size, int64_t begin, bool bracket, int64_t wanted) {
  return block<double>(text, size, begin, bracket, wanted);
}

Block<int32_t> integer_block(const char* text, int64_t size, int64_t begin, bool bracket, int64_t wanted) {
  return block<int32_t>(text, size, begin, bracket, wanted);
}

Polygons polygon_block(const char* text, int64_t size, int64_t begin) {
  const char* end = text + size;
  const char* p = text + begin;
  const char* opened = p;  // first corner of the current polygon
  Polygons result;
  int32_t number = 0, first = 0, previous = 0;
  int64_t corners = 0;
  const auto close = [&] {
    if (corners < 3)
      throw BlockError("polygon " + std::to_string(number) + " has " + std::to_string(corners) +
                           (corners == 1 ? " corner" : " corners") + ", a face needs at least 3",
                       opened - text);
    corners = 0;
    ++number;
  };
  while (true) {
    p = skip_separators(p, end);
    if (p == end) unclosed(begin);
    if (*p == ']') break;
    const char* token = p;
    int32_t index;
    p = read_number(text, p, end, index);
    if (corners == 0) opened = token;
    if (index == -1) {
      close();
      continue;
    }
    if (index < -1) throw BlockError("index " + std::to_string(index) + " is negative", token - text);
    if (index > result.largest) result.largest = index;
    if (corners == 0) first = index;
    if (corners >= 2) {
      result.faces.insert(result.faces.end(), {first, previous, index});
      result.polygon.push_back(number);
    }
    previous = index;
    ++corners;
  }
  if (corners > 0) close();  // VRML allows the last polygon to lack its -1
  result.stop = p - text;
  return result;
}

Lines number_lines(const char* text, int64_t size, int64_t begin, int64_t wanted, int comment,
                   std::string_view separators) {
  bool blank[256] = {};  // what stands between the numbers of a line
  for (char c : {' ', '\t', '\v', '\f'}) blank[static_cast<unsigned char>(c)] = true;
  for (char c : separators) blank[static_cast<unsigned char>(c)] = true;
  const auto is_blank = [&](char c) { return blank[static_cast<unsigned char>(c)]; };
  const auto is_end = [](char c) { return c == '\n' || c == '\r'; };
  const auto is_comment = [&](char c) { return static_cast<unsigned char>(c) == comment; };
  const char* end = text + size;
  const char* p = text + begin;
  Lines result;
  result.stop = begin;
  int32_t count = 0;
  while (static_cast<int64_t>(result.counts.size()) != wanted) {
    while (p != end && is_blank(*p)) ++p;
    if (p != end && is_comment(*p))
      while (p != end && !is_end(*p)) ++p;
    if (p == end || is_end(*p)) {
      if (p != end) p += (*p == '\r' && p + 1 != end && p[1] == '\n') ? 2 : 1;
      if (count) result.counts.push_back(count);
      count = 0;
      result.stop = p - text;
      if (p == end) break;
      continue;
    }
    if (count == 0) result.offsets.push_back(p - text);
    double value;
    const char* after = read_plain(p, end, value);
    if (!after) {
      const char* stop = p;
      while (stop != end && !is_blank(*stop) && !is_end(*stop) && (comment == '#' || !is_comment(*stop))) ++stop;
      after = read_number(text, p, stop, value);
    }
    if (after != end && !is_blank(*after) && !is_end(*after) && !is_comment(*after))
      fail<double>(text, p, end, "is not");
    result.values.push_back(value);
    ++count;
    p = after;
  }
  return result;
}

Split split_vertices(const int32_t* faces, const int32_t* uv_faces, int64_t F, int64_t V, int32_t* out) {
  Split split;
  split.vertex_of.resize(V);
  split.uv_of.assign(V, -1);
  for (int64_t v = 0; v < V; ++v) split.vertex_of[v] = static_cast<int32_t>(v);
  std::vector<int32_t> next(V, -1);  // further new vertices of an old vertex, as a linked list
  for (int64_t i = 0; i < 3 * F; ++i) {
    int32_t row = faces[i];
    if (split.uv_of[row] < 0) split.uv_of[row] = uv_faces[i];
    while (split.uv_of[row] != uv_faces[i]) {
      if (next[row] < 0) {
        next[row] = static_cast<int32_t>(next.size());
        next.push_back(-1);
        split.vertex_of.push_back(faces[i]);
        split.uv_of.push_back(uv_faces[i]);
      }
      row = next[row];
    }
    out[i] = row;
  }
  return split;
}

}  // namespace fer3d
