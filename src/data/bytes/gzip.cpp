#include "data/bytes/gzip.h"

#include <algorithm>
#include <utility>

namespace cuvae {

GzipSource::GzipSource(std::unique_ptr<ByteSource> compressed, const std::string& file_name)
    : inflater_(std::move(compressed), Inflater::Format::gzip, file_name + ": ") {}

std::size_t GzipSource::read(std::span<std::uint8_t> out) {
  std::size_t produced = 0;
  while (produced < out.size() && !at_end_) {
    produced += inflater_.read(out.subspan(produced));
    if (!inflater_.ended()) continue;
    const auto next = inflater_.next_input();
    at_end_ = next.empty() || next[0] == 0;
    if (at_end_) {
      skip_padding();
    } else if (next[0] == 0x1f) {
      inflater_.begin_next();  // zlib reports an error unless this is another member
    } else {
      throw inflater_.error("trailing bytes", "the gzip stream ends there");
    }
  }
  return produced;
}

void GzipSource::skip_padding() {
  for (auto next = inflater_.next_input(); !next.empty(); next = inflater_.next_input()) {
    const auto other = std::find_if(next.begin(), next.end(), [](std::uint8_t byte) { return byte != 0; });
    inflater_.skip_input(static_cast<std::size_t>(other - next.begin()));
    if (other != next.end()) throw inflater_.error("trailing bytes", "the gzip stream ends before them");
  }
}

}  // namespace cuvae
