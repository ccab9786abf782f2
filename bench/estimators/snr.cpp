// The suite "snr": Rainforth et al. 2018, figure 2: signal to noise of the encoder's gradient against K. Their model:
// z ~ N(0, I) in 20 dimensions, x ~ N(z, I), q(z|x) = N(A x + b, 2/3 I), parameters near the best ones.
#include <algorithm>
#include <cmath>

#include "estimators/statistics.h"
#include "estimators/suite.h"

namespace cuvae::bench {
namespace {

constexpr Index kDim = 20, kBatch = 64;
constexpr double kPerturbation = 0.01;  // standard deviation of what is added to the best parameters, as in the paper

std::vector<float> normals(Backend& backend, Index count, std::uint64_t seed) {
  const Buffer stats = backend.allocate(static_cast<std::size_t>(2 * count) * sizeof(float)),
               z = backend.allocate(static_cast<std::size_t>(count) * sizeof(float)),
               kl = backend.allocate(sizeof(float)), dims = backend.allocate(z.bytes()), step = backend.allocate(4);
  backend.sample_latent(stats.view(1, 2 * count), {seed, Stream::latent, step.as<std::uint32_t>()}, z.view(1, count),
                        kl.view(1, 1), dims.view(1, count));
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

  // The bias's first half: the gradient by b.
  const Index offset = parameter(trainer.vae(), "encoder.0.bias").offset;
  constexpr std::size_t kGroups = 20;
  std::vector<double> host(1 + 2 * kDim), traces;
  std::vector<std::vector<double>> means(kGroups, std::vector<double>(kDim)), gram;
  const Buffer acc = c.backend.allocate(host.size() * sizeof(double));
  std::uint32_t step = 0;
  const auto draws = [&](Index count) {
    for (Index i = 0; i < count; ++i) {
      trainer.set_step(step++);
      const ConstView g = trainer.gradient(x.view(kBatch, kDim));
      c.backend.moments({g.f32() + offset, 1, kDim, DType::f32}, acc.as<double>());
    }
    c.backend.synchronize();
  };
  draws(2);
  const double begin = now();
  draws(4);
  const double each = (now() - begin) / 4;
  const Index in_group =
      std::max<Index>(2, static_cast<Index>(std::min(c.options.budget / each, 2e6) / static_cast<double>(kGroups)));
  for (std::size_t g = 0; g < kGroups; ++g) {
    c.backend.zero(acc.data(), acc.bytes());
    draws(in_group);
    c.backend.download(host.data(), acc.data(), acc.bytes());
    double trace = 0;
    for (std::size_t i = 0; i < kDim; ++i)
      means[g][i] = host[1 + i], trace += host[1 + kDim + i] / static_cast<double>(in_group - 1);
    traces.push_back(trace);
  }
  for (const auto& left : means) {
    gram.emplace_back();
    for (const auto& right : means) {
      double sum = 0;
      for (std::size_t i = 0; i < kDim; ++i) sum += left[i] * right[i];
      gram.back().push_back(sum);
    }
  }
  const Interval trace = group_interval(traces), norm = squared_norm(gram);
  Json row = {{"estimator", v.name()},
              {"samples", K},
              {"batch", kBatch},
              {"draws", in_group * Index{kGroups}},
              {"variance", trace.mean},
              {"variance_error", trace.error},
              {"variance_low", trace.low()},
              {"variance_high", trace.high()}};
  add_snr(row, norm, trace);
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
