// merge_gaussians and merge_gaussians_backward: the product of two Gaussians of latents, and its gradients.
#include "latent_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;
using reference::widen;

constexpr double kUnit = 0x1p-24;
// Several samples, a width of whole packs, more than a block.
constexpr Shape kMergeShapes[] = {{1, 1, 1}, {2, 3, 3}, {7, 1, 4}, {3, 5, 20}, {33, 2, 7}, {130, 2, 8}, {5, 4, 129}};

/// Statistics whose log variances are between -15.5 and 15.5, so that some are outside of their clamp.
std::vector<float> wide_stats(Index rows, Index latent, std::uint64_t seed) {
  std::vector<float> stats = random_vector(rows * 2 * latent, seed, -3, 3);
  for (Index i = 0; i < rows * 2 * latent; ++i)
    if (i % (2 * latent) >= latent) stats[static_cast<std::size_t>(i)] *= 15.5f / 3;
  return stats;
}

/// The relative error of the ratio t of two variances: of a difference of log variances, half a unit in its last place,
/// and of exp() five units. The shares of the means have that and three roundings.
double ratio_error(double logvar_p, double logvar_b) {
  const auto held = [](double v) { return std::clamp<double>(v, kLogVarMin, kLogVarMax); };
  return kUnit * (std::fabs(held(logvar_p) - held(logvar_b)) + 5);
}

class Merge : public OpTest {
 protected:
  std::vector<float> merged(Shape s, const std::vector<float>& prior, const std::vector<float>& bottom_up) {
    const Matrix p(backend_, s.batch * s.samples, 2 * s.latent, prior), b(backend_, s.batch, 2 * s.latent, bottom_up),
        out(backend_, s.batch * s.samples, 2 * s.latent);
    backend_.run(MergeGaussians{p, b, out});
    return out.get();
  }
  /// The index of the bottom-up statistic of a merged one.
  static std::size_t below(Shape s, std::size_t at) {
    const auto width = static_cast<std::size_t>(2 * s.latent);
    return at / width / static_cast<std::size_t>(s.samples) * width + at % width;
  }
};
CUVAE_IN_EVERY_PRECISION(Merge);

TEST_P(Merge, MatchesTheReference) {
  for (const Shape s : kMergeShapes) {
    SCOPED_TRACE(trace(s));
    const Index rows = s.batch * s.samples;
    const auto latent = static_cast<std::size_t>(s.latent);
    const std::vector<float> prior = wide_stats(rows, s.latent, 81), bottom_up = wide_stats(s.batch, s.latent, 82);
    const Vector want = reference::merge_gaussians(widen(prior), widen(bottom_up), s.samples, s.latent);
    Vector bound(want.size());
    for (std::size_t at = 0; at < bound.size(); ++at) {
      if (at % (2 * latent) >= latent) continue;
      const std::size_t b = below(s, at);
      const double error = ratio_error(prior[at + latent], bottom_up[b + latent]) + 6 * kUnit;
      bound[at] = error * std::fabs(prior[at] - bottom_up[b]) + kUnit * std::fabs(want[at]);
      bound[at + latent] = error + kUnit * std::fabs(want[at + latent]);
    }
    expect_within(merged(s, prior, bottom_up), want, bound, "merged");
  }
}

