// cuvae info, cuvae devices.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>

#include "cli/arguments/arguments.h"
#include "cli/arguments/settings.h"
#include "cli/commands/command.h"
#include "cuvae/estimator.h"
#include "io/text.h"

namespace cuvae::cli {
namespace {

using Json = nlohmann::ordered_json;

struct InfoArguments : ModelArguments {
  bool json = false;
};

Json describe(const std::string& file, const CheckpointInfo& info) {
  Json model = {{"data-dim", info.model.data_dim},
                {"image-height", info.model.image_height},
                {"image-width", info.model.image_width},
                {"image-channels", info.model.image_channels},
                {"image-channels-first", info.model.image_channels_first},
                {"image-black", info.model.image_black},
                {"image-white", info.model.image_white},
                {"parameters", info.parameters}};
  if (info.model.is_conditional()) {
    model["condition"] = std::string(to_string(info.model.condition));
    model["condition-dim"] = info.model.condition_dim;
  }
  if (const std::vector<double>& scale = info.standardization.scale; !scale.empty()) {
    const auto [least, largest] = std::minmax_element(scale.begin(), scale.end());
    model["standardized-by"] = {*least, *largest};  // the columns' deviations
  }
  model.update(settings_json(info.model));
  const Index steps_per_epoch = info.examples / info.training.batch;
  const auto or_null = [](double v) { return std::isfinite(v) ? Json(v) : Json(); };
  Json progress = {{"step", info.state.step},       {"steps", steps_per_epoch * info.training.epochs},
                   {"updates", info.state.updates}, {"skipped", info.state.skipped},
                   {"examples", info.examples},     {"data-crc32", info.data_crc32},
                   {"averaged", info.averaged},     {"best-elbo", or_null(info.best_elbo)}};
  if (is_importance_weighted(info.training.estimator)) progress["best-bound"] = or_null(info.best_bound);
  return {{"file", file}, {"model", model}, {"progress", progress}, {"training", settings_json(info.training)}};
}

std::string plain(const Json& value) {
  if (value.is_string()) return value;
  if (value.is_null()) return "none";
  if (!value.is_array()) return value.dump();
  std::string list;
  for (const Json& item : value) list += (list.empty() ? "" : " ") + plain(item);
  return list.empty() ? "none" : list;
}

void print_section(const Json& all, const char* name) {
  std::cout << name << '\n';
  for (const auto& [key, value] : all[name].items()) {
    std::string padded = key;
    padded.resize(std::max<std::size_t>(key.size(), 22), ' ');
    std::cout << "  " << padded << "  " << plain(value) << '\n';
  }
}

int show_info(const InfoArguments& arguments) {
  const std::filesystem::path file = arguments.checkpoint();
  const Json all = describe(path_to_json(file), read_checkpoint_info(file));
  if (arguments.json) {
    std::cout << all.dump(2) << '\n';
    return 0;
  }
  std::cout << printable(file.string()) << '\n';
  for (const char* section : {"model", "progress", "training"}) print_section(all, section);
  return 0;
}

// Tries one CUDA device after another until there is none.
int list_devices() {
  std::cout << "cpu     " << make_backend("cpu")->description() << '\n';
  for (int i = 0;; ++i) {
    const std::string name = "cuda:" + std::to_string(i);
    try {
      const std::string description = make_backend(name)->description();
      std::cout << name << "  " << description << '\n';
    } catch (const Error& error) {
      if (i == 0) std::cout << "cuda    none (" << error.what() << ")\n";
      return 0;
    }
  }
}

}  // namespace

Command add_info(CLI::App& program) {
  CLI::App* const app = program.add_subcommand("info", "Show the contents of a checkpoint");
  const auto arguments = std::make_shared<InfoArguments>();
  arguments->add_model_to(*app);
  app->add_flag("--json", arguments->json, "Print one JSON object");
  app->footer("Example:\n  cuvae info runs/first");
  return {app, [arguments] { return show_info(*arguments); }};
}

Command add_devices(CLI::App& program) {
  CLI::App* const app = program.add_subcommand("devices", "List the devices that models can be computed on");
  app->footer("Example:\n  cuvae devices");
  return {app, list_devices};
}

}  // namespace cuvae::cli
