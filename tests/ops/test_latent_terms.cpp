// latent_backward with terms for each sample.
#include "latent_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

class LatentTermOps : public LatentTest {};
CUVAE_IN_EVERY_PRECISION(LatentTermOps);

/// Terms of which every part is at work, in the backend's memory and for the reference.
struct Terms {
  Terms(Backend& backend, Shape s, bool stick)
      : path_(backend, s.batch * s.samples, 1, random_vector(s.batch * s.samples, 15)),
        density_(backend, s.batch * s.samples, 1, random_vector(s.batch * s.samples, 16, 0, 1)),
        score_(backend, s.batch * s.samples, 1, random_vector(s.batch * s.samples, 17, -2, 2)),
        op{{-0.5f, path_, 0.8f}, {0.7f, density_}, {0.3f, score_}, 0.25f, stick} {
    for (const float row : path_.get()) wide.path.push_back(0.8f - 0.5 * row);
    for (const float row : density_.get()) wide.density.push_back(double{0.7f} * row);
    for (const float row : score_.get()) wide.score.push_back(double{0.3f} * row);
    wide.entropy = 0.25;
    wide.stick_the_landing = stick;
  }

 private:
  Matrix path_, density_, score_;

 public:
  LatentTerms op;
  reference::LatentTerms wide;
};

TEST_P(LatentTermOps, TermsMatchTheReference) {
  for (const Shape s : kShapes)
    for (const bool stick : {false, true})
      for (const float kl_scale : {0.0f, 0.5f}) {
        SCOPED_TRACE(trace(s) + (stick ? ", path alone" : "") + ", KL " + std::to_string(kl_scale));
        const std::vector<float> stats = random_stats(s.batch, s.latent),
                                 dz = random_vector(s.batch * s.samples * s.latent, 13);
        const Terms terms(backend_, s, stick);
        const Matrix in(backend_, s.batch, 2 * s.latent, stats), dout(backend_, s.batch * s.samples, s.latent, dz);
        const Matrix kl_dims(backend_, 1, s.latent, std::vector<float>(s.latent, 1)),
            dstats(backend_, s.batch, 2 * s.latent, type_);
        backend_.run(GaussianBackward{terms.op, in, noise(), dout, {}, kl_dims, kl_scale, dstats});

        const Vector wide = reference::widen(stats), dz_wide = reference::widen(dz);
        Vector want = reference::latent_terms_backward(terms.wide, wide, key(), dz_wide, s.samples, s.latent);
        const Vector of_kl = reference::latent_backward(wide, key(), Vector(dz.size()), {},
                                                        reference::widen(kl_dims.get()), kl_scale, s.samples, s.latent);
        // Each term is some ten roundings, then the sum's; and the normal's error times the slope by it.
        Vector bound(stats.size());
        for (Index b = 0; b < s.batch; ++b)
          for (Index l = 0; l < s.latent; ++l) {
            const Index i = b * 2 * s.latent + l;
            const double mu = std::fabs(wide[i]), sigma = std::exp(wide[i + s.latent] / 2);
            double sum = kl_scale * mu, sum_logvar = kl_scale * (sigma * sigma + 1) + 0.25, error = 0, error_logvar = 0;
            for (Index k = 0; k < s.samples; ++k) {
              const Index r = b * s.samples + k, at = r * s.latent + l;
              const double eps = std::fabs(reference::normal(key(), at)), off = reference::normal_error(key(), at);
              const double t = std::fabs(terms.wide.path[r]), w = terms.wide.density[r],
                           c = std::fabs(terms.wide.score[r]);
              const double path = t * (std::fabs(dz_wide[at]) + w * (mu + sigma * eps + eps / sigma));
              const double slope = t * w * (sigma + 1 / sigma);
              sum += path + c * eps / sigma;
              sum_logvar += path * sigma * eps + t * w + c * (eps * eps + 1);
              error += off * (slope + c / sigma);
              error_logvar += off * (path * sigma + eps * sigma * slope + 2 * c * eps);
            }
            bound[i] = error + 2 * sum * sum_error(s.samples + 1);
            bound[i + s.latent] = (error_logvar + 2 * sum_logvar * sum_error(s.samples + 1)) / 2;
          }
        for (std::size_t i = 0; i < want.size(); ++i) want[i] += of_kl[i];
        expect_stored_within(dstats.get(), want, bound, "dstats");
      }
}

