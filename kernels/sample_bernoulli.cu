// sample_bernoulli: z = 1 where a uniform is at most sigmoid(logit); the kernel draws the uniforms. If asked for, also
// log q(z|x) and the squared norm of q's score of each sample, and the moments of probabilities and logits.
// Moved per latent of a row: 4 bytes read and 4 K written, as bf16 2 K.
#include "lanes.cuh"
#include "launch.h"
#include "math/likelihoods.h"
#include "moments.cuh"
#include "noise.cuh"

namespace cuvae::cuda {
namespace {

Index moments_chunk(Index batch) { return chunk_rows(batch, 16, 128); }

// A group of lanes takes a sample row, a lane four uniforms of one Philox evaluation at a time. With `packs` they are
// for four neighbours in the row; else a row may begin or end inside of such a group.
template <class T, bool packs>
__device__ __forceinline__ void sample_rows(const SampleBernoulli& op, Index samples, unsigned lanes) {
  const Index L = op.z.cols, rows = op.z.rows, rows_per_block = kThreads / lanes;
  const std::uint32_t step = *op.noise.step;
  const unsigned lane = threadIdx.x % lanes;
  // All threads run each iteration, because the shuffles need them.
  for (Index base = blockIdx.x * rows_per_block; base < rows; base += gridDim.x * rows_per_block) {
    const Index r = base + threadIdx.x / lanes;
    float log_q = 0.0f, norm = 0.0f;
    if (r < rows) {
      const float* logits = data_of(op.logits) + r / samples * L;
      T* z = data_of<T>(op.z) + r * L;
      const bool mirrored = is_mirrored(op.noise, r);
      const Index number = (op.noise.first_row * samples + r - mirrored) * L;  // of the row's first uniform
      const auto one = [&](float logit, std::uint32_t word) {
        const float value = math::binarized(math::sigmoid(logit), math::uniform(mirrored ? ~word : word));
        float log_p, score;
        math::BernoulliFormula::log_prob(&logit, value, log_p, &score);
        log_q += log_p;
        norm += score * score;
        return value;
      };
      for (Index group = number / 4 + lane; group * 4 < number + L; group += lanes) {
        const uint4 words = draw(op.noise, step, static_cast<std::uint64_t>(group));
        const Index l = group * 4 - number;
        if constexpr (packs) {
          const Pack<4> at = load<4>(logits + l);
          store(z + l,
                Pack<4>{one(at.v[0], words.x), one(at.v[1], words.y), one(at.v[2], words.z), one(at.v[3], words.w)});
        } else {
          const std::uint32_t word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
          for (int j = 0; j < 4; ++j)
            if (0 <= l + j && l + j < L) store(z + l + j, Pack<1>{one(logits[l + j], word[j])});
        }
      }
    }
    log_q = lanes_sum(log_q, lanes);
    norm = lanes_sum(norm, lanes);
    if (r >= rows || lane != 0 || op.log_q.data == nullptr) continue;
    data_of(op.log_q)[r] = op.add ? data_of(op.log_q)[r] + log_q : log_q;
    if (op.score_norm.data != nullptr) data_of(op.score_norm)[r] = op.add ? data_of(op.score_norm)[r] + norm : norm;
  }
}

// Block c < chunks also adds up rows [c, c + 1) * rows_per_chunk of probabilities | logits, for the last block to
// merge.
template <class T, bool packs>
__global__ void __launch_bounds__(kThreads, 4)
    sample_bernoulli(const SampleBernoulli op, Index samples, unsigned lanes, unsigned chunks, Index rows_per_chunk,
                     Sums* sums, unsigned* ticket) {
  sample_rows<T, packs>(op, samples, lanes);
  if (blockIdx.x >= chunks) return;
  const Index L = op.z.cols, batch = op.logits.rows, begin = blockIdx.x * rows_per_chunk,
              end = begin + rows_per_chunk < batch ? begin + rows_per_chunk : batch;
  const auto column = [&](Index b, Index c) {
    const float logit = data_of(op.logits)[b * L + (c < L ? c : c - L)];
    return c < L ? math::sigmoid(logit) : logit;
  };
  sum_columns_of(column, 2 * L, begin, end, sums + blockIdx.x * 2 * L);
  if (is_last_block(ticket, chunks)) merge_moments_of(column, batch, 2 * L, sums, chunks, op.moments);
}

}  // namespace

std::size_t scratch_bytes(const SampleBernoulli& op) {
  if (op.moments == nullptr) return 0;
  const Index batch = op.logits.rows;
  return static_cast<std::size_t>(ceil_div(batch, moments_chunk(batch)) * 2 * op.z.cols) * sizeof(Sums);
}

cudaError_t launch(const SampleBernoulli& op, Scratch scratch, cudaStream_t stream) {
  const Index batch = op.logits.rows, latent = op.z.cols, rows = moments_chunk(batch);
  const unsigned chunks = op.moments != nullptr ? static_cast<unsigned>(ceil_div(batch, rows)) : 0;
  const bool packs = latent % 4 == 0 && aligned(op.logits, op.z);
  const unsigned lanes = lanes_for(packs ? latent / 4 : ceil_div(latent + 3, 4));
  const unsigned blocks = std::max(chunks, grid_for(op.z.rows, kThreads / lanes));
  return with_type(op.z.dtype, [&]<class T>() {
    return start(packs ? sample_bernoulli<T, true> : sample_bernoulli<T, false>, blocks, kThreads, stream, op,
                 op.z.rows / batch, lanes, chunks, rows, static_cast<Sums*>(scratch.partials), scratch.ticket);
  });
}

}  // namespace cuvae::cuda
