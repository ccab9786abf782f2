// Precision::bf16: what is rounded and what stays float32, from one op to a whole training.
#include <atomic>
#include <limits>

#include "cuvae/checkpoint.h"
#include "cuvae/evaluate.h"
#include "error_text.h"
#include "io/safetensors.h"
#include "op_test.h"
#include "small_training.h"
#include "temp_dir.h"

namespace cuvae {
namespace {
using namespace test;

/// On every device that has bf16, with the same device in float32 beside it.
class Bf16 : public OpTest {
 protected:
  std::unique_ptr<Backend> float32_ = make_test_backend(GetParam().substr(0, GetParam().find(' ')));
};
std::vector<std::string> bf16_backends() {
  std::vector<std::string> all = backends_in_every_precision();
  std::erase_if(all, [](const std::string& name) { return name.find("bf16") == std::string::npos; });
  return all;
}
CUVAE_ON_BACKENDS(Bf16, bf16_backends());
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Bf16);  // where there is no device

TEST_P(Bf16, IsTheActivationType) {
  EXPECT_EQ(backend_.activation_type(), DType::bf16);
  EXPECT_EQ(float32_->activation_type(), DType::f32);
  EXPECT_NE(backend_.description().find("bf16"), std::string::npos) << backend_.description();
}

TEST_P(Bf16, RoundsToNearestWithTiesToEven) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<std::pair<float, float>> cases{{0.0f, 0.0f},
                                                   {-0.0f, -0.0f},
                                                   {1.0f, 1.0f},
                                                   {0x1.01p0f, 0x1.00p0f},  // halfway: the even neighbour is below,
                                                   {0x1.03p0f, 0x1.04p0f},  // or above
                                                   {0x1.010002p0f, 0x1.02p0f},
                                                   {-0x1.03p0f, -0x1.04p0f},
                                                   {0x1.00ffp0f, 1.0f},
                                                   {3.4e38f, kInfinity},
                                                   {-kInfinity, -kInfinity},
                                                   {0x1p-126f, 0x1p-126f},
                                                   {0x1p-130f, 0x1p-130f}};
  std::vector<float> from, want;
  for (const auto& [value, rounded] : cases) from.push_back(value), want.push_back(rounded);
  const auto n = static_cast<Index>(from.size());
  const Matrix in(backend_, 1, n, from), out(backend_, 1, n, DType::bf16);
  backend_.run(RoundToBf16{in, out});
  expect_same_bits(out.get(), want, "rounded");

  const Matrix nan(backend_, 1, 1, {std::numeric_limits<float>::quiet_NaN()}), of_nan(backend_, 1, 1, DType::bf16);
  backend_.run(RoundToBf16{nan, of_nan});
  EXPECT_TRUE(std::isnan(of_nan.get().front()));
}

TEST_P(Bf16, RoundsArraysOfEverySizeAndAlignment) {
  for (const Index size : {1, 2, 3, 7, 8, 9, 31, 33, 1023, 1024, 1025, 100003}) {
    const auto values = random_vector(size + 1, 3, -100, 100);
    const Matrix in(backend_, 1, size + 1, values);
    for (const Index skip : {0, 1}) {
      SCOPED_TRACE("size " + std::to_string(size) + ", skipping " + std::to_string(skip));
      const Matrix out(backend_, 1, size, DType::bf16);
      backend_.run(RoundToBf16{ConstView{in.data() + skip, 1, size}, out});
      expect_same_bits(out.get(), stored({values.begin() + skip, values.begin() + skip + size}), "rounded");
    }
  }
}

// Activations that begin between 16-byte boundaries: the same values element by element.
TEST_P(Bf16, MisalignedActivationsGiveTheSameValues) {
  constexpr Index kRows = 5, kWidth = 48;
  const auto values = random_vector(kRows * kWidth, 4, -3, 3);
  const auto at = [](const Matrix& m, Index skip) {
    return View{static_cast<std::uint16_t*>(View(m).data) + skip, kRows, kWidth, DType::bf16};
  };
  const auto inside = [](std::vector<float> v, Index skip) {
    return std::vector<float>{v.begin() + skip, v.begin() + skip + kRows * kWidth};
  };
  std::vector<float> first[2];
  for (const Index skip : {0, 1}) {
    std::vector<float> shifted(static_cast<std::size_t>(skip));
    shifted.insert(shifted.end(), values.begin(), values.end());
    const Matrix in(backend_, 1, kRows * kWidth + skip, shifted, DType::bf16), pixels(backend_, kRows, kWidth, values);
    const Matrix gradient(backend_, 1, kRows * kWidth + skip, DType::bf16), log_p(backend_, kRows, 1);
    backend_.run(LogProb{Likelihood::bernoulli, at(in, skip), at(in, skip), 1, log_p, at(gradient, skip)});
    if (skip == 0) first[0] = inside(gradient.get(), skip);
    expect_same_bits(inside(gradient.get(), skip), first[0], "dlogits");
    backend_.run(GatherBatch{pixels, {nullptr, kRows, nullptr, 0}, Binarize::none, {}, at(gradient, skip)});
    if (skip == 0) first[1] = inside(gradient.get(), skip);
    expect_same_bits(inside(gradient.get(), skip), first[1], "x");
  }
}

