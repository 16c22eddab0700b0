#include "rows/rows.h"

#include "numbers/parse.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

namespace fer3d {
namespace {

constexpr int64_t bytes_of(Scalar type) {
  switch (type) {
    case Scalar::i8:
    case Scalar::u8: return 1;
    case Scalar::i16:
    case Scalar::u16: return 2;
    case Scalar::i32:
    case Scalar::u32:
    case Scalar::f32: return 4;
    case Scalar::i64:
    case Scalar::u64:
    case Scalar::f64: return 8;
    case Scalar::none: break;
  }
  return 0;
}

[[noreturn]] void ends(int64_t row, int64_t rows, int64_t at) {
  throw BlockError(std::to_string(rows) + " rows were wanted, the file ends after " + std::to_string(row), at);
}

// A number in memory, which need not be aligned, in the byte order of the file.
template <typename T>
double load(const char* p, bool swap) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, p, sizeof(T));
  if (swap)
    for (size_t i = 0; i < sizeof(T) / 2; ++i) std::swap(bytes[i], bytes[sizeof(T) - 1 - i]);
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return static_cast<double>(value);
}

double load(Scalar type, const char* p, bool swap) {
  switch (type) {
    case Scalar::i8: return load<int8_t>(p, swap);
    case Scalar::u8: return load<uint8_t>(p, swap);
    case Scalar::i16: return load<int16_t>(p, swap);
    case Scalar::u16: return load<uint16_t>(p, swap);
    case Scalar::i32: return load<int32_t>(p, swap);
    case Scalar::u32: return load<uint32_t>(p, swap);
    case Scalar::i64: return load<int64_t>(p, swap);
    case Scalar::u64: return load<uint64_t>(p, swap);
    case Scalar::f32: return load<float>(p, swap);
    case Scalar::f64: return load<double>(p, swap);
    case Scalar::none: break;
  }
  return 0;
}

bool little_endian_machine() {
  const uint16_t one = 1;
  char first;
  std::memcpy(&first, &one, 1);
  return first == 1;
}

// Packed numbers.
class Packed {
 public:
  Packed(const char* text, int64_t size, int64_t begin, int64_t rows, bool big)
      : text_(text), size_(size), at_(begin), rows_(rows), swap_(big == little_endian_machine()) {}

  void start_row(int64_t row) { row_ = row; }

  // The end of `count` numbers from here, which lie within the text.
  void require(Scalar type, int64_t count) const {
    if (count > (size_ - at_) / bytes_of(type)) ends(row_, rows_, at_);
  }

  double next(Scalar type) {
    require(type, 1);
    const double value = load(type, text_ + at_, swap_);
    at_ += bytes_of(type);
    return value;
  }

  void list(Scalar type, int64_t count, std::vector<double>* out) {
    require(type, count);
    const char* p = text_ + at_;
    const int64_t step = bytes_of(type);
    at_ += count * step;
    if (!out) return;
    for (int64_t i = 0; i < count; ++i, p += step) out->push_back(load(type, p, swap_));
  }

  int64_t at() const { return at_; }

 private:
  const char* text_;
  int64_t size_, at_, rows_;
  bool swap_;
  int64_t row_ = 0;
};

// Numbers of a text.
class Written {
 public:
  Written(const char* text, int64_t size, int64_t begin, int64_t rows)
      : text_(text), p_(text + begin), end_(text + size), rows_(rows) {}

  void start_row(int64_t row) {
    row_ = row;
    starts_ = true;
  }

  double next(Scalar) {
    bool line = p_ == text_ || p_[-1] == '\n' || p_[-1] == '\r';
    for (; p_ != end_ && (*p_ == ' ' || *p_ == '\t' || *p_ == '\n' || *p_ == '\r' || *p_ == '\v' || *p_ == '\f'); ++p_)
      line = line || *p_ == '\n' || *p_ == '\r';
    if (p_ == end_) ends(row_, rows_, p_ - text_);
    if (starts_ && !line)
      throw BlockError("row " + std::to_string(row_) + " should begin on a line of its own: the line has more numbers "
                       "than its header says", p_ - text_);
    starts_ = false;
    double value;
    const char* after = text::read_number(text_, p_, end_, value);
    if (after != end_ && (*after == ',' || *after == '#' || *after == ']'))
      text::fail<double>(text_, p_, end_, "is not");
    p_ = after;
    return value;
  }

  void list(Scalar type, int64_t count, std::vector<double>* out) {
    for (int64_t i = 0; i < count; ++i) {
      const double value = next(type);
      if (out) out->push_back(value);
    }
  }

  int64_t at() const { return p_ - text_; }

 private:
  const char *text_, *p_, *end_;
  int64_t rows_, row_ = 0;
  bool starts_ = false;
};

