#pragma once

#include "numbers/numbers.h"

#include <cstdint>
#include <vector>

// Reads tables whose rows hold numbers and lists of numbers, as the elements of .ply and of binary .off do.
//
//   columns: what a row holds, in order: a number of type `item`, or, if `count` is not `none`, a list: a number of
//            items of type `count`, then as many items of type `item`.
//   keep:    whether the numbers of a column are returned; the others are skipped.
//   rows:    how many rows are wanted. Fewer in the text is an error.
//   begin:   offset of the first byte to read, 0 <= begin <= size.
//
// Binary rows are packed, little- or big-endian. In text, numbers stand between blanks and line ends (LF, CR LF or CR),
// as numbers.h describes them; the type does not matter there, except that counts are whole numbers. A row of text
// begins at the start of a line, and the next row at the start of another; it may reach over several lines.
//
//   values:  of each kept column, its numbers, row by row, as float64. Integers beyond 2^53 are rounded.
//   counts:  of each kept column that is a list, (rows,) its items; empty for the others.
//   stop:    offset of the byte after the last row. In text: after the last number.
//
// A row that is not there, a negative count, a list beyond the end of the text, and text that is no number throw
// BlockError with their offset; the message names the row. Nothing is allocated for rows or items that the bytes cannot
// hold. O(bytes) time. A table without columns has no bytes.
namespace fer3d {

enum class Scalar : int8_t { none = -1, i8, u8, i16, u16, i32, u32, i64, u64, f32, f64 };

struct Column {
  Scalar count = Scalar::none;
  Scalar item = Scalar::f32;
  bool keep = true;
};

struct Rows {
  std::vector<std::vector<double>> values;
  std::vector<std::vector<int64_t>> counts;
  int64_t stop = 0;
};

enum class Encoding : int8_t { text, little, big };

Rows read_rows(const char* text, int64_t size, int64_t begin, int64_t rows, const std::vector<Column>& columns,
               Encoding encoding);

// Copies a piece of each of `rows` rows of `stride` bytes: `size` bytes from byte `at` on, to `out`, (rows, size) bytes. The
// caller has checked that begin + rows * stride lies in the text and at + size in a row.
void copy_pieces(const char* text, int64_t begin, int64_t rows, int64_t stride, int64_t at, int64_t size, char* out);

// Rows of a table (N, D) whose bits are the same.
//   first: (M,) the first of each kind of row, ascending.
//   kind:  (N,) which of `first` each row is like.
// O(N D). N is at most 2^31 - 1. The caller makes all zeros positive where -0 and 0 should be alike.
struct Kinds {
  std::vector<int32_t> first;
  std::vector<int32_t> kind;
};

template <typename T>  // float, double
Kinds same_rows(const T* table, int64_t N, int64_t D);

}  // namespace fer3d
