// Arguments that several commands share.
#pragma once
#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/arguments/number_flags.h"
#include "cuvae/checkpoint.h"
#include "cuvae/dataset.h"
#include "cuvae/evaluate.h"

namespace cuvae::cli {

/// What --data takes.
inline constexpr const char* kDataHelp =
    "IDX, NPY, NPZ (FILE.npz:NAME) or CSV, gzipped or not, or a folder of IDX files; -: stdin (default: $CUVAE_DATA)";

/// Accepts file names with one of these extensions, and with ".npy" among them "-".
CLI::Validator with_extension(std::vector<std::string> extensions);

/// An option that takes the name of an Enum's value.
template <class Enum>
CLI::Option* add_name(CLI::App& app, const std::string& flag, Enum& value, const std::string& help) {
  const auto set = [&value, flag](const std::string& name) {
    try {
      value = parse<Enum>(name);
    } catch (const Error& error) {
      throw CLI::ValidationError(flag, error.what());
    }
  };
  return app.add_option_function<std::string>(flag, set, help)
      ->type_name("NAME")
      ->default_str(std::string(to_string(value)));
}

/// Where to compute: --device, --threads, and for training --data-memory.
struct DeviceArguments {
  std::string device = "auto";
  int threads = 0;
  Precision precision = Precision::fp32;

  void add_to(CLI::App& app);
  /// Why a flag does nothing on this device, or null. With "auto" it is for the device that may be chosen.
  const char* idle_threads() const { return unless(!device.starts_with("cuda"), "on a GPU: it is for the CPU"); }
  const char* idle_precision() const {
    return unless(device != "cpu" || precision != Precision::tf32, "with tf32 on the CPU, which computes in fp32");
  }
  /// Refuses flags that do nothing, as wrong usage.
  void refuse_idle_device(const CLI::App& app) const;
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
  const CLI::App* app = nullptr;  ///< the command's, whose flags load() checks

  void add_model_to(CLI::App& command);  ///< without the device
  void add_to(CLI::App& command);
  std::filesystem::path checkpoint() const;
  LoadedModel load() const;
};

/// Examples as a model takes them: --data, --split, --pixel-scale, --binarize, --seed; what training did is the
/// default.
struct DataArguments {
  std::string data;
  std::string split = "test";
  std::uint64_t seed = 0;
  const CLI::App* app = nullptr;

  /// `seed_of` is the help of --seed.
  void add_to(CLI::App& command, const char* seed_of = "Of the binarization");
  /// Throws Error when the examples are not what the model takes: see check_data_fits.
  /// `draws`: whether the command draws anything but a binarization, so that --seed has an effect.
  Dataset open(const LoadedModel& model, bool draws = false) const;
  Binarize binarize(const LoadedModel& model) const;
  /// Rows first .. first + count of open() as float32 [count, D], binarized.
  std::vector<float> input(const LoadedModel& model, const Dataset& examples, Index first, Index count) const {
    return model_input(examples, first, count, binarize(model), seed);
  }

 private:
  std::string binarize_;
  float pixel_scale_ = 0;
};

/// Divided by the pixel scale; as it is where that is 0.
Dataset scaled(const Dataset& data, float pixel_scale);

/// CUVAE_DATA, where it says something.
std::optional<std::string> data_in_environment();
/// A path that stays what it is in another folder; standard input stays itself.
std::string absolute_path(const std::string& path);
/// --data, or the environment's CUVAE_DATA; throws CLI::RequiredError when neither is given.
std::string data_path(const std::string& given);

}  // namespace cuvae::cli
