// sample_latent and latent_backward: samples, KL in closed form, and the pathwise gradient.
#include "latent_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

struct Bounds {
  Vector z, kl, kl_dims, log_p_z, log_q;
};
/// z: the normal's own error, and five roundings (the exponential's 2.5 ulp among them). KL: its terms' magnitudes,
/// which may cancel, times the error of such a sum. Log-densities: likewise, and z's and the normal's error in their
/// squares.
Bounds sample_bounds(const Vector& stats, const reference::NoiseKey& noise, Shape s) {
  Bounds out{Vector(s.batch * s.samples * s.latent), Vector(s.batch), Vector(s.latent), Vector(s.batch * s.samples),
             Vector(s.batch * s.samples)};
  for (Index b = 0; b < s.batch; ++b)
    for (Index l = 0; l < s.latent; ++l) {
      const double mu = stats[b * 2 * s.latent + l];
      const double logvar = std::clamp(stats[b * 2 * s.latent + s.latent + l], -15.0, 15.0),
                   sigma = std::exp(logvar / 2);
      for (Index k = 0; k < s.samples; ++k) {
        const Index i = (b * s.samples + k) * s.latent + l;
        const std::uint64_t index = i + noise.first_row * s.samples * s.latent;
        const double eps = std::fabs(reference::normal(noise, index));
        const double error = reference::normal_error(noise, index), z = std::fabs(mu) + sigma * eps;
        out.z[i] = sigma * error + 0x1p-24 * (std::fabs(mu) + 8 * sigma * eps);
        out.log_p_z[i / s.latent] += z * out.z[i] + (z * z / 2 + 0.92) * sum_error(s.latent);
        out.log_q[i / s.latent] += eps * error + (eps * eps + std::fabs(logvar) + 1.84) / 2 * sum_error(s.latent);
      }
      const double terms = (mu * mu + sigma * sigma + std::fabs(logvar) + 1) / 2;
      out.kl[b] += terms * sum_error(s.latent);
      out.kl_dims[l] += terms * sum_error(s.batch) / static_cast<double>(s.batch);
    }
  return out;
}

class LatentOps : public LatentTest {
 protected:
  /// Samples of the stats, held against the reference.
  void expect_samples(Shape s, const std::vector<float>& stats, Index first_row = 0) {
    const Matrix in(backend_, s.batch, 2 * s.latent, stats);
    const Matrix z(backend_, s.batch * s.samples, s.latent, type_), kl(backend_, s.batch, 1),
        kl_dims(backend_, 1, s.latent);
    backend_.run(SampleGaussian{in, noise(first_row), z, kl, kl_dims});
    const auto want = reference::sample_latent(reference::widen(stats), key(first_row), s.samples, s.latent);
    const Bounds bound = sample_bounds(reference::widen(stats), key(first_row), s);
    expect_stored_within(z.get(), want.z, bound.z, "z");
    expect_within(kl.get(), want.kl, bound.kl, "kl");
    expect_within(kl_dims.get(), want.kl_dims, bound.kl_dims, "kl_dims");

    const Matrix log_p_z(backend_, s.batch * s.samples, 1), log_q(backend_, s.batch * s.samples, 1),
        same_z(backend_, s.batch * s.samples, s.latent, type_);
    backend_.run(SampleGaussian{in, noise(first_row), same_z, kl, kl_dims, nullptr, log_p_z, log_q});
    expect_same_bits(same_z.get(), z.get(), "z with log-densities");
    expect_within(log_p_z.get(), want.log_p_z, bound.log_p_z, "log_p_z");
    expect_within(log_q.get(), want.log_q, bound.log_q, "log_q");

    const Matrix alone(backend_, s.batch * s.samples, 1), added(backend_, log_q.rows, 1, log_q.get());
    backend_.run(SampleGaussian{.stats = in, .noise = noise(first_row), .z = same_z});
    expect_same_bits(same_z.get(), z.get(), "z alone");
    backend_.run(SampleGaussian{.stats = in, .noise = noise(first_row), .z = same_z, .log_p_z = alone});
    expect_same_bits(alone.get(), log_p_z.get(), "log_p_z alone");
    const Matrix norm(backend_, log_q.rows, 1);
    SampleGaussian with_norm{.stats = in, .noise = noise(first_row), .z = same_z, .log_q = alone, .score_norm = norm};
    backend_.run(with_norm);
    const auto doubled = [](std::vector<float> values) {
      for (float& v : values) v += v;
      return values;
    };
    const std::vector<float> twice = doubled(norm.get());
    with_norm.log_q = added, with_norm.add = true;
    backend_.run(with_norm);
    expect_same_bits(added.get(), doubled(log_q.get()), "log_q added to itself");
    expect_same_bits(norm.get(), twice, "score_norm added to itself");
  }
};
CUVAE_IN_EVERY_PRECISION(LatentOps);

