// elbo_loss and moments: what is summed over a run.
#include <limits>

#include "op_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNaN = std::numeric_limits<float>::quiet_NaN();

class Metrics : public OpTest {};
CUVAE_ON_EVERY_BACKEND(Metrics);

const KlWeight kWeights[] = {
    {1.0f, 0, 0.0f},   // the plain ELBO
    {4.0f, 0, 0.0f},   // beta
    {1.0f, 28, 0.0f},  // a quarter into the warm-up
    {2.0f, 14, 0.5f},  // half-way, with free bits
    {1.0f, 0, 0.25f},  // free bits
    {0.0f, 0, 0.0f},   // no KL
};
constexpr std::uint32_t kStep = 7;

TEST_P(Metrics, LossMatchesTheReference) {
  const Array<std::uint32_t> step(backend_, std::vector<std::uint32_t>{kStep});
  for (const Index batch : {1, 2, 7, 33, 128, 257})
    for (const Index samples : {1, 2, 5})
      for (const Index latent : {1, 3, 20, 33, 129}) {
        const Matrix log_p(backend_, batch * samples, 1, random_vector(batch * samples, 71, -200, -50));
        const Matrix kl(backend_, batch, 1, random_vector(batch, 72, 0, 30)),
            dims(backend_, 1, latent, random_vector(latent, 73, 0, 1));
        std::vector<double> started(metric::kl_dims + latent, 3.0);  // what earlier steps left
        const Array<double> sums(backend_, started);
        Vector want(started.begin(), started.end());
        for (const KlWeight& weight : kWeights) {
          SCOPED_TRACE("B " + std::to_string(batch) + ", K " + std::to_string(samples) + ", L " +
                       std::to_string(latent) + ", beta " + std::to_string(weight.beta) + ", free bits " +
                       std::to_string(weight.free_bits));
          const Matrix loss(backend_, 1, 1);
          backend_.elbo_loss(log_p, kl, dims, weight, step.data(), loss.data(), sums.data());
          const auto one = reference::elbo_loss(reference::widen(log_p.get()), reference::widen(kl.get()),
                                                reference::widen(dims.get()), weight, kStep);
          const double rtol = sum_error(std::max(batch * samples, latent));  // the reconstruction and the KL add up
          expect_close(loss.get(), {one.loss}, 0, rtol, "loss");
          want[metric::steps] += 1, want[metric::loss] += one.loss;
          want[metric::reconstruction] += one.reconstruction, want[metric::kl] += one.kl;
          for (Index l = 0; l < latent; ++l) want[metric::kl_dims + l] += dims.get()[l];
          expect_close(sums.get(), want, 0, rtol, "sums");
        }
      }
}

TEST_P(Metrics, TheFirstStepHasTheFullKlUnlessItWarmsUp) {
  const Array<std::uint32_t> step(backend_, std::vector<std::uint32_t>{0});
  const Matrix log_p(backend_, 1, 1, {-3}), kl(backend_, 1, 1, {2}), dims(backend_, 1, 1, {2}), loss(backend_, 1, 1);
  const Array<double> sums(backend_, std::vector<double>(metric::kl_dims + 1));
  for (const auto& [warmup, want] : {std::pair{0u, 5.0f}, std::pair{10u, 3.0f}}) {
    backend_.elbo_loss(log_p, kl, dims, {1.0f, warmup, 0.0f}, step.data(), loss.data(), sums.data());
    EXPECT_EQ(loss.get().front(), want) << "warm-up over " << warmup << " steps";
  }
}

TEST_P(Metrics, ALossThatIsNotFiniteIsNotSummed) {
  const Array<std::uint32_t> step(backend_, std::vector<std::uint32_t>{kStep});
  const Array<double> sums(backend_, std::vector<double>(metric::kl_dims + 2, 5.0));
  const std::vector<double> before = sums.get();
  for (const float bad : {kNaN, kInfinity, -kInfinity})
    for (const bool in_kl : {false, true}) {
      const Matrix log_p(backend_, 4, 1, {-1, in_kl ? -1 : bad, -1, -1}), kl(backend_, 2, 1, {1, in_kl ? bad : 1});
      const Matrix dims(backend_, 1, 2, {1, 1}), loss(backend_, 1, 1);
      backend_.elbo_loss(log_p, kl, dims, {}, step.data(), loss.data(), sums.data());
      EXPECT_FALSE(std::isfinite(loss.get().front()));
      expect_same_bits(sums.get(), before, "sums");
    }
}

TEST_P(Metrics, LossGivesTheSameBitsEveryTime) {
  const Array<std::uint32_t> step(backend_, std::vector<std::uint32_t>{kStep});
  const Matrix log_p(backend_, 1285, 1, random_vector(1285, 71, -200, -50)),
      kl(backend_, 257, 1, random_vector(257, 72, 0, 30));
  const Matrix dims(backend_, 1, 33, random_vector(33, 73, 0, 1)), loss(backend_, 1, 1), again(backend_, 1, 1);
  const Array<double> sums(backend_, std::vector<double>(metric::kl_dims + 33)), sums_again(backend_, sums.get());
  backend_.elbo_loss(log_p, kl, dims, kWeights[3], step.data(), loss.data(), sums.data());
  backend_.elbo_loss(log_p, kl, dims, kWeights[3], step.data(), again.data(), sums_again.data());
  expect_same_bits(loss.get(), again.get(), "loss");
  expect_same_bits(sums.get(), sums_again.get(), "sums");
}

// Values near 1000 with a spread of one: sums of squares minus a squared sum would keep 10 of 16 digits. In double,
// Chan's updates lose about rows * mean/deviation * 2^-53 = 1e-10 at the worst.
TEST_P(Metrics, MomentsMergeToThoseOfAllRows) {
  for (const Index cols : {1, 2, 3, 31, 33, 129}) {
    SCOPED_TRACE("C " + std::to_string(cols));
    const Array<double> acc(backend_, std::vector<double>(1 + 2 * cols));
    Vector all;
    for (const Index rows : {1, 2, 33, 257, 1}) {
      const Matrix x(backend_, rows, cols, random_vector(rows * cols, 80 + rows, 999, 1001));
      backend_.moments(x, acc.data());
      for (float f : x.get()) all.push_back(f);
      expect_close(acc.get(), reference::moments(all, cols), 1e-10, 1e-12, "acc");
    }
  }
}

TEST_P(Metrics, MomentsGiveTheSameBitsEveryTime) {
  const Matrix x(backend_, 1000, 33, random_vector(33000, 90));
  const Array<double> acc(backend_, std::vector<double>(67)), again(backend_, std::vector<double>(67));
  for (int i = 0; i < 2; ++i) {
    backend_.moments(x, acc.data());
    backend_.moments(x, again.data());
  }
  expect_same_bits(acc.get(), again.get(), "acc");
}

}  // namespace
}  // namespace cuvae
