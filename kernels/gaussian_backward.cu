// gaussian_backward: dstats. The kernel draws eps again, with an optimal baseline twice, so that no noise is stored.
// Moved per latent of a row: 8 + 4 K bytes read and 8 written, as bf16 4.
#include "launch.h"
#include "math/formulas.h"
#include "noise.cuh"

namespace cuvae::cuda {
namespace {

/// N of the normals from `number` on: four that one evaluation gives, or one of them.
template <int N>
__device__ __forceinline__ Pack<N> drawn(const Noise& noise, std::uint32_t step, std::uint64_t number) {
  if constexpr (N == 4) {
    return normals(noise, step, number / 4);
  } else {
    return {normal(noise, step, number)};
  }
}

enum class Terms { pathwise, by_row, optimal };

// A thread takes N neighbouring latents of a row with all K samples. The launch bounds allow enough registers: by
// default, the compiler aims at more blocks and spills.
template <class T, int N, Terms which>
__global__ void __launch_bounds__(kThreads, which == Terms::by_row    ? 2
                                            : which == Terms::optimal ? 1
                                                                      : 0)
    gaussian_backward(const GaussianBackward op, Index samples) {
  constexpr bool terms = which != Terms::pathwise;
  const std::uint32_t step = *op.noise.step;
  const float scale = op.kl_scale * math::kl_weight(op.weight, step);
  [[maybe_unused]] const float stick = op.terms.stick_the_landing ? 1.0f : 0.0f;
  const Index L = op.stats.cols / 2, packs = L / N, size = op.stats.rows * packs;
  const Index thread = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (Index i = thread; i < size; i += static_cast<Index>(gridDim.x) * blockDim.x) {
    const Index b = i / packs, l = (i - b * packs) * N;
    const float* stats = data_of(op.stats) + b * 2 * L + l;
    const Pack<N> mu = load<N>(stats), logvar = load<N>(stats + L),
                  kl = op.kl_dims.data != nullptr ? load<N>(data_of(op.kl_dims) + l) : Pack<N>{};
    Pack<N> sigma, dmu{}, dlogvar{};        // dlogvar: the sum that sigma multiplies
    [[maybe_unused]] Pack<N> of_density{};  // the rest of it
#pragma unroll
    for (int j = 0; j < N; ++j) sigma.v[j] = math::exp(0.5f * math::clamp(logvar.v[j], kLogVarMin, kLogVarMax));
    const auto noise_of = [&](Index r) {
      const bool mirrored = terms && is_mirrored(op.noise, r);
      const Index number = (op.noise.first_row * samples + r - mirrored) * L + l;
      Pack<N> eps = drawn<N>(op.noise, step, static_cast<std::uint64_t>(number));
      if constexpr (terms) {
#pragma unroll
        for (int j = 0; j < N; ++j) eps.v[j] = mirrored ? -eps.v[j] : eps.v[j];
      }
      return eps;
    };
    [[maybe_unused]] math::OthersConstant of_mu[N], of_logvar[N];
    if constexpr (which == Terms::optimal) {
      for (Index r = b * samples; r < (b + 1) * samples; ++r) {
        const Pack<N> eps = noise_of(r);
        const auto c = static_cast<double>(math::at(op.terms.score, r));
#pragma unroll
        for (int j = 0; j < N; ++j) {
          const double square = static_cast<double>(eps.v[j]) * static_cast<double>(eps.v[j]);
          of_mu[j].add(c, square);
          of_logvar[j].add(c, (square - 1.0) * (square - 1.0));
        }
      }
    }
    for (Index k = 0; k < samples; ++k) {
      const Index r = b * samples + k, at = r * L + l;
      const Pack<N> noise = noise_of(r);
      const Pack<N> dz = terms && op.dz.data == nullptr ? Pack<N>{} : load<N>(data_of(op.dz) + at);
      [[maybe_unused]] const float t = terms ? math::at(op.terms.path, r) : 1.0f,
                                   w = terms ? math::at(op.terms.density, r) : 0.0f,
                                   c = terms ? math::at(op.terms.score, r) : 0.0f;
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float eps = noise.v[j];
        if constexpr (terms) {
          float c_mu = c, c_logvar = c;
          if constexpr (which == Terms::optimal) {
            const double own = static_cast<double>(c), square = static_cast<double>(eps) * static_cast<double>(eps);
            c_mu = static_cast<float>(own - of_mu[j].without(own, square, samples));
            c_logvar = static_cast<float>(own - of_logvar[j].without(own, (square - 1.0) * (square - 1.0), samples));
          }
          const float pull = eps / sigma.v[j], z = mu.v[j] + sigma.v[j] * eps;
          const float path = t * (dz.v[j] + w * ((op.terms.standard_prior ? z : 0.0f) - stick * pull));
          dmu.v[j] += path - c_mu * pull;
          dlogvar.v[j] += path * eps;
          of_density.v[j] += (1.0f - stick) * t * w + c_logvar * (eps * eps - 1.0f);
        } else {
          dmu.v[j] += dz.v[j];
          dlogvar.v[j] += dz.v[j] * eps;
        }
      }
    }
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float s = kl.v[j] < op.weight.free_bits ? 0.0f : scale;  // scale is 0 where there are no kl_dims
      const float raw = logvar.v[j], lv = math::clamp(raw, kLogVarMin, kLogVarMax);
      dmu.v[j] += s * mu.v[j];
      float twice = dlogvar.v[j] * sigma.v[j] + s * (math::exp(lv) - 1.0f);
      if constexpr (terms) twice -= of_density.v[j] + op.terms.entropy;
      dlogvar.v[j] = math::clamp_gradient(0.5f * twice, raw, kLogVarMin, kLogVarMax);
    }
    T* dstats = data_of<T>(op.dstats) + b * 2 * L + l;
    store(dstats, dmu);
    store(dstats + L, dlogvar);
  }
}

}  // namespace

cudaError_t launch(const GaussianBackward& op, cudaStream_t stream) {
  // With L % 4 == 0, four neighbours of a row are one Philox evaluation.
  const Index batch = op.stats.rows, latent = op.stats.cols / 2,
              samples = (op.dz ? op.dz.rows : op.terms.score.rows.rows) / batch;
  const bool packs = latent % 4 == 0 && aligned(op.stats, op.dz, op.kl_dims, op.dstats);
  const Index items = batch * latent / (packs ? 4 : 1);
  return with_type(op.dstats.dtype, [&]<class T>() {
    const auto run = [&](auto four, auto one) {
      return start(packs ? four : one, grid_for(items, kThreads), kThreads, stream, op, samples);
    };
    if (op.terms.pathwise() && !op.noise.antithetic)
      return run(gaussian_backward<T, 4, Terms::pathwise>, gaussian_backward<T, 1, Terms::pathwise>);
    if (!op.terms.optimal_baseline)
      return run(gaussian_backward<T, 4, Terms::by_row>, gaussian_backward<T, 1, Terms::by_row>);
    return run(gaussian_backward<T, 4, Terms::optimal>, gaussian_backward<T, 1, Terms::optimal>);
  });
}

}  // namespace cuvae::cuda
