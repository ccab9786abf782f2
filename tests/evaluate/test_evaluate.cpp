// Evaluation against the reference's model in double precision, and independence of batch size and threads.
#include "cuvae/evaluate.h"

#include <limits>
#include <numeric>

#include "error_text.h"
#include "op_test.h"
#include "random_model.h"
#include "reference_vae.h"
#include "small_training.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

class Evaluate : public OpTest {
 protected:
  /// The reference's evaluation of rows of the small data. A float32 pass has an error of about ten roundings of its
  /// terms.
  void expect_as_reference(const Vae& vae, const std::vector<std::uint32_t>& rows, const EvaluateOptions& options) {
    Vector pixels;
    for (const std::uint8_t byte : small_pixels()) pixels.push_back(byte / 255.0);
    const Vector x = reference::gather_batch(pixels, 12, {rows.begin(), rows.end()}, options.binarize,
                                             {options.seed, Stream::binarize, 0xffffffff});
    const auto e =
        reference::Model(vae.config())
            .elbo(reference::widen(parameters(vae)), x, options.samples, {options.seed, Stream::latent, 0xffffffff});
    const auto n = static_cast<double>(rows.size());
    Vector elbo(rows.size());
    double reconstruction = 0, kl = 0, mean = 0, squares = 0;
    for (std::size_t b = 0; b < rows.size(); ++b) {
      for (Index k = 0; k < options.samples; ++k)
        elbo[b] += e.log_p[b * options.samples + k] / static_cast<double>(options.samples);
      reconstruction += elbo[b] / n;
      kl += e.kl[b] / n;
      elbo[b] -= e.kl[b];
      mean += elbo[b] / n;
    }
    for (const double v : elbo) squares += (v - mean) * (v - mean);

    const Evaluation got = evaluate(vae, small_data(), rows, options);
    EXPECT_EQ(got.examples, static_cast<Index>(rows.size()));
    EXPECT_NEAR(got.reconstruction, reconstruction, 1e-6 * std::fabs(reconstruction));
    EXPECT_NEAR(got.kl, kl, 1e-6 * (1 + kl));
    EXPECT_NEAR(got.elbo, mean, 1e-6 * std::fabs(mean));
    EXPECT_NEAR(got.bits_per_dim, -mean / 12 / std::log(2.0), 1e-6 * std::fabs(mean));
    if (rows.size() == 1) {
      EXPECT_TRUE(std::isnan(got.elbo_error));
    } else {
      EXPECT_NEAR(got.elbo_error, std::sqrt(squares / (n - 1) / n), 1e-6 * std::fabs(mean));
    }
    // The errors of one example do not average out. A scale from the decoder is an exp that is squared.
    expect_close(got.elbos, elbo, 1e-6, 10 * 0x1p-24 + kSquaredExpError, "elbos");
    expect_close(got.kl_dims, e.kl_dims, 1e-6, 1e-6, "kl_dims");
    const Vector moments = reference::moments(e.stats, 4);
    EXPECT_EQ(got.active_units, (moments[5] > 0.01 * n) + (moments[6] > 0.01 * n));
  }
};
CUVAE_ON_EVERY_BACKEND(Evaluate);

std::vector<std::uint32_t> all_rows() {
  std::vector<std::uint32_t> rows(kSmallRows);
  std::iota(rows.begin(), rows.end(), 0u);
  return rows;
}

TEST_P(Evaluate, ModelInputIsWhatTheModelIsGiven) {
  const Dataset data = small_data();
  const Array<std::uint32_t> step(backend_, std::vector<std::uint32_t>{kEvaluationStep});
  const Buffer pixels = backend_.allocate(static_cast<std::size_t>(data.rows() * data.cols()));
  backend_.upload(pixels.data(), data.data(), pixels.bytes());
  for (const Binarize mode : {Binarize::none, Binarize::threshold, Binarize::stochastic}) {
    const Matrix x(backend_, 20, data.cols());
    const Noise noise{9, Stream::binarize, step.data(), 7};
    backend_.run(GatherBatch{
        {pixels.data(), data.rows(), data.cols(), DType::u8}, {nullptr, data.rows(), nullptr, 7}, mode, noise, x});
    EXPECT_EQ(x.get(), model_input(data, 7, 20, mode, 9));
  }
}

TEST_P(Evaluate, MatchesTheReference) {
  for (const LikelihoodTraits& t : kLikelihoods)
    for (const Binarize binarize : {Binarize::none, Binarize::threshold, Binarize::stochastic})
      for (const Index samples : {1, 3}) {
        SCOPED_TRACE(std::string(t.name) + ", " + std::string(to_string(binarize)) + ", K " + std::to_string(samples));
        VaeConfig config = small_model();
        config.likelihood = t.likelihood;
        config.scale = 0.5f;
        expect_as_reference(random_model(backend_, config), all_rows(), {samples, 10, binarize, 9});
      }
}

