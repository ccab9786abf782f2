// The batches of a training run: every example once an epoch, in shuffled order.
#pragma once
#include <map>
#include <optional>
#include <vector>

#include "cuvae/dataset.h"
#include "train/resident_data.h"

namespace cuvae {

using Rows = std::vector<std::uint32_t>;

/// Fisher and Yates, with the words of one stream at one step.
void shuffle(Rows& rows, std::uint64_t seed, Stream stream, std::uint32_t step);

/// Brings batches to the backend for gather_batch. Where the examples fit they all lie there, and an epoch is a new
/// order of them. Else a window of two halves slides over the epochs: while steps read one half, the next batches,
/// already in their shuffled order, go to the other. The batches are the same either way, bit for bit.
class Batches {
 public:
  /// Steps of `batch` examples, those of `train`, shuffled anew by `seed` in each epoch. `total` steps in all epochs.
  /// Data sets of more than `most_bytes` do not fit; where it is 0, those that would not leave a tenth of the memory.
  Batches(Backend& backend, const Dataset& data, Rows train, std::uint64_t seed, Index batch, std::uint64_t total,
          std::size_t most_bytes);

  /// Gets ready for steps from `step` on; returns how many may follow before the next call. They stay in one epoch.
  Index prepare(std::uint64_t step);
  /// While the device computes: the order of the epoch after that of `step`.
  void look_ahead(std::uint64_t step);
  /// The batch of the device's step counter, x [batch, D].
  void gather(const std::uint32_t* device_step, Binarize binarize, const Noise& noise, View x) const;

  const ResidentData& data() const { return data_; }

 private:
  const Rows& order_of(std::uint64_t epoch);
  void fill(std::uint64_t chunk, std::uint64_t from);

  Backend& backend_;
  Dataset examples_;
  Rows train_;
  std::uint64_t seed_, batch_, per_epoch_, total_;
  ResidentData data_;
  std::map<std::uint64_t, Rows> orders_;  // of the epochs at hand

  // Resident:
  Buffer order_;
  std::optional<std::uint64_t> epoch_;  // whose order is on the backend

  // Streamed: chunk c holds the batches of steps [c, c + 1) * chunk_steps_, in half c % 2.
  std::unique_ptr<DoubleBuffer> window_;
  std::uint64_t chunk_steps_ = 0;
  std::optional<std::uint64_t> chunk_;  // that steps read now
};

}  // namespace cuvae
