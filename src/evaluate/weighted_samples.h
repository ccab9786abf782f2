// Latent samples of examples with their importance weights, in chunks, so that memory does not grow with their number.
#pragma once
#include <vector>

#include "cuvae/bound.h"
#include "data/resident_data.h"
#include "evaluate/chunk_weights.h"
#include "evaluate/row_batches.h"

namespace cuvae {

/// The examples of a batch, of which each has `chunk` samples: see BoundOptions::batch.
Index examples_at_once(const Vae& vae, const BoundOptions& options, Index chunk, Index count);

class WeightedSamples {
 public:
  /// Takes memory for a batch of the rows and a chunk of samples: see BoundOptions and kBoundChunk. Throws Error for
  /// options out of range. `data` and `rows` must outlive it.
  WeightedSamples(const Vae& vae, const ResidentData& data, const std::vector<std::uint32_t>& rows,
                  const BoundOptions& options);

  Index batch() const { return batch_; }
  /// Makes the rows [first, first + n) the current ones, n <= batch(), and encodes them. Returns x [n, D].
  ConstView begin(Index first, Index n);

  struct Chunk {
    Index samples;        ///< of each of the n rows
    ConstView outputs;    ///< of the decoder [n * samples, ...]
    const double* log_w;  ///< [n * samples], in nats
  };
  /// The samples from number k on, a multiple of kBoundChunk. Valid until the next call.
  Chunk chunk(Index k);

 private:
  void set_step(std::uint32_t step);
  Noise noise(Stream stream) const;

  const Vae& vae_;
  Backend& backend_;
  BoundOptions options_;
  Index chunk_, batch_, first_ = 0;
  RowBatches batches_;
  Buffer step_, x_buffer_;
  VaeActivations a_;
  ConstView x_, stats_;
  ChunkWeights log_w_;
};

}  // namespace cuvae
