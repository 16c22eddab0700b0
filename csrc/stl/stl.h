#pragma once

#include "numbers/numbers.h"

#include <cstdint>
#include <vector>

// Reads .stl files in text.
namespace fer3d {

// The facets of all solids of a text. Keywords are in any case, between blanks and line ends. The rest of the line
// after `solid` and after `endsolid` is a name of any words. Normals are read and left out.
//   corners: (F, 3, 3) coordinates. A loop of more than three corners is a fan from its first.
//   fans:    the number of such loops.
//   solids:  the number of solids.
//   stop:    offset of the first byte after the last `endsolid` and its line that is neither blank nor `solid`; size if
//            there is none.
// A word in the wrong place, a loop of fewer than three corners and an end before `endsolid` throw BlockError.
struct Facets {
  std::vector<double> corners;
  int64_t fans = 0;
  int64_t solids = 0;
  int64_t stop = 0;
};

Facets stl_facets(const char* text, int64_t size);

}  // namespace fer3d
