// Standardized data: the transformation, and models that contain it, whose results are in the data's units.
#include "cuvae/standardization.h"

#include <numbers>
#include <numeric>

#include "checkpoint_test.h"

namespace cuvae {
namespace {
using namespace test;

std::vector<std::uint32_t> all_rows(const Dataset& data) {
  std::vector<std::uint32_t> rows(static_cast<std::size_t>(data.rows()));
  std::iota(rows.begin(), rows.end(), 0u);
  return rows;
}

TEST(Standardization, HoldsMeansAndDeviationsOfTheRowsNamed) {
  const Dataset data = Dataset::from_memory(std::vector<float>{1, 7, -3, 99, 99, 99, 3, 7, -3, 5, 7, -3 - 6e-7f}, 4, 3);
  const Standardization s = Standardization::of(data, {0, 2, 3});
  EXPECT_DOUBLE_EQ(s.mean[0], 3);
  EXPECT_DOUBLE_EQ(s.scale[0], std::sqrt(8.0 / 3));
  EXPECT_EQ(s.mean[1], 7);
  EXPECT_EQ(s.scale[1], 1) << "a column of one value";
  const double step = double{3 + 6e-7f} - 3;  // the smallest difference still counts
  EXPECT_NEAR(s.scale[2], step * std::sqrt(2.0) / 3, 1e-9 * step);
  EXPECT_DOUBLE_EQ(s.log_volume(), std::log(s.scale[0]) + std::log(s.scale[2]));
  EXPECT_EQ(Standardization{}.log_volume(), 0);
  EXPECT_THROW(Standardization::of(data, {}), Error);
}

TEST(Standardization, AppliesAndUndoes) {
  const Standardization s{{3, -1}, {2, 0.5}};
  std::vector<float> x{3, -1, 5, 0, -1, 2.5f};
  s.apply(x);
  EXPECT_EQ(x, (std::vector<float>{0, 0, 1, 2, -2, 7}));
  s.undo(x);
  EXPECT_EQ(x, (std::vector<float>{3, -1, 5, 0, -1, 2.5f}));
  const Dataset bytes = s.apply(Dataset::from_memory(std::vector<std::uint8_t>{255, 0}, 1, 2));
  EXPECT_EQ(bytes.dtype(), DType::f32);
  EXPECT_EQ(bytes.row(0), (std::vector<float>{-1, 2}));
  const Dataset far = Dataset::from_memory(std::vector<float>{0, 1, 0, 3e38f}, 2, 2);
  EXPECT_NE(error_text([&] { s.apply(far); }).find("memory: value 1 of example 1 is too far"), std::string::npos);
  EXPECT_EQ(Standardization{}.apply(far).data(), far.data()) << "copies nothing";
}

class StandardizedModel : public CheckpointTest {
 protected:
  static constexpr Index kRows = 64, kCols = 12;

