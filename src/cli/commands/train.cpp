// cuvae train and cuvae resume.
#include <cmath>
#include <iostream>

#include "cli/arguments/arguments.h"
#include "cli/arguments/conditions.h"
#include "cli/arguments/config_file.h"
#include "cli/commands/command.h"
#include "cli/run/quantities.h"
#include "cli/run/training_run.h"
#include "cuvae/estimator.h"
#include "data/bytes/stream.h"
#include "data/check_data.h"
#include "data/formats/npz.h"
#include "io/text.h"
#include "train/run_checks.h"

namespace cuvae::cli {
namespace {

struct TrainArguments {
  Settings settings;
  std::string config_file, out;
  bool overwrite = false, quiet = false;
};

// Reports an Error about the settings as wrong usage.
template <class Call>
void as_usage(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    throw CLI::ParseError(error.what(), CLI::ExitCodes::ValidationError);
  }
}

std::string absolute_condition(const std::string& given) {
  return given.empty() || given == kLabels ? given : absolute_path(given);
}

Dataset open_training_data(const Settings& settings, const std::vector<Index>& widths = {}) {
  const Reading reading = reading_of(settings.model, settings.training.pixel_scale);
  return with_conditions(open_examples(settings.data, Split::train, widths, reading), settings.condition, settings.data,
                         Split::train, 0);
}

Trainer new_trainer(Backend& backend, Settings& settings, const Dataset& data) {
  settings.model.data_dim = data.cols();
  settings.model.condition = data.condition();
  if (data.conditions() != nullptr) settings.model.condition_dim = data.conditions()->cols();
  settings.model.image_height = data.image_height();
  settings.model.image_width = data.image_width();
  settings.model.image_channels = data.image_channels();
  settings.model.image_channels_first = data.channels_first();
  if (const auto [least, most] = data.range(); least < most && (least < 0 || most > 1))
    settings.model.image_black = least, settings.model.image_white = most;
  return {backend, settings.model, settings.training, data};
}

int train(CLI::App& app, TrainArguments& arguments) {
  Settings& settings = arguments.settings;
  as_usage([&] {
    std::set<std::string> from_file;
    if (!arguments.config_file.empty()) from_file = apply_config_file(app, arguments.config_file);
    resolve(app, settings);
    refuse_idle_settings(app, settings, from_file);
  });
  settings.data = absolute_path(data_path(settings.data));
  settings.condition = absolute_condition(settings.condition);
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
      write_config(run.config(), settings, folder.path());
      trainer->save(run.last());
    });
  } catch (...) {
    folder.abandon();
    throw;
  }
  return run_training(folder, settings, *trainer, *data, arguments.quiet);
}

struct ResumeArguments : DeviceArguments {
  std::string run, data, condition;
  Index epochs = 0;
  double schedule_epochs = 0;
  bool quiet = false;
};

// Where the data of a run are now: --data, the stored path, or CUVAE_DATA.
std::string find_data(const ResumeArguments& arguments, const Settings& settings) {
  if (!arguments.data.empty()) return absolute_path(arguments.data);
  std::error_code ignored;  // if this fails, opening the file fails too and reports the reason
  const std::filesystem::path file = split_member(settings.data).first;
  const bool gone = std::filesystem::status(file, ignored).type() == std::filesystem::file_type::not_found;
  if (!gone || is_standard_input(settings.data)) return settings.data;
  const std::optional<std::string> elsewhere = data_in_environment();
  if (elsewhere) return absolute_path(*elsewhere);
  throw Error(settings.data + ": does not exist: if the data were moved, give the new path by --data or CUVAE_DATA");
}

// Data that were piped into the run cannot be found again by their path.
Dataset reopen_data(const ResumeArguments& arguments, const Settings& settings, const std::vector<Index>& widths) {
  try {
    return open_training_data(settings, widths);
  } catch (const Error& error) {
    if (!is_standard_input(settings.data) || !arguments.data.empty()) throw;
    throw Error(std::string(error.what()) +
                "; the run was trained on piped data: pipe them again, or give --data PATH");
  }
}

// Applies --epochs and --schedule-epochs. A cosine schedule keeps its length unless --schedule-epochs is given.
void extend(const CLI::App& app, const ResumeArguments& arguments, TrainConfig& training) {
  Schedule& schedule = training.schedule;
  const bool cosine = schedule.kind == LearningRate::Kind::cosine;
  refuse_idle(app, "--schedule-epochs", unless(cosine, "on this run, whose schedule is not cosine"));
  if (cosine && schedule.epochs == 0) schedule.epochs = static_cast<double>(training.epochs);
  if (app.count("--epochs") > 0) training.epochs = arguments.epochs;
  if (app.count("--schedule-epochs") > 0) {
    const double all = static_cast<double>(training.epochs);
    schedule.epochs = arguments.schedule_epochs > 0 ? arguments.schedule_epochs : all;
  } else if (cosine && static_cast<double>(training.epochs) > schedule.epochs) {
    const std::string end = number(schedule.epochs), all = std::to_string(training.epochs);
    throw CLI::ValidationError(
        "--epochs", "is " + all + ", but this run's cosine schedule ends at epoch " + end + " with a rate of " +
                        number(schedule.final_rate) + ": give --schedule-epochs " +
                        (schedule.final_rate > 0 ? end + " to continue at that rate, or " : "") + all +
                        " to stretch the schedule (the result then differs from a run that was started with " + all +
                        " epochs)");
  }
  as_usage([&] { training.validate(); });
}

