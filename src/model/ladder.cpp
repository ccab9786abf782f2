// Ladder inference: the pass from the data up, whose encoders read means, and the posteriors from the top down.
// Sonderby et al. 2016.
#include "cuvae/vae.h"
#include "model/room.h"

namespace cuvae {

// What the encoders above read of layer t.
View Vae::mean_of(std::size_t t, Index rows, const VaeActivations& a) const {
  return layer_of(a, t).mean.view(rows, layers()[t].latent, backend_->activation_type());
}

// mean [rows, L] = the first half of each row of stats. Halves of rows are rows of half the width.
View Vae::take_mean(ConstView stats, View mean, const VaeActivations& a) const {
  backend_->run(GatherBatch{.pixels = {stats.data, 2 * stats.rows, mean.cols},
                            .rows = {.order = a.even_rows.as<std::uint32_t>(), .rows = stats.rows},
                            .x = mean});
  return mean;
}

View Vae::encode_upwards(View stats, const VaeActivations& a) const {
  for (std::size_t t = 1; t < layers().size(); ++t)
    stats = layers()[t].encoder.forward(*backend_, weights(), take_mean(stats, mean_of(t - 1, stats.rows, a), a),
                                        layer_of(a, t).encoder);
  return stats;
}

// The statistics of q(z_t|z_{t+1}, x) for `batch` examples, after those of p(z_t|z_{t+1}).
View Vae::merge(std::size_t t, Index batch, const VaeActivations& a) const {
  const Index rows = batch * a.samples;
  const LatentLayer& above = layers()[t + 1];
  const View prior = above.decoder.forward(*backend_, weights(), z_of(t + 1, rows, a), layer_of(a, t + 1).decoder);
  const View merged = stats(t, rows, a);
  backend_->run(MergeGaussians{.prior = prior, .bottom_up = encoded(t, batch, a), .merged = merged});
  return merged;
}

MergeGaussiansBackward Vae::merge_backward(std::size_t t, Index rows, const VaeActivations& a,
                                           const VaeGradients& g) const {
  const View prior = prior_of(t, rows, a);
  return {.prior = prior,
          .bottom_up = encoded(t, rows / a.samples, a),
          .dmerged = g.layers[t].dstats.view(rows, prior.cols, backend_->activation_type())};
}

// The gradient by encoder t's statistics, from dstats and from the encoder above, which read their mean.
View Vae::encoded_backward(std::size_t t, Index batch, const VaeActivations& a, const VaeGradients& g) const {
  MergeGaussiansBackward op = merge_backward(t, batch * a.samples, a, g);
  op.dbottom_up = g.layers[t].dencoded.view(batch, op.bottom_up.cols, backend_->activation_type());
  op.dmean = g.layers[t].dmean.view(batch, layers()[t].latent);
  backend_->run(op);
  return op.dbottom_up;
}

// The statistics of q(z_1|z_2, x) where z_2 to z_T are the means of their posteriors. The input is
// what the encoder from x reads, one sample for each example.
View Vae::posterior_at_means(ConstView input, const VaeActivations& a) const {
  View stats = encode_upwards(encoder().forward(*backend_, weights(), input, layer_of(a, 0).encoder), a);
  for (std::size_t t = layers().size() - 1; t-- > 0;) {
    take_mean(stats, z_of(t + 1, input.rows, a), a);
    stats = merge(t, input.rows, a);
  }
  return stats;
}

}  // namespace cuvae