/// The sum that latent_backward differentiates: dz z + kl_scale beta KL, without the dimensions below the free bits.
double objective(const Vector& stats, Shape s, const Vector& dz, const KlWeight& weight, double kl_scale,
                 const Vector& kl_dims) {
  const auto forward = reference::sample_latent(stats, {kSeed, Stream::latent, kStep, 0}, s.samples, s.latent);
  double sum = dot(dz, forward.z);
  for (Index l = 0; l < s.latent; ++l)
    if (kl_dims[l] >= weight.free_bits)
      sum += kl_scale * reference::beta(weight, kStep) * static_cast<double>(s.batch) * forward.kl_dims[l];
  return sum;
}

TEST_P(LatentOps, SamplesMatchTheReference) {
  for (const Shape s : kShapes) {
    SCOPED_TRACE(trace(s));
    expect_samples(s, random_stats(s.batch, s.latent));
    expect_samples(s, random_stats(s.batch, s.latent), 1000003);
  }
}

// The same values as moments() has: in double, a few roundings of values up to 1e4 apart.
TEST_P(LatentOps, MergesTheMomentsOfStatsAsTheyStand) {
  for (const Shape s : kShapes) {
    SCOPED_TRACE(trace(s));
    const Array<double> acc(backend_, std::vector<double>(1 + 4 * s.latent)), alone(backend_, acc.get()),
        without_kl(backend_, acc.get());
    const Matrix z(backend_, s.batch * s.samples, s.latent, type_), kl(backend_, s.batch, 1),
        kl_dims(backend_, 1, s.latent);
    const Matrix z_alone(backend_, s.batch * s.samples, s.latent, type_);
    Vector all;
    for (const float outside_the_clamp : {0.0f, -1e4f}) {
      std::vector<float> stats = random_stats(s.batch, s.latent);
      stats.back() += outside_the_clamp;
      const Matrix in(backend_, s.batch, 2 * s.latent, stats);
      backend_.run(SampleGaussian{in, noise(), z, kl, kl_dims, acc.data()});
      backend_.run(SampleGaussian{in, noise(), z_alone, kl, kl_dims});
      expect_same_bits(z.get(), z_alone.get(), "z");
      all.insert(all.end(), stats.begin(), stats.end());
      const Vector want = reference::moments(all, 2 * s.latent);
      expect_close(acc.get(), want, 1e-11, 1e-11, "moments");
      backend_.run(Moments{in, alone.data()});
      backend_.run(SampleGaussian{.stats = in, .noise = noise(), .z = z_alone, .moments = without_kl.data()});
      expect_same_bits(without_kl.get(), acc.get(), "moments without the KL");
      const auto separate = alone.get();
      expect_close(acc.get(), {separate.begin(), separate.end()}, 1e-11, 1e-11, "moments against moments()");
    }
  }
}

TEST_P(LatentOps, LogVarianceIsHeldAtItsClamp) {
  expect_samples({2, 5, 4}, {0, 1, -1, 2, -15, 15, -15.5f, 15.5f, 3, 0, 0, 0, -100, 100, -1e4f, 1e4f});
}

// KL = (mu^2 + exp(v) - v - 1)/2 near v = 0 is v^2/4: the error is absolute, of the terms' roundings.
TEST_P(LatentOps, KlOfThePriorIsZero) {
  const Shape s{3, 1, 7};
  const Matrix in(backend_, s.batch, 2 * s.latent, std::vector<float>(s.batch * 2 * s.latent, 0.0f));
  const Matrix z(backend_, s.batch, s.latent, type_), kl(backend_, s.batch, 1), kl_dims(backend_, 1, s.latent);
  backend_.run(SampleGaussian{in, noise(), z, kl, kl_dims});
  EXPECT_EQ(kl.get(), std::vector<float>(s.batch, 0.0f));
  EXPECT_EQ(kl_dims.get(), std::vector<float>(s.latent, 0.0f));
}

