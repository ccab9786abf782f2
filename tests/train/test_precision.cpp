// A training step with rounded inputs of products, against a step in float32.
#include "op_test.h"
#include "small_training.h"

namespace cuvae {
namespace {
using namespace test;

struct Step {
  std::vector<double> update;  // of every parameter, -1 times its gradient
  double loss;
};

// One step of gradient descent with rate 1.
Step step_with(Precision precision) {
  const auto backend = make_backend("cuda", 0, precision);
  VaeConfig model;
  model.image_height = model.image_width = 28;
  TrainConfig config;
  config.optimizer = Optimizer::sgd;
  config.beta1 = 0;
  config.schedule.rate = 1;
  Trainer trainer(*backend, model, config, config.batch);
  const std::vector<float> before = parameters(trainer.vae());
  const Array<std::uint8_t> pixels(*backend, small_pixels(config.batch, model.data_dim));
  trainer.step({pixels.data(), config.batch, model.data_dim, DType::u8});
  const std::vector<float> after = parameters(trainer.vae());
  Step s{{}, trainer.metrics().loss};
  for (std::size_t i = 0; i < before.size(); ++i) s.update.push_back(double{after[i]} - double{before[i]});
  return s;
}

// tf32 keeps 11 significant bits. Whether the library rounds or cuts off the rest is not documented; cut off, an input
// is too small by 2^-11 of itself in the mean at most. A gradient has passed at most eight products of two such inputs,
// which all shrink it: 16 * 2^-11 = 7.8e-3. Rounding errors, which have no direction, stay far below.
TEST(CudaPrecision, Tf32IsCloseToFp32) {
  if (!cuda_is_there() && !cuda_is_required()) GTEST_SKIP() << "no CUDA device";
  const Step exact = step_with(Precision::fp32), rounded = step_with(Precision::tf32);
  reference::Vector difference;
  for (std::size_t i = 0; i < exact.update.size(); ++i) difference.push_back(rounded.update[i] - exact.update[i]);
  const double norm = std::sqrt(dot(exact.update, exact.update)), error = std::sqrt(dot(difference, difference));
  EXPECT_GT(norm, 0);
  EXPECT_LE(error / norm, 8e-3);
  EXPECT_NEAR(rounded.loss, exact.loss, 1e-3 * exact.loss);
}

}  // namespace
}  // namespace cuvae
