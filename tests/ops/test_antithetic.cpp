// Antithetic pairs in sample_latent and latent_backward.
#include "latent_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

constexpr Shape kPairs[] = {{1, 2, 1}, {3, 2, 3}, {7, 4, 31}, {31, 2, 33}, {33, 2, 8}, {5, 6, 129}, {257, 2, 3}};

class Antithetic : public LatentTest {
 protected:
  Noise pairs(Index first_row = 0) const {
    Noise n = noise(first_row);
    n.antithetic = true;
    return n;
  }
};
CUVAE_IN_EVERY_PRECISION(Antithetic);

// With mu = 0 and sigma = 1, z is eps: the even samples are those without pairs, the odd ones minus them.
TEST_P(Antithetic, OddSamplesMirrorTheOnesBefore) {
  for (const Shape s : kPairs)
    for (const Index first_row : {0, 3})
      for (const bool densities : {false, true}) {
        SCOPED_TRACE(trace(s) + ", row " + std::to_string(first_row) + (densities ? ", densities" : ""));
        const Index R = s.batch * s.samples;
        const Matrix in(backend_, s.batch, 2 * s.latent, std::vector<float>(s.batch * 2 * s.latent, 0)),
            z(backend_, R, s.latent, type_), plain(backend_, R, s.latent, type_), kl(backend_, s.batch, 1),
            kl_dims(backend_, 1, s.latent), p(backend_, R, 1), q(backend_, R, 1);
        const auto given = [&](const Matrix& m) { return densities ? View(m) : View{}; };
        backend_.run(SampleGaussian{in, pairs(first_row), z, kl, kl_dims, nullptr, given(p), given(q)});
        backend_.run(SampleGaussian{in, noise(first_row), plain, kl, kl_dims});
        std::vector<float> want = plain.get();
        for (Index r = 1; r < R; r += 2)
          for (Index l = 0; l < s.latent; ++l) want[r * s.latent + l] = -want[(r - 1) * s.latent + l];
        // From row to row of a pair the sum has the same terms.
        expect_same_bits(z.get(), want, "z");
        if (!densities) continue;
        const std::vector<float> log_p = p.get(), log_q = q.get();
        for (Index r = 0; r < R; r += 2) {
          EXPECT_NEAR(log_p[r], log_p[r + 1], 1e-6 * std::fabs(log_p[r]));
          EXPECT_NEAR(log_q[r], log_q[r + 1], 1e-6 * std::fabs(log_q[r]));
        }
      }
}

TEST_P(Antithetic, TheGradientMatchesTheReference) {
  for (const Shape s : kPairs)
    for (const bool score : {false, true}) {
      SCOPED_TRACE(trace(s) + (score ? ", score" : ", path"));
      const Index R = s.batch * s.samples;
      const std::vector<float> stats = random_stats(s.batch, s.latent), dz = random_vector(R * s.latent, 13),
                               scores = random_vector(R, 17, -2, 2);
      const Matrix in(backend_, s.batch, 2 * s.latent, stats), dout(backend_, R, s.latent, dz),
          rows(backend_, R, 1, scores), kl_dims(backend_, 1, s.latent, std::vector<float>(s.latent, 1)),
          dstats(backend_, s.batch, 2 * s.latent, type_);
      LatentTerms terms;
      reference::LatentTerms wide{Vector(R, 1), Vector(R), Vector(R)};
      if (score) {
        terms.path = 0.0f, terms.score = {1.0f, rows};
        wide.path = Vector(R), wide.score = reference::widen(scores);
      }
      backend_.run(
          GaussianBackward{terms, in, pairs(), score ? ConstView{} : ConstView(dout), {}, kl_dims, 0.0f, dstats});
      reference::NoiseKey mirrored = key();
      mirrored.antithetic = true;
      const Vector stats_wide = reference::widen(stats), dz_wide = reference::widen(dz);
      const Vector want = reference::latent_terms_backward(wide, stats_wide, mirrored, dz_wide, s.samples, s.latent);
      // As without pairs: some ten roundings a term, and the normal's error times the slope by it.
      Vector bound(stats.size());
      for (Index b = 0; b < s.batch; ++b)
        for (Index l = 0; l < s.latent; ++l) {
          const Index i = b * 2 * s.latent + l;
          const double sigma = std::exp(stats_wide[i + s.latent] / 2);
          double sum = 0, sum_logvar = 0, error = 0, error_logvar = 0;
          for (Index k = 0; k < s.samples; ++k) {
            const Index r = b * s.samples + k, at = (r - r % 2) * s.latent + l;
            const double eps = std::fabs(reference::normal(key(), at)), off = reference::normal_error(key(), at);
            const double d = wide.path[r] * std::fabs(dz_wide[r * s.latent + l]), c = std::fabs(wide.score[r]);
            sum += d + c * eps / sigma, sum_logvar += d * sigma * eps + c * (eps * eps + 1);
            error += off * c / sigma, error_logvar += off * (d * sigma + 2 * c * eps);
          }
          bound[i] = error + 2 * sum * sum_error(s.samples + 1);
          bound[i + s.latent] = (error_logvar + 2 * sum_logvar * sum_error(s.samples + 1)) / 2;
        }
      expect_stored_within(dstats.get(), want, bound, "dstats");
    }
}

}  // namespace
}  // namespace cuvae