TEST_P(LatentOps, ABatchSplitInTwoDrawsTheSameNoise) {
  const Shape s{14, 3, 5}, half{7, 3, 5};
  const std::vector<float> stats = random_stats(s.batch, s.latent),
                           dz = random_vector(s.batch * s.samples * s.latent, 13);
  const auto part = [](const std::vector<float>& v, bool second) {
    const auto middle = v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2);
    return second ? std::vector<float>(middle, v.end()) : std::vector<float>(v.begin(), middle);
  };
  std::vector<float> joined_z, joined_dstats;
  for (const bool second : {false, true}) {
    const Matrix in(backend_, half.batch, 2 * half.latent, part(stats, second));
    const Matrix z(backend_, half.batch * half.samples, half.latent, type_), kl(backend_, half.batch, 1),
        kl_dims(backend_, 1, half.latent);
    backend_.run(SampleGaussian{in, noise(second ? half.batch : 0), z, kl, kl_dims});
    for (float v : z.get()) joined_z.push_back(v);
    for (float v : gradient(half, part(stats, second), part(dz, second), {}, 0.5f, second ? half.batch : 0))
      joined_dstats.push_back(v);
  }
  const Matrix in(backend_, s.batch, 2 * s.latent, stats);
  const Matrix z(backend_, s.batch * s.samples, s.latent, type_), kl(backend_, s.batch, 1),
      kl_dims(backend_, 1, s.latent);
  backend_.run(SampleGaussian{in, noise(), z, kl, kl_dims});
  expect_same_bits(z.get(), joined_z, "z");
  expect_same_bits(gradient(s, stats, dz, {}, 0.5f), joined_dstats, "dstats");
}

TEST_P(LatentOps, ANewStepDrawsNewNoise) {
  const Matrix in(backend_, 3, 8, random_stats(3, 4)), z(backend_, 3, 4, type_), kl(backend_, 3, 1),
      kl_dims(backend_, 1, 4);
  backend_.run(SampleGaussian{in, noise(), z, kl, kl_dims});
  const auto first = z.get(), first_kl = kl.get();
  backend_.run(SampleGaussian{in, noise(), z, kl, kl_dims});
  expect_same_bits(z.get(), first, "z");
  expect_same_bits(kl.get(), first_kl, "kl");
  step_.set({kStep + 1});
  backend_.run(SampleGaussian{in, noise(), z, kl, kl_dims});
  const auto second = z.get();
  for (std::size_t i = 0; i < first.size(); ++i) EXPECT_NE(first[i], second[i]);
  expect_same_bits(kl.get(), first_kl, "kl");
}

const KlWeight kWeights[] = {
    {1.0f, 0, 0.0f},          // the plain ELBO
    {4.0f, 0, 0.0f},          // beta
    {1.0f, 4 * kStep, 0.0f},  // a quarter into the warm-up
    {1.0f, kStep, 0.0f},      // its end
    {0.5f, 0, 1.2f},          // free bits
};

TEST_P(LatentOps, BackwardMatchesTheReference) {
  for (const Shape s : kShapes)
    for (const KlWeight& weight : kWeights) {
      SCOPED_TRACE(trace(s) + ", beta " + std::to_string(weight.beta) + ", free bits " +
                   std::to_string(weight.free_bits));
      const std::vector<float> stats = random_stats(s.batch, s.latent),
                               dz = random_vector(s.batch * s.samples * s.latent, 13);
      const float kl_scale = 1.0f / static_cast<float>(s.batch);
      const Vector wide = reference::widen(stats), dz_wide = reference::widen(dz);
      const auto forward = reference::sample_latent(wide, key(), s.samples, s.latent);
      const Vector want =
          reference::latent_backward(wide, key(), dz_wide, weight, forward.kl_dims, kl_scale, s.samples, s.latent);
      // Each term's error: the normal's own, plus the roundings of a sum of K + 1 terms.
      Vector bound(stats.size());
      for (Index b = 0; b < s.batch; ++b)
        for (Index l = 0; l < s.latent; ++l) {
          const Index i = b * 2 * s.latent + l;
          const double pull = kl_scale * weight.beta, sigma = std::exp(wide[i + s.latent] / 2);
          double sum = pull * std::fabs(wide[i]), sum_logvar = pull * (sigma * sigma + 1) / 2, noise_error = 0;
          for (Index k = 0; k < s.samples; ++k) {
            const Index at = (b * s.samples + k) * s.latent + l;
            sum += std::fabs(dz_wide[at]);
            sum_logvar += std::fabs(dz_wide[at] * sigma / 2 * reference::normal(key(), at));
            noise_error += std::fabs(dz_wide[at] * sigma / 2) * reference::normal_error(key(), at);
          }
          bound[i] = sum * sum_error(s.samples + 1);
          bound[i + s.latent] = noise_error + sum_logvar * sum_error(s.samples + 1);
        }
      expect_stored_within(gradient(s, stats, dz, weight, kl_scale), want, bound, "dstats");
    }
}

