// The stages of a training step between data and z_1, and their buffers. Those of the latent layers are in latents.cpp.
#include <algorithm>

#include "cuvae/vae.h"
#include "model/room.h"

namespace cuvae {

VaeActivations Vae::allocate(Index batch, Index samples, PassNeeds needs) const {
  const auto values = [&](Index n, DType type) {
    return backend_->allocate(static_cast<std::size_t>(n) * size_of(type));
  };
  const Index rows = batch * samples;
  const DType type = backend_->activation_type();
  VaeActivations a;
  a.batch = batch, a.samples = samples, a.needs = needs;
  a.needs.log_densities |= needs.score_norm || !config_.has_closed_form_kl();
  for (const LatentLayer& layer : layers()) {
    const bool first = a.layers.empty(), merges = a.layers.size() < config_.first_sampled();
    a.layers.push_back({layer.encoder.allocate(*backend_, first || config_.ladder ? batch : rows, DType::f32),
                        layer.decoder.allocate(*backend_, rows, first ? type : DType::f32),
                        values(rows * layer.latent, type), merges ? values(batch * layer.latent, type) : Buffer(),
                        merges ? values(rows * 2 * layer.latent, DType::f32) : Buffer()});
  }
  if (config_.ladder) {
    std::vector<std::uint32_t> even;
    for (Index row = 0; row < batch; ++row) even.push_back(static_cast<std::uint32_t>(2 * row));
    a.even_rows = backend_->allocate(even.size() * sizeof even[0]);
    backend_->upload(a.even_rows.data(), even.data(), a.even_rows.bytes());
  }
  if (config_.is_conditional()) {
    a.conditions = values(batch * config_.condition_dim, type);
    a.input = values(batch * encoder().in(), type);
    a.decoder_input = values(rows * decoder().in(), type);
  }
  if (config_.has_closed_form_kl()) a.kl = values(batch, DType::f32), a.kl_dims = values(config_.latent, DType::f32);
  a.log_p = values(rows, DType::f32);
  if (a.needs.log_densities) a.log_p_z = values(rows, DType::f32), a.log_q = values(rows, DType::f32);
  if (needs.score_norm) a.score_norm = values(rows, DType::f32);
  if (config_.prior != Prior::standard) a.responsibilities = values(rows * config_.prior_components, DType::f32);
  if (needs.model_draws) a.standard_stats = values(batch * 2 * layers().back().latent, DType::f32);  // zeroed
  if (needs.model_draws && config_.has_bernoulli_latents())
    a.prior_logits = values(batch * layers().back().latent, DType::f32);
  if (config_.prior == Prior::vampprior)
    a.pseudo_inputs = layers().back().encoder.allocate(*backend_, config_.prior_components, DType::f32);
  if (config_.missing_values) a.input = values(batch * encoder().in(), type);
  return a;
}

VaeGradients Vae::allocate_gradients(Index batch, Index samples) const {
  const auto values = [&](Index n, DType type) {
    return backend_->allocate(static_cast<std::size_t>(n) * size_of(type));
  };
  const DType type = backend_->activation_type();
  const Index rows = batch * samples;
  VaeGradients g;
  Index widest =
      config_.prior == Prior::vampprior ? config_.prior_components * layers().back().encoder.widest_hidden() : 0;
  for (const LatentLayer& layer : layers()) {
    const std::size_t t = g.layers.size();
    const bool top = t + 1 == layers().size(), merges = t < config_.first_sampled();
    const Index encoded = t == 0 || config_.ladder ? batch : rows;
    widest = std::max({widest, encoded * layer.encoder.widest_hidden(), rows * layer.decoder.widest_hidden()});
    const Index width = config_.statistics(layer.latent);
    g.layers.push_back({values(rows * layer.latent, DType::f32), values((merges ? rows : encoded) * width, type),
                        top ? Buffer() : values(rows * width, type), merges ? values(encoded * width, type) : Buffer(),
                        merges ? values(encoded * layer.latent, DType::f32) : Buffer()});
  }
  for (Buffer& scratch : g.scratch) scratch = values(widest, type);
  if (config_.prior == Prior::vampprior)
    g.dcomponents = values(config_.prior_components * 2 * layers().back().latent, type);
  return g;
}

View Vae::conditions(Index rows, const VaeActivations& a) const {
  if (!config_.is_conditional()) return {};
  return a.conditions.view(rows, config_.condition_dim, backend_->activation_type());
}

ConstView Vae::encoder_input(ConstView x, const VaeActivations& a) const {
  return a.input ? a.input.view(x.rows, encoder().in(), x.dtype) : x;
}

ConstView Vae::decoder_input(Index rows, const VaeActivations& a) const {
  return config_.is_conditional() ? a.decoder_input.view(rows, decoder().in(), backend_->activation_type())
                                  : z_of(0, rows, a);
}

View Vae::encode(ConstView x, const VaeActivations& a) const {
  check_room("encode", "x", x, a.batch);
  if (a.input) {
    const View input = a.input.view(x.rows, encoder().in(), x.dtype);
    if (config_.is_conditional()) backend_->run(JoinColumns{x, conditions(x.rows, a), input});
    if (config_.missing_values) backend_->run(FillMissing{config_.is_conditional() ? ConstView(input) : x, input});
  }
  const View stats = encoder().forward(*backend_, weights(), encoder_input(x, a), layer_of(a, 0).encoder);
  return config_.ladder ? encode_upwards(stats, a) : stats;
}

View Vae::decode(ConstView z, const VaeActivations& a) const {
  check_room("decode", "z", z, a.batch * a.samples);
  return decode_examples(z, z.rows / a.samples, a);
}

// z has as many rows for each of these examples.
View Vae::decode_examples(ConstView z, Index examples, const VaeActivations& a) const {
  if (config_.is_conditional()) {
    const View input = a.decoder_input.view(z.rows, decoder().in(), z.dtype);
    backend_->run(JoinColumns{z, conditions(examples, a), input});
    z = input;
  }
  return decoder().forward(*backend_, weights(), z, layer_of(a, 0).decoder);
}

void Vae::run(const LikelihoodPass& p) const {
  if (!is_scale_shared(config_.likelihood))
    return backend_->run(
        LogProb{config_.likelihood, p.output, p.x, p.row_weight, p.log_p, p.doutput, p.loss, config_.missing_values});
  backend_->run(GaussianLogProb{p.output, p.x, log_scale(), p.row_weight, p.log_p, p.doutput, p.dlog_scale, p.loss,
                                networks_.log_scale.has_value(), p.gradients, config_.missing_values});
}

View Vae::log_prob(ConstView output, ConstView x, const VaeActivations& a, const ElboLoss& loss) const {
  check_room("log_prob", "output", output, a.batch * a.samples);
  const View log_p = a.log_p.view(output.rows, 1);
  run(LikelihoodPass{.output = output, .x = x, .log_p = log_p, .loss = loss});
  return log_p;
}

View Vae::log_prob_with_gradient(View output, ConstView x, const RowFactor& row_weight, float* grads,
                                 const VaeActivations& a, const ElboLoss& loss, Gradients gradients) const {
  check_room("log_prob", "output", output, a.batch * a.samples);
  const View log_p = a.log_p.view(output.rows, 1);
  const auto& scale = networks_.log_scale;
  run(LikelihoodPass{.output = output,
                     .x = x,
                     .row_weight = row_weight,
                     .log_p = log_p,
                     .doutput = output,
                     .dlog_scale = scale && grads != nullptr ? slice(grads, *scale) : View{},
                     .loss = loss,
                     .gradients = gradients});
  return log_p;
}

void Vae::log_prob(ConstView output, ConstView x, View log_p) const {
  run(LikelihoodPass{.output = output, .x = x, .log_p = log_p});
}

void Vae::decoder_backward(ConstView doutput, float* grads, const VaeActivations& a, const VaeGradients& g,
                           bool through_samples, Gradients gradients) const {
  const Index rows = doutput.rows;
  decoder().backward(*backend_, weights(), grads, decoder_input(rows, a), layer_of(a, 0).decoder, doutput, g.scratch,
                     through_samples ? g.layers.front().dz.view(rows, config_.latent) : View{}, gradients);
}

}  // namespace cuvae