  static VaeConfig model(Likelihood likelihood = Likelihood::gaussian_learned) {
    VaeConfig m = small_model();
    m.likelihood = likelihood;
    return m;
  }
  static TrainConfig training() {
    TrainConfig t = small_training();
    t.binarize = Binarize::none;
    t.epochs = 6;
    t.standardize = true;
    return t;
  }
  /// Rows that a model can learn, in units of `unit` and with an offset.
  static Dataset data_in(double unit, double offset = 0) {
    std::vector<float> values;
    for (const float v : fractions(small_pixels(kRows)))
      values.push_back(static_cast<float>(unit * double{v} + offset));
    return Dataset::from_memory(std::move(values), kRows, kCols);
  }
};
CUVAE_ON_EVERY_BACKEND(StandardizedModel);

// A run with --standardize and a run on data that were standardized before make the same steps, bit for bit. The first
// reports in the data's units: its log p(x) is smaller by the logarithms of the deviations.
TEST_P(StandardizedModel, TrainsAsOnDataThatWereStandardizedBefore) {
  for (const Likelihood l :
       {Likelihood::gaussian, Likelihood::gaussian_learned, Likelihood::gaussian_learned_per_dim}) {
    TrainConfig config = training();
    config.output_bias_from_data = true;
    const Dataset data = data_in(40, 1000);
    const Standardization s = Standardization::of(data, all_rows(data));
    Trainer trainer(backend_, model(l), config, data);
    trainer.fit(data);
    const Metrics got = trainer.metrics();
    const Evaluation e = evaluate(trainer.vae(), data, {1, 64, Binarize::none, 0});

    const Dataset before = s.apply(data);
    config.standardize = false;
    config.output_bias_from_data = false;
    Trainer plain(backend_, model(l), config, before);
    std::vector<float> means = data.column_means();
    s.apply(means);  // 0, except for rounding
    plain.vae().set_output_bias(means);
    plain.fit(before);
    const Metrics want = plain.metrics();
    const Evaluation f = evaluate(plain.vae(), before, {1, 64, Binarize::none, 0});

    expect_same_bits(parameters(trainer.vae()), parameters(plain.vae()), "parameters");
    double log_volume = 0;
    for (const double scale : s.scale) log_volume += std::log(scale);
    EXPECT_GT(log_volume, 12);
    EXPECT_NEAR(got.loss - log_volume, want.loss, 1e-12 * log_volume);
    EXPECT_NEAR(got.reconstruction + log_volume, want.reconstruction, 1e-12 * log_volume);
    EXPECT_NEAR(e.elbo + log_volume, f.elbo, 1e-12 * log_volume);
    EXPECT_NEAR(e.reconstruction - e.kl, e.elbo, 1e-12 * log_volume);
    EXPECT_NEAR(e.elbo_error, f.elbo_error, 1e-6 * f.elbo_error);
    EXPECT_NEAR(e.bits_per_dim, -e.elbo / (kCols * std::numbers::ln2), 1e-9 * std::fabs(e.bits_per_dim));
  }
}

// The standardized numbers differ only by the float32 rounding of the data, 2^-24 of the offset.
TEST_P(StandardizedModel, TheElboFollowsTheUnit) {
  const auto elbo_in = [&](double unit, double offset) {
    const Dataset data = data_in(unit, offset);
    Trainer trainer(backend_, model(), training(), data);
    trainer.fit(data);
    return evaluate(trainer.vae(), data, {1, 64, Binarize::none, 0}).elbo;
  };
  const double of_one = elbo_in(1, 0);
  EXPECT_NEAR(elbo_in(1e-5, 0) + kCols * std::log(1e-5), of_one, 0.01);
  EXPECT_NEAR(elbo_in(2e4, 5e4) + kCols * std::log(2e4), of_one, 0.05);
}

TEST_P(StandardizedModel, EncodesAndDecodesInTheDatasUnits) {
  const Dataset data = data_in(1e-3, 5);
  Trainer trainer(backend_, model(Likelihood::gaussian), training(), data);
  trainer.fit(data);
  const Standardization s = trainer.vae().standardization();
  Vae plain(backend_, model(Likelihood::gaussian), 0);  // the same parameters, without standardization
  const std::vector<float> arena = parameters(trainer.vae());
  backend_.upload(plain.params(), arena.data(), arena.size() * sizeof(float));
  plain.refresh_weights();

  std::vector<float> x = data.row(3), own = x;
  s.apply(own);
  EXPECT_EQ(trainer.vae().encode(x), plain.encode(own));
  const std::vector<float> z{0.3f, -0.7f};
  std::vector<float> mean = plain.decode(z);
  s.undo(mean);
  EXPECT_EQ(trainer.vae().decode(z), mean);
  const std::vector<float> scale = trainer.vae().likelihood_scale();
  ASSERT_EQ(scale.size(), std::size_t{kCols});
  for (Index d = 0; d < kCols; ++d) EXPECT_FLOAT_EQ(scale[d], static_cast<float>(s.scale[d]));
  const std::vector<float> draw = trainer.vae().sample(z, 1), of_plain = plain.sample(z, 1), at = plain.decode(z);
  for (Index d = 0; d < kCols; ++d)  // a float32 near 5 is off by 2^-22
    EXPECT_NEAR(draw[d] - mean[d], (of_plain[d] - at[d]) * s.scale[d], 0x1p-20);

  trainer.vae().set_output_bias(data.column_means());
  const Parameter& bias = trainer.vae().decoder().biases().back();
  const std::vector<float> after = parameters(trainer.vae());
  for (Index d = 0; d < kCols; ++d) EXPECT_NEAR(after[bias.offset + d], 0, 1e-2) << "means are 0 in the model's units";
}

TEST_P(StandardizedModel, CheckpointsKeepItAndRunsGoOnWithIt) {
  const Dataset data = data_in(40, 1000);
  TrainConfig config = training();
  config.validation = 0.25;
  const auto bytes = [&](bool interrupted) {
    const TempDir folder;
    std::atomic<bool> stop{false};
    FitOptions options{folder.path(), [&](const Progress& p) { stop = interrupted && p.step == 11; }, &stop};
    Trainer first(backend_, model(), config, data);
    Outcome outcome = first.fit(data, options);
    EXPECT_EQ(outcome, interrupted ? Outcome::interrupted : Outcome::finished);
    if (outcome == Outcome::interrupted) Trainer::resume(backend_, folder / "last.safetensors").fit(data, options);
    const Vae vae = load_vae(backend_, folder / "last.safetensors");
    EXPECT_EQ(vae.standardization().mean, first.vae().standardization().mean);
    EXPECT_EQ(vae.standardization().scale, first.vae().standardization().scale);
    EXPECT_EQ(read_checkpoint_info(folder / "best.safetensors").standardization.scale, vae.standardization().scale);
    EXPECT_NE(vae.standardization().mean, Standardization::of(data, all_rows(data)).mean) << "without those held out";
    return file_bytes(folder / "last.safetensors");
  };
  EXPECT_TRUE(bytes(false) == bytes(true));
}

TEST_P(StandardizedModel, WhatCannotBeIsRefused) {
  const Dataset data = data_in(1);
  const auto refused = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  refused(error_text([&] { Trainer(backend_, small_model(), training(), data); }), "with a bernoulli likelihood");
  TrainConfig binarized = training();
  binarized.binarize = Binarize::threshold;
  refused(error_text([&] { binarized.validate(); }), "binarize is threshold but must be none for standardized data");

  Trainer trainer(backend_, model(), training(), data);
  trainer.fit(data);
  refused(error_text([&] { evaluate(trainer.vae(), data); }), "binarize is stochastic but must be none");
  const Standardization good = trainer.vae().standardization();
  Standardization bad = good;
  bad.scale[3] = 0;
  refused(error_text([&] { trainer.vae().set_standardization(bad); }), "column 3 has mean ");
  bad.scale[3] = NAN;
  refused(error_text([&] { trainer.vae().set_standardization(bad); }), "column 3 has mean ");
  bad = good;
  bad.mean.pop_back();
  refused(error_text([&] { trainer.vae().set_standardization(bad); }), "mean has 11 columns and scale 12");
  Vae bernoulli(backend_, small_model(), 0);
  refused(error_text([&] { bernoulli.set_standardization(good); }), "bernoulli");

  trainer.save(path_);
  const SafetensorsFile file = SafetensorsFile::open(path_);
  Tensors tensors = file.tensors();
  const std::vector<double> zeros(kCols);
  for (Tensor& t : tensors)
    if (t.name == "standardization.scale") t.data = zeros.data();
  Metadata metadata = file.metadata();
  metadata.erase("crc32");
  write_safetensors(path_, metadata, tensors);
  expect_refused_by_load("standardization: column 0 has mean ");
  expect_refused_by_resume("standardization: column 0 has mean ");
}

}  // namespace
}  // namespace cuvae
