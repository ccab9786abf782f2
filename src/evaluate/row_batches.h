// Brings the examples of an evaluation to the backend.
#pragma once
#include <cstring>
#include <vector>

#include "data/resident_data.h"

namespace cuvae {

/// Batches of the chosen rows, in the given order.
class RowBatches {
 public:
  RowBatches(Backend& backend, const ResidentData& data, const std::vector<std::uint32_t>& rows, Index batch)
      : backend_(backend), data_(data), rows_(rows) {
    if (data.whole()) {
      buffer_ = backend.allocate(rows.size() * sizeof(std::uint32_t));  // the order
      backend.upload(buffer_.data(), rows.data(), buffer_.bytes());
    } else {
      buffer_ = backend.allocate(static_cast<std::size_t>(batch) * data.row_bytes());  // a batch
      host_.resize(buffer_.bytes());
    }
  }
  /// x = rows [first, first + x.rows).
  void gather(Index first, Binarize binarize, const Noise& noise, View x) {
    ConstView pixels = data_.view();
    if (data_.whole()) {
      const auto count = static_cast<Index>(rows_.size());
      return backend_.run(
          GatherBatch{pixels, {buffer_.as<std::uint32_t>(), count, nullptr, first}, binarize, noise, x});
    }
    const std::size_t bytes = data_.row_bytes();
    for (Index b = 0; b < x.rows; ++b)
      std::memcpy(host_.data() + static_cast<std::size_t>(b) * bytes,
                  static_cast<const char*>(pixels.data) + rows_[static_cast<std::size_t>(first + b)] * bytes, bytes);
    backend_.upload(buffer_.data(), host_.data(), static_cast<std::size_t>(x.rows) * bytes);
    pixels.data = buffer_.data();
    pixels.rows = x.rows;
    backend_.run(GatherBatch{pixels, {nullptr, x.rows, nullptr, 0}, binarize, noise, x});
  }

 private:
  Backend& backend_;
  const ResidentData& data_;
  const std::vector<std::uint32_t>& rows_;
  Buffer buffer_;
  std::vector<char> host_;
};

}  // namespace cuvae
