// The latent layers: samples with their log-densities from the bottom up, and the gradients of those densities.
#include "cuvae/vae.h"
#include "model/room.h"

namespace cuvae {

Noise noise_of_layer(const Noise& noise, std::size_t t, Index samples) {
  Noise own = noise;
  if (t == 0) return own;
  own.stream = static_cast<Stream>(static_cast<std::uint32_t>(Stream::latent_2) + t - 1);
  own.first_row *= samples;
  return own;
}

View Vae::z_of(std::size_t t, Index rows, const VaeActivations& a) const {
  return layer_of(a, t).z.view(rows, layers()[t].latent, backend_->activation_type());
}

View Vae::stats(std::size_t t, Index rows, const VaeActivations& a) const {
  return layer_of(a, t).encoder.result.back().view(rows, 2 * layers()[t].latent);
}

View Vae::sample_latents(ConstView stats, const Noise& noise, const VaeActivations& a, double* moments) const {
  check_room("sample_latents", "stats", stats, a.batch);
  const Index rows = stats.rows * a.samples;
  sample_layer(0, stats, noise, a, moments);
  for (std::size_t t = 1; t < layers().size(); ++t)
    sample_layer(t, layers()[t].encoder.forward(*backend_, weights(), z_of(t - 1, rows, a), layer_of(a, t).encoder),
                 noise_of_layer(noise, t, a.samples), a, nullptr);
  if (!config_.has_closed_form_kl()) log_prior(rows, a);
  return z_of(0, rows, a);
}

// z_t and log q of it. Where the prior is a standard normal, also log p(z_T), and one layer's KL.
void Vae::sample_layer(std::size_t t, ConstView stats, const Noise& noise, const VaeActivations& a,
                       double* moments) const {
  const Index rows = t == 0 ? stats.rows * a.samples : stats.rows;
  const auto column = [&](const Buffer& b) { return b ? b.view(rows, 1) : View{}; };
  const bool of_prior = t + 1 == layers().size() && config_.prior == Prior::standard;
  SampleGaussian op{.stats = stats, .noise = noise, .z = z_of(t, rows, a), .moments = moments};
  if (config_.has_closed_form_kl()) op.kl = a.kl.view(stats.rows, 1), op.kl_dims = a.kl_dims.view(1, config_.latent);
  if (of_prior) op.log_p_z = column(a.log_p_z);
  op.log_q = column(a.log_q);
  op.add_log_q = t > 0;
  op.score_norm = column(a.score_norm);
  backend_->run(op);
}

// log p(z_T), unless it is that of a standard normal and already there, then each log p(z_t|z_{t+1}) added to it.
void Vae::log_prior(Index rows, const VaeActivations& a) const {
  const View log_p = a.log_p_z.view(rows, 1);
  const std::size_t top = layers().size() - 1;
  if (config_.prior != Prior::standard) {
    if (const auto& inputs = networks_.pseudo_inputs)
      layers()[top].encoder.forward(*backend_, weights(), weights().slice(*inputs, backend_->activation_type()),
                                    a.pseudo_inputs);
    MixtureLogProb op = mixture(rows, a);
    op.log_p = log_p;
    backend_->run(op);
  }
  for (std::size_t t = 0; t < top; ++t) {
    const View stats =
        layers()[t + 1].decoder.forward(*backend_, weights(), z_of(t + 1, rows, a), layer_of(a, t + 1).decoder);
    backend_->run(LatentLogProb{.z = z_of(t, rows, a), .stats = stats, .log_p = log_p, .add = true});
  }
}

MixtureLogProb Vae::mixture(Index rows, const VaeActivations& a) const {
  const Index C = config_.prior_components;
  const std::size_t top = layers().size() - 1;
  return {.z = z_of(top, rows, a),
          .components = networks_.components ? own(*networks_.components)
                                             : a.pseudo_inputs.result.back().view(C, 2 * layers()[top].latent),
          .logits = networks_.logits ? own(*networks_.logits) : ConstView{},
          .responsibilities = a.responsibilities.view(rows, C)};
}

void Vae::prior_backward(Index rows, const RowFactor& row_weight, float* grads, const VaeActivations& a,
                         const VaeGradients& g, bool through_samples, Gradients gradients) const {
  const std::size_t top = layers().size() - 1;
  const auto dz = [&](std::size_t t) {
    return through_samples ? g.layers[t].dz.view(rows, layers()[t].latent) : View{};
  };
  for (std::size_t t = 0; t < top; ++t) {
    const LatentLayer& above = layers()[t + 1];
    const VaeActivations::Layer& of_above = layer_of(a, t + 1);
    const View dstats = g.layers[t].dprior.view(rows, 2 * layers()[t].latent, backend_->activation_type());
    backend_->run(LatentLogProb{.z = z_of(t, rows, a),
                                .stats = of_above.decoder.result.back().view(rows, 2 * layers()[t].latent),
                                .row_weight = row_weight,
                                .dz = dz(t),
                                .dstats = dstats});
    above.decoder.backward(*backend_, weights(), grads, z_of(t + 1, rows, a), of_above.decoder, dstats, g.scratch,
                           dz(t + 1), gradients);
  }
  if (config_.prior == Prior::standard) return;
  MixtureLogProb op = mixture(rows, a);
  op.row_weight = row_weight;
  if (networks_.components) op.gradients = gradients;
  op.dz = dz(top);
  if (const auto& p = networks_.components) op.dcomponents = slice(grads, *p);
  if (const auto& p = networks_.logits) op.dlogits = slice(grads, *p);
  const auto& inputs = networks_.pseudo_inputs;
  const DType type = backend_->activation_type();
  if (inputs) op.dcomponents = g.dcomponents.view(config_.prior_components, 2 * layers()[top].latent, type);
  backend_->run(op);
  if (inputs)
    layers()[top].encoder.backward(*backend_, weights(), grads, weights().slice(*inputs, type), a.pseudo_inputs,
                                   op.dcomponents, g.scratch, slice(grads, *inputs), gradients, gradients);
}

void Vae::encoder_backward(std::size_t t, ConstView x, float* grads, const VaeActivations& a, const VaeGradients& g,
                           Gradients gradients) const {
  const bool first = t == 0, shared = t + 1 == layers().size() && networks_.pseudo_inputs.has_value();
  const Index rows = first ? x.rows : x.rows * a.samples;
  const View dstats = g.layers[t].dstats.view(rows, 2 * layers()[t].latent, backend_->activation_type());
  const ConstView input = first ? x : ConstView(z_of(t - 1, rows, a));
  const View dx = first ? View{} : g.layers[t - 1].dz.view(rows, layers()[t - 1].latent);
  layers()[t].encoder.backward(*backend_, weights(), grads, input, layer_of(a, t).encoder, dstats, g.scratch, dx,
                               shared ? Gradients::add : gradients, Gradients::add);
}

void Vae::draw(const Noise& noise, View x, const VaeActivations& a) const {
  check_room("draw", "x", x, a.batch);
  const auto own = [&](Stream stream, std::size_t t) {
    Noise n = noise;
    n.stream = static_cast<Stream>(static_cast<std::uint32_t>(stream) + t);
    return n;
  };
  const std::size_t top = layers().size() - 1;
  backend_->run(SampleGaussian{.stats = a.standard_stats.view(x.rows, 2 * layers()[top].latent),
                               .noise = own(Stream::sleep_latent, 0),
                               .z = z_of(top, x.rows, a)});
  for (std::size_t t = top; t > 0; --t) {
    const View stats = layers()[t].decoder.forward(*backend_, weights(), z_of(t, x.rows, a), layer_of(a, t).decoder);
    backend_->run(
        SampleGaussian{.stats = stats, .noise = own(Stream::sleep_latent_below, t - 1), .z = z_of(t - 1, x.rows, a)});
  }
  backend_->run(DrawData{.likelihood = config_.likelihood,
                         .outputs = decode(z_of(0, x.rows, a), a),
                         .log_scale = is_scale_shared(config_.likelihood) ? log_scale() : ConstView{},
                         .learned = networks_.log_scale.has_value(),
                         .noise = own(Stream::sleep_data, 0),
                         .x = x});
}

void Vae::draws_backward(ConstView x, const RowFactor& row_weight, float* grads, const VaeActivations& a,
                         const VaeGradients& g, Gradients gradients) const {
  check_room("draws_backward", "x", x, a.batch);
  for (std::size_t t = 0; t < layers().size(); ++t) {
    const Mlp& encoder = layers()[t].encoder;
    const ConstView input = t == 0 ? x : ConstView(z_of(t - 1, x.rows, a));
    const View stats = encoder.forward(*backend_, weights(), input, layer_of(a, t).encoder),
               dstats = g.layers[t].dstats.view(x.rows, stats.cols, backend_->activation_type());
    backend_->run(LatentLogProb{.z = z_of(t, x.rows, a), .stats = stats, .row_weight = row_weight, .dstats = dstats});
    encoder.backward(*backend_, weights(), grads, input, layer_of(a, t).encoder, dstats, g.scratch, {}, gradients);
  }
}

}  // namespace cuvae