TEST_P(Evaluate, SomeRowsInAnyOrder) {
  const Vae vae = random_model(backend_, small_model());
  for (const std::vector<std::uint32_t>& rows :
       std::vector<std::vector<std::uint32_t>>{{42}, {3, 1, 2}, {7, 7, 0, 41, 20}})
    expect_as_reference(vae, rows, {2, 2, Binarize::stochastic, 9});
}

// The noise depends only on the row, so the batch size changes only the rounding of products.
TEST_P(Evaluate, DoesNotDependOnTheBatch) {
  const Vae vae = random_model(backend_, small_model());
  const Evaluation whole = evaluate(vae, small_data(), {2, 500, Binarize::stochastic, 9});
  for (const Index batch : {1, 2, 7, 42, 43, 44}) {
    const Evaluation e = evaluate(vae, small_data(), {2, batch, Binarize::stochastic, 9});
    EXPECT_NEAR(e.elbo, whole.elbo, 1e-6 * std::fabs(whole.elbo));
    EXPECT_NEAR(e.kl, whole.kl, 1e-6 * whole.kl);
    EXPECT_NEAR(e.elbo_error, whole.elbo_error, 1e-6);
    expect_close(e.kl_dims, whole.kl_dims, 0, 1e-6, "kl_dims");
    EXPECT_EQ(e.active_units, whole.active_units);
  }
  const Evaluation again = evaluate(vae, small_data(), {2, 500, Binarize::stochastic, 9});
  EXPECT_EQ(again.elbo, whole.elbo);
  EXPECT_NE(evaluate(vae, small_data(), {2, 500, Binarize::stochastic, 10}).elbo, whole.elbo);
}

// An encoder without hidden layers. Its means are single pixels with known variance.
TEST_P(Evaluate, CountsTheUnitsWhoseMeansVary) {
  VaeConfig config = small_model();
  config.latent = 4;
  config.encoder_hidden = {};
  Vae vae(backend_, config, 1);
  std::vector<float> arena = parameters(vae);
  const Parameter& w = vae.encoder().weights()[0];
  std::fill_n(arena.begin() + w.offset, w.size(), 0.0f);
  for (Index l = 0; l < 4; ++l) arena[w.offset + l * 12 + l] = 1;       // mu_l = x_l
  for (Index l = 4; l < 8; ++l) arena[w.offset + l * 12 + 4] = 100.0f;  // logvar varies, but must have no effect
  backend_.upload(vae.params(), arena.data(), arena.size() * sizeof(float));
  std::vector<float> pixels(40 * 12, 0.5f);
  const float halves[] = {0.0f, 0.099f, 0.101f, 0.3f};  // standard deviations around 0.5
  for (Index i = 0; i < 40; ++i) {
    for (Index l = 0; l < 4; ++l) pixels[i * 12 + l] += i % 2 == 0 ? halves[l] : -halves[l];
    pixels[i * 12 + 4] = static_cast<float>(i % 2);
  }
  const Dataset data = Dataset::from_memory(pixels, 40, 12);
  EXPECT_EQ(evaluate(vae, data, {1, 7, Binarize::none, 0}).active_units, 2);
}

TEST_P(Evaluate, RowsThatAreAllTheSameHaveNoError) {
  VaeConfig config = small_model();
  config.likelihood = Likelihood::gaussian;
  Vae constant(backend_, config, 1);
  const std::vector<float> zeros(static_cast<std::size_t>(constant.layout().size()));
  backend_.upload(constant.params(), zeros.data(), zeros.size() * sizeof(float));
  const Evaluation e =
      evaluate(constant, Dataset::from_memory(std::vector<std::uint8_t>(240), 20, 12), {1, 7, Binarize::none, 0});
  EXPECT_NEAR(e.elbo_error, 0, 1e-7);
  EXPECT_NEAR(e.kl, 0, 1e-7);
  EXPECT_NEAR(e.elbo, -12 * 0.918938533204672742, 1e-5);
}

TEST_P(Evaluate, RefusesWhatItCannotDo) {
  const Vae vae = random_model(backend_, small_model());
  const Dataset data = small_data();
  expect_error([&] { evaluate(vae, data, {0, 10}); }, "but both must be at least 1");
  expect_error([&] { evaluate(vae, data, {1, 0}); }, "but both must be at least 1");
  expect_error([&] { evaluate(vae, data, {std::numeric_limits<Index>::max(), 10}); }, "rows");
  expect_error(
      [&] {
        evaluate(vae, data, {std::numeric_limits<Index>::max(), std::numeric_limits<Index>::max()});
      },
      "rows");
  expect_error([&] { evaluate(vae, data, std::vector<std::uint32_t>{}, {}); }, "evaluate: no examples");
  expect_error([&] { evaluate(vae, data, {3, 43}, {}); }, "evaluate: row is 43 but the data have only 43 rows");
  expect_error([&] { evaluate(vae, Dataset::from_memory(small_pixels(5, 11), 5, 11)); },
               "memory: examples have 11 values but the model's data_dim is 12");
  expect_error([&] { evaluate(vae, Dataset::from_memory(std::vector<float>(12, -1.0f), 1, 12)); },
               "needs values in [0, 1]");
}

}  // namespace
}  // namespace cuvae
