// Common to the tests of sample_gaussian and gaussian_backward.
#pragma once
#include "op_test.h"

namespace cuvae::test {

struct Shape {
  Index batch, samples, latent;
};
constexpr Shape kShapes[] = {{1, 1, 1},  {2, 1, 2},  {3, 2, 3},    {7, 5, 31},  {31, 1, 33},
                             {33, 2, 7}, {65, 1, 2}, {128, 1, 20}, {5, 5, 129}, {257, 2, 3}};
constexpr std::uint32_t kStep = 6;
constexpr std::uint64_t kSeed = 0x123456789abcdefull;

/// Random stats with mu in [-2, 2] and logvar in [-4, 3].
inline std::vector<float> random_stats(Index batch, Index latent) {
  std::vector<float> stats, mu = random_vector(batch * latent, 11, -2, 2),
                            logvar = random_vector(batch * latent, 12, -4, 3);
  for (Index b = 0; b < batch; ++b) {
    stats.insert(stats.end(), mu.begin() + b * latent, mu.begin() + (b + 1) * latent);
    stats.insert(stats.end(), logvar.begin() + b * latent, logvar.begin() + (b + 1) * latent);
  }
  return stats;
}

class LatentTest : public OpTest {
 protected:
  Noise noise(Index first_row = 0) const { return {kSeed, Stream::latent, step_.data(), first_row}; }
  reference::NoiseKey key(Index first_row = 0) const { return {kSeed, Stream::latent, kStep, first_row}; }

  /// dstats by gaussian_backward, with kl_dims from sample_gaussian.
  std::vector<float> gradient(Shape s, const std::vector<float>& stats, const std::vector<float>& dz,
                              const KlWeight& weight, float kl_scale, Index first_row = 0) {
    const Matrix in(backend_, s.batch, 2 * s.latent, stats), dout(backend_, s.batch * s.samples, s.latent, dz);
    const Matrix z(backend_, s.batch * s.samples, s.latent, type_), kl(backend_, s.batch, 1),
        kl_dims(backend_, 1, s.latent);
    const Matrix dstats(backend_, s.batch, 2 * s.latent, type_);
    backend_.run(SampleGaussian{in, noise(first_row), z, kl, kl_dims});
    backend_.run(GaussianBackward{{}, in, noise(first_row), dout, weight, kl_dims, kl_scale, dstats});
    return dstats.get();
  }

  Array<std::uint32_t> step_{backend_, std::vector<std::uint32_t>{kStep}};
};

/// One row of eight latents. Their log variances lie outside of the clamp or, if `held`, at its bounds.
constexpr Shape kOutside{1, 2, 8};
inline std::vector<float> outside_stats(bool held) {
  std::vector<float> stats(kOutside.latent, 1.0f);
  for (const float logvar : {-15.5f, 15.5f, -1e4f, 1e4f, -16.0f, 16.0f, -40.0f, 40.0f})
    stats.push_back(held ? std::clamp(logvar, kLogVarMin, kLogVarMax) : logvar);
  return stats;
}

/// Checks the gradient dstats(stats) for log variances outside of the clamp. It must be the gradient at the bound, or 0
/// if a step against that gradient leads further out. The loss must have a small weight of the KL: then both cases
/// occur.
template <class F>
void expect_to_come_back(F dstats) {
  const std::vector<float> got = dstats(outside_stats(false)), held = dstats(outside_stats(true));
  int inwards = 0, outwards = 0;
  for (Index l = 0; l < kOutside.latent; ++l) {
    SCOPED_TRACE("latent " + std::to_string(l));
    EXPECT_EQ(got[l], held[l]) << "dmu";
    const float at_bound = held[kOutside.latent + l];
    const bool comes_back = outside_stats(false)[kOutside.latent + l] < 0 ? at_bound < 0 : at_bound > 0;
    EXPECT_EQ(got[kOutside.latent + l], comes_back ? at_bound : 0.0f) << "dlogvar";
    ++(comes_back ? inwards : outwards);
  }
  EXPECT_GT(inwards, 0);
  EXPECT_GT(outwards, 0);
}

inline std::string trace(Shape s) {
  return "B " + std::to_string(s.batch) + ", K " + std::to_string(s.samples) + ", L " + std::to_string(s.latent);
}

}  // namespace cuvae::test
