// A training step: forward, weigh, backward, update. B batch rows, K samples a row, R = B K, D data width, L latent
// width, P parameters; see cuvae/ops.h for the ops.
#include "cuvae/trainer.h"
#include "train/encoder_gradient.h"
#include "train/schedule.h"

namespace cuvae {

void Trainer::train_on(ConstView x) {
  backward(x, {.running = RunningMeans::update, .metrics = true});  // [P]
  update(x);                                                        // [P]
}

void Trainer::update(ConstView x) {
  const OptimizerStep step = optimizer_step(config_, steps_per_epoch_);
  backend_.run(Adam{.arena = arena(),
                    .step = step,
                    .loss = loss_.as<float>(),
                    .state = state_.as<StepState>(),
                    .sums = sums_.as<double>()});                      // [P]
  encoder_gradient_->learn(x, step.learning_rate, loss_.as<float>());  // a baseline's network
}

// The gradient of the loss by all parameters, into grads_.
void Trainer::backward(ConstView x, const Statistics& statistics) {
  const VaeActivations& a = activations_;
  const Weights w = vae_.weights();
  const std::uint32_t* step = &state_.as<StepState>()->step;
  const Noise noise{config_.seed, Stream::latent, step, 0, config_.antithetic};
  const Index B = x.rows, R = B * config_.samples, L = vae_.config().latent;
  const View dz = gradients_.dz.view(R, L), dstats = gradients_.dstats.view(B, 2 * L, backend_.activation_type());
  const ElboLoss loss = elbo_loss(B, statistics);

  const View stats = vae_.encode(x, a);                                   // [B, 2L]
  const View z = vae_.sample_latent(stats, noise, a, loss.step_moments);  // [R, L], kl
  const View output = vae_.decode(z, a);                                  // [R, D]

  weigh(output, x, loss, statistics.running);  // [1], doutput

  const bool through_samples = uses_path(config_.estimator);
  vae_.decoder().backward(backend_, w, grads_.as<float>(), z, a.decoder, output, gradients_.scratch,
                          through_samples ? dz : View{});  // [R, L]
  encoder_gradient_->backward({stats, noise, loss.weight, loss.kl_dims, dstats}, config_.cost, a.log_p.view(R, 1), dz,
                              [&] { return probes_.log_prob(vae_, stats, x, noise); });                    // [B, 2L]
  vae_.encoder().backward(backend_, w, grads_.as<float>(), x, a.encoder, dstats, gradients_.scratch, {});  // [P]
}

// The loss, and its gradient in place of the decoder's output.
void Trainer::weigh(View output, ConstView x, const ElboLoss& loss, RunningMeans running) {
  const auto column = [&](const Buffer& b) { return b ? ConstView(b.view(output.rows, 1)) : ConstView{}; };
  const Densities densities{column(activations_.log_p), column(activations_.log_p_z), column(activations_.log_q),
                            column(activations_.score_norm)};
  encoder_gradient_->weigh(densities, config_.cost, x, x.rows, loss, running,
                           [&](const RowFactor& row_weight, const ElboLoss& of_step, bool with_gradient) {
                             vae_.log_prob(output, x, row_weight, with_gradient ? grads_.as<float>() : nullptr,
                                           activations_, of_step);
                           });
}

ElboLoss Trainer::elbo_loss(Index batch, const Statistics& statistics) {
  ElboLoss loss{.kl = activations_.kl.view(batch, 1),
                .kl_dims = activations_.kl_dims.view(1, vae_.config().latent),
                .weight = kl_weight(config_, steps_per_epoch_),
                .step = &state_.as<StepState>()->step,
                .loss = loss_.as<float>(),
                .sums = (statistics.metrics ? sums_ : unread_sums_).as<double>()};
  if (statistics.metrics) loss.step_moments = step_moments_.as<double>(), loss.moments = moments_.as<double>();
  return loss;
}

Arena Trainer::arena() {
  return {vae_.params(),    grads_.as<float>(),   m_.as<float>(),        v_.as<float>(),
          ema_.as<float>(), vae_.layout().size(), vae_.weights().rounded};
}

}  // namespace cuvae
