// evaluate() of a model of several layers or with a learned prior, against the reference in double.
#pragma once
#include <numeric>

#include "gradient_test.h"

namespace cuvae::test {

inline void expect_evaluation_of(Backend& backend, const VaeConfig& model, Index samples) {
  SCOPED_TRACE(std::string(to_string(model.prior)) + ", K " + std::to_string(samples));
  using reference::Vector;
  const Vae vae(backend, model, 2);
  const EvaluateOptions options{.samples = samples, .batch = 10, .binarize = Binarize::none, .seed = 4};
  const Evaluation got = evaluate(vae, small_data(), options);
  const reference::Chain chain(model);
  const Vector arena = reference::widen(parameters(vae)), x = reference::widen(fractions(small_pixels()));
  const auto s = chain.sample(arena, x, samples, {options.seed, Stream::latent, 0xffffffff});
  const auto mean = [](const Vector& v) {
    return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
  };
  const double reconstruction = mean(chain.log_prob(arena, s.z[0], x, samples)),
               kl = mean(chain.log_q(s.z, s.stats, samples)) - mean(chain.log_p_z(arena, s.z));
  EXPECT_NEAR(got.reconstruction, reconstruction, 1e-6 * std::fabs(reconstruction));
  EXPECT_NEAR(got.kl, kl, 1e-5);  // a difference of log-densities of about 5 to 8 nats, each good to 1e-6
  EXPECT_NEAR(got.elbo, reconstruction - kl, 1e-5);
  EXPECT_TRUE(got.kl_dims.empty());
}

}  // namespace cuvae::test
