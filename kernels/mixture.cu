// mixture_log_prob in up to four launches. First tables of the components, with a row for each latent. Then log p,
// responsibilities and dz: a group of lanes takes rows, its lanes neighbouring components. Then the gradients of the
// components: a block takes some of them, 32 latents and a chunk of the rows. Then the sums over the chunks.
// Moved per row, L latents, C components: 4 L bytes of z, as bf16 2 L; 4 C of responsibilities written and read; 8 L
// for dz. From the cache: the tables, 8 C L bytes, for each kManyRows rows, z for each kGroup components.
#include <cfloat>

#include "lanes.cuh"
#include "launch.h"
#include "math/prior.h"

namespace cuvae::cuda {
namespace {

constexpr int kManyRows = 4, kLatents = 4;       // rows of a group of lanes where they are many, latents of a load
constexpr Index kManyThreads = Index{1} << 18;   // from so many on they are
constexpr int kGroup = 8;                        // components of a block of the gradients' kernel,
constexpr Index kLeastRows = 64, kBlocks = 512;  // rows of its chunk, its blocks, about

struct Tables {
  float *mu, *inverse;  // [L, C]: means, 1 / sigma
  float* constant;      // [C]: log weight - sum_l (logvar + log(2 pi)) / 2
  float* weight;        // [C]
};

/// A warp takes a component.
__global__ void __launch_bounds__(kThreads, 4) mixture_tables(const MixtureLogProb op, Tables tables) {
  const Index L = op.z.cols, n = op.components.rows;
  const unsigned lane = threadIdx.x % kWarp;
  const float* logits = data_of(op.logits);
  float max = 0.0f, sum = static_cast<float>(n);
  if (logits != nullptr) {
    max = -FLT_MAX, sum = 0.0f;
    for (Index c = lane; c < n; c += kWarp) max = logits[c] > max ? logits[c] : max;
    max = lanes_max(max, kWarp);
    for (Index c = lane; c < n; c += kWarp) sum += math::exp(logits[c] - max);
    sum = warp_sum(sum);
  }
  const float log_sum = math::log(sum);
  for (Index c = static_cast<Index>(blockIdx.x) * kWarps + threadIdx.x / kWarp; c < n;
       c += static_cast<Index>(gridDim.x) * kWarps) {
    float volume = 0.0f;
    for (Index l = lane; l < L; l += kWarp) {
      const float* stats = data_of(op.components) + c * 2 * L + l;
      const float v = math::held_logvar(stats[L]);
      tables.mu[l * n + c] = stats[0];
      tables.inverse[l * n + c] = math::exp(-0.5f * v);
      volume += v + math::kLog2Pi;
    }
    volume = warp_sum(volume);
    if (lane != 0) continue;
    const float log_weight = (logits != nullptr ? logits[c] - max : 0.0f) - log_sum;
    tables.constant[c] = log_weight - 0.5f * volume;
    tables.weight[c] = math::exp(log_weight);
  }
}

// A group of lanes takes kRows rows, a lane every lanes-th component. The terms of a row are added in one pass,
// relative to the largest so far. Their order does not depend on which outputs are given.
template <class T, int kRows, int N>
__global__ void __launch_bounds__(kThreads, 2)
    mixture_rows(const MixtureLogProb op, const Tables tables, unsigned lanes) {
  const Index L = op.z.cols, rows = op.z.rows, n = op.components.rows, rows_per_block = kThreads / lanes * kRows;
  const unsigned lane = threadIdx.x % lanes;
  for (Index base = blockIdx.x * rows_per_block; base < rows; base += gridDim.x * rows_per_block) {
    const Index first = base + threadIdx.x / lanes * kRows;
    const T* z[kRows];
    float* responsibilities[kRows];  // null also past the last row
    float max[kRows], sum[kRows];
#pragma unroll
    for (int j = 0; j < kRows; ++j) {
      const Index r = first + j < rows ? first + j : rows - 1;
      z[j] = data_of<T>(op.z) + r * L;
      responsibilities[j] =
          op.responsibilities.data != nullptr && first + j < rows ? data_of(op.responsibilities) + r * n : nullptr;
      max[j] = -FLT_MAX, sum[j] = 0.0f;
    }
    for (Index c = lane; c < n; c += lanes) {
      float squares[kRows] = {};
      for (Index l = 0; l < L; l += N) {
        Pack<N> at[kRows];
#pragma unroll
        for (int j = 0; j < kRows; ++j) at[j] = load<N>(z[j] + l);
#pragma unroll
        for (int i = 0; i < N; ++i) {
          const float mu = tables.mu[(l + i) * n + c], inverse = tables.inverse[(l + i) * n + c];
#pragma unroll
          for (int j = 0; j < kRows; ++j) {
            const float u = (at[j].v[i] - mu) * inverse;
            squares[j] += u * u;
          }
        }
      }
      const float constant = tables.constant[c];
#pragma unroll
      for (int j = 0; j < kRows; ++j) {
        const float log_term = constant - 0.5f * squares[j], above = log_term - max[j];
        if (responsibilities[j] != nullptr) responsibilities[j][c] = log_term;
        const float ratio = math::exp(above > 0.0f ? -above : above);
        sum[j] = above > 0.0f ? sum[j] * ratio + 1.0f : sum[j] + ratio;
        max[j] = above > 0.0f ? log_term : max[j];
      }
    }
#pragma unroll
    for (int j = 0; j < kRows; ++j) {
      const float own = max[j];
      max[j] = lanes_max(own, lanes);
      sum[j] = lanes_sum(sum[j] * math::exp(own - max[j]), lanes);
      if (op.log_p.data != nullptr && lane == 0 && first + j < rows) {
        // log() takes numbers only: NaN is passed on.
        const bool is_number = sum[j] > 0.0f && max[j] > -FLT_MAX;
        const float log_p = is_number ? max[j] + math::log(sum[j]) : math::kNaN;
        data_of(op.log_p)[first + j] = op.add ? data_of(op.log_p)[first + j] + log_p : log_p;
      }
    }
    if (op.responsibilities.data == nullptr) continue;
    for (Index c = lane; c < n; c += lanes) {
#pragma unroll
      for (int j = 0; j < kRows; ++j)
        if (responsibilities[j] != nullptr)
          responsibilities[j][c] = math::exp(responsibilities[j][c] - max[j]) / sum[j];
    }
    if (op.dz.data == nullptr) continue;
    float kept[kRows] = {};  // the sum for latent `lane` of each turn of `lanes` latents
    for (Index l = 0; l < L; l += N) {
      Pack<N> at[kRows], slope[kRows] = {};
#pragma unroll
      for (int j = 0; j < kRows; ++j) at[j] = load<N>(z[j] + l);
      for (Index c = lane; c < n; c += lanes) {
        float share[kRows];
#pragma unroll
        for (int j = 0; j < kRows; ++j) share[j] = responsibilities[j] != nullptr ? responsibilities[j][c] : 0.0f;
#pragma unroll
        for (int i = 0; i < N; ++i) {
          const float mu = tables.mu[(l + i) * n + c], inverse = tables.inverse[(l + i) * n + c];
#pragma unroll
          for (int j = 0; j < kRows; ++j) slope[j].v[i] += share[j] * ((at[j].v[i] - mu) * inverse * inverse);
        }
      }
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const unsigned place = static_cast<unsigned>((l + i) % lanes);
        const bool ends = place == lanes - 1 || l + i == L - 1;
#pragma unroll
        for (int j = 0; j < kRows; ++j) {
          const float total = lanes_sum(slope[j].v[i], lanes);
          if (place == lane) kept[j] = total;
          if (ends && lane <= place && first + j < rows)
            data_of(op.dz)[(first + j) * L + l + i - place + lane] -= math::at(op.row_weight, first + j) * kept[j];
        }
      }
    }
  }
}

// Block (group, tile, chunk): partials [chunks, C, 2L + 1] = the chunk's sums of the gradients by mu, logvar and logit.
template <class T>
__global__ void __launch_bounds__(kThreads, 2)
    mixture_components(const MixtureLogProb op, const Tables tables, Index rows_per_chunk, float* partials) {
  __shared__ float sums[kWarps][2 * kGroup][kWarp], of_logits[kWarps][kGroup];
  const Index L = op.z.cols, n = op.components.rows, first = static_cast<Index>(blockIdx.x) * kGroup,
              begin = blockIdx.z * rows_per_chunk,
              end = begin + rows_per_chunk < op.z.rows ? begin + rows_per_chunk : op.z.rows;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const Index l = static_cast<Index>(blockIdx.y) * kWarp + lane;
  const bool takes_logit = op.dlogits.data != nullptr && blockIdx.y == 0 && lane < kGroup && first + lane < n;
  const float weight_of_component = takes_logit ? tables.weight[first + lane] : 0.0f;
  float mu[kGroup], inverse[kGroup], dmu[kGroup] = {}, dlogvar[kGroup] = {}, dlogit = 0.0f;
  int place[kGroup];  // past the last component: that one again, which is not stored
#pragma unroll
  for (int i = 0; i < kGroup; ++i) {
    place[i] = static_cast<int>(first + i < n ? i : n - 1 - first);
    mu[i] = l < L ? tables.mu[l * n + first + place[i]] : 0.0f;
    inverse[i] = l < L ? tables.inverse[l * n + first + place[i]] : 0.0f;
  }
  for (Index r = begin + warp; r < end; r += kWarps) {
    const float weight = math::at(op.row_weight, r);
    const float* responsibilities = data_of(op.responsibilities) + r * n + first;
    if (takes_logit) dlogit += weight * (responsibilities[lane] - weight_of_component);
    if (op.dcomponents.data == nullptr) continue;
    const float z = l < L ? load<1>(data_of<T>(op.z) + r * L + l).v[0] : 0.0f;
#pragma unroll
    for (int i = 0; i < kGroup; ++i) {
      const float g = weight * responsibilities[place[i]], u = (z - mu[i]) * inverse[i];
      dmu[i] += g * u;
      dlogvar[i] += g * (u * u - 1.0f);
    }
  }
#pragma unroll
  for (int i = 0; i < kGroup; ++i) {
    sums[warp][i][lane] = dmu[i] * inverse[i];
    sums[warp][kGroup + i][lane] = 0.5f * dlogvar[i];
  }
  if (lane < kGroup) of_logits[warp][lane] = dlogit;
  __syncthreads();
  // Warp i adds up component i's.
  static_assert(kGroup == kWarps);
  if (first + warp >= n) return;
  float* to = partials + (blockIdx.z * n + first + warp) * (2 * L + 1);
  if (op.dcomponents.data != nullptr && l < L) {
    float by_mu = 0.0f, by_logvar = 0.0f;
    for (int w = 0; w < kWarps; ++w) by_mu += sums[w][warp][lane], by_logvar += sums[w][kGroup + warp][lane];
    to[l] = by_mu;
    to[L + l] = by_logvar;
  }
  if (op.dlogits.data != nullptr && blockIdx.y == 0 && lane == 0) {
    float sum = 0.0f;
    for (int w = 0; w < kWarps; ++w) sum += of_logits[w][warp];
    to[2 * L] = sum;
  }
}

__device__ void put(const View& to, Index i, float value, Gradients gradients) {
  store_as(to, i, gradients == Gradients::add ? data_of(to)[i] + value : value);
}

/// The gradients from the chunks' sums.
__global__ void __launch_bounds__(kThreads, 4)
    mixture_gradients(const MixtureLogProb op, Index chunks, const float* partials) {
  const Index width = op.components.cols, size = op.components.rows * (width + 1);
  const Index thread = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (Index i = thread; i < size; i += static_cast<Index>(gridDim.x) * blockDim.x) {
    const Index c = i / (width + 1), k = i - c * (width + 1);
    const View& to = k == width ? op.dlogits : op.dcomponents;
    if (to.data == nullptr) continue;
    float sum = 0.0f;
    for (Index chunk = 0; chunk < chunks; ++chunk) sum += partials[chunk * size + i];
    if (k == width) {
      put(to, c, sum, op.gradients);
    } else {
      const float raw = data_of(op.components)[c * width + k];
      put(to, c * width + k, k < width / 2 ? sum : math::clamp_gradient(sum, raw, kLogVarMin, kLogVarMax),
          op.gradients);
    }
  }
}

struct MixtureShape {
  dim3 grid;
  Index rows_per_chunk, table, partials;  // floats
  explicit MixtureShape(const MixtureLogProb& op) : table(op.components.size() / 2) {
    const Index n = op.components.rows, groups = ceil_div(n, kGroup), tiles = ceil_div(op.z.cols, kWarp);
    rows_per_chunk = chunk_rows(op.z.rows, kLeastRows, std::max<Index>(1, kBlocks / (groups * tiles)));
    const Index chunks = ceil_div(op.z.rows, rows_per_chunk);
    grid = dim3(static_cast<unsigned>(groups), static_cast<unsigned>(tiles), static_cast<unsigned>(chunks));
    partials = op.dcomponents || op.dlogits ? chunks * n * (op.components.cols + 1) : 0;
  }
};

}  // namespace

