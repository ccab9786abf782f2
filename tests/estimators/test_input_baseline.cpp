// The baseline of nvil and nvil_scaled: what score_weights makes of it, how its network learns, and that it is kept.
#include "cuvae/estimator.h"
#include "io/safetensors.h"
#include "op_test.h"
#include "small_training.h"
#include "temp_dir.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

class InputBaselineTest : public OpTest {};
CUVAE_IN_EVERY_PRECISION(InputBaselineTest);

// l is three roundings of numbers up to 600; its gradient their sum over K. The moments are sums in double.
TEST_P(InputBaselineTest, WeightsAndItsGradientMatchTheReference) {
  for (const auto& shape : {std::pair<Index, Index>{1, 1}, {3, 2}, {33, 31}, {300, 3}, {2, 1000}})
    for (const bool scaled : {false, true}) {
      const Index B = shape.first, K = shape.second;
      SCOPED_TRACE("B " + std::to_string(B) + ", K " + std::to_string(K) + (scaled ? ", scaled" : ""));
      const Index R = B * K;
      const Matrix p_x(backend_, R, 1, random_vector(R, 31, -500, -400)),
          zero(backend_, R, 1, random_vector(R, 32, 0, 0)), network(backend_, B, 1, random_vector(B, 33, -100, 100)),
          score(backend_, R, 1), same(backend_, R, 1), dnetwork(backend_, B, 1, type_);
      const Array<RunningMean> running(backend_, std::vector<RunningMean>{{-180, 0.5}, {50, 0.5}});
      const Estimator e = scaled ? Estimator::nvil_scaled : Estimator::nvil;
      const auto weigh = [&](const Matrix& out, View gradient) {
        ScoreWeights op = score_weights(e, Cost::likelihood, p_x, zero, zero, K, out);
        op.mean = running.data(), op.variance = running.data() + 1, op.network = network, op.dnetwork = gradient;
        backend_.run(op);
      };
      weigh(score, dnetwork);
      Vector rest, want, want_gradient(B);
      const Vector f = reference::widen(p_x.get()), c = reference::widen(network.get());
      for (Index r = 0; r < R; ++r) {
        rest.push_back(f[r] - c[r / K]);
        const double l = rest[r] + 360;
        want.push_back(scaled ? l / 10 : l);
        want_gradient[r / K] -= 2 * l / static_cast<double>(R);
      }
      const double error = 1200 * 0x1p-24;
      expect_close(score.get(), want, scaled ? error / 10 : error, 0x1p-22, "score");
      expect_stored_close(dnetwork.get(), want_gradient, 2 * error / static_cast<double>(B) * (1 + 4 * sum_error(K)),
                          300 * sum_error(K), "dnetwork");
      const Vector moments = reference::moments(rest, 1);
      const std::vector<RunningMean> now = running.get();
      EXPECT_NEAR(now[0].sum, 0.9 * -180 + 0.1 * moments[1], 1e-9);
      EXPECT_NEAR(now[0].weight, 0.55, 1e-12);
      EXPECT_NEAR(now[1].sum, 0.9 * 50 + 0.1 * moments[2] / moments[0], 1e-7);
      running.set({{-180, 0.5}, {50, 0.5}});
      weigh(same, {});
      expect_same_bits(same.get(), score.get(), "score without the gradient");
    }
}

TEST_P(InputBaselineTest, ACostThatIsNotFiniteLeavesTheRunningMoments) {
  const Matrix p_x(backend_, 2, 1, {-1, NAN}), zero(backend_, 2, 1, {0, 0}), score(backend_, 2, 1);
  const Array<RunningMean> running(backend_, std::vector<RunningMean>{{-3, 0.5}, {2, 0.5}});
  backend_.run(ScoreWeights{.baseline = ScoreBaseline::network,
                            .log_p_x = p_x,
                            .log_p_z = zero,
                            .log_q = zero,
                            .score = score,
                            .mean = running.data(),
                            .variance = running.data() + 1,
                            .network = zero});
  EXPECT_EQ(score.get()[0], 5);
  for (const RunningMean& m : running.get()) EXPECT_EQ(m.weight, 0.5);
}

/// Rows of two kinds, whose log p(x|z) differ by 54 nats whatever z is, once the decoder says 0.
constexpr Index kBatch = 8, kDim = 12;
std::vector<float> unequal_rows() {
  std::vector<float> x;
  for (Index i = 0; i < kBatch * kDim; ++i) x.push_back(i / kDim % 2 == 0 ? 0.0f : 3.0f);
  return x;
}
TrainConfig nvil_training(Estimator e) {
  TrainConfig t = small_training();
  t.batch = kBatch;
  t.estimator = e;
  t.binarize = Binarize::none;
  t.schedule.rate = 0.02;
  return t;
}
VaeConfig gaussian_model() {
  VaeConfig m = small_model();
  m.likelihood = Likelihood::gaussian;
  return m;
}

std::vector<float> tensor(Trainer& trainer, const std::string& name) {
  const TempDir folder;
  trainer.save(folder / "now");
  const SafetensorsFile file = SafetensorsFile::open(folder / "now");
  const Tensor* t = file.find(name);
  if (t == nullptr) throw Error("no " + name);
  const auto* data = static_cast<const float*>(t->data);
  return {data, data + t->bytes / sizeof(float)};
}

