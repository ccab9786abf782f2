// Sums over a run: the loss of a likelihood, and moments.
#include <limits>

#include "op_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNaN = std::numeric_limits<float>::quiet_NaN();

const KlWeight kWeights[] = {
    {1.0f, 0, 0.0f},   // the plain ELBO
    {4.0f, 0, 0.0f},   // beta
    {1.0f, 28, 0.0f},  // a quarter into the warm-up
    {2.0f, 14, 0.5f},  // half-way, with free bits
    {1.0f, 0, 0.25f},  // free bits
    {0.0f, 0, 0.0f},   // no KL
};
constexpr std::uint32_t kStep = 7;

struct Shape {
  Index batch, samples, latent, width = 1;
};

class Metrics : public OpTest {
 protected:
  /// log p of rows of logits or means whose pixels are all `pixel`, with the loss in the same launch.
  std::vector<float> log_prob(Likelihood likelihood, Shape s, const std::vector<float>& values, const ElboLoss& loss,
                              float pixel = 0) {
    const Index rows = s.batch * s.samples;
    const Matrix output(backend_, rows, s.width, values, type_), log_p(backend_, rows, 1),
        log_scale(backend_, 1, 1, {0});
    const Matrix x(backend_, s.batch, s.width, std::vector<float>(s.batch * s.width, pixel), type_);
    if (likelihood == Likelihood::bernoulli) {
      backend_.run(LogProb{Likelihood::bernoulli, output, x, 0, log_p, {}, loss});
    } else {
      backend_.run(GaussianLogProb{output, x, log_scale, 0, log_p, {}, {}, loss});
    }
    return log_p.get();
  }

  /// The losses of one batch with every KL weight, and their sums, against the reference. log p varies by a few hundred
  /// nats per row.
  void expect_losses(Likelihood likelihood, Shape s) {
    const auto values = random_vector(s.batch * s.samples * s.width, 71, 10, 20);
    const Matrix kl(backend_, s.batch, 1, random_vector(s.batch, 72, 0, 30)),
        dims(backend_, 1, s.latent, random_vector(s.latent, 73, 0, 1));
    std::vector<double> started(metric::kl_dims + s.latent, 3.0);  // the sums of earlier steps
    const Array<double> sums(backend_, started);
    Vector want(started.begin(), started.end());
    for (const KlWeight& weight : kWeights) {
      SCOPED_TRACE(std::string(to_string(likelihood)) + ", B " + std::to_string(s.batch) + ", K " +
                   std::to_string(s.samples) + ", L " + std::to_string(s.latent) + ", D " + std::to_string(s.width) +
                   ", beta " + std::to_string(weight.beta) + ", free bits " + std::to_string(weight.free_bits));
      const Matrix loss(backend_, 1, 1);
      const auto log_p = log_prob(likelihood, s, values, {kl, dims, weight, step_.data(), loss.data(), sums.data()});
      const auto one = reference::elbo_loss(reference::widen(log_p), reference::widen(kl.get()),
                                            reference::widen(dims.get()), weight, kStep);
      const double rtol = sum_error(std::max(s.batch * s.samples, s.latent));  // the reconstruction and the KL add up
      expect_close(loss.get(), {one.loss}, 0, rtol, "loss");
      want[metric::steps] += 1, want[metric::loss] += one.loss;
      want[metric::reconstruction] += one.reconstruction, want[metric::kl] += one.kl;
      for (Index l = 0; l < s.latent; ++l) want[metric::kl_dims + l] += dims.get()[l];
      expect_close(sums.get(), want, 0, rtol, "sums");
    }
  }

  Array<std::uint32_t> step_{backend_, std::vector<std::uint32_t>{kStep}};
};
CUVAE_IN_EVERY_PRECISION(Metrics);

TEST_P(Metrics, LossMatchesTheReference) {
  for (const Likelihood likelihood : {Likelihood::bernoulli, Likelihood::gaussian})
    for (const Index batch : {1, 7, 33, 257})
      for (const Index samples : {1, 5})
        for (const Index latent : {1, 33, 129}) expect_losses(likelihood, {batch, samples, latent});
}

TEST_P(Metrics, LossOfWideRowsMatchesTheReference) {
  for (const Likelihood likelihood : {Likelihood::bernoulli, Likelihood::gaussian})
    for (const Index width : {2, 33, 132, 300, 784}) expect_losses(likelihood, {19, 2, 20, width});
}

TEST_P(Metrics, TheFirstStepHasTheFullKlUnlessItWarmsUp) {
  step_.set({0});
  const Matrix kl(backend_, 1, 1, {2}), dims(backend_, 1, 1, {2}), loss(backend_, 1, 1);
  const Array<double> sums(backend_, std::vector<double>(metric::kl_dims + 1));
  for (const auto& [warmup, of_kl] : {std::pair{0u, 2.0}, std::pair{10u, 0.0}}) {
    const auto log_p = log_prob(Likelihood::bernoulli, {1, 1, 1}, {3},
                                {kl, dims, {1.0f, warmup, 0.0f}, step_.data(), loss.data(), sums.data()});
    EXPECT_EQ(loss.get().front(), static_cast<float>(of_kl - double{log_p.front()}))
        << "warm-up over " << warmup << " steps";
  }
}

