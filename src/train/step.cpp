// A training step: forward, weigh, backward, update. B batch rows, K samples a row, R = B K, D data width, L latent
// width, P parameters; see cuvae/ops.h for the ops.
#include "cuvae/trainer.h"
#include "train/encoder_gradient.h"
#include "train/phases.h"
#include "train/schedule.h"

namespace cuvae {

void Trainer::train_on(ConstView x) {
  constexpr Statistics statistics{.running = RunningMeans::update, .metrics = true};
  backward(x, statistics);  // [P]
  reduce(statistics);       // [P]
  update(x);                // [P]
}

// The means over the ranks of what each rank has of its part of the batch.
void Trainer::reduce(const Statistics& statistics) {
  if (group_ == nullptr) return;
  group_->average(backend_, grads_.as<float>(), vae_.layout().size());
  group_->average(backend_, loss_.as<float>(), 1);
  if (statistics.running == RunningMeans::update) encoder_gradient_->reduce(*group_);
  if (!statistics.metrics) return;
  const Index latent = vae_.config().latent;
  group_->average(backend_, step_sums_.as<double>(), metric::kl_dims + latent);
  backend_.run(CountStep{.loss = loss_.as<float>(),
                         .latent = latent,
                         .of_step = step_sums_.as<double>(),
                         .sums = sums_.as<double>(),
                         .step_moments = step_moments_.as<double>(),
                         .moments = moments_.as<double>()});
}

void Trainer::update(ConstView x) {
  const OptimizerStep step = optimizer_step(config_, steps_per_epoch_);
  backend_.run(Adam{.arena = arena(),
                    .step = step,
                    .loss = loss_.as<float>(),
                    .state = state_.as<StepState>(),
                    .sums = sums_.as<double>()});                                              // [P]
  encoder_gradient_->learn(baseline_input(x), step.learning_rate, loss_.as<float>(), group_);  // a baseline's network
}

// The network of a baseline reads 0 in the place of missing values, as the encoder does.
ConstView Trainer::baseline_input(ConstView x) const {
  if (!filled_) return x;
  const View filled = filled_.view(x.rows, x.cols, x.dtype);
  backend_.run(FillMissing{.x = x, .y = filled});
  return filled;
}

// The gradient by all parameters, into grads_. With several phases, each adds to it.
void Trainer::backward(ConstView x, const Statistics& statistics) {
  const std::vector<Phase> phases = phases_of(config_);
  const Gradients gradients = phases.size() > 1 ? Gradients::add : Gradients::replace;
  if (gradients == Gradients::add) backend_.zero(grads_.data(), grads_.bytes());
  for (const Phase& phase : phases) backward(phase, x, statistics, gradients);
}

void Trainer::backward(const Phase& phase, ConstView x, const Statistics& statistics, Gradients gradients) {
  switch (phase.source) {
    case Source::data:
      return backward_of_data(phase, x, statistics, gradients);
    case Source::model:
      return backward_of_draws(phase, x.rows, gradients);
  }
}

// x of the data, z ~ q(z|x): the gradient of the loss.
void Trainer::backward_of_data(const Phase& phase, ConstView x, const Statistics& statistics, Gradients gradients) {
  const VaeActivations& a = activations_;
  const VaeGradients& g = gradients_;
  float* grads = grads_.as<float>();
  const Noise noise = noise_of_step(Stream::latent);
  const Index B = x.rows, R = B * samples();
  const SampleGroups groups{B * phase.bounds, samples() / phase.bounds};
  const bool generative = phase.learners != Learners::inference, inference = phase.learners != Learners::generative,
             through_samples = inference && uses_path(config_.estimator);
  const Decoder decoder{generative ? grads : nullptr, gradients, generative || through_samples};
  const ElboLoss loss = elbo_loss(B, statistics);
  double* moments = statistics.metrics && phase.measured ? step_moments_.as<double>() : nullptr;

  const View stats = vae_.encode(x, a);                          // [B, 2L]
  const View z = vae_.sample_latents(stats, noise, a, moments);  // [R, L], kl or log q and log p(z)
  if (group_ != nullptr && loss.kl_dims) group_->average(backend_, a.kl_dims.as<float>(), loss.kl_dims.cols);
  const View output = vae_.decode(z, a);  // [R, D]

  weigh(output, x, groups, phase.measured ? loss : ElboLoss{}, statistics.running, decoder);  // [1], doutput

  const auto dstats = [&](std::size_t t, bool for_layer_below = false) {
    PosteriorGradient of_layer = posterior(t, noise, phase, B, loss);
    of_layer.for_layer_below = for_layer_below;
    encoder_gradient_->backward(of_layer, config_.cost, a.log_p.view(R, 1),
                                g.layers[t].dz.view(R, vae_.layers()[t].latent),
                                [&] { return probes_.log_prob(vae_, stats, x, noise, vae_.conditions(B, a)); });
  };
  const std::size_t layers = vae_.layers().size();
  const bool ladder = vae_.config().ladder;
  if (decoder.needed) {
    const RowFactor weight = encoder_gradient_->row_weight(groups).times(loss.weight, loss.step);
    vae_.decoder_backward(output, decoder.grads, a, g, through_samples, decoder.gradients);  // dz [R, L]
    for (std::size_t t = 0; t < layers; ++t) {
      vae_.prior_backward(t, R, weight, decoder.grads, a, g, through_samples, decoder.gradients);  // dz, dprior
      if (ladder) dstats(t);                                                                       // [R, 2L_t]
      if (t + 1 < layers)
        vae_.decoder_backward(t + 1, R, decoder.grads, a, g, through_samples, decoder.gradients);  // dz of layer t + 1
    }
  }
  for (std::size_t t = layers; inference && t-- > 0;) {
    const bool sticks = t > 0 && !ladder && traits(config_.estimator).stick_the_landing;
    if (sticks) {  // the layer below needs all of the density's derivative
      dstats(t, true);
      vae_.encoder_backward(t, x, nullptr, a, g, gradients, true);  // dz of layer t - 1
    }
    if (!ladder) dstats(t);                                                           // [B, 2L]
    vae_.encoder_backward(t, x, grads, a, g, gradients, through_samples && !sticks);  // [P], dz of layer t - 1
  }
}

// z and x of the model: the gradient of -mean(log q(z|x)) by the inference network, times the phase's weight.
void Trainer::backward_of_draws(const Phase& phase, Index batch, Gradients gradients) {
  const View x = drawn_.view(batch, vae_.config().data_dim, backend_.activation_type());
  vae_.draw(noise_of_step(Stream::sleep_latent), x, activations_);  // [B, D], z [B, L_t]
  vae_.draws_backward(x, -phase.weight / static_cast<float>(batch), grads_.as<float>(), activations_, gradients_,
                      gradients);  // [P]
}

Noise Trainer::noise_of_step(Stream stream) const {
  const bool antithetic = stream == Stream::latent && config_.antithetic;
  return {config_.seed, stream, &state_.as<StepState>()->step, first_row(), antithetic};
}

PosteriorGradient Trainer::posterior(std::size_t t, const Noise& noise, const Phase& phase, Index batch,
                                     const ElboLoss& loss) const {
  const VaeConfig& model = vae_.config();
  const std::size_t first = model.first_sampled();
  const Index rows = t == first ? batch : batch * samples(), latent = vae_.layers()[t].latent;
  const DType type = backend_.activation_type();
  const Buffer& z = activations_.layers[t].z;
  return {.stats = vae_.stats(t, rows, activations_),
          .noise = noise_of_layer(noise, t, samples(), first),
          .weight = loss.weight,
          .kl_dims = loss.kl_dims,
          .dstats = gradients_.layers[t].dstats.view(rows, model.statistics(latent), type),
          .groups = {batch * phase.bounds, samples() / phase.bounds},
          .standard_prior = t + 1 == vae_.layers().size() && model.prior == Prior::standard,
          .z = model.has_bernoulli_latents() ? z.view(batch * samples(), latent, type) : View{},
          .share = phase.weight};
}

// The loss, and its gradient in place of the decoder's output.
void Trainer::weigh(View output, ConstView x, const SampleGroups& groups, const ElboLoss& loss, RunningMeans running,
                    const Decoder& decoder) {
  const auto column = [&](const Buffer& b) { return b ? ConstView(b.view(output.rows, 1)) : ConstView{}; };
  const Densities densities{column(activations_.log_p), column(activations_.log_p_z), column(activations_.log_q),
                            column(activations_.score_norm)};
  encoder_gradient_->weigh(densities, config_.cost, baseline_input(x), groups, loss, running,
                           [&](const RowFactor& row_weight, const ElboLoss& of_step, bool with_gradient) {
                             if (!with_gradient) vae_.log_prob(output, x, activations_, of_step);
                             if (with_gradient && decoder.needed)
                               vae_.log_prob_with_gradient(output, x, row_weight, decoder.grads, activations_, of_step,
                                                           decoder.gradients);
                           });
}

ElboLoss Trainer::elbo_loss(Index batch, const Statistics& statistics) {
  const VaeActivations& a = activations_;
  ElboLoss loss{.weight = kl_weight(config_, steps_per_epoch_),
                .step = &state_.as<StepState>()->step,
                .loss = loss_.as<float>(),
                .sums = (!statistics.metrics ? unread_sums_
                         : group_ != nullptr ? step_sums_
                                             : sums_)
                            .as<double>()};
  loss.latent = vae_.config().latent;
  if (vae_.config().has_closed_form_kl()) {
    loss.kl = a.kl.view(batch, 1);
    loss.kl_dims = a.kl_dims.view(1, loss.latent);
  } else {
    loss.log_p_z = a.log_p_z.view(batch * samples(), 1);
    loss.log_q = a.log_q.view(batch * samples(), 1);
  }
  if (statistics.metrics && group_ == nullptr)
    loss.step_moments = step_moments_.as<double>(), loss.moments = moments_.as<double>();
  return loss;
}

Arena Trainer::arena() {
  return {vae_.params(),    grads_.as<float>(),   m_.as<float>(),        v_.as<float>(),
          ema_.as<float>(), vae_.layout().size(), vae_.weights().rounded};
}

}  // namespace cuvae
