// The importance weights of the samples that a pass has drawn.
#pragma once
#include <vector>

#include "cuvae/bound.h"

namespace cuvae {

/// log w of each sample row of a chunk.
class ChunkWeights {
 public:
  ChunkWeights(Backend& backend, Bound bound, Index rows) : backend_(backend), bound_(bound) {
    log_w_.resize(static_cast<std::size_t>(rows));
    for (std::vector<float>& part : parts_) part.resize(log_w_.size());
  }
  /// [R]; valid until the next call.
  const double* read(ConstView log_p, const VaeActivations& a) {
    const auto rows = static_cast<std::size_t>(log_p.rows);
    const auto from = [&](std::vector<float>& part, const void* device) {
      backend_.download(part.data(), device, rows * sizeof(float));
    };
    from(parts_[0], log_p.data);
    const bool weighted = bound_ == Bound::iwae;
    if (weighted) from(parts_[1], a.log_p_z.data()), from(parts_[2], a.log_q.data());
    for (std::size_t r = 0; r < rows; ++r) {
      log_w_[r] = static_cast<double>(parts_[0][r]);
      if (weighted) log_w_[r] += static_cast<double>(parts_[1][r]) - static_cast<double>(parts_[2][r]);
    }
    return log_w_.data();
  }

 private:
  Backend& backend_;
  Bound bound_;
  std::vector<float> parts_[3];  // log p(x|z), and for iwae log p(z) and log q(z|x)
  std::vector<double> log_w_;
};

}  // namespace cuvae
