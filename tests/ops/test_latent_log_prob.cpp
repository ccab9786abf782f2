// latent_log_prob: the log-density of a row of latents under the Gaussian that a network gives for it, and its
// gradients.
#include "latent_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;
using reference::widen;

struct Size {
  Index rows, latent;
};
// One lane to all of a warp's, whole packs and single values, a row longer than a turn of its lanes, many blocks.
constexpr Size kSizes[] = {{1, 1}, {2, 3}, {7, 4}, {33, 50}, {5, 128}, {300, 1}, {9, 129}, {20, 200}, {3000, 8}};
std::string trace(Size s) { return "R " + std::to_string(s.rows) + ", L " + std::to_string(s.latent); }

/// The errors of log_p and of the gradients, from the magnitudes of what is added up. u = (z - mu) / sigma has the
/// error of one exponential and two roundings; u / sigma that of two and four, below 2^-20; a weight `weight_error`.
struct Bounds {
  Vector log_p, dz, dstats;
};
Bounds bounds(const Vector& z, const Vector& stats, const reference::RowWeight& weight, double weight_error, Size s) {
  Bounds out{Vector(s.rows), Vector(z.size()), Vector(stats.size())};
  for (Index i = 0; i < s.rows * s.latent; ++i) {
    const Index r = i / s.latent, mu = r * 2 * s.latent + i % s.latent, logvar = mu + s.latent;
    const double v = std::clamp(stats[logvar], -15.0, 15.0), sigma = std::exp(v / 2), u = (z[i] - stats[mu]) / sigma;
    const double w = std::fabs(weight[r]), slope = std::fabs(u) / sigma;
    out.log_p[r] += sum_error(s.latent) * (u * u + std::fabs(v) + 1.84) / 2 + kSquaredExpError * u * u / 2;
    out.dstats[mu] = (w * 0x1p-20 + weight_error) * slope;
    out.dstats[logvar] = w / 2 * (u * u * (kSquaredExpError + 0x1p-21) + 0x1p-22) + weight_error * (u * u + 1) / 2;
    out.dz[i] = out.dstats[mu];
  }
  return out;
}

class LatentLogProbs : public OpTest {
 protected:
  void expect_match(Size s, const std::vector<float>& at, const std::vector<float>& stats, const RowFactor& factor,
                    const reference::RowWeight& weight, double weight_error) {
    const auto values = stored(at), start = random_vector(s.rows * s.latent, 71);
    const Matrix z(backend_, s.rows, s.latent, values, type_), in(backend_, s.rows, 2 * s.latent, stats),
        log_p(backend_, s.rows, 1), dz(backend_, s.rows, s.latent, start),
        dstats(backend_, s.rows, 2 * s.latent, type_);
    backend_.run(LatentLogProb{z, in, factor, log_p, false, dz, dstats});
    const auto want = reference::latent_log_prob(widen(values), widen(stats), weight, s.latent);
    Bounds bound = bounds(widen(values), widen(stats), weight, weight_error, s);
    Vector dz_want = want.dz;
    for (std::size_t i = 0; i < start.size(); ++i) {
      bound.dz[i] += 0x1p-24 * (std::fabs(start[i]) + 2 * std::fabs(want.dz[i]));
      dz_want[i] += start[i];
    }
    expect_within(log_p.get(), want.log_p, bound.log_p, "log_p");
    expect_within(dz.get(), dz_want, bound.dz, "dz");
    expect_stored_within(dstats.get(), want.dstats, bound.dstats, "dstats");
  }
};
CUVAE_IN_EVERY_PRECISION(LatentLogProbs);

TEST_P(LatentLogProbs, MatchTheReference) {
  for (const Size s : kSizes) {
    SCOPED_TRACE(trace(s));
    const auto z = random_vector(s.rows * s.latent, 72, -3, 3), stats = random_stats(s.rows, s.latent),
               rows = random_vector(s.rows, 73);
    expect_match(s, z, stats, -0.37f, double{-0.37f}, 0);
    const Matrix row(backend_, s.rows, 1, rows);
    expect_match(s, z, stats, row_factor(row), weights_of(rows), kWeightError);
  }
}

