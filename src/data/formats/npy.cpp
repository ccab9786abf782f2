#include "data/formats/npy.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>

#include "io/atomic_file.h"
#include "io/json_text.h"

namespace cuvae {
namespace {

constexpr std::size_t kLongestHeader = 1 << 16;  // usual headers have about a hundred bytes
constexpr std::size_t kAlignment = 64;           // of the values; NumPy pads the header to it

// The type for "<f8" and the like; nothing unless it is a bool, an integer or a real number of at most 64 bits.
std::optional<Element> parse_descr(std::string_view descr) {
  using Kind = Element::Kind;
  if (descr.size() != 3) return std::nullopt;
  const char order = descr[0];
  const std::string_view type = descr.substr(1);
  const bool ordered = order == '<' || order == '>';
  if (!ordered && order != '|' && order != '=') return std::nullopt;

  const auto bytes = static_cast<std::size_t>(type[1] - '0');
  if (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8) return std::nullopt;
  if (bytes > 1 && order == '|') return std::nullopt;
  const bool big_endian = order == '>';
  if (type == "b1") return Element{Kind::boolean, 1, big_endian};
  if (type[0] == 'u') return Element{Kind::unsigned_integer, bytes, big_endian};
  if (type[0] == 'i') return Element{Kind::signed_integer, bytes, big_endian};
  if (type[0] == 'f' && bytes > 1) return Element{Kind::floating, bytes, big_endian};
  return std::nullopt;
}

// A text for a type that is not supported: its content, and a line of Python that converts it to numbers.
std::string describe(std::string_view descr) {
  const char kind = descr.size() > 1 ? descr[1] : ' ';
  std::string_view what = "no numbers", fix = "x.astype(numpy.float32)";
  if (kind == 'f') what = "extended precision";
  if (kind == 'O') what = "Python objects";
  if (kind == 'S' || kind == 'U' || kind == 'a') what = "text";
  if (kind == 'M' || kind == 'm') what = "dates", fix = "x.astype(numpy.int64).astype(numpy.float32)";
  if (kind == 'c') what = "complex numbers", fix = "x.real.astype(numpy.float32)";
  return in_quotes(descr) + " (" + std::string(what) + "); in Python: numpy.save('x.npy', " + std::string(fix) + ")";
}

// A strict parser of the dict literal that NumPy writes: descr, fortran_order and shape, once each, in any order.
class DictParser {
 public:
  DictParser(const FileContent& content, std::string_view text, std::size_t offset)
      : content_(content), text_(text), offset_(offset) {}

  ArrayHeader parse() {
    ArrayHeader header;
    bool have_descr = false, have_order = false, have_shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string_view key = string();
      expect(':');
      if (key == "descr" && !have_descr) {
        header.element = element();
        have_descr = true;
      } else if (key == "fortran_order" && !have_order) {
        header.fortran_order = boolean();
        have_order = true;
      } else if (key == "shape" && !have_shape) {
        header.dims_offset = offset_ + at_;
        header.dims = shape();
        have_shape = true;
      } else {
        fail("unexpected key", in_quotes(key) + " is unknown or given twice");
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_spaces();
    if (at_ != text_.size()) fail("bad NPY header", "text after the closing brace");
    if (!have_descr || !have_order || !have_shape) fail("bad NPY header", "descr, fortran_order or shape is missing");
    header.data_offset = offset_ + text_.size();
    return header;
  }

 private:
  // Moves to the next token. Messages name its place.
  void skip_spaces() { token_ = at_ = std::min(text_.find_first_not_of(" \n", at_), text_.size()); }

  bool accept(char c) {
    skip_spaces();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!accept(c)) fail("bad NPY header", std::string("expected '") + c + "' before " + in_quotes(text_.substr(at_)));
  }

  std::string_view string() {
    const char quote = accept('"') ? '"' : '\'';
    if (quote == '\'') expect(quote);
    const std::size_t begin = at_;
    at_ = text_.find(quote, begin);
    if (at_ == text_.npos) fail("bad NPY header", "a string has no end");
    return text_.substr(begin, at_++ - begin);
  }

  Element element() {
    if (accept('[')) {
      fail("a structured array",
           "plain numbers are read; in Python, save numpy.lib.recfunctions.structured_to_unstructured(x)");
    }
    const std::string_view descr = string();
    if (const auto element = parse_descr(descr)) return *element;
    fail("unsupported NPY type", describe(descr));
  }

