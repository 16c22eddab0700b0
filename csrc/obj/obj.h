#pragma once

#include <cstdint>
#include <string>
#include <vector>

// Goes once over the text of a Wavefront .obj file and sorts its statements.
//
// A statement is a line: a keyword, in upper or lower case, and words between blanks (spaces, tabs, form feeds). Lines
// end with LF, CR LF or CR. A word that begins with `#` begins a comment, which reaches to the end of the line.
//
// A backslash before the end of a line joins the next line to it
//   - in statements of numbers (v, vt, vn, f, p, l, curv, ...);
//   - in g, mtllib, maplib and in unknown statements if the next line does not begin with a keyword of the standard,
//     so that the file name `C:\scans\` at the end of a line does not swallow a vertex;
//   - never in comments and in other statements of names.
//
//   points:     (N, 3)  the first three numbers of each `v`.
//   width:      (N,)    how many numbers it has: 3, 4, 6 or 7; others throw.
//   more:       its numbers after the third, of all vertices in a row; empty if each has 3.
//   uv:         (T, 2)  the first two numbers of each `vt`, which has 1 (then v is 0), 2 or 3; others throw.
//   corners:    (C,)    rows in `points` of the corners of all `f` (and `fo`), in a row, counted from 0 and in [0, N).
//   uv_corners: (C,)    rows in `uv`, in [0, T), -1 where a corner has none. Empty if no corner has one.
//   sizes:      (P,)    the number of corners of each `f`, at least 3.
//   offsets:    (P,)    the byte offset of each `f`.
//   keywords:   the keywords of all other statements in lower case, each once, in order of their first statement; only
//               the first 32 bytes. Comments are no statements, except `#MRGB`, which holds colours.
//   statements: one for each other statement but `vn`, in order.
//     keyword:  row in `keywords`.
//     begin:    the byte offset of the keyword.
//     text, stop: byte offsets of what follows the keyword: without blanks around it, with comments.
//     faces:    how many `f` come before it.
//
// A negative index counts backwards from the last `v` or `vt` before its line. A positive one may also name a `v` or
// `vt` that follows. Normals (the third index of a corner) must be integers and are otherwise ignored.
// Numbers are those of numbers/numbers.h, without separators but blanks. Errors throw BlockError with the offset of the
// offending word. O(bytes) time and memory: each entry above takes at least one byte of text.
namespace fer3d {

struct Statement {
  int32_t keyword;
  int64_t begin, text, stop, faces;
};

struct Obj {
  std::vector<double> points, more, uv;
  std::vector<uint8_t> width;
  std::vector<int32_t> corners, uv_corners, sizes;
  std::vector<int64_t> offsets;
  std::vector<std::string> keywords;
  std::vector<Statement> statements;
};

Obj scan_obj(const char* text, int64_t size);

}  // namespace fer3d
