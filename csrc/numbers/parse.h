#pragma once

#include <string>
#include <string_view>

#include "numbers/token.h"

// Reads one number of a text in which blanks, commas, brackets and `#` end a word: what the readers of number blocks, of
// rows and of .stl share. Numbers are as numbers.h describes them.
namespace fer3d {
namespace text {

constexpr bool is_separator(char c) {
  return c == ' ' || c == '\n' || c == ',' || c == '\r' || c == '\t' || c == '\v' || c == '\f';
}

struct BlockRules {
  static constexpr bool ends(char c) { return is_separator(c) || c == ']' || c == '#'; }
  static constexpr const char* hint(std::string_view) { return ""; }
};

// Skips separators and comments; returns the first byte of a token, or end.
inline const char* skip_separators(const char* p, const char* end) {
  while (p != end) {
    if (is_separator(*p)) {
      ++p;
    } else if (*p == '#') {
      while (p != end && *p != '\n' && *p != '\r') ++p;
    } else {
      break;
    }
  }
  return p;
}

// The token at p for an error message: printable and short.
inline std::string shown(const char* p, const char* end) { return token::shown<BlockRules>(p, end); }

template <typename T>
[[noreturn]] void fail(const char* text, const char* p, const char* end, const char* what) {
  token::fail<T, BlockRules>(text, p, end, what);
}

// Reads a number of a plain form such as -1.25; nullptr if `read_number` must read it.
template <typename T>
const char* read_plain(const char* p, const char* end, T& value) {
  return token::read_plain<BlockRules>(p, end, value);
}

// Reads one number at p, which is not a separator; returns the byte after it. Throws BlockError.
template <typename T>
const char* read_number(const char* text, const char* p, const char* end, T& value) {
  return token::read_number<BlockRules>(text, p, end, value);
}

}  // namespace text
}  // namespace fer3d
