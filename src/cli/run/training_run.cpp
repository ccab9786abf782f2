#include "cli/run/training_run.h"

#include <cstdio>
#include <iostream>
#include <optional>

#include "cli/arguments/advice.h"
#include "cli/arguments/arguments.h"
#include "cli/arguments/conditions.h"
#include "cli/arguments/latents.h"
#include "cli/run/metrics_log.h"
#include "cli/run/pictures.h"
#include "cli/run/progress.h"
#include "cli/run/quantities.h"
#include "cuvae/estimator.h"
#include "data/bytes/stream.h"
#include "io/text.h"
#include "process/stop_signals.h"

namespace cuvae::cli {
namespace {

namespace fs = std::filesystem;

// The test images of the folder, if there are any of the right size, with conditions like those of training. A file of
// conditions has none for them.
std::optional<Dataset> test_images(const Dataset& training, const Settings& settings) {
  const std::string &path = settings.data, &condition = settings.condition;
  if (!fs::is_directory(path) || !(condition.empty() || condition == kLabels)) return {};
  try {
    const Dataset images =
        open_examples(path, Split::test, {training.cols()}, reading_of(settings.model, settings.training.pixel_scale));
    const Index classes = training.conditions() != nullptr ? training.conditions()->cols() : 0;
    return with_conditions(images, condition, path, Split::test, classes);
  } catch (const Error&) {
    // The run does not need test images.
  }
  return {};
}

// Shows as many examples as a picture can hold. Returns the reason if there can be no pictures, else "".
std::string write_pictures(const RunFolder& folder, const Vae& vae, const Dataset& images,
                           const TrainConfig& training) {
  const VaeConfig& model = vae.config();
  if (model.image_height == 1) return "the examples have no height and width";
  const GridSize most = largest_grid(model);
  if (most.rows == 0)
    return "a picture cannot hold two examples of " + std::to_string(model.image_height) + " x " +
           std::to_string(model.image_width) + " pixels";
  const bool of_classes = model.condition == ConditionKind::labels && model.condition_dim <= most.columns;
  const Index columns = std::min<Index>(of_classes ? whole_turns(model.condition_dim, 8) : 8, most.columns),
              samples = std::min<Index>(64, columns * most.rows),
              reconstructed = std::min({Index{32}, columns * (most.rows / 2), images.rows()}),
              manifold_side = std::min({Index{20}, most.rows, most.columns});
  const auto decoded = [&](const std::vector<float>& z, const std::vector<float>& rows) {
    return vae.decode(z, in_turn(model, rows, static_cast<Index>(z.size()) / model.latent));
  };
  // Samples of a model of labels show every class, those of columns the conditions of the first examples.
  const std::vector<float> conditions = images.condition_rows(0, std::min(samples, images.rows()));
  const bool of_labels = model.condition == ConditionKind::labels;
  const std::vector<float> shown = of_labels ? one_hot(model, all_classes(model)) : conditions;
  write_examples(folder.samples(), decoded(vae.sample_prior(samples, training.seed), shown), model, columns);
  const std::vector<float> examples = model_input(images, 0, reconstructed, training.binarize);
  write_reconstructions(folder.reconstructions(), vae, examples, images.condition_rows(0, reconstructed), columns);
  if (model.latent == 2 && model.has_closed_form_kl())
    write_examples(
        folder.manifold(),
        decoded(plane_points(manifold_side, 2, 0, 1), of_labels ? one_hot(model, {0}) : images.condition_rows(0, 1)),
        model, manifold_side);
  return {};
}

void print_metrics(const Progress& p, const TrainConfig& training) {
  const std::string elbo = "ELBO " + fixed(p.train.reconstruction - p.train.kl, 2);
  std::cout << "epoch " << p.epoch << " of " << p.epochs << ": ";
  if (is_importance_weighted(training.estimator)) {
    std::cout << objective_name(training) << ' ' << fixed(-p.train.loss, 2) << " nats per example (" << elbo << ", ";
  } else {
    std::cout << elbo << " nats per example (";
  }
  std::cout << "reconstruction " << fixed(p.train.reconstruction, 2) << ", KL " << fixed(p.train.kl, 2) << "), "
            << p.train.active_units << " of " << p.train.latent << " latent dimensions active"
            << (p.validation && p.validation->layers.size() > 1 ? " in layer 1\n" : "\n");
  if (p.train.skipped > 0)
    std::cout << p.train.skipped
              << " steps were skipped because their loss or gradient was not finite: try a lower --lr\n";
  if (const auto& bound = p.validation_bound)
    std::cout << "validation " << bound_name(bound->bound, bound->samples) << ' '
              << with_error(fixed(bound->value, 2), bound->error) << '\n';
  else if (p.validation)
    std::cout << "validation ELBO " << with_error(fixed(p.validation->elbo, 2), p.validation->elbo_error) << '\n';
  if (p.validation && p.validation->layers.size() > 1)
    std::cout << "validation KL " << kl_of_layers(*p.validation, 2) << " nats and active units "
              << active_of_layers(*p.validation) << " of the layers, from the lowest up\n";
}

void print_files(const RunFolder& folder, const TrainConfig& training) {
  const std::string best = "the model with the best validation " + validated_name(training);
  const std::pair<fs::path, const char*> files[] = {
      {folder.last(), "the model, and everything that resume needs"},
      {folder.best(), best.c_str()},
      {folder.metrics(), "one line of JSON for every report"},
      {folder.config(), "the settings; to repeat the run: cuvae train --config"},
      {folder.samples(), "samples from the prior, decoded to means"},
      {folder.reconstructions(), "examples, with their reconstructions below each row"},
      {folder.manifold(), "the latent plane, decoded to means"}};
  std::cout << "in " << printable(folder.path().string()) << ":\n";
  for (const auto& [file, what] : files) {
    char line[128];
    std::snprintf(line, sizeof line, "  %-20s  %s\n", file.filename().c_str(), what);
    if (fs::exists(file)) std::cout << line;
  }
}

// Prints commands that the user can paste.
void print_next(const RunFolder& folder, const Settings& settings, bool only_training, bool picture) {
  const std::string run = shell_word(folder.path().string()), &data = settings.data, &condition = settings.condition;
  const std::string file = condition.empty() || condition == kLabels ? "" : " --condition " + shell_word(condition);
  std::cout << "next:\n  cuvae eval " << run << " --data " << (is_standard_input(data) ? data : shell_word(data))
            << file << (only_training ? " --split train" : "") << "\n  cuvae sample " << run << " --out samples"
            << (picture ? ".png" : ".npy") << file << '\n';
}

void print_lines(const std::vector<std::string>& lines) {
  for (const std::string& line : lines) std::cerr << line + '\n';
}

// A run that ends without a finite result has failed, even if it has written its files.
void require_result(const RunFolder& folder, const Metrics& train, const std::optional<Progress>& last) {
  if (train.updates == 0)
    throw Error(folder.path().string() +
                ": no step of the last epoch changed the model, because none had a finite loss and gradient");
  const std::string validation = folder.path().string() + ": validation";
  if (last && last->validation) require_finite(*last->validation, validation);
  if (last && last->validation_bound) require_finite(*last->validation_bound, validation);
}

}  // namespace

int run_training(const RunFolder& folder, const Settings& settings, Trainer& trainer, const Dataset& data, bool quiet) {
  MetricsLog log(folder.metrics(), trainer.state().step);
  std::optional<Progress> last;
  Outcome outcome;
  int stop_code = 0;
  if (!quiet && trainer.state().step == 0) {
    print_lines(data_advice(data));
    print_lines(scale_advice(settings, data));
  }
  {  // a signal after training ends the program; resume then finds the run finished and writes the pictures
    const StopSignals signals;
    const std::string device = quiet ? "" : settings.describe(trainer.vae().backend());
    ProgressDisplay display(quiet, settings.training.batch,
                            "training on " + device + "; loss: " + loss_name(settings.training));
    const auto report = [&](const Progress& progress) {
      log.append(progress, settings.training);
      display.show(progress);
      last = progress;
    };
    const auto data_memory = static_cast<std::size_t>(settings.data_memory) << 20;
    outcome = trainer.fit(data, {folder.path(), report, signals.flag(), data_memory, [&] { log.sync(); }});
    stop_code = signals.exit_code();
  }
  if (outcome == Outcome::interrupted) {
    const Index total = trainer.steps_per_epoch() * settings.training.epochs;
    std::cerr << "stopped at step " << trainer.state().step << " of " << total << "; checkpoint in "
              << printable(folder.last().string())
              << "; continue with: cuvae resume " + shell_word(folder.path().string()) + "\n";
    return stop_code;
  }

  const Vae best = load_vae(trainer.vae().backend(), folder.model());
  const std::optional<Dataset> test = test_images(data, settings);
  const std::string no_pictures = write_pictures(folder, best, test.value_or(data), settings.training);
  if (!quiet) {
    if (!last && outcome == Outcome::finished)
      std::cout << "the run is already finished: give more --epochs to continue it\n";
    if (outcome == Outcome::early_stopped)
      std::cout << "stopped early: no better validation " << validated_name(settings.training) << " in "
                << settings.training.patience << " epochs\n";
    if (last) print_metrics(*last, settings.training);
    if (last) print_lines(clamp_advice(settings, trainer.vae(), last->train));
    print_files(folder, settings.training);
    std::cout << (no_pictures.empty() ? "pictures: " + colors_of(best.config()) : "no pictures: " + no_pictures)
              << '\n';
    print_next(folder, settings, fs::is_directory(settings.data) && !test,
               std::min(largest_grid(best.config()).rows, largest_grid(best.config()).columns) >= 8);
  }
  require_result(folder, last ? last->train : trainer.metrics(), last);
  return 0;
}

}  // namespace cuvae::cli
