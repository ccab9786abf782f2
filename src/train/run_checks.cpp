#include "train/run_checks.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>

#include "data/check_data.h"
#include "io/text.h"

namespace cuvae {
namespace {

// The memory limit of a control group, if it has one.
double limit_in(const char* file) {
  double bytes = 0;
  return std::ifstream(file) >> bytes ? bytes : std::numeric_limits<double>::infinity();
}

double limit_of(int resource) {
  rlimit limit{};
  if (::getrlimit(static_cast<__rlimit_resource_t>(resource), &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return std::numeric_limits<double>::infinity();
  return static_cast<double>(limit.rlim_cur);
}

double memory_at_most() {
  return std::min({static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE)),
                   limit_in("/sys/fs/cgroup/memory.max"), limit_in("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
                   limit_of(RLIMIT_AS), limit_of(RLIMIT_DATA)});
}

std::string text_of(std::optional<float> value) { return value ? number(static_cast<double>(*value)) : "not given"; }

std::string gibibytes(double bytes) { return number(bytes / (1 << 30), 3) + " GiB"; }

}  // namespace

Index count_steps(const TrainConfig& config, Index examples) {
  if (examples < config.batch)
    throw Error("training: batch is " + std::to_string(config.batch) + " but there are only " +
                std::to_string(examples) + " training examples" +
                (config.validation > 0 ? " (validation holds out " + number(config.validation) + " of all)" : ""));
  return examples / config.batch;
}

Index total_steps(const TrainConfig& config, Index steps_per_epoch) {
  constexpr Index most = 0xfffffffe;
  if (steps_per_epoch <= most / config.epochs) return steps_per_epoch * config.epochs;
  throw Error("training: " + std::to_string(config.epochs) + " epochs of " + std::to_string(steps_per_epoch) +
              " steps are more than " + std::to_string(most) + " steps");
}

void check_run_data(const Dataset& data, const VaeConfig& model, const TrainConfig& config, Index examples) {
  check_data_fits(data, model, config.binarize);
  if (data.pixel_scale() != config.pixel_scale)
    throw Error(data.name() + ": the data are divided by " + number(data.pixel_scale()) +
                " but config.pixel_scale is " + number(config.pixel_scale) +
                " (Dataset::divided_by; 0: as they are read)");
  if (data.missing_value() != model.missing_value)
    throw Error(data.name() + ": the missing value is " + text_of(data.missing_value()) +
                " but the model's missing_value is " + text_of(model.missing_value) + " (Dataset::with_missing)");
  const Index there = training_examples(config, data.rows());
  if (there != examples)
    throw Error(data.name() + ": gives " + std::to_string(there) + " training examples but the trainer was made for " +
                std::to_string(examples));
}

double training_bytes(const VaeConfig& model, const TrainConfig& config) {
  const auto sum = [](const std::vector<Index>& widths) {
    double all = 0;
    for (const Index width : widths) all += static_cast<double>(width);
    return all;
  };
  const double batch = static_cast<double>(config.batch),
               samples = static_cast<double>(config.samples) * static_cast<double>(config.bounds);
  const double data = static_cast<double>(model.data_dim), latent = static_cast<double>(model.latent);
  const double arenas =
      3 + (config.optimizer != Optimizer::sgd) + (config.ema_decay > 0) + (config.objective == Objective::piwae);
  const double columns = static_cast<double>(model.condition_dim), conditional = model.is_conditional() ? 1 : 0;
  double of_example = data + sum(model.encoder_hidden) + 4 * latent + (model.missing_values ? 1 : conditional) * data +
                      2 * conditional * columns;
  double of_sample = static_cast<double>(model.outputs()) + sum(model.decoder_hidden) + 2 * latent +
                     static_cast<double>(model.prior_components) + conditional * (latent + columns),
         below = latent;
  for (const LayerConfig& layer : model.above) {
    const double own = static_cast<double>(layer.latent);
    (model.ladder ? of_example : of_sample) += sum(layer.encoder_hidden) + 4 * own;
    of_sample += sum(layer.decoder_hidden) + 2 * own + 4 * below;
    below = own;
  }
  return 4 *
         (arenas * static_cast<double>(parameter_layout(model).size()) + batch * (of_example + samples * of_sample));
}

void check_memory(const char* what, double bytes) {
  if (const double most = memory_at_most(); bytes > most)
    throw Error(std::string(what) + ": needs about " + gibibytes(bytes) + " of memory, but only " + gibibytes(most) +
                " are available");
}

}  // namespace cuvae
