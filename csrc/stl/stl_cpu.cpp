#include "stl/stl.h"

#include "numbers/parse.h"

#include <cstring>
#include <string>

namespace fer3d {
namespace {

class Reader {
 public:
  Reader(const char* text, int64_t size) : text_(text), p_(text), end_(text + size) {}

  Facets facets() {
    Facets result;
    while (next_is("solid")) {
      end_line();
      ++result.solids;
      while (!next_is("endsolid")) facet(result);
      end_line();
    }
    if (!result.solids) wrong("solid");
    skip();
    result.stop = p_ - text_;
    return result;
  }

 private:
  void skip() {
    while (p_ != end_ && text::is_separator(*p_) && *p_ != ',') ++p_;
  }

  static bool is_line_end(char c) { return c == '\n' || c == '\r'; }

  void end_line() {
    while (p_ != end_ && !is_line_end(*p_)) ++p_;
  }

  // Takes the next word if it is `word`, in any case.
  bool next_is(const char* word) {
    skip();
    const char* q = p_;
    for (; *word; ++word, ++q)
      if (q == end_ || (*q | 0x20) != *word) return false;
    if (q != end_ && !(text::is_separator(*q) && *q != ',')) return false;
    p_ = q;
    return true;
  }

  [[noreturn]] void wrong(const char* wanted) {
    skip();
    if (p_ == end_)
      throw BlockError(std::string("`") + wanted + "` was wanted, the file breaks off before `endsolid`", p_ - text_);
    throw BlockError(std::string("`") + wanted + "` was wanted, found `" + text::shown(p_, end_) + "`", p_ - text_);
  }

  void want(const char* word) {
    if (!next_is(word)) wrong(word);
  }

  double number() {
    skip();
    if (p_ == end_) wrong("a number");
    double value;
    const char* after = text::read_number(text_, p_, end_, value);
    if (after != end_ && !(text::is_separator(*after) && *after != ',')) text::fail<double>(text_, p_, end_, "is not");
    p_ = after;
    return value;
  }

  void facet(Facets& result) {
    if (!next_is("facet")) wrong("facet` or `endsolid");
    want("normal");
    for (int k = 0; k < 3; ++k) number();
    want("outer");
    want("loop");
    const char* loop = p_;
    double first[3], previous[3], corner[3];
    int64_t corners = 0;
    while (!next_is("endloop")) {
      if (!next_is("vertex")) wrong("vertex` or `endloop");
      for (double& x : corner) x = number();
      if (corners == 0) std::memcpy(first, corner, sizeof corner);
      if (corners >= 2)
        for (const double* point : {first, previous, corner})
          result.corners.insert(result.corners.end(), point, point + 3);
      std::memcpy(previous, corner, sizeof corner);
      ++corners;
    }
    if (corners < 3)
      throw BlockError("a facet has " + std::to_string(corners) + " corners, wanted 3", loop - text_);
    if (corners > 3) ++result.fans;
    want("endfacet");
  }

  const char *text_, *p_, *end_;
};

}  // namespace

Facets stl_facets(const char* text, int64_t size) { return Reader(text, size).facets(); }

}  // namespace fer3d
