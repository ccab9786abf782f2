#include "cli/arguments.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <limits>

#include "check_data.h"
#include "cli/run_folder.h"
#include "text.h"

namespace cuvae::cli {

CLI::Validator within(double low, double high) {
  return {[=](std::string& text) {
            double value = 0;
            if (!CLI::detail::lexical_cast(text, value)) return "'" + text + "' is not a number";
            if (value >= low && value <= high) return std::string();
            return text + " is not " +
                   (high < kMaxCount ? "within " + number(low) + " to " + number(high, 9) : "at least " + number(low));
          },
          ""};
}

CLI::Validator with_extension(std::vector<std::string> extensions) {
  return {[=](std::string& text) {
            const std::string extension = std::filesystem::path(text).extension();
            const auto allowed = [&](const std::string& wanted) {
              return std::find(extensions.begin(), extensions.end(), wanted) != extensions.end();
            };
            if (allowed(extension) || (text == kStandardOutput && allowed(".npy"))) return std::string();
            return "'" + text + "' must end in " + CLI::detail::join(extensions, " or ");
          },
          ""};
}

void DeviceArguments::add_to(CLI::App& app) {
  app.add_option("--device", device, "Where to compute: auto, or a name that 'cuvae devices' lists")
      ->type_name("NAME")
      ->default_str(device)
      ->group("Device");
  app.add_option("--threads", threads, "Threads on the CPU; 0: one per core that this process may use")
      ->type_name("N")
      ->default_str("0")
      ->check(within(0, 4096))
      ->group("Device");
  const auto set_precision = [this](const std::string& name) {
    try {
      precision = parse<Precision>(name);
    } catch (const Error& error) {
      throw CLI::ValidationError("--precision", error.what());
    }
  };
  app.add_option_function<std::string>("--precision", set_precision,
                                       "fp32; tf32: products faster on a GPU; bf16: activations and weights too")
      ->type_name("NAME")
      ->default_str("fp32")
      ->group("Device");
}

std::unique_ptr<Backend> DeviceArguments::make() const { return make_backend(device, threads, precision); }

std::string DeviceArguments::describe(const Backend& backend) const {
  const std::string text = backend.name() + ": " + backend.description();
  if (device != "auto" || backend.name() != "cpu") return text;
  try {
    make_backend("cuda");
  } catch (const Error& error) {
    return text + " (" + error.what() + ")";
  }
  return text;
}

void ModelArguments::add_model_to(CLI::App& app) {
  app.add_option("model", model, "A run folder, or a .safetensors checkpoint")->type_name("")->required();
}

void ModelArguments::add_to(CLI::App& app) {
  add_model_to(app);
  DeviceArguments::add_to(app);
}

std::filesystem::path ModelArguments::checkpoint() const {
  std::error_code ignored;  // what cannot be examined is opened as a file, which tells why not
  return std::filesystem::is_directory(model, ignored) ? RunFolder(model).model() : std::filesystem::path(model);
}

LoadedModel ModelArguments::load() const {
  const std::filesystem::path path = checkpoint();
  std::unique_ptr<Backend> backend = make();
  CheckpointInfo info = read_checkpoint_info(path);
  Vae vae = load_vae(*backend, path);
  return {std::move(backend), std::move(info), std::move(vae)};
}

void DataArguments::add_to(CLI::App& app, const char* seed_of) {
  app.add_option("--data", data, kDataHelp)->type_name("PATH");
  app.add_option("--split", split, "Which images of a folder: train or test")
      ->type_name("NAME")
      ->default_str(split)
      ->check(CLI::IsMember({"train", "test"}).description(""));
  pixel_scale_given_ =
      app.add_option("--pixel-scale", pixel_scale_,
                     "Divide the data by this; 0: uint8 by 255, floats by nothing (default: as in training)")
          ->type_name("X")
          ->check(within(0, std::numeric_limits<float>::max()));
  app.add_option("--binarize", binarize_, "none, threshold or stochastic (default: as in training)")
      ->type_name("NAME")
      ->check(CLI::IsMember({"none", "threshold", "stochastic"}).description(""));
  app.add_option("--seed", seed, seed_of)->type_name("N")->default_str("0");
}

Binarize DataArguments::binarize(const LoadedModel& model) const {
  return binarize_.empty() ? model.info.training.binarize : parse<Binarize>(binarize_);
}

Dataset scaled(const Dataset& data, float pixel_scale) { return pixel_scale > 0 ? data.divided_by(pixel_scale) : data; }

Dataset DataArguments::open(const LoadedModel& model) const {
  const Split part = split == "train" ? Split::train : Split::test;
  const bool given = pixel_scale_given_->count() > 0;
  const Dataset divided = scaled(Dataset::open(data_path(data), part, {model.config().data_dim}),
                                 given ? pixel_scale_ : model.info.training.pixel_scale);
  check_data_fits(divided, model.config(), binarize(model));
  return divided;
}

std::string data_path(const std::string& given) {
  if (!given.empty()) return given;
  const char* const fallback = std::getenv("CUVAE_DATA");
  if (fallback != nullptr && *fallback != '\0') return fallback;
  throw CLI::RequiredError("--data, or CUVAE_DATA in the environment,");
}

}  // namespace cuvae::cli