TEST_P(Bf16, IsRefusedWhereItIsNotAllowed) {
  const auto zeros = [&](Index rows, Index cols, DType type) {
    return Matrix(backend_, rows, cols, std::vector<float>(static_cast<std::size_t>(rows * cols)), type);
  };
  const Matrix f32(backend_, 3, 4), half = zeros(3, 4, DType::bf16), w = zeros(2, 4, DType::bf16), y(backend_, 3, 2),
                                    b = zeros(1, 2, DType::f32), b_half(backend_, 1, 2, DType::bf16),
                                    dy = zeros(3, 2, DType::bf16), dw(backend_, 2, 4);
  expect_error([&] { backend_.run(Linear{f32, w, b, Activation::relu, {}, y}); }, "x is [3, 4] but must be bf16");
  expect_error(
      [&] {
        backend_.run(Linear{half, w, b_half, Activation::relu, {}, y});
      },
      "b is [1, 2] bf16 but must be f32");
  EXPECT_NO_THROW(backend_.run(Linear{half, w, b, Activation::identity, {}, y}));
  EXPECT_NO_THROW(backend_.run(LinearBackward{half, w, dy, Activation::identity, {}, dw, b, f32}));
  expect_error(
      [&] {
        backend_.run(LinearBackward{half, w, dy, Activation::relu, {}, dw, b, f32});
      },
      "dx is [3, 4] but must be bf16");
  expect_error(
      [&] {
        backend_.run(LinearBackward{half, w, dy, Activation::relu, {}, half, b, half});
      },
      "dw is [3, 4] bf16 but must be f32");
  expect_error([&] { backend_.run(RoundToBf16{half, half}); }, "from is [3, 4] bf16 but must be f32");
  expect_error([&] { backend_.run(RoundToBf16{f32, f32}); }, "to is [3, 4] but must be bf16");

  const Matrix other(*float32_, 3, 4);
  expect_error([&] { float32_->run(RoundToBf16{other, other}); }, "round_to_bf16: activations are f32 on cuda");
  StepState state;
  float loss = 0;
  double sums = 0;
  const Arena arena{other.data(), other.data(), other.data(), other.data(), nullptr, 12, &state};
  expect_error(
      [&] {
        float32_->run(Adam{arena, {}, &loss, &state, &sums});
      },
      "adam: a bf16 copy of the parameters is given");
}

const EvaluateOptions kEvaluation{.samples = 100, .seed = 5};

/// What fit() leaves, as the bytes of its checkpoint, and the ELBO of what it learned.
struct Trained {
  std::string checkpoint;
  Evaluation evaluation;
};
Trained train(Backend& backend, const VaeConfig& model, const TrainConfig& config,
              const std::filesystem::path& folder) {
  Trainer trainer(backend, model, config, small_data());
  FitOptions options;
  options.checkpoints = folder;
  EXPECT_EQ(trainer.fit(small_data(), options), Outcome::finished);
  const std::filesystem::path last = folder / "last.safetensors";
  return {file_bytes(last), evaluate(load_vae(backend, last), small_data(), kEvaluation)};
}

