// The loop of epochs: shuffling, validation, early stopping, checkpoints, progress.
#include <chrono>
#include <cmath>
#include <numeric>

#include "cuvae/estimator.h"
#include "cuvae/trainer.h"
#include "evaluate/evaluate_rows.h"
#include "io/atomic_file.h"
#include "io/text.h"
#include "math/formulas.h"
#include "train/batches.h"
#include "train/run_checks.h"
#include "train/schedule.h"

namespace cuvae {
namespace {

constexpr std::uint64_t kStepsAtOnce = 512;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Replaces the model's weights by the averaged ones while this object exists.
class UseAveraged {
 public:
  UseAveraged(Vae& vae, Buffer& averaged) : vae_(vae), averaged_(averaged) { swap(); }
  ~UseAveraged() {
    try {
      swap();
    } catch (const Error&) {  // if the device fails here, the next op fails too
    }
  }
  UseAveraged(const UseAveraged&) = delete;
  UseAveraged& operator=(const UseAveraged&) = delete;

 private:
  void swap() {
    if (!averaged_) return;
    std::swap(vae_.params_buffer(), averaged_);
    vae_.refresh_weights();
  }
  Vae& vae_;
  Buffer& averaged_;
};

}  // namespace

Index training_examples(const TrainConfig& config, Index rows) {
  const auto held_out = static_cast<Index>(std::floor(config.validation * static_cast<double>(rows)));
  if (config.validation > 0 && held_out == 0)
    throw Error("training: validation is " + number(config.validation) + ", which holds out none of " +
                std::to_string(rows) + " examples: it must be 0 or at least 1/" + std::to_string(rows));
  return rows - held_out;
}

void Trainer::check_divergence(const char* op) {
  const StepState s = state();
  if (static_cast<Index>(s.skipped_in_a_row) >= config_.max_skipped)
    throw Error(std::string(op) + ": diverged: the loss or the gradient norm was not finite in " +
                std::to_string(s.skipped_in_a_row) + " steps in a row, up to step " + std::to_string(s.step) +
                "; no such step changed the parameters");
}

std::uint32_t Trainer::check(const Dataset& data) const {
  check_run_data(data, vae_.config(), config_, examples_);
  if (data.rows() > 0xffffffff) throw Error("fit: more than 4294967295 examples");
  const std::uint32_t crc = data.crc32();
  if (data_crc32_ != 0 && data_crc32_ != crc)
    throw Error(data.name() + ": is not the data that this run was trained on");
  return crc;
}

Outcome Trainer::fit(const Dataset& data, const FitOptions& options) {
  const auto total = static_cast<std::uint64_t>(total_steps());
  const std::uint32_t crc = check(data);
  data_crc32_ = crc;
  const Index train_count = examples_;

  Rows train(static_cast<std::size_t>(data.rows()));
  std::iota(train.begin(), train.end(), 0u);
  if (config_.validation > 0) shuffle(train, config_.seed, Stream::split, 0);
  const Rows held_out(train.begin() + train_count, train.end());
  train.resize(static_cast<std::size_t>(train_count));

  const View x = x_.view(own_rows(), vae_.config().data_dim, backend_.activation_type());
  const std::uint32_t* device_step = &state_.as<StepState>()->step;
  const Noise pixel_noise{config_.seed, Stream::binarize, device_step, first_row()};

  // A file that was rewritten with the same bytes is accepted.
  const auto require_same_data = [&] {
    if (data.file_changed() && data.crc32() != crc)
      throw Error(data.name() +
                  ": the file changed during training; the last checkpoint was written before the change");
  };
  const auto save_to = [&](const char* name) {
    if (options.checkpoints.empty()) return;
    require_same_data();
    const bool first = group_ == nullptr || group_->rank() == 0;
    if (!first) return save(options.checkpoints / name);
    if (options.before_checkpoint) options.before_checkpoint();
    refuse_link(options.checkpoints / name);
    save(options.checkpoints / name);
  };
  const auto stop_requested = [&] {
    const bool here = options.stop != nullptr && options.stop->load(std::memory_order_relaxed);
    return group_ == nullptr ? here : group_->sum({here ? 1.0 : 0.0}).front() > 0;
  };
  const double start = seconds_now();
  double mark = start;
  std::uint64_t step = state().step, marked_step = step;
  const auto per_epoch = static_cast<std::uint64_t>(steps_per_epoch_);
  if (config_.standardize && !vae_.standardization()) {
    if (step != 0) throw Error("fit: the run was started without a standardization");
    vae_.set_standardization(Standardization::of(data, train));
  }
  if (config_.output_bias_from_data && step == 0) {
    vae_.set_output_bias(data.column_means());
    const UseAveraged averaged(vae_, ema_);  // the averages have the same initial values
    vae_.set_output_bias(data.column_means());
  }
  if (step == 0) save_to("last.safetensors");

  const auto progress = [&](Index epoch) {
    Progress p;
    p.train = metrics();
    const double now = seconds_now();
    p.epoch = epoch + 1;
    p.epochs = config_.epochs;
    p.step = step;
    p.total_steps = total;
    p.seconds = now - start;
    p.examples_per_second =
        static_cast<double>(step - marked_step) * static_cast<double>(config_.batch) / std::max(1e-9, now - mark);
    const auto last = static_cast<std::uint32_t>(step - 1);
    p.learning_rate =
        static_cast<double>(math::learning_rate(optimizer_step(config_, steps_per_epoch_).learning_rate, last));
    p.beta = static_cast<double>(math::kl_weight(kl_weight(config_, steps_per_epoch_), last));
    mark = now;
    marked_step = step;
    return p;
  };

  const auto log_every = static_cast<std::uint64_t>(config_.log_every);
  const auto patience_spent = [&] { return config_.patience > 0 && epochs_without_gain_ >= config_.patience; };
  if (patience_spent()) return Outcome::early_stopped;

  Batches batches(backend_, vae_.standardization().apply(data), std::move(train), config_.seed, config_.batch, total,
                  options.data_memory);
  Recording recording;
  const auto one_step = [&] {
    batches.gather(device_step, config_.binarize, pixel_noise, x, vae_.conditions(own_rows(), activations_));
    train_on(x);
  };
  // A backend that queues its work gets many steps at once. It stops by its own count of skipped steps, so it is
  // checked only when the host waits for it anyway. Other backends are checked after each step.
  const std::uint64_t at_once = backend_.records() ? kStepsAtOnce : 1;
  while (step < total) {
    const Index epoch = static_cast<Index>(step / per_epoch);
    if (step % per_epoch == 0) reset_metrics();

    do {
      std::uint64_t steps = std::min(at_once, static_cast<std::uint64_t>(batches.prepare(step)));
      if (log_every > 0) steps = std::min(steps, log_every - step % log_every);
      backend_.replay(recording, one_step, static_cast<Index>(steps));
      batches.look_ahead(step);
      step += steps;
      const bool report = log_every > 0 && step % log_every == 0 && step % per_epoch != 0;
      if (!backend_.records() || step % per_epoch == 0 || report) check_divergence("fit");
      if (report && options.on_progress) options.on_progress(progress(epoch));
    } while (step % per_epoch != 0 && !stop_requested());

    if (step % per_epoch == 0) {
      require_same_data();
      Progress p = progress(epoch);
      p.epoch_end = true;
      if (!held_out.empty()) {
        const UseAveraged averaged(vae_, ema_);
        const Index most = std::min<Index>(config_.batch, 500);
        p.validation = evaluate_rows(vae_, batches.data(), held_out, {1, most, config_.binarize, config_.seed});
        if (is_importance_weighted(config_.estimator))
          p.validation_bound =
              evaluate_bound_rows(vae_, batches.data(), held_out,
                                  {Bound::iwae, validation_samples(config_), most, config_.binarize, config_.seed});
        const double value = p.validation_bound ? p.validation_bound->value : p.validation->elbo;
        p.best = std::isfinite(value) && value > best_;
        epochs_without_gain_ = p.best ? 0 : epochs_without_gain_ + 1;
        if (p.best) best_ = value;
      }
      // The report comes before the checkpoint: after a kill in between, the epoch is trained and reported again.
      if (options.on_progress) options.on_progress(p);
      if (p.best) save_to("best.safetensors");
      // After a skipped step the run may have diverged: keep the last good checkpoint.
      const bool due = (epoch + 1) % config_.checkpoint_every == 0 && state().skipped_in_a_row == 0;
      if (step == total || patience_spent() || due) save_to("last.safetensors");
      mark = seconds_now();  // validation and checkpoints are not part of the training rate
      if (patience_spent()) return Outcome::early_stopped;
    }
    if (step < total && stop_requested()) {
      save_to("last.safetensors");
      return Outcome::interrupted;
    }
  }
  return Outcome::finished;
}

}  // namespace cuvae