int resume(const CLI::App& app, const ResumeArguments& arguments) {
  RunFolder folder(arguments.run);
  folder.reopen();
  Settings settings = read_config(folder.config());
  if (app.count("--device") > 0) settings.device = arguments.device;
  if (app.count("--threads") > 0) settings.threads = arguments.threads;
  if (app.count("--precision") > 0) settings.precision = arguments.precision;
  settings.refuse_idle_device(app);
  extend(app, arguments, settings.training);
  const std::string stored_data = settings.data, stored_condition = settings.condition;
  settings.data = find_data(arguments, settings);
  if (!arguments.condition.empty()) settings.condition = absolute_condition(arguments.condition);
  // A run that was killed before its first checkpoint starts from the beginning.
  std::optional<CheckpointInfo> saved;
  if (std::filesystem::exists(folder.last())) saved = read_checkpoint_info(folder.last());
  const Dataset data =
      reopen_data(arguments, settings, saved ? std::vector{saved->model.data_dim} : std::vector<Index>{});
  // The sizes that the checkpoint claims are checked against the data, before memory is allocated for them.
  if (saved) check_run_data(data, saved->model, saved->training, saved->examples);
  const std::unique_ptr<Backend> backend = settings.make();
  Trainer trainer = saved ? Trainer::resume(*backend, folder.last()) : new_trainer(*backend, settings, data);
  TrainConfig longer = trainer.config();
  longer.epochs = settings.training.epochs;
  longer.schedule.epochs = settings.training.schedule.epochs;
  as_usage([&] { trainer.configure(longer); });
  if (trainer.state().step > trainer.total_steps())
    throw CLI::ValidationError("--epochs",
                               "the run is already beyond epoch " + std::to_string(settings.training.epochs));
  trainer.check(data);
  if (saved && !arguments.quiet && is_importance_weighted(saved->training.estimator) && std::isfinite(saved->best_elbo))
    std::cerr << "validation follows the " + validated_name(saved->training) + " now: the ELBO of " +
                     number(saved->best_elbo) + " that was the best before is not compared with it\n";
  // Stored only after all checks have passed.
  if (app.count("--epochs") + app.count("--schedule-epochs") > 0 || settings.data != stored_data ||
      settings.condition != stored_condition)
    write_config(folder.config(), settings, folder.path());
  return run_training(folder, settings, trainer, data, arguments.quiet);
}

}  // namespace

Command add_train(CLI::App& program) {
  CLI::App* const app = program.add_subcommand("train", "Train a model and write it to a new run folder");
  const auto arguments = std::make_shared<TrainArguments>();
  app->add_option("--out", arguments->out, "The run folder to create")
      ->type_name("RUN")
      ->required()
      ->configurable(false);
  app->add_flag("--overwrite", arguments->overwrite, "Replace the run in that folder")->configurable(false);
  app->add_option("--config", arguments->config_file,
                  "JSON object with these flags, without dashes, as keys; a flag that is also given wins")
      ->type_name("FILE")
      ->configurable(false);
  app->add_flag("--quiet", arguments->quiet, "Print errors only")->configurable(false);
  add_settings(*app, arguments->settings);
  app->footer(
      "Examples:\n"
      "  cuvae train --data data/mnist-10k --out runs/first --epochs 5\n"
      "  cuvae train --data data/mnist-10k --out runs/plane --latent 2 --hidden 500 200 --validation 0.1\n"
      "  cuvae train --data data/mnist-10k --out runs/digits --condition labels\n"
      "  cuvae train --config runs/first/config.json --out runs/again\n\n"
      "In a config file, a relative data path starts at the folder of that file. The config.json of a run has a\n"
      "relative path if the data are inside the run folder, next to it or next to its parent, so that the folders\n"
      "can be moved together.");
  return {app, [app, arguments] { return train(*app, *arguments); }};
}

Command add_resume(CLI::App& program) {
  CLI::App* const app = program.add_subcommand("resume", "Continue a run from its last checkpoint");
  const auto arguments = std::make_shared<ResumeArguments>();
  app->add_option("run", arguments->run, "The run folder")->type_name("")->required();
  add_number(*app, "--epochs", arguments->epochs, "Train up to this many epochs in total (default: as before)", kCount)
      ->default_str("");
  add_number(*app, "--schedule-epochs", arguments->schedule_epochs,
             "Length of a cosine schedule in epochs (default: as before); a new length changes all later rates", {})
      ->default_str("");
  app->add_option("--data", arguments->data, "New path of the run's data (default: the old path, or $CUVAE_DATA)")
      ->type_name("PATH");
  app->add_option("--condition", arguments->condition, "New path of the run's conditions (default: the old path)")
      ->type_name("FILE");
  app->add_flag("--quiet", arguments->quiet, "Print errors only");
  arguments->add_to(*app);
  app->footer(
      "The result has the same bytes as that of a run that was never interrupted. With more epochs, a cosine\n"
      "schedule keeps its length unless --schedule-epochs is given.\n"
      "Data at a new path must be the same: their checksum is compared with the one in the checkpoint.\n\n"
      "Example:\n"
      "  cuvae resume runs/first --epochs 20");
  return {app, [app, arguments] { return resume(*app, *arguments); }};
}

}  // namespace cuvae::cli