// Every value on the way is off by a few 2^-8 of itself and as often above as below, so that the ELBO moves by less
// than that: 1% of it, while learning gains 10%.
TEST_P(Bf16, LearnsAsFloat32DoesAndRepeatsBitForBit) {
  for (const Activation activation : {Activation::relu, Activation::gelu}) {
    SCOPED_TRACE(to_string(activation));
    VaeConfig model = small_model();
    model.activation = activation;
    TrainConfig config = thorough_training();
    config.epochs = 12;
    const TempDir a, b, c;
    const Trained first = train(backend_, model, config, a / ""), again = train(backend_, model, config, b / ""),
                  float32 = train(*float32_, model, config, c / "");
    EXPECT_TRUE(first.checkpoint == again.checkpoint);
    EXPECT_FALSE(first.checkpoint == float32.checkpoint);
    EXPECT_NEAR(first.evaluation.elbo, float32.evaluation.elbo, 0.01 * std::fabs(float32.evaluation.elbo));
    const Vae untrained(backend_, model, config.seed);
    EXPECT_LT(evaluate(untrained, small_data(), kEvaluation).elbo, 1.1 * first.evaluation.elbo);
  }
}

TEST_P(Bf16, ResumesBitForBitFromFloat32Parameters) {
  const TempDir whole, parts;
  const std::string want = train(backend_, small_model(), thorough_training(), whole / "").checkpoint;
  const std::filesystem::path last = parts / "last.safetensors";
  std::atomic<bool> stop = false;
  FitOptions options;
  options.checkpoints = parts / "";
  options.stop = &stop;
  options.on_progress = [&](const Progress& p) { stop = p.step == 8; };  // amid the second epoch
  Trainer trainer(backend_, small_model(), thorough_training(), small_data());
  ASSERT_EQ(trainer.fit(small_data(), options), Outcome::interrupted);
  const SafetensorsFile file = SafetensorsFile::open(last);
  for (const Tensor& t : file.tensors()) EXPECT_NE(t.dtype, "BF16") << t.name;

  options.stop = nullptr;
  EXPECT_EQ(Trainer::resume(backend_, last).fit(small_data(), options), Outcome::finished);
  EXPECT_TRUE(file_bytes(last) == want);
}

// Averaged slowly, the weights hardly move from where they start, while those in training learn: products must read
// the ones, then the others again. 1% as above.
TEST_P(Bf16, ValidatesTheAveragedWeightsAndTrainsTheOthers) {
  TrainConfig config = thorough_training();
  config.ema_decay = 0.999f;
  config.output_bias_from_data = false;
  config.schedule.rate = 0.05;
  const auto last_progress = [&](Backend& backend) {
    Progress last;
    FitOptions options;
    options.on_progress = [&](const Progress& p) { last = p; };
    Trainer(backend, small_model(), config, small_data()).fit(small_data(), options);
    return last;
  };
  const Progress narrow = last_progress(backend_), wide = last_progress(*float32_);
  const double validation = wide.validation->reconstruction, train = wide.train.reconstruction;
  EXPECT_NEAR(narrow.validation->reconstruction, validation, 0.01 * std::fabs(validation));  // the others' is 3% away
  EXPECT_NEAR(narrow.train.reconstruction, train, 0.01 * std::fabs(train));
}

TEST_P(Bf16, ParametersOfFloat32GiveTheSameModel) {
  const TempDir folder;
  const TrainConfig config = small_training();
  train(*float32_, small_model(), config, folder / "");
  const std::filesystem::path last = folder / "last.safetensors";
  const Vae wide = load_vae(*float32_, last), narrow = load_vae(backend_, last);
  expect_same_bits(parameters(narrow), parameters(wide), "parameters");

  // 300 rows take two batches. Each of two layers rounds its weights, inputs and results: 2 * 3 * 2^-8, and the sums'
  // terms cancel by no more than four.
  std::vector<float> x = fractions(small_pixels(300));
  const auto stats = wide.encode(x), narrow_stats = narrow.encode(x);
  double scale = 0;
  for (const float s : stats) scale = std::max(scale, std::fabs(double{s}));
  expect_close(narrow_stats, reference::widen(stats), 4 * 6 * rounding_ * scale, 0, "stats");
  const std::vector<float> z = random_vector(300 * 2, 9, -2, 2);
  expect_close(narrow.decode(z), reference::widen(wide.decode(z)), 4 * 6 * rounding_, 0, "decoded");
}

TEST_P(Bf16, TheOutputBiasIsSeenByProducts) {
  Vae vae(backend_, small_model(), 1);
  const std::vector<float> zeros(2, 0.0f), before = vae.decode(zeros);
  vae.set_output_bias(std::vector<float>(12, 0.9f));
  for (const float p : vae.decode(zeros)) EXPECT_NEAR(p, 0.9, 0.01);
  EXPECT_NE(before, vae.decode(zeros));
}

}  // namespace
}  // namespace cuvae