// Values of order one with K <= 5 terms: 3e-6 is the normals' error (below 2e-7 for these indices, times dz exp(v/2)/2
// <= 2.3, five times) and the roundings.
TEST_P(LatentOps, GradientsMatchFiniteDifferences) {
  for (const Shape s : {Shape{3, 1, 4}, Shape{2, 5, 3}})
    for (const KlWeight& weight : kWeights) {
      SCOPED_TRACE(trace(s) + ", beta " + std::to_string(weight.beta) + ", free bits " +
                   std::to_string(weight.free_bits));
      const std::vector<float> stats = random_stats(s.batch, s.latent),
                               dz = random_vector(s.batch * s.samples * s.latent, 13);
      const Vector kl_dims = reference::sample_latent(reference::widen(stats), key(), s.samples, s.latent).kl_dims;
      const auto f = [&](const Vector& v) { return objective(v, s, reference::widen(dz), weight, 0.25, kl_dims); };
      expect_stored_close(gradient(s, stats, dz, weight, 0.25f), central_differences(f, reference::widen(stats)), 3e-6,
                          0, "dstats");
    }
}

TEST_P(LatentOps, FromOutsideOfItsClampALogVarianceComesBack) {
  expect_to_come_back(
      [&](const std::vector<float>& stats) { return gradient(kOutside, stats, random_vector(16, 14), {}, 0x1p-20f); });
}

// The KL alone leads back from both sides: s/2 (exp(-15) - 1) and s/2 (exp(15) - 1), the exponential at 2.5 ulp.
TEST_P(LatentOps, TheKlLeadsBackFromOutsideOfTheClamp) {
  const Shape s{1, 1, 2};
  const auto got = gradient(s, {0, 0, -40, 40}, {0, 0}, {}, 0.5f);
  expect_stored_close(got, {0, 0, std::expm1(-15) / 4, std::expm1(15) / 4}, 0, 0x1p-21, "dstats");
}

TEST_P(LatentOps, DimensionsBelowTheFreeBitsHaveNoKlGradient) {
  const Shape s{2, 1, 2};
  const std::vector<float> stats{0.1f, 2.0f, 0.1f, 0.5f, -0.1f, 2.0f, 0.1f, 0.5f};  // KL about .008 and 2.07 nats
  const auto got = gradient(s, stats, {0, 0, 0, 0}, {1.0f, 0, 0.5f}, 1.0f);
  for (const Index i : {0, 2, 4, 6}) EXPECT_EQ(got[i], 0.0f);
  for (const Index i : {1, 3, 5, 7}) EXPECT_NE(got[i], 0.0f);
}

TEST_P(LatentOps, TheFreeBitsThemselvesAreNotBelow) {
  const Matrix stats(backend_, 1, 4, {1, 1, 1, 1}), dz(backend_, 1, 2, {0, 0}), dstats(backend_, 1, 4, type_);
  const Matrix kl_dims(backend_, 1, 2, {0.5f, std::nextafter(0.5f, 0.0f)});
  backend_.run(GaussianBackward{{}, stats, noise(), dz, {1.0f, 0, 0.5f}, kl_dims, 1.0f, dstats});
  const std::vector<float> got = dstats.get();
  EXPECT_EQ(got[0], 1.0f);  // mu
  EXPECT_EQ(got[1], 0.0f);
}

TEST_P(LatentOps, BackwardGivesTheSameBitsEveryTime) {
  const Shape s{33, 5, 31};
  const auto stats = random_stats(s.batch, s.latent), dz = random_vector(s.batch * s.samples * s.latent, 13);
  expect_same_bits(gradient(s, stats, dz, kWeights[4], 0.1f), gradient(s, stats, dz, kWeights[4], 0.1f), "dstats");
}

}  // namespace
}  // namespace cuvae
