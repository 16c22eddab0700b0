#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

// Reads blocks of numbers in text files, as common scan formats write them, into arrays.
//
// A block is a run of numbers between separators: spaces, tabs, line ends, commas, in any combination. A `#` starts a
// comment up to the end of its line (VRML). A block ends, in this order of precedence:
//   - after `wanted` numbers (wanted < 0: no limit);
//   - at a `]`, if `bracket` is set; without `bracket` a `]` is an error like any other stray character;
//   - at the end of the text. With `bracket` that is an error, because the block was not closed.
//
//   text, size: the whole file, of arbitrary bytes; not NUL-terminated.
//   begin:      offset of the first byte to read, 0 <= begin <= size.
//   stop:       offset of the byte that ended the block: the `]`, the byte after the last wanted number, or size.
//
// A number is what std::from_chars accepts, with an optional leading `+`. Real numbers are rounded to the nearest T,
// ties to even; numbers too large become +-inf and numbers too small +-0, as with strtod; nan and inf (any case,
// signed) are numbers, and so are `1.#INF`, `-1.#IND`, `1.#QNAN`, which the C runtime of older Windows versions prints.
// An integer outside int32 is an error. Errors throw BlockError with the offset of the offending token. O(bytes) time;
// memory is proportional to the numbers read (each takes at least two bytes of text), never to a count that the file
// states.
namespace fer3d {

struct BlockError : std::runtime_error {
  BlockError(const std::string& message, int64_t offset) : std::runtime_error(message), offset(offset) {}
  int64_t offset;
};

template <typename T>
struct Block {
  std::vector<T> values;
  int64_t stop = 0;
};

Block<float> float_block(const char* text, int64_t size, int64_t begin, bool bracket, int64_t wanted);
Block<double> double_block(const char* text, int64_t size, int64_t begin, bool bracket, int64_t wanted);
Block<int32_t> integer_block(const char* text, int64_t size, int64_t begin, bool bracket, int64_t wanted);

// Numbers as float64, line by line. A line ends with LF, CR LF or CR; lines without a number are skipped.
//   wanted:     the block ends after this many lines with numbers (wanted < 0: at the end of the text).
//   comment:    the character that opens a comment up to the end of its line; -1: none.
//   separators: further characters that stand between numbers as blanks do, such as ','. Several in a row count as one.
//   values:     all numbers of all lines.
//   counts:     (L,) how many of them each line has, at least 1.
//   offsets:    (L,) offset of the first number of each line.
//   stop:       offset of the byte after the last line and its end.
// Numbers and errors are as above.
struct Lines {
  std::vector<double> values;
  std::vector<int32_t> counts;
  std::vector<int64_t> offsets;
  int64_t stop = 0;
};

Lines number_lines(const char* text, int64_t size, int64_t begin, int64_t wanted, int comment,
                   std::string_view separators);

// A VRML polygon list up to its `]`: indices with -1 after each polygon (optional after the last).
//   faces:   (F, 3) triangle fans of the polygons from their first corner: corners 0, k, k + 1 for k = 1, 2, ...
//   polygon: (F,)   the polygon, counted from 0, of each triangle. Two lists with equal `polygon` have the same corner
//                   counts, so that corner k of triangle f is the same corner in both.
//   largest: the largest index, -1 if there is none. Indices are not range-checked, because the points may follow.
// An index below -1 and a polygon of fewer than three corners throw BlockError.
struct Polygons {
  std::vector<int32_t> faces;
  std::vector<int32_t> polygon;
  int32_t largest = -1;
  int64_t stop = 0;
};

Polygons polygon_block(const char* text, int64_t size, int64_t begin);

// Splits vertices: one for each distinct pair (vertex, uv) among the corners, so that uv can be stored per vertex.
//   faces, uv_faces: (F, 3) int32 in [0, V) and in [0, uv count): rows of the points and of the texture coordinates.
//   out:       (F, 3)    rows of the new vertices.
//   vertex_of: (N,)      the old vertex of each new one. The first V are 0 ... V-1, so that an old row keeps its
//                        point; further pairs of a vertex follow in the order of their first corner.
//   uv_of:     (N,)      the uv row of each new vertex; -1 for a vertex that no face uses.
// O(F + V), times the number of uv rows per vertex (1, or 2 to 4 on a seam). The caller has checked the ranges.
struct Split {
  std::vector<int32_t> vertex_of;
  std::vector<int32_t> uv_of;
};

Split split_vertices(const int32_t* faces, const int32_t* uv_faces, int64_t F, int64_t V, int32_t* out);

}  // namespace fer3d