TEST_P(Merge, GradientsMatchTheReference) {
  for (const Shape s : kMergeShapes) {
    SCOPED_TRACE(trace(s));
    const Index rows = s.batch * s.samples, width = 2 * s.latent;
    const std::vector<float> prior = wide_stats(rows, s.latent, 81), bottom_up = wide_stats(s.batch, s.latent, 82),
                             d = stored(random_vector(rows * width, 83)),
                             start = stored(random_vector(rows * width, 84)),
                             mean = random_vector(s.batch * s.latent, 85);
    const Matrix p(backend_, rows, width, prior), b(backend_, s.batch, width, bottom_up),
        dmerged(backend_, rows, width, d, type_), dprior(backend_, rows, width, start, type_),
        dbottom_up(backend_, s.batch, width, type_), dmean(backend_, s.batch, s.latent, mean);
    backend_.run(MergeGaussiansBackward{p, b, dmerged, dprior, dbottom_up, dmean});
    auto want =
        reference::merge_gaussians_backward(widen(prior), widen(bottom_up), widen(d), widen(mean), s.samples, s.latent);
    const auto latent = static_cast<std::size_t>(s.latent);
    // Two shares of such errors and a few roundings; then sums of K rows, of `start` and of dmean.
    Vector of_prior(want.dprior.size()), of_bottom_up(want.dbottom_up.size());
    for (std::size_t at = 0; at < of_prior.size(); ++at) {
      const bool mu = at % (2 * latent) < latent;
      const std::size_t logvar = mu ? at + latent : at, other = below(s, logvar);
      const double error = 2 * ratio_error(prior[logvar], bottom_up[other]) + 12 * kUnit;
      of_prior[at] = error * want.size_of_prior[at] + kUnit * (std::fabs(start[at]) + want.size_of_prior[at]);
      double& bound = of_bottom_up[below(s, at)];
      bound = std::max(
          bound, (2 * kUnit * (30 + 5) + 12 * kUnit + sum_error(s.samples)) * want.size_of_bottom_up[below(s, at)] +
                     2 * kUnit);
      want.dprior[at] += start[at];
    }
    expect_stored_within(dprior.get(), want.dprior, of_prior, "dprior");
    expect_stored_within(dbottom_up.get(), want.dbottom_up, of_bottom_up, "dbottom_up");

    // Each output alone has the same bits.
    const Matrix prior_alone(backend_, rows, width, start, type_), bottom_up_alone(backend_, s.batch, width, type_);
    backend_.run(MergeGaussiansBackward{p, b, dmerged, prior_alone, {}, {}});
    backend_.run(MergeGaussiansBackward{p, b, dmerged, {}, bottom_up_alone, dmean});
    expect_same_bits(prior_alone.get(), dprior.get(), "dprior alone");
    expect_same_bits(bottom_up_alone.get(), dbottom_up.get(), "dbottom_up alone");
  }
}

// Central differences err by 1e-8, roundings by 1e-6.
TEST_P(Merge, GradientsMatchFiniteDifferences) {
  const Shape s{3, 2, 5};
  const std::vector<float> prior = random_stats(6, 5), bottom_up = random_vector(30, 86, -2, 2),
                           d = stored(random_vector(60, 87));
  const Matrix p(backend_, 6, 10, prior), b(backend_, 3, 10, bottom_up), dmerged(backend_, 6, 10, d, type_),
      dprior(backend_, 6, 10, std::vector<float>(60), type_), dbottom_up(backend_, 3, 10, type_);
  backend_.run(MergeGaussiansBackward{p, b, dmerged, dprior, dbottom_up, {}});
  const auto sum = [&](const Vector& at_p, const Vector& at_b) {
    return dot(widen(d), reference::merge_gaussians(at_p, at_b, s.samples, s.latent));
  };
  const Vector at_p = widen(prior), at_b = widen(bottom_up);
  expect_stored_close(dprior.get(), central_differences([&](const Vector& v) { return sum(v, at_b); }, at_p), 2e-6,
                      2e-6, "dprior");
  expect_stored_close(dbottom_up.get(), central_differences([&](const Vector& v) { return sum(at_p, v); }, at_b), 2e-6,
                      2e-6, "dbottom_up");
}

// Exactly, so that a posterior is never wider than its prior.
TEST_P(Merge, IsNoWiderThanEitherOfTheTwo) {
  const Shape s{64, 2, 9};
  const std::vector<float> prior = wide_stats(128, 9, 88), bottom_up = wide_stats(64, 9, 89),
                           out = merged(s, prior, bottom_up);
  for (std::size_t at = 0; at < out.size(); ++at) {
    if (at % 18 < 9) continue;
    EXPECT_LE(out[at], std::clamp(prior[at], kLogVarMin, kLogVarMax)) << at;
    EXPECT_LE(out[at], std::clamp(bottom_up[below(s, at)], kLogVarMin, kLogVarMax)) << at;
  }
}

TEST_P(Merge, KnownProducts) {
  const Shape s{1, 1, 3};
  // Equal variances; one at the other's bound; a wide one, which counts for nothing.
  const std::vector<float> out = merged(s, {1, 1, 2, 0.5f, 15, -5}, {3, 5, -7, 0.5f, -15, 15});
  expect_close(out, {2, 5, 2, 0.5 - std::log(2.0), -15, -5}, 1e-6, 1e-6, "merged");
}

TEST_P(Merge, NaNIsPassedOn) {
  for (const std::size_t bad : {0u, 1u, 2u, 3u}) {
    std::vector<float> stats{0, 1, 0, 1};
    stats[bad] = NAN;
    for (const bool of_prior : {false, true}) {
      const std::vector<float> good{0, 1, 0, 1},
          out = merged({1, 1, 2}, of_prior ? stats : good, of_prior ? good : stats);
      EXPECT_TRUE(std::isnan(out[bad])) << bad;
    }
  }
}

}  // namespace
}  // namespace cuvae
