// cuvae train, cuvae resume.
#include "check_data.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/config_file.h"
#include "cli/training_run.h"
#include "data/stream.h"
#include "run_checks.h"

namespace cuvae::cli {
namespace {

struct TrainArguments {
  Settings settings;
  std::string config_file, out;
  bool overwrite = false, quiet = false;
};

// What is wrong with the settings is wrong usage, whoever finds it.
template <class Call>
void as_usage(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    throw CLI::ParseError(error.what(), CLI::ExitCodes::ValidationError);
  }
}

Dataset open_training_data(const Settings& settings) {
  return scaled(Dataset::open(settings.data, Split::train), settings.training.pixel_scale);
}

Trainer new_trainer(Backend& backend, Settings& settings, const Dataset& data) {
  settings.model.data_dim = data.cols();
  settings.model.image_height = data.image_height();
  settings.model.image_width = data.image_width();
  settings.model.image_channels = data.image_channels();
  settings.model.image_channels_first = data.channels_first();
  if (const auto [least, most] = data.range(); least < most && (least < 0 || most > 1))
    settings.model.image_black = least, settings.model.image_white = most;
  return {backend, settings.model, settings.training, data};
}

int train(const CLI::App& app, TrainArguments& arguments) {
  Settings& settings = arguments.settings;
  as_usage([&] { resolve(app, settings); });
  settings.data = data_path(settings.data);
  if (!is_standard_input(settings.data)) settings.data = std::filesystem::absolute(settings.data).lexically_normal();
  RunFolder folder(arguments.out);
  std::optional<Dataset> data;
  std::unique_ptr<Backend> backend;
  std::optional<Trainer> trainer;
  try {
    folder.prepare(arguments.overwrite);
    data.emplace(open_training_data(settings));
    backend = settings.make();
    trainer.emplace(new_trainer(*backend, settings, *data));
    check_data_fits(*data, settings.model, settings.training.binarize);
    folder.begin([&](const RunFolder& run) {
      write_config(run.config(), settings);
      trainer->save(run.last());
    });
  } catch (...) {
    folder.abandon();
    throw;
  }
  return run_training(folder, settings, *trainer, *data, arguments.quiet);
}

struct ResumeArguments : DeviceArguments {
  std::string run;
  Index epochs = 0;
  bool quiet = false;
};

// A checkpoint whose batch or examples the data do not have takes no memory.
void check_claims(const std::filesystem::path& checkpoint, const Dataset& data) {
  const CheckpointInfo info = read_checkpoint_info(checkpoint);
  check_run_data(data, info.model, info.training, info.examples);
}

int resume(const CLI::App& app, const ResumeArguments& arguments) {
  RunFolder folder(arguments.run);
  folder.reopen();
  Settings settings = read_config(folder.config());
  if (app.count("--device") > 0) settings.device = arguments.device;
  if (app.count("--threads") > 0) settings.threads = arguments.threads;
  if (app.count("--precision") > 0) settings.precision = arguments.precision;
  const bool extend = app.count("--epochs") > 0;
  if (extend) settings.training.epochs = arguments.epochs;
  const Dataset data = open_training_data(settings);
  const std::unique_ptr<Backend> backend = settings.make();

  // A run that was killed before its first checkpoint starts from the beginning.
  const bool started = std::filesystem::exists(folder.last());
  if (started) check_claims(folder.last(), data);
  Trainer trainer = started ? Trainer::resume(*backend, folder.last()) : new_trainer(*backend, settings, data);
  if (trainer.state().step > trainer.steps_per_epoch() * settings.training.epochs)
    throw CLI::ValidationError("--epochs",
                               "the run is beyond epoch " + std::to_string(settings.training.epochs) + " already");
  trainer.mutable_config().epochs = settings.training.epochs;
  if (extend) write_config(folder.config(), settings);
  return run_training(folder, settings, trainer, data, arguments.quiet);
}

}  // namespace

Command add_train(CLI::App& program) {
  CLI::App* const app = program.add_subcommand("train", "Train a model, in a new run folder");
  const auto arguments = std::make_shared<TrainArguments>();
  app->add_option("--out", arguments->out, "The run folder to make")->type_name("RUN")->required()->configurable(false);
  app->add_flag("--overwrite", arguments->overwrite, "Replace the run in that folder")->configurable(false);
  app->add_option("--config", arguments->config_file, "JSON object of these flags without dashes; flags win over it")
      ->type_name("FILE")
      ->configurable(false);
  app->add_flag("--quiet", arguments->quiet, "Print errors only")->configurable(false);
  add_settings(*app, arguments->settings);
  app->footer(
      "Examples:\n"
      "  cuvae train --data data/mnist-10k --out runs/first --epochs 5\n"
      "  cuvae train --data data/mnist-10k --out runs/plane --latent 2 --hidden 500 200 --validation 0.1\n"
      "  cuvae train --config runs/first/config.json --out runs/again");
  return {app, [app, arguments] {
            if (!arguments->config_file.empty()) as_usage([&] { apply_config_file(*app, arguments->config_file); });
            return train(*app, *arguments);
          }};
}

Command add_resume(CLI::App& program) {
  CLI::App* const app = program.add_subcommand("resume", "Continue a run from its last checkpoint");
  const auto arguments = std::make_shared<ResumeArguments>();
  app->add_option("run", arguments->run, "The run folder")->type_name("")->required();
  app->add_option("--epochs", arguments->epochs, "Train up to this many in all (default: as the run was started)")
      ->type_name("N")
      ->check(within(1, kMaxCount));
  app->add_flag("--quiet", arguments->quiet, "Print errors only");
  arguments->add_to(*app);
  app->footer(
      "The result is the same, bit for bit, as that of a run that was never interrupted.\n\n"
      "Example:\n"
      "  cuvae resume runs/first --epochs 20");
  return {app, [app, arguments] { return resume(*app, *arguments); }};
}

}  // namespace cuvae::cli
