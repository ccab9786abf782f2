// The suite "snr": signal to noise ratio of the encoder's gradient over K, as in Rainforth et al. 2018, figure 2. Their
// model: z ~ N(0, I) in 20 dimensions, x ~ N(z, I), q(z|x) = N(A x + b, 2/3 I), parameters near the optimum.
#include <cmath>

#include "study/suites/variance.h"

namespace cuvae::bench {
namespace {

constexpr Index kDim = 20, kBatch = 64, kMostDraws = 2000000;
constexpr double kPerturbation = 0.01;  // standard deviation of the noise on the optimal parameters, as in the paper

std::vector<float> normals(Backend& backend, Index count, std::uint64_t seed) {
  const Buffer stats = backend.allocate(static_cast<std::size_t>(2 * count) * sizeof(float)),
               z = backend.allocate(static_cast<std::size_t>(count) * sizeof(float)),
               kl = backend.allocate(sizeof(float)), dims = backend.allocate(z.bytes()), step = backend.allocate(4);
  backend.run(SampleGaussian{stats.view(1, 2 * count),
                             {seed, Stream::latent, step.as<std::uint32_t>()},
                             z.view(1, count),
                             kl.view(1, 1),
                             dims.view(1, count)});
  std::vector<float> values(static_cast<std::size_t>(count));
  backend.download(values.data(), z.data(), z.bytes());
  return values;
}

const Parameter& parameter(const Vae& vae, const std::string& name) {
  for (const Parameter& p : vae.layout().parameters())
    if (p.name == name) return p;
  throw Error("snr: the model has no " + name);
}

// The posterior's mean is x / 2; the decoder is the identity.
void set_parameters(Backend& backend, Vae& vae, std::uint64_t seed) {
  std::vector<float> params(static_cast<std::size_t>(vae.layout().size()));
  const auto slice = [&](const char* name) { return params.data() + parameter(vae, name).offset; };
  float *A = slice("encoder.0.weight"), *b = slice("encoder.0.bias"), *D = slice("decoder.0.weight");
  const std::vector<float> noise = normals(backend, kDim * kDim + kDim, seed);
  for (Index i = 0; i < kDim; ++i) {
    for (Index j = 0; j < kDim; ++j)
      A[i * kDim + j] = (i == j ? 0.5f : 0.0f) + static_cast<float>(kPerturbation) * noise[std::size_t(i * kDim + j)];
    b[i] = static_cast<float>(kPerturbation) * noise[static_cast<std::size_t>(kDim * kDim + i)];
    b[kDim + i] = std::log(2.0f / 3.0f);
    D[i * kDim + i] = 1;
  }
  backend.upload(vae.params(), params.data(), params.size() * sizeof(float));
  vae.refresh_weights();
}

Json measure(Context& c, const Variant& v, Index K) {
  VaeConfig model;
  model.data_dim = model.image_width = model.latent = kDim;
  model.encoder_hidden.clear(), model.decoder_hidden.clear();
  model.activation = Activation::identity, model.likelihood = Likelihood::gaussian;
  TrainConfig config;
  config.batch = kBatch, config.samples = K, config.seed = c.seed(8);
  config.binarize = Binarize::none;
  choose(config, v);
  Trainer trainer(c.backend, model, config, kBatch);
  set_parameters(c.backend, trainer.vae(), c.seed(9));
  std::vector<float> pixels = normals(c.backend, kBatch * kDim, c.seed(10));  // x ~ N(0, 2 I)
  for (float& p : pixels) p *= std::sqrt(2.0f);
  const Buffer x = c.backend.allocate(pixels.size() * sizeof(float));
  c.backend.upload(x.data(), pixels.data(), x.bytes());

  // The gradient by b is the first half of the bias.
  const Slice b{parameter(trainer.vae(), "encoder.0.bias").offset, kDim};
  const GradientDraws g = draw_gradients(c.backend, trainer, x.view(kBatch, kDim), b, {kMostDraws, c.options.budget});
  Json row = {{"estimator", v.name()}, {"samples", K}, {"batch", kBatch}, {"draws", g.draws}};
  add_variance(row, g.trace);
  add_snr(row, g.norm(), g.trace);
  return row;
}

}  // namespace

std::vector<Cell> snr_cells(Context& c) {
  std::vector<Cell> cells;
  const bool quick = c.options.quick;
  for (const Variant& v : c.options.variants) {
    if (v.antithetic || (!is_importance_weighted(v.estimator) && v.estimator != Estimator::pathwise)) continue;
    for (const Index K : quick ? std::vector<Index>{1, 2, 10} : std::vector<Index>{1, 2, 5, 10, 20, 50, 100, 200, 500})
      if (v.defined_for(K))
        cells.push_back({"snr", "snr/" + v.name() + "/K=" + std::to_string(K), 1.1 * c.options.budget,
                         [&c, v, K] { return measure(c, v, K); }});
  }
  return cells;
}

}  // namespace cuvae::bench