  bool boolean() {
    skip_spaces();
    for (const std::string_view word : {"True", "False"}) {
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return word == "True";
    }
    fail("bad NPY header", "fortran_order must be True or False");
  }

  std::vector<Index> shape() {
    std::vector<Index> dims;
    expect('(');
    while (!accept(')')) {
      dims.push_back(integer());
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    if (dims.empty()) fail("no dimensions", "the shape is ()");
    return dims;
  }

  Index integer() {
    skip_spaces();
    std::uint64_t value = 0;  // unsigned, so that from_chars accepts no sign
    const char* const begin = text_.data() + at_;
    const auto [end, status] = std::from_chars(begin, text_.data() + text_.size(), value);
    if (status != std::errc() || value > INT64_MAX) fail("bad NPY shape", "a dimension is not a number of 63 bits");
    at_ += static_cast<std::size_t>(end - begin);
    accept('L');  // the suffix of long integers in Python 2
    return static_cast<Index>(value);
  }

  [[noreturn]] void fail(const std::string& condition, const std::string& detail) const {
    throw content_.error(condition, offset_ + token_, detail);
  }

  const FileContent& content_;
  const std::string_view text_;
  const std::size_t offset_;
  std::size_t at_ = 0, token_ = 0;
};

}  // namespace

ArrayHeader read_npy_header(FileContent& content) {
  const std::size_t version_at = kNpyMagic.size();
  const auto version = content.require(version_at + 2, "an NPY file begins with").subspan(version_at);
  const unsigned major = version[0], minor = version[1];
  if (major < 1 || major > 3 || minor != 0) {
    throw content.error("unsupported NPY version", version_at,
                        std::to_string(major) + "." + std::to_string(minor) + ", but must be 1.0, 2.0 or 3.0");
  }
  const std::size_t length_at = version_at + 2, length_bytes = major == 1 ? 2 : 4, text_at = length_at + length_bytes;
  const auto prefix = content.require(text_at, "an NPY file begins with");
  std::size_t length = 0;
  for (std::size_t i = 0; i < length_bytes; ++i) length |= std::size_t{prefix[length_at + i]} << 8 * i;
  if (length > kLongestHeader) {
    throw content.error("NPY header too long", length_at,
                        std::to_string(length) + " bytes, but at most " + std::to_string(kLongestHeader) + " are read");
  }
  const auto text = content.require(text_at + length, "the NPY header has").subspan(text_at);
  return DictParser(content, {reinterpret_cast<const char*>(text.data()), text.size()}, text_at).parse();
}

namespace {

// The header of an array of little-endian floats; `shape` is a tuple of Python.
void write_header(std::ostream& out, const char* type, const std::string& shape) {
  static_assert(std::endian::native == std::endian::little);
  std::string text = std::string("{'descr': '") + type + "', 'fortran_order': False, 'shape': " + shape + ", }";
  const std::size_t fixed = kNpyMagic.size() + 4;
  text.append(kAlignment - (fixed + text.size() + 1) % kAlignment, ' ');
  text += '\n';
  const char version_and_length[] = {1, 0, static_cast<char>(text.size() % 256), static_cast<char>(text.size() / 256)};

  out << kNpyMagic;
  out.write(version_and_length, sizeof version_and_length);
  out << text;
}

}  // namespace

void write_npy(std::ostream& out, const float* data, const std::vector<Index>& shape) {
  std::string sides;
  std::streamsize size = sizeof(float);
  for (const Index side : shape) sides += (sides.empty() ? "" : ", ") + std::to_string(side), size *= side;
  write_header(out, "<f4", "(" + sides + ")");
  out.write(reinterpret_cast<const char*>(data), size);
}

void write_npy(const std::filesystem::path& path, const float* data, const std::vector<Index>& shape) {
  write_file_atomically(path, [&](std::ostream& out) { write_npy(out, data, shape); });
}

void write_npy(const std::filesystem::path& path, const std::vector<double>& values) {
  write_file_atomically(path, [&](std::ostream& out) {
    write_header(out, "<f8", "(" + std::to_string(values.size()) + ",)");
    out.write(reinterpret_cast<const char*>(values.data()),
              static_cast<std::streamsize>(values.size() * sizeof(double)));
  });
}

}  // namespace cuvae