// beta is 0.5 * 2 / 4, a power of two.
TEST_P(LatentLogProbs, AreWeighedByBeta) {
  const Array<std::uint32_t> step(backend_, std::vector<std::uint32_t>{2});
  const KlWeight weight{0.5f, 4, 9.0f};
  const auto z = random_vector(21, 72, -3, 3), stats = random_stats(7, 3), rows = random_vector(7, 73);
  expect_match({7, 3}, z, stats, RowFactor(-0.37f).times(weight, step.data()), 0.25 * double{-0.37f}, 0);
  const Matrix row(backend_, 7, 1, rows);
  Vector each = weights_of(rows);
  for (double& w : each) w *= 0.25;
  expect_match({7, 3}, z, stats, row_factor(row).times(weight, step.data()), each, kWeightError);
}

TEST_P(LatentLogProbs, MatchTheReferenceFarFromTheMeanAndAtTheClamp) {
  expect_match({1, 6}, {1e6f, -1e6f, 3, -3, 1, 1e4f}, {0, 0, 1, 1, 1, 1, -15, 15, -15.5f, 15.5f, -1e4f, 1e4f}, -1.0f,
               -1.0, 0);
}

// Sums of order 10: central differences err by 1e-8, a dozen roundings by 1e-6 of the gradients, which are up to 50.
TEST_P(LatentLogProbs, GradientsMatchFiniteDifferences) {
  const Size s{3, 5};
  const auto values = stored(random_vector(s.rows * s.latent, 74, -3, 3)), stats = random_stats(s.rows, s.latent),
             rows = random_vector(s.rows, 75);
  const Vector weight = weights_of(rows), at_z = widen(values), at_stats = widen(stats);
  const Matrix z(backend_, s.rows, s.latent, values, type_), in(backend_, s.rows, 2 * s.latent, stats),
      row(backend_, s.rows, 1, rows), dz(backend_, s.rows, s.latent, std::vector<float>(values.size())),
      dstats(backend_, s.rows, 2 * s.latent, type_);
  backend_.run(LatentLogProb{z, in, row_factor(row), {}, false, dz, dstats});
  const auto sum = [&](const Vector& at, const Vector& of) {
    return dot(weight, reference::latent_log_prob(at, of, 0, s.latent).log_p);
  };
  expect_close(dz.get(), central_differences([&](const Vector& v) { return sum(v, at_stats); }, at_z), 1e-6, 2e-6,
               "dz");
  expect_stored_close(dstats.get(), central_differences([&](const Vector& v) { return sum(at_z, v); }, at_stats), 1e-6,
                      2e-6, "dstats");
}

TEST_P(LatentLogProbs, UnderTheStandardNormalAreThatOfSamples) {
  const Size s{9, 20};
  const Array<std::uint32_t> step(backend_, std::vector<std::uint32_t>{kStep});
  const Matrix in(backend_, s.rows, 2 * s.latent, random_stats(s.rows, s.latent)), z(backend_, s.rows, s.latent, type_),
      kl(backend_, s.rows, 1), kl_dims(backend_, 1, s.latent), of_sample(backend_, s.rows, 1),
      log_q(backend_, s.rows, 1), log_p(backend_, s.rows, 1),
      standard(backend_, s.rows, 2 * s.latent, std::vector<float>(static_cast<std::size_t>(s.rows * 2 * s.latent)));
  backend_.run(SampleGaussian{in, {kSeed, Stream::latent, step.data(), 0}, z, kl, kl_dims, nullptr, of_sample, log_q});
  backend_.run(LatentLogProb{.z = z, .stats = standard, .log_p = log_p});
  Vector bound, want = widen(of_sample.get());
  const Vector at = widen(z.get());
  for (Index r = 0; r < s.rows; ++r) {
    bound.push_back(0);
    for (Index l = 0; l < s.latent; ++l) {
      const double square = std::pow(at[r * s.latent + l], 2);
      // Both sums' errors; as bf16 z is off by 2^-9 of itself, and its square by twice that.
      bound.back() += sum_error(s.latent) * (square + 1.84) + rounding_ * square;
    }
  }
  expect_within(log_p.get(), want, bound, "log_p");
}

