// Arguments that several commands share.
#pragma once
#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cuvae/checkpoint.h"
#include "cuvae/dataset.h"
#include "cuvae/evaluate.h"

namespace cuvae::cli {

inline constexpr double kMaxCount = 2147483647;

/// Accepts numbers in [low, high], and not NaN.
CLI::Validator within(double low, double high);

/// What --data takes.
inline constexpr const char* kDataHelp =
    "IDX, NPY, NPZ (FILE.npz:NAME) or CSV, gzipped or not, or a folder of IDX files; -: stdin (default: $CUVAE_DATA)";

/// Accepts file names with one of these extensions, and with ".npy" among them "-".
CLI::Validator with_extension(std::vector<std::string> extensions);

/// Where to compute: --device, --threads, and for training --data-memory.
struct DeviceArguments {
  std::string device = "auto";
  int threads = 0;
  Precision precision = Precision::fp32;

  void add_to(CLI::App& app);
  std::unique_ptr<Backend> make() const;
  /// "cpu: AMD EPYC, 2 threads, avx512", and why no GPU is used where one would have been.
  std::string describe(const Backend& backend) const;
};

/// A trained model, with its backend, which must live longer.
struct LoadedModel {
  std::unique_ptr<Backend> backend;
  CheckpointInfo info;
  Vae vae;

  const VaeConfig& config() const { return vae.config(); }
};

/// MODEL: a checkpoint, or a run folder, which stands for its best checkpoint, or its last where there is no best.
struct ModelArguments : DeviceArguments {
  std::string model;

  void add_model_to(CLI::App& app);  ///< without the device
  void add_to(CLI::App& app);
  std::filesystem::path checkpoint() const;
  LoadedModel load() const;
};

/// Examples as a model takes them: --data, --split, --pixel-scale, --binarize, --seed; what training did is the
/// default.
struct DataArguments {
  std::string data;
  std::string split = "test";
  std::uint64_t seed = 0;

  /// `seed_of` is the help of --seed.
  void add_to(CLI::App& app, const char* seed_of = "Of the binarization");
  /// Throws Error when the examples are not what the model takes: see check_data_fits.
  Dataset open(const LoadedModel& model) const;
  Binarize binarize(const LoadedModel& model) const;
  /// Rows first .. first + count of open() as float32 [count, D], binarized.
  std::vector<float> input(const LoadedModel& model, const Dataset& examples, Index first, Index count) const {
    return model_input(examples, first, count, binarize(model), seed);
  }

 private:
  std::string binarize_;
  float pixel_scale_ = 0;
  CLI::Option* pixel_scale_given_ = nullptr;
};

/// Divided by the pixel scale; as it is where that is 0.
Dataset scaled(const Dataset& data, float pixel_scale);

/// --data, or the environment's CUVAE_DATA; throws CLI::RequiredError when neither is given.
std::string data_path(const std::string& given);

}  // namespace cuvae::cli
