// sample_gaussian: z = mu + exp(logvar/2) eps; the kernel draws the noise. If asked for, also the KL of each row and
// dimension, the moments of stats, and log q(z|x), log p(z) and the squared norm of q's score of each sample.
// Moved per latent of a row: 8 bytes read and 4 K written, as bf16 2 K.
#include "launch.h"
#include "math/formulas.h"
#include "moments.cuh"
#include "noise.cuh"

namespace cuvae::cuda {
namespace {

// Rows for one partial sum of the KL. More chunks are read faster, but one block adds all of them.
constexpr Index kLeastRows = 4, kManyRows = 65536;
Index kl_chunk(Index batch) { return chunk_rows(batch, kLeastRows, batch < kManyRows ? 128 : 512); }

// Row c belongs to chunk c.
struct Partials {
  Sums* moments;  // [chunks, 2 * latent]
  float* kl;      // [chunks, latent]
};

// One Philox evaluation gives four neighbouring elements of z; the whole grid shares them. With `packs` they are
// neighbours in a row, too.
template <class T, bool packs>
__device__ __forceinline__ void sample(const SampleGaussian& op, Index samples) {
  const Index L = op.z.cols, size = op.z.rows * L, number = op.noise.first_row * samples * L;
  const Index shift = number % 4;  // z begins inside a group of four numbers
  const std::uint32_t step = *op.noise.step;
  const Index thread = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (Index group = thread; group * 4 - shift < size; group += static_cast<Index>(gridDim.x) * blockDim.x) {
    Index i = group * 4 - shift, row = i < 0 ? 0 : i / L, l = i - row * L;
    if constexpr (packs) {
      const float* at = data_of(op.stats) + (samples == 1 ? row : row / samples) * 2 * L + l;
      const Pack<4> eps = normals(op.noise, step, static_cast<std::uint64_t>(number / 4 + group));
      Pack<4> z = load<4>(at);
      const Pack<4> logvar = load<4>(at + L);
#pragma unroll
      for (int j = 0; j < 4; ++j)
        z.v[j] += math::exp(0.5f * math::clamp(logvar.v[j], kLogVarMin, kLogVarMax)) * eps.v[j];
      store(data_of<T>(op.z) + i, z);
    } else {
      const Pack<4> eps = normals(op.noise, step, static_cast<std::uint64_t>(number / 4 + group));
#pragma unroll
      for (int j = 0; j < 4; ++j, ++i) {
        if (0 <= i && i < size) {
          const float* mu = data_of(op.stats) + (samples == 1 ? row : row / samples) * 2 * L + l;
          const float sigma = math::exp(0.5f * math::clamp(mu[L], kLogVarMin, kLogVarMax));
          store(data_of<T>(op.z) + i, Pack<1>{mu[0] + sigma * eps.v[j]});
        }
        if (++l == L) l = 0, ++row;
      }
    }
  }
}

enum class Sampling { packs, numbers, rows };

// The lanes of a warp that share a sample row when its log-densities are asked for: one for each of its groups of four.
unsigned lanes_of_row(Index latent) {
  unsigned lanes = 1;
  while (lanes < kWarp && lanes * 4 < latent + 3) lanes *= 2;
  return lanes;
}

// The same z, a row at a time. If a row does not begin with a group of four numbers, two rows evaluate the group that
// they share.
template <class T>
__device__ __forceinline__ void sample_rows(const SampleGaussian& op, Index samples, unsigned lanes) {
  const Index L = op.z.cols, rows = op.z.rows, rows_per_block = kThreads / lanes;
  const std::uint32_t step = *op.noise.step;
  const unsigned lane = threadIdx.x % lanes;
  // All threads run each iteration, because the shuffles need them.
  for (Index base = blockIdx.x * rows_per_block; base < rows; base += gridDim.x * rows_per_block) {
    const Index r = base + threadIdx.x / lanes;
    float p = 0.0f, q = 0.0f, norm = 0.0f;
    if (r < rows) {
      const float* mu = data_of(op.stats) + r / samples * 2 * L;
      const bool mirrored = is_mirrored(op.noise, r);
      const Index number = (op.noise.first_row * samples + r - mirrored) * L;  // of the row's first normal
      for (Index group = number / 4 + lane; group * 4 < number + L; group += lanes) {
        Pack<4> eps = normals(op.noise, step, static_cast<std::uint64_t>(group));
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const Index l = group * 4 + j - number;
          if (l < 0 || l >= L) continue;
          if (mirrored) eps.v[j] = -eps.v[j];
          const float lv = math::clamp(mu[L + l], kLogVarMin, kLogVarMax);
          const float z = mu[l] + math::exp(0.5f * lv) * eps.v[j];
          store(data_of<T>(op.z) + r * L + l, Pack<1>{z});
          p += z * z;
          const float square = eps.v[j] * eps.v[j], by_logvar = 0.5f * (square - 1.0f);
          q += lv + square;
          if (op.score_norm.data != nullptr) norm += square * math::exp(-lv) + by_logvar * by_logvar;
        }
      }
    }
    for (unsigned offset = lanes / 2; offset > 0; offset /= 2) {
      p += __shfl_xor_sync(kFullWarp, p, offset);
      q += __shfl_xor_sync(kFullWarp, q, offset);
      if (op.score_norm.data != nullptr) norm += __shfl_xor_sync(kFullWarp, norm, offset);
    }
    if (r >= rows || lane != 0) continue;
    const float constant = static_cast<float>(L) * math::kLog2Pi, log_q = -0.5f * (q + constant);
    if (op.log_p_z.data != nullptr) data_of(op.log_p_z)[r] = -0.5f * (p + constant);
    if (op.log_q.data == nullptr) continue;
    data_of(op.log_q)[r] = op.add ? data_of(op.log_q)[r] + log_q : log_q;
    if (op.score_norm.data != nullptr) data_of(op.score_norm)[r] = op.add ? data_of(op.score_norm)[r] + norm : norm;
  }
}

// Block c < chunks sums the KL of rows [c, c + 1) * rows_per_chunk: over l into kl, over rows into the partial sums,
// which the last block to finish adds.
template <class T, Sampling sampling>
__global__ void __launch_bounds__(kThreads, 4)
    sample_latent(const SampleGaussian op, Index samples, unsigned lanes, unsigned chunks, Index rows_per_chunk,
                  Partials partials, unsigned* ticket) {
  if constexpr (sampling == Sampling::rows) {
    sample_rows<T>(op, samples, lanes);
  } else {
    sample<T, sampling == Sampling::packs>(op, samples);
  }
  if (blockIdx.x >= chunks) return;
  const Index L = op.z.cols, begin = blockIdx.x * rows_per_chunk,
              end = begin + rows_per_chunk < op.stats.rows ? begin + rows_per_chunk : op.stats.rows;
  for (Index first = 0; op.kl.data != nullptr && first < L; first += kWarp) {
    const Index l = first + threadIdx.x % kWarp;
    const float sum = column_sum<float>(begin, end, [&](Index b) {
      float kl = 0.0f;
      if (l < L) {
        const float mu = __ldg(data_of(op.stats) + b * 2 * L + l);
        const float lv = math::clamp(__ldg(data_of(op.stats) + b * 2 * L + L + l), kLogVarMin, kLogVarMax);
        kl = 0.5f * (mu * mu + (math::exp(lv) - lv - 1.0f));
      }
      const float of_row = warp_sum(kl);
      if (threadIdx.x % kWarp == 0) data_of(op.kl)[b] = first == 0 ? of_row : data_of(op.kl)[b] + of_row;
      return kl;
    });
    if (threadIdx.x < kWarp && l < L) partials.kl[blockIdx.x * L + l] = sum;
  }
  if (op.moments != nullptr) sum_columns(data_of(op.stats), 2 * L, begin, end, partials.moments + blockIdx.x * 2 * L);
  if (!is_last_block(ticket, chunks)) return;
  for (Index first = 0; op.kl.data != nullptr && first < L; first += kWarp) {
    const Index l = first + threadIdx.x % kWarp;
    const float sum =
        column_sum<float>(0, chunks, [&](Index c) { return l < L ? __ldcg(partials.kl + c * L + l) : 0.0f; });
    if (threadIdx.x < kWarp && l < L) data_of(op.kl_dims)[l] = sum / static_cast<float>(op.stats.rows);
  }
  if (op.moments != nullptr)
    merge_moments(data_of(op.stats), op.stats.rows, 2 * L, partials.moments, chunks, op.moments);
}

}  // namespace

