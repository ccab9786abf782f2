// cuvae train, cuvae resume.
#include "cli/arguments/arguments.h"
#include "cli/arguments/config_file.h"
#include "cli/commands/command.h"
#include "cli/run/training_run.h"
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

int train(CLI::App& app, TrainArguments& arguments) {
  Settings& settings = arguments.settings;
  as_usage([&] {
    std::set<std::string> from_file;
    if (!arguments.config_file.empty()) from_file = apply_config_file(app, arguments.config_file);
    resolve(app, settings);
    refuse_idle_settings(app, settings, from_file);
  });
  settings.data = absolute_path(data_path(settings.data));
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
  std::string run, data;
  Index epochs = 0;
  double schedule_epochs = 0;
  bool quiet = false;
};

// A checkpoint whose batch or examples the data do not have takes no memory.
void check_claims(const std::filesystem::path& checkpoint, const Dataset& data) {
  const CheckpointInfo info = read_checkpoint_info(checkpoint);
  check_run_data(data, info.model, info.training, info.examples);
}

// Where the data of a run are now: as told, where they were, or as the environment says.
std::string find_data(const ResumeArguments& arguments, const Settings& settings) {
  if (!arguments.data.empty()) return absolute_path(arguments.data);
  std::error_code ignored;  // what cannot be examined is opened, which tells why not
  const std::filesystem::path file = split_member(settings.data).first;
  const bool gone = std::filesystem::status(file, ignored).type() == std::filesystem::file_type::not_found;
  if (!gone || is_standard_input(settings.data)) return settings.data;
  const std::optional<std::string> elsewhere = data_in_environment();
  if (elsewhere) return absolute_path(*elsewhere);
  throw Error(settings.data + ": is not there: where the data moved, say so by --data PATH or CUVAE_DATA");
}

// Takes up --epochs and --schedule-epochs. A cosine keeps the length that it has, unless told otherwise.
void extend(const CLI::App& app, const ResumeArguments& arguments, TrainConfig& training) {
  Schedule& schedule = training.schedule;
  const bool cosine = schedule.kind == LearningRate::Kind::cosine;
  refuse_idle(app, "--schedule-epochs", unless(cosine, "on this run, whose schedule is no cosine"));
  if (cosine && schedule.epochs == 0) schedule.epochs = static_cast<double>(training.epochs);
  if (app.count("--epochs") > 0) training.epochs = arguments.epochs;
  if (app.count("--schedule-epochs") > 0) {
    const double all = static_cast<double>(training.epochs);
    schedule.epochs = arguments.schedule_epochs > 0 ? arguments.schedule_epochs : all;
  } else if (cosine && static_cast<double>(training.epochs) > schedule.epochs) {
    const std::string end = number(schedule.epochs), all = std::to_string(training.epochs);
    throw CLI::ValidationError(
        "--epochs",
        "this run's cosine ends at epoch " + end + " with a rate of " + number(schedule.final_rate) +
            ": give --schedule-epochs " + (schedule.final_rate > 0 ? end + " to go on at that rate, or " : "") + all +
            " to stretch it, which changes the rate from here on and makes another run than one of " + all + " epochs");
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
  const std::string stored_data = settings.data;
  settings.data = find_data(arguments, settings);
  const Dataset data = open_training_data(settings);
  const std::unique_ptr<Backend> backend = settings.make();

  // A run that was killed before its first checkpoint starts from the beginning.
  const bool started = std::filesystem::exists(folder.last());
  if (started) check_claims(folder.last(), data);
  Trainer trainer = started ? Trainer::resume(*backend, folder.last()) : new_trainer(*backend, settings, data);
  trainer.mutable_config().epochs = settings.training.epochs;
  trainer.mutable_config().schedule.epochs = settings.training.schedule.epochs;
  as_usage([&] { trainer.total_steps(); });
  if (trainer.state().step > trainer.total_steps())
    throw CLI::ValidationError("--epochs",
                               "the run is beyond epoch " + std::to_string(settings.training.epochs) + " already");
  trainer.check(data);
  // Stored once nothing speaks against it.
  if (app.count("--epochs") + app.count("--schedule-epochs") > 0 || settings.data != stored_data)
    write_config(folder.config(), settings, folder.path());
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
      "  cuvae train --config runs/first/config.json --out runs/again\n\n"
      "A relative path of the data in a config file starts at that file's folder. A run's config.json has one where\n"
      "the data lie in its folder, next to it or next to its parent, so that these can move together.");
  return {app, [app, arguments] { return train(*app, *arguments); }};
}

Command add_resume(CLI::App& program) {
  CLI::App* const app = program.add_subcommand("resume", "Continue a run from its last checkpoint");
  const auto arguments = std::make_shared<ResumeArguments>();
  app->add_option("run", arguments->run, "The run folder")->type_name("")->required();
  add_number(*app, "--epochs", arguments->epochs, "Train up to this many in all (default: as the run was started)",
             kCount)
      ->default_str("");
  add_number(*app, "--schedule-epochs", arguments->schedule_epochs,
             "Length of a cosine (default: as the run was started); another one changes the rate from here on", {})
      ->default_str("");
  app->add_option("--data", arguments->data, "Where the run's data are now (default: where they were, or $CUVAE_DATA)")
      ->type_name("PATH");
  app->add_flag("--quiet", arguments->quiet, "Print errors only");
  arguments->add_to(*app);
  app->footer(
      "The result is the same, bit for bit, as that of a run that was never interrupted. More epochs do not\n"
      "lengthen a cosine schedule; with --schedule-epochs it is another run from here on.\n"
      "Data that moved must be the same, which the checkpoint's checksum tells.\n\n"
      "Example:\n"
      "  cuvae resume runs/first --epochs 20");
  return {app, [app, arguments] { return resume(*app, *arguments); }};
}

}  // namespace cuvae::cli