std::size_t scratch_bytes(const MixtureLogProb& op) {
  const MixtureShape shape(op);
  return static_cast<std::size_t>(2 * shape.table + 2 * op.components.rows + shape.partials) * sizeof(float);
}

cudaError_t launch(const MixtureLogProb& op, Scratch scratch, cudaStream_t stream) {
  const Index rows = op.z.rows, n = op.components.rows;
  const MixtureShape shape(op);
  auto* floats = static_cast<float*>(scratch.partials);
  const Tables tables{floats, floats + shape.table, floats + 2 * shape.table, floats + 2 * shape.table + n};
  float* partials = tables.weight + n;
  cudaError_t error = start(mixture_tables, grid_for(n, kWarps), kThreads, stream, op, tables);
  if (error != cudaSuccess) return error;
  error = with_type(op.z.dtype, [&]<class T>() {
    const unsigned lanes = lanes_for(n);
    const int many = rows * lanes >= kManyThreads ? kManyRows : 1;
    const bool packs = op.z.cols % kLatents == 0 && aligned(op.z);
    const auto one = packs ? mixture_rows<T, 1, kLatents> : mixture_rows<T, 1, 1>,
               more = packs ? mixture_rows<T, kManyRows, kLatents> : mixture_rows<T, kManyRows, 1>;
    return start(many == 1 ? one : more, grid_for(rows, kThreads / lanes * many), kThreads, stream, op, tables, lanes);
  });
  if (error != cudaSuccess || shape.partials == 0) return error;
  error = with_type(op.z.dtype, [&]<class T>() {
    return start(mixture_components<T>, shape.grid, kThreads, stream, op, tables, shape.rows_per_chunk, partials);
  });
  if (error != cudaSuccess) return error;
  return start(mixture_gradients, grid_for(n * (op.components.cols + 1), kThreads), kThreads, stream, op,
               static_cast<Index>(shape.grid.z), static_cast<const float*>(partials));
}

}  // namespace cuvae::cuda
