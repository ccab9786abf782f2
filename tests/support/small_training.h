// A model and data that are small enough to train in a test, and what tests need of a trainer. Needs no test framework.
#pragma once
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "cuvae/trainer.h"

namespace cuvae::test {

/// A model of pictures of 3 x 4 pixels.
inline VaeConfig small_model() {
  VaeConfig m;
  m.data_dim = 12;
  m.image_height = 3;
  m.image_width = 4;
  m.latent = 2;
  m.encoder_hidden = {8};
  m.decoder_hidden = {6};
  return m;
}

/// The same model with the conditions of the data.
inline VaeConfig small_model(const Dataset& data) {
  VaeConfig m = small_model();
  m.condition = data.condition();
  if (data.conditions() != nullptr) m.condition_dim = data.conditions()->cols();
  return m;
}

constexpr Index kSmallRows = 43;  // batches of 5 leave a remainder

inline TrainConfig small_training() {
  TrainConfig t;
  t.seed = 0x1234567890abcdef;
  t.batch = 5;
  t.epochs = 3;
  t.log_every = 1;
  t.schedule.rate = 0.01;
  return t;
}

/// Changes a trainer's settings by change(TrainConfig&).
template <class F>
void configure(Trainer& trainer, F change) {
  TrainConfig config = trainer.config();
  change(config);
  trainer.configure(config);
}

/// small_training() with every part of the trainer in use.
inline TrainConfig thorough_training() {
  TrainConfig t = small_training();
  t.samples = 2;
  t.beta = 0.7f;
  t.kl_warmup_epochs = 1.5;
  t.free_bits = 0.01f;
  t.optimizer = Optimizer::adamw;
  t.schedule.kind = LearningRate::Kind::cosine;
  t.schedule.warmup_epochs = 0.5;
  t.weight_decay = 0.01f;
  t.clip_norm = 1.0f, t.clip_value = 0.1f;
  t.ema_decay = 0.9f;
  t.output_bias_from_data = true;
  t.validation = 0.25;
  t.patience = 50;
  return t;
}

/// Rows that a model can learn: there are three kinds, and each has its own third of bright pixels.
inline std::vector<std::uint8_t> small_pixels(Index rows = kSmallRows, Index cols = 12) {
  std::mt19937 random(7);
  std::vector<std::uint8_t> pixels;
  for (Index i = 0; i < rows * cols; ++i) {
    const auto noise = static_cast<std::uint8_t>(random() % 64);
    pixels.push_back(static_cast<std::uint8_t>(i / cols % 3 == i % 3 ? 255 - noise : noise));
  }
  return pixels;
}
inline Dataset small_data(Index rows = kSmallRows) { return Dataset::from_memory(small_pixels(rows), rows, 12); }

/// The kinds of these rows: a row's label is the third of its pixels that is bright.
inline std::vector<std::uint8_t> small_labels(Index rows = kSmallRows) {
  std::vector<std::uint8_t> labels;
  for (Index i = 0; i < rows; ++i) labels.push_back(static_cast<std::uint8_t>(i % 3));
  return labels;
}

/// The pixels divided by 255, as in the library.
inline std::vector<float> fractions(const std::vector<std::uint8_t>& bytes) {
  std::vector<float> values;
  for (const std::uint8_t byte : bytes) values.push_back(static_cast<float>(byte) / 255.0f);
  return values;
}

/// A copy of the arena of parameters.
inline std::vector<float> parameters(const Vae& vae) {
  std::vector<float> values(static_cast<std::size_t>(vae.layout().size()));
  vae.backend().synchronize();
  vae.backend().download(values.data(), vae.params(), values.size() * sizeof(float));
  return values;
}

inline std::string file_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace cuvae::test
