#pragma once

#include "numbers/numbers.h"

#include <charconv>
#include <clocale>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>

#if __has_include(<xlocale.h>)
#include <xlocale.h>
#endif

// Reads one number of a text file. The formats differ in what ends a number, which a `Rules` says:
//   static bool ends(char c)    whether c ends a number or any other word: a blank, a comma, ...;
//   static const char* hint(std::string_view word)    what to add to the message that `word` is no number.
// What a number is, is in numbers.h.
namespace fer3d::token {

// std::from_chars, with a replacement for real numbers if the library (such as Apple's) has none. The replacement never
// reports a number out of range, as `read_number` returns infinity or zero for it anyway.
#ifdef __cpp_lib_to_chars
using std::from_chars;
#else
inline std::from_chars_result from_chars(const char* p, const char* end, int32_t& value) {
  return std::from_chars(p, end, value);
}
inline std::from_chars_result from_chars(const char* p, const char* end, int64_t& value) {
  return std::from_chars(p, end, value);
}

inline void convert(const char* token, char** last, locale_t plain, float& value) {
  value = strtof_l(token, last, plain);
}
inline void convert(const char* token, char** last, locale_t plain, double& value) {
  value = strtod_l(token, last, plain);
}

// strtod in the C locale, on a copy that ends before a hexadecimal number, which strtod accepts but from_chars does
// not.
template <typename T>
std::from_chars_result from_chars(const char* p, const char* end, T& value) {
  static const locale_t plain = newlocale(LC_ALL_MASK, "C", nullptr);
  const char* stop = p;
  while (stop != end && std::strchr("+-.0123456789abcdefghijklmnopqrstuvwyzABCDEFGHIJKLMNOPQRSTUVWYZ()_", *stop) && *stop)
    ++stop;
  const std::string token(p, stop);
  if (token.empty() || token[0] == '+') return {p, std::errc::invalid_argument};
  char* last = nullptr;
  convert(token.c_str(), &last, plain, value);
  if (last == token.c_str()) return {p, std::errc::invalid_argument};
  return {p + (last - token.c_str()), std::errc()};
}
#endif

// The token at p for an error message: printable and short.
template <typename Rules>
std::string shown(const char* p, const char* end) {
  constexpr int longest = 24;
  std::string s;
  do {
    if (s.size() == longest) return s + "...";
    s += (*p >= 0x20 && *p < 0x7f) ? *p : '?';
  } while (++p != end && !Rules::ends(*p));
  return s;
}

// Whether a decimal number that from_chars reports as out of range is too large (true) or too small (false).
inline bool overflows(const char* p, const char* end) {
  int64_t digits_before_point = 0, zeros_after_point = 0, exponent = 0;
  bool point = false, nonzero = false;
  for (; p != end && (*p == '.' || (*p >= '0' && *p <= '9')); ++p) {
    if (*p == '.') {
      point = true;
    } else if (*p != '0' || nonzero) {
      nonzero = true;
      if (!point) ++digits_before_point;
    } else if (point) {
      ++zeros_after_point;
    }
  }
  if (p != end && (*p == 'e' || *p == 'E')) {
    ++p;
    if (p != end && *p == '+') ++p;
    const auto [last, error] = from_chars(p, end, exponent);
    if (error == std::errc::result_out_of_range) return *p != '-';
  }
  return digits_before_point - zeros_after_point + exponent > 0;
}

// `1.#INF`, `-1.#IND`, `1.#QNAN`: p is at the `#` after a number. Returns the end of the word, or nullptr for a
// comment.
template <typename T>
const char* windows_special(const char* p, const char* end, T& value) {
  const std::string_view rest(p, static_cast<size_t>(end - p));
  size_t length;
  if (rest.substr(0, 4) == "#INF") {
    length = 4;
    value = std::copysign(std::numeric_limits<T>::infinity(), value);
  } else if (rest.substr(0, 4) == "#IND") {
    length = 4;
    value = std::numeric_limits<T>::quiet_NaN();
  } else if (rest.substr(0, 5) == "#QNAN" || rest.substr(0, 5) == "#SNAN") {
    length = 5;
    value = std::numeric_limits<T>::quiet_NaN();
  } else {
    return nullptr;
  }
  p += length;
  while (p != end && *p == '0') ++p;  // printf pads to the precision: -1.#IND00
  return p;
}

template <typename T, typename Rules>
[[noreturn]] void fail(const char* text, const char* token, const char* end, const char* what) {
  const char* wanted = std::is_integral_v<T> ? "an integer" : "a number";
  const std::string word = shown<Rules>(token, end);
  throw BlockError("`" + word + "` " + what + " " + wanted + Rules::hint(word), token - text);
}

// 10^k, exact in double for k <= 22.
inline constexpr double power_of_ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

// The double nearest to m / 10^k, m <= 2^53 and k <= 22, as the float nearest to the true quotient. False if rounding
// twice could differ from rounding once: if the double lies exactly half way between two floats, or is subnormal.
inline bool nearest(double quotient, float& value) {
  uint64_t bits;
  std::memcpy(&bits, &quotient, sizeof bits);
  constexpr uint64_t dropped = (uint64_t(1) << 29) - 1;  // mantissa bits that a float does not have
  if ((bits & dropped) == uint64_t(1) << 28) return false;
  if (quotient < std::numeric_limits<float>::min() && quotient != 0) return false;
  value = static_cast<float>(quotient);
  return true;
}

inline bool nearest(double quotient, double& value) {
  value = quotient;
  return true;
}

// Reads the plain forms -12 and -1.25, which nearly all numbers of a scan have, in a third of the time of from_chars
// and with the same result. Returns the byte after the number, or nullptr if from_chars must read it.
template <typename Rules, typename T>
const char* read_plain(const char* p, const char* end, T& value) {
  const bool negative = *p == '-';
  p += negative;
  constexpr int most_digits = std::is_integral_v<T> ? 9 : 15;  // < 2^31, < 2^53
  const char* start = p;
  uint64_t digits = 0;
  unsigned digit;
  for (; p != end && (digit = static_cast<unsigned char>(*p) - unsigned('0')) < 10; ++p) digits = digits * 10 + digit;
  int64_t count = p - start, decimals = 0;
  if constexpr (!std::is_integral_v<T>) {
    if (p != end && *p == '.') {
      start = ++p;
      for (; p != end && (digit = static_cast<unsigned char>(*p) - unsigned('0')) < 10; ++p)
        digits = digits * 10 + digit;
      decimals = p - start;
      count += decimals;
    }
  }
  if (count == 0 || count > most_digits || (p != end && (*p == '#' || !Rules::ends(*p)))) return nullptr;
  if constexpr (std::is_integral_v<T>) {
    value = static_cast<T>(negative ? -static_cast<int64_t>(digits) : static_cast<int64_t>(digits));
  } else {
    if (!nearest(static_cast<double>(digits) / power_of_ten[decimals], value)) return nullptr;
    if (negative) value = -value;
  }
  return p;
}

// Reads one number at p, which ends no word; returns the byte after it. Throws BlockError.
template <typename Rules, typename T>
const char* read_number(const char* text, const char* p, const char* end, T& value) {
  if (const char* after = read_plain<Rules>(p, end, value)) return after;
  const char* token = p;
  if (*p == '+' && p + 1 != end && p[1] != '-') ++p;  // from_chars accepts no plus; "+-1" remains an error
  auto [last, error] = from_chars(p, end, value);
  if (error == std::errc::result_out_of_range) {
    if constexpr (std::is_integral_v<T>) {
      fail<T, Rules>(text, token, end, "is too large for");
    } else {
      const bool negative = *p == '-';
      const T size = overflows(p + negative, last) ? std::numeric_limits<T>::infinity() : T(0);
      value = negative ? -size : size;
    }
  } else if (error != std::errc()) {
    fail<T, Rules>(text, token, end, "is not");
  }
  if constexpr (!std::is_integral_v<T>) {
    if (last != end && *last == '#' && last[-1] == '.')
      if (const char* after = windows_special(last, end, value)) last = after;
  }
  if (last != end && !Rules::ends(*last)) fail<T, Rules>(text, token, end, "is not");
  return last;
}

}  // namespace fer3d::token