template <typename Source>
Rows read(Source source, int64_t rows, int64_t room, const std::vector<Column>& columns) {
  Rows result;
  result.values.resize(columns.size());
  result.counts.resize(columns.size());
  if (columns.empty()) rows = 0;
  const int64_t likely = std::min(rows, room);
  for (size_t c = 0; c < columns.size(); ++c)
    if (columns[c].keep) (columns[c].count == Scalar::none ? result.values[c].reserve(likely)
                                                           : result.counts[c].reserve(likely));
  for (int64_t row = 0; row < rows; ++row) {
    source.start_row(row);
    for (size_t c = 0; c < columns.size(); ++c) {
      const Column& column = columns[c];
      if (column.count == Scalar::none) {
        const double value = source.next(column.item);
        if (column.keep) result.values[c].push_back(value);
        continue;
      }
      const int64_t at = source.at();
      const double count = source.next(column.count);
      if (!(count >= 0 && count < 9e15 && count == std::floor(count))) {
        std::string shown = std::to_string(count);
        if (count == std::floor(count)) shown = shown.substr(0, shown.find('.'));
        throw BlockError("row " + std::to_string(row) + " has a list of " + shown + " items", at);
      }
      source.list(column.item, static_cast<int64_t>(count), column.keep ? &result.values[c] : nullptr);
      if (column.keep) result.counts[c].push_back(static_cast<int64_t>(count));
    }
  }
  result.stop = source.at();
  return result;
}

uint64_t mixed(uint64_t h) {  // the last step of SplitMix64
  h ^= h >> 30;
  h *= 0xbf58476d1ce4e5b9u;
  h ^= h >> 27;
  h *= 0x94d049bb133111ebu;
  return h ^ (h >> 31);
}

template <typename T>
uint64_t hash(const T* row, int64_t D) {
  uint64_t h = 0, bits = 0;
  for (int64_t k = 0; k < D; ++k) {
    std::memcpy(&bits, row + k, sizeof(T));
    h = mixed(h + 0x9e3779b97f4a7c15u + bits);
  }
  return h;
}

}  // namespace

template <typename T>
Kinds same_rows(const T* table, int64_t N, int64_t D) {
  // The hash table grows with the kinds, not with the rows, so that more of it stays in the cache. Rows are looked up in
  // blocks: the slots of a block are fetched before they are needed.
  constexpr int64_t block = 32;
  uint64_t slots = 1 << 8;
  while (slots < static_cast<uint64_t>(N / 2)) slots *= 2;  // six corners meet at a vertex of a mesh
  std::vector<int32_t> taken(slots, -1);
  Kinds result;
  result.kind.resize(N);
  const size_t bytes = static_cast<size_t>(D) * sizeof(T);
  uint64_t hashes[block];
  for (int64_t begin = 0; begin < N; begin += block) {
    const int64_t end = std::min(N, begin + block);
    if (2 * (result.first.size() + block) > slots) {  // at most half of them are taken
      slots *= 4;
      taken.assign(slots, -1);
      for (size_t kind = 0; kind < result.first.size(); ++kind) {
        uint64_t slot = hash(table + D * result.first[kind], D) & (slots - 1);
        while (taken[slot] >= 0) slot = (slot + 1) & (slots - 1);
        taken[slot] = static_cast<int32_t>(kind);
      }
    }
    for (int64_t i = begin; i < end; ++i) {
      hashes[i - begin] = hash(table + i * D, D);
#if defined(__GNUC__)
      __builtin_prefetch(&taken[hashes[i - begin] & (slots - 1)]);
#endif
    }
    for (int64_t i = begin; i < end; ++i) {
      const T* row = table + i * D;
      uint64_t slot = hashes[i - begin] & (slots - 1);
      while (taken[slot] >= 0 && std::memcmp(table + D * result.first[taken[slot]], row, bytes) != 0)
        slot = (slot + 1) & (slots - 1);
      if (taken[slot] < 0) {
        taken[slot] = static_cast<int32_t>(result.first.size());
        result.first.push_back(static_cast<int32_t>(i));
      }
      result.kind[i] = taken[slot];
    }
  }
  return result;
}

template Kinds same_rows(const float*, int64_t, int64_t);
template Kinds same_rows(const double*, int64_t, int64_t);

void copy_pieces(const char* text, int64_t begin, int64_t rows, int64_t stride, int64_t at, int64_t size, char* out) {
  const char* p = text + begin + at;
  if (size == 12) {  // triangles: a fixed size is copied without a call
    for (int64_t i = 0; i < rows; ++i) std::memcpy(out + 12 * i, p + stride * i, 12);
    return;
  }
  for (int64_t i = 0; i < rows; ++i) std::memcpy(out + size * i, p + stride * i, static_cast<size_t>(size));
}

Rows read_rows(const char* text, int64_t size, int64_t begin, int64_t rows, const std::vector<Column>& columns,
               Encoding encoding) {
  int64_t least = 0;  // bytes of a row with empty lists; in text a number and its separator
  for (const Column& column : columns)
    least += encoding == Encoding::text ? 2
                                        : bytes_of(column.count == Scalar::none ? column.item : column.count);
  const int64_t room = least ? (size - begin + 1) / least : 0;
  if (least && rows > room)
    throw BlockError(std::to_string(rows) + " rows were wanted, " + std::to_string(size - begin) +
                         " bytes cannot hold them",
                     begin);
  if (encoding == Encoding::text) return read(Written(text, size, begin, rows), rows, room, columns);
  return read(Packed(text, size, begin, rows, encoding == Encoding::big), rows, room, columns);
}

}  // namespace fer3d