// Merged in double precision: each moment has an error of a few roundings of numbers of order one.
TEST_P(Metrics, AFiniteLossTakesTheMomentsOfItsStepIn) {
  for (const Index latent : {1, 2, 33, 200}) {
    SCOPED_TRACE("L " + std::to_string(latent));
    const Index cols = 2 * latent;
    const Array<double> sums(backend_, std::vector<double>(metric::kl_dims + latent)),
        moments(backend_, std::vector<double>(1 + 2 * cols)), of_step(backend_, std::vector<double>(1 + 2 * cols));
    const Matrix dims(backend_, 1, latent, std::vector<float>(latent, 1.0f)), loss(backend_, 1, 1);
    Vector counted;
    int number = 0;
    for (const float kl_of_row : {1.0f, kNaN, 2.0f, kInfinity, 0.5f}) {
      const Matrix stats(backend_, 3, cols, random_vector(3 * cols, 60 + ++number, -2, 2));
      backend_.run(Moments{stats, of_step.data()});
      const Matrix kl(backend_, 1, 1, {kl_of_row});
      log_prob(Likelihood::bernoulli, {1, 1, latent}, {1},
               {kl, dims, {}, step_.data(), loss.data(), sums.data(), of_step.data(), moments.data()});
      if (std::isfinite(kl_of_row))
        for (const float f : stats.get()) counted.push_back(f);
      expect_close(moments.get(), reference::moments(counted, cols), 1e-13, 1e-13, "moments");
      expect_same_bits(of_step.get(), std::vector<double>(1 + 2 * cols), "what is left of the step");
    }
  }
}

TEST_P(Metrics, ALossThatIsNotFiniteIsNotSummed) {
  const Array<double> sums(backend_, std::vector<double>(metric::kl_dims + 2, 5.0));
  const std::vector<double> before = sums.get();
  for (const float bad : {kNaN, kInfinity, -kInfinity})
    for (const bool in_kl : {false, true}) {
      const Matrix kl(backend_, 2, 1, {1, in_kl ? bad : 1}), dims(backend_, 1, 2, {1, 1}), loss(backend_, 1, 1);
      // Of an infinite logit l, log p = x l - softplus(l) is -l for pixels of 0; no log p of a pixel is +infinite.
      const auto log_p = log_prob(Likelihood::bernoulli, {2, 2, 2}, {1, in_kl ? 1 : std::fabs(bad), 1, 1},
                                  {kl, dims, {}, step_.data(), loss.data(), sums.data()});
      EXPECT_TRUE(in_kl || (std::isnan(bad) ? std::isnan(log_p[1]) : log_p[1] == -kInfinity)) << log_p[1];
      EXPECT_FALSE(std::isfinite(loss.get().front()));
      expect_same_bits(sums.get(), before, "sums");
    }
}

// log q and log p(z) of the samples in place of the KL: the mean of their difference.
TEST_P(Metrics, TheKlMayComeFromTheSamples) {
  for (const Likelihood likelihood : {Likelihood::bernoulli, Likelihood::gaussian})
    for (const Shape s : {Shape{1, 1, 2}, Shape{33, 5, 3}, Shape{257, 2, 1}}) {
      const Index rows = s.batch * s.samples;
      const Matrix log_q(backend_, rows, 1, random_vector(rows, 72, -10, 10)),
          log_p_z(backend_, rows, 1, random_vector(rows, 74, -40, -20)), loss(backend_, 1, 1);
      const Array<double> sums(backend_, std::vector<double>(metric::kl_dims)),
          moments(backend_, std::vector<double>(1 + 4 * s.latent)), of_step(backend_, moments.get());
      const Matrix stats(backend_, 3, 2 * s.latent, random_vector(6 * s.latent, 75, -2, 2));
      backend_.run(Moments{stats, of_step.data()});
      ElboLoss op{.weight = {2.0f, 14, 0.0f}, .step = step_.data(), .loss = loss.data(), .sums = sums.data()};
      op.step_moments = of_step.data(), op.moments = moments.data(), op.latent = s.latent;
      op.log_q = log_q, op.log_p_z = log_p_z;
      const auto log_p = log_prob(likelihood, s, random_vector(rows, 71, 10, 20), op);
      Vector kl = reference::widen(log_q.get());
      const Vector of_prior = reference::widen(log_p_z.get());
      for (Index r = 0; r < rows; ++r) kl[r] -= of_prior[r];
      const auto want = reference::elbo_loss(reference::widen(log_p), kl, {}, op.weight, kStep);
      expect_close(loss.get(), {want.loss}, 0, 0x1p-24, "loss");
      expect_close(sums.get(), {1, want.loss, want.reconstruction, want.kl, 0, 0}, 0, 1e-12, "sums");
      expect_close(moments.get(), reference::moments(reference::widen(stats.get()), 2 * s.latent), 1e-13, 1e-13,
                   "moments");
    }
}