std::size_t scratch_bytes(const SampleGaussian& op) {
  const auto chunk = static_cast<std::size_t>(op.z.cols) * (2 * sizeof(Sums) + sizeof(float));
  return static_cast<std::size_t>(ceil_div(op.stats.rows, kl_chunk(op.stats.rows))) * chunk;
}

cudaError_t launch(const SampleGaussian& op, Scratch scratch, cudaStream_t stream) {
  const Index batch = op.stats.rows, latent = op.z.cols, rows = kl_chunk(batch);
  const unsigned chunks = op.kl || op.moments != nullptr ? static_cast<unsigned>(ceil_div(batch, rows)) : 0;
  const unsigned lanes = lanes_of_row(latent);
  const bool by_row = op.log_q || op.log_p_z || op.noise.antithetic, packs = latent % 4 == 0 && aligned(op.stats, op.z);
  const unsigned blocks =
      std::max(chunks, by_row ? grid_for(op.z.rows, kThreads / lanes) : grid_for(op.z.size() / 4 + 2, kThreads));
  auto* moments = static_cast<Sums*>(scratch.partials);
  const Partials partials{moments, reinterpret_cast<float*>(moments + chunks * 2 * latent)};
  return with_type(op.z.dtype, [&]<class T>() {
    const auto kernel = by_row  ? sample_latent<T, Sampling::rows>
                        : packs ? sample_latent<T, Sampling::packs>
                                : sample_latent<T, Sampling::numbers>;
    return start(kernel, blocks, kThreads, stream, op, op.z.rows / batch, lanes, chunks, rows, partials,
                 scratch.ticket);
  });
}

}  // namespace cuvae::cuda