// Without the standard normal, z is taken out of the path: as if dz had less of it.
TEST_P(LatentTermOps, AnotherPriorIsPartOfDz) {
  for (const Shape s : kShapes)
    for (const bool stick : {false, true}) {
      SCOPED_TRACE(trace(s) + (stick ? ", path alone" : ""));
      const std::vector<float> stats = random_stats(s.batch, s.latent),
                               dz = random_vector(s.batch * s.samples * s.latent, 13);
      Terms terms(backend_, s, stick);
      terms.op.standard_prior = false;
      const Matrix in(backend_, s.batch, 2 * s.latent, stats), dout(backend_, s.batch * s.samples, s.latent, dz);
      const Matrix dstats(backend_, s.batch, 2 * s.latent, type_), with_kl_dims(backend_, s.batch, 2 * s.latent, type_),
          kl_dims(backend_, 1, s.latent, std::vector<float>(s.latent, 1));
      backend_.run(GaussianBackward{.terms = terms.op, .stats = in, .noise = noise(), .dz = dout, .dstats = dstats});
      backend_.run(GaussianBackward{terms.op, in, noise(), dout, {}, kl_dims, 0.0f, with_kl_dims});
      expect_same_bits(dstats.get(), with_kl_dims.get(), "with kl_dims");

      const Vector wide = reference::widen(stats);
      const Vector z = reference::sample_latent(wide, key(), s.samples, s.latent).z;
      Vector less = reference::widen(dz), bound(stats.size());
      for (Index at = 0; at < static_cast<Index>(z.size()); ++at) less[at] -= terms.wide.density[at / s.latent] * z[at];
      const Vector want = reference::latent_terms_backward(terms.wide, wide, key(), less, s.samples, s.latent);
      // As above, with the largest of a row's terms: t (dz + w pull) of every sample, and the score.
      for (Index i = 0; i < static_cast<Index>(stats.size()); ++i) {
        const Index b = i / (2 * s.latent), l = i % s.latent, of_logvar = i % (2 * s.latent) >= s.latent;
        const double sigma = std::exp(wide[(2 * b + 1) * s.latent + l] / 2);
        double sum = 0.25, error = 0;
        for (Index k = 0; k < s.samples; ++k) {
          const Index r = b * s.samples + k, at = r * s.latent + l;
          const double eps = std::fabs(reference::normal(key(), at)), off = reference::normal_error(key(), at);
          const double t = std::fabs(terms.wide.path[r]), w = terms.wide.density[r], c = std::fabs(terms.wide.score[r]);
          const double path = t * (std::fabs(double{dz[at]}) + w * eps / sigma);
          sum += of_logvar ? path * sigma * eps + t * w + c * (eps * eps + 1) : path + c * eps / sigma;
          error += off * (of_logvar ? path * sigma + eps * t * w + 2 * c * eps : (t * w + c) / sigma);
        }
        bound[i] = error + 2 * sum * sum_error(s.samples + 1);
      }
      expect_stored_within(dstats.get(), want, bound, "dstats");
    }
}

