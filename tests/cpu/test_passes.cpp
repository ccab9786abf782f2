// The CPU passes for every instruction set of this processor, against the reference and the portable passes.
#include <cstdlib>
#include <functional>

#include "likelihood_test.h"
#include "passes_test.h"

namespace cuvae::cpu {
namespace {
using namespace test;
using reference::Vector;

CUVAE_WITH_EVERY_INSTRUCTION_SET(PassesTest);

constexpr Activation kActivations[] = {Activation::identity, Activation::relu,      Activation::tanh,
                                       Activation::softplus, Activation::silu,      Activation::gelu,
                                       Activation::elu,      Activation::leaky_relu};

TEST_P(PassesTest, Activations) {
  for (const Activation act : kActivations)
    for (const Index n : kSizes) {
      SCOPED_TRACE(std::string(to_string(act)) + ", size " + std::to_string(n));
      const std::vector<float> x = random_vector(n, 1, -9, 9), b = random_vector(n, 2);
      std::vector<float> y = x, pre(x.size()), y2 = x, pre2(x.size()), dx = b, dx2 = b;
      Vector want, slope, bound;
      p_.bias_activation(y.data(), pre.data(), b.data(), 1, n, act);
      portable_.bias_activation(y2.data(), pre2.data(), b.data(), 1, n, act);
      expect_same_bits(pre, pre2, "pre");
      for (std::size_t i = 0; i < pre.size(); ++i) {
        want.push_back(reference::activate(act, pre[i]));
        slope.push_back(b[i] * reference::activation_slope(act, pre[i]));
        bound.push_back(kFewUlp * (1 + std::fabs(pre[i])) / 2);  // in GELU, 1 + erf cancels and is multiplied by x
      }
      expect_within(y, want, bound, "y");
      p_.activation_backward(dx.data(), y2.data(), pre2.data(), n, act);
      portable_.activation_backward(dx2.data(), y2.data(), pre2.data(), n, act);
      expect_within(dx, slope, bound, "dx");
      expect_alike(dx, dx2, kFewUlp, "dx");
    }
}

TEST_P(PassesTest, BatchesHaveTheSameBits) {
  for (const Index n : kSizes)
    for (const Binarize mode : {Binarize::none, Binarize::threshold, Binarize::stochastic})
      for (const std::uint64_t first : {std::uint64_t{0}, std::uint64_t{37}, std::uint64_t{0x3fffffff1}}) {
        const std::vector<float> pixels = random_vector(n, 3, 0, 1);
        std::vector<std::uint8_t> bytes;
        for (const float f : pixels) bytes.push_back(static_cast<std::uint8_t>(255 * f));
        for (const DType type : {DType::f32, DType::u8}) {
          const void* data = type == DType::u8 ? static_cast<const void*>(bytes.data()) : pixels.data();
          std::vector<float> x(pixels.size()), x2(pixels.size());
          p_.gather_row(data, type, mode, {5, 2, 9}, first, n, x.data());
          portable_.gather_row(data, type, mode, {5, 2, 9}, first, n, x2.data());
          expect_same_bits(x, x2, std::string(to_string(mode)) + ", size " + std::to_string(n));
        }
      }
}

TEST_P(PassesTest, Normals) {
  const reference::NoiseKey key{0xfedcba9876543210, Stream::latent, 3};
  for (const Index n : kSizes)
    for (const std::uint64_t first : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{63}, std::uint64_t{1} << 35}) {
      std::vector<float> got(static_cast<std::size_t>(n));
      p_.normals({key.seed, static_cast<std::uint32_t>(key.stream), key.step}, first, n, got.data());
      Vector want, bound;
      for (std::uint64_t i = first; i < first + got.size(); ++i) {
        want.push_back(reference::normal(key, i));
        bound.push_back(reference::normal_error(key, i));
      }
      expect_within(got, want, bound, "normals, size " + std::to_string(n));
    }
}

TEST_P(PassesTest, Latents) {
  constexpr Index kRows = 3, kSamples = 2;
  for (const Index latent : kSizes) {
    const auto floats = [&](Index n, std::uint64_t seed) { return random_vector(n * latent, seed, -2, 2); };
    const std::vector<float> stats = floats(2 * kRows, 4), noise = floats(kRows * kSamples, 5),
                             dz = floats(kRows * kSamples, 6), scale = floats(1, 7);
    std::vector<float> z[2], kl[2], kl_dims[2], dstats[2];
    for (int i = 0; i < 2; ++i) {
      const Passes& p = i == 0 ? p_ : portable_;
      z[i].resize(noise.size()), kl[i].resize(kRows), kl_dims[i].resize(scale.size()), dstats[i].resize(stats.size());
      p.sample_latent(stats.data(), noise.data(), kRows, kSamples, latent, z[i].data(), kl[i].data(),
                      kl_dims[i].data());
      p.latent_backward(stats.data(), noise.data(), dz.data(), scale.data(), kRows, kSamples, latent, dstats[i].data());
    }
    expect_alike(z[0], z[1], kFewUlp, "z");
    expect_alike(kl[0], kl[1], 3 * sum_error(latent), "kl");
    expect_alike(kl_dims[0], kl_dims[1], 2 * kFewUlp, "kl_dims");
    expect_alike(dstats[0], dstats[1], 4 * kFewUlp, "dstats");
  }
}

// The terms of the log-densities do not cancel: all but logvar are positive. They are at most 4 e^2.
TEST_P(PassesTest, LatentTerms) {
  constexpr Index kRows = 3, kSamples = 2;
  for (const Index latent : kSizes) {
    const auto floats = [&](Index n, std::uint64_t seed) { return random_vector(n * latent, seed, -2, 2); };
    const std::vector<float> stats = floats(2 * kRows, 4), noise = floats(kRows * kSamples, 5),
                             dz = floats(kRows * kSamples, 6), scale = floats(1, 7),
                             weights = random_vector(2 + kRows * kSamples, 11, 0, 1);
    const ConstView rows{weights.data(), static_cast<Index>(weights.size()), 1};
    for (const bool flag : {false, true}) {
      const LatentTerms terms{{-0.5f, rows, 1.0f}, {0.7f, rows}, {0.3f, rows}, 0.25f, flag, !flag};
      for (const float* given : {dz.data(), static_cast<const float*>(nullptr)}) {
        std::vector<float> log_p_z[2], log_q[2], norm[2], dstats[2];
        for (int i = 0; i < 2; ++i) {
          const Passes& p = i == 0 ? p_ : portable_;
          for (auto* rows_of : {&log_p_z[i], &log_q[i], &norm[i]}) rows_of->resize(kRows * kSamples);
          dstats[i].resize(stats.size());
          p.log_densities(stats.data(), noise.data(), dz.data(), kRows, kSamples, latent, log_p_z[i].data(),
                          log_q[i].data(), false, norm[i].data());
          p.latent_backward_terms(terms, 2, stats.data(), noise.data(), given, scale.data(), kRows, kSamples, latent,
                                  dstats[i].data());
        }
        expect_alike(log_p_z[0], log_p_z[1], sum_error(latent) * 4 * static_cast<double>(latent), "log_p_z");
        expect_alike(log_q[0], log_q[1], sum_error(latent) * 4 * static_cast<double>(latent), "log_q");
        expect_alike(norm[0], norm[1], sum_error(latent) * 40 * static_cast<double>(latent), "score_norm");
        expect_alike(dstats[0], dstats[1], 40 * kFewUlp, "dstats");
      }
    }
  }
}

TEST_P(PassesTest, Likelihoods) {
  for (const Likelihood likelihood : formulas())
    for (const Index n : kSizes) {
      SCOPED_TRACE(std::string(to_string(likelihood)) + ", size " + std::to_string(n));
      const Index outputs_of_value = traits(likelihood).outputs;
      const std::vector<float> out = random_vector(outputs_of_value * n, 8, -5, 5), x = random_values(likelihood, n);
      std::vector<float> d = out;
      const float log_p = p_.log_prob_row(likelihood, false, out.data(), x.data(), n, -0.5f, d.data());
      const float alone = p_.log_prob_row(likelihood, false, out.data(), x.data(), n, -0.5f, nullptr);
      double want = 0, size = 0, bound = 0;
      Vector gradient(out.size()), gradient_bound(out.size());
      for (Index i = 0; i < n; ++i) {
        Vector of_value;
        for (Index j = 0; j < outputs_of_value; ++j) of_value.push_back(out[j * n + i]);
        const auto value = reference::value_log_prob(likelihood, of_value, x[i]);
        const Bounds off = bounds_of(likelihood, of_value, x[i]);
        want += value.log_p, size += std::fabs(value.log_p), bound += off.log_p;
        for (Index j = 0; j < outputs_of_value; ++j) {
          gradient[j * n + i] = -0.5 * value.derivatives[j];
          gradient_bound[j * n + i] = 0.5 * off.derivatives[j] + 0x1p-24 * std::fabs(gradient[j * n + i]);
        }
      }
      EXPECT_NEAR(log_p, want, bound + sum_error(n) * size);
      EXPECT_NEAR(alone, log_p, sum_error(n) * size);
      expect_within(d, gradient, gradient_bound, "doutputs");
    }
}

TEST_P(PassesTest, GaussiansOfASharedScale) {
  for (const Index n : kSizes) {
    const std::vector<float> out = random_vector(n, 8, -5, 5), x = random_vector(n, 9, 0, 1);
    const std::vector<float> inv_scale = random_vector(n, 10, 0.5f, 2);
    std::vector<float> dmean[2] = {out, out}, dscale[2] = {x, x};
    float squares[2];
    for (int i = 0; i < 2; ++i)
      squares[i] =
          (i == 0 ? p_ : portable_)
              .gaussian_row(false, out.data(), x.data(), inv_scale.data(), n, -0.5f, dmean[i].data(), dscale[i].data());
    EXPECT_NEAR(squares[0], squares[1], sum_error(n) * squares[1]);
    expect_alike(dmean[0], dmean[1], kFewUlp, "dmean");
    expect_alike(dscale[0], dscale[1], kFewUlp, "dlog_scale");
  }
}

// A latent's u is up to 3 e^2 and exp() differs by a few ulp, twice in a gradient; log_p's terms all have one sign but
// for logvar, which is at most 2 of them.
TEST_P(PassesTest, LatentLogProbs) {
  for (const Index latent : kSizes) {
    const std::vector<float> z = random_vector(latent, 8, -2, 2), stats = random_vector(2 * latent, 9, -2, 2),
                             start = random_vector(latent, 10);
    std::vector<float> dz[2] = {start, start}, dstats[2] = {stats, stats};
    float log_p[2];
    for (int i = 0; i < 2; ++i) {
      const Passes& p = i == 0 ? p_ : portable_;
      log_p[i] = p.latent_log_prob_row(z.data(), stats.data(), latent, 0.5f, dz[i].data(), dstats[i].data());
      expect_same_bits<float>({p.latent_log_prob_row(z.data(), stats.data(), latent, 0.5f, nullptr, nullptr)},
                              {log_p[i]}, "log_p alone");
    }
    EXPECT_NEAR(log_p[0], log_p[1], 2 * sum_error(latent) * (std::fabs(log_p[1]) + 2 * static_cast<double>(latent)));
    expect_alike(dz[0], dz[1], 2 * kFewUlp, "dz");
    expect_alike(dstats[0], dstats[1], 2 * kFewUlp, "dstats");
  }
}

TEST_P(PassesTest, Uniforms) {
  const reference::NoiseKey key{0xfedcba9876543210, Stream::latent, 3};
  for (const Index n : kSizes)
    for (const std::uint64_t first : {std::uint64_t{0}, std::uint64_t{63}, std::uint64_t{1} << 35})
      for (const bool complements : {false, true}) {
        std::vector<float> got(static_cast<std::size_t>(n));
        p_.uniforms({key.seed, static_cast<std::uint32_t>(key.stream), key.step}, first, n, complements, got.data());
        Vector want;
        for (std::uint64_t i = first; i < first + got.size(); ++i)
          want.push_back(complements ? 1 - reference::uniform(key, i) : reference::uniform(key, i));
        expect_close(got, want, 0, 0x1p-23, "uniforms");  // a rounding of the word and one of the sum
      }
}

// A score has the error of one exp() and three roundings; the terms of log p have one sign.
TEST_P(PassesTest, Bernoullis) {
  constexpr Index kRows = 3, kSamples = 2;
  for (const Index latent : kSizes) {
    const std::vector<float> logits = random_vector(kRows * latent, 8, -9, 9),
                             u = random_vector(kRows * kSamples * latent, 9, 0, 1),
                             weights = random_vector(kRows * kSamples, 10);
    const RowFactor factor(0.5f, {weights.data(), kRows * kSamples, 1}, 0.25f);
    std::vector<float> z[2], log_q[2], norm[2], columns[2], dlogits[2], optimal[2], row[2];
    for (int i = 0; i < 2; ++i) {
      const Passes& p = i == 0 ? p_ : portable_;
      z[i] = u, log_q[i].resize(kRows * kSamples), norm[i] = log_q[i], columns[i].resize(2 * logits.size());
      dlogits[i] = optimal[i] = logits, row[i] = {logits.begin(), logits.begin() + latent};
      p.sample_bernoulli(logits.data(), kRows, kSamples, latent, z[i].data(), log_q[i].data(), false, norm[i].data(),
                         columns[i].data());
      for (const bool best : {false, true})
        p.bernoulli_backward(factor, best, 0, logits.data(), z[i].data(), kRows, kSamples, latent,
                             (best ? optimal : dlogits)[i].data());
      const float log_p = p.bernoulli_row(z[i].data(), logits.data(), latent, 0.5f, row[i].data(), true);
      expect_same_bits<float>({p.bernoulli_row(z[i].data(), logits.data(), latent, 0.5f, nullptr, false)}, {log_p},
                              "log_p alone");
      EXPECT_NEAR(log_p, log_q[i][0], 2 * sum_error(latent) * std::fabs(log_p));
    }
    expect_same_bits(z[0], z[1], "z");  // no uniform is within an ulp of its probability
    expect_alike(columns[0], columns[1], kFewUlp, "probabilities and logits");
    expect_alike(log_q[0], log_q[1], 2 * sum_error(latent), "log_q");
    expect_alike(norm[0], norm[1], 2 * (sum_error(latent) + kFewUlp), "score_norm");
    expect_alike(dlogits[0], dlogits[1], 2 * kFewUlp, "dlogits");
    expect_alike(optimal[0], optimal[1], 8 * kFewUlp, "dlogits with an optimal baseline");
    expect_alike(row[0], row[1], kFewUlp, "dlogits of a row");
  }
}

// Errors of a term's log, up to latent * (4 e)^2 of them, are relative ones of its responsibility. What these multiply
// is at most 4 e by mu and (4 e)^2 / 2 by logvar.
TEST_P(PassesTest, Mixtures) {
  constexpr Index kLatent = 3, kRows = 5;
  for (const Index n : kSizes) {
    const std::vector<float> mu = random_vector(kLatent * n, 8, -2, 2),
                             inverse = random_vector(kLatent * n, 9, 0.5f, 1), constant = random_vector(n, 10),
                             z = random_vector(kRows * kLatent, 11, -2, 2),
                             stats = random_vector(2 * kLatent, 12, -2, 2), weights = random_vector(kRows, 13);
    const MixtureTables tables{mu.data(), inverse.data(), constant.data(), n, kLatent};
    const RowFactor factor(0.5f, {weights.data(), kRows, 1}, 0.25f);
    std::vector<float> log_p[2], shares[2], dz[2], d[2], scratch(kLatent);
    for (int i = 0; i < 2; ++i) {
      const Passes& p = i == 0 ? p_ : portable_;
      shares[i].resize(static_cast<std::size_t>(kRows * n)), dz[i] = z, d[i].resize(2 * kLatent);
      for (Index r = 0; r < kRows; ++r)
        log_p[i].push_back(
            p.mixture_row(tables, z.data() + r * kLatent, 0.5f, shares[i].data() + r * n, dz[i].data() + r * kLatent));
      p.mixture_component(z.data(), shares[i].data() + n - 1, n, factor, kRows, stats.data(), kLatent, scratch.data(),
                          d[i].data());
    }
    const double of_terms = sum_error(kLatent) * kLatent * 16 / 2 + sum_error(n);
    expect_alike(log_p[0], log_p[1], 2 * of_terms, "log_p");
    expect_close(shares[0], reference::widen(shares[1]), 2e-38, 4 * of_terms, "responsibilities");
    expect_alike(dz[0], dz[1], 8 * of_terms, "dz");
    expect_close(d[0], reference::widen(d[1]), 60 * 4 * of_terms, 0, "dcomponents");
  }
}

TEST_P(PassesTest, SumsAndUpdates) {
  for (const Index n : kSizes) {
    const std::vector<float> x = random_vector(3 * n, 11), g = random_vector(n, 12);
    const double squares = portable_.sum_of_squares(x.data(), 3 * n);
    EXPECT_NEAR(p_.sum_of_squares(x.data(), 3 * n), squares, 1e-12 * squares);
    std::vector<float> sums[2] = {g, g};
    p_.column_sums(x.data(), 3, n, sums[0].data());
    portable_.column_sums(x.data(), 3, n, sums[1].data());
    expect_same_bits(sums[0], sums[1], "sums");
    for (const Optimizer kind : {Optimizer::adam, Optimizer::adamw, Optimizer::sgd, Optimizer::adam_iwae}) {
      OptimizerStep step;
      step.clip_value = n % 2 == 0 ? 0.2f : 0.0f;
      step.kind = kind, step.weight_decay = 0.1f, step.ema_decay = 0.9f;
      std::vector<float> params[2] = {x, x}, m[2] = {g, g}, v[2], ema[2] = {x, x};
      for (int i = 0; i < 2; ++i) {
        v[i].assign(g.size(), 0.25f);
        (i == 0 ? p_ : portable_)
            .update(step, 0.1f, 0.5f, 10.0f, 2.0f, n, params[i].data(), g.data(), m[i].data(), v[i].data(),
                    ema[i].data());
      }
      expect_alike(params[0], params[1], kFewUlp, "params");
      expect_alike(m[0], m[1], kFewUlp, "m");
      expect_alike(v[0], v[1], kFewUlp, "v");
      expect_alike(ema[0], ema[1], kFewUlp, "ema");
    }
  }
}

// A process makes the choice once, so each choice is tested in a new process.
TEST(PassesDeathTest, TheEnvironmentLimitsTheInstructionSet) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  const std::vector<const Passes*> all = tables();
  const auto chosen = [](const char* limit) {
    ::setenv("CUVAE_ISA", limit, 1);
    std::fprintf(stderr, "chose %s.", passes().isa);
    std::_Exit(0);
  };
  EXPECT_EXIT(chosen("portable"), ::testing::ExitedWithCode(0), "chose portable\\.");
  EXPECT_EXIT(chosen("avx2"), ::testing::ExitedWithCode(0),
              std::string("chose ") + all[std::min<std::size_t>(1, all.size() - 1)]->isa + "\\.");
  EXPECT_EXIT(chosen("anything"), ::testing::ExitedWithCode(0), std::string("chose ") + all.back()->isa + "\\.");
}

}  // namespace
}  // namespace cuvae::cpu
