// The batches of a training run: every example at most once per epoch, in shuffled order.
#pragma once
#include <map>
#include <optional>
#include <vector>

#include "cuvae/dataset.h"
#include "data/resident_data.h"

namespace cuvae {

using Rows = std::vector<std::uint32_t>;

/// The shuffle of Fisher and Yates, with the random words of one stream at one step.
void shuffle(Rows& rows, std::uint64_t seed, Stream stream, std::uint32_t step);

/// Brings batches to the backend for gather_batch. If all examples fit into the backend's memory, they stay there and
/// each epoch has a new order. Otherwise a window of two halves moves over the epochs: while steps read one half, the
/// next batches, already in shuffled order, are copied to the other. Both ways give the same batches, bit for bit.
class Batches {
 public:
  /// Batches of `batch` examples from the rows `train`, shuffled by `seed` in each epoch. `total` steps in all epochs.
  /// A data set fits if it has at most `most_bytes`; if that is 0, if it leaves a tenth of the free memory.
  Batches(Backend& backend, const Dataset& data, Rows train, std::uint64_t seed, Index batch, std::uint64_t total,
          std::size_t most_bytes);

  /// Prepares the steps from `step` on. Returns how many steps may follow before the next call, all in one epoch.
  Index prepare(std::uint64_t step);
  /// Computes the order of the epoch after that of `step`. To be called while the device computes.
  void look_ahead(std::uint64_t step);
  /// Writes the batch that belongs to the device's step counter to x [batch, D], and its conditions to [batch, C].
  void gather(const std::uint32_t* device_step, Binarize binarize, const Noise& noise, View x, View conditions) const;

  const ResidentData& data() const { return data_; }

 private:
  const Rows& order_of(std::uint64_t epoch);
  void fill(std::uint64_t chunk, std::uint64_t from);
  void fill(DoubleBuffer& window, ConstView source, std::uint64_t chunk, std::uint64_t from);
  GatherBatch rows_of(ConstView source, const std::unique_ptr<DoubleBuffer>& window, const std::uint32_t* device_step,
                      Index first_row, View to) const;

  Backend& backend_;
  Rows train_;
  std::uint64_t seed_, batch_, per_epoch_, total_;
  ResidentData data_;
  std::map<std::uint64_t, Rows> orders_;  // by epoch, of the current epoch and its neighbours

  // Resident:
  Buffer order_;
  std::optional<std::uint64_t> epoch_;  // the epoch whose order is on the backend

  // Streamed: chunk c holds the batches of steps [c, c + 1) * chunk_steps_, in half c % 2.
  std::unique_ptr<DoubleBuffer> window_, window_of_conditions_;
  std::uint64_t chunk_steps_ = 0;
  std::optional<std::uint64_t> chunk_;  // the chunk that steps read now
};

}  // namespace cuvae
