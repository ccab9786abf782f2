// Bytes of IDX, NPY and gzip files for the tests of data sets, written without the library.
#pragma once
#include <zlib.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace cuvae::test {

inline std::string big_endian(std::uint32_t word) {
  std::string bytes;
  for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(word >> shift & 0xff);
  return bytes;
}

inline std::string idx(char type, const std::vector<std::uint32_t>& dims, const std::string& values) {
  std::string bytes = {'\0', '\0', type, static_cast<char>(dims.size())};
  for (const std::uint32_t dim : dims) bytes += big_endian(dim);
  return bytes + values;
}

inline std::string npy(int version, const std::string& dict, const std::string& values) {
  const std::size_t length_bytes = version == 1 ? 2 : 4;
  std::string text = dict;
  while ((8 + length_bytes + text.size() + 1) % 64 != 0) text += ' ';
  text += '\n';
  std::string bytes = std::string("\x93NUMPY") + static_cast<char>(version) + '\0';
  for (std::size_t i = 0; i < length_bytes; ++i) bytes += static_cast<char>(text.size() >> 8 * i & 0xff);
  return bytes + text + values;
}

inline std::string npy_dict(const std::string& descr, const std::string& shape) {
  return "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }";
}

/// 0, 1, 2, ... as one byte each.
inline std::string count_up(std::size_t count) {
  std::string bytes;
  for (std::size_t i = 0; i < count; ++i) bytes += static_cast<char>(i);
  return bytes;
}

inline std::string float_bytes(const std::vector<float>& values, std::endian order) {
  std::string bytes;
  for (const float value : values) {
    std::string word = big_endian(std::bit_cast<std::uint32_t>(value));
    if (order == std::endian::little) word = {word[3], word[2], word[1], word[0]};
    bytes += word;
  }
  return bytes;
}

inline std::string gzip(const std::string& bytes) {
  z_stream stream{};
  if (deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::runtime_error("deflateInit2");
  }
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int status = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (status != Z_STREAM_END) throw std::runtime_error("deflate");
  return out;
}

inline std::filesystem::path write(const std::filesystem::path& path, const std::string& bytes) {
  std::filesystem::remove(path);  // a new file: the old one may still be mapped
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

}  // namespace cuvae::test
