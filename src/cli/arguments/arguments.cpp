#include "cli/arguments/arguments.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "cli/arguments/conditions.h"
#include "cli/run/run_folder.h"
#include "data/bytes/stream.h"
#include "data/check_data.h"
#include "data/formats/npz.h"
#include "io/text.h"
#include "process/limited_memory.h"

namespace cuvae::cli {

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

CLI::Option* add_missing(CLI::App& app, const std::string& help, std::function<void(std::optional<float>)> set) {
  const auto parse = [set = std::move(set)](const std::string& text) {
    constexpr double most = std::numeric_limits<float>::max();
    if (text.empty() || text == kOnlyNaN)
      set(std::nullopt);
    else
      set(flag_number<float>("--missing", text, {-most, most}));
  };
  return app.add_option_function<std::string>("--missing", parse, help)->type_name("VALUE");
}

void DeviceArguments::add_to(CLI::App& app) {
  app.add_option("--device", device, "Where to compute: auto, or a name that 'cuvae devices' lists")
      ->type_name("NAME")
      ->default_str(device)
      ->group("Device");
  add_number(app, "--threads", threads, "CPU threads; 0: one per core that this process may use", {0, 4096})
      ->group("Device");
  add_name(app, "--precision", precision, "fp32, tf32 (faster matrix products on a GPU) or bf16 (also for activations)")
      ->group("Device");
}

void DeviceArguments::refuse_idle_device(const CLI::App& app) const {
  refuse_idle(app, "--threads", idle_threads());
  refuse_idle(app, "--precision", idle_precision());
}

std::unique_ptr<Backend> DeviceArguments::make() const {
  if (!device.starts_with("cuda")) compile_products_if_limited();
  return make_backend(device, threads, precision);
}

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

void ModelArguments::add_model_to(CLI::App& command) {
  command.add_option("model", model, "A run folder, or a .safetensors checkpoint")->type_name("")->required();
}

void ModelArguments::add_to(CLI::App& command) {
  app = &command;
  add_model_to(command);
  DeviceArguments::add_to(command);
}

std::filesystem::path ModelArguments::checkpoint() const {
  std::error_code ignored;  // if this fails, opening the file fails too and reports the reason
  return std::filesystem::is_directory(model, ignored) ? RunFolder(model).model() : std::filesystem::path(model);
}

LoadedModel ModelArguments::load() const {
  refuse_idle_device(*app);
  const std::filesystem::path path = checkpoint();
  std::unique_ptr<Backend> backend = make();
  CheckpointInfo info = read_checkpoint_info(path);
  Vae vae = load_vae(*backend, path);
  return {std::move(backend), std::move(info), std::move(vae)};
}

void DataArguments::add_to(CLI::App& command, const char* seed_help) {
  app = &command;
  command.add_option("--data", data, kDataHelp)->type_name("PATH");
  command
      .add_option("--condition", condition,
                  "Of conditional models: labels, those of the data, or a file with labels or columns (default: labels "
                  "where the model reads them)")
      ->type_name("FILE");
  command.add_option("--split", split, "Which images of a folder to read: train or test")
      ->type_name("NAME")
      ->default_str(split)
      ->check(CLI::IsMember({"train", "test"}).description(""));
  add_number(command, "--pixel-scale", pixel_scale_,
             "Divide the data by this; 0: divide uint8 by 255, leave floats unchanged (default: as in training)", {})
      ->default_str("");
  add_missing(command,
              "The value that is missing, like NaN, in the units of the file; nan: none (default: as in training)",
              [this](std::optional<float> value) { missing_value_ = value; });
  command.add_option("--binarize", binarize_, "none, threshold or stochastic (default: as in training)")
      ->type_name("NAME")
      ->check(CLI::IsMember({"none", "threshold", "stochastic"}).description(""));
  add_number(command, "--seed", seed, seed_help, kAnySeed);
}

Binarize DataArguments::binarize(const LoadedModel& model) const {
  return binarize_.empty() ? model.info.training.binarize : parse<Binarize>(binarize_);
}

Dataset open_examples(const std::filesystem::path& path, Split split, const std::vector<Index>& widths,
                      const Reading& reading) {
  Dataset data = Dataset::open(path, split, widths, reading.missing_values ? NaNs::missing : NaNs::refused);
  if (reading.pixel_scale > 0) data = data.divided_by(reading.pixel_scale);
  return reading.missing_value ? data.with_missing(*reading.missing_value) : data;
}

std::string DataArguments::condition_of(const VaeConfig& model) const {
  if (!model.is_conditional() && !condition.empty())
    throw CLI::ValidationError("--condition", "has no effect on this model, which reads no conditions");
  if (model.condition == ConditionKind::columns && condition.empty())
    throw CLI::ValidationError("--condition", "is needed: the model reads " + std::to_string(model.condition_dim) +
                                                  " columns for each example, of a file");
  return condition.empty() && model.is_conditional() ? kLabels : condition;
}

Dataset DataArguments::open(const LoadedModel& model, bool draws) const {
  const std::string path = data_path(data);
  std::error_code ignored;  // if this fails, opening the file fails too and reports the reason
  const std::filesystem::path file = split_member(path).first;
  const bool one_file = is_standard_input(path) ||
                        (std::filesystem::exists(file, ignored) && !std::filesystem::is_directory(file, ignored));
  refuse_idle(*app, "--split", unless(!one_file, "on one file: it selects files of a folder"));
  refuse_idle(*app, "--seed",
              unless(draws || binarize(model) == Binarize::stochastic, "here: no random numbers are needed"));
  const Split part = split == "train" ? Split::train : Split::test;
  refuse_idle(*app, "--missing", unless(model.config().missing_values, "with a model that takes no missing values"));
  Reading reading = reading_of(model.config(), model.info.training.pixel_scale);
  if (app->count("--pixel-scale") > 0) reading.pixel_scale = pixel_scale_;
  if (app->count("--missing") > 0) reading.missing_value = missing_value_;
  const Dataset examples = with_conditions(open_examples(path, part, {model.config().data_dim}, reading),
                                           condition_of(model.config()), path, part, model.config().condition_dim);
  check_data_fits(examples, model.config(), binarize(model));
  return examples;
}

std::optional<std::string> data_in_environment() {
  const char* const path = std::getenv("CUVAE_DATA");
  if (path == nullptr || *path == '\0') return std::nullopt;
  return path;
}

std::string absolute_path(const std::string& path) {
  if (is_standard_input(path)) return path;
  return std::filesystem::absolute(path).lexically_normal();
}

std::string data_path(const std::string& given) {
  if (!given.empty()) return given;
  const std::optional<std::string> fallback = data_in_environment();
  if (fallback) return *fallback;
  throw CLI::RequiredError("--data, or CUVAE_DATA in the environment,");
}

}  // namespace cuvae::cli