// As a likelihood counts it: only with a finite loss. Merged moments as above.
TEST_P(Metrics, AStepOfSeveralRanksIsCountedWhenItsLossIsFinite) {
  for (const Index latent : {1, 33, 200}) {
    SCOPED_TRACE("L " + std::to_string(latent));
    const Index cols = 2 * latent, size = metric::kl_dims + latent;
    const Array<double> of_step(backend_, size), sums(backend_, std::vector<double>(size, 3.0)),
        step_moments(backend_, std::vector<double>(1 + 2 * cols)), moments(backend_, step_moments.get());
    std::vector<double> want(size, 3.0);
    Vector counted;
    int number = 0;
    for (const float loss_of_step : {1.0f, kNaN, -2.0f, kInfinity}) {
      const Matrix loss(backend_, 1, 1, {loss_of_step}),
          stats(backend_, 3, cols, random_vector(3 * cols, 80 + ++number));
      std::vector<double> values;
      for (const float f : random_vector(size, 90 + number)) values.push_back(double{f});
      of_step.set(values);
      backend_.run(Moments{stats, step_moments.data()});
      backend_.run(CountStep{loss.data(), latent, of_step.data(), sums.data(), step_moments.data(), moments.data()});
      if (std::isfinite(loss_of_step)) {
        for (Index i = 0; i < size; ++i) want[i] += values[i];
        for (const float f : stats.get()) counted.push_back(f);
      }
      expect_same_bits(sums.get(), want, "sums");
      expect_close(moments.get(), reference::moments(counted, cols), 1e-13, 1e-13, "moments");
      expect_same_bits(of_step.get(), std::vector<double>(size), "what is left of the step");
      expect_same_bits(step_moments.get(), std::vector<double>(1 + 2 * cols), "what is left of its moments");
    }
  }
}

TEST_P(Metrics, LossGivesTheSameBitsEveryTime) {
  const Shape s{257, 5, 33};
  const auto values = random_vector(s.batch * s.samples, 71, 50, 200);
  const Matrix kl(backend_, s.batch, 1, random_vector(s.batch, 72, 0, 30)),
      dims(backend_, 1, s.latent, random_vector(s.latent, 73, 0, 1));
  for (const Likelihood likelihood : {Likelihood::bernoulli, Likelihood::gaussian}) {
    const Matrix loss(backend_, 1, 1), again(backend_, 1, 1);
    const Array<double> sums(backend_, std::vector<double>(metric::kl_dims + 33)), sums_again(backend_, sums.get());
    log_prob(likelihood, s, values, {kl, dims, kWeights[3], step_.data(), loss.data(), sums.data()});
    log_prob(likelihood, s, values, {kl, dims, kWeights[3], step_.data(), again.data(), sums_again.data()});
    expect_same_bits(loss.get(), again.get(), "loss");
    expect_same_bits(sums.get(), sums_again.get(), "sums");
  }
}

// Values near 1000 with a spread of one: sums of squares minus a squared sum would keep 10 of 16 digits. In double,
// Chan's updates lose about rows * mean/deviation * 2^-53 = 1e-10 at the worst.
TEST_P(Metrics, MomentsMergeToThoseOfAllRows) {
  for (const Index cols : {1, 2, 3, 31, 33, 129, 40000}) {  // the last: many blocks of one row, and of several
    SCOPED_TRACE("C " + std::to_string(cols));
    const Array<double> acc(backend_, std::vector<double>(1 + 2 * cols));
    Vector all;
    for (const Index rows : cols > 1000 ? std::vector<Index>{1, 3, 1} : std::vector<Index>{1, 2, 33, 257, 1}) {
      const Matrix x(backend_, rows, cols, random_vector(rows * cols, 80 + rows, 999, 1001));
      backend_.run(Moments{x, acc.data()});
      for (float f : x.get()) all.push_back(f);
      expect_close(acc.get(), reference::moments(all, cols), 1e-10, 1e-12, "acc");
    }
  }
}

TEST_P(Metrics, MomentsGiveTheSameBitsEveryTime) {
  const Matrix x(backend_, 1000, 33, random_vector(33000, 90));
  const Array<double> acc(backend_, std::vector<double>(67)), again(backend_, std::vector<double>(67));
  for (int i = 0; i < 2; ++i) {
    backend_.run(Moments{x, acc.data()});
    backend_.run(Moments{x, again.data()});
  }
  expect_same_bits(acc.get(), again.get(), "acc");
}

}  // namespace
}  // namespace cuvae