void silence_decoder(Vae& vae) {
  std::vector<float> values = parameters(vae);
  for (const Parameter& p : vae.layout().parameters())
    if (p.name.rfind("decoder", 0) == 0) std::fill_n(values.begin() + p.offset, p.size(), 0.0f);
  vae.backend().upload(vae.params(), values.data(), values.size() * sizeof(float));
  vae.refresh_weights();
}

TEST_P(InputBaselineTest, LearnsWhatInputsCostWhileTheModelStays) {
  const Matrix x(backend_, kBatch, kDim, unequal_rows());
  const auto variance = [&](Estimator e) {
    TrainConfig training = nvil_training(e);
    training.cost = Cost::likelihood;
    Trainer trainer(backend_, gaussian_model(), training, kSmallRows);
    silence_decoder(trainer.vae());
    const std::vector<float> before = parameters(trainer.vae());
    std::uint32_t step = 0;
    for (; step < 150; ++step) trainer.set_step(step), trainer.fit_baseline(x);
    expect_same_bits(parameters(trainer.vae()), before, "parameters");
    const Index n = trainer.vae().layout().size();
    Vector sum(n), squares(n);
    constexpr int kDraws = 40;
    for (int i = 0; i < kDraws; ++i) {
      trainer.set_step(step++);
      const ConstView gradient = trainer.gradient(x);
      std::vector<float> g(static_cast<std::size_t>(n));
      backend_.synchronize();
      backend_.download(g.data(), gradient.data, g.size() * sizeof(float));
      for (const Parameter& p : trainer.vae().layout().parameters())
        if (p.name.rfind("encoder", 0) == 0)
          for (Index j = p.offset; j < p.offset + p.size(); ++j) {
            const double v = g[static_cast<std::size_t>(j)];
            sum[j] += v / kDraws, squares[j] += v * v / kDraws;
          }
    }
    double total = 0;
    for (Index j = 0; j < n; ++j) total += squares[j] - sum[j] * sum[j];
    return total;
  };
  // The running mean leaves 27 nats of each row; what the network leaves goes to 0.
  EXPECT_LT(variance(Estimator::nvil), 0.1 * variance(Estimator::score_mean));
}

TEST_P(InputBaselineTest, StepsTakeItAlongAndGradientsDoNot) {
  const Matrix x(backend_, kBatch, kDim, unequal_rows());
  for (const Estimator e : {Estimator::nvil, Estimator::nvil_scaled}) {
    Trainer trainer(backend_, gaussian_model(), nvil_training(e), kSmallRows);
    const std::string weight = "baseline.network.0.weight";
    const std::vector<float> start = tensor(trainer, weight);
    EXPECT_NE(start[0], parameters(trainer.vae())[0]) << "the same numbers as the encoder's";
    trainer.gradient(x, RunningMeans::update);
    expect_same_bits(tensor(trainer, weight), start, "after a gradient");
    trainer.step(x);
    EXPECT_NE(tensor(trainer, weight), start);
  }
}

// The first step of Adam moves every weight with a gradient by the rate, whatever the gradient's size.
TEST_P(InputBaselineTest, ItsFirstStepIsAdams) {
  const Matrix x(backend_, kBatch, kDim, unequal_rows());
  Trainer trainer(backend_, gaussian_model(), nvil_training(Estimator::nvil), kSmallRows);
  const std::vector<float> before = tensor(trainer, "baseline.network.1.weight");
  trainer.fit_baseline(x);
  const std::vector<float> after = tensor(trainer, "baseline.network.1.weight");
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_NEAR(std::fabs(after[i] - before[i]), 0.02, 1e-4) << i;
  // Costs are negative, the network starts near 0: it is to fall.
  EXPECT_LT(tensor(trainer, "baseline.network.1.bias")[0], 0);
}

TEST_P(InputBaselineTest, ALossThatIsNotFiniteDoesNotReachIt) {
  std::vector<float> pixels = unequal_rows();
  pixels[5] = NAN;
  const Matrix x(backend_, kBatch, kDim, pixels);
  Trainer trainer(backend_, gaussian_model(), nvil_training(Estimator::nvil), kSmallRows);
  std::vector<std::vector<float>> before;
  const std::vector<std::string> names = {"baseline.network.0.weight", "baseline.network.0.bias",
                                          "baseline.network.1.weight", "baseline.optimizer.m.network.0.weight",
                                          "baseline.running"};
  for (const std::string& name : names) before.push_back(tensor(trainer, name));
  trainer.step(x);
  EXPECT_EQ(trainer.state().skipped, 1u);
  for (std::size_t i = 0; i < names.size(); ++i) expect_same_bits(tensor(trainer, names[i]), before[i], names[i]);
}

// The model's arena, and so its clipping, know nothing of it.
TEST_P(InputBaselineTest, IsNoPartOfTheModel) {
  Trainer trainer(backend_, gaussian_model(), nvil_training(Estimator::nvil), kSmallRows);
  EXPECT_EQ(trainer.vae().layout().size(), parameter_layout(gaussian_model()).size());
  Trainer plain(backend_, gaussian_model(), nvil_training(Estimator::score), kSmallRows);
  expect_same_bits(parameters(trainer.vae()), parameters(plain.vae()), "initial parameters");
}

}  // namespace
}  // namespace cuvae
