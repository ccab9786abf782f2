// Arguments that several commands share.
#pragma once
#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cuvae/checkpoint.h"
#include "cuvae/dataset.h"
#include "cuvae/evaluate.h"
#include "process/number_flags.h"

namespace cuvae::cli {

/// The help of --data.
inline constexpr const char* kDataHelp =
    "IDX, NPY, NPZ (FILE.npz:NAME) or CSV file, gzipped or not, or a folder of IDX files; -: stdin (default: "
    "$CUVAE_DATA)";

/// Accepts file names with one of these extensions; also "-" if ".npy" is one of them.
CLI::Validator with_extension(std::vector<std::string> extensions);

/// An option whose argument is the name of an Enum's value.
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

/// What --missing says where NaN alone is missing.
inline constexpr const char* kOnlyNaN = "nan";
/// --missing, which calls set() with the value that is missing like NaN, or with none.
CLI::Option* add_missing(CLI::App& app, const std::string& help, std::function<void(std::optional<float>)> set);

/// Where to compute: --device, --threads and --precision.
struct DeviceArguments {
  std::string device = "auto";
  int threads = 0;
  Precision precision = Precision::fp32;

  void add_to(CLI::App& app);
  /// The reason why a flag has no effect on this device, or null. With "auto" every device counts.
  const char* idle_threads() const { return unless(!device.starts_with("cuda"), "on a GPU: it is for the CPU"); }
  const char* idle_precision() const {
    return unless(device != "cpu" || precision != Precision::tf32, "with tf32 on the CPU, which computes in fp32");
  }
  /// Throws CLI::ValidationError for flags that have no effect.
  void refuse_idle_device(const CLI::App& app) const;
  std::unique_ptr<Backend> make() const;
  /// "cpu: AMD EPYC, 2 threads, avx512". With "auto" on the CPU, also the reason why no GPU is used.
  std::string describe(const Backend& backend) const;
};

/// A trained model and its backend. The backend must outlive the model.
struct LoadedModel {
  std::unique_ptr<Backend> backend;
  CheckpointInfo info;
  Vae vae;

  const VaeConfig& config() const { return vae.config(); }
};

/// MODEL: a checkpoint or a run folder. A folder means its best checkpoint, or its last one if there is no best.
struct ModelArguments : DeviceArguments {
  std::string model;
  const CLI::App* app = nullptr;  ///< the command's, whose flags load() checks

  void add_model_to(CLI::App& command);  ///< without the device
  void add_to(CLI::App& command);
  std::filesystem::path checkpoint() const;
  LoadedModel load() const;
};

/// Examples for a model: --data, --condition, --split, --pixel-scale, --missing, --binarize, --seed. The defaults are
/// what training used.
struct DataArguments {
  std::string data, condition;
  std::string split = "test";
  std::uint64_t seed = 0;
  const CLI::App* app = nullptr;

  /// `seed_help` is the help of --seed.
  void add_to(CLI::App& command, const char* seed_help = "Seed of the binarization");
  /// The examples with the conditions of a conditional model. Throws Error when they do not fit: see check_data_fits.
  /// `draws`: whether the command also needs random numbers for other purposes than the binarization.
  Dataset open(const LoadedModel& model, bool draws = false) const;
  Binarize binarize(const LoadedModel& model) const;
  /// Rows first .. first + count of open() as float32 [count, D], binarized.
  std::vector<float> input(const LoadedModel& model, const Dataset& examples, Index first, Index count) const {
    return model_input(examples, first, count, binarize(model), seed);
  }

 private:
  std::string condition_of(const VaeConfig& model) const;
  std::string binarize_;
  float pixel_scale_ = 0;
  std::optional<float> missing_value_;
};

/// How the values of a file become those of examples.
struct Reading {
  float pixel_scale = 0;  ///< 0: as Dataset::open() has them
  bool missing_values = false;
  std::optional<float> missing_value = {};
};
inline Reading reading_of(const VaeConfig& model, float pixel_scale) {
  return {pixel_scale, model.missing_values, model.missing_value};
}
Dataset open_examples(const std::filesystem::path& path, Split split, const std::vector<Index>& widths,
                      const Reading& reading);

/// The environment variable CUVAE_DATA, if it is set and not empty.
std::optional<std::string> data_in_environment();
/// The absolute path; "-", the standard input, is returned unchanged.
std::string absolute_path(const std::string& path);
/// --data, or the environment's CUVAE_DATA; throws CLI::RequiredError when neither is given.
std::string data_path(const std::string& given);

}  // namespace cuvae::cli
