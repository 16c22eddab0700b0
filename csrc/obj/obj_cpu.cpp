#include "obj.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "numbers/token.h"

namespace fer3d {
namespace {

constexpr int longest_keyword = 32;
constexpr int32_t none = std::numeric_limits<int32_t>::min();  // no uv at a corner, before -1 takes its place

constexpr bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\v' || c == '\f'; }
constexpr bool ends_line(char c) { return c == '\n' || c == '\r'; }

std::string comma_hint(std::string_view word) {
  const bool comma = word.find(',') != std::string_view::npos;
  return comma ? ": wanted are a decimal point and blanks between numbers, not commas" : "";
}

struct NumberRules {
  static constexpr bool ends(char c) { return is_blank(c) || ends_line(c) || c == '\\'; }
  static std::string hint(std::string_view word) { return comma_hint(word); }
};

struct CornerRules {
  static constexpr bool ends(char c) { return NumberRules::ends(c) || c == '/'; }
  static std::string hint(std::string_view word) { return comma_hint(word); }
};

// Statements whose words are numbers: a backslash at the end of the line continues them.
constexpr std::string_view of_numbers[] = {
    "bmat", "bsp",  "bzp", "c_interp", "cdc",  "cdp",  "con",  "cstype",   "ctech", "curv", "curv2", "d_interp",
    "deg",  "end",  "f",   "fo",       "hole", "l",    "lod",  "p",        "parm",  "res",  "scrv",  "sp",
    "stech", "step", "surf", "trim",    "v",    "vn",   "vp",   "vt",
};
constexpr std::string_view of_names[] = {
    "bevel", "call", "csh", "g", "maplib", "mg", "mtllib", "o", "s", "shadow_obj", "trace_obj", "usemap", "usemtl",
};

template <size_t N>
bool among(const std::string_view (&names)[N], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

class Scanner {
 public:
  Scanner(const char* text, int64_t size) : text_(text), end_(text + size) {}

  Obj scan() {
    const char* p = text_;
    if (std::string_view(p, static_cast<size_t>(end_ - p)).substr(0, 3) == "\xef\xbb\xbf") p += 3;
    while ((p = next_statement(p)) != end_) p = statement(p);
    finish();
    return std::move(obj_);
  }

 private:
  const char* skip_blanks(const char* p) const {
    while (p != end_ && is_blank(*p)) ++p;
    return p;
  }

  const char* line_end(const char* p) const {
    while (p != end_ && !ends_line(*p)) ++p;
    return p;
  }

  // The byte after a line end that begins at p.
  const char* next_line(const char* p) const {
    if (p != end_ && *p == '\r') return p + 1 != end_ && p[1] == '\n' ? p + 2 : p + 1;
    return p == end_ ? p : p + 1;
  }

  // The first byte of the next statement, or the end.
  const char* next_statement(const char* p) {
    while (p != end_) {
      if (*p == '#') {
        if (std::string_view(p, static_cast<size_t>(end_ - p)).substr(0, 5) == "#MRGB") return p;
        p = line_end(p);
      } else if (is_blank(*p) || ends_line(*p)) {
        ++p;
      } else {
        break;
      }
    }
    return p;
  }

  // Whether the backslash at p ends its line.
  bool continues(const char* p) const { return *p == '\\' && (p + 1 == end_ || ends_line(p[1])); }

  const char* word_end(const char* p) const {
    while (p != end_ && !is_blank(*p) && !ends_line(*p) && !continues(p)) ++p;
    return p;
  }

  // Goes to the next word of a statement of numbers: true, with p at it, or false at the end of the statement.
  bool next_word(const char*& p) const {
    while (p != end_) {
      if (is_blank(*p)) {
        ++p;
      } else if (continues(p)) {
        p = next_line(p + 1);
      } else if (ends_line(*p)) {
        return false;
      } else if (*p == '#') {
        p = line_end(p);
        return false;
      } else {
        return true;
      }
    }
    return false;
  }

  // The keyword at p, in lower case. `after` becomes the byte after the word.
  std::string keyword(const char* p, const char*& after) const {
    if (*p == '#') {
      after = p + 5;
      return "#mrgb";
    }
    after = word_end(p);
    std::string name(p, std::min<int64_t>(after - p, longest_keyword));
    for (char& c : name)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return name;
  }

  const char* statement(const char* p) {
    const char* begin = p;
    // The three usual ones, without a search for their name.
    const auto is = [&](int64_t k, char lower) { return end_ - p > k && (p[k] | 0x20) == lower; };
    const auto over = [&](int64_t k) { return end_ - p <= k || NumberRules::ends(p[k]); };
    if (is(0, 'v')) {
      if (over(1)) return vertex(begin, p + 1);
      if (is(1, 't') && over(2)) return coordinates(begin, p + 2);
      if (is(1, 'n') && over(2)) return skip_numbers(p + 2);
    }
    if (is(0, 'f') && (over(1) || (is(1, 'o') && over(2)))) return face(begin, p + (over(1) ? 1 : 2));
    const char* after;
    const std::string name = keyword(p, after);
    return other(begin, after, name);
  }

  [[noreturn]] void wrong(const char* begin, const std::string& message) const {
    throw BlockError(message, begin - text_);
  }

  // Reads the numbers of a statement up to its end: at most `most`; returns how many there are in all.
  template <int most>
  int numbers(const char*& p, double (&values)[most]) {
    int count = 0;
    while (next_word(p)) {
      double value;
      p = token::read_number<NumberRules>(text_, p, end_, value);
      if (count < most) values[count] = value;
      if (count <= most) ++count;
    }
    return count;
  }

  static std::string count_text(int count, int most) {
    return count > most ? "more than " + std::to_string(most) : std::to_string(count);
  }

  const char* vertex(const char* begin, const char* p) {
    double values[7];
    const int count = numbers(p, values);
    if (count != 3 && count != 4 && count != 6 && count != 7)
      wrong(begin, "`v` should have 3, 4, 6 or 7 numbers, it has " + count_text(count, 7));
    obj_.points.insert(obj_.points.end(), values, values + 3);
    obj_.more.insert(obj_.more.end(), values + 3, values + count);
    obj_.width.push_back(static_cast<uint8_t>(count));
    return p;
  }

  const char* coordinates(const char* begin, const char* p) {
    double values[3] = {};
    const int count = numbers(p, values);
    if (count < 1 || count > 3) wrong(begin, "`vt` should have 1, 2 or 3 numbers, it has " + count_text(count, 3));
    obj_.uv.insert(obj_.uv.end(), values, values + 2);
    return p;
  }

  // One index of a corner: rows before it are `seen`. Returns the row, counted from 0.
  const char* index(const char* p, int64_t seen, const char* what, int32_t& row) {
    const char* word = p;
    int32_t number;
    p = token::read_number<CornerRules>(text_, p, end_, number);
    const int64_t place = number < 0 ? seen + number : int64_t(number) - 1;
    if (number == 0) wrong(word, std::string(what) + " are counted from 1, the face names 0");
    if (place < 0)
      wrong(word, "the face names the " + std::to_string(-int64_t(number)) + "th last of its " + what +
                      ", before it come " + std::to_string(seen));
    row = static_cast<int32_t>(place);
    return p;
  }

  const char* corner(const char* p, int64_t points, int64_t uvs) {
    const char* word = p;
    int32_t point, uv = none;
    p = index(p, points, "vertices", point);
    if (p != end_ && *p == '/') {
      ++p;
      if (p != end_ && !CornerRules::ends(*p)) p = index(p, uvs, "texture coordinates", uv);
      if (p != end_ && *p == '/') {
        ++p;
        int32_t normal;
        if (p != end_ && !CornerRules::ends(*p)) p = token::read_number<CornerRules>(text_, p, end_, normal);
      }
    }
    if (p != end_ && *p == '/') wrong(word, "a corner of `f` should be like 1, 1/1, 1//1 or 1/1/1");
    obj_.corners.push_back(point);
    obj_.uv_corners.push_back(uv);
    any_uv_ |= uv != none;
    return p;
  }

  const char* face(const char* begin, const char* p) {
    const int64_t points = static_cast<int64_t>(obj_.width.size()), uvs = static_cast<int64_t>(obj_.uv.size() / 2);
    const size_t first = obj_.corners.size();
    while (next_word(p)) {
      if (*p == '/') wrong(p, "a corner of `f` should be like 1, 1/1, 1//1 or 1/1/1");
      p = corner(p, points, uvs);
    }
    const size_t count = obj_.corners.size() - first;
    if (count < 3) wrong(begin, "`f` should have at least 3 corners, it has " + std::to_string(count));
    obj_.sizes.push_back(static_cast<int32_t>(count));
    obj_.offsets.push_back(begin - text_);
    return p;
  }

  const char* skip_numbers(const char* p) const {
    while (next_word(p)) p = p == word_end(p) ? p + 1 : word_end(p);
    return p;
  }

  // The end of a statement of names. Its next line belongs to it if it ends with a backslash, `joins` is set, and that
  // line does not begin with a keyword.
  const char* skip_names(const char* p, bool joins) const {
    while (true) {
      const char* last = line_end(p);
      if (!joins || last == end_ || last == text_ || last[-1] != '\\') return last;
      p = next_line(last);
      const char* word = skip_blanks(p);
      if (word == end_ || ends_line(*word) || *word == '#') return last;
      const char* after;
      const std::string name = keyword(word, after);
      if (among(of_numbers, name) || among(of_names, name)) return last;
    }
  }

  const char* other(const char* begin, const char* after, const std::string& name) {
    const bool comment = *begin == '#', numbers = among(of_numbers, name);
    const bool joins = name == "g" || name == "mtllib" || name == "maplib" || !(comment || among(of_names, name));
    const char* last = numbers ? skip_numbers(after) : skip_names(after, joins);
    const char* text = std::min(skip_blanks(after), last);
    const char* stop = last;
    while (stop != text && (is_blank(stop[-1]) || ends_line(stop[-1]))) --stop;
    const auto [found, is_new] = rows_.emplace(name, static_cast<int32_t>(obj_.keywords.size()));
    if (is_new) obj_.keywords.push_back(name);
    obj_.statements.push_back(
        {found->second, begin - text_, text - text_, stop - text_, static_cast<int64_t>(obj_.sizes.size())});
    return last;
  }

  // Corners may name vertices that follow, so that their rows are checked last.
  void finish() {
    if (!any_uv_) obj_.uv_corners.clear();
    check(obj_.corners, static_cast<int64_t>(obj_.width.size()), "vertex");
    check(obj_.uv_corners, static_cast<int64_t>(obj_.uv.size() / 2), "texture coordinates");
    std::replace(obj_.uv_corners.begin(), obj_.uv_corners.end(), none, int32_t(-1));
    if (obj_.more.empty()) obj_.more.shrink_to_fit();
  }

  void check(const std::vector<int32_t>& rows, int64_t count, const char* what) const {
    const auto bad = std::find_if(rows.begin(), rows.end(), [&](int32_t row) { return row >= count; });
    if (bad == rows.end()) return;
    int64_t left = bad - rows.begin();
    size_t polygon = 0;
    while (left >= obj_.sizes[polygon]) left -= obj_.sizes[polygon++];
    throw BlockError(std::string("a face names ") + what + " number " + std::to_string(int64_t(*bad) + 1) +
                         ", the file has " + std::to_string(count),
                     obj_.offsets[polygon]);
  }

  const char* text_;
  const char* end_;
  Obj obj_;
  std::unordered_map<std::string, int32_t> rows_;
  bool any_uv_ = false;
};

}  // namespace

Obj scan_obj(const char* text, int64_t size) { return Scanner(text, size).scan(); }

}  // namespace fer3d
