// The score's optimal baseline in latent_backward, and the norms of scores that sample_latent gives.
#include "latent_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

class LatentOptimal : public LatentTest {
 protected:
  std::vector<float> backward(Shape s, const std::vector<float>& stats, const LatentTerms& terms, ConstView dz = {}) {
    const Matrix in(backend_, s.batch, 2 * s.latent, stats), dstats(backend_, s.batch, 2 * s.latent, type_),
        kl_dims(backend_, 1, s.latent, std::vector<float>(s.latent, 1));
    backend_.run(GaussianBackward{terms, in, noise(), dz, {}, kl_dims, 0.0f, dstats});
    return dstats.get();
  }
};
CUVAE_IN_EVERY_PRECISION(LatentOptimal);

/// How far sum_k (c_k - b_k) s_k may lie from the reference when each s is off by `off`: b is a mean weighted by s^2 of
/// the others, and what they leave of the whole in double is off by 2^-50 of it.
double optimal_error(const Vector& c, const Vector& s, const Vector& off) {
  double error = 0, largest = 0, all = 0;
  for (std::size_t k = 0; k < c.size(); ++k) largest = std::max(largest, std::fabs(c[k])), all += s[k] * s[k];
  for (std::size_t k = 0; k < c.size(); ++k) {
    const double b = reference::optimal_baseline(c, s, static_cast<Index>(k));
    double rest = 0, moved = 0;
    for (std::size_t j = 0; j < c.size(); ++j)
      if (j != k) {
        rest += s[j] * s[j];
        moved += std::fabs(c[j] - b) * (2 * std::fabs(s[j]) + off[j]) * off[j];
      }
    const double error_of_b = 2 * moved / rest + 0x1p-50 * all / rest * largest;
    const double weight = std::fabs(c[k]) + std::fabs(b);
    error += off[k] * (weight + error_of_b) +
             std::fabs(s[k]) * (error_of_b + 2 * weight * sum_error(static_cast<Index>(c.size()) + 1));
  }
  return error;
}

TEST_P(LatentOptimal, BaselinesMatchTheReference) {
  for (Shape s : kShapes) {
    if (s.samples == 1) s.samples = 3;
    SCOPED_TRACE(trace(s));
    const Index R = s.batch * s.samples;
    const std::vector<float> stats = random_stats(s.batch, s.latent), scores = random_vector(R, 17, -2, 2);
    const Matrix score(backend_, R, 1, scores);
    LatentTerms terms;
    terms.path = 0.0f, terms.score = {0.5f, score}, terms.optimal_baseline = true;
    reference::LatentTerms wide{Vector(R), Vector(R), {}, 0, false, true};
    for (const float row : scores) wide.score.push_back(0.5 * double{row});
    const Vector stats_wide = reference::widen(stats);
    const Vector want =
        reference::latent_terms_backward(wide, stats_wide, key(), Vector(R * s.latent), s.samples, s.latent);
    Vector bound(stats.size());
    for (Index b = 0; b < s.batch; ++b)
      for (Index l = 0; l < s.latent; ++l) {
        Vector c, by_mu, by_logvar, off, off_square;
        for (Index r = b * s.samples; r < (b + 1) * s.samples; ++r) {
          const double eps = reference::normal(key(), r * s.latent + l),
                       e = reference::normal_error(key(), r * s.latent + l);
          c.push_back(wide.score[r]);
          by_mu.push_back(eps), by_logvar.push_back(eps * eps - 1);
          off.push_back(e), off_square.push_back((2 * std::fabs(eps) + e) * e + 0x1p-23 * eps * eps);
        }
        const Index i = b * 2 * s.latent + l;
        bound[i] = optimal_error(c, by_mu, off) / std::exp(stats_wide[i + s.latent] / 2);
        bound[i + s.latent] = optimal_error(c, by_logvar, off_square) / 2;
      }
    expect_stored_within(backward(s, stats, terms), want, bound, "dstats");
  }
}

// A cost that all samples share has no gradient left; what is through the path stays.
TEST_P(LatentOptimal, WhatAllSamplesShareIsTakenAway) {
  for (const Shape s : {Shape{7, 5, 31}, Shape{33, 2, 8}}) {
    const Index R = s.batch * s.samples;
    const std::vector<float> stats = random_stats(s.batch, s.latent);
    const Matrix score(backend_, R, 1, std::vector<float>(R, 700)), zeros(backend_, R, 1, std::vector<float>(R, 0)),
        dz(backend_, R, s.latent, random_vector(R * s.latent, 13));
    LatentTerms terms;
    terms.score = {1.0f, score}, terms.optimal_baseline = true;
    LatentTerms path;
    path.score = {1.0f, zeros};
    path.density = {0.0f, zeros};
    expect_stored_close(backward(s, stats, terms, dz), reference::widen(backward(s, stats, path, dz)), 1e-3, 0x1p-22,
                        "dstats");
  }
}

// The terms are squares: none cancels. Off by the normal's error times the slope, and by the sum's rounding.
TEST_P(LatentOptimal, NormsOfScoresMatchTheReference) {
  for (const Shape s : kShapes) {
    SCOPED_TRACE(trace(s));
    const Index R = s.batch * s.samples;
    const std::vector<float> stats = random_stats(s.batch, s.latent);
    const Matrix in(backend_, s.batch, 2 * s.latent, stats), z(backend_, R, s.latent, type_), kl(backend_, s.batch, 1),
        kl_dims(backend_, 1, s.latent), log_p_z(backend_, R, 1), log_q(backend_, R, 1), norm(backend_, R, 1),
        same_p(backend_, R, 1), same_q(backend_, R, 1);
    backend_.run(SampleGaussian{in, noise(), z, kl, kl_dims, nullptr, log_p_z, log_q, norm});
    const Vector wide = reference::widen(stats),
                 want = reference::sample_latent(wide, key(), s.samples, s.latent).score_norm;
    Vector bound;
    for (Index r = 0; r < R; ++r) {
      double error = 2 * want[r] * sum_error(s.latent);
      for (Index l = 0; l < s.latent; ++l) {
        const double eps = std::fabs(reference::normal(key(), r * s.latent + l)),
                     off = reference::normal_error(key(), r * s.latent + l) + 0x1p-23 * eps;
        const double precision = std::exp(-wide[(r / s.samples * 2 + 1) * s.latent + l]);
        error += off * (2 * eps + off) * (precision + std::fabs(eps * eps - 1));
      }
      bound.push_back(error);
    }
    expect_within(norm.get(), want, bound, "score_norm");
    backend_.run(SampleGaussian{in, noise(), z, kl, kl_dims, nullptr, same_p, same_q});
    expect_same_bits(same_p.get(), log_p_z.get(), "log_p_z without norms");
    expect_same_bits(same_q.get(), log_q.get(), "log_q without norms");
  }
}

}  // namespace
}  // namespace cuvae
