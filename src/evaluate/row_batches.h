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
      order_ = backend.allocate(rows.size() * sizeof(std::uint32_t));
      backend.upload(order_.data(), rows.data(), order_.bytes());
    } else {
      batch_ = backend.allocate(static_cast<std::size_t>(batch) * row_bytes(data.view()));
      if (data.conditions())
        conditions_ = backend.allocate(static_cast<std::size_t>(batch) * row_bytes(data.conditions()));
    }
  }
  /// x = rows [first, first + x.rows).
  void gather(Index first, Binarize binarize, const Noise& noise, View x) {
    GatherBatch op = rows_of(data_.view(), batch_, first, x);
    op.binarize = binarize, op.noise = noise;
    backend_.run(op);
  }
  /// The conditions of rows [first, first + conditions.rows); nothing where `conditions` is empty.
  void gather(Index first, View conditions) {
    if (conditions) backend_.run(rows_of(data_.conditions(), conditions_, first, conditions));
  }

 private:
  // A matrix that is not on the backend is sent there by way of `batch`.
  GatherBatch rows_of(ConstView matrix, const Buffer& batch, Index first, View to) {
    if (data_.whole())
      return {.pixels = matrix,
              .rows = {order_.as<std::uint32_t>(), static_cast<Index>(rows_.size()), nullptr, first},
              .x = to};
    const std::size_t bytes = row_bytes(matrix);
    host_.resize(batch.bytes());
    for (Index b = 0; b < to.rows; ++b)
      std::memcpy(host_.data() + static_cast<std::size_t>(b) * bytes,
                  static_cast<const char*>(matrix.data) + rows_[static_cast<std::size_t>(first + b)] * bytes, bytes);
    backend_.upload(batch.data(), host_.data(), static_cast<std::size_t>(to.rows) * bytes);
    return {
        .pixels = {batch.data(), to.rows, matrix.cols, matrix.dtype}, .rows = {nullptr, to.rows, nullptr, 0}, .x = to};
  }

  Backend& backend_;
  const ResidentData& data_;
  const std::vector<std::uint32_t>& rows_;
  Buffer order_, batch_, conditions_;
  std::vector<char> host_;
};

}  // namespace cuvae
