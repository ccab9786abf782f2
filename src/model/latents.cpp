// The latent layers: samples with their log-densities, and the gradients of those densities.
#include "cuvae/vae.h"
#include "model/room.h"

namespace cuvae {

Noise noise_of_layer(const Noise& noise, std::size_t t, Index samples, std::size_t first_sampled) {
  Noise own = noise;
  if (t > 0) own.stream = static_cast<Stream>(static_cast<std::uint32_t>(Stream::latent_2) + t - 1);
  if (t != first_sampled) own.first_row *= samples;
  return own;
}

View Vae::z_of(std::size_t t, Index rows, const VaeActivations& a) const {
  return layer_of(a, t).z.view(rows, layers()[t].latent, backend_->activation_type());
}

View Vae::stats(std::size_t t, Index rows, const VaeActivations& a) const {
  if (t < config_.first_sampled()) return layer_of(a, t).merged.view(rows, 2 * layers()[t].latent);
  return encoded(t, rows, a);
}

View Vae::encoded(std::size_t t, Index rows, const VaeActivations& a) const {
  return layer_of(a, t).encoder.result.back().view(rows, config_.statistics(layers()[t].latent));
}

// The statistics of p(z_t|z_{t+1}) from the last pass.
View Vae::prior_of(std::size_t t, Index rows, const VaeActivations& a) const {
  return layer_of(a, t + 1).decoder.result.back().view(rows, config_.statistics(layers()[t].latent));
}

View Vae::sample_latents(ConstView stats, const Noise& noise, const VaeActivations& a, double* moments) const {
  const View z = sample_layers(stats, noise, a, moments);
  if (!config_.has_closed_form_kl()) log_prior(z.rows, a);
  return z;
}

View Vae::sample_layers(ConstView stats, const Noise& noise, const VaeActivations& a, double* moments) const {
  check_room("sample_latents", "stats", stats, a.batch);
  const Index rows = stats.rows * a.samples;
  const std::size_t first = config_.first_sampled();
  const auto sample = [&](std::size_t t, ConstView of_layer) {
    sample_layer(t, of_layer, noise_of_layer(noise, t, a.samples, first), a, t == 0 ? moments : nullptr,
                 t == first ? LogDensity::alone : LogDensity::added);
  };
  sample(first, stats);
  if (config_.ladder)
    for (std::size_t t = first; t-- > 0;) sample(t, merge(t, stats.rows, a));
  else
    for (std::size_t t = 1; t < layers().size(); ++t)
      sample(t, layers()[t].encoder.forward(*backend_, weights(), z_of(t - 1, rows, a), layer_of(a, t).encoder));
  return z_of(0, rows, a);
}

void Vae::layer_densities(std::size_t t, Index rows, const Noise& noise, const VaeActivations& a) const {
  const Index sample_rows = rows * a.samples;
  const std::size_t first = config_.first_sampled();
  sample_layer(t, stats(t, t == first ? rows : sample_rows, a), noise_of_layer(noise, t, a.samples, first), a, nullptr,
               LogDensity::alone);
  t + 1 == layers().size() ? top_log_prior(sample_rows, a) : layer_log_prior(t, sample_rows, a, LogDensity::alone);
}

// z_t and log q of it. Where the prior is a standard normal, also log p(z_T), and one layer's KL.
void Vae::sample_layer(std::size_t t, ConstView stats, const Noise& noise, const VaeActivations& a, double* moments,
                       LogDensity log_q) const {
  const Index rows = t == config_.first_sampled() ? stats.rows * a.samples : stats.rows;
  const auto column = [&](const Buffer& b) { return b ? b.view(rows, 1) : View{}; };
  if (config_.has_bernoulli_latents())
    return backend_->run(SampleBernoulli{.logits = stats,
                                         .noise = noise,
                                         .z = z_of(t, rows, a),
                                         .moments = moments,
                                         .log_q = column(a.log_q),
                                         .score_norm = column(a.score_norm),
                                         .add = log_q == LogDensity::added});
  const bool of_prior = t + 1 == layers().size() && config_.prior == Prior::standard;
  SampleGaussian op{.stats = stats, .noise = noise, .z = z_of(t, rows, a), .moments = moments};
  if (config_.has_closed_form_kl()) op.kl = a.kl.view(stats.rows, 1), op.kl_dims = a.kl_dims.view(1, config_.latent);
  if (of_prior) op.log_p_z = column(a.log_p_z);
  op.log_q = column(a.log_q);
  op.add = log_q == LogDensity::added;
  op.score_norm = column(a.score_norm);
  backend_->run(op);
}

// log p(z_T), then each log p(z_t|z_{t+1}) added to it.
void Vae::log_prior(Index rows, const VaeActivations& a) const {
  top_log_prior(rows, a);
  for (std::size_t t = 0; t + 1 < layers().size(); ++t) {
    if (!config_.ladder)  // whose samples needed it
      layers()[t + 1].decoder.forward(*backend_, weights(), z_of(t + 1, rows, a), layer_of(a, t + 1).decoder);
    layer_log_prior(t, rows, a, LogDensity::added);
  }
}

// log p(z_T), unless it is that of a standard normal and already there.
void Vae::top_log_prior(Index rows, const VaeActivations& a) const {
  const View log_p = a.log_p_z.view(rows, 1);
  const std::size_t top = layers().size() - 1;
  if (config_.has_bernoulli_latents())
    backend_->run(BernoulliLogProb{.z = z_of(top, rows, a), .logits = own(*networks_.logits), .log_p = log_p});
  if (config_.prior == Prior::standard) return;
  if (const auto& inputs = networks_.pseudo_inputs)
    layers()[top].encoder.forward(*backend_, weights(), weights().slice(*inputs, backend_->activation_type()),
                                  a.pseudo_inputs);
  MixtureLogProb op = mixture(rows, a);
  op.log_p = log_p;
  backend_->run(op);
}

// log p(z_t|z_{t+1}) from the last pass of the decoder of layer t + 1.
void Vae::layer_log_prior(std::size_t t, Index rows, const VaeActivations& a, LogDensity log_p) const {
  const View z = z_of(t, rows, a), column = a.log_p_z.view(rows, 1), stats = prior_of(t, rows, a);
  const bool add = log_p == LogDensity::added;
  if (config_.has_bernoulli_latents())
    backend_->run(BernoulliLogProb{.z = z, .logits = stats, .log_p = column, .add = add});
  else
    backend_->run(LatentLogProb{.z = z, .stats = stats, .log_p = column, .add = add});
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

void Vae::prior_backward(std::size_t t, Index rows, const RowFactor& row_weight, float* grads, const VaeActivations& a,
                         const VaeGradients& g, bool through_samples, Gradients gradients) const {
  if (through_samples && config_.has_bernoulli_latents())
    throw Error("prior_backward: no gradient passes through samples of Bernoulli latents");
  const View dz = through_samples ? g.layers[t].dz.view(rows, layers()[t].latent) : View{};
  if (t + 1 == layers().size()) return top_prior_backward(rows, row_weight, grads, a, g, dz, gradients);
  const View stats = prior_of(t, rows, a);
  density_backward(t, stats, row_weight, a, dz, g.layers[t].dprior.view(rows, stats.cols, backend_->activation_type()));
}

void Vae::decoder_backward(std::size_t t, Index rows, float* grads, const VaeActivations& a, const VaeGradients& g,
                           bool through_samples, Gradients gradients) const {
  const LatentLayer& layer = layers()[t];
  const View dprior = g.layers[t - 1].dprior.view(rows, layer.decoder.out(), backend_->activation_type());
  if (config_.ladder && through_samples) {
    MergeGaussiansBackward op = merge_backward(t - 1, rows, a, g);
    op.dprior = dprior;
    backend_->run(op);
  }
  layer.decoder.backward(*backend_, weights(), grads, z_of(t, rows, a), layer_of(a, t).decoder, dprior, g.scratch,
                         through_samples ? g.layers[t].dz.view(rows, layer.latent) : View{}, gradients);
}

void Vae::top_prior_backward(Index rows, const RowFactor& row_weight, float* grads, const VaeActivations& a,
                             const VaeGradients& g, View dz, Gradients gradients) const {
  const std::size_t top = layers().size() - 1;
  if (config_.has_bernoulli_latents())
    backend_->run(BernoulliLogProb{.z = z_of(top, rows, a),
                                   .logits = own(*networks_.logits),
                                   .row_weight = row_weight,
                                   .dlogits = slice(grads, *networks_.logits),
                                   .gradients = gradients});
  if (config_.prior == Prior::standard) return;
  MixtureLogProb op = mixture(rows, a);
  op.row_weight = row_weight;
  if (networks_.components) op.gradients = gradients;
  op.dz = dz;
  if (grads == nullptr) return backend_->run(op);
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

// The gradient of a row-weighted log-density of z_t by its statistics, and where given by z_t.
void Vae::density_backward(std::size_t t, ConstView stats, const RowFactor& row_weight, const VaeActivations& a,
                           View dz, View dstats) const {
  const ConstView z = z_of(t, stats.rows, a);
  if (config_.has_bernoulli_latents())
    return backend_->run(BernoulliLogProb{.z = z, .logits = stats, .row_weight = row_weight, .dlogits = dstats});
  backend_->run(LatentLogProb{.z = z, .stats = stats, .row_weight = row_weight, .dz = dz, .dstats = dstats});
}

void Vae::encoder_backward(std::size_t t, ConstView x, float* grads, const VaeActivations& a, const VaeGradients& g,
                           Gradients gradients, bool through_samples) const {
  const bool first = t == 0, ladder = config_.ladder,
             shared = t + 1 == layers().size() && networks_.pseudo_inputs.has_value();
  const Index rows = first || ladder ? x.rows : x.rows * a.samples;
  const View dstats = t < config_.first_sampled()
                          ? encoded_backward(t, rows, a, g)
                          : g.layers[t].dstats.view(rows, layers()[t].encoder.out(), backend_->activation_type());
  const ConstView input = first ? encoder_input(x, a) : ladder ? mean_of(t - 1, rows, a) : z_of(t - 1, rows, a);
  const bool ends = first || !through_samples || config_.has_bernoulli_latents();
  const VaeGradients::Layer& below = g.layers[first ? 0 : t - 1];
  layers()[t].encoder.backward(*backend_, weights(), grads, input, layer_of(a, t).encoder, dstats, g.scratch,
                               ends ? View{} : (ladder ? below.dmean : below.dz).view(rows, input.cols),
                               shared ? Gradients::add : gradients, ladder ? Gradients::replace : Gradients::add);
}

// The statistics of the prior for each of `rows` draws. A linear layer of zeros repeats a row of logits.
View Vae::prior_stats(Index rows, const VaeActivations& a) const {
  const Index latent = layers().back().latent;
  if (!config_.has_bernoulli_latents()) return a.standard_stats.view(rows, 2 * latent);
  const View logits = a.prior_logits.view(rows, latent);
  const DType type = backend_->activation_type();
  backend_->run(Linear{.x = a.standard_stats.view(rows, 1, type),
                       .w = a.standard_stats.view(latent, 1, type),
                       .b = own(*networks_.logits),
                       .y = logits});
  return logits;
}

namespace {
Noise of_stream(const Noise& noise, Stream stream, std::size_t t = 0) {
  Noise own = noise;
  own.stream = static_cast<Stream>(static_cast<std::uint32_t>(stream) + t);
  return own;
}
}  // namespace

View Vae::draw_latents(const Noise& noise, Index rows, Index samples, const VaeActivations& a) const {
  const std::size_t top = layers().size() - 1;
  const Index all = rows * samples;
  const auto sample = [&](ConstView stats, const Noise& of_layer, View z) {
    if (config_.has_bernoulli_latents())
      backend_->run(SampleBernoulli{.logits = stats, .noise = of_layer, .z = z});
    else
      backend_->run(SampleGaussian{.stats = stats, .noise = of_layer, .z = z});
  };
  sample(prior_stats(rows, a), of_stream(noise, Stream::sleep_latent), z_of(top, all, a));
  for (std::size_t t = top; t > 0; --t) {
    const View stats = layers()[t].decoder.forward(*backend_, weights(), z_of(t, all, a), layer_of(a, t).decoder);
    Noise own = of_stream(noise, Stream::sleep_latent_below, t - 1);
    own.first_row *= samples;
    sample(stats, own, z_of(t - 1, all, a));
  }
  return z_of(0, all, a);
}

void Vae::draw(const Noise& noise, View x, const VaeActivations& a) const {
  check_room("draw", "x", x, a.batch);
  backend_->run(DrawData{.likelihood = config_.likelihood,
                         .outputs = decode_examples(draw_latents(noise, x.rows, 1, a), x.rows, a),
                         .log_scale = is_scale_shared(config_.likelihood) ? log_scale() : ConstView{},
                         .learned = networks_.log_scale.has_value(),
                         .noise = of_stream(noise, Stream::sleep_data),
                         .x = x});
}

void Vae::draws_backward(ConstView x, const RowFactor& row_weight, float* grads, const VaeActivations& a,
                         const VaeGradients& g, Gradients gradients) const {
  check_room("draws_backward", "x", x, a.batch);
  if (config_.ladder) throw Error("draws_backward: the model is a ladder, of whose draws log q is not computed");
  for (std::size_t t = 0; t < layers().size(); ++t) {
    const Mlp& network = layers()[t].encoder;
    const ConstView input = t == 0 ? encoder_input(x, a) : z_of(t - 1, x.rows, a);
    const View stats = t == 0 ? encode(x, a) : network.forward(*backend_, weights(), input, layer_of(a, t).encoder),
               dstats = g.layers[t].dstats.view(x.rows, stats.cols, backend_->activation_type());
    density_backward(t, stats, row_weight, a, {}, dstats);
    network.backward(*backend_, weights(), grads, input, layer_of(a, t).encoder, dstats, g.scratch, {}, gradients);
  }
}

}  // namespace cuvae
