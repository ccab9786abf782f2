// Prints the CRC-32 of a checkpoint after 30 steps for each estimator, likelihood and number of samples. If no bit may
// change, compare the output of two builds line by line. Usage: training_bits [DEVICE [PRECISION]].
#include <unistd.h>
#include <zlib.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "cuvae/cuvae.h"

namespace {

using namespace cuvae;

constexpr Index kBatch = 7, kWidth = 13;

std::string crc_of_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  char text[16];
  std::snprintf(text, sizeof text, "%08lx",
                crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
  return text;
}

std::string train(Backend& backend, const VaeConfig& model, const TrainConfig& training,
                  const std::filesystem::path& file) try {
  Trainer trainer(backend, model, training, kBatch * 10);
  std::vector<float> host;
  for (Index i = 0; i < kBatch * kWidth; ++i) host.push_back(static_cast<float>(i * 7919 % 101) / 100.0f);
  const Buffer x = backend.allocate(host.size() * sizeof(float));
  backend.upload(x.data(), host.data(), host.size() * sizeof(float));
  for (int step = 0; step < 30; ++step) trainer.step({x.data(), kBatch, kWidth, DType::f32});
  trainer.save(file);
  return crc_of_file(file);
} catch (const Error& error) {
  return error.what();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string device = argc > 1 ? argv[1] : "cpu";
  const Precision precision = argc > 2 ? parse<Precision>(argv[2]) : Precision::fp32;
  const auto backend = make_backend(device, 1, precision);
  const std::filesystem::path file =
      std::filesystem::temp_directory_path() / ("training_bits." + std::to_string(::getpid()));
  for (const Likelihood likelihood : {Likelihood::bernoulli, Likelihood::gaussian, Likelihood::gaussian_learned,
                                      Likelihood::gaussian_learned_per_dim})
    for (const Estimator estimator : all_estimators())
      for (const Cost cost : {Cost::elbo, Cost::joint, Cost::likelihood})
        for (const Index samples : {1, 5, 6}) {
          VaeConfig model;
          model.data_dim = kWidth, model.latent = 6, model.image_width = kWidth;
          model.encoder_hidden = {11}, model.decoder_hidden = {12, 10};
          model.activation = samples == 5 ? Activation::gelu : Activation::relu;
          model.likelihood = likelihood;
          TrainConfig training;
          training.batch = kBatch, training.samples = samples, training.epochs = 3;
          training.estimator = estimator, training.cost = cost, training.antithetic = samples == 6;
          training.ema_decay = samples == 5 ? 0.9f : 0.0f;
          training.binarize = likelihood == Likelihood::bernoulli ? Binarize::stochastic : Binarize::none;
          std::printf("%s %s %s K=%d: %s\n", std::string(to_string(likelihood)).c_str(),
                      std::string(to_string(estimator)).c_str(), std::string(to_string(cost)).c_str(),
                      static_cast<int>(samples), train(*backend, model, training, file).c_str());
        }
  std::filesystem::remove(file);
}