// The sum that the terms differentiate: t (dz z + w (log q(z|x) - log p(z))) along the samples' path, and -c log q of
// samples that stand still, and -h times the entropy. With e = 1, log q is of frozen statistics. Values of order ten.
TEST_P(LatentTermOps, TermsMatchFiniteDifferences) {
  for (const Shape s : {Shape{3, 1, 4}, Shape{2, 5, 3}})
    for (const bool stick : {false, true}) {
      SCOPED_TRACE(trace(s) + (stick ? ", path alone" : ""));
      const std::vector<float> dz = random_vector(s.batch * s.samples * s.latent, 13);
      std::vector<float> stats = random_vector(s.batch * 2 * s.latent, 18);
      const Terms terms(backend_, s, stick);
      const Matrix in(backend_, s.batch, 2 * s.latent, stats), dout(backend_, s.batch * s.samples, s.latent, dz);
      const Matrix kl_dims(backend_, 1, s.latent, std::vector<float>(s.latent, 1)),
          dstats(backend_, s.batch, 2 * s.latent, type_);
      backend_.run(GaussianBackward{terms.op, in, noise(), dout, {}, kl_dims, 0.0f, dstats});

      const Vector start = reference::widen(stats);
      const Vector still = reference::sample_latent(start, key(), s.samples, s.latent).z;
      const auto log_q = [&](const Vector& z, const Vector& of, Index at) {
        const Index b = at / s.latent / s.samples, l = at % s.latent;
        const double logvar = of[(2 * b + 1) * s.latent + l];
        return -(std::pow(z[at] - of[2 * b * s.latent + l], 2) / std::exp(logvar) + logvar) / 2;
      };
      const auto f = [&](const Vector& v) {
        const Vector z = reference::sample_latent(v, key(), s.samples, s.latent).z;
        double sum = 0;
        for (Index at = 0; at < static_cast<Index>(z.size()); ++at) {
          const Index r = at / s.latent;
          const double density = log_q(z, stick ? start : v, at) + z[at] * z[at] / 2;
          sum += terms.wide.path[r] * (double{dz[at]} * z[at] + terms.wide.density[r] * density) -
                 terms.wide.score[r] * log_q(still, v, at);
        }
        for (Index b = 0; b < s.batch; ++b)
          for (Index l = 0; l < s.latent; ++l) sum -= terms.wide.entropy * v[(2 * b + 1) * s.latent + l] / 2;
        return sum;
      };
      expect_stored_close(dstats.get(), central_differences(f, start), 2e-5, 2e-6, "dstats");
    }
}

TEST_P(LatentTermOps, TheScoreNeedsNoGradientOfTheSamples) {
  const Shape s{7, 3, 5};
  const std::vector<float> stats = random_stats(s.batch, s.latent);
  const Matrix in(backend_, s.batch, 2 * s.latent, stats), zeros(backend_, 21, 5, std::vector<float>(105, 0.0f)),
      score(backend_, 21, 1, random_vector(21, 17)), kl_dims(backend_, 1, 5, std::vector<float>(5, 1)),
      with(backend_, 7, 10, type_), without(backend_, 7, 10, type_);
  LatentTerms terms;
  terms.path = 0.0f;
  terms.score = {1.0f, score};
  backend_.run(GaussianBackward{terms, in, noise(), zeros, {}, kl_dims, 0.0f, with});
  backend_.run(GaussianBackward{terms, in, noise(), {}, {}, kl_dims, 0.0f, without});
  expect_same_bits(with.get(), without.get(), "dstats");
}

TEST_P(LatentTermOps, FromOutsideOfItsClampALogVarianceComesBack) {
  for (const bool stick : {false, true})
    for (const bool optimal : {false, true}) {
      SCOPED_TRACE(std::string(stick ? "path alone" : "all terms") + (optimal ? ", optimal baseline" : ""));
      const Terms terms(backend_, kOutside, stick);
      LatentTerms op = terms.op;
      op.optimal_baseline = optimal;
      if (optimal) op.density = 0.0f, op.entropy = 0.0f;  // which lead back everywhere, and here outweigh the rest
      expect_to_come_back([&](const std::vector<float>& stats) {
        const Matrix in(backend_, 1, 16, stats), dz(backend_, 2, 8, random_vector(16, 14)),
            kl_dims(backend_, 1, 8, std::vector<float>(8, 1)), dstats(backend_, 1, 16, type_);
        backend_.run(GaussianBackward{op, in, noise(), dz, {}, kl_dims, 0x1p-20f, dstats});
        return dstats.get();
      });
    }
}

}  // namespace
}  // namespace cuvae
