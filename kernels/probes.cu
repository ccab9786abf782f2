// place_probes: the points where log p(x|z) is evaluated in addition to the samples, each a point (a sample, or the
// posterior's mean) with one coordinate replaced. probe_backward: the encoder's gradient from their log p(x|z).
// A thread takes one latent of a point and writes it into the probes of kCoordinates coordinates: the noise is made
// once for 4 kCoordinates values, and neighbouring threads write neighbouring ones.
// Moved per point: 8 L bytes read and 16 L^2 written (differences: 8 L^2 + 4 L, as bf16 half); backward reads 16 L a
// sample (differences: 8 L + 4 a row, 4 a sample), and 8 L of a row, and writes 8 L.
#include "launch.h"
#include "math/probes.h"
#include "noise.cuh"

namespace cuvae::cuda {
namespace {

constexpr Index kCoordinates = 8;

__device__ math::Words words(const Noise& noise, std::uint32_t step, std::uint64_t group) {
  const uint4 w = draw(noise, step, group);
  return {{w.x, w.y, w.z, w.w}};
}

template <class T, bool delta>
__global__ void __launch_bounds__(kThreads, 4)
    place_probes(const PlaceProbes op, Index points, Index samples, Index parts) {
  constexpr int kProbes = delta ? 2 : 4, kBefore = delta ? 1 : 0;  // of a coordinate; the row of the mean itself
  const std::uint32_t step = *op.noise.step;
  const Index L = op.probes.cols, size = points * parts * L;
  const Index thread = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (Index t = thread; t < size; t += static_cast<Index>(gridDim.x) * blockDim.x) {
    const Index l = t % L, part = t / L % parts, p = t / L / parts;
    const Index first = part * kCoordinates, end = first + kCoordinates < L ? first + kCoordinates : L;
    const float* stats = data_of(op.stats) + p / samples * 2 * L + l;
    const float mu = stats[0], sigma = math::exp(0.5f * math::clamp(stats[L], kLogVarMin, kLogVarMax));
    float z = mu;
    Pack<kProbes> own{};  // in place of z in the probes of coordinate l
    if constexpr (delta) {
      own.v[0] = mu + sigma;
      own.v[1] = mu - sigma;
    } else {
      const auto number = static_cast<std::uint64_t>((op.noise.first_row * samples + p) * L + l);
      z += sigma * normal(op.noise, step, number);
      if (first <= l && l < end) {
        Noise noise = op.noise;
        noise.stream = Stream::estimator;
        const math::Displacements d = math::displacements(
            op.kind == ProbeKind::coupled_pairs, words(noise, step, 2 * number), words(noise, step, 2 * number + 1));
#pragma unroll
        for (int j = 0; j < kProbes; ++j) own.v[j] = mu + sigma * d.v[j];
      }
    }
    T* at = data_of<T>(op.probes) + (p * (kProbes * L + kBefore) + kBefore + kProbes * first) * L + l;
    if (delta && part == 0) store(at - L, Pack<1>{z});
    for (Index i = first; i < end; ++i) {
#pragma unroll
      for (int j = 0; j < kProbes; ++j, at += L) store(at, Pack<1>{i == l ? own.v[j] : z});
    }
  }
}

/// dstats of row b's latent l, from sums over the row's samples.
template <class T>
__device__ __forceinline__ void write(const ProbeBackward& op, Index b, Index l, float shift, float scale, float of_kl,
                                      Index samples) {
  const Index L = op.kl_dims.cols, at = b * 2 * L + l;
  const float per_sample = -1.0f / static_cast<float>(op.stats.rows * samples);
  const float s = data_of(op.kl_dims)[l] < op.weight.free_bits ? 0.0f : of_kl;
  Pack<1> dmu, dlogvar;
  math::statistics_gradient(data_of(op.stats)[at], data_of(op.stats)[at + L], per_sample * shift, per_sample * scale, s,
                            dmu.v[0], dlogvar.v[0]);
  store(data_of<T>(op.dstats) + at, dmu);
  store(data_of<T>(op.dstats) + at + L, dlogvar);
}

// A thread takes one latent of a row.
template <class T>
__global__ void __launch_bounds__(kThreads) pairs_backward(const ProbeBackward op, Index samples) {
  const float of_kl = op.kl_scale * math::kl_weight(op.weight, *op.noise.step);
  const Index L = op.kl_dims.cols, size = op.stats.rows * L;
  const Index thread = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (Index i = thread; i < size; i += static_cast<Index>(gridDim.x) * blockDim.x) {
    const Index b = i / L, l = i - b * L;
    float shift = 0.0f, scale = 0.0f;
    for (Index k = 0; k < samples; ++k) {
      const float* f = data_of(op.log_p_probes) + ((b * samples + k) * L + l) * 4;
      shift += math::kMassOfShift * (f[0] - f[1]);
      scale += f[2] - f[3];
    }
    write<T>(op, b, l, shift, scale, of_kl, samples);
  }
}

// A warp takes a row, its lanes 32 latents at a time. The rest of a sample's value over the quadratic is a sum over all
// latents. It is computed again for each group of 32: this costs little compared with the decoder's 2 L + 1 rows.
template <class T>
__global__ void __launch_bounds__(kThreads) differences_backward(const ProbeBackward op, Index samples) {
  const std::uint32_t step = *op.noise.step;
  const float of_kl = op.kl_scale * math::kl_weight(op.weight, step);
  const Index L = op.kl_dims.cols, K = samples, lane = threadIdx.x % kWarp;
  const Index warp = static_cast<Index>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  for (Index b = warp; b < op.stats.rows; b += static_cast<Index>(gridDim.x) * kWarps) {
    const float* f = data_of(op.log_p_probes) + b * (2 * L + 1);
    const auto along = [&](Index l) { return math::quadratic(f[0], f[2 * l + 1], f[2 * l + 2]); };
    for (Index first = 0; first < L; first += kWarp) {
      const Index l = first + lane;
      const math::Quadratic q = l < L ? along(l) : math::Quadratic{};
      float shift = 0.0f, scale = 0.0f;
      for (Index r = b * K; r < (b + 1) * K; ++r) {
        const auto number = static_cast<std::uint64_t>((op.noise.first_row * K + r) * L);
        float h = 0.0f, eps = 0.0f;
        for (Index m = lane; m < L; m += kWarp) {
          const float e = normal(op.noise, step, number + static_cast<std::uint64_t>(m));
          h += math::at(along(m), e);
          if (m == l) eps = e;
        }
        const float rest = data_of(op.log_p)[r] - f[0] - warp_sum(h);
        shift += rest * eps + q.slope;
        scale += rest * (eps * eps - 1.0f) + q.curvature;
      }
      if (l < L) write<T>(op, b, l, shift, scale, of_kl, samples);
    }
  }
}

}  // namespace

cudaError_t launch(const PlaceProbes& op, cudaStream_t stream) {
  const Index latent = op.probes.cols, parts = ceil_div(latent, kCoordinates),
              points = op.probes.rows / probes_of_example(op.kind, 1, latent);
  return with_type(op.probes.dtype, [&]<class T>() {
    return start(op.kind == ProbeKind::differences ? place_probes<T, true> : place_probes<T, false>,
                 grid_for(points * parts * latent, kThreads), kThreads, stream, op, points, points / op.stats.rows,
                 parts);
  });
}

cudaError_t launch(const ProbeBackward& op, cudaStream_t stream) {
  const Index batch = op.stats.rows, latent = op.kl_dims.cols;
  const bool differences = op.kind == ProbeKind::differences;
  const Index samples = differences ? op.log_p.rows / batch : op.log_p_probes.rows / (4 * latent * batch);
  return with_type(op.dstats.dtype, [&]<class T>() {
    return differences ? start(differences_backward<T>, grid_for(batch, kWarps), kThreads, stream, op, samples)
                       : start(pairs_backward<T>, grid_for(batch * latent, kThreads), kThreads, stream, op, samples);
  });
}

}  // namespace cuvae::cuda