TEST_P(LatentLogProbs, OutputsDoNotDependOnWhatElseIsAskedFor) {
  for (const Size s : kSizes) {
    SCOPED_TRACE(trace(s));
    const auto size = static_cast<std::size_t>(s.rows * s.latent);
    const Matrix z(backend_, s.rows, s.latent, random_vector(s.rows * s.latent, 72, -3, 3), type_),
        in(backend_, s.rows, 2 * s.latent, random_stats(s.rows, s.latent)), log_p(backend_, s.rows, 1),
        alone(backend_, s.rows, 1), dz(backend_, s.rows, s.latent, std::vector<float>(size)),
        dz_alone(backend_, s.rows, s.latent, std::vector<float>(size)), dstats(backend_, s.rows, 2 * s.latent, type_),
        dstats_alone(backend_, s.rows, 2 * s.latent, type_);
    backend_.run(LatentLogProb{z, in, 0.3f, log_p, false, dz, dstats});
    backend_.run(LatentLogProb{.z = z, .stats = in, .log_p = alone});
    backend_.run(LatentLogProb{.z = z, .stats = in, .row_weight = 0.3f, .dz = dz_alone});
    backend_.run(LatentLogProb{.z = z, .stats = in, .row_weight = 0.3f, .dstats = dstats_alone});
    expect_same_bits(alone.get(), log_p.get(), "log_p");
    expect_same_bits(dz_alone.get(), dz.get(), "dz");
    expect_same_bits(dstats_alone.get(), dstats.get(), "dstats");
  }
}

TEST_P(LatentLogProbs, AreAddedWhereAskedFor) {
  const Size s{33, 5};
  const auto start = random_vector(s.rows, 76, -9, 9);
  const Matrix z(backend_, s.rows, s.latent, random_vector(s.rows * s.latent, 72, -3, 3), type_),
      in(backend_, s.rows, 2 * s.latent, random_stats(s.rows, s.latent)), alone(backend_, s.rows, 1),
      added(backend_, s.rows, 1, start);
  backend_.run(LatentLogProb{.z = z, .stats = in, .log_p = alone});
  backend_.run(LatentLogProb{.z = z, .stats = in, .log_p = added, .add = true});
  Vector want, bound;
  for (std::size_t i = 0; i < start.size(); ++i) {
    want.push_back(double{start[i]} + alone.get()[i]);
    bound.push_back(0x1p-24 * std::fabs(want.back()));
  }
  expect_within(added.get(), want, bound, "log_p");
}

// By turns with gradients that lead in and out: z far from the mean at the lower bound or at it, near it at the upper
// bound or two standard deviations away.
TEST_P(LatentLogProbs, FromOutsideOfItsClampALogVarianceComesBack) {
  expect_to_come_back([&](const std::vector<float>& stats) {
    const Matrix z(backend_, 1, 8, {0.5f, 0.5f, 1, 4001, 0.5f, 4001, 1, 0.5f}, type_), in(backend_, 1, 16, stats),
        dstats(backend_, 1, 16, type_);
    backend_.run(LatentLogProb{.z = z, .stats = in, .row_weight = -1.0f, .dstats = dstats});
    return dstats.get();
  });
}

TEST_P(LatentLogProbs, ANumberThatIsNotFiniteShowsInItsRowAlone) {
  const Matrix z(backend_, 3, 2, {0, 1, NAN, 1, 0, 1}, type_), in(backend_, 3, 4, std::vector<float>(12)),
      log_p(backend_, 3, 1);
  backend_.run(LatentLogProb{.z = z, .stats = in, .log_p = log_p});
  const auto got = log_p.get();
  EXPECT_TRUE(std::isfinite(got[0]));
  EXPECT_TRUE(std::isnan(got[1]));
  EXPECT_EQ(got[2], got[0]);
}

}  // namespace
}  // namespace cuvae
